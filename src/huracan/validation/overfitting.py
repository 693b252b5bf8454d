"""How much of a good backtest is the luck of having tried often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError, NotEnoughData
from huracan.statistics.sample_checks import LARGEST, SMALLEST, as_numbers
from huracan.validation.deflated_sharpe import (
    DeflatedSharpe,
    EffectiveTrials,
    deflated_sharpe_ratio,
    effective_number_of_trials,
    expected_maximum_sharpe,
)
from huracan.validation.sharpe_inference import (
    SharpeRatio,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sharpe_ratio_inference,
)

__all__ = [
    "DeflatedSharpe",
    "EffectiveTrials",
    "OverfittingReport",
    "SharpeRatio",
    "deflated_sharpe_ratio",
    "effective_number_of_trials",
    "expected_maximum_sharpe",
    "minimum_track_record_length",
    "probabilistic_sharpe_ratio",
    "probability_of_backtest_overfitting",
    "sharpe_ratio_inference",
]

_CELLS = 2_000_000
"""Splits x strategies held at once (16 MB a table)."""
_TIE = 1e-10
"""Sharpe ratios nearer than this are tied: sums of identical strategies differ by rounding."""
_SAME = 1e-12
"""Strategies that differ by less, as shares of their largest returns, are one: rounding of multiples, no other idea."""


@dataclass(frozen=True, eq=False)
class OverfittingReport:
    """Result of :func:`probability_of_backtest_overfitting`.

    Attributes
    ----------
    probability : share of splits in which the best strategy in sample is in the lower half out of sample; where strategies
        tie, in or out of sample, the chance of that if ties were broken at random. Without skill 1/2; of an odd number the
        middle one counts as lower, as in the paper, so that of three it is 2/3.
    logits : (n_splits,) log odds of its rank out of sample; tied strategies have the middle of their ranks.
    probability_of_loss : share of splits in which it loses out of sample.
    in_sample, out_of_sample : (n_splits,) its Sharpe ratios per period.
    degradation : slope of ``out_of_sample`` on ``in_sample``; below 0 the better it looked, the worse it did. NaN where
        every split looked equally good.
    n_strategies, n_splits : different strategies that were ranked, multiples counted once, and how often.
    n_tied : splits in which several strategies were best in sample; the mean of their ranks and Sharpe ratios counts.
    """

    probability: float
    logits: NDArray[np.float64]
    probability_of_loss: float
    n_strategies: int
    n_splits: int
    in_sample: NDArray[np.float64]
    out_of_sample: NDArray[np.float64]
    degradation: float
    n_tied: int


def probability_of_backtest_overfitting(returns: ArrayLike, *, n_blocks: int = 16) -> OverfittingReport:
    """Probability that picking the best backtest picks a strategy below the median, by CSCV.

    Time is cut into blocks; every half of them is in sample once. In each split the strategy with the best Sharpe ratio
    in sample is ranked among all out of sample. A strategy without a position has Sharpe ratio 0. Strategies of which one
    is a positive multiple of the other (leverage) have the same Sharpe ratio in every split, and count once.

    Parameters
    ----------
    returns : (periods, strategies), in time order, everything that was tried, at least two strategies.
    n_blocks : even, 2 to 20; 16 gives 12,870 splits. Blocks much longer than a trade keep what depends together.

    Raises
    ------
    NotEnoughData : fewer than two strategies, or fewer than 2 periods a block.
    DataError : a value is not finite (period and strategy are named), a strategy earns the same in every period or in
        every period of a split (infinite Sharpe ratio), or all strategies are the same or multiples of one.

    References
    ----------
    Bailey, Borwein, López de Prado and Zhu (2017), "The Probability of Backtest Overfitting", Journal of Computational
    Finance 20(4).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.normal(size=(480, 20))
    >>> skilled = np.column_stack([noise, rng.normal(0.3, 1, 480)])
    >>> probability_of_backtest_overfitting(skilled, n_blocks=8).probability < 0.05
    True
    """
    table = _checked(returns, n_blocks)
    different = _different(table)
    n_strategies = len(different)
    if n_strategies == 1:
        raise DataError(
            f"all {table.shape[1]} strategies return the same in every period, or multiples of it; no one is best to pick."
        )
    blocks = _Blocks.of(table[:, different], n_blocks, different)
    parts = []
    for inside in _halves(n_blocks, max(1, _CELLS // n_strategies)):
        fitted, _ = blocks.sharpe(inside)
        judged, level = blocks.sharpe(1.0 - inside)
        parts.append(_rank_of_best(fitted, judged, level))
    rank, lower, in_sample, out_of_sample, loses, tied = (np.concatenate(column) for column in zip(*parts))
    share = rank / (n_strategies + 1)
    logits = np.log(share / (1.0 - share))
    centred = in_sample - in_sample.mean()
    spread = float(centred @ centred)
    return OverfittingReport(
        probability=float(np.mean(lower)),
        logits=logits,
        probability_of_loss=float(np.mean(loses)),
        n_strategies=n_strategies,
        n_splits=len(logits),
        in_sample=in_sample,
        out_of_sample=out_of_sample,
        degradation=float(centred @ out_of_sample / spread) if spread > 0.0 else float("nan"),
        n_tied=int(np.sum(tied)),
    )


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Sums of each block, from which the Sharpe ratio of any union of blocks follows."""

    count: NDArray[np.float64]
    total: NDArray[np.float64]
    square: NDArray[np.float64]
    mean: NDArray[np.float64]
    noise: NDArray[np.float64]
    strategy: NDArray[np.int64]

    @classmethod
    def of(cls, table: NDArray[np.float64], n_blocks: int, strategy: NDArray[np.int64]) -> _Blocks:
        edge = np.linspace(0, len(table), n_blocks + 1).round().astype(int)
        mean = table.mean(axis=0)
        centred = table - mean  # sums of squares lose digits around a large mean
        return cls(
            count=np.diff(edge).astype(np.float64),
            total=np.add.reduceat(centred, edge[:-1]),
            square=np.add.reduceat(centred**2, edge[:-1]),
            mean=mean,
            noise=1e-12 * np.mean(centred**2, axis=0),
            strategy=strategy,
        )

    def sharpe(self, chosen: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sharpe ratio and mean of every strategy in every row of ``chosen`` blocks, (splits, strategies) each."""
        n = (chosen @ self.count)[:, None]
        centre = chosen @ self.total / n
        variance = (chosen @ self.square / n - centre**2) * n / (n - 1.0)
        level = centre + self.mean
        still = variance <= self.noise
        if still.any():
            riskless = still & (level**2 > 1e3 * self.noise)
            if riskless.any():
                split, column = map(int, np.argwhere(riskless)[0])
                where = ", ".join(str(block) for block in np.flatnonzero(chosen[split]))
                raise DataError(
                    f"strategy {self.strategy[column]} returns {level[split, column]:g} in every period of blocks {where}; a "
                    "Sharpe ratio needs variation, that one would be infinite."
                )
            level[still], variance[still] = 0.0, 1.0  # no position in these blocks
        return level / np.sqrt(variance), level


def _halves(n_blocks: int, at_once: int) -> Iterator[NDArray[np.float64]]:
    """Every half of the blocks, as rows of 0 and 1, ``at_once`` rows at a time."""
    chosen = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    for start in range(0, len(chosen), at_once):
        part = chosen[start : start + at_once]
        inside = np.zeros((len(part), n_blocks))
        np.put_along_axis(inside, part, 1.0, axis=1)
        yield inside


def _rank_of_best(
    fitted: NDArray[np.float64], judged: NDArray[np.float64], level: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """What became of the best in sample, split by split, the mean of several best: rank out of sample (ties in the middle),
    chance to be in the lower half, Sharpe ratios in and out of sample, loss; and whether several were best.
    """
    split = np.arange(len(fitted))
    best = fitted.argmax(axis=1)
    top = fitted[split, best]
    result = judged[split, best]
    rank, lower = _rank(judged, result[:, None])
    loses = (level[split, best] < 0.0).astype(np.float64)
    several = fitted >= top[:, None] - _TIE
    tied = several.sum(axis=1) > 1
    for row in np.flatnonzero(tied):
        these = np.flatnonzero(several[row])
        ranks, halves = _rank(judged[row], judged[row, these, None])
        rank[row], lower[row] = ranks.mean(), halves.mean()
        result[row], loses[row] = judged[row, these].mean(), np.mean(level[row, these] < 0.0)
    return rank, lower, top, result, loses, tied


def _rank(values: NDArray[np.float64], of: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rank of ``of`` among ``values``, ties in the middle; which share of its tied ranks is in the lower half."""
    below, not_above = (values < of - _TIE).sum(axis=-1), (values <= of + _TIE).sum(axis=-1)
    half = (values.shape[-1] + 1) // 2  # the middle one of an odd number counts as lower, as in the paper
    lower = np.clip(half - below, 0, not_above - below) / (not_above - below)
    return np.asarray((below + not_above + 1.0) / 2.0), np.asarray(lower, dtype=np.float64)


def _different(table: NDArray[np.float64]) -> NDArray[np.int64]:
    """The strategies without those that are positive multiples, up to rounding, of one that is among them."""
    largest = np.abs(table).max(axis=0)
    unit = table / np.where(largest > 0.0, largest, 1.0)
    # strategies that are the same have nearly the same key; few others have
    key = np.cos(np.arange(len(table))) @ unit / len(table)
    order, same = np.argsort(key, kind="stable"), np.zeros(len(key), dtype=bool)
    reach = np.searchsorted(key[order], key[order] + 2.0 * _SAME, side="right")
    for place, until in enumerate(reach):
        first, others = order[place], order[place + 1 : until]
        if len(others) and not same[first]:
            same[others] |= np.abs(unit[:, others] - unit[:, [first]]).max(axis=0) <= _SAME
    return np.flatnonzero(~same)


def _checked(returns: ArrayLike, n_blocks: int) -> NDArray[np.float64]:
    table = as_numbers(returns, "returns", each="period and strategy")
    if table.ndim != 2 or table.shape[1] < 2:
        raise NotEnoughData(f"returns has shape {table.shape}; periods x at least 2 strategies were expected.")
    if isinstance(n_blocks, bool) or not isinstance(n_blocks, (int, np.integer)) or n_blocks not in range(2, 21, 2):
        raise DataError(f"n_blocks is {n_blocks!r}; an even number from 2 to 20 was expected.")
    if len(table) < 2 * n_blocks:
        raise NotEnoughData(f"returns has {len(table)} periods; {n_blocks} blocks need at least {2 * n_blocks}.")
    bad = ~np.isfinite(table)
    if bad.any():
        period, strategy = map(int, np.argwhere(bad)[0])
        raise DataError(
            f"returns holds {table[period, strategy]} in period {period}, strategy {strategy}; finite numbers were expected."
        )
    largest = np.abs(table).max(axis=0)
    strange = (largest > LARGEST) | ((largest > 0.0) & (largest < SMALLEST))
    if strange.any():
        where = int(np.argmax(strange))
        raise DataError(
            f"strategy {where} returns up to {largest[where]:g} a period; fractions, of sizes with a square, were expected."
        )
    riskless = (np.ptp(table, axis=0) <= 64 * np.finfo(np.float64).eps * largest) & (largest > 0.0)
    if riskless.any():
        where = int(np.argmax(riskless))
        raise DataError(f"strategy {where} returns {table[0, where]:g} in every period; a Sharpe ratio needs variation.")
    return table
