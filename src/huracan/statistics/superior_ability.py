"""Is any of these models better than the baseline: White's reality check and Hansen's test for superior predictive ability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from huracan.errors import DataError
from huracan.statistics.bootstrap import Blocks, draw_blocks, optimal_block_length, resampled_means
from huracan.statistics.joint_means import NullKind, joint_means, pairs_of
from huracan.statistics.loss_table import as_loss_table, check_level, same_losses
from huracan.statistics.romano_wolf import comparison_pairs, notes_of
from huracan.statistics.sample_checks import check_seed

__all__ = ["Recentring", "SuperiorAbility", "superior_ability", "widest_block_length"]

Recentring = Literal["lower", "consistent", "upper"]


@dataclass(frozen=True)
class SuperiorAbility:
    """Result of :func:`superior_ability`.

    Attributes
    ----------
    p_lower, p_consistent, p_upper : Hansen's three p-values; ``p_consistent`` is *the* p-value. ``p_upper`` treats every
        model as if it were as good as the baseline, so that many bad models hide a good one (White's reality check
        where not studentised); ``p_lower`` treats those that look worse as worse.
    statistic : the largest gain over the baseline, in the units of ``gain``.
    best : the model that has it.
    models : all but the baseline. gain : (models,) how much better than the baseline each is, standardised unless
        ``studentised`` is false.
    notes : why a model could not be tested, else "".
    null_gain : (resamples, models) gains as they would be if no model were better or worse.
    threshold : gain below which a model counts as worse under "consistent". floor : what the largest gain is at least.
    block_length : of the bootstrap, 0 where none was run.
    """

    p_lower: float
    p_consistent: float
    p_upper: float
    statistic: float
    best: str
    models: tuple[str, ...]
    gain: NDArray[np.float64]
    notes: tuple[str, ...]
    null_gain: NDArray[np.float64]
    threshold: NDArray[np.float64]
    floor: float
    block_length: float

    def critical_value(self, alpha: float = 0.05, recentring: Recentring = "consistent") -> float:
        """The gain that the best of equal models passes with probability ``alpha``."""
        check_level(alpha, len(self.null_gain))
        return _quantile(self._recentred(recentring)[:, self.gain > -np.inf], alpha)

    def superior(self, alpha: float = 0.05, recentring: Recentring = "consistent") -> tuple[str, ...]:
        """Models shown to be better than the baseline, step by step (StepM).

        Those above the critical value are set aside, the critical value of the rest is taken, and so on; the chance that
        any of them is not better is ``alpha``.

        References
        ----------
        Romano and Wolf (2005), Econometrica 73(4); Hsu, Hsu and Kuan (2010), J. Empirical Finance 17.
        """
        check_level(alpha, len(self.null_gain))
        null = self._recentred(recentring)
        left = self.gain > -np.inf
        found = np.zeros(len(left), dtype=bool)
        while left.any():
            better = left & (self.gain > _quantile(null[:, left], alpha))
            if not better.any():
                break
            left, found = left & ~better, found | better
        return tuple(name for name, yes in zip(self.models, found) if yes)

    def _recentred(self, recentring: Recentring) -> NDArray[np.float64]:
        if recentring not in get_args(Recentring):
            raise DataError(f"recentring is '{recentring}'; 'lower', 'consistent' or 'upper' was expected.")
        tested = self.gain > -np.inf
        if recentring == "lower":
            return self.null_gain + np.where(tested, np.minimum(self.gain, 0.0), 0.0)
        if recentring == "upper":
            return self.null_gain
        return self.null_gain + np.where(tested & (self.gain < self.threshold), self.gain, 0.0)


def superior_ability(
    losses: ArrayLike,
    baseline: int,
    *,
    names: Sequence[str] | None = None,
    null: NullKind = "cosines",
    studentised: bool = True,
    block_length: float | Literal["auto"] = "auto",
    blocks: Blocks | None = None,
    resamples: int = 1999,
    seed: int = 0,
) -> SuperiorAbility:
    """Test whether the best of many models is better than the baseline, or only looks so because there are many.

    Parameters
    ----------
    losses : (n, k), rows in time order, smaller is better. baseline : its column.
    names : of the models.
    null : "cosines" studentises with equal-weighted cosines and draws from the multivariate t distribution; it holds its
        level on strongly autocorrelated losses. "bootstrap" is the test as published: stationary bootstrap, one kernel
        variance for data and resamples alike; it rejects too often on such losses.
    studentised : false gives White's reality check (under "bootstrap" only).
    block_length : of the bootstrap; "auto" is the longest that :func:`optimal_block_length` asks for.
    blocks : resamples that were drawn elsewhere, instead of ``resamples`` and ``seed``; needs ``block_length``.
    resamples, seed : of the null distribution.

    Raises
    ------
    DataError : a loss is not finite, one model only, a difference is constant, or a setting is out of bounds.
    NotEnoughData : fewer than 20 rows.

    References
    ----------
    White (2000), Econometrica 68(5); Hansen (2005), JBES 23(4).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> result = superior_ability(rng.normal([0, 0, 0.1, -0.2], 1, (800, 4)), baseline=0)
    >>> result.best, result.p_consistent < 0.05, result.superior()
    ('model 3', True, ('model 3',))
    """
    table, known = as_loss_table(losses, names)
    check_level(0.5, resamples)
    check_seed(seed)
    first, second = comparison_pairs(len(known), baseline)
    same = same_losses(table, known, first, second)
    bootstrap = null == "bootstrap"
    if null == "cosines" and (not studentised or blocks is not None or block_length != "auto"):
        raise DataError("blocks, block_length, and a test that is not studentised, go with null='bootstrap' only.")
    decidable, rows, floor = np.ones(len(first), dtype=bool), 0.0, 0.0
    if bootstrap:
        gains = table[:, second] - table[:, first]
        rows = _rows(block_length, blocks, gains[:, ~same])
        drawn = draw_blocks(len(table), rows, resamples, kind="stationary", seed=seed) if blocks is None else blocks
        gain, null_gain, deviation = _bootstrapped(gains, same, drawn, rows)
        scale = deviation if studentised else np.ones(len(first))
        gain, null_gain = gain / scale, null_gain / scale
        unit, floor = deviation / scale, 0.0 if studentised else -np.inf
    else:
        joint = joint_means(table, pairs_of(len(known), first, second), same, null=null)
        gain, null_gain = -joint.score, -np.concatenate(list(joint.null_scores(resamples, seed=seed)))
        decidable, unit = joint.decidable, np.ones(len(first))
    tested = decidable & ~same
    gain, null_gain = np.where(tested, gain, -np.inf), np.where(tested, null_gain, -np.inf)
    result: dict[str, Any] = {
        "statistic": max(float(gain.max()), floor),
        "best": known[first[int(np.argmax(gain))]],
        "models": tuple(known[i] for i in first),
        "gain": gain,
        "notes": notes_of(same, decidable, len(table)),
        "null_gain": null_gain,
        "threshold": -unit * np.sqrt(2 * np.log(np.log(len(table)))),
        "floor": floor,
        "block_length": float(rows),
    }
    unjudged = SuperiorAbility(p_lower=1.0, p_consistent=1.0, p_upper=1.0, **result)
    if not tested.any():
        return unjudged
    p: dict[str, Any] = {f"p_{name}": _p_value(unjudged, name) for name in get_args(Recentring)}
    return replace(unjudged, **p)


def widest_block_length(table: NDArray[np.float64]) -> float:
    """The longest stationary block that any column asks for, at least 1.

    Examples
    --------
    >>> 1 <= widest_block_length(np.random.default_rng(0).standard_normal((200, 2))) < 20
    True
    """
    if table.shape[1] == 0:
        return 1.0
    return max(1.0, float(max(optimal_block_length(column).stationary for column in table.T)))


def _p_value(result: SuperiorAbility, recentring: Any) -> float:
    largest = np.maximum(result._recentred(recentring).max(axis=1), result.floor)
    return float((1 + np.sum(largest >= result.statistic)) / (len(largest) + 1))


def _rows(block_length: Any, blocks: Blocks | None, gains: NDArray[np.float64]) -> float:
    if blocks is not None and (block_length == "auto" or blocks.n != len(gains)):
        raise DataError(f"blocks drawn for {blocks.n} rows need losses of as many ({len(gains)} here), and their block_length.")
    rows = widest_block_length(gains) if block_length == "auto" else block_length
    if not 1 <= rows <= len(gains):
        raise DataError(f"block_length is {rows}; a number from 1 to {len(gains)} was expected for {len(gains)} rows.")
    return float(rows)


def _bootstrapped(
    gains: NDArray[np.float64], same: NDArray[np.bool_], blocks: Blocks, rows: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean gains, their centred resamples, and the standard error that the stationary bootstrap has in the limit."""
    n = len(gains)
    centred = gains - gains.mean(axis=0)
    size = fft.next_fast_len(2 * n, real=True)
    keep = 1.0 - 1.0 / rows
    lag = np.arange(1, n)
    weight = np.concatenate(([1.0], 2 * ((1 - lag / n) * keep**lag + (lag / n) * keep ** (n - lag))))
    variance = np.ones(gains.shape[1])
    for column in np.flatnonzero(~same):
        power = np.abs(fft.rfft(centred[:, column], size)) ** 2
        variance[column] = weight @ fft.irfft(power, size)[:n] / n
    return gains.mean(axis=0), resampled_means(centred, blocks), np.sqrt(variance / n)


def _quantile(null: NDArray[np.float64], alpha: float) -> float:
    return float(np.quantile(null.max(axis=1), 1 - alpha)) if null.shape[1] else np.inf
