"""One candle as it comes from a feed: read, and refused in a sentence where it cannot be the next bar."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
import polars as pl

from huracan.errors import CandleError, nearest_name
from huracan.market.schema import LARGEST, written_time
from huracan.market.segments import written_length
from huracan.preprocessing.online_series import CANDLE_VALUES, OnlineSeries

__all__ = ["CandleReader", "as_mapping", "candle_rows", "moment_of"]

_LEAST = 1.0 / LARGEST
_LATER = " by this clock; give it again then, or with 'closed' as true where the exchange says that it has closed"
_YEAR_1, _YEAR_9999 = -62_135_596_800_000, 253_402_300_799_999


class CandleReader:
    """Reads candles of known symbols and decides whether each may be the next.

    Parameters
    ----------
    required : columns the recipe reads. bar : length of a bar in milliseconds.
    clock : gives the present, milliseconds since 1970; by default the computer's time.
    """

    def __init__(self, required: Sequence[str], bar: int, clock: Callable[[], float] | None) -> None:
        self._read_numbers = tuple((name, name in required) for name in CANDLE_VALUES)
        prices = [name for name in CANDLE_VALUES if name in required and name != "volume"]
        pairs = [("high", name) for name in prices if name != "high"] + [(name, "low") for name in prices if name != "low"]
        self._in_order = tuple(
            (1 + CANDLE_VALUES.index(above), 1 + CANDLE_VALUES.index(below))
            for above, below in dict.fromkeys(pairs)
            if above in prices and below in prices
        )
        self._bar = bar
        self._clock = clock if clock is not None else lambda: time.time() * 1000.0

    def read(self, candle: Any, series: Mapping[str, OnlineSeries]) -> tuple[str, list[Any]]:
        """Give the symbol, and ``[ts, open, high, low, close, volume]`` with 0 for what is not read.

        Raises
        ------
        CandleError : it is no candle, lacks a column, is not closed, or is not after the last one on the grid of bars.
        UnknownName : its symbol is none of those that were opened.
        """
        if not isinstance(candle, dict):
            candle = as_mapping(candle)
        symbol = self._symbol(candle, series)
        ts = _milliseconds(candle.get("ts"), symbol)
        self._check_time(candle, symbol, ts, series[symbol].ts)
        values: list[Any] = [ts]
        for name, wanted in self._read_numbers:
            x = candle.get(name) if wanted else 0.0
            if type(x) is not float or not _LEAST <= x <= LARGEST:
                x = self._number(candle, name, symbol, ts) if wanted else 0.0
            values.append(x)
        for above, below in self._in_order:
            if values[above] < values[below]:
                pair = f"{CANDLE_VALUES[above - 1]} {values[above]} is below {CANDLE_VALUES[below - 1]} {values[below]}"
                raise CandleError(f"{symbol}, {written_time(ts)}: {pair}; low <= open, close <= high was expected.")
        return symbol, values

    def _symbol(self, candle: Mapping[str, Any], series: Mapping[str, OnlineSeries]) -> str:
        symbol = candle.get("symbol")
        if symbol is None:
            if len(series) == 1:
                return next(iter(series))
            raise CandleError(f"the candle has no 'symbol', and {len(series)} symbols are open.")
        if not series:
            raise CandleError(
                f"no symbol is open for the candle of {symbol}; open with a history, or with symbols=['{symbol}']."
            )
        try:
            known = symbol in series
        except TypeError:  # a list, say
            raise CandleError(f"symbol is {symbol!r:.60}; text was expected.") from None
        if not known:
            raise nearest_name(str(symbol), series, kind="symbol")
        return symbol

    def require_closed(self, symbol: str, ts: int, *, otherwise: str = "") -> None:
        """Refuse a bar that has not ended yet; ``otherwise`` tells what to do then."""
        now = self._clock()
        if ts + self._bar > now:
            end = written_time(ts + self._bar)
            bar = f"the bar of {written_time(ts)} ends at {end}, and it is {written_time(int(now))}"
            raise CandleError(f"{symbol}: {bar}{otherwise}.")

    def _check_time(self, candle: Mapping[str, Any], symbol: str, ts: int, last: int | None) -> None:
        closed = candle.get("closed", candle.get("is_closed"))
        if closed is None:
            self.require_closed(symbol, ts, otherwise=_LATER)
        elif not isinstance(closed, bool | np.bool_ | int):
            raise CandleError(f"{symbol}: 'closed' of the bar of {written_time(ts)} is {closed!r}; True or False was expected.")
        elif not closed:
            raise CandleError(f"{symbol}: the bar of {written_time(ts)} is marked as not closed; only closed bars are taken.")
        if last is None:
            return
        if ts <= last:
            kind = "has been taken already" if ts == last else f"comes after {written_time(last)}, which is later"
            raise CandleError(f"{symbol}: the bar of {written_time(ts)} {kind}; each bar is taken once, in order.")
        if (ts - last) % self._bar:
            raise CandleError(
                f"{symbol}: {written_time(ts)} is no whole number of bars of {written_length(self._bar)} after "
                f"{written_time(last)}."
            )

    def _number(self, candle: Mapping[str, Any], name: str, symbol: str, ts: int) -> float:
        value = candle.get(name)
        try:
            number = float("nan") if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = float("nan")
        if not (0.0 if name == "volume" else _LEAST) <= number <= LARGEST:
            bounds = f"from 0 to {LARGEST:g}" if name == "volume" else f"(from {_LEAST:g} to {LARGEST:g})"
            expected = f"a number {bounds}" if name == "volume" else f"a positive number {bounds}"
            said = f"is {value!r}" if name in candle else "is missing"
            raise CandleError(f"{symbol}, {written_time(ts)}: '{name}' {said}; {expected} was expected.")
        return number


def as_mapping(candle: Any) -> Mapping[str, Any]:
    """One candle as column -> value, from a mapping or a frame of one row; ``CandleError`` for anything else."""
    if isinstance(candle, pl.DataFrame):
        if candle.height != 1:
            raise CandleError(f"a frame of {candle.height} rows was given as a candle; one row was expected.")
        return candle.row(0, named=True)
    if isinstance(candle, Mapping):
        return dict(candle)
    if hasattr(candle, "iloc") and hasattr(candle, "to_dict"):  # pandas
        if hasattr(candle, "columns"):
            if len(candle) != 1:
                raise CandleError(f"a frame of {len(candle)} rows was given as a candle; one row was expected.")
            candle = candle.iloc[0]
        return {str(name): value for name, value in candle.to_dict().items()}
    raise CandleError(f"a {type(candle).__name__} was given as a candle; a mapping or a frame of one row was expected.")


def candle_rows(candles: Any) -> Iterable[Any]:
    """The candles of a list or of a frame (polars or pandas), one by one; ``CandleError`` for a single candle."""
    if isinstance(candles, pl.DataFrame):
        return candles.iter_rows(named=True)
    if hasattr(candles, "iloc") and hasattr(candles, "columns"):  # pandas
        rows: Iterable[Any] = candles.to_dict("records")
        return rows
    if isinstance(candles, Mapping | str) or not isinstance(candles, Iterable):
        raise CandleError(f"a {type(candles).__name__} was given for candles; a list of candles, or a frame, was expected.")
    return candles


def moment_of(ts: Any) -> int | None:
    """A time as milliseconds since 1970; None for what is none: without a zone, no whole number, beyond the years 1 to 9999.

    >>> moment_of(dt.datetime(1970, 1, 2, tzinfo=dt.UTC)), moment_of(86_400_000.0), moment_of(dt.datetime(1970, 1, 2))
    (86400000, 86400000, None)
    """
    if type(ts) is int:
        moment = ts
    elif isinstance(ts, dt.datetime):
        if ts.tzinfo is None:
            return None
        moment = round(ts.timestamp() * 1000.0)
    elif isinstance(ts, np.datetime64):
        moment = int(ts.astype("datetime64[ms]").astype(np.int64))  # one that is no time is far below the year 1
    elif isinstance(ts, np.integer) or (isinstance(ts, float) and isfinite(ts) and ts == int(ts)):
        moment = int(ts)
    else:
        return None
    return moment if _YEAR_1 <= moment <= _YEAR_9999 else None


def _milliseconds(ts: Any, symbol: str) -> int:
    """The open as milliseconds since 1970."""
    if type(ts) is int and _YEAR_1 <= ts <= _YEAR_9999:
        return ts
    moment = moment_of(ts)
    if moment is None:
        said = "is missing" if ts is None else f"is {ts!r:.60}"
        expected = "a time with its zone, or milliseconds since 1970"
        raise CandleError(f"{symbol}: 'ts' {said}; {expected} was expected.")
    return moment
