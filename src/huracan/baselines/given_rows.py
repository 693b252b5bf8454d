"""What a learner is given as ``X`` and ``y``, as arrays; or one sentence on why it cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import issparse

from huracan.dataset import KEY_COLUMNS, TrainingSet
from huracan.errors import DataError

__all__ = [
    "DataTypeError",
    "as_array",
    "as_rows",
    "as_target",
    "dimensions",
    "is_own_copy",
    "moment_of",
    "numeric_target",
    "value_at",
]

_NUMBERS = "biuf"
_SMALL = 2**20
_BLOCK = 4_096


class DataTypeError(DataError, TypeError):
    """Data of a type no numbers can be made of."""


def dimensions(X: Any) -> int | None:
    """Of an array or a frame; None of what has to be made an array first."""
    given = getattr(X, "ndim", None)
    if isinstance(given, int):
        return given
    return 2 if _is_frame(X) else None


def as_rows(X: Any) -> NDArray[np.float32]:
    """``X`` as a float32 matrix (n, d), rows together in memory; the same memory where it is one already.

    Takes arrays, lists of rows, and frames of pandas and polars, which become float32 a few rows at a time: nothing as large
    as the whole is made on the way. A value that is missing becomes NaN.

    Raises
    ------
    DataError : not two dimensions, no columns, text, times, complex or other things where numbers were expected; the first
        such column, and where values differ its row, are named.

    Examples
    --------
    >>> as_rows([[1, 2], [3, 4]])
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    >>> as_rows(pl.DataFrame({"close": [1.0, 2.0], "coin": ["BTC", "ETH"]}))
    Traceback (most recent call last):
    ...
    huracan.baselines.given_rows.DataTypeError: column 'coin' of X holds text (String); numbers were expected.
    """
    if _is_frame(X):
        return _of_frame(X)
    array = as_array(X, "X", "rows and columns of numbers were")
    if array.ndim != 2:
        hint = " Reshape your data: X.reshape(1, -1) is one row, X.reshape(-1, 1) one column." if array.ndim == 1 else ""
        raise DataError(f"X has shape {array.shape}; rows x columns were expected.{hint}")
    _require_columns(array.shape)
    names = [f"x{j}" for j in range(array.shape[1])]
    if array.dtype.kind == "O":
        return _of_objects(array, names)
    _require_numbers(array.dtype, f"X is of {array.dtype}" if array.dtype.kind != "U" else "X holds text")
    with np.errstate(over="ignore"):  # infinite where float32 ends; that is told like any other
        return np.asarray(array, dtype=np.float32, order="C")


def as_target(y: Any, n_rows: int) -> NDArray[Any]:
    """``y`` as an array of ``n_rows`` values or rows of values, of any type that a label may have.

    >>> as_target(3.0, 5)
    Traceback (most recent call last):
    ...
    huracan.errors.DataError: y is 3.0; a value for each of the 5 rows of X was expected.
    """
    if y is None:
        raise DataError("fit got no y: requires y to be passed, but the target y is None.")
    target = as_array(y, "y", f"a value for each of the {n_rows} rows of X was")
    if target.ndim > 2:
        raise DataError(f"y has shape {target.shape}; (rows,), or (rows, outputs), was expected.")
    if len(target) != n_rows:
        raise DataError(f"y has {len(target)} rows where X has {n_rows}; inconsistent numbers of samples.")
    if target.dtype.kind == "c":
        raise DataError(f"Complex data not supported: y is of {target.dtype}; real numbers or classes were expected.")
    if target.dtype.kind in "mM":
        raise DataTypeError(f"y holds times ({target.dtype}); numbers or classes were expected.")
    if target.dtype.kind == "O":
        for at, value in enumerate(target.reshape(-1)):
            if _is_missing(value):
                row = at // max(1, target.size // n_rows)
                raise DataError(f"column 'y' holds {value!r} in row {row}{moment_of(y, row)}; a value was expected.")
    return target


def numeric_target(target: NDArray[Any]) -> NDArray[np.float64]:
    """A copy of a target in float64.

    >>> numeric_target(np.array([1, 0, "up"], dtype=object))
    Traceback (most recent call last):
    ...
    huracan.errors.DataError: y holds 'up' in row 2; numbers were expected.
    """
    if target.dtype.kind in _NUMBERS:
        return target.astype(np.float64)
    for row, values in enumerate(target.reshape(len(target), -1).tolist()):
        for value in values:
            if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
                raise DataError(f"y holds {value!r} in row {row}; numbers were expected.")
    return target.astype(np.float64)


def is_own_copy(matrix: NDArray[Any], X: Any) -> bool:
    """Whether a matrix made of ``X`` has memory that ``X`` has no part in.

    >>> X = np.zeros((3, 2))
    >>> is_own_copy(as_rows(X), X), is_own_copy(X[1:], X)
    (True, False)
    """
    if isinstance(X, np.ndarray):
        return not np.may_share_memory(matrix, X)
    return isinstance(X, list | tuple) or _is_frame(X)


def moment_of(X: Any, row: int) -> str:
    """`` (symbol, moment)`` of a row of a ``TrainingSet``, `` (what it says)`` of a frame's index and keys; else nothing."""
    if isinstance(X, TrainingSet):
        return f" ({X.symbols[X.symbol_code[row]]}, {X.ts[row]})"
    index: Any = getattr(X, "index", None)
    plain = index is None or callable(index) or type(index).__name__ == "RangeIndex"
    said = () if plain else index[row] if isinstance(index[row], tuple) else (index[row],)
    columns = [name for name in ("symbol", "ts") if name in getattr(X, "columns", ())]
    keyed = [X[name][row] if isinstance(X, pl.DataFrame) else X[name].iloc[row] for name in columns]
    return f" ({', '.join(map(str, (*said, *keyed)))})" if keyed or said else ""


def value_at(X: Any, row: int, column: int) -> float | None:
    """The number that stands there in a matrix or frame, before it became float32; None where that cannot be told."""
    if dimensions(X) != 2:
        return None
    try:
        return float(X[row, column] if isinstance(X, np.ndarray | pl.DataFrame) else X.iloc[row, column])
    except (AttributeError, IndexError, TypeError, ValueError):
        return None


def _is_frame(X: Any) -> bool:
    return isinstance(X, pl.DataFrame) or (hasattr(X, "iloc") and hasattr(X, "columns"))


def _is_missing(value: Any) -> bool:
    return type(value).__name__ in ("NoneType", "NAType", "NaTType") or (isinstance(value, float) and value != value)


def as_array(given: Any, name: str, expected: str) -> NDArray[Any]:
    """What is no frame as an array of one dimension or more; the refusal says that ``name`` is not what is ``expected``."""
    if issparse(given):
        kind = type(given).__name__
        raise DataTypeError(f"{name} is a sparse {kind} of shape {given.shape}; a dense array was expected: {name}.toarray().")
    if given is None or isinstance(given, str | bytes | dict | set):
        shown = f"a {type(given).__name__}" if isinstance(given, dict | set) else repr(given)[:40]
        raise DataTypeError(f"{name} is {shown}; {expected} expected.")
    if isinstance(given, np.ma.MaskedArray):
        given = np.ma.filled(given.astype(np.float64), np.nan)
    try:
        array = given.to_numpy() if hasattr(given, "to_numpy") else np.asarray(given)
    except ValueError as error:
        raise DataError(f"{name} is a {type(given).__name__} of parts of unequal lengths; {expected} expected.") from error
    if array.ndim == 0:
        raise DataError(f"{name} is {repr(given)[:40]}; {expected} expected.")
    return array


def _require_columns(shape: Sequence[int]) -> None:
    if shape[1] == 0:
        raise DataError(f"X has 0 feature(s) (shape={tuple(shape)}) while a minimum of 1 is required.")


def _require_numbers(dtype: np.dtype[Any], what: str) -> None:
    if dtype.kind == "c":
        raise DataError(f"Complex data not supported: {what}; real numbers were expected.")
    if dtype.kind not in _NUMBERS:
        raise DataTypeError(f"{what}; numbers were expected.")


def _of_objects(values: NDArray[Any], names: Sequence[str]) -> NDArray[np.float32]:
    """Numbers that are given as Python's objects; what is missing becomes NaN."""
    matrix = np.empty(values.shape, np.float32)
    for j, name in enumerate(names):
        for row, value in enumerate(values[:, j]):
            if isinstance(value, str | bytes):
                raise DataTypeError(f"column '{name}' of X holds the text {value!r} in row {row}; numbers were expected.")
            try:
                matrix[row, j] = np.nan if _is_missing(value) else value
            except (TypeError, ValueError) as error:
                raise DataTypeError(f"column '{name}' of X holds {value!r} in row {row}: {error}.") from error
    return matrix


def _of_frame(frame: Any) -> NDArray[np.float32]:
    shape, names = frame.shape, [str(name) for name in frame.columns]
    _require_columns(shape)
    mixed = isinstance(frame, pl.DataFrame) and not all(dtype.is_numeric() for dtype in frame.dtypes)
    if not mixed and shape[0] * shape[1] < _SMALL and (values := frame.to_numpy()).dtype.kind in _NUMBERS:
        with np.errstate(over="ignore"):
            return np.array(values, dtype=np.float32, order="C")
    matrix = np.empty(shape, np.float32)
    columns = list(frame.iter_columns()) if isinstance(frame, pl.DataFrame) else [frame.iloc[:, j] for j in range(shape[1])]
    numbers = [_numbers_of(column, f"column '{name}' of X") for column, name in zip(columns, names, strict=True)]
    with np.errstate(over="ignore"):
        for first in range(0, shape[0], _BLOCK):  # what is written stays in the cache until its last column is there
            for j, values in enumerate(numbers):
                matrix[first : first + _BLOCK, j] = values[first : first + _BLOCK]
    return matrix


def _numbers_of(column: Any, where: str) -> NDArray[Any]:
    """One column of a frame, what is missing NaN; no copy where it is numbers without anything missing."""
    dtype = column.dtype
    if isinstance(column, pl.Series):
        if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
            raise DataTypeError(f"{where} holds {_kind_of(str(dtype))}; {_expected(where)}.")
        plain = dtype.is_float() or (dtype.is_integer() and not column.null_count())
        return (column if plain else column.cast(pl.Float32)).to_numpy()
    if isinstance(dtype, np.dtype):
        values = column.to_numpy()
        if dtype.kind == "O":
            return _of_objects(values[:, None], [str(column.name)])[:, 0]
        if dtype.kind in "mM":
            raise DataTypeError(f"{where} holds {_kind_of(str(dtype))}; {_expected(where)}.")
        _require_numbers(dtype, f"{where} holds {_kind_of(str(dtype))}")
        return values
    if getattr(dtype, "kind", "O") not in _NUMBERS:
        raise DataTypeError(f"{where} holds {_kind_of(str(dtype))}; {_expected(where)}.")
    return column.to_numpy(dtype=np.float32, na_value=np.nan)


def _expected(where: str) -> str:
    key = any(where.startswith(f"column '{name}'") for name in KEY_COLUMNS)
    return "numbers were expected; TrainingSet.from_arrays(X, y) reads it as a key" if key else "numbers were expected"


def _kind_of(dtype: str) -> str:
    low = dtype.lower()
    kind = "times" if low.startswith(("date", "time", "duration")) else "text" if low.startswith("str") else "values"
    return f"{kind} ({dtype})"
