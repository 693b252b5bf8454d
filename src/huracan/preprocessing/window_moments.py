"""Sums, deviations, straight lines and correlations of moving windows, put together from halves.

A window of 8 is two windows of 4, each of which is two of 2; one of 10 is one of 2 and one of 8. So every window of a series
is merged from a few neighbours, for all rows at once, in ``log2(window)`` passes. Nothing is ever subtracted from a running
sum, which buys four things that sliding sums do not have:

* a value depends on its window only, to the last bit, wherever the series begins and whatever happened before it;
* a NaN is felt in the windows that hold it and nowhere else;
* squares are summed about the means of the pieces (Chan, Golub & LeVeque, *Algorithms for computing the sample variance*,
  American Statistician 37, 1983), and a mean is kept as its distance from the first value of its piece, so that a deviation
  of a millionth of the price loses no digit either;
* what does not move has a deviation of exactly 0.

Every function takes float64 series in time order and gives one value per row, NaN until its window is full.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from huracan.preprocessing.rolling import Array
from huracan.preprocessing.tracing import operation

__all__ = ["window_correlation", "window_moments", "window_regression", "window_sum"]

Pieces: TypeAlias = tuple[Array, ...]
"""Statistics of all windows of one size, in order of their first row."""


@operation
def window_sum(x: Array, window: int) -> Array:
    """Sum of the last ``window`` values.

    >>> window_sum(np.array([1.0, 2.0, 4.0, 8.0]), 3)
    array([nan, nan,  7., 14.])
    """
    (total,) = _merged((x,), window, _merge_sums)
    return _in_place(total, len(x))


@operation(outputs=2)
def window_moments(x: Array, window: int) -> Pieces:
    """Mean and standard deviation (divisor ``window - 1``) of the last ``window`` values.

    >>> mean, deviation = window_moments(np.array([1.0, 2.0, 3.0, 3.0, 3.0, 3.0]), 3)
    >>> deviation
    array([       nan,        nan, 1.        , 0.57735027, 0.        , 0.        ])
    """
    nothing = np.zeros(len(x)) * x
    first, mean, squares = _merged((x, nothing, nothing), window, _merge_moments)
    return _in_place(first + mean, len(x)), _in_place(np.sqrt(squares / (window - 1)), len(x))


@operation(outputs=5)
def window_regression(x: Array, window: int) -> Pieces:
    """The straight line through the last ``window`` values.

    Returns
    -------
    Mean and standard deviation of the values (divisor ``window - 1``), slope a bar, share of variance the line explains (NaN
    where the values are all equal), and residual of the last value.

    Examples
    --------
    >>> [round(float(a[3]), 3) for a in window_regression(np.array([1.0, 2.0, 3.0, 3.0]), 4)]
    [2.25, 0.957, 0.7, 0.891, -0.3]
    """
    nothing = np.zeros(len(x)) * x
    first, mean, squares, along = _merged((x, nothing, nothing, nothing), window, _merge_lines)
    times = window * (window * window - 1) / 12.0  # squares of the bars' numbers about their mean
    slope = along / times
    explained = slope * along
    with np.errstate(invalid="ignore"):
        explained /= squares  # 0 / 0 where nothing moved
    residual = (x[window - 1 :] - first) - (mean + slope * ((window - 1) / 2.0))
    return tuple(_in_place(a, len(x)) for a in (first + mean, np.sqrt(squares / (window - 1)), slope, explained, residual))


@operation
def window_correlation(x: Array, y: Array, window: int) -> Array:
    """Correlation of the pairs in the last ``window`` rows.

    A pair of which one is NaN is left out. NaN where fewer than two pairs are left, or one side is the same in all of them.

    >>> up = np.array([1.0, 2.0, 3.0, np.nan, 9.0])
    >>> window_correlation(up, np.array([3.0, 2.0, 1.0, 0.0, 0.0]), 3).round(3)
    array([nan, nan, -1., -1., -1.])
    """
    missing = np.isnan(x) | np.isnan(y)
    nothing = np.zeros(len(x))
    if missing.any():
        x, y = np.where(missing, 0.0, x), np.where(missing, 0.0, y)
        single = (x, y, nothing, nothing, nothing, nothing, nothing, np.where(missing, 0.0, 1.0))
        state = _merged(single, window, _merge_counted_pairs)
    else:
        state = _merged((x, y, nothing, nothing, nothing, nothing, nothing), window, _merge_pairs)
    xx, yy, xy = state[4:7]
    with np.errstate(invalid="ignore"):
        found = xy / np.sqrt(xx * yy)  # 0 / 0 where one of them does not move
    return _in_place(np.clip(found, -1.0, 1.0, out=found), len(x))


def _merged(single: Pieces, window: int, merge: Callable[[Pieces, int, Pieces, int], Pieces]) -> Pieces:
    """Statistics of every window of ``window`` rows, from those of single rows."""
    if window > len(single[0]):
        return tuple(np.empty(0) for _ in single)
    piece, size = single, 1
    whole: Pieces = ()
    done = 0
    while True:
        if window & size:
            whole = merge(whole, done, piece, size) if done else piece
            done += size
        if done == window:
            return whole
        piece = merge(piece, size, piece, size)
        size *= 2


def _in_place(values: Array, rows: int) -> Array:
    """Values of windows at the rows where the windows end."""
    placed = np.full(rows, np.nan)
    placed[rows - len(values) :] = values
    return placed


def _merge_sums(first: Pieces, first_size: int, second: Pieces, second_size: int) -> Pieces:
    later = second[0][first_size:]
    return (first[0][: len(later)] + later,)


def _merge_moments(first: Pieces, first_size: int, second: Pieces, second_size: int) -> Pieces:
    """First value, mean less the first value, sum of squares about the mean."""
    later = tuple(a[first_size:] for a in second)
    earlier = tuple(a[: len(later[0])] for a in first)
    return _moments(earlier, first_size, later, second_size, _step(earlier[0], earlier[1], later[0], later[1]))


def _merge_lines(first: Pieces, first_size: int, second: Pieces, second_size: int) -> Pieces:
    """Also the products with time; the means of two neighbours are half their sizes apart."""
    later = tuple(a[first_size:] for a in second)
    earlier = tuple(a[: len(later[0])] for a in first)
    step = _step(earlier[0], earlier[1], later[0], later[1])
    along = step * (first_size * second_size / 2.0)
    along += earlier[3]
    along += later[3]
    return (*_moments(earlier, first_size, later, second_size, step), along)


def _moments(earlier: Pieces, first_size: int, later: Pieces, second_size: int, step: Array) -> Pieces:
    """``step``, from one mean to the next, becomes the mean of both."""
    size = first_size + second_size
    squares = step * (first_size * second_size / size)
    squares *= step
    squares += earlier[2]
    squares += later[2]
    step *= second_size / size
    step += earlier[1]
    return earlier[0], step, squares


def _merge_pairs(first: Pieces, first_size: int, second: Pieces, second_size: int) -> Pieces:
    """First values, means less the first values, sums of squares and of products about the means."""
    later = tuple(a[first_size:] for a in second)
    size = first_size + second_size
    return _merge_two(first, later, second_size / size, first_size * second_size / size)


def _merge_counted_pairs(first: Pieces, first_size: int, second: Pieces, second_size: int) -> Pieces:
    """Pieces that hold fewer pairs than rows: where all rows count, bit for bit what :func:`_merge_pairs` gives."""
    later = tuple(a[first_size:] for a in second)
    earlier_count, later_count = first[7][: len(later[7])], later[7]
    count = earlier_count + later_count
    least = np.maximum(count, 1.0)
    return (*_merge_two(first, later, later_count / least, earlier_count * later_count / least), count)


def _merge_two(first: Pieces, later: Pieces, share: Array | float, weight: Array | float) -> Pieces:
    first_x, first_y, mean_x, mean_y, xx, yy, xy = (a[: len(later[0])] for a in first[:7])
    step_x = _step(first_x, mean_x, later[0], later[2])
    step_y = _step(first_y, mean_y, later[1], later[3])
    both_yy = step_y * weight
    both_xy = both_yy * step_x
    both_yy *= step_y
    both_xx = step_x * weight
    both_xx *= step_x
    for both, one, other in ((both_xx, xx, later[4]), (both_yy, yy, later[5]), (both_xy, xy, later[6])):
        both += one
        both += other
    for step, mean in ((step_x, mean_x), (step_y, mean_y)):
        step *= share
        step += mean
    return first_x, first_y, step_x, step_y, both_xx, both_yy, both_xy


def _step(first: Array, mean: Array, later_first: Array, later_mean: Array) -> Array:
    """From the mean of one piece to that of the next."""
    step = later_first - first
    step += later_mean
    step -= mean
    return step
