"""What may enter a store: rows that could be true, one of each time, closed by the time they were fetched."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import polars as pl

from huracan.errors import CandleError
from huracan.market.columns import missing_column
from huracan.market.schema import written_time
from huracan.market.segments import steps_of, written_length
from huracan.market.timestamps import read_times

__all__ = ["require_columns", "require_grid", "require_no_funding", "require_source", "unique_rows"]


def require_columns(frame: pl.DataFrame, schema: pl.Schema, *, what: str, now: dt.datetime) -> pl.DataFrame:
    """Select the columns of ``schema``; refuse what lacks them, other types, empty keys and times that cannot be."""
    if not isinstance(frame, pl.DataFrame):
        raise CandleError(f"{what} are a {type(frame).__name__}; a polars DataFrame was expected (read_candles makes one).")
    for name, expected in schema.items():
        if name not in frame.columns:
            raise missing_column(name, frame.columns, where="the frame")
        if frame.schema[name] != expected:
            raise CandleError(f"column '{name}' is {frame.schema[name]}; {expected} was expected (read_candles converts).")
    if frame["symbol"].null_count():
        row = frame["symbol"].is_null().arg_max()
        raise CandleError(f"column 'symbol' is empty in row {row} ({frame['symbol'].null_count()} rows); every row needs it.")
    read_times(frame["ts"], now=now)
    return frame.select(schema.names())


def unique_rows(frame: pl.DataFrame, values: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """Sort by ``(symbol, ts)`` and keep one of rows that agree; refuse rows that contradict each other."""
    frame = frame.sort("symbol", "ts", maintain_order=True)
    again = (pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("ts") == pl.col("ts").shift(1))
    twice = frame.filter(again.fill_null(False))
    if twice.is_empty():
        return frame, 0
    differs = again & pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in values)
    contradicting = frame.filter(differs.fill_null(False))
    if contradicting.height:
        symbol, ts = contradicting.row(0)[:2]
        raise CandleError(
            f"{symbol}: {_said(ts)} is there more than once with different values ({contradicting.height} such rows) and "
            "nothing was stored; one row a time was expected."
        )
    return frame.filter(~again.fill_null(False)), twice.height


def require_grid(frame: pl.DataFrame, bar_ms: int) -> None:
    """Refuse rows off the grid of the bar. That most bars are missing is no reason: some markets hardly trade."""
    steps = steps_of(frame).with_columns(off=pl.col("step") % bar_ms != 0)
    if steps["off"].any():
        at = steps.filter("off").row(0, named=True)
        raise CandleError(
            f"{at['symbol']}: {_said(at['ts'])} is off the grid of its {written_length(bar_ms)} bars ({steps['off'].sum()} "
            "steps that are no multiple of it); bars of one length were expected."
        )


def require_no_funding(candles: pl.DataFrame) -> None:
    """Refuse candles that carry funding rates: what is due by the bar is not what is due by the hour."""
    if "funding_rate" in candles.columns and (count := candles["funding_rate"].count()):
        raise CandleError(
            f"the candles carry {count} funding rates in column 'funding_rate'; append_funding stores those by the time they "
            "fall due, drop the column here."
        )


def require_source(source: str) -> None:
    """Refuse a source that says nothing."""
    if not isinstance(source, str) or not source.strip():
        raise CandleError(f"source is {source!r}; a name such as 'binance' was expected.")


def _said(ts: dt.datetime) -> str:
    return written_time(round(ts.timestamp() * 1000))
