"""Quantiles, rank and place of the extremes of moving windows, from the values themselves: every bit is batch's."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable

from huracan.preprocessing.rolling import Array
from huracan.preprocessing.streams.register import last_values, stream_for
from huracan.preprocessing.window_order import (
    quantile_place,
    window_argmax,
    window_argmin,
    window_quantiles,
    window_rank,
)

__all__ = ["WindowArgmax", "WindowArgmin", "WindowQuantiles", "WindowRank"]

_NAN = float("nan")


@stream_for(window_quantiles)
class WindowQuantiles:
    """Quantiles of a window, from a sorted list of its values."""

    def __init__(self, window: int, *shares: float) -> None:
        self.window = window
        self.shares = shares

    def open(self, x: Array) -> None:
        """Start from the last window."""
        step, order = _in_order(last_values(x, self.window), self.window)
        places = [quantile_place(self.window, share) for share in self.shares]
        undefined = (_NAN,) * len(places)

        def update(x: float) -> tuple[float, ...]:
            if not step(x):
                return undefined
            return tuple([order[low] + (order[high] - order[low]) * beyond for low, high, beyond in places])

        self.update: Callable[[float], float | tuple[float, ...]] = update
        if len(places) == 1:
            self.update = lambda x: update(x)[0]


@stream_for(window_rank)
class WindowRank:
    """Rank within a window as a share, from a sorted list of its values."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Start from the last window."""
        window = self.window
        step, order = _in_order(last_values(x, window), window)

        def update(x: float) -> float:
            if not step(x):
                return _NAN
            below = bisect_left(order, x)
            return (0.5 * (below + bisect_right(order, x, below) - 1) + 1.0) / window

        self.update = update


@stream_for(window_argmax)
class WindowArgmax:
    """Place of the largest value of a window."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Start from the last window."""
        self.update = _largest_place(last_values(x, self.window), self.window, 1.0)


@stream_for(window_argmin)
class WindowArgmin:
    """Place of the smallest value of a window."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Start from the last window."""
        self.update = _largest_place(last_values(x, self.window), self.window, -1.0)


def _in_order(ring: list[float], window: int) -> tuple[Callable[[float], bool], list[float]]:
    """A step that takes the next value and says whether the window is full of numbers, and the numbers, always sorted."""
    order = sorted(value for value in ring if value == value)
    last, at = window - 1, 0

    def step(x: float) -> bool:
        nonlocal at
        old = ring[at]
        ring[at] = x
        at = at + 1 if at < last else 0
        if old == old:
            del order[bisect_left(order, old)]
        if x == x:
            insort(order, x)
        return len(order) == window

    return step, order


def _largest_place(past: list[float], window: int, sign: float) -> Callable[[float], float]:
    """Values that a later one exceeds are dropped, so that the largest, of equal ones the oldest, is always the first."""
    values: deque[float] = deque()
    leaves: deque[int] = deque()
    bar, whole = 0, 0  # `whole`: the bar from which on the window holds no NaN

    def update(x: float) -> float:
        nonlocal bar, whole
        bar += 1
        if leaves and leaves[0] == bar:
            leaves.popleft()
            values.popleft()
        if x != x:
            whole = bar + window
            return _NAN
        x *= sign
        while values and values[-1] < x:
            values.pop()
            leaves.pop()
        values.append(x)
        leaves.append(bar + window)
        return float(leaves[0] - bar) if bar >= whole else _NAN

    for x in past:
        update(x)
    return update
