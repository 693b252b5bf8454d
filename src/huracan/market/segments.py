"""Bar length and segments: where a series is whole, and where a gap begins a new one."""

from __future__ import annotations

import datetime as dt

import polars as pl

from huracan.errors import CandleError, NotEnoughData

__all__ = ["bar_length", "steps_of", "with_segments", "written_length"]

_ENOUGH_STEPS = 20
"""A symbol of fewer steps may consist of gaps."""


def bar_length(candles: pl.DataFrame) -> dt.timedelta:
    """Length of one bar: the most frequent step between neighbouring bars of one symbol (the shorter one on a tie).

    Parameters
    ----------
    candles : rows sorted by ``(symbol, ts)``.

    Raises
    ------
    NotEnoughData : no symbol has two bars.
    CandleError : symbols have bars of different lengths: a symbol of at least twenty steps takes another one most often.

    Examples
    --------
    >>> bars = pl.DataFrame({"symbol": ["A"] * 4, "ts": [dt.datetime(2025, 1, 1, h, tzinfo=dt.UTC) for h in (0, 1, 2, 5)]})
    >>> bar_length(bars)
    datetime.timedelta(seconds=3600)
    """
    steps = steps_of(candles).filter(pl.col("step") > 0)
    if steps.is_empty():
        raise NotEnoughData(
            f"{candles.height} candle(s) of {candles['symbol'].n_unique()} symbol(s): at least two bars of one symbol "
            "are needed to know the bar length."
        )
    counted = steps.group_by("symbol", "step").len().sort(["len", "step"], descending=[True, False])
    bar = int(counted.group_by("step").agg(pl.col("len").sum()).sort(["len", "step"], descending=[True, False])["step"][0])
    usual = counted.group_by("symbol", maintain_order=True).agg(pl.col("step").first(), pl.col("len").sum())
    other = usual.filter((pl.col("step") != bar) & (pl.col("len") >= _ENOUGH_STEPS)).sort("symbol")
    if other.height:
        symbol, step = other.row(0)[:2]
        raise CandleError(
            f"bar lengths are mixed: {symbol} has bars of {written_length(step)}, others of {written_length(bar)}; one bar "
            "length for all symbols was expected."
        )
    return dt.timedelta(milliseconds=bar)


def with_segments(candles: pl.DataFrame) -> pl.DataFrame:
    """Add ``segment: Int32``, counted from 0 within each symbol; a new one begins where bars are missing.

    Parameters
    ----------
    candles : canonical candles, sorted by ``(symbol, ts)``. A ``segment`` column already there is computed anew.

    Raises
    ------
    NotEnoughData : no symbol has two bars, so that the bar length is unknown.
    CandleError : bar lengths are mixed, or a bar is off the grid of its symbol's bars.

    Examples
    --------
    >>> bars = pl.DataFrame({"symbol": ["A"] * 4, "ts": [dt.datetime(2025, 1, 1, h, tzinfo=dt.UTC) for h in (0, 1, 2, 5)]})
    >>> with_segments(bars)["segment"].to_list()
    [0, 0, 0, 1]
    """
    bar = int(bar_length(candles).total_seconds() * 1000)
    off = steps_of(candles).filter(pl.col("step") % bar != 0)
    if off.height:
        symbol, ts, _ = off.row(0)
        raise CandleError(
            f"{symbol}: {ts} is off the grid of its {written_length(bar)} bars ({off.height} such steps); bars a whole number "
            "of bar lengths apart were expected."
        )
    new_symbol = (pl.col("symbol") != pl.col("symbol").shift(1)).fill_null(True)
    gap = (pl.col("ts").diff().dt.total_milliseconds() > bar).fill_null(False) & ~new_symbol
    count = gap.cast(pl.Int32).cum_sum()
    base = pl.when(new_symbol).then(count).otherwise(None).forward_fill()
    return candles.with_columns((count - base).cast(pl.Int32).alias("segment"))


def steps_of(candles: pl.DataFrame) -> pl.DataFrame:
    """Steps between neighbouring rows of the same symbol: ``[symbol, ts, step]``, milliseconds, in the order of the rows."""
    if not {"symbol", "ts"} <= set(candles.columns):
        raise CandleError(f"columns 'symbol' and 'ts' were expected; the frame has {', '.join(candles.columns) or 'none'}.")
    same = pl.col("symbol") == pl.col("symbol").shift(1)
    step = pl.col("ts").diff().dt.total_milliseconds()
    return candles.select("symbol", "ts", step.alias("step")).filter(same)


def written_length(milliseconds: int) -> str:
    """Write a length of time as a trader does: ``1m``, ``4h``, ``1d``.

    >>> written_length(60_000), written_length(14_400_000), written_length(90_000)
    ('1m', '4h', '90s')
    """
    for unit, size in (("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
