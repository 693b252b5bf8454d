"""The single checks: each takes measured candles and yields its findings, a symbol at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import polars as pl

from huracan.market.schema import CANDLE_SCHEMA
from huracan.market.segments import written_length
from huracan.market.validity import impossible_values
from huracan.preprocessing.quality_findings import QualityCheck, Severity, found, none_found, said_time

__all__ = ["grid", "impossible", "other_venue", "spans", "times_as_found", "trading"]

STALE_BARS = 10
"""Bars in a row without any change of price from which on a series counts as stale."""


def times_as_found(frame: pl.DataFrame, zone: str | None, now: dt.datetime) -> Iterator[QualityCheck]:
    """Order of the rows, and times that cannot be."""
    grouped = frame if frame["symbol"].is_sorted() else frame.sort("symbol", maintain_order=True)
    back = (pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("ts") < pl.col("ts").shift(1))
    yield from found(grouped, "unsorted", back, Severity.ERROR, "{count} rows come after a later one, first {first}")
    since = pl.col("ts").dt.epoch("ms")
    epoch = (since >= 0) & (since < 31 * 86_400_000)
    yield from found(frame, "epoch", epoch, Severity.ERROR, "{count} bars say January 1970, first {first}: a unit mistake")
    late = since > int(now.timestamp() * 1000) + 86_400_000
    yield from found(frame, "future", late, Severity.WARNING, "{count} bars lie in the future, first {first}")
    if zone == "UTC":
        yield none_found("time zone", "times are UTC.")
    else:
        said = f"times are in {zone} and were read as such." if zone else "times name no time zone and were read as UTC."
        yield QualityCheck("time zone", None, frame.height, 1.0, None, None, Severity.WARNING, said)


def impossible(frame: pl.DataFrame) -> Iterator[QualityCheck]:
    """Values that no market makes, as :func:`huracan.market.validate_candles` refuses them."""
    names = [f"impossible {name}" for name in ("open", "high", "low", "close", "volume")]
    names += ["high below low", "open outside range", "close outside range"]
    for name, (_, bad, expected) in zip(names, impossible_values(list(CANDLE_SCHEMA)), strict=True):
        said = f"{name} on {{count}} bars, first {{first}}; {expected}"
        yield from found(frame, name, bad, Severity.ERROR, said)


def grid(frame: pl.DataFrame) -> Iterator[QualityCheck]:
    """Duplicates, steps off the grid, gaps and coverage."""
    single = frame.group_by("symbol", maintain_order=True).agg(pl.len(), pl.col("ts").first()).filter(pl.col("len") == 1)
    for symbol, _, ts in single.iter_rows():
        yield QualityCheck(
            "single bar", symbol, 1, 1.0, ts, ts, Severity.ERROR, f"{symbol}: there is one bar; two were expected."
        )
    yield from found(
        frame,
        "duplicates",
        pl.col("step") == 0,
        Severity.ERROR,
        "{count} bars stand at the time of the one before, first {first}",
    )
    off = pl.col("step") % pl.col("bar") != 0
    yield from found(frame, "off-grid", off, Severity.ERROR, "{count} bars are off the grid of the bar length, first {first}")
    missing = pl.when(pl.col("step") > pl.col("bar")).then(pl.col("step") // pl.col("bar") - 1).otherwise(0)
    gaps = (
        frame.with_columns(missing=missing)
        .group_by("symbol", maintain_order=True)
        .agg(
            pl.len().alias("bars"),
            pl.col("missing").sum(),
            (pl.col("missing") > 0).sum().alias("gaps"),
            pl.col("missing").max().alias("longest"),
            pl.col("ts").filter(pl.col("missing") > 0).first().alias("first"),
            pl.col("ts").filter(pl.col("missing") > 0).last().alias("last"),
        )
    )
    whole = True
    for symbol, bars, lost, count, longest, first, last in gaps.filter(pl.col("missing") > 0).iter_rows():
        whole, share = False, lost / (bars + lost)
        severity = Severity.WARNING if share >= 0.01 else Severity.NOTE
        said = f"{symbol}: {lost} bars are missing in {count} gaps, the longest of {longest}; first before {said_time(first)}."
        yield QualityCheck("gaps", symbol, lost, share, first, last, severity, said)
        said = f"{symbol}: {1 - share:.2%} of the bars between its first and last time are there."
        yield QualityCheck("coverage", symbol, bars, 1 - share, first, last, severity, said)
    if whole:
        yield none_found("gaps", "no bar is missing.")
        yield none_found("coverage", "every series is complete between its first and last time.")


def trading(frame: pl.DataFrame) -> Iterator[QualityCheck]:
    """Bars without trades, and prices that stand still."""
    yield from found(
        frame,
        "zero volume",
        pl.col("volume") == 0,
        Severity.NOTE,
        "{count} bars ({share}) have no volume, first {first}",
        warn=0.05,
    )
    yield from found(
        frame, "flat bars", pl.col("flat"), Severity.NOTE, "{count} bars ({share}) have one price only, first {first}", warn=0.1
    )
    runs = frame["still"].rle().struct.unnest().with_columns(start=pl.col("len").cum_sum() - pl.col("len"))
    stale = runs.filter(pl.col("value") & (pl.col("len") >= STALE_BARS))
    marked = runs.select((pl.col("value") & (pl.col("len") >= STALE_BARS)).repeat_by("len").explode()).to_series()
    longest = int(stale["len"].max() or 0)  # type: ignore[arg-type]
    said = (
        f"{{count}} bars ({{share}}) stand in runs of {STALE_BARS} or more without a change of price, first {{first}}, "
        f"longest {longest}"
    )
    frame = frame.with_columns(marked.alias("stale"))
    yield from found(frame, "stale runs", pl.col("stale"), Severity.NOTE, said, warn=0.01)


def spans(frame: pl.DataFrame) -> Iterator[QualityCheck]:
    """Bar lengths, grid phase, and where the series start and end."""
    series = frame.group_by("symbol", maintain_order=True).agg(
        pl.col("bar").first(), pl.col("ts").first().alias("first"), pl.col("ts").last().alias("last"), pl.len().alias("bars")
    )
    lengths = series.drop_nulls("bar").unique("bar", keep="first", maintain_order=True)
    if lengths.height > 1:
        listed = ", ".join(f"{row['symbol']} {written_length(row['bar'])}" for row in lengths.head(4).iter_rows(named=True))
        said = f"bar lengths differ between symbols: {listed}."
        yield QualityCheck("bar length", None, lengths.height, 1.0, None, None, Severity.ERROR, said)
    elif lengths.height:
        yield none_found("bar length", f"all bars last {written_length(lengths['bar'][0])}.")
    shifted = series.filter((86_400_000 % pl.col("bar") == 0) & (pl.col("first").dt.epoch("ms") % pl.col("bar") != 0))
    for row in shifted.iter_rows(named=True):
        said = (
            f"{row['symbol']}: {written_length(row['bar'])} bars open at {said_time(row['first'])}, off the UTC clock; "
            "a time zone or a session may explain it."
        )
        yield QualityCheck("clock", row["symbol"], row["bars"], 1.0, row["first"], row["last"], Severity.WARNING, said)
    if shifted.is_empty():
        yield none_found("clock", "bars open on the UTC clock.")
    if series["first"].n_unique() == 1 and series["last"].n_unique() == 1:
        yield none_found("spans", "all series start and end together.")
        return
    begin, finish = series["first"].max(), series["last"].min()
    early, late = series.sort("first").row(0, named=True), series.sort("first").row(-1, named=True)
    ended, final = series.sort("last").row(0, named=True), series.sort("last").row(-1, named=True)
    common = (finish - begin) / (final["last"] - early["first"])  # type: ignore[operator]
    said = (
        f"series start between {said_time(early['first'])} ({early['symbol']}) and {said_time(late['first'])} "
        f"({late['symbol']}) and end between {said_time(ended['last'])} ({ended['symbol']}) and {said_time(final['last'])} "
        f"({final['symbol']}); {max(common, 0):.0%} of the time is common to all."
    )
    severity = Severity.NOTE if common >= 0.5 else Severity.WARNING
    yield QualityCheck("spans", None, series.height, max(common, 0.0), begin, finish, severity, said)  # type: ignore[arg-type]


def other_venue(frame: pl.DataFrame, reference: pl.DataFrame) -> Iterator[QualityCheck]:
    """Compare volume, highs and lows with candles that are trusted."""
    keys = ["symbol", "ts"]
    both = frame.join(reference.unique(keys, keep="first"), on=keys, how="inner", suffix="_ref")
    differ = (pl.col("high") != pl.col("high_ref")) | (pl.col("low") != pl.col("low_ref"))
    ratio = pl.col("volume") / pl.when(pl.col("volume_ref") > 0).then(pl.col("volume_ref"))
    compared = both.group_by("symbol").agg(
        pl.len().alias("bars"),
        ratio.median().alias("ratio"),
        ratio.quantile(0.05).alias("low"),
        ratio.quantile(0.95).alias("high"),
        differ.sum().alias("differ"),
        (pl.col("close") / pl.col("close_ref") - 1).abs().median().alias("apart"),
        pl.col("ts").filter(differ).first().alias("first"),
        pl.col("ts").filter(differ).last().alias("last"),
    )
    rows = {row["symbol"]: row for row in compared.iter_rows(named=True)}
    for symbol in frame["symbol"].unique(maintain_order=True):
        row = rows.get(symbol)
        if row is None:
            said = f"{symbol}: the reference has no bar in common with it; nothing was compared."
            yield QualityCheck("other venue", symbol, 0, 0.0, None, None, Severity.WARNING, said)
            continue
        share, median = row["differ"] / row["bars"], row["ratio"]
        same = share <= 0.05 and median is not None and 0.8 <= median <= 1.25
        volume = (
            "no volume to compare"
            if median is None
            else f"{median:.0%} of the reference's volume (middle nine tenths: {row['low']:.0%} to {row['high']:.0%})"
        )
        said = (
            f"{symbol}: {volume}, and other highs or lows on {share:.0%} of {row['bars']} common bars, "
            f"closes {row['apart']:.3%} apart; "
            f"{'the same venue' if same else 'this looks like another venue'}."
        )
        severity = Severity.WARNING if not same else Severity.NOTE if row["differ"] else Severity.OK
        yield QualityCheck("other venue", symbol, row["differ"], share, row["first"], row["last"], severity, said)
