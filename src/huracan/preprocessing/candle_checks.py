"""What the feature engine asks of candles: columns, order, one bar length, prices that are prices. Each in a pass or two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import CandleError
from huracan.market import CandleSource, bar_length, read_candles, with_segments
from huracan.market.schema import LARGEST
from huracan.market.segments import written_length

__all__ = ["as_candles", "candle_columns", "candle_keys"]

_PRICES = ("open", "high", "low", "close")


def as_candles(source: CandleSource) -> pl.DataFrame:
    """A polars frame as it is; anything else is read (:func:`huracan.market.read_candles`)."""
    return source if isinstance(source, pl.DataFrame) else read_candles(source)


def candle_columns(candles: pl.DataFrame, required: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """The columns a recipe reads, as float64; ``CandleError`` names the first row that is no price, no volume or no bar."""
    columns = {name: _values(candles, name) for name in required if name not in ("symbol", "ts")}
    _require_order_of_prices(candles, columns)
    return columns


def candle_keys(candles: pl.DataFrame, required: Sequence[str]) -> tuple[pl.DataFrame, list[tuple[int, int]]]:
    """``[symbol, ts, segment]`` of candles in order, and first row and end of every segment.

    Raises
    ------
    CandleError : they are not in order, lack a column, or a segment of theirs is broken.
    """
    missing = [c for c in required if c not in candles.columns]
    if missing:
        raise CandleError(f"column '{missing[0]}' is missing; the recipe reads {', '.join(required)}.")
    kind = candles.schema["ts"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone != "UTC":
        raise CandleError(f"column 'ts' is {kind}; a UTC datetime was expected. read_candles makes it one.")
    symbol = candles["symbol"] if candles.schema["symbol"] == pl.String else candles["symbol"].cast(pl.String)
    for column in (symbol, candles["ts"]):
        if column.null_count():
            raise CandleError(f"column '{column.name}' is empty in row {column.is_null().arg_max()}; every bar needs it.")
    runs = symbol.rle().struct.unnest()
    steps = np.diff(candles["ts"].to_physical().to_numpy())
    within = np.ones(len(steps), bool)
    within[np.cumsum(runs["len"].to_numpy()[:-1]) - 1] = False
    _refuse_disorder(candles, runs["value"].to_list(), steps, within)
    whole = _same_throughout(steps, within)
    if "segment" in candles.columns:
        segment = _numbers(candles, "segment", pl.Int32)
        if segment.null_count():
            raise CandleError(f"column 'segment' is empty in row {segment.is_null().arg_max()}; every bar needs it.")
    elif whole:
        segment = pl.Series("segment", np.zeros(candles.height, np.int32))
    else:
        segment = with_segments(candles.select("symbol", "ts"))["segment"]
    given = "segment" in candles.columns
    together = within & (np.diff(segment.to_numpy()) == 0) if given or not whole else within
    if given and not whole:
        _refuse_broken_segment(candles, steps, together)
    starts = [0, *(np.flatnonzero(~together) + 1).tolist()] if candles.height else []
    return pl.DataFrame([symbol, candles["ts"], segment]), list(zip(starts, [*starts[1:], candles.height]))


def _refuse_disorder(candles: pl.DataFrame, symbols: list[str], steps: NDArray[np.int64], within: NDArray[np.bool_]) -> None:
    """Rows go by symbol, then by time, each once."""
    back = (steps <= 0) & within
    new = np.flatnonzero(~within)
    back[[at for at, before, after in zip(new, symbols, symbols[1:]) if after < before]] = True
    if back.any():
        row = int(np.argmax(back)) + 1
        raise CandleError(
            f"row {row} ({candles['symbol'][row]}, {candles['ts'][row]}) does not come after row {row - 1} "
            f"({candles['symbol'][row - 1]}, {candles['ts'][row - 1]}); candles go by symbol and time, each once."
        )


def _refuse_broken_segment(candles: pl.DataFrame, steps: NDArray[np.int64], together: NDArray[np.bool_]) -> None:
    """Within a segment each bar follows the one before it: windows are counted in rows."""
    bar = bar_length(candles)  # refuses symbols with bars of different lengths
    milliseconds = {"ms": 1, "us": 1_000, "ns": 1_000_000}[str(getattr(candles.schema["ts"], "time_unit", "ms"))]
    length = int(bar.total_seconds() * 1_000)
    gap = together & (steps != length * milliseconds)
    if gap.any():
        row = int(np.argmax(gap)) + 1
        raise CandleError(
            f"{_where(candles, row)} is {written_length(int(steps[row - 1]) // milliseconds)} after the row before it in the "
            f"same 'segment', and bars are {written_length(length)} apart; a segment without gaps was expected. Without the "
            "column, segments are found."
        )


def _same_throughout(steps: NDArray[np.int64], within: NDArray[np.bool_]) -> bool:
    """Whether no bar is missing anywhere."""
    if not within.any():
        return True
    bar = steps[int(np.argmax(within))]
    return bool(((steps == bar) | ~within).all())


def _values(candles: pl.DataFrame, name: str) -> NDArray[np.float64]:
    column = _numbers(candles, name, pl.Float64)
    values = (column.fill_null(np.nan) if column.null_count() else column).to_numpy()
    lowest, highest = (values.min(), values.max()) if len(values) else (1.0, 1.0)
    least, most = (1.0 / LARGEST, LARGEST) if name in _PRICES else (0.0, LARGEST)
    if lowest >= least and highest <= most:  # false where one is NaN
        return values
    bad = ~((values >= least) & (values <= most))
    row = int(np.argmax(bad))
    expected = f"a positive number (from {least:g} to {most:g})" if name in _PRICES else f"a number from 0 to {most:g}"
    raise CandleError(f"column '{name}' holds {candles[name][row]} in {_where(candles, row)}; {expected} was expected.")


def _numbers(candles: pl.DataFrame, name: str, kind: type[pl.DataType]) -> pl.Series:
    column = candles[name]
    if column.dtype == kind:
        return column
    try:
        return column.cast(kind)
    except pl.exceptions.PolarsError as error:
        raise CandleError(f"column '{name}' is {column.dtype} and holds what is no number; numbers were expected.") from error


def _require_order_of_prices(candles: pl.DataFrame, columns: dict[str, NDArray[np.float64]]) -> None:
    """``CandleError`` where, among the prices that are read, high is not the highest or low not the lowest."""
    prices = [(name, columns[name]) for name in _PRICES if name in columns]
    for outer, beyond in (("high", np.less), ("low", np.greater)):
        if outer in columns:
            for name, values in prices:
                if (outer, name) == ("low", "high"):
                    continue  # asked already
                wrong = beyond(columns[outer], values)
                if name != outer and wrong.any():
                    row = int(np.argmax(wrong))
                    raise CandleError(
                        f"{outer} {columns[outer][row]:g} is {'below' if outer == 'high' else 'above'} {name} "
                        f"{values[row]:g} in {_where(candles, row)}; low <= open, close <= high was expected."
                    )


def _where(candles: pl.DataFrame, row: int) -> str:
    return f"row {row} ({candles['symbol'][row]}, {candles['ts'][row]})"
