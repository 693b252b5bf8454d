"""What a stream remembers of one symbol."""

from __future__ import annotations

import copy
import math
from array import array
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from huracan.ensembles import AdaptiveConformal
from huracan.ensembles.number_queue import NumberQueue
from huracan.labels.live_labels import ForwardReturn
from huracan.model_info import MarketRegime
from huracan.serving.scalar_policy import RunningVolatility
from huracan.serving.served import Served

__all__ = ["RecentCandles", "SymbolState"]

_SPARE_ROWS = 64
_OPEN = 1


class RecentCandles:
    """The newest candles of a symbol as flat numbers, eight bytes each: ``keep`` of them at least, twice as many at most.

    >>> recent = RecentCandles(width=2, keep=2)
    >>> for i in range(5):
    ...     recent.add(i, [0.5 * i])
    >>> recent.table()[:, 0].tolist(), recent.value(1, ago=1)
    ([2.0, 3.0, 4.0], 1.5)
    """

    def __init__(self, width: int, keep: int) -> None:
        self._width, self._most = width, 2 * keep * width
        self._numbers = array("d")

    def __len__(self) -> int:
        return len(self._numbers) // self._width

    def keep_at_least(self, keep: int) -> None:
        """Forget later from here on."""
        self._most = max(self._most, 2 * keep * self._width)

    def add(self, ts: int, values: Iterable[float]) -> None:
        """One candle: its open in milliseconds, and ``width - 1`` values; one that is there already is not added again."""
        if len(self._numbers) and self._numbers[-self._width] == ts:
            return
        self._numbers.append(ts)
        self._numbers.extend(values)
        if len(self._numbers) >= self._most:
            del self._numbers[: self._most // 2 // self._width * self._width]

    def value(self, column: int, *, ago: int) -> float:
        """One number of the candle so many before the last; NaN where it is not remembered."""
        at = len(self._numbers) - (ago + 1) * self._width
        return self._numbers[at + column] if at >= 0 else math.nan

    def after(self, ts: int | None) -> list[list[float]]:
        """Candles that opened later, oldest first; all of them where ``ts`` is None."""
        numbers, width, at = self._numbers, self._width, len(self._numbers)
        while at and (ts is None or numbers[at - width] > ts):
            at -= width
        return [numbers[i : i + width].tolist() for i in range(at, len(numbers), width)]

    def table(self) -> NDArray[np.float64]:
        """A copy (n, width), oldest first."""
        return np.array(self._numbers).reshape(-1, self._width)


class SymbolState:
    """Recent rows of features, recent candles, decisions, and forecasts that wait for labels.

    Attributes
    ----------
    run : rows without a missing value, up to the last. regime, code : at the last bar, by name and as the model reads it.
    volatility : of a bar's return. candles : as many as a fresh start takes. level : what scores are less.
    decisions : of the unbroken stretch, newest last, at most ``horizon``. interval : steered by the symbol's own labels, or
    None. waiting : open and volatility of bars whose label is not known yet, NaN where there was no volatility.
    """

    __slots__ = (
        *("_buffer", "_codes", "_stop", "_volatilities", "candles", "code", "decisions", "interval", "level", "regime", "run"),
        *("_most_waiting", "volatility", "waiting"),
    )

    def __init__(self, served: Served, symbol: str, *, width: int, keep_candles: int) -> None:
        rows = served.reach + served.horizon + _SPARE_ROWS
        self._buffer = np.full((2 * rows, len(served.columns)), np.nan, np.float32)
        self._codes = np.full(2 * rows, -1, np.int64)
        self._volatilities = np.full(2 * rows, np.nan)
        self._stop = 0
        self.run = 0
        self.regime: MarketRegime | None = None
        self.code = -1
        self.candles = RecentCandles(width, keep_candles)
        self.volatility = RunningVolatility(served.volatility_span)
        self.serve(served, symbol, ())

    def serve(self, served: Served, symbol: str, decisions: Sequence[float]) -> None:
        """Forget what another version decided, for what this one would have."""
        self.level = served.level(symbol)
        self.decisions: deque[float] = deque(decisions, maxlen=served.horizon)
        self.interval: AdaptiveConformal | None = served.fresh_interval()
        self.waiting, self._most_waiting = NumberQueue(width=2), served.waits

    @property
    def capacity(self) -> int:
        """Rows that are remembered at any moment."""
        return len(self._buffer) // 2

    def fork(self) -> SymbolState:
        """The same once more, to go another way; recent candles are shared, and until :meth:`serve` the interval is."""
        shared = (self.candles, self.interval, self.waiting)
        return copy.deepcopy(self, {id(one): one for one in shared})

    def restart(self) -> None:
        """A gap: no window, decision or volatility reaches across it."""
        self.run = 0
        self.decisions.clear()
        self.volatility.restart()

    def next_row(self) -> NDArray[np.float32]:
        """The place (d,) of the next row, to be written into; the regime and the volatility of now are kept beside it."""
        if self._stop == len(self._buffer):
            half = len(self._buffer) // 2
            for kept in (self._buffer, self._codes, self._volatilities):
                kept[:half] = kept[half:]
            self._stop = half
        at = self._stop
        self._stop = at + 1
        self._codes[at] = self.code
        volatility = self.volatility.value
        self._volatilities[at] = math.nan if volatility is None else volatility
        return self._buffer[at]

    def fill(self, rows: NDArray[np.float32], codes: NDArray[np.int64], volatility: NDArray[np.float64]) -> None:
        """Rows of a history, oldest first, at most ``capacity``, in place of what there was."""
        n = self._stop = len(rows)
        self._buffer[:n], self._codes[:n], self._volatilities[:n] = rows, codes, volatility

    def last_rows(self, n: int) -> NDArray[np.float32]:
        """The newest n rows (n, d)."""
        return self._buffer[self._stop - n : self._stop]

    def last_marks(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Regime codes and volatility of the newest n rows."""
        rows = slice(self._stop - n, self._stop)
        return self._codes[rows], self._volatilities[rows]

    def mark_like(self, other: SymbolState, *, codes: bool, volatility: bool) -> None:
        """Take over the regimes, or the volatility, that another state of the same bars has for its newest rows."""
        n = min(self._stop, other._stop)
        mine, theirs = slice(self._stop - n, self._stop), slice(other._stop - n, other._stop)
        if codes:
            self._codes[mine] = other._codes[theirs]
        if volatility:
            self._volatilities[mine] = other._volatilities[theirs]
            self.volatility = other.volatility

    # --- labels -----------------------------------------------------------------------------------------------------

    def wait_for_label(self, ts: int, volatility: float | None) -> None:
        """An interval was given at the bar that opened at ``ts``; where nobody tells labels, the oldest is given up."""
        if self.waiting.append((ts, math.nan if volatility is None else volatility)) > self._most_waiting:
            self._learn_first(math.nan)

    def learn(self, ts: int, label: float) -> bool:
        """The label of an earlier bar is known; whether an interval waited for it. Intervals skipped over never get theirs."""
        if not self.waiting.holds(ts):
            return False
        self._skip_before(ts)
        self._learn_first(label)
        return True

    def learn_from_candles(self, rule: ForwardReturn, ts: int, opened: float, bar: int, bars: int) -> None:
        """The label that ends at the newest candle, of ``ts``, which opened at a price and is the ``bars``-th without a gap."""
        if bars < rule.horizon + 2:
            return
        labelled = ts - (rule.horizon + 1) * bar
        waits = self._skip_before(labelled)
        if waits is not None and waits[0] == labelled:
            self._learn_first(rule.label(self.candles.value(_OPEN, ago=rule.horizon), opened, waits[1]))

    def _skip_before(self, ts: int) -> tuple[float, ...] | None:
        """Give up the labels of bars before ``ts``; the next bar that waits."""
        while (waits := self.waiting.first) is not None and waits[0] < ts:
            self._learn_first(math.nan)
        return waits

    def _learn_first(self, label: float) -> None:
        self.waiting.popleft()
        if self.interval is not None:
            self.interval.update(label)
