"""Candles as arrays, symbol by symbol: what every check reads, computed once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["FIRST", "CandleArrays", "back_in_time", "candle_arrays"]

FIRST = np.iinfo(np.int64).min
"""Step of a symbol's first bar, which has no bar before it."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CandleArrays:
    """Bars sorted by symbol and time; what is missing is NaN.

    Attributes
    ----------
    symbols : in order. start : int64 (symbols + 1,), row where each begins, and the number of rows.
    ts : int64 (n,), open in milliseconds since 1970. open, high, low, close, volume : float64 (n,).
    step : int64 (n,), milliseconds since the bar before, :data:`FIRST` where there is none.
    bar : int64 (symbols,), the most frequent positive step, 0 where it is unknown. row_bar : the same for each row.
    regular : bool (n,), whether the bar before is exactly one bar length away.
    move : float64 (n,), size of the log return over one bar, NaN where there is none. flat : one price only.
    """

    symbols: tuple[str, ...]
    start: NDArray[np.int64]
    ts: NDArray[np.int64]
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    step: NDArray[np.int64]
    bar: NDArray[np.int64]
    row_bar: NDArray[np.int64]
    regular: NDArray[np.bool_]
    move: Array
    flat: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ts)

    def parts(self) -> Iterator[tuple[str, slice, int]]:
        """Symbol, its rows, and its bar length in milliseconds."""
        for i, symbol in enumerate(self.symbols):
            yield symbol, slice(int(self.start[i]), int(self.start[i + 1])), int(self.bar[i])


def candle_arrays(frame: pl.DataFrame) -> CandleArrays:
    """Take ``[symbol, ts, open, high, low, close, volume]`` apart; sorted by symbol and time where it is not yet.

    Equal times keep the order they came in.
    """
    symbols, start, ts, step = _structure(frame)
    if list(symbols) != sorted(set(symbols)) or _goes_back(step):
        frame = frame.sort("symbol", "ts", maintain_order=True)
        symbols, start, ts, step = _structure(frame)
    value = {name: frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    bar = np.array([_usual_step(step[a + 1 : b]) for a, b in pairwise(start)], np.int64)
    row_bar = np.repeat(bar, np.diff(start))
    regular = (step == row_bar) & (row_bar > 0)
    opened, high, low, close = (value[name] for name in ("open", "high", "low", "close"))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        move = np.full(len(ts), np.nan)
        np.divide(close[1:], close[:-1], out=move[1:], where=regular[1:])
        move[~(move > 0.0) | np.isinf(move)] = np.nan
        np.abs(np.log(move, out=move), out=move)
        flat = (high == low) & (opened == close) & (opened == high)
    return CandleArrays(symbols, start, ts, **value, step=step, bar=bar, row_bar=row_bar, regular=regular, move=move, flat=flat)


def back_in_time(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows that come after a later one of their symbol, in the order of the rows: ``[symbol, ts]``."""
    symbols, _, _, step = _structure(frame)
    if len(set(symbols)) < len(symbols):
        frame = frame.sort("symbol", maintain_order=True)
        step = _structure(frame)[3]
    return frame.select("symbol", "ts").filter(pl.Series((step < 0) & (step != FIRST)))


def _structure(frame: pl.DataFrame) -> tuple[tuple[str, ...], Any, Any, Any]:
    runs = frame["symbol"].rle().struct.unnest()
    start = np.concatenate(([0], np.cumsum(runs["len"].to_numpy(), dtype=np.int64)))
    ts = frame["ts"].to_physical().to_numpy()
    step = np.empty(len(ts), np.int64)
    np.subtract(ts[1:], ts[:-1], out=step[1:])
    step[start[:-1]] = FIRST
    return tuple(runs["value"]), start, ts, step


def _goes_back(step: NDArray[np.int64]) -> bool:
    return bool(((step < 0) & (step != FIRST)).any())


def _usual_step(step: NDArray[np.int64]) -> int:
    """The most frequent positive step, the shortest on a tie, 0 where there is none."""
    if not len(step):
        return 0
    guess = int(np.median(step[:: max(1, len(step) // 101)]))
    if guess > 0 and 2 * np.count_nonzero(step == guess) > len(step):
        return guess
    steps, counts = np.unique(step[step > 0], return_counts=True)
    return int(steps[np.argmax(counts)]) if len(steps) else 0
