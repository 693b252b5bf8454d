"""Sums, deviations, straight lines and correlations of moving windows, bar by bar.

The bars come in blocks as long as the window, so that a window is the end of the last block and the beginning of the
present one. Sums over every end are made once, when a block is complete; sums over the beginning grow by one bar at a time.
As in batch nothing is ever subtracted from a running sum. Values are taken less the first of the present block, which lies
in every window that ends there: differences are then no larger than the window's own range, and squares lose no digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate

from huracan.preprocessing.rolling import Array
from huracan.preprocessing.streams.register import last_values, stream_for
from huracan.preprocessing.window_moments import window_correlation, window_moments, window_regression, window_sum

__all__ = ["WindowCorrelation", "WindowMoments", "WindowRegression", "WindowSum"]

_NAN = float("nan")


@stream_for(window_sum)
class WindowSum:
    """Sum over a window."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Take the last window for a complete block."""
        window = self.window
        block = last_values(x, window)
        ends: list[float] = []
        total, at = 0.0, window

        def update(x: float) -> float:
            nonlocal ends, total, at
            if at == window:
                ends = list(accumulate(reversed(block), initial=0.0))
                total, at = 0.0, 0
            block[at] = x
            at += 1
            total += x
            return total + ends[window - at]

        self.update = update


@stream_for(window_moments)
class WindowMoments:
    """Mean and standard deviation over a window."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Take the last window for a complete block."""
        window = self.window
        block = last_values(x, window)
        ends: list[float] = []
        square_ends: list[float] = []
        centre, total, squares, at, freedom, sqrt = 0.0, 0.0, 0.0, window, window - 1.0, math.sqrt

        def update(x: float) -> tuple[float, float]:
            nonlocal ends, square_ends, centre, total, squares, at
            if at == window:
                centre = x
                steps = [value - x for value in reversed(block)]
                ends = list(accumulate(steps, initial=0.0))
                square_ends = list(accumulate([step * step for step in steps], initial=0.0))
                total, squares, at = 0.0, 0.0, 0
            block[at] = x
            at += 1
            step = x - centre
            total += step
            squares += step * step
            left = window - at
            whole = total + ends[left]
            spread = squares + square_ends[left] - whole * whole / window
            return centre + whole / window, sqrt(spread / freedom) if spread > 0.0 else 0.0 * spread

        self.update = update


@stream_for(window_regression)
class WindowRegression:
    """The straight line through a window: mean, standard deviation, slope, share explained and last residual."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Take the last window for a complete block."""
        window = self.window
        block = last_values(x, window)
        ends: list[float] = []
        square_ends: list[float] = []
        along_ends: list[float] = []
        centre, total, squares, along, at, sqrt = 0.0, 0.0, 0.0, 0.0, window, math.sqrt
        freedom, half, times = window - 1.0, (window - 1) / 2.0, window * (window * window - 1) / 12.0

        def update(x: float) -> tuple[float, float, float, float, float]:
            nonlocal ends, square_ends, along_ends, centre, total, squares, along, at
            if at == window:
                centre = x
                steps = [value - x for value in reversed(block)]
                ends = list(accumulate(steps, initial=0.0))
                square_ends = list(accumulate([step * step for step in steps], initial=0.0))
                along_ends = list(accumulate([-bars * step for bars, step in enumerate(steps, 1)], initial=0.0))
                total, squares, along, at = 0.0, 0.0, 0.0, 0
            block[at] = x
            step = x - centre
            total += step
            squares += step * step
            along += at * step  # time is counted from the first bar of the block
            at += 1
            left = window - at
            whole = total + ends[left]
            mean = whole / window
            spread = squares + square_ends[left] - whole * mean
            product = along + along_ends[left] - (at - 1 - half) * whole
            slope = product / times
            residual = step - mean - slope * half
            if spread > 0.0:
                return centre + mean, sqrt(spread / freedom), slope, slope * product / spread, residual
            return centre + mean, 0.0 * spread, slope, _NAN, residual

        self.update = update


@stream_for(window_correlation)
class WindowCorrelation:
    """Correlation of the pairs in a window, incomplete pairs left out."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array, y: Array) -> None:
        """Take the last window for a complete block."""
        self.update = _correlating(last_values(x, self.window), last_values(y, self.window), self.window, len(x))


def _correlating(xs: list[float], ys: list[float], window: int, seen: int) -> Callable[[float, float], float]:
    ends: list[tuple[float, ...]] = []
    count, sum_x, sum_y, sum_xx, sum_yy, sum_xy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    centre_x, centre_y, at, sqrt = _NAN, _NAN, window, math.sqrt

    def update(x: float, y: float) -> float:
        nonlocal ends, centre_x, centre_y, at, seen, count, sum_x, sum_y, sum_xx, sum_yy, sum_xy
        if at == window:
            centre_x, centre_y = _first_complete(x, y, xs, ys)
            ends = _sums_of_ends(xs, ys, centre_x, centre_y)
            count, sum_x, sum_y, sum_xx, sum_yy, sum_xy, at = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0
        xs[at], ys[at] = x, y
        if x == x and y == y:
            if at and not count:  # the block began with incomplete pairs; this one lies in all of its windows to come
                centre_x, centre_y = x, y
                ends = _sums_of_ends(xs, ys, x, y)
            step_x, step_y = x - centre_x, y - centre_y
            count += 1.0
            sum_x += step_x
            sum_y += step_y
            sum_xx += step_x * step_x
            sum_yy += step_y * step_y
            sum_xy += step_x * step_y
        at += 1
        seen += 1
        before, before_x, before_y, before_xx, before_yy, before_xy = ends[window - at]
        pairs = count + before
        if pairs < 2.0 or seen < window:
            return _NAN
        whole_x, whole_y, whole_xx, whole_yy = sum_x + before_x, sum_y + before_y, sum_xx + before_xx, sum_yy + before_yy
        xx, yy = whole_xx - whole_x * whole_x / pairs, whole_yy - whole_y * whole_y / pairs
        if not (xx > 0.0 and yy > 0.0):
            return _NAN
        found = (sum_xy + before_xy - whole_x * whole_y / pairs) / sqrt(xx * yy)
        return 1.0 if found > 1.0 else -1.0 if found < -1.0 else found

    return update


def _first_complete(x: float, y: float, xs: list[float], ys: list[float]) -> tuple[float, float]:
    """The first pair of a new block, or where that is incomplete the last complete one before it: it lies in every window."""
    pairs = ((x, y), *zip(reversed(xs), reversed(ys)))
    return next(((a, b) for a, b in pairs if a == a and b == b), (_NAN, _NAN))


def _sums_of_ends(xs: list[float], ys: list[float], centre_x: float, centre_y: float) -> list[tuple[float, ...]]:
    """Count, sums, squares and products of the last 0, 1, 2... complete pairs, less the centre."""
    count, sum_x, sum_y, sum_xx, sum_yy, sum_xy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    ends: list[tuple[float, ...]] = [(count, sum_x, sum_y, sum_xx, sum_yy, sum_xy)]
    for x, y in zip(reversed(xs), reversed(ys)):
        step_x, step_y = x - centre_x, y - centre_y
        if step_x == step_x and step_y == step_y:
            count += 1.0
            sum_x += step_x
            sum_y += step_y
            sum_xx += step_x * step_x
            sum_yy += step_y * step_y
            sum_xy += step_x * step_y
        ends.append((count, sum_x, sum_y, sum_xx, sum_yy, sum_xy))
    return ends
