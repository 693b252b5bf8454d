"""Earlier values, the first value, the largest so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from huracan.preprocessing.rolling import Array, first_value, lag, running_max
from huracan.preprocessing.streams.lines import Lines, LineStream
from huracan.preprocessing.streams.register import stream_for

__all__ = ["FirstValue", "Lag", "RunningMax"]


@stream_for(lag)
class Lag(LineStream):
    """The value some bars earlier."""

    @classmethod
    def lines(cls, bars: int) -> Lines:
        """Look it up."""
        return Lines("{out} = {old}" if bars else "{out} = {x}", bars)

    def take_state(self, x: Array) -> tuple[Any, ...]:
        """Nothing but the values themselves."""
        return ()


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
class RunningMax(LineStream):
    """The largest value so far, NaN until there is one."""

    @classmethod
    def lines(cls) -> Lines:
        """Keep the larger."""
        return Lines(
            "if {x} > {largest} or {largest} != {largest}:\n    {largest} = {x}\n{out} = {largest}", state=("largest",)
        )

    def take_state(self, x: Array) -> tuple[Any, ...]:
        """The largest of the history."""
        known = x[~np.isnan(x)]
        return (float(known.max()) if len(known) else float("nan"),)
