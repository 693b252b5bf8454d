"""Which symbol, time and segment each row of a table is of: given beside it, in its index, or in columns of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.dataset.steps import LongestStep, exit_times, gap_length, require_one_bar, usual_step
from huracan.errors import DataError

__all__ = ["KEY_COLUMNS", "GivenKeys", "RowKeys", "TimeSource", "read_times", "require_same_index", "split_keys"]

KEY_COLUMNS = ("ts", "symbol", "segment")
"""Columns of a frame that are read as what rows are of, not as features."""

_ONLY = "asset"


class TimeSource(StrEnum):
    """Where the times of a ``TrainingSet`` came from."""

    CANDLES = "candles"
    GIVEN = "given"
    INDEX = "time index"
    ROW_ORDER = "row order"


@dataclass(frozen=True, eq=False)
class GivenKeys:
    """Keys as they were given, unread; None for what was not."""

    ts: Any = None
    symbol: Any = None
    segment: Any = None
    ts_name: str = "ts"
    source: TimeSource = TimeSource.ROW_ORDER

    @property
    def found(self) -> bool:
        """Whether anything at all is known of the rows."""
        return any(key is not None for key in (self.ts, self.symbol, self.segment))


def split_keys(X: Any, *, ts: Any = None, symbol: Any = None, segment: Any = None) -> tuple[Any, GivenKeys]:
    """A table without what its rows are of, and that.

    Columns ``ts``, ``symbol`` and ``segment`` of a frame are keys; so are a pandas time index, and an index of two levels, one
    of times and one of symbols, in either order. ``ts``, ``symbol`` and ``segment`` are one value a row, or name a column,
    and go before the index; a ``symbol`` that names no column is that of all rows.

    Raises
    ------
    DataError : the same key in two places, an index that cannot be read, or a column ``ts`` that holds no times.

    Examples
    --------
    >>> frame = pl.DataFrame({"ts": [0, 1], "rsi": [50.0, 60.0]}).with_columns(pl.col("ts").cast(pl.Datetime("ms")))
    >>> features, keys = split_keys(frame)
    >>> features.columns, keys.source.value
    (['rsi'], 'given')
    """
    columns = [str(name) for name in X.columns] if hasattr(X, "columns") else []
    given: dict[str, Any] = {}
    taken: dict[str, str] = {}
    for key, value in zip(KEY_COLUMNS, (ts, symbol, segment)):
        name = value if isinstance(value, str) else key
        if value is not None and (not isinstance(value, str) or (key == "symbol" and name not in columns)):
            given[key] = value
            if key in columns:
                raise DataError(f"X has a column '{key}', and {key}= was given too; one of the two was expected.")
        elif name in columns:
            given[key] = _column(X, columns.index(name))
            taken[key] = name
        elif value is not None:
            raise DataError(f"{key} is '{value}', which is no column of X; a column, or one value a row, was expected.")
    if "ts" in taken:
        _require_times(given["ts"], taken["ts"])
    keys = GivenKeys(**given, source=TimeSource.GIVEN if "ts" in given else TimeSource.ROW_ORDER)
    keys = _with_index(keys, X, taken)
    kept = [at for at, name in enumerate(columns) if name not in taken.values()]
    return (X if not taken else X[:, kept] if isinstance(X, pl.DataFrame) else X.iloc[:, kept]), keys


@dataclass(frozen=True, eq=False)
class RowKeys:
    """Time, symbol and segment of each row, in the order in which rows were given; times increase within each symbol.

    Attributes
    ----------
    ts : datetime64[ms] (n,), UTC. symbol_code : int32 (n,), numbers in ``symbols``. segment : int32 (n,), counted from 0 within
        each symbol. bar_length : the usual step from row to row of a symbol. source : where the times are from.

    Examples
    --------
    >>> hours = np.array([0, 1, 2, 9], "M8[h]")
    >>> keys = RowKeys.read(GivenKeys(ts=np.tile(hours, 2), symbol=["BTC"] * 4 + ["ETH"] * 4), 8)
    >>> keys.symbols, keys.segment.tolist()
    (('BTC', 'ETH'), [0, 0, 0, 1, 0, 0, 0, 1])
    """

    ts: NDArray[np.datetime64]
    symbol_code: NDArray[np.int32]
    symbols: tuple[str, ...]
    segment: NDArray[np.int32]
    bar_length: np.timedelta64
    source: TimeSource

    @classmethod
    def read(cls, given: GivenKeys, n: int, *, longest_step: LongestStep = 1) -> RowKeys:
        """Read the keys of ``n`` rows; a new segment begins where a step in time is longer than ``longest_step``.

        Raises
        ------
        DataError : a key of another length or with a value missing, times that do not increase within a symbol, several symbols
            without times, or symbols whose bars have different lengths.
        """
        code, symbols = _symbols(given.symbol, n)
        if given.ts is None:
            if len(symbols) > 1:
                raise DataError(f"X has rows of {len(symbols)} symbols and no times; give ts, a time for each row.")
            ts = np.datetime64("2000-01-01", "ms") + np.arange(n) * np.timedelta64(86_400_000, "ms")
        else:
            ts = read_times(given.ts, given.ts_name, n)
        order = None if len(symbols) == 1 else np.argsort(code, kind="stable")
        moment = ts.astype(np.int64) if order is None else ts.astype(np.int64)[order]
        mine = code if order is None else code[order]
        steps, same = np.diff(moment), mine[1:] == mine[:-1]
        back = same & (steps <= 0)
        if back.any():
            at = int(np.argmax(back))
            rows = (at, at + 1) if order is None else order[at : at + 2].tolist()
            raise DataError(_not_after(ts, rows, symbols, code))
        bar, regular = usual_step(steps[same])
        if len(symbols) > 1 and regular:
            require_one_bar(steps[same], mine[1:][same], symbols, bar)
        gap = gap_length(longest_step, bar, regular)
        new = np.zeros(max(n - 1, 0), bool) if gap is None else steps >= gap
        if given.segment is not None:
            parts = _of_length(given.segment, "segment", n)
            parts = parts if order is None else parts[order]
            new |= np.asarray(parts[1:] != parts[:-1], dtype=bool)
        return cls(ts, code, symbols, _counted(new, same, order, n), np.timedelta64(bar, "ms"), given.source)

    def label_end(self, horizon: int) -> NDArray[np.datetime64]:
        """When a label over ``horizon`` bars, rows of the symbol, from the next one on is known; see ``exit_times``."""
        if len(self.symbols) == 1:
            return exit_times(self.ts, horizon, self.bar_length)
        end = np.empty_like(self.ts)
        for rows in self.rows_of_symbols():
            end[rows] = exit_times(self.ts[rows], horizon, self.bar_length)
        return end

    def rows_of_symbols(self) -> list[NDArray[np.intp]]:
        """The row numbers of each symbol, oldest first."""
        order = np.argsort(self.symbol_code, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.symbol_code, minlength=len(self.symbols)))[:-1])


def read_times(given: Any, name: str, n: int) -> NDArray[np.datetime64]:
    """``n`` times of any kind, in UTC, as datetime64[ms]; a ``DataError`` where one is missing or is no time."""
    if getattr(getattr(given, "dtype", None), "tz", None) is not None:  # pandas
        given = getattr(given, "dt", given).tz_convert("UTC")
        given = getattr(given, "dt", given).tz_localize(None)
    try:
        times = np.asarray(given.to_numpy() if hasattr(given, "to_numpy") else given).astype("datetime64[ms]")
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} holds a value that is not a time: {error}.") from error
    if times.shape != (n,):
        raise DataError(f"{name} has {len(times) if times.ndim else 'no'} rows where X has {n}.")
    if np.isnat(times).any():
        raise DataError(f"{name} is missing in row {int(np.argmax(np.isnat(times)))}; every row needs one.")
    return times


def require_same_index(X: Any, y: Any) -> None:
    """Refuse a ``y`` whose index says that it is of other rows than ``X``.

    >>> import pandas as pd
    >>> days = pd.date_range("2024-01-01", periods=2)
    >>> require_same_index(pd.DataFrame({"x": [1, 2]}, index=days), pd.Series([1, 2], index=days[::-1]))
    Traceback (most recent call last):
    ...
    huracan.errors.DataError: row 0 of X is of 2024-01-01 00:00:00 and that of y of 2024-01-02 00:00:00; the same ...
    """
    index, other = getattr(X, "index", None), getattr(y, "index", None)
    if index is None or other is None or callable(index) or callable(other) or len(other) != len(index):
        return
    if not index.equals(other):
        row = next((i for i, (a, b) in enumerate(zip(index, other, strict=True)) if a != b), None)
        if row is not None:
            raise DataError(f"row {row} of X is of {index[row]} and that of y of {other[row]}; the same index was expected.")


def _with_index(keys: GivenKeys, X: Any, taken: Mapping[str, str]) -> GivenKeys:
    """Times, or times and symbols, of a pandas index, where they are not given beside the table; ``taken``: key -> column."""
    index: Any = getattr(X, "index", None)
    if index is None or callable(index):
        return keys
    levels = [index.get_level_values(level) for level in range(getattr(index, "nlevels", 1))]
    times = [values for values in levels if _is_time(values.dtype)]
    others = [values for values in levels if not _is_time(values.dtype)]
    if len(levels) == 1 and not times:
        return keys
    if len(times) != 1 or len(others) > 1:
        said = ", ".join(f"{'no name' if values.name is None else values.name} ({values.dtype})" for values in levels)
        raise DataError(f"X has an index of levels {said}; one level of times and one of symbols was expected.")
    twice = taken.get("ts") or (taken.get("symbol") if others else None)
    if twice is not None:
        raise DataError(f"X has an index of times and the column '{twice}'; what rows are of was expected in one place.")
    if others and keys.symbol is None:
        keys = replace(keys, symbol=others[0])
    return keys if keys.ts is not None else replace(keys, ts=times[0], ts_name="the time index", source=TimeSource.INDEX)


def _is_time(dtype: Any) -> bool:
    return getattr(dtype, "tz", None) is not None or getattr(dtype, "kind", "") == "M"


def _column(X: Any, at: int) -> Any:
    return X.to_series(at) if isinstance(X, pl.DataFrame) else X.iloc[:, at]


def _require_times(column: Any, name: str) -> None:
    dtype = column.dtype
    if not (dtype.is_temporal() and dtype != pl.Duration if isinstance(column, pl.Series) else _is_time(dtype)):
        raise DataError(
            f"column '{name}' of X, which is read as the time of each row, holds {dtype}; times were expected, or another name."
        )


def _of_length(given: Any, name: str, n: int) -> NDArray[Any]:
    values = np.asarray(given.to_numpy() if hasattr(given, "to_numpy") else given)
    if values.shape != (n,):
        raise DataError(f"{name} has shape {values.shape} where X has {n} rows; one value a row was expected.")
    return values


def _symbols(given: Any, n: int) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """The number of each row's symbol among all, in the order of the alphabet."""
    if given is None or isinstance(given, str):
        return np.zeros(n, np.int32), (given or _ONLY,)
    plain = _of_length(given, "symbol", n)
    if hasattr(given, "isna") and given.isna().any():  # pandas
        raise DataError(_missing_symbol(np.asarray(given.isna())))
    values = given if isinstance(given, pl.Series) else pl.Series(plain.tolist(), strict=False)
    if values.dtype.is_float() or values.dtype.is_nested() or values.dtype.is_temporal():
        raise DataError(f"symbol holds {values.dtype}; a name for each row was expected.")
    if values.null_count():
        raise DataError(_missing_symbol(values.is_null().to_numpy()))
    names = values.cast(pl.String)
    symbols = names.unique().sort().to_list() or [_ONLY]
    code = names.replace_strict(symbols, list(range(len(symbols))), return_dtype=pl.Int32)
    return code.to_numpy().astype(np.int32), tuple(symbols)


def _missing_symbol(missing: NDArray[np.bool_]) -> str:
    return f"symbol is missing in row {int(np.argmax(missing))}; every row needs one."


def _not_after(ts: NDArray[np.datetime64], rows: Any, symbols: tuple[str, ...], code: NDArray[np.int32]) -> str:
    above, row = rows
    of = "" if len(symbols) == 1 else f" ({symbols[code[row]]})"
    which = "the row above it" if len(symbols) == 1 else f"row {above} of that symbol"
    hint = "; give symbol= where there are several symbols" if len(symbols) == 1 else ""
    return f"row {row} of X{of} is at {ts[row]}, not after {which}, {ts[above]}; times must increase, oldest row first{hint}."


def _counted(new: NDArray[np.bool_], same: NDArray[np.bool_], order: NDArray[np.intp] | None, n: int) -> NDArray[np.int32]:
    """Segments from 0 within each symbol, from where new ones begin among rows by symbol and time."""
    if not (new & same).any():
        return np.zeros(n, np.int32)
    counted = np.concatenate(([0], np.cumsum(new & same))).astype(np.int32)
    starts = np.concatenate(([True], ~same))
    counted -= np.maximum.accumulate(np.where(starts, counted, 0)).astype(np.int32)
    if order is None:
        return counted
    segment = np.empty(n, np.int32)
    segment[order] = counted
    return segment
