"""Candles to features: one segment at a time, float64 inside, float32 out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import CandleError, FeatureError
from huracan.market import bar_length, with_segments
from huracan.preprocessing.columns import MOST_VIEWS, FeatureColumn
from huracan.preprocessing.indicators import Bars
from huracan.preprocessing.longer_bars import LongerBars
from huracan.preprocessing.memory import keep_freed_memory
from huracan.preprocessing.rolling import Array
from huracan.preprocessing.spec import FeatureSpec

__all__ = ["candle_keys", "candle_values", "compare_across", "compute_features", "segment_bounds"]

_PRICES = ("open", "high", "low", "close")
_MILLISECONDS = pl.Datetime("ms", "UTC")
_LEAST_PRICE = 1e-100
"""Prices below this, or above its inverse, are no prices; their squares would leave the range of floats."""
_ROWS_A_THREAD = 20_000
"""Fewer rows than this are not worth a thread."""


def compute_features(
    features: Sequence[FeatureSpec],
    required: Sequence[str],
    candles: pl.DataFrame,
    *,
    dtype: type[pl.Float32] | type[pl.Float64] = pl.Float32,
    materialise: bool = False,
    threads: int | None = None,
) -> pl.DataFrame:
    """Compute every feature on every segment; see :meth:`huracan.preprocessing.FeatureRecipe.compute`."""
    keep_freed_memory()
    keys = candle_keys(candles, required)
    columns = {name: candle_values(candles, name) for name in required if name not in ("symbol", "ts")}
    ts = keys["ts"].cast(_MILLISECONDS).to_physical().to_numpy()
    bounds = segment_bounds(keys)
    views = not materialise and len(bounds) <= MOST_VIEWS
    groups = _grouped_by_lag(features)
    bar = _bar(candles) if any(spec.every > 1 for spec in groups) else 0
    stored = {
        spec: [FeatureColumn(bounds, longest if views else 0, _storage(spec, dtype)) for _ in spec.columns]
        for spec, longest in groups.items()
    }

    def work(segment: int) -> None:
        start, stop = bounds[segment]
        part = {name: values[start:stop] for name, values in columns.items()}
        _compute_segment(stored, part, ts[start:stop], bar, segment)

    _run(work, len(bounds), keys.height, threads)
    _refuse_infinite(stored, keys)
    series = []
    for spec in features:
        places = zip(spec.columns, stored[spec.before_lag], strict=True)
        series += [place.series(name, spec.lag) for name, place in places]
    frame = keys.hstack(series)
    across = [spec for spec in features if spec.cross_section]
    if across:
        kind = pl.Float32 if dtype is pl.Float32 else pl.Float64
        frame = frame.with_columns(
            compare_across(column, spec.cross_section).cast(kind) for spec in across for column in spec.columns
        )
    return frame


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


def compare_across(column: str, method: str) -> pl.Expr:
    """A column compared across the symbols of each ``ts``; null where fewer than two have it."""
    x = pl.col(column)
    count = x.count()
    if method == "rank":
        value = (2.0 * (x.rank() - 1.0) / (count - 1.0)) - 1.0
    elif method == "zscore":
        value = pl.when(x.max() == x.min()).then(0.0).otherwise((x - x.mean()) / x.std())
    else:
        value = x - x.mean()
    return pl.when((count > 1) & x.is_not_null()).then(value).over("ts").alias(column)


def _grouped_by_lag(features: Sequence[FeatureSpec]) -> dict[FeatureSpec, int]:
    """What has to be computed, and the longest lag it is wanted at."""
    groups: dict[FeatureSpec, int] = {}
    for spec in features:
        groups[spec.before_lag] = max(groups.get(spec.before_lag, 0), spec.lag)
    return groups


def _storage(spec: FeatureSpec, dtype: type[pl.DataType]) -> type[np.floating]:
    return np.float32 if dtype is pl.Float32 and not spec.cross_section else np.float64


def _compute_segment(
    stored: dict[FeatureSpec, list[FeatureColumn]], columns: dict[str, Array], ts: NDArray[np.int64], bar: int, segment: int
) -> None:
    bars = Bars(columns, ts)
    longer: dict[int, LongerBars] = {}
    with np.errstate(over="ignore"):  # what overflows float32 is found later, by name and time
        for spec, places in stored.items():
            if spec.every == 1:
                arrays = spec.compute(bars)
            else:
                if spec.every not in longer:
                    longer[spec.every] = LongerBars(columns, ts, bar, spec.every)
                arrays = longer[spec.every].compute(spec)
            for place, values in zip(places, arrays, strict=True):
                place.write(segment, values)


def _run(work: Callable[[int], None], segments: int, rows: int, threads: int | None) -> None:
    """Do the segments, several at a time where that pays: the kernels release Python's lock."""
    workers = min(threads or os.cpu_count() or 1, segments, max(1, rows // _ROWS_A_THREAD))
    if workers <= 1:
        for segment in range(segments):
            work(segment)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work, segment) for segment in range(segments)]:
            done.result()


def _refuse_infinite(stored: dict[FeatureSpec, list[FeatureColumn]], keys: pl.DataFrame) -> None:
    for spec, places in stored.items():
        for name, place in zip(spec.columns, places, strict=True):
            row = place.first_infinite()
            if row is not None:
                raise FeatureError(
                    f"feature '{name}' is infinite in row {row} ({keys['symbol'][row]}, {keys['ts'][row]}); "
                    "an indicator gives NaN where it is undefined."
                )


def _bar(candles: pl.DataFrame) -> int:
    """Bar length in milliseconds."""
    return int(bar_length(candles).total_seconds() * 1000)


def candle_keys(candles: pl.DataFrame, required: Sequence[str]) -> pl.DataFrame:
    """``[symbol, ts, segment]`` of candles in order; ``CandleError`` where they are not, or lack a column."""
    if not isinstance(candles, pl.DataFrame):
        raise CandleError(f"a {type(candles).__name__} was given; read_candles turns it into the polars frame expected here.")
    missing = [c for c in required if c not in candles.columns]
    if missing:
        raise CandleError(f"column '{missing[0]}' is missing; the recipe reads {', '.join(required)}.")
    kind = candles.schema["ts"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone != "UTC":
        raise CandleError(f"column 'ts' is {kind}; a UTC datetime was expected. read_candles makes it one.")
    symbol = candles["symbol"] if candles.schema["symbol"] == pl.String else candles["symbol"].cast(pl.String)
    runs = symbol.rle().struct.unnest()
    steps = np.diff(candles["ts"].to_physical().to_numpy())
    within = np.ones(len(steps), bool)
    within[np.cumsum(runs["len"].to_numpy()[:-1]) - 1] = False
    _refuse_disorder(candles, runs["value"].to_list(), steps, within)
    if "segment" in candles.columns:
        if not _same_throughout(steps, within):
            bar_length(candles)  # refuses symbols with bars of different lengths
        segment = candles["segment"] if candles.schema["segment"] == pl.Int32 else candles["segment"].cast(pl.Int32)
    elif _same_throughout(steps, within):
        segment = pl.Series("segment", np.zeros(candles.height, np.int32))
    else:
        segment = with_segments(candles.select("symbol", "ts"))["segment"]
    return pl.DataFrame([symbol, candles["ts"], segment])


def _refuse_disorder(candles: pl.DataFrame, symbols: list[str], steps: NDArray[np.int64], within: NDArray[np.bool_]) -> None:
    """Rows go by symbol, then by time, each once."""
    back = (steps <= 0) & within
    new = np.flatnonzero(~within)
    back[[at for at, before, after in zip(new, symbols, symbols[1:]) if after < before]] = True
    if back.any():
        row = int(np.argmax(back)) + 1
        raise CandleError(
            f"row {row} ({candles['symbol'][row]}, {candles['ts'][row]}) does not come after row {row - 1} "
            f"({candles['symbol'][row - 1]}, {candles['ts'][row - 1]}); candles go by symbol and time, each once."
        )


def _same_throughout(steps: NDArray[np.int64], within: NDArray[np.bool_]) -> bool:
    """Whether no bar is missing anywhere."""
    if not within.any():
        return True
    bar = steps[int(np.argmax(within))]
    return bool(((steps == bar) | ~within).all())


def candle_values(candles: pl.DataFrame, name: str) -> NDArray[np.float64]:
    """A column of candles as float64; ``CandleError`` names the first row that is no price or volume."""
    column = candles[name] if candles.schema[name] == pl.Float64 else candles[name].cast(pl.Float64)
    values = (column.fill_null(np.nan) if column.null_count() else column).to_numpy()
    lowest, highest = (values.min(), values.max()) if len(values) else (1.0, 1.0)
    least, most = (_LEAST_PRICE, 1.0 / _LEAST_PRICE) if name in _PRICES else (0.0, np.inf)
    if lowest >= least and highest <= most and highest < np.inf:  # false where one is NaN
        return values
    bad = ~(np.isfinite(values) & (values >= least) & (values <= most))
    if bad.any():
        row = int(np.argmax(bad))
        expected = f"a positive number (from {least:g} to {most:g})" if name in _PRICES else "a number of at least 0"
        where = f"row {row} ({candles['symbol'][row]}, {candles['ts'][row]})"
        raise CandleError(f"column '{name}' holds {candles[name][row]} in {where}; {expected} was expected.")
    return values
