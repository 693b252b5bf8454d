"""What the classifier looks at: drift, volatility and liquidity of the last bars, and their rank in the past.

Every function works on the bars of one symbol, from the oldest to the newest, and the value at t uses bars up to t
only. Sums come from running totals, so the value at t does not depend on what follows, to the bit. ``age`` is the number
of bars of the segment before each bar: no window reaches across a gap.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["drift_t_statistic", "illiquidity", "log_returns", "past_rank", "realised_volatility", "rolling_sum"]

RANK_SAMPLES = 100
"""How many past values a value is ranked against, at most: a rank is good to one per cent."""


def log_returns(close: NDArray[np.float64], age: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log return of every bar over the one before it; 0 for the first of a segment."""
    returns = np.zeros(len(close))
    returns[1:] = np.log(close[1:] / close[:-1])
    returns[age == 0] = 0.0
    return returns


def rolling_sum(values: NDArray[np.float64], window: int, age: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum over the last ``window`` values; NaN where the segment is younger than the window.

    ``age`` counts the bars of the segment before each bar. A window that holds nothing but zeros sums to exactly zero,
    whatever rounding the running total carries.

    >>> rolling_sum(np.array([0.1, 0.2, 0.0, 0.0, 5.0]), 2, age=np.array([0, 1, 2, 3, 0])).round(2)
    array([nan, 0.3, 0.2, 0. , nan])
    """
    total = np.full(len(values), np.nan)
    if len(values) >= window:
        summed = np.concatenate(([0.0], np.cumsum(values)))
        nonzero = np.concatenate(([0], np.cumsum(values != 0)))
        difference = summed[window:] - summed[:-window]
        total[window - 1 :] = np.where(nonzero[window:] > nonzero[:-window], difference, 0.0)
    total[age < window - 1] = np.nan
    return total


def drift_t_statistic(returns: NDArray[np.float64], window: int, age: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far the price went for how much it moved: ``sum(r) / sqrt(sum(r**2))`` over the last ``window`` returns.

    About standard normal on a random walk, whatever its volatility; beyond +-1 the moves add up, near 0 they cancel.
    The self-normalisation keeps one jump from looking like a trend: alone it gives exactly 1. 0 where nothing moved.
    """
    moved, square = rolling_sum(returns, window, age), rolling_sum(returns**2, window, age)
    scale = np.sqrt(np.maximum(square, 0.0))
    drift = np.divide(moved, scale, out=np.zeros(len(returns)), where=scale > 0)
    drift[(age < window) | np.isnan(square)] = np.nan
    return np.clip(drift, -np.sqrt(window), np.sqrt(window))


def realised_volatility(
    high: NDArray[np.float64], low: NDArray[np.float64], window: int, age: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Volatility of one bar from the ranges of the last ``window`` bars (Parkinson, 1980), a fraction."""
    mean_square = rolling_sum(np.log(high / low) ** 2, window, age) / window
    return np.sqrt(np.maximum(mean_square, 0.0) / (4.0 * np.log(2.0)))


def illiquidity(
    returns: NDArray[np.float64], money: NDArray[np.float64], window: int, age: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Move per unit of money traded over the last ``window`` bars, ``sum(|r|) / sum(money)`` (Amihud, 2002).

    Sums before the ratio, so that bars without volume count as what they are; infinite where nothing was traded.
    """
    moved, traded = rolling_sum(np.abs(returns), window, age), rolling_sum(money, window, age)
    ratio = np.divide(moved, traded, out=np.full(len(returns), np.inf), where=traded > 0)
    ratio[(age < window) | np.isnan(traded)] = np.nan
    return ratio


def past_rank(values: NDArray[np.float64], lookback: int, minimum_history: int) -> NDArray[np.float64]:
    """Share of the past that lies below each value, ties by half: 0 the lowest, 1 the highest of ``lookback`` values.

    A value is compared with up to ``RANK_SAMPLES`` earlier ones, evenly spaced over the last ``lookback``; the
    measures ranked here are moving averages, so that nothing lies between the samples that they would miss. Values
    within a ten-millionth of each other are ties. NaN values are left out: the past is counted in defined values.
    NaN until ``minimum_history`` of them have passed.

    >>> past_rank(np.array([3.0, 1.0, 2.0, 4.0, 2.0]), lookback=4, minimum_history=2)
    array([ nan,  nan, 0.5 , 1. , 0.375])
    """
    rank = np.full(len(values), np.nan)
    defined = np.flatnonzero(~np.isnan(values))
    with np.errstate(over="ignore"):
        x = values[defined].astype(np.float32)  # what differs by rounding only is equal
    step = math.ceil(lookback / RANK_SAMPLES)
    twice = np.zeros(len(x), dtype=np.uint8)
    compared = np.zeros(len(x), dtype=np.uint8)
    for lag in range(step, min(lookback, len(x) - 1) + 1, step):
        now, past = x[lag:], x[:-lag]
        twice[lag:] += now > past
        twice[lag:] += now >= past
        compared[lag:] += 1
    enough = (np.arange(len(x)) >= minimum_history) & (compared > 0)
    rank[defined[enough]] = twice[enough] / (2.0 * compared[enough])
    return rank
