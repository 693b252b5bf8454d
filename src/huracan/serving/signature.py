"""Rows of features against what a model was trained on: every way in which they can differ has one outcome.

========================== ==========================================================================================
what differs               what happens
========================== ==========================================================================================
a column is missing        ``SignatureError`` that names all of them
a column too many          it is ignored, and every answer's notes say so; with ``strict`` a ``SignatureError``
another order              columns are put in order
integers, decimals, ...    rounded to float32, as in training
text, booleans, dates      ``SignatureError`` with column and type
null or NaN                the row has no score; veto ``missing_value``
infinite (as float32)      the row has no score; veto ``infinite_feature``
beyond the training range  the row is scored; veto ``out_of_range``
another recipe or bar      ``SignatureError`` when the predictor opens
========================== ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import SignatureError
from huracan.serving.row_keys import KEYS

__all__ = ["matrix_of"]


def matrix_of(given: Any, columns: Sequence[str], *, strict: bool = False) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The features of a frame or matrix, in the model's order, and what was noted on the way.

    Parameters
    ----------
    given : polars or pandas frame, or a matrix (n, d) whose columns are in the model's order. columns : of the model, d names.
    strict : whether columns that the model does not know are refused.

    Returns
    -------
    float32 (n, d), NaN for null; and notes, one for the columns that were ignored.

    Raises
    ------
    SignatureError : columns are missing, of a type that is no number, or (``strict``) too many.

    Examples
    --------
    >>> matrix_of(pl.DataFrame({"b": [1, None], "a": [0.5, 2.0], "c": ["x", "y"]}), ["a", "b"])
    (array([[0.5, 1. ],
           [2. , nan]], dtype=float32), ("column 'c' was ignored: the model does not know it.",))
    """
    frame = given if isinstance(given, pl.DataFrame) else _as_frame(given, columns)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise SignatureError(f"{_listed(missing)} missing; the model takes {len(columns)} columns: {', '.join(columns)}.")
    known = {*columns, *KEYS}
    extra = [name for name in frame.columns if name not in known]
    if extra and strict:
        raise SignatureError(f"{_listed(extra)} unknown to the model, which takes {', '.join(columns)}.")
    for name in columns:
        kind = frame.schema[name]
        if not (kind.is_numeric() or kind == pl.Null):
            raise SignatureError(f"column '{name}' is {kind}; numbers were expected.")
    numbers = frame.select(pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in columns).to_numpy()
    notes = (f"{_listed(extra, 'was', 'were')} ignored: the model does not know {'it' if len(extra) == 1 else 'them'}.",)
    return np.ascontiguousarray(numpy_float32(numbers)), notes if extra else ()


def numpy_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """As float32, beyond whose range a number is infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)


def _as_frame(given: Any, columns: Sequence[str]) -> pl.DataFrame:
    if hasattr(given, "iloc") and hasattr(given, "columns"):  # pandas
        try:
            return pl.from_pandas(given)
        except Exception as error:  # pyarrow's errors of mixed columns have no common base
            raise SignatureError(f"the frame holds a column of mixed types: {error}.") from error
    matrix = np.asarray(given)
    if matrix.ndim != 2 or matrix.shape[1] != len(columns):
        shape = " x ".join(map(str, matrix.shape)) or "a single value"
        raise SignatureError(f"{shape} values were given; a frame, or a matrix of {len(columns)} columns, was expected.")
    if matrix.dtype.kind not in "iuf":
        raise SignatureError(f"the matrix is of type {matrix.dtype}; numbers were expected.")
    return pl.DataFrame(numpy_float32(matrix), schema=dict.fromkeys(columns, pl.Float32))


def _listed(names: Sequence[str], one: str = "is", many: str = "are") -> str:
    quoted = ", ".join(f"'{name}'" for name in names)
    return f"column {quoted} {one}" if len(names) == 1 else f"columns {quoted} {many}"
