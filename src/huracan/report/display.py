"""Candles and curves made small enough for a screen, without hiding what matters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.market.segments import written_length
from huracan.model_info import MarketRegime

__all__ = ["MOST_SYMBOLS", "REGIMES", "ShownCandles", "most_traded", "shown_candles", "thinned"]

MOST_SYMBOLS = 8
"""Candles are drawn for so many symbols."""

REGIMES: tuple[str, ...] = tuple(str(regime) for regime in MarketRegime)
"""Regimes in the order they are drawn."""

_LENGTHS = tuple(
    1000 * s
    for s in (
        60,
        180,
        300,
        900,
        1_800,
        3_600,
        7_200,
        14_400,
        21_600,
        28_800,
        43_200,
        86_400,
        2 * 86_400,
        3 * 86_400,
        4 * 86_400,
        7 * 86_400,
    )
)


@dataclass(frozen=True, eq=False)
class ShownCandles:
    """Bars of one symbol as they are drawn.

    Attributes
    ----------
    start : epoch milliseconds of slot 0. bar, source_bar : length of a drawn and of an original bar, milliseconds.
    slot : int64 (n,), bars since ``start``; what is missing leaves a hole. open, high, low, close, volume : float64 (n,).
    regime : int64 (n,), index into :data:`REGIMES`, -1 where it is not known.
    """

    symbol: str
    start: int
    bar: int
    source_bar: int
    slot: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    regime: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.slot)

    @property
    def n_slots(self) -> int:
        """Width of the chart in bars."""
        return int(self.slot[-1]) + 1 if len(self) else 1

    @property
    def said(self) -> str:
        """What one drawn bar is, in words."""
        drawn, found = written_length(self.bar), written_length(self.source_bar)
        return f"{drawn} bars" if self.bar == self.source_bar else f"{drawn} bars made of {found} bars"


def most_traded(candles: pl.DataFrame, most: int = MOST_SYMBOLS) -> list[str]:
    """The symbols with the largest traded value, largest first; ties by name.

    >>> frame = pl.DataFrame({"symbol": ["A", "B", "B"], "close": [1.0, 2.0, 2.0], "volume": [3.0, 1.0, 1.0]})
    >>> most_traded(frame, 1)
    ['B']
    """
    value = (pl.col("close") * pl.col("volume")).fill_nan(0.0).fill_null(0.0).sum().alias("value")
    ranked = candles.group_by("symbol").agg(value).sort(["value", "symbol"], descending=[True, False])
    return [str(symbol) for symbol in ranked["symbol"].head(most)]


def shown_candles(candles: pl.DataFrame, regimes: pl.DataFrame, symbol: str, *, most: int, tail: bool = False) -> ShownCandles:
    """Make at most ``most`` bars of a symbol: the whole span in longer bars, or with ``tail`` its last bars as they are.

    The regime of a longer bar is the one that held for most of it.
    """
    mine = candles.filter(pl.col("symbol") == symbol).sort("ts").drop_nulls(["open", "high", "low", "close"])
    mine = mine.filter(pl.all_horizontal(pl.col("open", "high", "low", "close").is_finite()))
    ms = mine["ts"].dt.epoch("ms").to_numpy()
    source_bar = _usual_step(ms)
    if tail:
        mine, ms = mine.tail(most), ms[-most:]
    bar = source_bar if tail else _drawn_length(ms, source_bar, most)
    start = int(ms[0]) // bar * bar if len(ms) and bar != source_bar else int(ms[0]) if len(ms) else 0
    code = {name: i for i, name in enumerate(REGIMES)}
    named = regimes.filter(pl.col("symbol") == symbol).select(
        pl.col("ts"), pl.col("regime").cast(pl.String).replace_strict(code, default=None, return_dtype=pl.Int64)
    )
    named = named.with_columns(pl.col("ts").cast(mine.schema["ts"])).unique("ts", keep="first")
    joined = mine.join(named, on="ts", how="left", maintain_order="left")
    drawn = (
        joined.with_columns(((pl.col("ts").dt.epoch("ms") - start) // bar).alias("slot"))
        .group_by("slot")
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").fill_nan(0.0).sum(),
            pl.col("regime").drop_nulls().mode().min(),
        )
        .sort("slot")
    )
    column = {name: drawn[name].cast(pl.Float64).to_numpy() for name in ("open", "high", "low", "close", "volume")}
    regime = drawn["regime"].cast(pl.Int64).fill_null(-1).to_numpy()
    return ShownCandles(symbol, start, bar, source_bar, drawn["slot"].cast(pl.Int64).to_numpy(), **column, regime=regime)


def thinned(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """Keep at most about ``most`` rows: the first, the last, and evenly many between.

    >>> thinned(pl.DataFrame({"x": range(100)}), 5)["x"].to_list()
    [0, 25, 50, 74, 99]
    """
    if frame.height <= most:
        return frame
    return frame[np.unique(np.linspace(0, frame.height - 1, most).round().astype(np.int64)).tolist()]


def _usual_step(ms: NDArray[np.int64]) -> int:
    if len(ms) < 2:
        return 86_400_000
    steps, counts = np.unique(np.diff(ms), return_counts=True)
    usual = int(steps[np.argmax(np.where(steps > 0, counts, 0))])
    return usual if usual > 0 else 86_400_000


def _drawn_length(ms: NDArray[np.int64], source_bar: int, most: int) -> int:
    if not len(ms):
        return source_bar
    span = int(ms[-1] - ms[0]) + source_bar
    if span // source_bar <= most:
        return source_bar
    fitting = (length for length in _LENGTHS if length > source_bar and length % source_bar == 0 and span / length <= most)
    return next(fitting, -(-span // (most * source_bar)) * source_bar)
