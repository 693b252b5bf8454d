"""Earlier values, the first value, the largest so far."""

from __future__ import annotations

import numpy as np

from huracan.preprocessing.rolling import Array, first_value, lag, running_max
from huracan.preprocessing.streams.register import last_values, stream_for

__all__ = ["FirstValue", "Lag", "RunningMax"]


@stream_for(lag)
class Lag:
    """The value some bars earlier."""

    def __init__(self, bars: int) -> None:
        self.bars = bars

    def open(self, x: Array) -> None:
        """Start from the last values."""
        ring = last_values(x, self.bars)
        last, at = self.bars - 1, 0

        def update(x: float) -> float:
            nonlocal at
            old = ring[at]
            ring[at] = x
            at = at + 1 if at < last else 0
            return old

        self.update = update if self.bars else float


@stream_for(first_value)
class FirstValue:
    """The value of the first bar."""

    def open(self, x: Array) -> None:
        """Remember it, if it has been."""
        first = float(x[0]) if len(x) else None

        def update(x: float) -> float:
            nonlocal first
            if first is None:
                first = x
            return first

        self.update = update


@stream_for(running_max)
class RunningMax:
    """The largest value so far, NaN until there is one."""

    def open(self, x: Array) -> None:
        """Start from the largest of the history."""
        known = x[~np.isnan(x)]
        largest = float(known.max()) if len(known) else float("nan")

        def update(x: float) -> float:
            nonlocal largest
            if x > largest or largest != largest:
                largest = x
            return largest

        self.update = update
