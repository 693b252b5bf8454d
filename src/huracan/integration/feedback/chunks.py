"""Time in chunks: a quantity of candles computed from where its chunk begins, and remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import DataError, HuracanError, NotEnoughData
from huracan.integration.feedback.candle_window import CandleWindow
from huracan.integration.feedback.cleaned_window import FILLED
from huracan.market import bar_length, written_length

__all__ = ["Arrays", "Chunks", "Gathered", "Kind"]

Arrays = dict[str, NDArray[Any]]
_ENOUGH_STEPS = 20
"""A symbol of fewer steps may consist of gaps."""


@dataclass(frozen=True)
class Kind:
    """One quantity.

    Attributes
    ----------
    key : what it is remembered by. compute : candles -> arrays, a row for each candle, each from its candle and those before.
    blank : the same arrays with nothing in them, of so many rows. history : bars before the chunk that it is computed from.
    ahead : bars after it.
    """

    key: tuple[str, ...]
    compute: Callable[[pl.DataFrame], Arrays]
    blank: Callable[[int], Arrays]
    history: int
    ahead: int = 0


@dataclass(frozen=True, eq=False)
class Gathered:
    """Rows of a quantity, sorted by symbol and time: ``code`` counts the symbols asked for, ``ts`` is the open of the bar.

    Bars that cleaning put in have none.
    """

    code: NDArray[np.int32]
    ts: NDArray[np.int64]
    values: Arrays

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True, eq=False)
class _Part:
    """A quantity in one chunk: where the rows of each symbol are, since which candle one is refused, and why."""

    rows: Mapping[str, slice]
    ts: NDArray[np.int64]
    values: Arrays
    refused: Mapping[str, tuple[int, str]]


class Chunks:
    """Quantities of candles, chunk by chunk.

    Parameters
    ----------
    candles : where they come from. symbols : all that are computed together, sorted. chunk : milliseconds, a whole number of
        bars. kept : chunks remembered of each quantity, and of one that was not asked for in so many newer chunks none.

    Attributes
    ----------
    refused : symbol -> why it has no rows from some candle on, in what was asked for since :meth:`begin`. What was told of it
        before that candle came stays.

    Raises
    ------
    DataError : the chunk is no whole number of bars.

    Examples
    --------
    >>> from huracan.integration.feedback.candle_window import FrameWindow
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=50, n_symbols=2, seed=0).candles
    >>> hour, symbols = 3_600_000, candles["symbol"].unique().sort().to_list()
    >>> chunks = Chunks(FrameWindow(candles, hour), symbols, chunk=24 * hour)
    >>> close = Kind(("close",), lambda bars: {"close": bars["close"].to_numpy()}, lambda n: {"close": np.full(n, np.nan)}, 0)
    >>> last = int(candles["ts"].dt.epoch("ms")[-1])
    >>> rows = chunks.gathered(close, symbols[:1], last - 29 * hour, last + hour)
    >>> rows.values["close"].tolist() == candles["close"][20:50].to_list()
    True
    """

    def __init__(self, candles: CandleWindow, symbols: Sequence[str], *, chunk: int, kept: int = 2) -> None:
        if chunk < 1 or chunk % candles.bar:
            raise DataError(
                f"chunk is {written_length(int(chunk))}; a whole number of bars of {written_length(candles.bar)} was expected."
            )
        self.refused: dict[str, str] = {}
        self._candles, self._symbols = candles, tuple(symbols)
        self._chunk, self._kept = int(chunk), kept
        self._parts: dict[tuple[str, ...], dict[int, _Part]] = {}
        self._revision = candles.revision

    def begin(self) -> None:
        """Forget what was refused, and what was computed of candles that are others now."""
        self.refused = {}
        if self._candles.revision != self._revision:
            self._parts.clear()
            self._revision = self._candles.revision

    def gathered(self, kind: Kind, symbols: Sequence[str], first: int, until: int) -> Gathered:
        """Rows of bars that open from ``first`` on and are closed by ``until``, milliseconds UTC."""
        last = until - self._candles.bar
        parts = [self._part(kind, k) for k in range(first // self._chunk, last // self._chunk + 1)] if last >= first else []
        for part in parts:
            self.refused.update({symbol: why for symbol, (since, why) in part.refused.items() if since <= last})
        code: list[NDArray[np.int32]] = []
        where: list[tuple[_Part, slice]] = []
        for i, symbol in enumerate(symbols):
            for part in parts:
                rows = part.rows.get(symbol)
                if rows is None:
                    continue
                low, high = rows.start + np.searchsorted(part.ts[rows], [first, last + 1])
                if high > low:
                    where.append((part, slice(int(low), int(high))))
                    code.append(np.full(int(high - low), i, np.int32))
        if not where:
            return Gathered(np.empty(0, np.int32), np.empty(0, np.int64), kind.blank(0))
        ts = np.concatenate([part.ts[rows] for part, rows in where])
        values = {name: np.concatenate([part.values[name][rows] for part, rows in where]) for name in where[0][0].values}
        return Gathered(np.concatenate(code), ts, values)

    def _part(self, kind: Kind, k: int) -> _Part:
        known = self._parts.setdefault(kind.key, {})
        part = known.pop(k, None)
        if part is None:
            part = self._computed(kind, k)
            for key in [key for key, parts in self._parts.items() if parts and max(parts) < k - self._kept]:
                del self._parts[key]  # of a model that is gone, or a look seldom taken, which needs newer chunks then
            known = self._parts.setdefault(kind.key, {})
        known[k] = part  # what was used last goes last
        for old in list(known)[: -self._kept]:
            del known[old]
        return part

    def _computed(self, kind: Kind, k: int) -> _Part:
        bar, start = self._candles.bar, k * self._chunk
        stop = start + self._chunk
        candles = self._candles.bars(start - kind.history * bar, stop - bar + kind.ahead * bar, self._symbols)
        candles, values, refused = self._values(kind, candles)
        ts = candles["ts"].dt.epoch("ms").to_numpy()
        inside = (ts >= start) & (ts < stop)
        if FILLED in candles.columns:
            inside &= ~candles[FILLED].to_numpy()
        rows, first = {}, 0
        runs = candles["symbol"].rle()
        for name, length in zip(runs.struct.field("value").to_list(), runs.struct.field("len").to_list()):
            rows[str(name)] = (first, first + length)
            first += length
        before = np.concatenate([[0], np.cumsum(inside)])
        kept = {name: slice(int(before[a]), int(before[b])) for name, (a, b) in rows.items()}
        return _Part(kept, ts[inside], {name: array[inside] for name, array in values.items()}, refused)

    def _values(self, kind: Kind, candles: pl.DataFrame) -> tuple[pl.DataFrame, Arrays, dict[str, tuple[int, str]]]:
        """Of all candles where that can be computed; where a symbol is refused, of its candles before the one that does it.

        So a chunk that knows the future, as one of a replay does, tells before that candle what was told when it had not come.
        """
        bar = self._candles.bar
        try:
            return candles, _of_candles(kind, candles, bar), {}
        except HuracanError as together:
            refused = {}
            for (symbol,), own in candles.group_by("symbol", maintain_order=True):
                if (found := _refusal(kind, own, bar)) is not None:
                    refused[str(symbol)] = found
            if not refused:
                first = int(candles["ts"].dt.epoch("ms").min())  # type: ignore[arg-type]
                refused = {str(symbol): (first, str(together)) for symbol in candles["symbol"].unique()}
        since = pl.col("symbol").replace_strict({symbol: at for symbol, (at, _) in refused.items()}, default=None)
        left = candles.filter(since.is_null() | (pl.col("ts").dt.epoch("ms") < since))
        return left, _of_candles(kind, left, bar), refused


def _refusal(kind: Kind, candles: pl.DataFrame, bar: int) -> tuple[int, str] | None:
    """The open of the candle with which those of a symbol are refused, found by halving, and why; ``None`` where none is."""

    def why(n: int) -> str | None:
        try:
            _of_candles(kind, candles[:n], bar)
        except HuracanError as error:
            return str(error)
        return None

    reason = why(candles.height)
    if reason is None:
        return None
    good, bad = 0, candles.height
    while bad - good > 1:
        middle = (good + bad) // 2
        told = why(middle)
        good, bad, reason = (middle, bad, reason) if told is None else (good, middle, told)
    return int(candles["ts"].dt.epoch("ms")[bad - 1]), reason


def _of_candles(kind: Kind, candles: pl.DataFrame, bar: int) -> Arrays:
    """A quantity of candles of this bar; blank where they are too few to tell their own."""
    try:
        length = int(bar_length(candles).total_seconds() * 1_000) if candles.height else bar
    except NotEnoughData:
        return kind.blank(candles.height)
    if length != bar:
        steps = candles.height - candles["symbol"].n_unique()
        if steps < _ENOUGH_STEPS:
            return kind.blank(candles.height)
        raise DataError(f"the candles are bars of {written_length(length)}; bars of {written_length(bar)} were expected.")
    return kind.compute(candles) if candles.height else kind.blank(0)
