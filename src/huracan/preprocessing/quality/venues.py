"""Another market under the same name: against candles that are trusted, and from one part of a series to the next."""

from __future__ import annotations

from collections.abc import Iterator

import bottleneck as bn
import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from huracan.market.segments import written_length
from huracan.preprocessing.quality.findings import MOST_DRAWN, QualityCheck, Severity, moment, none_found, said_time
from huracan.preprocessing.quality.series import CandleArrays

__all__ = ["other_venue", "venue_change"]

BLOCK, BLOCKS = 240, 24
"""A change of venue is looked for between this many blocks of bars before and after."""
APART = 0.6
"""Log distance between the deciles of volume per move on either side that counts as a change.

Measured on eight real coins of 216,000 minutes each: at most .29. A tenfold change of volume is found, a fourfold one
where the market itself is steady; a smaller one drowns in what volume does anyway.
"""
_SAMPLE = 2_000


def other_venue(frame: pl.DataFrame, reference: pl.DataFrame, names: dict[str, str] | None = None) -> Iterator[QualityCheck]:
    """Compare volume, highs, lows and clocks with candles that are trusted; shorter bars are joined to the longer ones.

    Parameters
    ----------
    frame, reference : ``[symbol, ts, open, high, low, close, volume]``.
    names : series of ``frame`` -> symbol of ``reference`` it is compared with; by default all, with their own.
    """
    wanted = names if names is not None else {symbol: symbol for symbol in frame["symbol"].unique(maintain_order=True)}
    trusted = reference.unique(["symbol", "ts"], keep="first", maintain_order=True)
    for symbol, other in wanted.items():
        mine = frame.filter(pl.col("symbol") == symbol)
        theirs = trusted.filter(pl.col("symbol") == other)
        mine, theirs = _of_one_length(mine, theirs)
        moved = _shift(mine, theirs)
        if moved is not None:
            yield _shift_check(symbol, moved, mine)
        row = _compared(mine, theirs)
        if row is None:
            said = f"{symbol}: the reference has no bar in common with it; nothing was compared."
            yield QualityCheck("other venue", symbol, 0, 0.0, None, None, Severity.WARNING, said)
            continue
        yield _verdict(symbol, row)


def venue_change(bars: CandleArrays) -> Iterator[QualityCheck]:
    """Look for a lasting jump of volume per price move, which one market does not make overnight."""
    none = True
    for symbol, rows, _ in bars.parts():
        n = (rows.stop - rows.start) // BLOCK * BLOCK
        if n < 2 * BLOCKS * BLOCK:
            continue
        volume = bn.median(bars.volume[rows][:n].reshape(-1, BLOCK), axis=1)
        move = bn.nanmean(bars.move[rows][:n].reshape(-1, BLOCK), axis=1)
        usable = (volume > 0) & (move > 0) & np.isfinite(volume) & np.isfinite(move)
        level = np.log(volume[usable] / move[usable])
        at = np.flatnonzero(usable)
        if len(level) < 2 * BLOCKS:
            continue
        low, high = np.quantile(sliding_window_view(level, BLOCKS), (0.1, 0.9), axis=1)
        before, after = slice(None, -BLOCKS), slice(BLOCKS, None)
        rise, fall = low[after] - high[before], low[before] - high[after]
        apart = np.maximum(rise, fall)
        best = int(apart.argmax())
        if apart[best] < APART:
            continue
        none = False
        row = int(rows.start + at[best + BLOCKS] * BLOCK)
        factor = np.exp(np.median(level[best + BLOCKS : best + 2 * BLOCKS]) - np.median(level[best : best + BLOCKS]))
        count = rows.stop - row
        said = (
            f"{symbol}: from about {said_time(moment(bars.ts[row]))} on, volume for the same price move is {factor:.2g} times "
            "what it was, at once and lastingly; another venue, contract or unit may have been joined on."
        )
        share = count / (rows.stop - rows.start)
        yield QualityCheck(
            "venue change", symbol, count, share, moment(bars.ts[row]), moment(bars.ts[rows.stop - 1]), Severity.WARNING, said
        )
    if none:
        yield none_found("venue change", "no series changes its volume for good from one day to the next.")


def _of_one_length(mine: pl.DataFrame, theirs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both in the longer of their bars, made of the shorter ones where all of these are there."""
    mine, theirs = mine.sort("ts"), theirs.sort("ts")
    lengths = [int(np.median(step)) if len(step := np.diff(frame["ts"].to_physical())) else 0 for frame in (mine, theirs)]
    short, long = sorted(lengths)
    if not short or short == long or long % short:
        return mine, theirs
    if lengths[0] < lengths[1]:
        return _joined(mine, theirs, short, long), theirs
    return mine, _joined(theirs, mine, short, long)


def _joined(frame: pl.DataFrame, like: pl.DataFrame, short: int, long: int) -> pl.DataFrame:
    phase = int(like["ts"].to_physical()[0] % long)
    since = pl.col("ts").to_physical()
    ts = (since - (since - phase) % long).cast(pl.Datetime("ms", "UTC"))
    joined = (
        frame.group_by(ts.alias("ts"), maintain_order=True)
        .agg(
            pl.col("symbol", "open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            pl.len().alias("bars"),
        )
        .filter(pl.col("bars") == long // short)
    )
    return joined.select(frame.columns)


def _compared(mine: pl.DataFrame, theirs: pl.DataFrame) -> dict[str, object] | None:
    both = mine.join(theirs.drop("symbol"), on="ts", how="inner", suffix="_ref", maintain_order="left")
    if both.is_empty():
        return None
    differ = ((pl.col("high") != pl.col("high_ref")) | (pl.col("low") != pl.col("low_ref"))).fill_null(True)
    ratio = pl.col("volume") / pl.when(pl.col("volume_ref") > 0).then(pl.col("volume_ref"))
    return both.select(
        pl.len().alias("bars"),
        ratio.median().alias("ratio"),
        ratio.quantile(0.05).alias("low"),
        ratio.quantile(0.95).alias("high"),
        differ.sum().alias("differ"),
        (pl.col("close") / pl.col("close_ref") - 1).abs().median().alias("apart"),
        pl.col("ts").filter(differ).first().alias("first"),
        pl.col("ts").filter(differ).last().alias("last"),
        pl.col("ts").filter(differ).to_physical().implode().alias("times"),
    ).row(0, named=True)


def _verdict(symbol: str, row: dict[str, object]) -> QualityCheck:
    differ, bars, median = int(row["differ"]), int(row["bars"]), row["ratio"]  # type: ignore[call-overload]
    share = differ / bars
    same = share <= 0.05 and median is not None and 0.8 <= median <= 1.25  # type: ignore[operator]
    volume = (
        "no volume to compare"
        if median is None
        else f"{median:.0%} of the reference's volume (middle nine tenths: {row['low']:.0%} to {row['high']:.0%})"
    )
    closes = f", closes {row['apart']:.3%} apart" if row["apart"] is not None else ""
    said = (
        f"{symbol}: {volume}, and other highs or lows on {share:.0%} of {bars:,} common bars{closes}; "
        f"{'the same venue' if same else 'this looks like another venue'}."
    )
    severity = Severity.ERROR if not same else Severity.NOTE if differ else Severity.OK
    times: list[int] = row["times"]  # type: ignore[assignment]
    drawn = tuple(times[:: -(-len(times) // MOST_DRAWN) or 1])
    return QualityCheck("other venue", symbol, differ, share, row["first"], row["last"], severity, said, drawn)  # type: ignore[arg-type]


def _shift(mine: pl.DataFrame, theirs: pl.DataFrame) -> tuple[int, float, float] | None:
    """By how many milliseconds the reference must move to agree, where that is not 0 and agrees far better."""
    if mine.height < 50 or theirs.height < 50:
        return None
    ts, close = theirs.sort("ts")["ts"].to_physical().to_numpy(), theirs.sort("ts")["close"].to_numpy()
    step = int(np.median(np.diff(ts))) or 60_000
    sample = mine.sort("ts").gather_every(max(1, mine.height // _SAMPLE))
    at, price = sample["ts"].to_physical().to_numpy(), sample["close"].to_numpy()
    quarter = 900_000
    tried = sorted({0, step, -step, *range(-14 * 3_600_000, 14 * 3_600_000 + 1, max(quarter, step))}, key=abs)
    apart = {shift: d for shift in tried if (d := _distance(ts, close, at - shift, price)) is not None}
    if not apart or 0 not in apart:
        return None
    best = min(apart, key=lambda shift: (apart[shift], abs(shift)))
    return (best, apart[best], apart[0]) if best and apart[best] < 0.25 * apart[0] else None


def _distance(
    ts: NDArray[np.int64], close: NDArray[np.float64], at: NDArray[np.int64], price: NDArray[np.float64]
) -> float | None:
    place = np.minimum(np.searchsorted(ts, at), len(ts) - 1)
    common = ts[place] == at
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(price[common] / close[place[common]]))
    apart = apart[np.isfinite(apart)]
    return float(np.minimum(apart, 1.0).mean()) if len(apart) >= 50 else None


def _shift_check(symbol: str, moved: tuple[int, float, float], mine: pl.DataFrame) -> QualityCheck:
    shift, best, here = moved
    late = "later" if shift > 0 else "earlier"
    said = (
        f"{symbol}: its times are {written_length(abs(shift))} {late} than the reference's: closes are {best:.3%} apart "
        f"after that shift and {here:.3%} before it; a time zone, or times of the bars' end."
    )
    first, last = mine["ts"].min(), mine["ts"].max()
    return QualityCheck("clock against reference", symbol, mine.height, 1.0, first, last, Severity.ERROR, said)  # type: ignore[arg-type]
