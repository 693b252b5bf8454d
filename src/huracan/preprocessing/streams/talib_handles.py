"""TA-Lib bar by bar: its own handles, which give the bits of its batch functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import talib
import talib.stream

from huracan.preprocessing.rolling import Array
from huracan.preprocessing.streams.register import stream_for
from huracan.preprocessing.ta import ta, ta_lookback, ta_outputs

__all__ = ["TalibStream"]


@stream_for(ta)
class TalibStream:
    """A handle of TA-Lib, and until there are bars enough to open one, the bars so far.

    A value that is no finite number ends what came before: as :func:`~huracan.preprocessing.ta.ta` does in batch, the
    function begins anew after it. ``update_finite`` is for values that are known to be finite; once ``waiting`` is over it
    is the handle's own function.
    """

    def __init__(self, function: str, **parameters: Any) -> None:
        self._open: Callable[..., Any] = getattr(talib.stream, function)
        self._parameters = parameters
        self._needed = ta_lookback(function, **parameters) + 1
        count = ta_outputs(function)
        self._nothing: Any = float("nan") if count == 1 else (float("nan"),) * count
        self._bars: list[list[float]] = []

    def open(self, *history: Array) -> None:
        """Open a handle on what follows the last value that is not finite."""
        broken = np.flatnonzero(~np.logical_and.reduce([np.isfinite(x) for x in history]))
        start = int(broken[-1]) + 1 if len(broken) else 0
        self._begin([x[start:] for x in history])

    def update(self, *values: float) -> Any:
        """Take a bar that may hold NaN."""
        for x in values:
            if x - x != 0.0:
                self._begin([np.empty(0) for _ in values])
                return self._nothing
        return self.update_finite(*values)

    def _begin(self, history: list[Array]) -> Any:
        handle = None
        if len(history[0]) >= self._needed:
            try:
                handle = self._open(*(np.ascontiguousarray(x) for x in history), **self._parameters)
            except talib.InsufficientHistory:  # some functions need a few bars more than they say
                handle = None
        self.waiting = handle is None
        self.update_finite = self._collect if handle is None else handle.update
        self._bars = [x.tolist() for x in history] if handle is None else []
        return self._nothing if handle is None else handle.value

    def _collect(self, *values: float) -> Any:
        if not self.waiting:
            return self.update_finite(*values)
        for bars, x in zip(self._bars, values, strict=True):
            bars.append(x)
        if len(self._bars[0]) < self._needed:
            return self._nothing
        return self._begin([np.array(bars) for bars in self._bars])
