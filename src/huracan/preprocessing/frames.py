"""Feature frames in and out: pandas, polars or numpy, keys carried along, the same kind returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import FeatureError

__all__ = ["KEYS", "FeatureFrame", "read_feature_frame"]

KEYS = ("symbol", "ts", "segment")
"""Columns that say whose row it is and when; never treated as features."""

Kind = Literal["numpy", "pandas", "polars"]


@dataclass(frozen=True)
class FeatureFrame:
    """A feature frame taken apart: ``features`` is what scikit-learn checks, ``keys`` and ``index`` wait to be put back."""

    kind: Kind
    features: Any
    names: tuple[str, ...] | None
    keys: Any = None
    index: Any = None

    def matrix(self) -> Any:
        """Values as given for numpy, else a float matrix with NaN where missing."""
        if self.kind == "numpy":
            return self.features
        frame = pl.DataFrame(self.features) if self.kind == "polars" else self.features
        return _matrix_of(frame, self.kind)

    def group_starts(self, n_rows: int) -> NDArray[np.int64]:
        """For every row the first row of its unbroken run of one symbol and segment."""
        new = np.zeros(n_rows, bool)
        new[:1] = True
        if self.keys is not None:
            for name in ("symbol", "segment"):
                if name in self.keys.columns:
                    values = np.asarray(self.keys[name])
                    new[1:] |= values[1:] != values[:-1]
        return np.maximum.accumulate(np.where(new, np.arange(n_rows), 0))

    def times(self) -> tuple[str, str] | None:
        """First and last time, where the frame has times."""
        if self.keys is not None and "ts" in self.keys.columns and len(self.keys):
            column = self.keys["ts"]
            return str(column.min()), str(column.max())
        if getattr(getattr(self.index, "dtype", None), "kind", "") == "M" and len(self.index):
            return str(self.index.min()), str(self.index.max())
        return None

    def rebuild(self, matrix: NDArray[Any], names: Sequence[str]) -> Any:
        """The same kind of frame around new values, keys first."""
        if self.kind == "numpy":
            return matrix
        if self.kind == "polars":
            frame = pl.DataFrame({name: matrix[:, i] for i, name in enumerate(names)})
            return frame if self.keys is None else self.keys.hstack(frame)
        import pandas as pd

        made = pd.DataFrame(matrix, columns=list(names), index=self.index, copy=False)
        return made if self.keys is None else pd.concat([self.keys, made], axis=1)


def read_feature_frame(X: Any) -> FeatureFrame:
    """Take a frame or array apart; columns named ``symbol``, ``ts``, ``segment`` are keys.

    >>> frame = read_feature_frame(pl.DataFrame({"symbol": ["A"], "x": [1.0]}))
    >>> frame.kind, frame.names, frame.keys.columns
    ('polars', ('x',), ['symbol'])
    """
    if isinstance(X, pl.LazyFrame):
        X = X.collect()
    if isinstance(X, pl.DataFrame):
        keys = [c for c in KEYS if c in X.columns]
        features = X.drop(keys)
        return FeatureFrame("polars", features, tuple(features.columns), X.select(keys) if keys else None)
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        keys = [c for c in KEYS if c in X.columns]
        features = X.drop(columns=keys) if keys else X
        names = tuple(features.columns) if all(isinstance(c, str) for c in features.columns) else None
        return FeatureFrame("pandas", features, names, X[keys] if keys else None, X.index)
    return FeatureFrame("numpy", X, None)


def _matrix_of(frame: Any, kind: Kind) -> NDArray[Any]:
    columns = []
    for name in frame.columns:
        column = frame[name]
        if kind == "polars":
            if not (column.dtype.is_numeric() or column.dtype == pl.Boolean or column.dtype == pl.Null):
                raise FeatureError(_not_numeric(name, column.dtype))
            wanted = pl.Float32 if column.dtype == pl.Float32 else pl.Float64
            columns.append(column.cast(wanted).fill_null(np.nan).to_numpy())
            continue
        if getattr(column.dtype, "kind", "O") not in "fiub":
            column = _plain_numbers(column, name)
        wanted_type = np.float32 if column.dtype == np.float32 else np.float64
        columns.append(column.to_numpy(dtype=wanted_type, na_value=np.nan))
    if not columns:
        return np.empty((len(frame), 0))
    single = all(c.dtype == np.float32 for c in columns)
    return np.column_stack([c if single else c.astype(np.float64) for c in columns])


def _plain_numbers(column: Any, name: Any) -> Any:
    if column.dtype.kind in "Mm" or str(column.dtype) == "category":
        raise FeatureError(_not_numeric(name, column.dtype))
    try:
        return column.astype("float64")
    except (TypeError, ValueError) as error:
        raise FeatureError(_not_numeric(name, column.dtype)) from error


def _not_numeric(name: Any, dtype: Any) -> str:
    return f"column '{name}' is {dtype}; numbers were expected. Keys may be named {', '.join(KEYS)}."
