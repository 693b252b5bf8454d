"""Rolling statistics that look only backwards, and stay true after a crash or through a flat stretch.

They are what indicators are written with, in batch and bar by bar. Every function takes a float64 series in time order and
gives one value per row, NaN until its window is full. A value depends on its window only, bit for bit: nothing is left of a
spike that is gone, a stretch that does not move has a deviation of exactly 0, and a standardised constant is 0. Sums and
deviations are merged from halves (:mod:`~huracan.preprocessing.window_merging`); what compares values has its bar-by-bar form
in :mod:`huracan.preprocessing.streams`.
"""

from __future__ import annotations

from typing import Any

import bottleneck as bn
import numpy as np

from huracan.preprocessing.rank_counting import twice_below
from huracan.preprocessing.tracing import Traced, operation
from huracan.preprocessing.window_merging import (
    Array,
    Pieces,
    lag,
    last_row,
    mean_step,
    merge_moments,
    merge_sums,
    merged,
    moments_of_both,
    over_windows,
    total,
)

__all__ = [
    "Array",
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
    "rolling_moments",
    "rolling_rank",
    "rolling_skew",
    "rolling_std",
    "rolling_sum",
    "rolling_zscore",
    "running_max",
    "volatility_scale",
]


def rolling_sum(x: Array, window: int) -> Array:
    """Sum over the last ``window`` values; NaN while one of them is.

    >>> rolling_sum(np.array([1.0, 2.0, -6.0]), 2)
    array([nan,  3., -4.])
    """
    (total,) = over_windows(lambda x: merged((x,), window, merge_sums), window, x)
    return total


def rolling_mean(x: Array, window: int, *, min_count: int | None = None) -> Array:
    """Mean over the last ``window`` values; NaN while one of them is, or while fewer than ``min_count`` are numbers.

    >>> rolling_mean(np.array([1.0, 2.0, 6.0]), 2)
    array([nan, 1.5, 4. ])
    >>> rolling_mean(np.array([np.nan, 2.0, 6.0]), 3, min_count=1)
    array([nan,  2.,  4.])
    """
    if min_count is None:
        (mean,) = over_windows(lambda x: (merged((x,), window, merge_sums)[0] / window,), window, x)
        return mean
    least, before = max(min_count, 1), window - 1

    def mean_of_known(x: Any) -> Pieces:
        missing = np.isnan(x)
        known = np.where(missing, 0.0, x), np.where(missing, 0.0, 1.0)
        total, count = merged(known, window, _merge_known_sums)
        return (np.where(count >= least, total / np.maximum(count, 1.0), np.nan),)

    if isinstance(x, Traced):
        return mean_of_known(x)[0]
    (mean,) = over_windows(mean_of_known, window, np.concatenate([np.full(before, np.nan), x]))
    return mean[before:]


def _merge_known_sums(earlier: Pieces, earlier_rows: int, later: Pieces, later_rows: int) -> Pieces:
    """Sums without missing values; bar by bar, nothing was before the first bar."""
    earlier = tuple(np.where(np.isnan(a), 0.0, a) if isinstance(a, Traced) else a for a in earlier)
    return merge_sums(earlier, earlier_rows, later, later_rows)


def rolling_moments(x: Array, window: int) -> tuple[Array, Array]:
    """Mean and standard deviation (divisor ``window - 1``) of the last ``window`` values; NaN while one of them is.

    >>> mean, deviation = rolling_moments(np.array([1.0, 2.0, 3.0, 3.0, 3.0, 3.0]), 3)
    >>> deviation
    array([       nan,        nan, 1.        , 0.57735027, 0.        , 0.        ])
    """

    def moments(x: Any) -> Pieces:
        first, mean, squares = merged((x, 0.0, 0.0), window, merge_moments)
        return first + mean, _deviation(squares, x, window - 1)

    mean, deviation = over_windows(moments, window, x)
    return mean, deviation


def rolling_skew(x: Array, window: int) -> Array:
    """Skewness of the last ``window`` values: mean cube over cube of the deviation, about the mean; 0 where all are equal.

    Cubes are merged as squares are (Pebay, *Formulas for robust, one-pass parallel computation of covariances and
    arbitrary-order statistical moments*, Sandia National Laboratories, 2008).

    >>> rolling_skew(np.array([0.0, 0.0, 3.0, 3.0, 3.0]), 3).round(3)
    array([   nan,    nan,  0.707, -0.707,  0.   ])
    """

    def skewness(x: Any) -> Pieces:
        _, _, squares, cubes = merged((x, 0.0, 0.0, 0.0), window, _merge_cubes)
        variance = squares / window
        return (ratio(cubes / window, variance * np.sqrt(variance), otherwise=0.0),)

    (found,) = over_windows(skewness, window, x)
    return found


def _merge_cubes(earlier: Pieces, earlier_rows: int, later: Pieces, later_rows: int) -> Pieces:
    """Moments, and the sum of cubes about the mean."""
    rows, step = earlier_rows + later_rows, mean_step(earlier, later)
    cubes = total(step * (3.0 / rows) * (earlier_rows * later[2] - later_rows * earlier[2]), earlier[3], later[3])
    if earlier_rows != later_rows:
        cubes = cubes + step * step * step * (earlier_rows * later_rows * (earlier_rows - later_rows) / rows**2)
    return (*moments_of_both(earlier, earlier_rows, later, later_rows, step), cubes)


def rolling_std(x: Array, window: int, *, ddof: int = 1) -> Array:
    """Standard deviation of the last ``window`` values with divisor ``window - ddof``; NaN while one of them is NaN.

    >>> rolling_std(np.array([1.0, 2.0, 3.0]), 3)
    array([nan, nan,  1.])
    """

    def deviation(x: Any) -> Pieces:
        return (_deviation(merged((x, 0.0, 0.0), window, merge_moments)[2], x, window - ddof),)

    (found,) = over_windows(deviation, window, x)
    return found


def _deviation(squares: Any, x: Any, freedom: int) -> Any:
    squares = 0.0 * x if isinstance(squares, float) else squares  # a number in windows of one row
    return np.sqrt(squares / freedom) if freedom > 0 else np.nan * squares


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

    def score(x: Any) -> Pieces:
        first, mean, squares = merged((x, 0.0, 0.0), window, merge_moments)
        return (ratio(last_row(x, window) - first - mean, _deviation(squares, x, window - 1), otherwise=0.0),)

    (found,) = over_windows(score, window, x)
    return found


@operation
def rolling_rank(x: Array, window: int) -> Array:
    """Rank of each value within the last ``window``, from -1 (lowest) to 1 (highest), ties in the middle.

    >>> rolling_rank(np.array([1.0, 5.0, 3.0, 3.0]), 3)
    array([ nan,  nan,  0. , -0.5])
    """
    return twice_below(x, window) / max(window - 1, 1) - min(window - 1, 1)


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
    return ratio(x, np.sqrt(rolling_mean(x * x, window)))


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
    kept[:row] = np.nan
    return kept


@operation
def running_max(x: Array) -> Array:
    """Largest value so far; NaN until there is one.

    >>> running_max(np.array([np.nan, 2.0, 1.0, 3.0]))
    array([nan,  2.,  2.,  3.])
    """
    return np.fmax.accumulate(x)
