"""How much of a good backtest is the luck of having tried often."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import bottleneck as bn
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from huracan.errors import DataError, NotEnoughData

__all__ = [
    "DeflatedSharpe",
    "OverfittingReport",
    "deflated_sharpe_ratio",
    "expected_maximum_sharpe",
    "probabilistic_sharpe_ratio",
    "probability_of_backtest_overfitting",
]

_EULER = float(np.euler_gamma)
_FEWEST_RETURNS = 20


@dataclass(frozen=True)
class DeflatedSharpe:
    """Result of :func:`deflated_sharpe_ratio`; Sharpe ratios are per period, not annualised.

    ``probability`` is the confidence that the true Sharpe ratio exceeds ``expected_maximum``, the best that so many
    trials without any skill would show.
    """

    probability: float
    sharpe_ratio: float
    expected_maximum: float
    n_trials: int
    n_periods: int


@dataclass(frozen=True, eq=False)
class OverfittingReport:
    """Result of :func:`probability_of_backtest_overfitting`.

    ``probability`` is the share of splits in which the best strategy in sample is in the lower half out of sample;
    ``logits`` holds the log odds of its rank in each split; ``probability_of_loss`` is the share of splits in which it
    loses out of sample.
    """

    probability: float
    logits: NDArray[np.float64]
    probability_of_loss: float
    n_strategies: int
    n_splits: int


def deflated_sharpe_ratio(
    returns: ArrayLike,
    *,
    trial_sharpe_ratios: ArrayLike | None = None,
    n_trials: int | None = None,
    trial_variance: float | None = None,
) -> DeflatedSharpe:
    """Probability that a strategy's Sharpe ratio is real, given how many strategies were tried.

    Parameters
    ----------
    returns : (n,) of the strategy chosen, one a period, fractions; periods should not overlap.
    trial_sharpe_ratios : Sharpe ratios of everything tried, per period of ``returns`` (not annualised), the chosen one
        included; gives the next two.
    n_trials, trial_variance : number of independent trials, and the variance of their Sharpe ratios, if not given so.

    Raises
    ------
    NotEnoughData : fewer than 20 returns. DataError : returns do not vary or are not finite, or the trials are not told.

    References
    ----------
    Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tried = rng.normal(0, 0.01, (1000, 50))
    >>> sharpes = tried.mean(0) / tried.std(0, ddof=1)
    >>> deflated_sharpe_ratio(tried[:, sharpes.argmax()], trial_sharpe_ratios=sharpes).probability < 0.9
    True
    """
    series = np.asarray(returns, dtype=np.float64).reshape(-1)
    _require(series, "returns")
    if len(series) < _FEWEST_RETURNS:
        raise NotEnoughData(f"returns has {len(series)} periods; at least {_FEWEST_RETURNS} are needed.")
    if np.ptp(series) == 0.0:
        raise DataError(f"returns is {series[0]:g} in every period; a Sharpe ratio needs variation.")
    if trial_sharpe_ratios is not None:
        trials = np.asarray(trial_sharpe_ratios, dtype=np.float64).reshape(-1)
        _require(trials, "trial_sharpe_ratios")
        n_trials = len(trials)
        trial_variance = float(trials.var(ddof=1)) if len(trials) > 1 else 0.0
    if n_trials is None or trial_variance is None:
        raise DataError("how much was tried is not told; trial_sharpe_ratios, or n_trials and trial_variance, were expected.")
    sharpe = float(series.mean() / series.std(ddof=1))
    best = expected_maximum_sharpe(n_trials, trial_variance)
    standard = (series - series.mean()) / series.std()
    probability = probabilistic_sharpe_ratio(
        sharpe, len(series), benchmark=best, skewness=float(np.mean(standard**3)), kurtosis=float(np.mean(standard**4))
    )
    return DeflatedSharpe(probability, sharpe, best, int(n_trials), len(series))


def expected_maximum_sharpe(n_trials: int, trial_variance: float) -> float:
    """Sharpe ratio that the best of ``n_trials`` independent strategies without skill is expected to show.

    Parameters
    ----------
    n_trials : at least 1 (then 0). trial_variance : variance of the trials' Sharpe ratios, per period.

    References
    ----------
    Bailey and López de Prado (2014), equation 1. Their example: 100 trials, variance 1/2 a year of 250 days.

    Examples
    --------
    >>> round(expected_maximum_sharpe(100, 0.5 / 250), 4)
    0.1132
    """
    if n_trials < 1 or not trial_variance >= 0.0:
        raise DataError(f"n_trials is {n_trials} and trial_variance {trial_variance}; at least 1 and 0 were expected.")
    if n_trials == 1:
        return 0.0
    expected = (1.0 - _EULER) * ndtri(1.0 - 1.0 / n_trials) + _EULER * ndtri(1.0 - 1.0 / (n_trials * np.e))
    return float(np.sqrt(trial_variance) * expected)


def probabilistic_sharpe_ratio(
    sharpe_ratio: float, n_periods: int, *, benchmark: float = 0.0, skewness: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the true Sharpe ratio exceeds ``benchmark``, given fat tails and skewness of the returns.

    Parameters
    ----------
    sharpe_ratio, benchmark : per period. n_periods : of the track record. skewness, kurtosis : of the returns (normal: 0
        and 3).

    References
    ----------
    Bailey and López de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2); (2014), equation 2.

    Examples
    --------
    >>> best = expected_maximum_sharpe(100, 0.5 / 250)
    >>> p = probabilistic_sharpe_ratio(2.5 / 250**0.5, 1250, benchmark=best, skewness=-3, kurtosis=10)
    >>> round(p, 4)
    0.9004
    """
    if n_periods < 2:
        raise NotEnoughData(f"n_periods is {n_periods}; at least 2 are needed.")
    variance = 1.0 - skewness * sharpe_ratio + (kurtosis - 1.0) / 4.0 * sharpe_ratio**2
    if variance <= 0.0:
        raise DataError(f"no returns have Sharpe ratio {sharpe_ratio}, skewness {skewness} and kurtosis {kurtosis}.")
    return float(ndtr((sharpe_ratio - benchmark) * np.sqrt((n_periods - 1) / variance)))


def probability_of_backtest_overfitting(returns: ArrayLike, *, n_blocks: int = 16) -> OverfittingReport:
    """Probability that picking the best backtest picks a strategy below the median, by CSCV.

    Time is cut into blocks; every half of them is in sample once. In each split the strategy with the best Sharpe ratio
    in sample is ranked among all out of sample.

    Parameters
    ----------
    returns : (periods, strategies), everything that was tried, at least two strategies.
    n_blocks : even; 16 gives 12,870 splits.

    Raises
    ------
    NotEnoughData : fewer than two strategies, or fewer than 2 periods a block.
    DataError : a value is not finite (period and strategy are named) or a strategy's returns never vary.

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
    table = np.asarray(returns, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise NotEnoughData(f"returns has shape {table.shape}; periods x at least 2 strategies were expected.")
    if n_blocks < 2 or n_blocks % 2 or n_blocks > 20:
        raise DataError(f"n_blocks is {n_blocks}; an even number from 2 to 20 was expected.")
    if len(table) < 2 * n_blocks:
        raise NotEnoughData(f"returns has {len(table)} periods; {n_blocks} blocks need at least {2 * n_blocks}.")
    _require(table, "returns")
    riskless = (np.ptp(table, axis=0) == 0.0) & (table[0] != 0.0)
    if riskless.any():
        where = int(np.argmax(riskless))
        raise DataError(f"strategy {where} returns {table[0, where]:g} in every period; a Sharpe ratio needs variation.")
    edge = np.linspace(0, len(table), n_blocks + 1).round().astype(int)[:-1]
    centred = table - table.mean(axis=0)  # sums of squares lose digits around a large mean
    count = np.diff(np.append(edge, len(table))).astype(np.float64)
    total, square = np.add.reduceat(centred, edge), np.add.reduceat(centred**2, edge)
    inside = np.zeros((comb(n_blocks, n_blocks // 2), n_blocks))
    for row, chosen in enumerate(combinations(range(n_blocks), n_blocks // 2)):
        inside[row, chosen] = 1.0
    mean = table.mean(axis=0)
    in_sample, _ = _sharpe(inside, count, total, square, mean)
    out_of_sample, out_mean = _sharpe(1.0 - inside, count, total, square, mean)
    best = in_sample.argmax(axis=1)
    split = np.arange(len(inside))
    rank = bn.rankdata(out_of_sample, axis=1)[split, best] / (table.shape[1] + 1)
    logits = np.log(rank / (1.0 - rank))
    return OverfittingReport(
        probability=float(np.mean(logits <= 0.0)),
        logits=logits,
        probability_of_loss=float(np.mean(out_mean[split, best] < 0.0)),
        n_strategies=table.shape[1],
        n_splits=len(inside),
    )


def _sharpe(
    chosen: NDArray[np.float64],
    count: NDArray[np.float64],
    total: NDArray[np.float64],
    square: NDArray[np.float64],
    mean: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = (chosen @ count)[:, None]
    centre = chosen @ total / n
    variance = (chosen @ square / n - centre**2) * n / (n - 1.0)
    level = centre + mean
    varies = variance > 1e-12 * square.sum(axis=0) / count.sum()
    sharpe = np.zeros_like(level)  # a strategy that held no position in these blocks stays at 0
    np.divide(level, np.sqrt(np.where(varies, variance, 1.0)), out=sharpe, where=varies)
    return sharpe, level


def _require(values: NDArray[np.float64], name: str) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        where = tuple(map(int, np.argwhere(bad)[0]))
        place = f"period {where[0]}" + (f", strategy {where[1]}" if len(where) > 1 else "")
        raise DataError(f"{name} holds {values[where]} in {place}; finite numbers were expected.")
