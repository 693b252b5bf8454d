"""What a drift check is given: columns in order of time, and which rows are of one moment."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.dataset import TimeSource, TrainingSet
from huracan.errors import DataError, nearest_name
from huracan.mlops.drift_report import ColumnKind
from huracan.mlops.row_times import as_times, steps_of
from huracan.mlops.time_steps import TimeSteps
from huracan.statistics.moments import Moments

__all__ = ["KEYS", "DriftRows", "as_polars", "read_rows"]

KEYS = ("symbol", "ts", "segment")
"""Columns that say whose row it is and when; never tested."""

_FLOATS = (np.float32, np.float64)
_WIDE = (pl.Int64, pl.UInt64, pl.Int128)
_EXACT = 2**53
"""Up to here every whole number is a float."""


@dataclass(frozen=True, eq=False)
class DriftRows:
    """Columns of one table, in order of time.

    Attributes
    ----------
    columns : by name: numbers as float arrays, NaN where missing; categories as polars Series of text, null where missing.
    moments : which rows are of one moment. span : first and last time, where there are times; numbers of rows are none.
    recipe_hash : of the recipe the columns were made by, where it is known. bar_ms : length of the bars that the rows were made
        of, in milliseconds, where they were made of candles. symbols : whose rows these are, sorted, where it is said.
    codes : (rows,) number of each row's symbol; None where there are no two.
    steps : how far apart they are, where they have times and come evenly.
    rounded : columns of whole numbers that floats do not tell apart, and up to what difference.
    """

    columns: Mapping[str, NDArray[np.floating] | pl.Series]
    moments: Moments
    span: tuple[str, str] | None = None
    recipe_hash: str | None = None
    bar_ms: int | None = None
    symbols: tuple[str, ...] = ()
    codes: NDArray[np.intp] | None = None
    steps: TimeSteps | None = None
    rounded: Mapping[str, int] = field(default_factory=dict)

    def kind(self, name: str) -> ColumnKind:
        """Whether a column holds numbers or categories."""
        return "category" if isinstance(self.columns[name], pl.Series) else "number"

    def presence(self) -> dict[str, float]:
        """Share of the moments at which each symbol has a row."""
        if self.codes is None:
            return dict.fromkeys(self.symbols, 1.0)
        counts = np.bincount(self.codes, minlength=len(self.symbols))
        return dict(zip(self.symbols, (counts / max(self.moments.n, 1)).tolist(), strict=True))

    def of_symbols(self, names: Sequence[str]) -> DriftRows:
        """The rows of some symbols."""
        if self.codes is None:
            return self
        keep = np.isin(self.codes, [i for i, symbol in enumerate(self.symbols) if symbol in names])
        columns = {
            name: values.filter(keep) if isinstance(values, pl.Series) else values[keep]
            for name, values in self.columns.items()
        }
        kept = tuple(symbol for symbol in self.symbols if symbol in names)
        codes = np.unique(self.codes[keep], return_inverse=True)[1] if len(kept) > 1 else None
        return replace(self, columns=columns, moments=self.moments.kept(keep), symbols=kept, codes=codes)


def read_rows(
    X: Any, columns: Sequence[str] | None = None, *, needed: Mapping[str, ColumnKind] | None = None, what: str = "the window"
) -> DriftRows:
    """From a ``TrainingSet``, a polars or pandas frame, a mapping of columns, or a matrix (its columns are x0, x1, ...).

    Rows are in order of time; those of a frame with ``symbol`` and ``ts`` are put in it. Numbers are whatever is numeric,
    categories are text, truth values, and columns declared as such (``Categorical``, ``Enum``); nothing is guessed from how
    many values a column has.

    Parameters
    ----------
    columns : those wanted; None for all but ``symbol``, ``ts`` and ``segment``.
    needed : those that must hold numbers or categories, and which; None for all. Others that hold neither are there without
        values. A column without a single value is of the kind that is needed, numbers where none is.
    what : what error messages call the table.

    Raises
    ------
    DataError : no table, a name twice, a column that holds neither numbers nor categories, or rows that go back in time.
    UnknownName : a column asked for is not there.

    Examples
    --------
    >>> rows = read_rows(pl.DataFrame({"symbol": ["B", "A"], "ts": [1, 1], "x": [1.0, None], "side": ["up", "down"]}))
    >>> rows.moments.n, rows.kind("x"), rows.kind("side")
    (1, 'number', 'category')
    """
    if isinstance(X, TrainingSet):
        _require_known(columns, X.feature_names)
        values = np.ascontiguousarray(X.X.T)
        named = {name: row for name, row in zip(X.feature_names, values, strict=True) if columns is None or name in columns}
        times = X.decision_time
        dated = len(X) and X.time_source is not TimeSource.ROW_ORDER
        span = (str(times[0]), str(times[-1])) if dated else None
        bar = int(X.bar_length.astype("m8[ms]").astype(np.int64)) if X.time_source is TimeSource.CANDLES else None
        steps = steps_of(pl.Series(times)) if dated else None
        return DriftRows(named, Moments.of(times), span, X.recipe_hash, bar, *_symbols(X), steps)
    if isinstance(X, np.ma.MaskedArray) and X.dtype.kind in "fiub":
        X = np.ma.filled(X.astype(np.float64), np.nan)
    if isinstance(X, np.ndarray) and X.dtype.names is None:
        return _of_matrix(X, columns, what)
    if isinstance(X, Mapping) and _are_floats(X):
        _require_known(columns, tuple(X))
        chosen = {name: np.ascontiguousarray(X[name]) for name in X if columns is None or name in columns}
        return DriftRows(chosen, Moments.each_row(len(next(iter(X.values())))))
    return _of_frame(as_polars(X, what), columns, needed, what)


def _are_floats(X: Mapping[Any, Any]) -> bool:
    """Whether a mapping holds columns of numbers as they are tested, equally long and without keys: these need not be read."""
    lengths = {
        values.shape if isinstance(values, np.ndarray) and values.dtype in _FLOATS and values.ndim == 1 else None
        for values in X.values()
    }
    return len(lengths) == 1 and None not in lengths and all(isinstance(name, str) and name not in KEYS for name in X)


def _of_matrix(X: NDArray[Any], columns: Sequence[str] | None, what: str) -> DriftRows:
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        raise DataError(f"{what} is an array of shape {X.shape} and type {X.dtype}; a matrix of numbers was expected.")
    values = np.ascontiguousarray(X.T) if X.dtype in _FLOATS else np.ascontiguousarray(X.T, np.float64)
    named = {f"x{i}": row for i, row in enumerate(values)}
    _require_known(columns, tuple(named))
    chosen = named if columns is None else {name: row for name, row in named.items() if name in columns}
    return DriftRows(chosen, Moments.each_row(len(X)))


def as_polars(X: Any, what: str) -> pl.DataFrame:
    """A polars or pandas frame, or a mapping of columns, as a polars frame.

    Times in a pandas index become ``ts``, and so do levels of it that are called ``ts``, ``symbol`` or ``segment``.

    Raises
    ------
    DataError : it is no table; ``what`` is how the sentence calls it.
    """
    if isinstance(X, pl.DataFrame):
        return X
    if isinstance(X, pl.LazyFrame):
        return X.collect()
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        names = [str(name) for name in X.columns]
        twice = next((name for name, times in Counter(names).items() if times > 1), None)
        if twice is not None:
            raise DataError(f"{what} has {names.count(twice)} columns named '{twice}'; each name once was expected.")
        levels = [str(name) for name in X.index.names if str(name) in KEYS and str(name) not in names]
        try:
            table = X.reset_index(levels) if levels else X
            frame = pl.from_pandas(table.rename(columns=str), nan_to_null=False)
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:  # pyarrow's are of these
            raise DataError(f"{what} has a column of several kinds: {error}; one kind a column was expected.") from error
        if "ts" not in frame.columns and getattr(getattr(X.index, "dtype", None), "kind", "") == "M":
            frame = frame.with_columns(pl.Series("ts", X.index.to_numpy()))
        return frame
    if isinstance(X, Mapping):
        try:
            return pl.DataFrame(dict(X))
        except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
            raise DataError(f"{what} is a mapping that makes no table: {error}.") from error
    raise DataError(f"{what} is a {type(X).__name__}; a TrainingSet, a frame, columns by name, or a matrix was expected.")


def _of_frame(
    frame: pl.DataFrame, columns: Sequence[str] | None, needed: Mapping[str, ColumnKind] | None, what: str
) -> DriftRows:
    _require_known(columns, tuple(frame.columns))
    if "ts" in frame.columns:
        frame = frame.with_columns(as_times(frame["ts"], what))
    order, moments, span, steps = _in_time(frame, what)
    named: dict[str, NDArray[np.floating] | pl.Series] = {}
    for name in frame.columns:
        if (columns is None and name in KEYS) or (columns is not None and name not in columns):
            continue
        if frame[name].null_count() == frame.height > 0:
            values = _without_values(name, frame.height, "number" if needed is None else needed.get(name, "number"))
        else:
            values = _column(frame[name], needed is None or name in needed, what)
        named[name] = values if order is None else values[order]
    rounded = {name: apart for name in named if (apart := _rounded(frame[name])) is not None}
    rows = DriftRows(named, moments, span, steps=steps, rounded=rounded)
    if "symbol" not in frame.columns:
        return rows
    whose = frame["symbol"].cast(pl.String)
    symbols, codes = _coded(whose if order is None else whose[order])
    return replace(rows, symbols=symbols, codes=codes)


def _symbols(rows: TrainingSet) -> tuple[tuple[str, ...], NDArray[np.intp] | None]:
    """Those that have a row, and whose each is; none where the rows are of candles of nobody in particular."""
    if rows.time_source is not TimeSource.CANDLES:
        return (), None
    present, codes = np.unique(rows.symbol_code, return_inverse=True)
    names = np.array([rows.symbols[code] for code in present.tolist()], dtype=str)
    rank = np.argsort(np.argsort(names))
    return tuple(sorted(names.tolist())), rank[codes].astype(np.intp) if len(names) > 1 else None


def _coded(whose: pl.Series) -> tuple[tuple[str, ...], NDArray[np.intp] | None]:
    """Symbols, sorted, and the number of each row's; rows of nobody are taken as of one that is called nothing."""
    filled = whose.fill_null("")
    names = filled.unique().sort().to_list()
    if len(names) < 2:
        return tuple(name for name in names if name), None
    codes = filled.replace_strict(names, list(range(len(names))), return_dtype=pl.Int64).to_numpy().astype(np.intp)
    return tuple(names), codes


def _in_time(
    frame: pl.DataFrame, what: str
) -> tuple[NDArray[np.intp] | None, Moments, tuple[str, str] | None, TimeSteps | None]:
    """The order that puts rows by time, None where they are; their moments; the first and last time; how far apart they are."""
    if "ts" not in frame.columns:
        if "symbol" in frame.columns and frame["symbol"].n_unique() > 1:
            raise DataError(
                f"{what} has {frame['symbol'].n_unique()} symbols and no times; a column ts was expected, to know which rows "
                "are of one moment."
            )
        return None, Moments.each_row(frame.height), None, None
    column = frame["ts"]
    if missing := column.null_count():
        raise DataError(f"{what} has no time (ts) in {missing:,} of {frame.height:,} rows; one in every row was expected.")
    times = column.to_physical().to_numpy()
    order = None
    if "symbol" in frame.columns and np.any(times[1:] < times[:-1]):
        order = np.argsort(times, kind="stable")
    span = (str(column.min()), str(column.max())) if frame.height else None
    try:
        moments = Moments.of(times if order is None else times[order])
    except DataError:
        row = int(np.argmax(times[1:] < times[:-1])) + 1
        raise DataError(
            f"row {row} of {what} is of {column[row]}, before the row above it ({column[row - 1]}); rows go by time."
        ) from None
    return order, moments, span, steps_of(column if order is None else column[order])


def _rounded(values: pl.Series) -> int | None:
    """Whole numbers nearer than this become one number as floats; None where all stay apart."""
    if not values.dtype.is_integer() or values.dtype not in _WIDE or values.null_count() == len(values):
        return None
    largest = max(abs(int(values.min())), abs(int(values.max())))  # type: ignore[arg-type]
    if largest <= _EXACT or values.n_unique() == values.cast(pl.Float64).n_unique():
        return None
    return int(math.ulp(float(largest)))


def _without_values(name: str, n: int, kind: ColumnKind) -> NDArray[np.floating] | pl.Series:
    return np.full(n, np.nan) if kind == "number" else pl.Series(name, [None] * n, dtype=pl.String)


def _column(values: pl.Series, needed: bool, what: str) -> NDArray[np.floating] | pl.Series:
    kind = values.dtype
    if kind == pl.Null:
        return np.full(len(values), np.nan)
    if kind.is_numeric():
        floats = values if kind in (pl.Float32, pl.Float64) else values.cast(pl.Float64)
        return (floats.fill_null(np.nan) if floats.null_count() else floats).to_numpy()
    if kind in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if kind == pl.Object:
        return pl.Series(values.name, [None if value is None else str(value) for value in values], dtype=pl.String)
    if not needed:
        return pl.Series(values.name, [None] * len(values), dtype=pl.String)
    raise DataError(
        f"column '{values.name}' of {what} is {kind}; numbers or categories were expected. "
        f"{'Call it ts where it is the time of the row, or leave' if kind.is_temporal() else 'Leave'} it out by naming the "
        "others (columns=)."
    )


def _require_known(columns: Sequence[str] | None, known: Sequence[str]) -> None:
    for name in columns or ():
        if name not in known:
            raise nearest_name(name, known, kind="column")
