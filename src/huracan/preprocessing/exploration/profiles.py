"""Where returns lie, and when the market moves: histogram, volatility over time, time of day and weekday."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["calendar_profile", "histogram", "volatility_over_time"]

SPANS, BINS, REACH = 150, 80, 8.0
"""Spans of the volatility, bins of the histogram, and how many deviations it reaches to either side."""
_DAY, _HOUR = 86_400_000, 3_600_000


def histogram(symbol: str, returns: NDArray[np.float64]) -> pl.DataFrame:
    """Shares of the returns in equal bins, ``[symbol, left, right, share]``; the outer bins hold what lies beyond."""
    known = returns[np.isfinite(returns)]
    scaled = np.clip((known - known.mean()) / known.std(), -REACH, REACH)
    counts, edges = np.histogram(scaled, BINS, (-REACH, REACH))
    shares = counts / len(known)
    return pl.DataFrame({"left": edges[:-1], "right": edges[1:], "share": shares}).select(
        pl.lit(symbol).alias("symbol"), pl.all()
    )


def volatility_over_time(symbol: str, ts: NDArray[np.int64], returns: NDArray[np.float64]) -> pl.DataFrame:
    """Root mean square of one bar's return in spans of equal time: ``[symbol, ts, volatility]``, ``ts`` the middle of each."""
    known = np.isfinite(returns)
    first, last = int(ts[0]), int(ts[-1])
    spans = max(1, min(SPANS, int(known.sum()) // 20))
    length = (last - first) // spans + 1
    which = (ts[known] - first) // length
    square = np.bincount(which, returns[known] ** 2, spans)
    count = np.bincount(which, minlength=spans)
    with np.errstate(invalid="ignore"):
        volatility = np.where(count >= 5, np.sqrt(square / np.maximum(count, 1)), np.nan)
    middle = pl.Series(first + length * np.arange(spans) + length // 2).cast(pl.Datetime("ms", "UTC"))
    return pl.DataFrame({"ts": middle, "volatility": volatility}).select(
        pl.lit(symbol).alias("symbol"), "ts", pl.col("volatility").fill_nan(None)
    )


def calendar_profile(symbol: str, ts: NDArray[np.int64], returns: NDArray[np.float64], bar: int) -> pl.DataFrame:
    """Mean absolute return by hour of the day and by weekday, over that of all: ``[symbol, of, slot, relative_volatility, n]``.

    Hours only for bars of at most an hour, weekdays for those of at most a day.
    """
    known = np.isfinite(returns)
    size, at = np.abs(returns[known]), ts[known]
    usual = size.mean()
    parts = []
    if bar and bar <= _HOUR:
        parts.append(_slots("hour", at % _DAY // _HOUR, size / usual, 24, 0))
    if bar and bar <= _DAY:
        parts.append(_slots("weekday", (at // _DAY + 3) % 7, size / usual, 7, 1))
    schema = {"of": pl.String, "slot": pl.Int32, "relative_volatility": pl.Float64, "n": pl.Int64}
    return pl.concat([pl.DataFrame(schema=schema), *parts]).select(pl.lit(symbol).alias("symbol"), pl.all())


def _slots(of: str, slot: NDArray[np.int64], size: NDArray[np.float64], slots: int, first: int) -> pl.DataFrame:
    count = np.bincount(slot, minlength=slots)
    mean = np.bincount(slot, size, slots) / np.maximum(count, 1)
    frame = pl.DataFrame({"slot": np.arange(first, first + slots, dtype=np.int32), "relative_volatility": mean, "n": count})
    return frame.filter(pl.col("n") > 0).select(pl.lit(of).alias("of"), pl.all())
