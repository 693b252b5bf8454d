"""What the autoencoder reads, as rows in the order of symbol and time with the unbroken bars before each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.baselines.inputs import require_finite
from huracan.dataset import TrainingSet, as_matrix
from huracan.errors import DataError, ModelError
from huracan.models.candle_frames import CANDLE_COLUMNS, as_candles
from huracan.models.validation_tail import disjoint_tail
from huracan.models.windowed_rows import WindowedRows
from huracan.preprocessing import FeatureRecipe, feature
from huracan.preprocessing.lags import ordered_bounds
from huracan.validation.row_times import RowTimes

__all__ = ["BarRows", "CalibrationRows", "candle_recipe"]

_MOST_VIEWS = 16


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
class CalibrationRows:
    """Row numbers (n,), the number of each one's moment (n,), and the bars from one moment to the next."""

    rows: NDArray[np.int64]
    moment: NDArray[np.int64]
    spacing: int

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class BarRows(WindowedRows):
    """Rows of bars with the names of their columns; their values are finite, and a bar that misses one breaks a window.

    Attributes
    ----------
    names : of the columns. views : groups of columns (numbers) that explain each other, where the kind of input says so.
    lookback : bars before a row that its values were computed from.
    """

    names: tuple[str, ...] = ()
    views: tuple[tuple[int, ...], ...] | None = None
    lookback: int = 0

    @classmethod
    def read(cls, X: Any, *, reference: int) -> BarRows:
        """Read candles, a feature frame with ``symbol`` and ``ts``, a ``TrainingSet``, rows (n, d) or windows (n, length, d).

        Parameters
        ----------
        X : see :class:`~huracan.models.autoencoder.estimator.Autoencoder`.
        reference : bars that candles are compared with, see :func:`candle_recipe`.

        Raises
        ------
        DataError : a value is not finite (column and row or time are named), or a frame is not sorted by symbol and time.
        """
        X = as_candles(X)
        if isinstance(X, TrainingSet):
            bad = ~np.isfinite(X.X.sum(axis=1))
            if bad.any():
                at = int(np.argmax(bad))
                column = X.feature_names[int(np.argmax(~np.isfinite(X.X[at])))]
                raise DataError(
                    f"column '{column}' is not finite in row {at} ({X.symbol[at]}, {X.ts[at]}); finite numbers were expected."
                )
            return cls.of(X, names=X.feature_names)
        if isinstance(X, pl.DataFrame) and {"symbol", "ts"} <= set(X.columns):
            return cls._of_frame(X, reference)
        array = np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X)
        if array.ndim == 3:
            names = tuple(f"x{i}" for i in range(array.shape[2]))
            array = np.ascontiguousarray(array, dtype=np.float32)
        else:
            array, names = as_matrix(X)
        require_finite(array.reshape(-1, array.shape[-1]), names)
        return cls.of(array, names=names)

    @classmethod
    def _of_frame(cls, frame: pl.DataFrame, reference: int) -> BarRows:
        """Candles become features of :func:`candle_recipe`; rows that miss a feature (warm-up) break a window.

        Where a frame tells no segments, a step of time that is not its symbol's usual one begins anew.
        """
        candles = set(frame.columns) >= CANDLE_COLUMNS
        recipe = candle_recipe(reference) if candles else None
        features = frame if recipe is None else recipe.compute(frame)
        told = "segment" in features.columns
        if not told:
            features = features.with_columns(segment=pl.lit(0, pl.Int32))
        names = tuple(name for name in features.columns if name not in ("symbol", "ts", "segment"))
        matrix = np.column_stack([features[name].cast(pl.Float32).fill_null(np.nan).to_numpy() for name in names])
        infinite = np.isinf(matrix)
        if infinite.any():
            at, column = map(int, np.argwhere(infinite)[0])
            symbol, ts = features["symbol"][at], features["ts"][at]
            raise DataError(f"column '{names[column]}' is infinite in row {at} ({symbol}, {ts}); a finite number was expected.")
        moment = features["ts"].to_physical().cast(pl.Int64).to_numpy()
        row = np.arange(len(matrix), dtype=np.int64)
        last_hole = np.maximum.accumulate(np.where(np.isnan(matrix).any(axis=1), row, -1))
        begins = np.zeros(len(matrix), np.int64)
        for start, stop in ordered_bounds(features):
            begins[start:stop] = start
            if not told:
                anew = start + 1 + np.flatnonzero(_leaps(moment[start:stop]))
                begins[anew] = anew
        begins = np.maximum.accumulate(begins)
        before = np.minimum(row - begins, row - last_hole - 1)
        times = RowTimes(moment, moment, step=1, clock=False)  # nothing here is labelled
        return cls(
            np.nan_to_num(matrix, copy=False),
            None,
            row.astype(np.int32),
            before.astype(np.int32),
            times,
            names,
            _views_of_candles(names) if candles else None,
            0 if recipe is None else recipe.lookback,
        )

    def checked_views(self, given: Sequence[Sequence[int]] | None) -> tuple[tuple[int, ...], ...]:
        """Groups of columns that are forecast from all others: those given, those of candles, or every column by itself.

        Raises
        ------
        ModelError : a column is in none of the given groups, or in two.
        """
        n = self.values.shape[1]
        if given is None:
            if self.views is not None:
                return self.views
            return tuple(tuple(part.tolist()) for part in np.array_split(np.arange(n), min(n, _MOST_VIEWS)))
        views = tuple(tuple(int(column) for column in view) for view in given)
        if sorted(column for view in views for column in view) != list(range(n)):
            raise ModelError(f"views are {given!r}; every column from 0 to {n - 1} in exactly one of them was expected.")
        return views

    def calibration_tail(
        self, usable: NDArray[np.int64], *, share: float, window: int, fewest: int, most: int
    ) -> tuple[NDArray[np.int64], CalibrationRows]:
        """Row numbers to learn and validate on, and the last ``share``, with no bar in windows of both.

        Where the latter are more than ``most``, they are those of every so-manieth moment, all symbols together; the number
        shares no factor with 60, so that every minute of the hour is among them.
        """
        earlier, late = disjoint_tail(self.times, usable, share=share, window=window, fewest=fewest)
        moment = np.unique(self.times.decision[late], return_inverse=True)[1]
        spacing = max(1, -(-len(late) // most))
        while math.gcd(spacing, 60) > 1:
            spacing += 1
        kept = moment % spacing == 0
        return earlier, CalibrationRows(late[kept], moment[kept] // spacing, spacing)

    def newest(self) -> NDArray[np.int64]:
        """Row numbers of the latest moment."""
        latest = self.times.decision.max(initial=np.iinfo(np.int64).min)
        return np.flatnonzero(self.times.decision == latest)

    def validation_tail(
        self, usable: NDArray[np.int64], *, share: float, window: int, fewest: int, most: int | None, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row numbers to learn from, and later ones; no bar is in windows of both.

        Parameters
        ----------
        share, window, fewest : as :func:`~huracan.models.validation_tail.disjoint_tail` takes them.
        most : rows to learn from, drawn at random where there are more, and a quarter as many to validate; None is all.
        """
        train, tail = disjoint_tail(self.times, usable, share=share, window=window, fewest=fewest)
        if most is not None and len(train) > most:
            rng = np.random.default_rng(seed)
            train = np.sort(rng.choice(train, most, replace=False))
            tail = np.sort(rng.choice(tail, most // 4, replace=False)) if len(tail) > most // 4 else tail
        return train, tail


def _leaps(moment: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each row of one symbol after its first comes at another distance than the usual, the most frequent, one."""
    step = np.diff(moment)
    lengths, counts = np.unique(step, return_counts=True)
    return step != lengths[np.argmax(counts)] if len(step) else np.zeros(0, bool)


def _views_of_candles(names: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Price and volume: each is forecast from the other."""
    volume = tuple(i for i, name in enumerate(names) if "volume" in name)
    return tuple(i for i in range(len(names)) if i not in volume), volume
