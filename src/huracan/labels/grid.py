"""Candles as plain arrays with the end of every segment, and the frame that label functions give back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import CandleError, DataError
from huracan.labels.uniqueness import uniqueness_weights
from huracan.market import with_segments

__all__ = ["DEFAULT_VOLATILITY_SPAN", "BarGrid", "Weights", "label_frame", "require_horizon"]

Weights = Literal["uniform", "uniqueness"]

DEFAULT_VOLATILITY_SPAN = 100
"""Bars; Lopez de Prado (2018), snippet 3.1, uses the same span."""

_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class BarGrid:
    """Candles as arrays of one length.

    ``segment_end[i]`` is the position after the last bar of the segment that bar i belongs to; ``volatility`` is the
    causal standard deviation of one bar's log return, NaN while warming up.
    """

    keys: pl.DataFrame
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    segment_end: NDArray[np.int64]
    volatility: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.open)

    @classmethod
    def of(cls, candles: pl.DataFrame, volatility_span: int) -> BarGrid:
        """Read candles; prices must be finite and positive and rows sorted by ``(symbol, ts)``."""
        if volatility_span < 2:
            raise DataError(f"volatility_span is {volatility_span}; at least 2 bars were expected.")
        if not isinstance(candles, pl.DataFrame):
            raise CandleError(f"candles are a {type(candles).__name__}; a polars DataFrame of canonical candles was expected.")
        missing = [name for name in ("symbol", "ts", *_PRICES) if name not in candles.columns]
        if missing:
            raise CandleError(f"candles lack the column(s) {', '.join(missing)}; labels need symbol, ts, {', '.join(_PRICES)}.")
        _require_order(candles)
        _require_prices(candles)
        numbered = with_segments(candles)
        starts = numbered.select(
            pl.col("symbol").ne_missing(pl.col("symbol").shift()) | pl.col("segment").ne_missing(pl.col("segment").shift())
        ).to_series()
        start = np.flatnonzero(starts.to_numpy())
        length = np.diff(np.append(start, candles.height))
        price = {name: candles[name].cast(pl.Float64).to_numpy() for name in _PRICES}
        return cls(
            keys=candles.select("symbol", "ts"),
            open=price["open"],
            high=price["high"],
            low=price["low"],
            segment_end=np.repeat(start + length, length),
            volatility=ewma_volatility(price["close"], np.repeat(start, length), volatility_span),
        )


def ewma_volatility(close: NDArray[np.float64], segment_start: NDArray[np.int64], span: int) -> NDArray[np.float64]:
    """Root of the exponentially weighted mean of squared log returns, known at the close of each bar.

    The mean return is taken as zero (RiskMetrics, 1996, section 5.2); weights are renormalised over the bars there are.
    It begins anew in every segment and is NaN until half a span of returns has been seen.
    """
    n = len(close)
    returns = np.full(n, np.nan)
    if n > 1:
        returns[1:] = np.log(close[1:] / close[:-1])
    first = np.arange(n) == segment_start
    returns[first] = np.nan
    square = pl.DataFrame({"square": returns**2, "segment": segment_start}).with_columns(pl.col("square").fill_nan(None))
    mean = square.select(
        pl.col("square").ewm_mean(span=span, adjust=True, min_samples=(span + 1) // 2).over("segment").alias("mean")
    )
    return np.sqrt(mean["mean"].fill_null(np.nan).to_numpy())


def label_frame(
    grid: BarGrid,
    label: NDArray[np.float64],
    end: NDArray[np.int64],
    execution_return: NDArray[np.float64],
    weights: Weights,
) -> pl.DataFrame:
    """Put a label frame together; ``end`` is the position of the bar whose open is the label's end.

    Rows whose label is NaN have neither a label, an end nor a return.
    """
    if weights not in ("uniform", "uniqueness"):
        raise DataError(f"weights is {weights!r}; 'uniform' or 'uniqueness' was expected.")
    known = np.isfinite(label)
    position = np.where(known, end, 0)
    frame = grid.keys.with_columns(
        label=_nullable(label, known),
        label_end=pl.when(pl.Series(known)).then(grid.keys["ts"].gather(position)).cast(pl.Datetime("ms", "UTC")),
        execution_return=_nullable(execution_return, known),
        weight=pl.lit(1.0),
        volatility=_nullable(grid.volatility, np.isfinite(grid.volatility)),
    )
    return frame if weights == "uniform" else frame.with_columns(weight=uniqueness_weights(frame))


def require_horizon(horizon: int) -> int:
    """The horizon in whole bars, at least one."""
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise DataError(f"horizon is {horizon!r}; a whole number of bars, at least 1, was expected.")
    return int(horizon)


def _nullable(values: NDArray[Any], known: NDArray[np.bool_]) -> pl.Series:
    return pl.Series(np.where(known, values, np.nan), dtype=pl.Float64).fill_nan(None)


def _require_prices(candles: pl.DataFrame) -> None:
    for name in _PRICES:
        price = candles[name].cast(pl.Float64)
        bad = ~(price.is_finite() & (price > 0)).fill_null(False)
        if bad.any():
            row = candles.row(int(bad.arg_max() or 0), named=True)
            raise CandleError(
                f"column '{name}' of {row['symbol']} at {row['ts']:%Y-%m-%d %H:%M} UTC holds {row[name]}; "
                "a finite price above 0 was expected."
            )


def _require_order(candles: pl.DataFrame) -> None:
    for name in ("symbol", "ts"):
        empty = candles[name].is_null()
        if empty.any():
            raise CandleError(f"column '{name}' is empty in row {empty.arg_max()}; every candle needs it.")
    ordered = candles.select(
        (pl.col("symbol") > pl.col("symbol").shift())
        | ((pl.col("symbol") == pl.col("symbol").shift()) & (pl.col("ts") > pl.col("ts").shift()))
    ).to_series()
    wrong = ~ordered.fill_null(True)
    if wrong.any():
        row = candles.row(int(wrong.arg_max() or 0), named=True)
        raise CandleError(
            f"{row['symbol']} at {row['ts']:%Y-%m-%d %H:%M} UTC is not after the row above it; "
            "candles sorted by (symbol, ts), each time once, were expected."
        )
