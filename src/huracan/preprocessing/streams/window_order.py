"""Quantiles, rank and place of the extremes of moving windows, from the values themselves: every bit is batch's."""

from __future__ import annotations

from collections.abc import Callable

from huracan.preprocessing.rolling import Array
from huracan.preprocessing.streams.orders import extreme_stream, in_order, twice_below_stream
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
        step, order = in_order(last_values(x, self.window), self.window)
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
        twice, window = twice_below_stream(last_values(x, self.window), self.window), self.window
        self.update: Callable[[float], float] = lambda x: (0.5 * twice(x) + 1.0) / window


@stream_for(window_argmax)
class WindowArgmax:
    """Place of the largest value of a window."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Start from the last window."""
        self.update = extreme_stream(last_values(x, self.window), self.window, 1.0, place=True)


@stream_for(window_argmin)
class WindowArgmin:
    """Place of the smallest value of a window."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Start from the last window."""
        self.update = extreme_stream(last_values(x, self.window), self.window, -1.0, place=True)
