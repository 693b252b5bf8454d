"""Sums, deviations, straight lines and correlations of moving windows, put together from halves.

A window of 8 is two windows of 4, each of which is two of 2; one of 10 is one of 2 and one of 8. So every window of a series
is merged from a few neighbours, for all rows at once, in ``log2(window)`` passes. Nothing is ever subtracted from a running
sum, which buys four things that sliding sums do not have:

* a value depends on its window only, to the last bit, wherever the series begins and whatever happened before it;
* a NaN is felt in the windows that hold it and nowhere else;
* squares are summed about the means of the pieces (Chan, Golub & LeVeque, *Algorithms for computing the sample variance*,
  American Statistician 37, 1983), so that a deviation of a millionth of the price is still exact to ten digits;
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
    mean, squares = _merged((x, np.zeros(len(x)) * x), window, _merge_moments)
    return _in_place(mean, len(x)), _in_place(np.sqrt(squares / (window - 1)), len(x))


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
    mean, squares, along = _merged((x, nothing, nothing), window, _merge_lines)
    times = window * (window * window - 1) / 12.0  # squares of the bars' numbers about their mean
    slope = along / times
    explained = slope * along
    with np.errstate(invalid="ignore"):
        explained /= squares  # 0 / 0 where nothing moved
    residual = x[window - 1 :] - (mean + slope * ((window - 1) / 2.0))
    return tuple(_in_place(a, len(x)) for a in (mean, np.sqrt(squares / (window - 1)), slope, explained, residual))


@operation
def window_correlation(x: Array, y: Array, window: int) -> Array:
    """Correlation of the pairs in the last ``window`` rows.

    A pair of which one is NaN is left out. NaN where fewer than two pairs are left, or one side is the same in all of them.

    >>> up = np.array([1.0, 2.0, 3.0, np.nan, 9.0])
    >>> window_correlation(up, np.array([3.0, 2.0, 1.0, 0.0, 0.0]), 3).round(3)
    array([nan, nan, -1., -1., -1.])
    """
    missing = np.isnan(x) | np.isnan(y)
    if missing.any():
        x, y = np.where(missing, 0.0, x), np.where(missing, 0.0, y)
        nothing = np.zeros(len(x))
        state = _merged((x, y, nothing, nothing, nothing, np.where(missing, 0.0, 1.0)), window, _merge_counted_pairs)
    else:
        nothing = np.zeros(len(x))
        state = _merged((x, y, nothing, nothing, nothing), window, _merge_pairs)
    xx, yy, xy = state[2:5]
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
    size = first_size + second_size
    later_mean, later_squares = (a[first_size:] for a in second)
    mean, squares = (a[: len(later_mean)] for a in first)
    step = later_mean - mean
    both = step * (first_size * second_size / size)
    both *= step
    both += squares
    both += later_squares
    step *= second_size / size
    step += mean
    return step, both


def _merge_lines(first: Pieces, first_size: int, second: Pieces, second_size: int) -> Pieces:
    """Also the products with time; the means of two neighbours are half their sizes apart."""
    later_along = second[2][first_size:]
    along = (second[0][first_size:] - first[0][: len(later_along)]) * (first_size * second_size / 2.0)
    along += first[2][: len(later_along)]
    along += later_along
    return (*_merge_moments(first[:2], first_size, second[:2], second_size), along)


def _merge_pairs(first: Pieces, first_size: int, second: Pieces, second_size: int) -> Pieces:
    size = first_size + second_size
    return _merge_two(first, tuple(a[first_size:] for a in second), second_size / size, first_size * second_size / size)


def _merge_counted_pairs(first: Pieces, first_size: int, second: Pieces, second_size: int) -> Pieces:
    """Pieces that hold fewer pairs than rows: where all rows count, bit for bit what :func:`_merge_pairs` gives."""
    later = tuple(a[first_size:] for a in second)
    earlier = tuple(a[: len(later[0])] for a in first)
    count = earlier[5] + later[5]
    least = np.maximum(count, 1.0)
    return (*_merge_two(earlier, later, later[5] / least, earlier[5] * later[5] / least), count)


def _merge_two(first: Pieces, second: Pieces, share: Array | float, weight: Array | float) -> Pieces:
    later_x, later_y, later_xx, later_yy, later_xy = second[:5]
    x, y, xx, yy, xy = (a[: len(later_x)] for a in first[:5])
    step_x, step_y = later_x - x, later_y - y
    both_yy = step_y * weight
    both_xy = both_yy * step_x
    both_yy *= step_y
    both_xx = step_x * weight
    both_xx *= step_x
    for both, one, other in ((both_xx, xx, later_xx), (both_yy, yy, later_yy), (both_xy, xy, later_xy)):
        both += one
        both += other
    for step, mean in ((step_x, x), (step_y, y)):
        step *= share
        step += mean
    return step_x, step_y, both_xx, both_yy, both_xy
