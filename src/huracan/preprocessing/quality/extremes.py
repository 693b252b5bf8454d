"""Outlier returns, flash crashes, jumps of the price scale: flagged and never repaired, for most of them are real."""

from __future__ import annotations

from collections.abc import Iterator

import bottleneck as bn
import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.market.segments import written_length
from huracan.preprocessing.quality.findings import QualityCheck, Severity, found, moment, none_found, said_time
from huracan.preprocessing.quality.series import CandleArrays

__all__ = ["crashes", "extremes", "price_scale"]

HALF_LIFE = 240
"""Bars in which the memory of what is usual (the local range and the local size of a return) halves."""
OUTLIER = 12.0
"""A return this many times the local mean absolute return is an outlier (over nine Gaussian standard deviations)."""
CRASH_RATIO, CRASH_MOVE = 8.0, 0.05
"""A flash crash: a range this many times the local one, and at least this large (log price), within ten minutes or one bar."""
JUMP = 1.4
"""Between two bars, where nothing trades, a factor this large that lasts is a change of scale."""
SPIKE = 5.0
"""A close this many times off both its neighbours, which agree, is a bad tick."""

Array = NDArray[np.float64]

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


def extremes(bars: CandleArrays) -> Iterator[QualityCheck]:
    """Returns far out of their local scale, and flash crashes: flagged because they are real."""
    far: list[NDArray[np.int64]] = []
    for _, rows, _ in bars.parts():
        usual, floor = _local_mean(bars.move[rows], 1)
        with np.errstate(invalid="ignore"):
            far.append(rows.start + np.flatnonzero(bars.move[rows] > OUTLIER * np.maximum(usual, floor)))
    said = f"{{thing}} with a return over {OUTLIER:.0f} times its local size, first {{first}}"
    yield from found(bars, "outlier returns", np.concatenate(far), Severity.NOTE, said, warn=0.005)
    episodes = crashes(bars)
    size = dict(zip(bars.symbols, np.diff(bars.start).tolist()))
    for symbol, first, last, count, move, ratio, span in episodes.iter_rows():
        when = f"at {said_time(first)}" if first == last else f"between {said_time(first)} and {said_time(last)}"
        said = (
            f"{symbol}: the low was {move:.1%} below the high within {span}, {ratio:.0f} times the usual range, {when}; "
            "flagged, not repaired."
        )
        yield QualityCheck("flash crash", symbol, count, count / size[symbol], first, last, Severity.WARNING, said)
    if episodes.is_empty():
        yield none_found("flash crash", "no flash crash was found.")


def price_scale(bars: CandleArrays) -> Iterator[QualityCheck]:
    """Prices that are another number of units from one bar to the next, and single closes that are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        between = bars.open[1:] / bars.close[:-1]
        within = bars.close[1:] / bars.close[:-1]
        jumped = 1 + np.flatnonzero((between > JUMP) | (between < 1 / JUMP))
        spiked = 1 + np.flatnonzero((within > SPIKE) | (within < 1 / SPIKE))
    lasting = [check for row in jumped if (check := _rescaled(bars, int(row), float(between[row - 1]))) is not None]
    yield from lasting or [none_found("price scale", "no price changes its scale.")]
    inner = spiked[(spiked + 1 < len(bars)) & ~np.isin(spiked, bars.start) & ~np.isin(spiked + 1, bars.start)]
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.abs(np.log(bars.close[inner + 1] / bars.close[inner])) > np.log(SPIKE)
        agree = np.abs(np.log(bars.close[inner + 1] / bars.close[inner - 1])) < 0.25
    said = f"{{thing}} with a close over {SPIKE:.0f} times off both neighbours, which agree, first {{first}}"
    yield from found(bars, "bad ticks", inner[out & agree], Severity.WARNING, said)


def _rescaled(bars: CandleArrays, row: int, factor: float) -> QualityCheck | None:
    """The finding that prices from ``row`` on are ``factor`` times those before, if that lasts."""
    i = int(np.searchsorted(bars.start, row, side="right")) - 1
    begin, end = int(bars.start[i]), int(bars.start[i + 1])
    before, after = bars.close[max(row - 10, begin) : row], bars.close[row : min(row + 10, end)]
    before, after = before[before > 0], after[after > 0]
    if row == begin or not 0.0 < factor < np.inf or len(before) < 3 or len(after) < 3:
        return None
    near = _round_factor(factor)
    if abs(np.log(np.median(after) / np.median(before) / factor)) > 0.25 or (near is None and not bars.regular[row]):
        return None  # it does not last; or the price had a gap to move by itself
    symbol, at, last = bars.symbols[i], moment(bars.ts[row]), moment(bars.ts[end - 1])
    said = (
        f"{symbol}: prices are {factor:.4g} times those of the bar before from {said_time(at)} on"
        f"{f', near {near}' if near else ''}: a split, a redenomination, another unit or another contract."
    )
    return QualityCheck("price scale", symbol, end - row, (end - row) / (end - begin), at, last, Severity.WARNING, said)


def crashes(bars: CandleArrays) -> pl.DataFrame:
    """Episodes in which the range of the last ten minutes (or of one longer bar) left its local scale.

    Returns
    -------
    ``[symbol, first, last, bars, move, ratio, span]``: ``move`` is how far the low was below the high, a fraction,
    ``ratio`` the range over its local mean. Flagged moments within an hour of each other are one episode.
    """
    near = [part for symbol, rows, bar in bars.parts() if bar and (part := _wide(bars, symbol, rows, bar)).height]
    if not near:
        return pl.DataFrame(schema=_EPISODE)
    wide = pl.concat(near)
    # Where at least half of three or more symbols crash at once, the others crash at half the ratio.
    times, alive = np.unique(bars.ts[np.isin(bars.ts, wide["ms"].to_numpy())], return_counts=True)
    wide = wide.join(pl.DataFrame({"ms": times, "alive": alive}), on="ms", how="left")
    strong = pl.col("ratio") >= CRASH_RATIO
    together = (pl.col("alive") >= 3) & (strong.sum().over("ms", "bar") * 2 >= pl.col("alive"))
    hit = wide.filter(strong | together).sort("symbol", "ms")
    apart = pl.max_horizontal(pl.lit(3_600_000), pl.col("bar"))
    new = (pl.col("symbol") != pl.col("symbol").shift(1)) | (pl.col("ms").diff() > apart)
    hit = hit.with_columns(episode=new.fill_null(True).cum_sum())
    time = pl.Datetime("ms", "UTC")
    return (
        hit.group_by("symbol", "episode", maintain_order=True)
        .agg(
            (pl.col("ms").min() - (pl.col("window").first() - 1) * pl.col("bar").first()).cast(time).alias("first"),
            pl.col("ms").max().cast(time).alias("last"),
            pl.len().cast(pl.Int64).alias("bars"),
            (1 - (-pl.col("range").max()).exp()).alias("move"),
            pl.col("ratio").max(),
            (pl.col("window").first() * pl.col("bar").first())
            .map_elements(written_length, return_dtype=pl.String)
            .alias("span"),
        )
        .select(_EPISODE.names())
    )


def _wide(bars: CandleArrays, symbol: str, rows: slice, bar: int) -> pl.DataFrame:
    """Bars of one symbol whose range over the window is large and over half the ratio of a crash."""
    window = min(10, max(1, 600_000 // bar))
    high, low = bars.high[rows], bars.low[rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        if not ((low > 0).all() and (high >= low).all() and (high < np.inf).all()):
            usable = (low > 0) & (high < np.inf) & (high >= low)
            high, low = np.where(usable, high, np.nan), np.where(usable, low, np.nan)
        if window > 1 and len(high) >= window:
            high, low = bn.move_max(high, window), bn.move_min(low, window)
            ts = bars.ts[rows]
            whole = np.zeros(len(ts), bool)
            whole[window - 1 :] = ts[window - 1 :] - ts[: len(ts) - window + 1] == (window - 1) * bar
            high = np.where(whole, high, np.nan) if not whole[window - 1 :].all() else high
        elif window > 1:
            return pl.DataFrame()
        spread = np.log(high / low)
        usual, floor = _local_mean(spread, window)
        ratio = spread / np.maximum(usual, floor)
        hit = np.flatnonzero((spread >= CRASH_MOVE) & (ratio >= CRASH_RATIO / 2))
    if not len(hit):
        return pl.DataFrame()
    constant = {"symbol": symbol, "bar": bar, "window": window}
    found_rows = pl.DataFrame({"ms": bars.ts[rows][hit], "range": spread[hit], "ratio": ratio[hit]})
    return found_rows.with_columns(pl.lit(value).alias(name) for name, value in constant.items())


def _local_mean(values: Array, lag: int) -> tuple[Array, float]:
    """Exponentially weighted mean of the known values up to ``lag`` rows ago, NaN before thirty are known; and a floor.

    The weights are those of the values that are known: a gap does not make the past fade. The floor, a quarter of the
    mean of all, keeps a quiet stretch from making everything after it an outlier.
    """
    from scipy.signal import lfilter  # takes a third of a second to import

    known = ~np.isnan(values)
    mean = np.full(len(values), np.nan)
    complete = known.all()
    kept = values if complete else values[known]
    if len(kept) < 30:
        return mean, float("nan")
    decay = 0.5 ** (1.0 / HALF_LIFE)
    smooth = lfilter([1.0 - decay], [1.0, -decay], kept)
    head = min(len(kept), 60 * HALF_LIFE)  # beyond it the weights sum to 1 in double precision
    smooth[:head] /= 1.0 - decay ** np.arange(1, head + 1)
    smooth[:29] = np.nan
    if not complete:
        count = np.cumsum(known)
        smooth = np.where(count > 0, smooth[np.maximum(count - 1, 0)], np.nan)
    mean[lag:] = smooth[: len(values) - lag]
    return mean, float(kept.mean()) / 4


def _round_factor(factor: float) -> str | None:
    """``x 10`` or ``1 / 5`` where a factor is within 5 % of what splits and redenominations use."""
    size = max(factor, 1 / factor)
    for k in (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100, 1000, 10_000, 100_000, 1_000_000):
        if abs(size / k - 1) <= 0.05:
            return f"x {k:,}" if factor > 1 else f"1 / {k:,}"
    return None
