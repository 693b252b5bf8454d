"""Rolling statistics that look only backwards, and stay true after a crash or through a flat stretch.

They are the operations indicators are written with, in batch here and bar by bar in :mod:`huracan.preprocessing.streams`.
Every function takes a float64 series in time order and gives one value per row, NaN until its window is full. Each value
depends on the rows up to its own only, bit for bit: running sums go forward in time. Two things ordinary rolling code gets
wrong are handled here: a running sum keeps a rounding residue of a spike that has left its window (so that a flat stretch
seems to move), and a standardised constant is 0 / 0.
"""

from __future__ import annotations

from typing import TypeAlias

import bottleneck as bn
import numpy as np
from numpy.typing import NDArray

from huracan.preprocessing.tracing import operation

__all__ = [
    "first_value",
    "from_row",
    "lag",
    "log_of_size",
    "log_ratio",
    "ratio",
    "rolling_max",
    "rolling_mean",
    "rolling_min",
    "rolling_minmax",
    "rolling_rank",
    "rolling_std",
    "rolling_sum",
    "rolling_sum_of_sizes",
    "rolling_zscore",
    "running_max",
    "volatility_scale",
]

Array: TypeAlias = NDArray[np.float64]

RESIDUE = 1e-12
"""A rolling sum of sizes below this share of the largest it ever was is rounding residue, and is read as 0."""
_COMPARED = 512
"""Windows up to which comparing every pair is the quickest way to ranks."""
_BLOCK = 16_384
"""Rows at a time, so that what is compared stays in the processor's cache."""


@operation
def rolling_mean(x: Array, window: int, *, min_count: int | None = None) -> Array:
    """Mean over the last ``window`` values; NaN while one of them is, or while fewer than ``min_count`` are numbers.

    >>> rolling_mean(np.array([1.0, 2.0, 6.0]), 2)
    array([nan, 1.5, 4. ])
    >>> rolling_mean(np.array([np.nan, 2.0, 6.0]), 3, min_count=1)
    array([nan,  2.,  4.])
    """
    if min_count is None:
        return bn.move_mean(x, window) if window <= len(x) else np.full(len(x), np.nan)
    return bn.move_mean(x, min(window, len(x)), min_count=min_count) if min_count <= len(x) else np.full(len(x), np.nan)


@operation
def rolling_sum(x: Array, window: int) -> Array:
    """Sum over the last ``window`` values; NaN while one of them is.

    >>> rolling_sum(np.array([1.0, 2.0, -6.0]), 2)
    array([nan,  3., -4.])
    """
    return bn.move_sum(x, window) if window <= len(x) else np.full(len(x), np.nan)


@operation
def rolling_std(x: Array, window: int, *, ddof: int = 1) -> Array:
    """Standard deviation of the last ``window`` values with divisor ``window - ddof``; NaN while one of them is NaN.

    >>> rolling_std(np.array([1.0, 2.0, 3.0]), 3)
    array([nan, nan,  1.])
    """
    return bn.move_std(x, window, ddof=ddof) if window <= len(x) else np.full(len(x), np.nan)


@operation
def rolling_max(x: Array, window: int) -> Array:
    """Largest of the last ``window`` values; NaN while one of them is.

    >>> rolling_max(np.array([3.0, 2.0, 1.0]), 2)
    array([nan,  3.,  2.])
    """
    return bn.move_max(x, window) if window <= len(x) else np.full(len(x), np.nan)


@operation
def rolling_min(x: Array, window: int) -> Array:
    """Smallest of the last ``window`` values; NaN while one of them is.

    >>> rolling_min(np.array([3.0, 2.0, 1.0]), 2)
    array([nan,  2.,  1.])
    """
    return bn.move_min(x, window) if window <= len(x) else np.full(len(x), np.nan)


@operation
def rolling_sum_of_sizes(x: Array, window: int) -> Array:
    """Sum over the last ``window`` values of a series that is never negative; exactly 0 where all of them are 0.

    >>> rolling_sum_of_sizes(np.array([0.3, 0.1, 0.0, 0.0, 0.0]), 2)
    array([nan, 0.4, 0.1, 0. , 0. ])
    """
    if window > len(x):
        return np.full(len(x), np.nan)
    total = bn.move_sum(x, window)
    largest = np.fmax.accumulate(total)
    with np.errstate(invalid="ignore"):
        total[total <= RESIDUE * largest] = 0.0
    return total


@operation
def ratio(numerator: Array, denominator: Array, *, otherwise: float = np.nan) -> Array:
    """Divide, with ``otherwise`` where the denominator is 0; NaN stays NaN.

    >>> ratio(np.array([1.0, 0.0]), np.array([4.0, 0.0]), otherwise=0.5)
    array([0.25, 0.5 ])
    """
    zero = denominator == 0.0
    if not zero.any():
        return numerator / denominator
    result: Array = numerator / np.where(zero, 1.0, denominator)
    result[zero & ~np.isnan(numerator)] = otherwise
    return result


def log_ratio(numerator: Array, denominator: Array, *, softness: float = 0.0) -> Array:
    """``log(softness + numerator / denominator)`` of two sizes; NaN where the denominator is 0.

    ``softness`` gives a floor where the numerator may be 0 (a bar without volume): .01 reads "at most a hundredth".

    >>> log_ratio(np.array([1.0, 0.0]), np.array([1.0, 2.0]), softness=0.01).round(3)
    array([ 0.01 , -4.605])
    """
    return log_of_size(ratio(numerator, denominator) + softness)


@operation
def log_of_size(x: Array) -> Array:
    """Natural logarithm where ``x`` is positive, NaN elsewhere.

    >>> log_of_size(np.array([1.0, 0.0, -1.0]))
    array([ 0., nan, nan])
    """
    return np.log(np.where(x > 0.0, x, np.nan))


def rolling_zscore(x: Array, window: int) -> Array:
    """Standard deviations (n - 1) from the mean of the last ``window`` values, this one included; 0 where all are equal.

    >>> rolling_zscore(np.array([1.0, 2.0, 3.0, 3.0, 3.0, 3.0]), 3).round(3)
    array([  nan,   nan, 1.   , 0.577, 0.   , 0.   ])
    """
    still = rolling_max(x, window) == rolling_min(x, window)
    spread = np.where(still, 0.0, rolling_std(x, window))
    return ratio(x - rolling_mean(x, window), spread, otherwise=0.0)


@operation
def rolling_rank(x: Array, window: int) -> Array:
    """Rank of each value within the last ``window``, from -1 (lowest) to 1 (highest), ties in the middle.

    >>> rolling_rank(np.array([1.0, 5.0, 3.0, 3.0]), 3)
    array([ nan,  nan,  0. , -0.5])
    """
    if window > len(x):
        return np.full(len(x), np.nan)
    return _rank_by_comparison(x, window) if 1 < window <= _COMPARED else bn.move_rank(x, window)


def _rank_by_comparison(x: Array, window: int) -> Array:
    """Count, a block of rows at a time, how many earlier values each exceeds: a third of bottleneck's time, the same bits."""
    twice_below = np.full(len(x), np.nan)
    for start in range(window - 1, len(x), _BLOCK):
        stop = min(len(x), start + _BLOCK)
        count, larger = np.zeros(stop - start, np.int16), np.empty(stop - start, np.bool_)
        for back in range(1, window):
            earlier = x[start - back : stop - back]
            for compare in (np.greater, np.greater_equal):
                compare(x[start:stop], earlier, out=larger)
                np.add(count, larger.view(np.int8), out=count)
        twice_below[start:stop] = count
    missing = np.isnan(x)
    if missing.any():
        twice_below[bn.move_max(missing.astype(np.float64), window, min_count=1) > 0.0] = np.nan
    return 2.0 * (0.5 * twice_below / (window - 1.0) - 0.5)


def rolling_minmax(x: Array, window: int) -> Array:
    """Place of each value between the lowest (-1) and highest (1) of the last ``window``; 0 where all are equal.

    >>> rolling_minmax(np.array([1.0, 5.0, 4.0, 4.0, 4.0]), 3)
    array([ nan,  nan,  0.5, -1. ,  0. ])
    """
    low, high = rolling_min(x, window), rolling_max(x, window)
    return ratio((x - low) - (high - x), high - low, otherwise=0.0)


def volatility_scale(x: Array, window: int) -> Array:
    """Divide by the root mean square of the last ``window`` values, this one included; NaN where all are 0.

    >>> volatility_scale(np.array([3.0, 4.0, 0.0]), 2).round(3)
    array([ nan, 1.131, 0. ])
    """
    return ratio(x, np.sqrt(rolling_sum_of_sizes(x * x, window) / window))


@operation
def lag(x: Array, bars: int) -> Array:
    """The value ``bars`` rows earlier.

    >>> lag(np.array([1.0, 2.0, 3.0]), 1)
    array([nan,  1.,  2.])
    """
    moved = np.full(len(x), np.nan)
    if bars < len(x):
        moved[bars:] = x[: len(x) - bars]
    return moved


@operation
def first_value(x: Array) -> Array:
    """The first row's value, in every row.

    >>> first_value(np.array([3.0, 2.0]))
    array([3., 3.])
    """
    return np.full(len(x), x[0]) if len(x) else x


@operation
def from_row(x: Array, row: int) -> Array:
    """``x`` without its first ``row`` values.

    >>> from_row(np.array([3.0, 2.0, 1.0]), 2)
    array([nan, nan,  1.])
    """
    kept = np.array(x, dtype=np.float64)
    kept[:row] = np.nan
    return kept


@operation
def running_max(x: Array) -> Array:
    """Largest value so far; NaN until there is one.

    >>> running_max(np.array([np.nan, 2.0, 1.0, 3.0]))
    array([nan,  2.,  2.,  3.])
    """
    return np.fmax.accumulate(x)
