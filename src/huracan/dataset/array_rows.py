"""Rows of a ``TrainingSet`` from features of one's own: arrays and frames, of one symbol or of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.dataset.row_keys import RowKeys, read_times, require_same_index, split_keys
from huracan.dataset.steps import LongestStep
from huracan.errors import DataError

__all__ = ["array_fields", "as_matrix"]


def array_fields(
    X: Any,
    y: Any,
    *,
    ts: Any,
    symbol: Any,
    segment: Any,
    label_end: Any,
    prices: Any,
    label_horizon: int,
    weight: Any,
    longest_step: LongestStep,
) -> dict[str, Any]:
    """The fields of a ``TrainingSet``, see ``TrainingSet.from_arrays``, rows by time and symbol."""
    features, given = split_keys(X, ts=ts, symbol=symbol, segment=segment)
    matrix, names = as_matrix(features)
    n = len(matrix)
    require_same_index(X, y)
    target = _target(y, n)
    if label_horizon < 1:
        raise DataError(f"label_horizon is {label_horizon}; a label needs at least 1 bar.")
    _require_finite(matrix, names)
    if y is not None:
        _require_finite(target[:, None], ("y",))
    keys = RowKeys.read(given, n, longest_step=longest_step)
    if y is None:
        end = np.full(n, np.datetime64("NaT"), "datetime64[ms]")
    else:
        end = keys.label_end(label_horizon) if label_end is None else read_times(label_end, "label_end", n)
    rows: dict[str, Any] = {
        "X": matrix,
        "y": target,
        "ts": keys.ts,
        "decision_time": keys.ts + keys.bar_length,
        "label_end": end,
        "symbol_code": keys.symbol_code,
        "segment": keys.segment,
        "regime_code": np.full(n, -1, np.int8),
        "weight": np.ones(n) if weight is None else np.asarray(weight, np.float64),
        "execution_return": None if prices is None else _return_to_exit(prices, keys, label_horizon),
    }
    if len(keys.symbols) > 1:
        _require_rows(rows, n)
        order = np.lexsort((keys.symbol_code, keys.ts))
        rows = {name: None if values is None else values[order] for name, values in rows.items()}
    return {
        **rows,
        "feature_names": names,
        "symbols": keys.symbols,
        "bar_length": keys.bar_length,
        "time_source": keys.source,
    }


def as_matrix(X: Any) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Turn a pandas or polars frame, or a 2-D array, into a float32 matrix and its column names.

    >>> as_matrix([[1, 2], [3, 4]])[1]
    ('x0', 'x1')
    """
    columns = tuple(map(str, X.columns)) if hasattr(X, "columns") else None
    for name, dtype in zip(columns or (), X.dtypes if columns else ()):
        if str(dtype).lower().startswith(("date", "time", "duration")):
            raise DataError(f"column '{name}' of X holds times ({dtype}); numbers were expected, or times as ts=.")
    try:
        matrix = np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X).astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"X holds a value that is not a number: {error}.") from error
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2:
        raise DataError(f"X has {matrix.ndim} dimensions {matrix.shape}; rows x features was expected.")
    return np.ascontiguousarray(matrix), columns or tuple(f"x{i}" for i in range(matrix.shape[1]))


def _target(y: Any, n: int) -> NDArray[np.float64]:
    if y is None:
        return np.full(n, np.nan)
    target = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y).reshape(-1).astype(np.float64)
    if len(target) != n:
        raise DataError(f"y has {len(target)} rows where X has {n}.")
    return target


def _require_rows(rows: dict[str, Any], n: int) -> None:
    """What is put in another order has a value for each row."""
    for name, values in rows.items():
        if values is not None and len(values) != n:
            raise DataError(f"{name} has {len(values)} rows where X has {n}.")


def _return_to_exit(prices: Any, keys: RowKeys, label_horizon: int) -> NDArray[np.float64]:
    """Simple return from the next row's price to that ``label_horizon`` rows later, 0 where that is beyond the last row."""
    n = len(keys.ts)
    price = np.asarray(prices, dtype=np.float64)
    if len(price) != n:
        raise DataError(f"prices has {len(price)} rows where X has {n}.")
    bad = ~(np.isfinite(price) & (price > 0))
    if bad.any():
        where = int(np.argmax(bad))
        raise DataError(f"prices holds {price[where]} in row {where}; a price above zero was expected.")
    moved = np.zeros(n)
    for rows in keys.rows_of_symbols():
        stop = len(rows) - 1 - label_horizon
        if stop > 0:
            mine = price[rows]
            moved[rows[:stop]] = mine[1 + label_horizon :] / mine[1 : 1 + stop] - 1.0
    return moved


def _require_finite(matrix: NDArray[Any], names: Sequence[str]) -> None:
    bad = ~np.isfinite(matrix)
    if bad.any():
        row, column = map(int, np.argwhere(bad)[0])
        raise DataError(f"column '{names[column]}' holds {matrix[row, column]} in row {row}; finite numbers were expected.")
