"""Rolling median and median absolute deviation: exact, and fast enough for minutes.

In a sorted window the values nearest to the median stand together, so the median absolute deviation is the smallest reach
over all runs of half the window. No approximation by the median of rolling deviations, whose medians differ row by row.
"""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from huracan.preprocessing.rolling import Array, ratio
from huracan.preprocessing.tracing import operation

__all__ = ["SortedWindow", "rolling_mad_score", "rolling_median_and_spread"]

NORMAL_MAD = 1.482602218505602
"""Standard deviation over median absolute deviation of a normal: ``1 / normal quantile(3/4)``."""
NORMAL_MEAN_DEVIATION = 1.2533141373155001
"""Standard deviation over mean absolute deviation of a normal: ``sqrt(pi / 2)``."""

_ROUNDING = 1e-12
"""A deviation below this share of the window's range is what rounding has made of 0."""
_SORTED_WHOLE = 256
"""Longest window that is sorted anew for every row; longer ones are kept sorted from row to row."""
_BLOCK = 1 << 16
_NAN, _INFINITE = float("nan"), float("inf")


def rolling_mad_score(x: Array, window: int) -> Array:
    """Distance from the median of the last ``window`` values, this one included, per robust standard deviation of them.

    ``(x - median) / (1.4826 MAD)``: no outlier moves it, as long as fewer than half of the values are outliers. Where more
    than half of the values are equal MAD is 0, and the mean absolute deviation takes its place (1.2533 times it); where all
    are equal the score is 0.

    References
    ----------
    Iglewicz & Hoaglin, How to Detect and Handle Outliers (1993), for both scales.

    Examples
    --------
    >>> rolling_mad_score(np.array([1.0, 2.0, 4.0, 400.0, 400.0, 400.0]), 3).round(3)
    array([    nan,     nan,   1.349, 133.549,   0.   ,   0.   ])
    """
    median, spread = rolling_median_and_spread(x, window)
    return ratio(x - median, spread, otherwise=0.0)


@operation(outputs=2)
def rolling_median_and_spread(x: Array, window: int) -> tuple[Array, Array]:
    """Median and robust standard deviation of the last ``window`` values; NaN while one of them is not finite.

    The second is 1.4826 times the median absolute deviation from the median; where that is 0 (below 1e-12 of the window's
    range, which is rounding) 1.2533 times the mean absolute deviation from the median, and 0 where all values are equal.

    >>> rolling_median_and_spread(np.array([1.0, 2.0, 4.0, 4.0]), 3)
    (array([nan, nan,  2.,  4.]), array([       nan,        nan, 1.48260222, 0.83554276]))
    """
    median, spread = np.full(len(x), np.nan), np.full(len(x), np.nan)
    if window <= len(x):
        by_sorting = _by_sorting if window <= _SORTED_WHOLE else _by_keeping_sorted
        by_sorting(np.where(np.isfinite(x), x, np.nan), window, median[window - 1 :], spread[window - 1 :])
    return median, spread


def _by_sorting(x: Array, window: int, median: Array, spread: Array) -> None:
    """Sort every window, in blocks that stay in the cache; NaN sorts to the end of its window."""
    windows = sliding_window_view(x, window)
    rows = max(1, _BLOCK // window)
    low, high = (window - 1) // 2, window // 2
    for start in range(0, len(windows), rows):
        ordered = np.ascontiguousarray(np.sort(windows[start : start + rows], axis=1).T)
        middle = 0.5 * (ordered[low] + ordered[high])
        below, above = middle - ordered, ordered - middle
        deviation = _reach(below, above, high + 1)
        if low != high:
            deviation = 0.5 * (_reach(below, above, high) + deviation)
        median[start : start + rows] = middle
        scale = NORMAL_MAD * deviation
        none = np.flatnonzero(deviation <= _ROUNDING * (ordered[-1] - ordered[0]))
        if len(none):
            scale[none] = NORMAL_MEAN_DEVIATION * np.abs(below[:, none]).mean(axis=0)
        spread[start : start + rows] = scale
        unknown = np.isnan(ordered[-1])
        median[start : start + rows][unknown] = spread[start : start + rows][unknown] = np.nan


def _reach(below: Array, above: Array, count: int) -> Array:
    """How far from the middle the nearest ``count`` values reach, for each column of a sorted table."""
    last = len(below) - count
    return np.maximum(below[: last + 1], above[count - 1 :]).min(axis=0)


def _by_keeping_sorted(x: Array, window: int, median: Array, spread: Array) -> None:
    kept = SortedWindow(x[: window - 1], window)
    for row, value in enumerate(x[window - 1 :].tolist()):
        median[row], spread[row] = kept.update(value)


class SortedWindow:
    """The last ``window`` values in order of size, renewed value by value; the search for the spread goes on where it ended.

    >>> kept = SortedWindow(np.array([1.0, 2.0]), 3)
    >>> kept.update(4.0)
    (2.0, 1.482602218505602)
    """

    def __init__(self, history: Array, window: int) -> None:
        recent: list[float] = [v if v - v == 0.0 else _NAN for v in history[max(0, len(history) - window) :].tolist()]
        self.ring = [_NAN] * (window - len(recent)) + recent
        self.at = 0
        self.ordered = sorted(v for v in self.ring if v == v)
        self.first = 0
        """Where the run of half the window that lies nearest to the median began."""

    def update(self, value: float) -> tuple[float, float]:
        """Take the next value; median and spread of the last ``window``, NaN while one of them is not finite."""
        ring, ordered, at = self.ring, self.ordered, self.at
        size, old = len(ring), ring[at]
        if old == old:
            del ordered[bisect_left(ordered, old)]
        if value - value == 0.0:
            insort(ordered, value)
            ring[at] = value
        else:
            ring[at] = _NAN
        self.at = at + 1 if at + 1 < size else 0
        if len(ordered) < size:
            return _NAN, _NAN
        half = size >> 1
        if size & 1:
            median = ordered[half]
            deviation = self._reach(median, half + 1)
        else:
            median = 0.5 * (ordered[half - 1] + ordered[half])
            reach = self._reach(median, half)
            above, below = self.first + half, self.first - 1
            further = ordered[above] - median if above < size else _INFINITE
            if below >= 0 and median - ordered[below] < further:
                further = median - ordered[below]
            deviation = 0.5 * (reach + further)
        if deviation <= _ROUNDING * (ordered[-1] - ordered[0]):
            return median, NORMAL_MEAN_DEVIATION * (sum(abs(v - median) for v in ordered) / size)
        return median, NORMAL_MAD * deviation

    def _reach(self, median: float, count: int) -> float:
        """How far from the median the nearest ``count`` values reach; they stand together from ``first`` on."""
        ordered, first = self.ordered, self.first
        up, down = ordered[first + count - 1] - median, median - ordered[first]
        if up < down:
            last = len(ordered) - count
            while up < down and first < last:
                first += 1
                up, down = ordered[first + count - 1] - median, median - ordered[first]
        else:
            while first:
                nearer, further = ordered[first + count - 2] - median, median - ordered[first - 1]
                if nearer < further:
                    break
                first, up, down = first - 1, nearer, further
        reach = up if up > down else down
        # upwards this is the first run that reaches at least as far up as down; the one before it may still reach less far
        if first and median - ordered[first - 1] <= reach:
            first -= 1
            reach = median - ordered[first]
        self.first = first
        return reach
