"""Straight lines through moving windows, and correlations within them, merged from halves.

Like everything that :mod:`~huracan.preprocessing.window_merging` puts together they depend on their window only, to the last
bit, lose no digits to the level of the price, and are the same bar by bar. Every function takes float64 series in time order
and gives one value per row, NaN until its window is full.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from huracan.preprocessing.tracing import Traced
from huracan.preprocessing.window_merging import (
    Array,
    Pieces,
    last_row,
    mean_step,
    merged,
    moments_of_both,
    over_windows,
    total,
)

__all__ = ["window_correlation", "window_regression"]


def window_regression(x: Array, window: int) -> tuple[Array, ...]:
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
    times = window * (window * window - 1) / 12.0  # squares of the bars' numbers about their mean

    def line(x: Any) -> Pieces:
        first, mean, squares, along = merged((x, 0.0, 0.0, 0.0), window, _merge_lines)
        slope = along / times
        residual = (last_row(x, window) - first) - (mean + slope * ((window - 1) / 2.0))
        return first + mean, np.sqrt(squares / (window - 1.0)), slope, slope * along / squares, residual

    return over_windows(line, window, x)


def window_correlation(x: Array, y: Array, window: int, *, skip_missing: bool = False) -> Array:
    """Correlation of the pairs in the last ``window`` rows; NaN where one side is the same in all of them.

    A pair of which one is NaN makes the correlation NaN; with ``skip_missing`` it is left out, and the correlation is NaN where
    fewer than two pairs are left.

    >>> up = np.array([1.0, 2.0, 3.0, np.nan, 9.0])
    >>> window_correlation(up, np.array([3.0, 2.0, 1.0, 0.0, 0.0]), 3, skip_missing=True).round(3)
    array([nan, nan, -1., -1., -1.])
    """

    def correlation(x: Any, y: Any) -> Pieces:
        *_, xx, yy, xy = merged((x, 0.0, y, 0.0, 0.0, 0.0, 0.0), window, _merge_pairs)
        return (_correlation(xx, yy, xy),)

    def correlation_of_known(x: Any, y: Any) -> Pieces:
        missing = np.isnan(x) | np.isnan(y)
        if not isinstance(missing, Traced) and not missing.any():
            return correlation(x, y)  # the same to the bit
        known = np.where(missing, 0.0, 1.0)
        single = (np.where(missing, 0.0, x), 0.0, np.where(missing, 0.0, y), 0.0, 0.0, 0.0, 0.0, known)
        *_, xx, yy, xy, _ = merged(single, window, _merge_known_pairs)
        return (_correlation(xx, yy, xy),)

    (found,) = over_windows(correlation_of_known if skip_missing else correlation, window, x, y)
    return found


def _correlation(xx: Any, yy: Any, xy: Any) -> Any:
    return np.clip(xy / np.sqrt(xx * yy), -1.0, 1.0)


def _merge_lines(earlier: Pieces, earlier_rows: int, later: Pieces, later_rows: int) -> Pieces:
    """Moments, and the products with time; the means of two neighbours are half their rows apart."""
    step = mean_step(earlier, later)
    along = total(step * (earlier_rows * later_rows / 2.0), earlier[3], later[3])
    return (*moments_of_both(earlier, earlier_rows, later, later_rows, step), along)


def _merge_pairs(earlier: Pieces, earlier_rows: int, later: Pieces, later_rows: int) -> Pieces:
    """First value and mean less the first value of both sides, sums of squares and of products about the means."""
    rows = earlier_rows + later_rows
    return _merge_two(earlier, later, later_rows / rows, earlier_rows * later_rows / rows)


def _merge_known_pairs(earlier: Pieces, earlier_rows: int, later: Pieces, later_rows: int) -> Pieces:
    """Pieces that hold fewer pairs than rows, and how many."""
    count = earlier[7] + later[7]
    least = np.maximum(count, 1.0)
    return (*_merge_two(earlier, later, later[7] / least, earlier[7] * later[7] / least), count)


def _merge_two(earlier: Pieces, later: Pieces, share: Any, weight: Any) -> Pieces:
    step_x, step_y = mean_step(earlier[:2], later[:2]), mean_step(earlier[2:4], later[2:4])
    weighted = step_x * weight
    return (
        earlier[0],
        total(step_x * share, earlier[1]),
        earlier[2],
        total(step_y * share, earlier[3]),
        total(weighted * step_x, earlier[4], later[4]),
        total(step_y * weight * step_y, earlier[5], later[5]),
        total(weighted * step_y, earlier[6], later[6]),
    )
