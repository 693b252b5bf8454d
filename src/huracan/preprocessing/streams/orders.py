"""Largest, smallest and rank within a window, from the values themselves: nothing accumulates, every bit is batch's."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable

from huracan.preprocessing.rolling import Array, rolling_max, rolling_min, rolling_rank
from huracan.preprocessing.streams.lines import Lines
from huracan.preprocessing.streams.register import last_values, stream_for

__all__ = ["RollingMax", "RollingMin", "RollingRank", "extreme_stream", "in_order", "twice_below_stream"]

_NAN = float("nan")
_LONG = 256
"""Windows up to which looking through all values, when the extreme one has left, is quicker than keeping them in order."""


@stream_for(rolling_max)
class RollingMax:
    """Largest value of a window: values that a later one exceeds are dropped, so that the largest is always the first."""

    def __init__(self, window: int) -> None:
        self.window = window

    @classmethod
    def finite_lines(cls, window: int) -> Lines | None:
        """For values that are never NaN: keep the largest, and look for the next one when it has left the window."""
        return _extreme_lines(window, ">=", "largest_of", _largest_of) if window <= _LONG else None

    def open(self, x: Array) -> None:
        """Start from the last window."""
        past = x[-self.window :].tolist() if len(x) else [-math.inf]
        self.state = (*_extreme_of(past, max, len(x) - 1),)
        self.update = extreme_stream(last_values(x, self.window), self.window, 1.0, place=False)


@stream_for(rolling_min)
class RollingMin:
    """Smallest value of a window."""

    def __init__(self, window: int) -> None:
        self.window = window

    @classmethod
    def finite_lines(cls, window: int) -> Lines | None:
        """As for the largest."""
        return _extreme_lines(window, "<=", "smallest_of", _smallest_of) if window <= _LONG else None

    def open(self, x: Array) -> None:
        """Start from the last window."""
        past = x[-self.window :].tolist() if len(x) else [math.inf]
        self.state = (*_extreme_of(past, min, len(x) - 1),)
        self.update = extreme_stream(last_values(x, self.window), self.window, -1.0, place=False)


def _extreme_lines(window: int, beats: str, word: str, search: Callable[..., tuple[float, int]]) -> Lines:
    text = (
        f"if {{x}} {beats} {{best}}:\n"
        "    {best}, {since} = {x}, {row}\n"
        f"elif {{since}} <= {{row}} - {window}:\n"
        f"    {{best}}, {{since}} = {word}({{ring}}, {{place}}, {{row}}, {window})\n"
        f"{{out}} = {{best}} if {{row}} >= {window - 1} else nan"
    )
    return Lines(text, window - 1, ("best", "since"), {word: search})


def _extreme_of(past: list[float], extreme: Callable[[list[float]], float], row: int) -> tuple[float, int]:
    """The extreme value, and the row of its latest occurrence; ``row`` is that of the last value."""
    best = extreme(past)
    past.reverse()
    return best, row - past.index(best) if best in past else row


def _recent(ring: list[float], place: int, window: int) -> list[float]:
    start = place - window + 1
    return ring[start : place + 1] if start >= 0 else ring[start:] + ring[: place + 1]


def _largest_of(ring: list[float], place: int, row: int, window: int) -> tuple[float, int]:
    return _extreme_of(_recent(ring, place, window), max, row)


def _smallest_of(ring: list[float], place: int, row: int, window: int) -> tuple[float, int]:
    return _extreme_of(_recent(ring, place, window), min, row)


def extreme_stream(past: list[float], window: int, sign: float, *, place: bool) -> Callable[[float], float]:
    """Largest (``sign`` 1) or smallest (-1) value of a window, or where it stands, 1 for the oldest; of equal ones the oldest.

    Values that a later one exceeds are dropped, so that the largest is always the first.
    """
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
        if bar < whole:
            return _NAN
        return float(leaves[0] - bar) if place else sign * values[0]

    for x in past:
        update(x)
    return update


def in_order(ring: list[float], window: int) -> tuple[Callable[[float], bool], list[float]]:
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


def twice_below_stream(ring: list[float], window: int) -> Callable[[float], float]:
    """How many of a window lie below its last value, twice, those equal to it once; NaN while one of them is NaN."""
    step, order = in_order(ring, window)

    def update(x: float) -> float:
        if not step(x):
            return _NAN
        below = bisect_left(order, x)
        return below + bisect_right(order, x, below) - 1.0

    return update


@stream_for(rolling_rank)
class RollingRank:
    """Rank within a window, from a sorted list of its values."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Start from the last window."""
        twice, window = twice_below_stream(last_values(x, self.window), self.window), self.window
        others, middle = max(window - 1, 1), min(window - 1, 1)
        self.update: Callable[[float], float] = lambda x: twice(x) / others - middle
