"""One unbroken stretch of one symbol's candles, as the indicators see it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from huracan.preprocessing.rolling import Array, lag, ratio, rolling_sum_of_sizes

__all__ = ["Bars"]

T = TypeVar("T")


class Bars:
    """Columns of one segment as contiguous float64, with the quantities that many indicators share computed once.

    Prices are multiplied by a power of two chosen from the first close, so that they begin near a million. This changes
    no bit of any ratio, and keeps coins that cost 0.00001 clear of the absolute thresholds inside TA-Lib, below which it
    reads a movement as none. ``ts`` is the open time in milliseconds since 1970, UTC.

    Examples
    --------
    >>> bars = Bars({"close": np.array([2.0, 4.0, 2.0])})
    >>> bars.log_return.round(3)
    array([   nan,  0.693, -0.693])
    """

    def __init__(self, columns: dict[str, Array], ts: NDArray[np.int64] | None = None) -> None:
        self.length = len(next(iter(columns.values()))) if columns else (0 if ts is None else len(ts))
        self._ts = ts
        self._memory: dict[object, object] = {}
        self._columns: dict[str, Array] = {}
        scale = None
        for name, values in columns.items():
            values = np.ascontiguousarray(values, dtype=np.float64)
            if name in ("open", "high", "low", "close"):
                if scale is None:
                    anchor = columns.get("close", values)[0]
                    scale = math.ldexp(1.0, 20 - math.frexp(float(anchor))[1])
                values = values * scale
            self._columns[name] = values

    def __len__(self) -> int:
        return self.length

    def column(self, name: str) -> Array:
        """A column by name; an indicator may only ask for those it was registered with."""
        return self._columns[name]

    @property
    def ts(self) -> NDArray[np.int64]:
        """Open time of every bar, milliseconds since 1970, UTC."""
        if self._ts is None:
            raise KeyError("ts")
        return self._ts

    @property
    def open(self) -> Array:
        """Opening price, times the power of two."""
        return self._columns["open"]

    @property
    def high(self) -> Array:
        """Highest price, times the power of two."""
        return self._columns["high"]

    @property
    def low(self) -> Array:
        """Lowest price, times the power of two."""
        return self._columns["low"]

    @property
    def close(self) -> Array:
        """Closing price, times the power of two."""
        return self._columns["close"]

    @property
    def volume(self) -> Array:
        """Volume in base-coin units, as given."""
        return self._columns["volume"]

    def once(self, key: object, make: Callable[[], T]) -> T:
        """Compute a shared intermediate the first time, recall it afterwards."""
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]  # type: ignore[return-value]

    @property
    def log_return(self) -> Array:
        """Log return of each bar over the one before; NaN on the first."""
        return self.once("log_return", lambda: self.log_return_over(1))

    def log_return_over(self, horizon: int) -> Array:
        """Log return over ``horizon`` bars; NaN on the first ``horizon``."""
        return np.log(self.close / lag(self.close, horizon))

    def volatility(self, window: int) -> Array:
        """Root mean square of the last ``window`` one-bar log returns; 0 where nothing moved, NaN on the first ``window``."""

        def make() -> Array:
            squares = self.log_return * self.log_return
            return np.sqrt(rolling_sum_of_sizes(squares, window) / window)

        return self.once(("volatility", window), make)

    def per_volatility(self, move: Array, horizon: float, window: int) -> Array:
        """A log-price move in units of what ``horizon`` bars of a random walk would do; NaN where volatility is 0."""
        return ratio(move, self.volatility(window) * math.sqrt(horizon))
