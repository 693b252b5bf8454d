"""External data made ready to be looked up: when each row became known, sorted, each moment once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import CandleError, FeatureError
from huracan.market.bar_lengths import length_in_ms
from huracan.market.columns import TIME_NAMES, plain_name
from huracan.market.schema import written_time
from huracan.market.sources import CandleSource, open_tables
from huracan.market.timestamps import read_times

__all__ = ["ExternalRows", "external_rows"]

_KNOWN, _OBSERVED, _SYMBOL = "__known", "__observed", "__symbol"
_DAY = 86_400_000
_DATE_ONLY = r"^\s*\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\s*$"


@dataclass(frozen=True, eq=False)
class ExternalRows:
    """External values in the order they became known.

    Attributes
    ----------
    known : (n,) microseconds since 1970, ascending (within each symbol where there are symbols).
    values : (n rows) the external columns.
    spans : symbol -> its half-open range of rows; None where values are everybody's.
    notes : what was recognised, sorted or left out.
    """

    known: NDArray[np.int64]
    values: pl.DataFrame
    spans: Mapping[str, tuple[int, int]] | None
    notes: tuple[str, ...]


def external_rows(
    external: CandleSource,
    *,
    on: str,
    delay: str | dt.timedelta | None,
    observed: str | None,
    columns: Sequence[str] | None,
) -> ExternalRows:
    """Read external data as ``join_external`` describes."""
    frame = _opened(external)
    notes: list[str] = []
    wait = None if delay is None else length_in_ms(delay, what="delay", zero=True)
    time = _time_column(frame, on, wait)
    symbol = next((name for name in frame.columns if plain_name(name) == "symbol"), None)
    keys = {name for name in (time, observed, symbol) if name is not None}
    names = _value_columns(frame, keys, columns)
    rows = frame.select(
        _times(frame, time, notes, dated=wait is not None).alias(_KNOWN) + (wait or 0) * 1_000,
        *([_times(frame, observed, notes, dated=True).alias(_OBSERVED)] if observed else []),
        *([_symbols(frame, symbol)] if symbol else []),
        *names,
    )
    by_symbol = [_SYMBOL] if _SYMBOL in rows.columns else []
    rows = _in_order(rows, by_symbol, time, notes)
    rows = _one_a_moment(rows, by_symbol, names, time, notes)
    spans = None
    if by_symbol:
        runs = rows[_SYMBOL].rle().struct.unnest()
        stops = np.cumsum(runs["len"].to_numpy()).tolist()
        spans = {symbol: (stop - length, stop) for stop, length, symbol in zip(stops, runs["len"], runs["value"])}
    return ExternalRows(rows[_KNOWN].to_numpy(), rows.select(names), spans, tuple(notes))


def _opened(external: CandleSource) -> pl.DataFrame:
    tables = list(open_tables(external))
    if len(tables) != 1:
        raise FeatureError(f"{external} is {len(tables)} files of external data; one file or frame was expected.")
    return tables[0].frame.rechunk()


def _time_column(frame: pl.DataFrame, on: str, wait: int | None) -> str:
    if on in frame.columns:
        return on
    plain = {plain_name(name): name for name in reversed(frame.columns)}
    found = [plain[alias] for alias in TIME_NAMES if alias in plain]
    if wait is not None and found:
        return found[0]
    if found:
        raise FeatureError(
            f"the external data have no column '{on}', and column '{found[0]}' may be when values were observed; pass "
            f"on='{found[0]}' if they were known then, or delay= for how long after it they were."
        )
    raise FeatureError(
        f"the external data have no column '{on}' that says when a value became known; columns are {', '.join(frame.columns)}."
    )


def _value_columns(frame: pl.DataFrame, keys: set[str], columns: Sequence[str] | None) -> list[str]:
    names = [name for name in frame.columns if name not in keys] if columns is None else list(columns)
    absent = next((name for name in (*names, *keys) if name not in frame.columns), None)
    if absent is not None:
        raise FeatureError(f"the external data have no column '{absent}'; columns are {', '.join(frame.columns)}.")
    if not names:
        raise FeatureError("the external data have no column of values beside times and symbols; one at least was expected.")
    return names


def _times(frame: pl.DataFrame, name: str, notes: list[str], *, dated: bool) -> pl.Series:
    """Microseconds since 1970, never earlier than the time that is said."""
    column = frame[name]
    if column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise FeatureError(
            f"column '{name}' of the external data has no time in row {row} ({column.null_count()} rows); one was expected."
        )
    if not dated and _only_dates(column):
        raise FeatureError(
            f"column '{name}' of the external data holds dates without time of day, such as {column[0]}; delay= must say how "
            "long after the beginning of that day (UTC) a value is known, such as '1d'."
        )
    try:
        read = read_times(column, now=dt.datetime.now(dt.UTC))
    except CandleError as error:
        raise FeatureError(f"the external data: {error}") from error
    notes.extend(note.sentence for note in read.notes)
    since = read.times.dt.epoch("ms")
    if not dated and since.len() > 1 and (since % _DAY == 0).all():
        notes.append(
            f"every time in column '{name}' is a midnight, UTC; if these are dates, delay= says when values are known."
        )
    return since * 1_000 + _past_millisecond(column, since)


def _only_dates(column: pl.Series) -> bool:
    if column.dtype == pl.Date:
        return True
    return column.dtype == pl.String and column.len() > 0 and bool(column.str.contains(_DATE_ONLY).all())


def _past_millisecond(column: pl.Series, since: pl.Series) -> pl.Series:
    """How far each time lies past the millisecond it was read as: microseconds, rounded up, so never too early."""
    kind = column.dtype
    if isinstance(kind, pl.Datetime):
        return _rest(column.to_physical(), {"ms": 1, "us": 1_000, "ns": 1_000_000}[kind.time_unit])
    if kind == pl.Date or column.is_empty():
        return since * 0
    if not kind.is_numeric():
        text = column.cast(pl.String).str.strip_chars()
        numbers = text.cast(pl.Int64, strict=False)
        column = text.cast(pl.Float64, strict=False) if numbers.null_count() else numbers
        if column.null_count():
            digits = text.str.extract(r"\.\d{3}(\d+)").fill_null("") + "000"
            beyond = digits.str.slice(3).str.contains("[1-9]").cast(pl.Int64)
            return digits.str.slice(0, 3).cast(pl.Int64) + beyond
    per_ms = next(unit for unit in (0.001, 1, 1_000, 1_000_000) if abs(float(column[0]) / unit - since[0]) <= 1)
    if column.dtype.is_integer():
        return _rest(column.cast(pl.Int64), max(1, int(per_ms)))
    return ((column.cast(pl.Float64) / per_ms - since) * 1000).round().cast(pl.Int64)  # all that float64 can tell


def _rest(numbers: pl.Series, per_ms: int) -> pl.Series:
    """What is left of integers after whole milliseconds, in microseconds, rounded up."""
    return -(-(numbers % per_ms) * 1_000 // per_ms)


def _symbols(frame: pl.DataFrame, name: str) -> pl.Series:
    column = frame[name].cast(pl.String).str.strip_chars()
    empty = column.is_null() | (column == "")
    if empty.any():
        raise FeatureError(
            f"column '{name}' of the external data is empty in row {empty.arg_max()} ({empty.sum()} rows); a name was expected."
        )
    return column.alias(_SYMBOL)


def _in_order(rows: pl.DataFrame, by_symbol: list[str], time: str, notes: list[str]) -> pl.DataFrame:
    back = pl.col(_KNOWN) < pl.col(_KNOWN).shift(1)
    if rows.select((back.over(by_symbol) if by_symbol else back).any()).item():
        notes.append(f"the external data were not in order of '{time}' and were sorted.")
    return rows.sort([*by_symbol, _KNOWN, *([_OBSERVED] if _OBSERVED in rows.columns else [])], maintain_order=True)


def _one_a_moment(rows: pl.DataFrame, by_symbol: list[str], names: list[str], time: str, notes: list[str]) -> pl.DataFrame:
    """One row for each moment at which something became known; what can never be the last one known goes."""
    keys = [name for name in (*by_symbol, _KNOWN, _OBSERVED) if name in rows.columns]
    again = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in keys).fill_null(False)
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in names)
    contradicting = rows.filter(again & differs)
    if contradicting.height:
        first = contradicting.row(0, named=True)
        whose = f"{first[_SYMBOL]}: " if by_symbol else ""
        hint = "" if _OBSERVED in rows.columns else "; observed= names the column that says which one is newer"
        raise FeatureError(
            f"{whose}the external data have different values known at {written_time(first[_KNOWN] // 1_000)} in column "
            f"'{time}' ({contradicting.height} such rows); one row a moment was expected{hint}."
        )
    kept = rows.filter(~again)
    if kept.height < rows.height:
        notes.append(f"{rows.height - kept.height} rows that are there more than once with the same values were left out.")
    if _OBSERVED not in rows.columns:
        return kept
    newest = pl.col(_OBSERVED).cum_max()
    fresh = kept.filter(pl.col(_OBSERVED) == (newest.over(by_symbol) if by_symbol else newest))
    if fresh.height < kept.height:
        notes.append(f"{kept.height - fresh.height} revisions of observations older than the newest one known were left out.")
    moment = pl.struct(*by_symbol, _KNOWN) if by_symbol else pl.col(_KNOWN)
    return fresh.filter((moment != moment.shift(-1)).fill_null(True))
