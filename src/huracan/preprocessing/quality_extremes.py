"""Outlier returns and flash crashes: real, so they are flagged and never repaired."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from huracan.market.segments import written_length
from huracan.preprocessing.quality_findings import QualityCheck, Severity, found, none_found, said_time

__all__ = ["crashes", "extremes"]

HALF_LIFE = 240
"""Bars in which the memory of what is usual (the local range and the local size of a return) halves."""
OUTLIER = 12.0
"""A return this many times the local mean absolute return is an outlier (over nine Gaussian standard deviations)."""
CRASH_RATIO, CRASH_MOVE = 8.0, 0.05
"""A flash crash: a range this many times the local one, and at least this large (log price), within ten minutes or one bar."""


def extremes(frame: pl.DataFrame) -> Iterator[QualityCheck]:
    """Returns far out of their local scale, and flash crashes: flagged because they are real."""
    usual = pl.col("move").ewm_mean(half_life=HALF_LIFE, min_samples=30, ignore_nulls=True).shift(1).over("symbol")
    floor = pl.col("move").mean().over("symbol") / 4
    outlier = (pl.col("move") > OUTLIER * pl.max_horizontal(usual, floor)) & usual.is_not_null()
    said = f"{{count}} returns are over {OUTLIER:.0f} times their local size, first {{first}}"
    yield from found(frame, "outlier returns", outlier, Severity.NOTE, said, warn=0.001)
    episodes = crashes(frame)
    rows = dict(frame.group_by("symbol").len().iter_rows())
    for symbol, first, last, bars, move, ratio, span in episodes.iter_rows():
        when = f"at {said_time(first)}" if first == last else f"between {said_time(first)} and {said_time(last)}"
        said = (
            f"{symbol}: the low was {move:.1%} below the high within {span}, {ratio:.0f} times the usual range, {when}; "
            "flagged, not repaired."
        )
        yield QualityCheck("flash crash", symbol, bars, bars / rows[symbol], first, last, Severity.WARNING, said)
    if episodes.is_empty():
        yield none_found("flash crash", "no flash crash was found.")


def crashes(frame: pl.DataFrame) -> pl.DataFrame:
    """Episodes in which the range of the last ten minutes (or of one longer bar) left its local scale.

    Parameters
    ----------
    frame : measured candles, sorted by ``(symbol, ts)``, with each symbol's ``bar`` in milliseconds.

    Returns
    -------
    ``[symbol, first, last, bars, move, ratio, span]``: ``move`` is how far the low was below the high, a fraction,
    ``ratio`` the range over its local mean. Flagged moments within an hour of each other are one episode.
    """
    parts = [part for (bar,), part in frame.filter(pl.col("bar").is_not_null()).group_by("bar", maintain_order=True)]
    return pl.concat([_crashes_of_length(part) for part in parts]) if parts else pl.DataFrame(schema=_EPISODE)


_EPISODE = pl.Schema(
    {
        "symbol": pl.String(),
        "first": pl.Datetime("ms", "UTC"),
        "last": pl.Datetime("ms", "UTC"),
        "bars": pl.Int64(),
        "move": pl.Float64(),
        "ratio": pl.Float64(),
        "span": pl.String(),
    }
)


def _crashes_of_length(frame: pl.DataFrame) -> pl.DataFrame:
    bar = int(frame["bar"][0])
    window = min(10, max(1, 600_000 // bar))
    usable = (pl.col("low") > 0) & pl.col("high").is_finite() & (pl.col("high") >= pl.col("low"))
    whole = (pl.col("ts").diff(window - 1).dt.total_milliseconds() == (window - 1) * bar) if window > 1 else pl.lit(True)
    high = pl.when(usable).then(pl.col("high")).rolling_max(window)
    low = pl.when(usable).then(pl.col("low")).rolling_min(window)
    frame = frame.with_columns(pl.when(whole).then((high / low).log()).over("symbol").alias("range"))
    usual = pl.col("range").ewm_mean(half_life=HALF_LIFE, min_samples=30, ignore_nulls=True).shift(window).over("symbol")
    floor = pl.col("range").mean().over("symbol") / 4
    near = frame.with_columns(ratio=pl.col("range") / pl.max_horizontal(usual, floor), known=usual.is_not_null()).filter(
        pl.col("known") & (pl.col("range") >= CRASH_MOVE) & (pl.col("ratio") >= CRASH_RATIO / 2)
    )
    # Where at least half of three or more symbols crash at once, the others crash at half the ratio.
    alive = frame.join(near.select("ts").unique(), on="ts", how="semi").group_by("ts").agg(pl.len().alias("alive"))
    near = near.join(alive, on="ts", how="left")
    strong = pl.col("ratio") >= CRASH_RATIO
    together = (pl.col("alive") >= 3) & (strong.sum().over("ts") * 2 >= pl.col("alive"))
    hit = near.filter(strong | together).sort("symbol", "ts")
    apart = max(3_600_000, bar)
    new = (pl.col("symbol") != pl.col("symbol").shift(1)) | (pl.col("ts").diff().dt.total_milliseconds() > apart)
    hit = hit.with_columns(episode=new.fill_null(True).cum_sum())
    return (
        hit.group_by("symbol", "episode", maintain_order=True)
        .agg(
            (pl.col("ts").min() - pl.duration(milliseconds=(window - 1) * bar)).alias("first"),
            pl.col("ts").max().alias("last"),
            pl.len().cast(pl.Int64).alias("bars"),
            (1 - (-pl.col("range").max()).exp()).alias("move"),
            pl.col("ratio").max(),
            pl.lit(written_length(window * bar)).alias("span"),
        )
        .select(pl.col(name).cast(kind) for name, kind in _EPISODE.items())
    )
