"""Candles to features: one segment at a time, float64 inside, float32 out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import FeatureError
from huracan.market import CandleSource, bar_length
from huracan.memory import keep_freed_memory
from huracan.preprocessing.candle_checks import as_candles, candle_columns, candle_keys
from huracan.preprocessing.columns import MOST_VIEWS, FeatureColumn
from huracan.preprocessing.indicators import Bars
from huracan.preprocessing.longer_bars import LongerBars
from huracan.preprocessing.rolling import Array
from huracan.preprocessing.spec import FeatureSpec, require_bar

__all__ = ["compare_across", "compute_features", "segment_bounds"]

_MILLISECONDS = pl.Datetime("ms", "UTC")
_ROWS_A_THREAD = 20_000
"""Fewer rows than this are not worth a thread."""


def compute_features(
    features: Sequence[FeatureSpec],
    required: Sequence[str],
    candles: CandleSource,
    *,
    dtype: type[pl.Float32] | type[pl.Float64] = pl.Float32,
    materialise: bool = False,
    threads: int | None = None,
    check_bar: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Compute every feature on every segment; see :meth:`huracan.preprocessing.FeatureRecipe.compute`.

    ``check_bar`` is called with the length of the candles' bars in milliseconds, and raises where it is another one.
    """
    keep_freed_memory()
    candles = as_candles(candles)
    keys, bounds = candle_keys(candles, required)
    columns = candle_columns(candles, required)
    ts = keys["ts"].cast(_MILLISECONDS).to_physical().to_numpy()
    views = not materialise and len(bounds) <= MOST_VIEWS
    groups = _grouped_by_lag(features)
    told = check_bar is not None and len(bounds) < keys.height  # in single bars nothing tells how long one is
    bar = _bar(candles) if told or any(spec.every > 1 or spec.bar for spec in groups) else 0
    require_bar(features, bar)
    if check_bar is not None and told:
        check_bar(bar)
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
    segment = keys["segment"].to_numpy()
    new = np.append(True, segment[1:] != segment[:-1])
    new[np.cumsum(keys["symbol"].rle().struct.field("len").to_numpy())[:-1]] = True
    starts = np.flatnonzero(new)
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
