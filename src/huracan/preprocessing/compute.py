"""Candles to features: one segment at a time, float64 inside, float32 out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import CandleError, FeatureError
from huracan.market import with_segments
from huracan.preprocessing.indicators import Bars
from huracan.preprocessing.spec import FeatureSpec

__all__ = ["compute_features", "segment_bounds"]

_PRICES = ("open", "high", "low", "close")


def compute_features(features: Sequence[FeatureSpec], required: Sequence[str], candles: pl.DataFrame) -> pl.DataFrame:
    """Compute every feature on every segment; see :meth:`huracan.preprocessing.FeatureRecipe.compute`."""
    keys = _keys(candles, required)
    columns = {name: _values(candles, name) for name in required if name not in ("symbol", "ts")}
    ts = keys["ts"].dt.epoch("ms").to_numpy()
    names = [column for spec in features for column in spec.columns]
    out = [np.empty(candles.height, np.float32) for _ in names]
    with np.errstate(over="ignore"):  # what overflows float32 is found below, by name and time
        for start, stop in segment_bounds(keys):
            bars = Bars({name: values[start:stop] for name, values in columns.items()}, ts[start:stop])
            at = 0
            for spec in features:
                for values in spec.compute(bars):
                    out[at][start:stop] = values
                    at += 1
    return keys.with_columns(_series(name, values, keys) for name, values in zip(names, out, strict=True))


def segment_bounds(keys: pl.DataFrame) -> list[tuple[int, int]]:
    """First row and end of every run of one symbol and segment.

    >>> segment_bounds(pl.DataFrame({"symbol": ["A", "A", "A", "B"], "segment": [0, 0, 1, 0]}))
    [(0, 2), (2, 3), (3, 4)]
    """
    if keys.is_empty():
        return []
    new = (keys["symbol"] != keys["symbol"].shift(1)) | (keys["segment"] != keys["segment"].shift(1))
    starts = np.flatnonzero(new.fill_null(True).to_numpy())
    return list(zip(starts.tolist(), [*starts[1:].tolist(), keys.height]))


def _keys(candles: pl.DataFrame, required: Sequence[str]) -> pl.DataFrame:
    if not isinstance(candles, pl.DataFrame):
        raise CandleError(f"a {type(candles).__name__} was given; read_candles turns it into the polars frame expected here.")
    missing = [c for c in required if c not in candles.columns]
    if missing:
        raise CandleError(f"column '{missing[0]}' is missing; the recipe reads {', '.join(required)}.")
    if not isinstance(candles.schema["ts"], pl.Datetime):
        raise CandleError(f"column 'ts' is {candles.schema['ts']}; a UTC datetime was expected. read_candles makes it one.")
    same = candles["symbol"] == candles["symbol"].shift(1)
    back = (same & (candles["ts"] <= candles["ts"].shift(1))).fill_null(False) | (
        (candles["symbol"] < candles["symbol"].shift(1)).fill_null(False)
    )
    if back.any():
        row = int(back.arg_max() or 0)
        raise CandleError(
            f"row {row} ({candles['symbol'][row]}, {candles['ts'][row]}) does not come after row {row - 1} "
            f"({candles['symbol'][row - 1]}, {candles['ts'][row - 1]}); candles go by symbol and time, each once."
        )
    if "segment" in candles.columns:
        return candles.select(pl.col("symbol").cast(pl.String), "ts", pl.col("segment").cast(pl.Int32))
    keys = candles.select(pl.col("symbol").cast(pl.String), "ts")
    if same.any():
        return with_segments(keys)
    return keys.with_columns(pl.lit(0, pl.Int32).alias("segment"))


def _values(candles: pl.DataFrame, name: str) -> NDArray[np.float64]:
    values = candles[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    bad = ~np.isfinite(values) | ((values <= 0.0) if name in _PRICES else (values < 0.0))
    if bad.any():
        row = int(np.argmax(bad))
        expected = "a positive number" if name in _PRICES else "a number of at least 0"
        where = f"row {row} ({candles['symbol'][row]}, {candles['ts'][row]})"
        raise CandleError(f"column '{name}' holds {candles[name][row]} in {where}; {expected} was expected.")
    return values


def _series(name: str, values: NDArray[np.float32], keys: pl.DataFrame) -> pl.Series:
    infinite = np.isinf(values)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise FeatureError(
            f"feature '{name}' is infinite in row {row} ({keys['symbol'][row]}, {keys['ts'][row]}); "
            "an indicator gives NaN where it is undefined."
        )
    return pl.Series(name, values).fill_nan(None)
