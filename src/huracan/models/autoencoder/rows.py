"""What the autoencoder reads, as one table sorted by symbol and time with the unbroken bars before each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.baselines.inputs import require_finite
from huracan.dataset import TimeSource, TrainingSet, as_matrix
from huracan.errors import DataError
from huracan.preprocessing import FeatureRecipe, feature
from huracan.preprocessing.lags import ordered_bounds

__all__ = ["BarRows", "candle_recipe"]

_CANDLES = {"symbol", "ts", "open", "high", "low", "close", "volume"}


def candle_recipe(bars: int = 240) -> FeatureRecipe:
    """What an anomaly in candles shows in: return, gap, body, wicks, range and volume, each against the last ``bars`` bars.

    Causal as every recipe, and the same for coins of any price, volatility and volume.

    >>> candle_recipe(48).lookback
    48
    """
    return FeatureRecipe(
        [
            feature("log_return_scaled", horizon=1, volatility_window=bars),
            feature("open_gap", volatility_window=bars),
            feature("candle_shape"),
            feature("relative_range", window=bars),
            feature("relative_volume", window=bars),
        ]
    )


@dataclass(frozen=True, eq=False)
class BarRows:
    """A table of bars, and how rows as given map to it.

    Attributes
    ----------
    matrix : float32 (bars, features), those of one symbol together, oldest first. names : of its columns.
    place : int64 (n,), bar that each given row, or the last bar of each given window, is at.
    before : int64 (n,), unbroken complete bars before it.
    time : (n,), of each given row: datetime64, or its number where there is no time.
    views : groups of columns (numbers) that explain each other, where the kind of input says so.
    """

    matrix: NDArray[np.float32]
    names: tuple[str, ...]
    place: NDArray[np.int64]
    before: NDArray[np.int64]
    time: NDArray[Any]
    views: tuple[tuple[int, ...], ...] | None = None

    @classmethod
    def of(cls, X: Any, *, reference: int) -> BarRows:
        """Read candles, a feature frame with ``symbol`` and ``ts``, a ``TrainingSet``, rows (n, d) or windows (n, length, d).

        Parameters
        ----------
        X : see :class:`~huracan.models.autoencoder.estimator.Autoencoder`.
        reference : bars that candles are compared with, see :func:`candle_recipe`.

        Raises
        ------
        DataError : a value is not finite (column and row or time are named), or a frame is not sorted by symbol and time.
        """
        if isinstance(X, TrainingSet):
            return cls._of_training_set(X)
        if isinstance(X, pl.DataFrame) and {"symbol", "ts"} <= set(X.columns):
            return cls._of_frame(X, reference)
        array = np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X)
        if array.ndim == 3:
            n, length, width = array.shape
            matrix = np.ascontiguousarray(array.reshape(n * length, width), dtype=np.float32)
            names = tuple(f"x{i}" for i in range(width))
            require_finite(matrix, names)
            place = np.arange(1, n + 1, dtype=np.int64) * length - 1
            return cls(matrix, names, place, np.full(n, length - 1, np.int64), np.arange(n))
        matrix, names = as_matrix(X)
        require_finite(matrix, names)
        row = np.arange(len(matrix), dtype=np.int64)
        return cls(matrix, names, row, row, row)

    @classmethod
    def _of_training_set(cls, rows: TrainingSet) -> BarRows:
        from huracan.training.windows import bars_before

        bad = ~np.isfinite(rows.X).all(axis=1)
        if bad.any():
            at = int(np.argmax(bad))
            column = rows.feature_names[int(np.argmax(~np.isfinite(rows.X[at])))]
            raise DataError(
                f"column '{column}' is not finite in row {at} ({rows.symbol[at]}, {rows.ts[at]}); finite numbers were expected."
            )
        step = rows.bar_length if rows.time_source is TimeSource.CANDLES else None
        order = np.lexsort((rows.ts, rows.symbol_code))
        before = bars_before(rows.symbol_code[order], rows.segment[order], rows.ts[order], step)
        place = np.empty(len(rows), np.int64)
        place[order] = np.arange(len(rows))
        return cls(np.ascontiguousarray(rows.X[order]), rows.feature_names, place, before[place], rows.ts)

    @classmethod
    def _of_frame(cls, frame: pl.DataFrame, reference: int) -> BarRows:
        """Candles become features of :func:`candle_recipe`; rows that miss a feature (warm-up) break a window."""
        candles = set(frame.columns) >= _CANDLES
        features = candle_recipe(reference).compute(frame) if candles else frame
        if "segment" not in features.columns:
            features = features.with_columns(segment=pl.lit(0, pl.Int32))
        names = tuple(name for name in features.columns if name not in ("symbol", "ts", "segment"))
        matrix = np.column_stack([features[name].cast(pl.Float32).fill_null(np.nan).to_numpy() for name in names])
        infinite = np.isinf(matrix)
        if infinite.any():
            at, column = map(int, np.argwhere(infinite)[0])
            symbol, ts = features["symbol"][at], features["ts"][at]
            raise DataError(f"column '{names[column]}' is infinite in row {at} ({symbol}, {ts}); a finite number was expected.")
        row = np.arange(len(matrix), dtype=np.int64)
        last_hole = np.maximum.accumulate(np.where(np.isnan(matrix).any(axis=1), row, -1))
        begins = np.zeros(len(matrix), np.int64)
        for start, stop in ordered_bounds(features):
            begins[start:stop] = start
        before = np.minimum(row - begins, row - last_hole - 1)
        views = _views_of_candles(names) if candles else None
        return cls(np.nan_to_num(matrix), names, row, before, features["ts"].to_numpy(), views)

    def complete(self, length: int) -> NDArray[np.bool_]:
        """Whether each given row has a whole window of ``length`` bars."""
        return self.before >= length - 1


def _views_of_candles(names: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Price and volume: each is forecast from the other."""
    volume = tuple(i for i, name in enumerate(names) if "volume" in name)
    return tuple(i for i in range(len(names)) if i not in volume), volume
