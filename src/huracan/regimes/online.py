"""``OnlineRegime``: the regime of one closed bar after the other, the same as the classifier names in batch."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from ctypes import c_float
from itertools import pairwise
from math import ceil, inf, nan, sqrt
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.dataset import REGIME_ORDER
from huracan.errors import nearest_name
from huracan.market.bar_lengths import length_in_ms
from huracan.market.segments import bar_length
from huracan.model_info import MarketRegime
from huracan.preprocessing.online_candles import CandleReader
from huracan.regimes.classifier import BarStates, RegimeClassifier, RegimeWindows, require_candles
from huracan.regimes.duration import confirmed
from huracan.regimes.measures import RANK_SAMPLES

__all__ = ["OnlineRegime"]

_COLUMNS = ("high", "low", "close", "volume")
_PARKINSON = 4.0 * np.log(2.0)
_UNKNOWN = -1
_TRENDING, _RANGING, _VOLATILE, _ILLIQUID = (
    REGIME_ORDER.index(regime)
    for regime in (MarketRegime.TRENDING, MarketRegime.RANGING, MarketRegime.VOLATILE, MarketRegime.ILLIQUID)
)


class OnlineRegime:
    """Regimes brought forward bar by bar; made by :meth:`open`.

    What it says at a bar equals, to the bit of every measure, what ``classifier.classify`` says there of history and bars
    together. Running totals depend on where the history began, and so in their last bits do both. A bar after a gap begins
    anew, as in batch.

    Attributes
    ----------
    last : symbol -> regime at its last bar, None before the warm-up is over.
    measured : symbol -> (trend strength, volatility rank, liquidity rank) there, NaN where one is not known yet.

    Examples
    --------
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=600, n_symbols=1, seed=0).candles
    >>> online = OnlineRegime.open(RegimeClassifier(), candles[:-1])
    >>> regime = online.update({**candles.row(-1, named=True), "closed": True})
    >>> regime == RegimeClassifier().current_regime(candles)[candles["symbol"][0]]
    True
    """

    def __init__(self, classifier: RegimeClassifier, bar: int, reader: CandleReader) -> None:
        """Use :meth:`open`."""
        self.classifier = classifier
        self._bar = bar
        self._windows = classifier.windows(dt.timedelta(milliseconds=bar))
        self._reader = reader
        self._symbols: dict[str, _Symbol] = {}

    @classmethod
    def open(
        cls,
        classifier: RegimeClassifier,
        history: pl.DataFrame,
        *,
        bar: str | dt.timedelta | None = None,
        clock: Callable[[], dt.datetime] | None = None,
        symbols: Iterable[str] = (),
    ) -> OnlineRegime:
        """Go on from history.

        Parameters
        ----------
        classifier : its settings. history : closed canonical candles sorted by ``(symbol, ts)``; ``lookback`` bars more than
            the warm-up are enough for ranks as of a longer past.
        bar : length of a bar, where the history has too few to tell. clock : gives the present, to see whether a candle has
            closed that does not say so itself. symbols : those without history that may come too.

        Raises
        ------
        CandleError : the history is no canonical candles. NotEnoughData : neither it nor ``bar`` says how long a bar is.
        """
        require_candles(history)
        length = length_in_ms(bar) if bar is not None else int(bar_length(history) / dt.timedelta(milliseconds=1))
        now = None if clock is None else lambda: clock().timestamp() * 1000.0
        online = cls(classifier, length, CandleReader(("open", *_COLUMNS), length, now))
        times = history["ts"].dt.epoch("ms").to_numpy()
        columns = {name: history[name].cast(pl.Float64).to_numpy() for name in _COLUMNS}
        edges = np.append(
            np.flatnonzero(np.diff(history["symbol"].rle_id().to_numpy().astype(np.int64), prepend=-1)), len(times)
        )
        for first, last in pairwise(edges):
            rows = slice(int(first), int(last))
            bars = {name: values[rows] for name, values in columns.items()}
            online._of(str(history["symbol"][int(first)])).open(times[rows], bars)
        for symbol in symbols:
            online._of(symbol)
        return online

    def adopt(self, symbol: str, other: OnlineRegime) -> None:
        """Go on with a symbol from where it stands in another one of these rules, such as one opened on more of its history."""
        self._symbols[symbol] = other._symbols[symbol]

    def _of(self, symbol: str) -> _Symbol:
        if symbol not in self._symbols:
            self._symbols[symbol] = _Symbol(self.classifier, self._windows, self._bar)
        return self._symbols[symbol]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols that are open."""
        return tuple(self._symbols)

    @property
    def last(self) -> dict[str, MarketRegime | None]:
        """Symbol -> regime at its last bar."""
        return {name: symbol.regime for name, symbol in self._symbols.items()}

    @property
    def measured(self) -> dict[str, tuple[float, float, float]]:
        """Symbol -> trend strength, volatility rank and liquidity rank at its last bar."""
        return {name: symbol.measured for name, symbol in self._symbols.items()}

    def update(self, candle: Mapping[str, Any] | pl.DataFrame) -> MarketRegime | None:
        """Take the next closed bar of one symbol, as of :meth:`huracan.preprocessing.OnlineFeatures.update`.

        Returns
        -------
        The regime known at the bar's close; None while warming up.

        Raises
        ------
        CandleError : the bar is not closed, not after the last one, off the grid, or not a candle; nothing has changed.
        UnknownName : its symbol is not open; nothing has changed.
        """
        known: Any = self._symbols
        symbol, (ts, _, high, low, close, volume) = self._reader.read(candle, known)
        return self._symbols[symbol].advance(ts, high, low, close, volume)

    def take(self, symbol: str, ts: int, high: float, low: float, close: float, volume: float) -> MarketRegime | None:
        """:meth:`update` with a bar that was checked already; ``ts`` is its open in milliseconds since 1970.

        The bar at which the symbol stands already changes nothing, so that several may share this.
        """
        if symbol not in self._symbols:
            raise nearest_name(symbol, self._symbols, kind="symbol")
        state = self._symbols[symbol]
        return state.regime if state.ts == ts else state.advance(ts, high, low, close, volume)

    def place(self, symbol: str) -> tuple[int | None, MarketRegime | None]:
        """Open of the last bar, in milliseconds since 1970, and the regime there."""
        state = self._symbols[symbol]
        return state.ts, state.regime

    def join(self, other: OnlineRegime) -> None:
        """Take over symbols of another one of the same rules; of those that stand at the same bar, one's own stay."""
        for symbol, state in other._symbols.items():
            mine = self._symbols.get(symbol)
            if mine is None or mine.ts != state.ts:
                self._symbols[symbol] = state


class _Symbol:
    """One symbol's running totals, ranks, latches and minimum duration."""

    def __init__(self, classifier: RegimeClassifier, windows: RegimeWindows, bar: int) -> None:
        self._rules, self._bar, self._windows, self._least = classifier, bar, windows, windows.minimum_duration
        self._trend_window, self._window = windows.trend_window, windows.volatility_window
        self._furthest = sqrt(windows.trend_window)
        self.ts: int | None = None
        self._age = _UNKNOWN
        self._close = nan
        self._moved, self._square = _Total(windows.trend_window), _Total(windows.trend_window)
        self._range, self._money, self._absolute, self._idle = (_Total(windows.volatility_window) for _ in range(4))
        self._ranks = [_PastRank(windows.lookback) for _ in range(3)]
        self._on = [False, False, False]
        self._proposed, self._run, self._settled = _UNKNOWN, 0, _UNKNOWN
        self.regime: MarketRegime | None = None
        self.measured = (nan, nan, nan)

    def open(self, ts: NDArray[np.int64], bars: Mapping[str, NDArray[np.float64]]) -> None:
        """Stand where :meth:`advance` by each of these bars would have led to."""
        position, windows = np.arange(len(ts)), self._windows
        first = np.append(True, np.diff(ts) != self._bar)
        age = position - np.maximum.accumulate(np.where(first, position, 0))
        states = BarStates.of(self._rules, bars, age, windows)
        spread = np.log(bars["high"] / bars["low"])
        summed = (
            (self._moved, states.returns),
            (self._square, states.returns**2),
            (self._range, spread**2),
            (self._money, states.money),
            (self._absolute, np.abs(states.returns)),
            (self._idle, (bars["volume"] == 0).astype(np.float64)),
        )
        for total, values in summed:
            total.open(values)
        for rank, values in zip(self._ranks, states.ranked):
            rank.open(values[~np.isnan(values)])
        self.ts, self._age, self._close = int(ts[-1]), int(age[-1]), float(bars["close"][-1])
        self._on = [bool(switch[-1]) for switch in (states.illiquid, states.volatile, states.trending)]
        self.measured = (float(states.trend[-1]), float(states.volatility[-1]), float(states.liquidity[-1]))
        self._settled = int(confirmed(states.proposed, windows.minimum_duration)[-1])
        self._proposed = int(states.proposed[-1])
        other = np.flatnonzero(states.proposed != self._proposed)
        self._run = len(ts) - 1 - int(other[-1]) if len(other) else len(ts)
        self.regime = None if self._settled == _UNKNOWN else REGIME_ORDER[self._settled]

    def advance(self, ts: int, high: float, low: float, close: float, volume: float) -> MarketRegime | None:
        follows = self.ts is not None and ts - self.ts == self._bar
        age = self._age = self._age + 1 if follows else 0
        # NumPy's logarithm, whose last bit need not be that of the math module
        move, spread = np.log((close / self._close if follows else 1.0, high / low)).tolist()
        self.ts, self._close = ts, close
        money = close * volume
        moved, square = self._moved.add(move), self._square.add(move * move)
        ranges, traded = self._range.add(spread * spread), self._money.add(money)
        absolute, idle = self._absolute.add(abs(move)), self._idle.add(1.0 if volume == 0 else 0.0)
        if age < self._window - 1:
            ranges = traded = absolute = idle = nan
        trend = nan if age < self._trend_window else self._drift(moved, square)
        illiquidity = nan if age < self._window else absolute / traded if traded > 0 else inf
        volatility = nan if ranges != ranges else sqrt(max(ranges / self._window, 0.0) / _PARKINSON)
        by_volatility, by_traded, by_impact = (
            nan if value != value else rank.add(value) for rank, value in zip(self._ranks, (volatility, traded, illiquidity))
        )
        liquidity = (by_traded + 1.0 - by_impact) / 2.0
        self.measured = (trend, by_volatility, liquidity)
        self._settle(self._propose(trend, by_volatility, liquidity, idle >= self._rules.zero_volume_share * self._window))
        return self.regime

    def _drift(self, moved: float, square: float) -> float:
        scale = sqrt(max(square, 0.0))
        drift = moved / scale if scale > 0 else 0.0
        return min(max(drift, -self._furthest), self._furthest)

    def _propose(self, trend: float, volatility: float, liquidity: float, idle: bool) -> int:
        rules, on = self._rules, self._on
        unknown = trend != trend or volatility != volatility or liquidity != liquidity
        strength = abs(trend)
        turns = (
            (liquidity <= rules.illiquid_enter or idle, liquidity > rules.illiquid_exit),
            (volatility >= rules.volatile_enter, volatility < rules.volatile_exit),
            (strength >= rules.trend_enter, strength < rules.trend_exit),
        )
        for i, (turn_on, turn_off) in enumerate(turns):
            on[i] = turn_on or (on[i] and not (turn_off or unknown))
        if unknown:
            return _UNKNOWN
        return _ILLIQUID if on[0] else _VOLATILE if on[1] else _TRENDING if on[2] else _RANGING

    def _settle(self, proposed: int) -> None:
        self._run = self._run + 1 if proposed == self._proposed else 1
        self._proposed = proposed
        if proposed == _UNKNOWN or self._run >= self._least:
            self._settled = proposed
        self.regime = None if self._settled == _UNKNOWN else REGIME_ORDER[self._settled]


class _Total:
    """Sum of the last ``window`` values as the difference of running totals, exactly zero where all of them are zero."""

    def __init__(self, window: int) -> None:
        self._totals = deque([0.0], maxlen=window + 1)
        self._since_nonzero, self._window = window, window

    def open(self, values: NDArray[np.float64]) -> None:
        self._totals.extend(np.cumsum(values)[-self._window - 1 :].tolist())
        nonzero = np.flatnonzero(values)
        self._since_nonzero = len(values) - 1 - int(nonzero[-1]) if len(nonzero) else self._window

    def add(self, value: float) -> float:
        totals = self._totals
        total = totals[-1] + value
        totals.append(total)
        self._since_nonzero = 0 if value != 0 else self._since_nonzero + 1
        return total - totals[0] if self._since_nonzero < self._window else 0.0


class _PastRank:
    """Rank of a value among up to ``RANK_SAMPLES`` earlier ones, evenly spaced over the last ``lookback``.

    Values that are compared with each other lie a whole number of steps apart, so each of ``step`` sequences is kept by
    itself: in order of time to forget the oldest, and in order of size to count how many are below.
    """

    def __init__(self, lookback: int) -> None:
        self._step = ceil(lookback / RANK_SAMPLES)
        self._most, self._least = lookback // self._step, lookback // 4
        self._by_time: list[deque[float]] = [deque() for _ in range(self._step)]
        self._by_size: list[list[float]] = [[] for _ in range(self._step)]
        self._seen = 0

    def open(self, values: NDArray[np.float64]) -> None:
        with np.errstate(over="ignore"):
            rounded = values.astype(np.float32)
        for at in range(self._step):
            kept = rounded[at :: self._step][-self._most :].tolist()
            self._by_time[at], self._by_size[at] = deque(kept), sorted(kept)
        self._seen = len(rounded)

    def add(self, value: float) -> float:
        x = c_float(value).value  # what differs by rounding only is equal
        at = self._seen % self._step
        by_time, by_size = self._by_time[at], self._by_size[at]
        compared = len(by_size)
        twice = bisect_left(by_size, x) + bisect_right(by_size, x)
        enough = self._seen >= self._least and compared > 0
        self._seen += 1
        if compared == self._most:
            del by_size[bisect_left(by_size, by_time.popleft())]
        by_time.append(x)
        insort(by_size, x)
        return twice / (2.0 * compared) if enough else nan
