"""Median and robust spread of a window bar by bar."""

from __future__ import annotations

from huracan.preprocessing.rolling import Array
from huracan.preprocessing.rolling_median import SortedWindow, rolling_median_and_spread
from huracan.preprocessing.streams.register import stream_for

__all__ = ["RollingMedianAndSpread"]


@stream_for(rolling_median_and_spread)
class RollingMedianAndSpread:
    """A window kept in order."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Put the last window in order."""
        self.update = SortedWindow(x, self.window).update
