"""What a stream remembers of one symbol."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from huracan.ensembles import AdaptiveConformal
from huracan.model_info import MarketRegime
from huracan.serving.scalar_policy import RunningVolatility
from huracan.serving.served import Served

__all__ = ["RecentCandles", "SymbolState"]

_SPARE_ROWS = 64


class RecentCandles:
    """The newest candles of a symbol as flat numbers, eight bytes each: ``keep`` of them at least, twice as many at most.

    >>> recent = RecentCandles(width=2, keep=2)
    >>> for i in range(5):
    ...     recent.add(i, [0.5])
    >>> recent.table()[:, 0].tolist()
    [2.0, 3.0, 4.0]
    """

    def __init__(self, width: int, keep: int) -> None:
        self._width, self._most = width, 2 * keep * width
        self._numbers = array("d")

    def add(self, ts: int, values: Iterable[float]) -> None:
        """One candle: its open in milliseconds, and ``width - 1`` values."""
        self._numbers.append(ts)
        self._numbers.extend(values)
        if len(self._numbers) >= self._most:
            del self._numbers[: self._most // 2]

    def table(self) -> NDArray[np.float64]:
        """A copy (n, width), oldest first."""
        return np.array(self._numbers).reshape(-1, self._width)


class SymbolState:
    """Recent rows of features, recent candles, decisions, and forecasts that wait for labels.

    Attributes
    ----------
    run : rows without a missing value, up to the last. regime : at the last bar. volatility : of a bar's return.
    candles : as many as a fresh start takes. level : what scores are less. decisions : of the unbroken stretch, newest last, at
        most ``horizon``. interval : steered by the symbol's own labels, or None.
    waiting : opens of bars whose label is not known yet.
    """

    __slots__ = ("_buffer", "_stop", "candles", "decisions", "interval", "level", "regime", "run", "volatility", "waiting")

    def __init__(self, served: Served, symbol: str, *, width: int, keep_candles: int) -> None:
        rows = served.reach + served.horizon + _SPARE_ROWS
        self._buffer = np.full((2 * rows, len(served.columns)), np.nan, np.float32)
        self._stop = 0
        self.run = 0
        self.regime: MarketRegime | None = None
        self.candles = RecentCandles(width, keep_candles)
        self.volatility = RunningVolatility(served.volatility_span)
        self.serve(served, symbol, ())

    def serve(self, served: Served, symbol: str, decisions: Sequence[float]) -> None:
        """Forget what another version decided, for what this one would have."""
        self.level = served.level(symbol)
        self.decisions: deque[float] = deque(decisions, maxlen=served.horizon)
        self.interval: AdaptiveConformal | None = served.fresh_interval()
        self.waiting: deque[int] = deque()

    @property
    def capacity(self) -> int:
        """Rows that are remembered at any moment."""
        return len(self._buffer) // 2

    def restart(self) -> None:
        """A gap: no window, decision or volatility reaches across it."""
        self.run = 0
        self.decisions.clear()
        self.volatility.restart()

    def next_row(self) -> NDArray[np.float32]:
        """The place (d,) of the next row, to be written into."""
        if self._stop == len(self._buffer):
            half = len(self._buffer) // 2
            self._buffer[:half] = self._buffer[half:]
            self._stop = half
        self._stop += 1
        return self._buffer[self._stop - 1]

    def last_rows(self, n: int) -> NDArray[np.float32]:
        """The newest n rows (n, d)."""
        return self._buffer[self._stop - n : self._stop]
