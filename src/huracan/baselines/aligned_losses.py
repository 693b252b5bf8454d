"""Losses of several models brought onto the same moments: joined on time and symbol, and averaged over symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics import average_by_time
from huracan.statistics.sample_checks import plain

__all__ = ["AlignedLosses", "Keys", "align_losses", "has_zone", "plain_array", "told_columns"]

_TIME_COLUMNS = ("ts", "decision_time", "time")
_SYMBOL = "symbol"

Keys = ArrayLike | Mapping[str, ArrayLike] | None


@dataclass(frozen=True)
class AlignedLosses:
    """Losses of the same moments.

    Attributes
    ----------
    names : of the models. losses : float64 (n_times, models), in time order where times are known.
    times : (n_times,) the moments, or None where rows are taken to be in time order.
    dropped : model -> rows left out because another model has none there.
    row_losses : (n_rows, models), before symbols were averaged. row_times : (n_rows,) the moment of each, or None.
    joined : whether models had times of their own, so that rows are in another order than they were given in.
    """

    names: tuple[str, ...]
    losses: NDArray[np.float64]
    times: NDArray[Any] | None
    dropped: Mapping[str, int]
    row_losses: NDArray[np.float64]
    row_times: NDArray[Any] | None
    joined: bool = False


def align_losses(losses: Mapping[str, Any] | Any, times: Keys = None, symbols: Keys = None) -> AlignedLosses:
    """Bring losses onto the same moments.

    Parameters
    ----------
    losses : model -> losses, or a frame with a column for each model. Time is taken from ``times``, or else as
        :func:`told_columns` finds it. Without any, rows are in time order and all models have equally many.
    times : (n,) of all models' rows; or model -> (n_model,) of its own, which are then joined.
    symbols : likewise; needed where models with times of their own have several rows a time.

    Raises
    ------
    DataError : not losses, fewer than two models, a loss or a time that is missing or not finite (model and row are named),
        lengths that differ without times to join on, one model with two rows of one time and symbol, no common time.

    Examples
    --------
    >>> found = align_losses({"a": [1.0, 2.0, 3.0], "b": [5.0, 4.0]}, times={"a": [1, 2, 3], "b": [3, 2]})
    >>> found.losses.tolist(), found.times.tolist(), found.dropped
    ([[2.0, 4.0], [3.0, 5.0]], [2, 3], {'a': 1, 'b': 0})
    """
    columns, times, symbols = _columns(losses, times, symbols)
    if len(columns) < 2:
        raise DataError(f"losses holds {len(columns)} model(s); at least two are needed for a comparison.")
    table = {name: _checked(name, values) for name, values in columns.items()}
    if isinstance(times, Mapping):
        return _joined(table, times, symbols)
    if isinstance(symbols, Mapping):
        raise DataError("symbols were given for each model and times were not; both, or one array for all, were expected.")
    first = next(iter(table))
    for name, values in table.items():
        if len(values) != len(table[first]):
            raise DataError(
                f"'{name}' has {len(values)} losses where '{first}' has {len(table[first])}; the same rows were expected, or "
                "times of each model to join them on."
            )
    together = np.column_stack(list(table.values()))
    moments = None if times is None else _checked_times(times, len(together), "times")
    if symbols is not None:
        if moments is None:
            raise DataError("symbols were given without times; with several symbols a time, the times are needed.")
        _refuse_twice(moments, _checked_times(symbols, len(together), "symbols"), "the losses")
    return _averaged(tuple(table), together, moments, dict.fromkeys(table, 0))


def plain_array(values: Any) -> NDArray[Any]:
    """A numpy array of what a list, series or array holds; times with a zone become UTC without one.

    >>> plain_array(pl.Series([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    inner = getattr(values, "dt", values)
    if hasattr(inner, "tz_convert") and getattr(inner, "tz", None) is not None:
        values = inner.tz_convert("UTC")
        values = getattr(values, "dt", values).tz_localize(None)
    array = plain(values)
    if array.dtype == object and array.size and all(hasattr(item, "isoformat") for item in array.flat):
        return np.asarray(pl.Series(array.tolist()).cast(pl.Datetime("us")).to_numpy())
    return array


def told_columns(values: Mapping[str, Any] | Any, what: str) -> tuple[dict[str, Any], Keys, Keys]:
    """Model -> its column, and the times and symbols that come with them; ``what`` the columns hold.

    Times are a column ``ts``, ``decision_time`` or ``time`` of a frame, or a pandas index that is no plain count of rows; of an
    index with levels, the level that holds times, and the one other level, symbols.

    Raises
    ------
    DataError : neither a mapping nor a frame, or an index whose levels are not one of times and at most one of symbols.

    Examples
    --------
    >>> columns, times, symbols = told_columns(pl.DataFrame({"ts": [1, 2], "a": [0.1, 0.2]}), "losses")
    >>> list(columns), times.to_list(), symbols
    (['a'], [1, 2], None)
    """
    if isinstance(values, Mapping):
        columns = {str(name): one for name, one in values.items()}
        if not columns or not all(_telling_index(one) for one in columns.values()):
            return columns, None, None
        indexes = {name: one.index for name, one in columns.items()}
        first = next(iter(indexes.values()))
        if all(first.equals(other) for other in indexes.values()):
            return columns, *_of_index(first)
        keys = {name: _of_index(index) for name, index in indexes.items()}
        named = {name: symbols for name, (_, symbols) in keys.items()}
        without = [name for name, symbols in named.items() if symbols is None]
        if without and len(without) < len(named):
            raise DataError(f"the index of '{without[0]}' has no symbols where others have; one kind was expected.")
        return columns, {name: times for name, (times, _) in keys.items()}, None if without else named
    if not hasattr(values, "columns"):
        raise DataError(f"{what} is a {type(values).__name__}; a dict of model -> {what}, or a frame, was expected.")
    names = [str(name) for name in values.columns]
    clock = next((name for name in _TIME_COLUMNS if name in names), None)
    times, symbols = (values[clock], None) if clock else _of_index(values.index) if _telling_index(values) else (None, None)
    if _SYMBOL in names:
        symbols = values[_SYMBOL]
    return {name: values[name] for name in names if name not in (*_TIME_COLUMNS, _SYMBOL)}, times, symbols


def _columns(losses: Any, times: Keys, symbols: Keys) -> tuple[dict[str, Any], Keys, Keys]:
    """Model -> losses, and where their times and symbols are; what is given counts more than what is found."""
    columns, found_times, found_symbols = told_columns(losses, "losses")
    if times is not None:
        return columns, times, symbols
    return columns, found_times, found_symbols if symbols is None else symbols


def _telling_index(values: Any) -> bool:
    """Whether a pandas index says more than the number of the row."""
    index = getattr(values, "index", None)
    return hasattr(index, "is_unique") and type(index).__name__ != "RangeIndex"


def _of_index(index: Any) -> tuple[Any, Any]:
    """Times and symbols of a pandas index."""
    if index.nlevels == 1:
        return index, None
    levels = [index.get_level_values(level) for level in range(index.nlevels)]
    clocks = [level for level in levels if plain_array(level).dtype.kind == "M"]
    others = [level for level in levels if plain_array(level).dtype.kind != "M"]
    if len(clocks) != 1 or len(others) != 1:
        raise DataError(
            f"the index has {index.nlevels} levels, {len(clocks)} of them times; one of times and one of symbols were expected."
        )
    return clocks[0], others[0]


def has_zone(values: Any) -> bool:
    """Whether times say in which zone they are.

    >>> has_zone(pl.Series([]).cast(pl.Datetime("ms", "UTC"))), has_zone(np.array(["2024-01-01"], "M8[s]"))
    (True, False)
    """
    if isinstance(values, pl.Series):
        return getattr(values.dtype, "time_zone", None) is not None
    inner = getattr(values, "dt", values)
    if getattr(inner, "tz", None) is not None:
        return True
    first = values[0] if isinstance(values, (list, tuple)) and len(values) else None
    return getattr(first, "tzinfo", None) is not None


def _checked(name: str, losses: Any) -> NDArray[np.float64]:
    values = plain_array(losses)
    if values.ndim != 1 or not (np.issubdtype(values.dtype, np.integer) or np.issubdtype(values.dtype, np.floating)):
        raise DataError(
            f"losses of '{name}' are {values.dtype} of shape {values.shape}; one number for every row was expected."
        )
    bad = ~np.isfinite(values)
    if bad.any():
        where = int(np.argmax(bad))
        raise DataError(f"the loss of '{name}' is {values[where]} in row {where}; finite numbers were expected.")
    return values.astype(np.float64, copy=False)


def _checked_times(keys: Any, n: int, what: str) -> NDArray[Any]:
    values = plain_array(keys)
    if values.shape != (n,):
        raise DataError(f"{what} have shape {values.shape} for {n} losses; one for every row was expected.")
    if what.startswith("times") and values.dtype.kind in "USO" and all(isinstance(item, str) for item in values.flat):
        raise DataError(
            f"{what} are text such as {str(values[0])!r}, which need not sort as time does; datetimes or numbers were expected."
        )
    missing = np.isnat(values) if values.dtype.kind in "mM" else values != values if values.dtype.kind in "fO" else None
    if missing is not None and np.any(missing):
        raise DataError(f"{what} are missing in row {int(np.argmax(missing))}; one for every row was expected.")
    if values.dtype == object:
        missing = np.array([item is None for item in values], dtype=bool)
        if missing.any():
            raise DataError(f"{what} are missing in row {int(np.argmax(missing))}; one for every row was expected.")
    return values


def _refuse_twice(times: NDArray[Any], symbols: NDArray[Any] | None, who: str) -> None:
    keys = pl.DataFrame({"time": times} if symbols is None else {"time": times, _SYMBOL: symbols})
    twice = keys.is_duplicated()
    if twice.any():
        where = " and ".join(f"{name} {value}" for name, value in keys.row(int(twice.arg_max() or 0), named=True).items())
        more = "; with several symbols a time, symbols are needed to join on" if symbols is None else ""
        raise DataError(f"{who} has more than one loss at {where}; one was expected{more}.")


def _joined(table: dict[str, NDArray[np.float64]], times: Mapping[str, ArrayLike], symbols: Keys) -> AlignedLosses:
    """Inner join on time, and symbol where there are any."""
    for keys, what in ((times, "times"), (symbols, "symbols")):
        if isinstance(keys, Mapping) and set(map(str, keys)) != set(table):
            given = ", ".join(map(str, keys))
            raise DataError(f"{what} are given for {given}; one array for each of {', '.join(table)} was expected.")
    zoned = {name: has_zone(keys) for name, keys in times.items() if plain_array(keys).dtype.kind == "M"}
    if len(set(zoned.values())) > 1:
        without = next(name for name, told in zoned.items() if not told)
        raise DataError(f"times of '{without}' have no time zone where those of others have; one kind was expected.")
    if symbols is not None and not isinstance(symbols, Mapping):
        raise DataError("times were given for each model and symbols were not; symbols of each model were expected.")
    on = ["time"] if symbols is None else ["time", _SYMBOL]
    joined: pl.DataFrame | None = None
    for place, (name, values) in enumerate(table.items()):
        moments = _checked_times(times[name], len(values), f"times of '{name}'")
        named = None if symbols is None else _checked_times(symbols[name], len(values), f"symbols of '{name}'")
        _refuse_twice(moments, named, f"'{name}'")
        frame = pl.DataFrame({"time": moments, f"loss {place}": values})
        frame = frame if named is None else frame.with_columns(pl.Series(_SYMBOL, named))
        try:
            joined = frame if joined is None else joined.join(frame, on=on, how="inner")
        except pl.exceptions.SchemaError as error:
            raise DataError(f"times of '{name}' are {moments.dtype}, those of the models before it are not.") from error
    assert joined is not None
    if not joined.height:
        raise DataError(f"{' and '.join(map(repr, table))} have no {' and '.join(on)} in common; nothing can be compared.")
    joined = joined.sort("time", maintain_order=True)
    together = joined.select(f"loss {place}" for place in range(len(table))).to_numpy()
    dropped = {name: len(values) - joined.height for name, values in table.items()}
    return _averaged(tuple(table), np.ascontiguousarray(together), joined["time"].to_numpy(), dropped, joined=True)


def _averaged(
    names: tuple[str, ...],
    values: NDArray[np.float64],
    times: NDArray[Any] | None,
    dropped: Mapping[str, int],
    *,
    joined: bool = False,
) -> AlignedLosses:
    moments, losses = (None, values) if times is None else average_by_time(values, times)
    return AlignedLosses(names, losses, moments, dropped, values, times, joined)
