"""Candles that a stream remembers, and those that come late, as one history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import CandleError
from huracan.preprocessing.online_series import CANDLE_VALUES

__all__ = ["as_remembered", "frame_of"]


def frame_of(remembered: Mapping[str, NDArray[np.float64]]) -> pl.DataFrame:
    """Candles, canonical, sorted by symbol and time, null where a value did not come.

    Parameters
    ----------
    remembered : symbol -> (n, 6), ``[ts, open, high, low, close, volume]``, NaN where a value did not come.
    """
    schema = dict.fromkeys(("ts", *CANDLE_VALUES), pl.Float64)
    frame = pl.concat(
        pl.DataFrame(table, schema=schema, orient="row").select(pl.lit(symbol).alias("symbol"), pl.all())
        for symbol, table in remembered.items()
    )
    opened = pl.from_epoch(pl.col("ts").cast(pl.Int64), time_unit="ms").dt.replace_time_zone("UTC")
    return frame.with_columns(opened.cast(pl.Datetime("ms", "UTC")).alias("ts"), pl.col(CANDLE_VALUES).fill_nan(None)).sort(
        "symbol", "ts"
    )


def as_remembered(given: pl.DataFrame, required: Sequence[str]) -> pl.DataFrame:
    """Candles as :func:`frame_of` has them; what they hold is checked where they are read."""
    missing = [name for name in ("symbol", "ts", *required) if name not in given.columns]
    if missing:
        raise CandleError(f"column '{missing[0]}' is missing; candles with {', '.join(required)} were expected.")
    kind = given.schema["ts"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone != "UTC":
        raise CandleError(f"column 'ts' is {kind}; a UTC datetime was expected. read_candles makes it one.")
    numbers = [name for name in CANDLE_VALUES if name in given.columns]
    for name in numbers:
        if not given.schema[name].is_numeric():
            raise CandleError(f"column '{name}' is {given.schema[name]}; numbers were expected.")
    return given.select(
        pl.col("symbol").cast(pl.String), pl.col("ts").cast(pl.Datetime("ms", "UTC")), pl.col(numbers).cast(pl.Float64)
    )
