"""Feature frames in and out: pandas, polars or numpy, keys carried along, the same kind returned."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import FeatureError
from huracan.preprocessing.warm_up import WarmUp

__all__ = ["KEYS", "FeatureFrame", "read_feature_frame", "require_same_columns"]

KEYS = ("symbol", "ts", "segment")
"""Columns that say whose row it is and when; never treated as features."""

Kind = Literal["numpy", "pandas", "polars"]
_SIDE_BY_SIDE = 16  # columns of a row-major matrix turned at once: a cache line of float32


@dataclass(frozen=True)
class FeatureFrame:
    """A feature frame taken apart: ``features`` is what scikit-learn checks, ``keys`` and ``index`` wait to be put back.

    ``warm_up`` is there where the features were computed from candles: see :meth:`warming_up`.
    """

    kind: Kind
    features: Any
    names: tuple[str, ...] | None
    keys: Any = None
    index: Any = None
    warm_up: WarmUp | None = None

    def warming_up(self, lookbacks: Mapping[str, int]) -> FeatureFrame:
        """The same frame, in which missing values of each column's first ``lookbacks`` rows of a run stay missing."""
        rows = self.shape[0]
        symbols = np.asarray(self.keys["symbol"], dtype=object)
        return replace(self, warm_up=WarmUp(lookbacks, symbols, np.arange(rows) - self.group_starts(rows)))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and feature columns."""
        return self.features.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the result: float32 where every column is, else float64."""
        if self.kind == "numpy":
            return self.features.dtype
        types = {str(kind).lower() for kind in self.features.dtypes}
        return np.dtype(np.float32 if types == {"float32"} else np.float64)

    def columns(self) -> Iterator[NDArray[Any]]:
        """One float32 or float64 array a column, NaN where missing: a view where that is possible, not to be written to."""
        if self.kind != "numpy":
            for i in range(self.shape[1]):
                yield _column_of(self.features, i, self.kind)
        elif self.features.flags.f_contiguous:
            yield from self.features.T
        else:
            for start in range(0, self.shape[1], _SIDE_BY_SIDE):
                yield from _turned(self.features[:, start : start + _SIDE_BY_SIDE])

    def matrix(self) -> Any:
        """Values as given for numpy, else a float matrix with NaN where missing."""
        if self.kind == "numpy":
            return self.features
        matrix = np.empty(self.shape, self.dtype, order="F")
        for i, values in enumerate(self.columns()):
            matrix[:, i] = values
        return matrix

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

    def rebuild(self, matrix: NDArray[Any], names: Sequence[str], *, wanted: str = "default") -> Any:
        """A frame around new values; ``matrix`` is column-major and belongs to the frame afterwards.

        ``wanted`` is scikit-learn's ``set_output``: ``"default"`` gives the kind that came in with its keys first,
        ``"pandas"`` and ``"polars"`` give that kind with the feature columns only, as scikit-learn's contract has it.
        """
        kind = self.kind if wanted == "default" else wanted
        keys = self.keys if wanted == "default" else None
        if kind == "numpy":
            return matrix
        if kind == "polars":
            import pyarrow as pa

            # Through Arrow the columns are views of the matrix; polars itself would copy each.
            nulls = self.warm_up is not None  # what is missing is null in polars, as in the features it was made from
            arrays = (pa.array(matrix[:, i], from_pandas=nulls) for i in range(matrix.shape[1]))
            frame = pl.DataFrame([pl.Series(name, values) for name, values in zip(names, arrays, strict=True)])
            return frame if keys is None else keys.hstack(frame)
        import pandas as pd

        made = pd.DataFrame(matrix, columns=list(names), index=self.index, copy=False)
        return made if keys is None else pd.concat([keys, made], axis=1)


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
        named = all(isinstance(c, str) for c in features.columns)
        if not named and list(features.columns) != list(range(features.shape[1])):
            shown = shorten(", ".join(map(repr, features.columns)), 80, placeholder=", ...")
            raise FeatureError(f"columns are named {shown}; text, or 0, 1, 2 and so on in order, was expected.")
        names = tuple(features.columns) if named else None
        return FeatureFrame("pandas", features, names, X[keys] if keys else None, X.index)
    return FeatureFrame("numpy", X, None)


def require_same_columns(expected: Sequence[str], given: Sequence[str]) -> None:
    """Refuse columns that are not those of the fit, in the order of the fit.

    Raises
    ------
    FeatureError : one sentence that names the first column that is missing (with the column that may have taken its
        place), not known, there twice, or misplaced.

    Examples
    --------
    >>> require_same_columns(["rsi_14", "adx_14"], ["rsi_15", "adx_14"])
    Traceback (most recent call last):
    ...
    huracan.errors.FeatureError: column 'rsi_14' is missing (1 of 2 columns of the fit); 'rsi_15', unknown at fit, is near.
    """
    expected, given = list(expected), list(given)
    if expected == given:
        return
    twice = next((name for i, name in enumerate(given) if name in given[:i]), None)
    if twice is not None:
        raise FeatureError(f"column '{twice}' is there {given.count(twice)} times; each column once was expected.")
    missing = [name for name in expected if name not in set(given)]
    extra = [name for name in given if name not in set(expected)]
    if missing:
        near = difflib.get_close_matches(missing[0], extra, n=1, cutoff=0.5)
        hint = f"; '{near[0]}', unknown at fit, is near" if near else ""
        raise FeatureError(f"column '{missing[0]}' is missing ({len(missing)} of {len(expected)} columns of the fit){hint}.")
    if extra:
        raise FeatureError(
            f"column '{extra[0]}' was unknown at fit ({len(extra)} such column{'' if len(extra) == 1 else 's'}); "
            f"the {len(expected)} columns of the fit were expected."
        )
    at = next(i for i, (a, b) in enumerate(zip(expected, given)) if a != b)
    raise FeatureError(
        f"column {at} is '{given[at]}' where '{expected[at]}' was expected; the columns of the fit are all there, "
        "in another order."
    )


def _turned(matrix: NDArray[Any]) -> NDArray[Any]:
    """Columns as rows, in tiles that fit the cache: less than half the time of ``ascontiguousarray(matrix.T)``."""
    result = np.empty(matrix.shape[::-1], matrix.dtype)
    for start in range(0, len(matrix), 1024):
        result[:, start : start + 1024] = matrix[start : start + 1024].T
    return result


def _column_of(frame: Any, position: int, kind: Kind) -> NDArray[Any]:
    name = frame.columns[position]
    if kind == "polars":
        series = frame.to_series(position)
        if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)):
            raise FeatureError(_not_numeric(name, series.dtype))
        series = series if series.dtype == pl.Float32 else series.cast(pl.Float64)
        return series.fill_null(np.nan).to_numpy()  # to_numpy alone makes null nan too, in four times the time
    column = frame.iloc[:, position]
    if getattr(column.dtype, "kind", "O") not in "fiub":
        column = _plain_numbers(column, name)
    return column.to_numpy(dtype=np.float32 if column.dtype == np.float32 else np.float64, na_value=np.nan)


def _plain_numbers(column: Any, name: Any) -> Any:
    if column.dtype.kind in "Mm" or str(column.dtype) == "category":
        raise FeatureError(_not_numeric(name, column.dtype))
    try:
        return column.astype("float64")
    except (TypeError, ValueError) as error:
        raise FeatureError(_not_numeric(name, column.dtype)) from error


def _not_numeric(name: Any, dtype: Any) -> str:
    return f"column '{name}' is {dtype}; numbers were expected. Keys may be named {', '.join(KEYS)}."
