"""Missing bars: filled for a few bars, left as the end of a segment, or taken as a reason to drop short segments."""

from __future__ import annotations

import numpy as np
import polars as pl

from huracan.preprocessing.cleaning.ledger import Ledger

__all__ = ["filled_forward", "with_segment_column", "without_orphans", "without_short_segments"]


def filled_forward(frame: pl.DataFrame, ledger: Ledger, bar: int, limit: int, *, until: int | None = None) -> pl.DataFrame:
    """Put flat bars in the first ``limit`` missing places after each real bar that another follows.

    Bars filled earlier count as places taken, so that filling again adds nothing. With ``until``, the open of the last bar
    that may be put in, milliseconds UTC, those after the last bar of a symbol are filled, too: no place then tells whether
    another bar follows.
    """
    real = frame.filter(~pl.col("filled"))
    ts = real["ts"].dt.epoch("ms").to_numpy()
    missing = np.diff(ts, append=ts[-1:]) // bar - 1
    last = (real["symbol"] != real["symbol"].shift(-1)).fill_null(True).to_numpy()
    missing[last] = 0 if until is None else (until - ts[last]) // bar
    count = np.clip(missing, 0, limit)
    if not count.any():
        return frame
    source = np.repeat(np.arange(len(ts)), count)
    place = np.arange(len(source)) - np.repeat(np.cumsum(count) - count, count) + 1
    times = pl.Series((ts[source] + place * bar).astype("datetime64[ms]")).dt.replace_time_zone("UTC")
    close = pl.col("close")
    flat = dict.fromkeys(("open", "high", "low", "close"), close)
    others = {name: pl.lit(None, kind) for name, kind in frame.schema.items() if name not in (*flat, "symbol", "volume")}
    made = real.select(frame.columns)[source].with_columns(**others, **flat, volume=0.0)
    made = made.with_columns(ts=times, filled=True, repaired=False)
    made = made.join(frame.select("symbol", "ts"), on=["symbol", "ts"], how="anti", maintain_order="left")
    ledger.record(made, "filled", "no bar was there; flat at the last close", column="close", new=pl.col("close"))
    return pl.concat([frame, made.select(frame.columns)]).sort("symbol", "ts", maintain_order=True)


def without_orphans(frame: pl.DataFrame, ledger: Ledger, bar: int) -> pl.DataFrame:
    """Take out bars filled earlier whose last close is no longer there to repeat."""
    while True:
        repeats = (
            (pl.col("symbol") == pl.col("symbol").shift(1))
            & (pl.col("ts").diff().dt.total_milliseconds() == bar)
            & (pl.col("close") == pl.col("close").shift(1))
        )
        orphan = pl.col("filled") & ~repeats.fill_null(False)
        orphans = frame.filter(orphan)
        if orphans.is_empty():
            return frame
        ledger.set_aside(orphans, "orphan", "a filled bar that repeats no bar before it")
        frame = frame.filter(~orphan)


def without_short_segments(frame: pl.DataFrame, ledger: Ledger, bar: int, least: int) -> pl.DataFrame:
    """Take out segments of fewer than ``least`` bars."""
    segments = with_segment_column(frame, bar).with_columns(pl.len().over("symbol", "segment").alias("bars"))
    short = segments.filter(pl.col("bars") < least)
    if short.is_empty():
        return frame
    ledger.set_aside(short, "short segment", pl.format(f"one of {{}} bars between gaps; {least} were expected", "bars"))
    return frame.filter(segments["bars"] >= least)


def with_segment_column(frame: pl.DataFrame, bar: int | None) -> pl.DataFrame:
    """``with_segments`` by a bar length that is known, in milliseconds; segment 0 throughout where there is none."""
    same = pl.col("symbol") == pl.col("symbol").shift(1)
    gap = (same & (pl.col("ts").diff().dt.total_milliseconds() > (bar or 0)) & pl.lit(bar is not None)).fill_null(False)
    return frame.with_columns(segment=gap.cast(pl.Int32).cum_sum().over("symbol").cast(pl.Int32))
