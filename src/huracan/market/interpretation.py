"""Interpret one table: which column is what, in which unit, of which symbol."""

from __future__ import annotations

import datetime as dt

import polars as pl

from huracan.errors import CandleError, NotEnoughData
from huracan.market.columns import TIME_NAMES, find_column, missing_column, plain_name, shown
from huracan.market.schema import CANDLE_SCHEMA, OPTIONAL_COLUMNS, written_time
from huracan.market.sources import Table
from huracan.market.timestamps import NoteKind, ReadNote, ReadTimes, read_times

__all__ = ["UNNAMED", "canonical_table"]

UNNAMED = "asset"
"""Symbol of a frame that names none."""


def canonical_table(table: Table, *, symbol: str | None, now: dt.datetime) -> tuple[pl.DataFrame, list[ReadNote]]:
    """Name, type and select the columns of one table; rows stay in the order they came."""
    frame, file = table.frame, table.file
    names = list(frame.columns)
    found = {canonical: find_column(canonical, names) for canonical in (*CANDLE_SCHEMA, *OPTIONAL_COLUMNS) if canonical != "ts"}
    for canonical in ("open", "high", "low", "close", "volume"):
        if found[canonical] is None:
            raise missing_column(canonical, names, where=table.where)
    if frame.is_empty():
        raise NotEnoughData(f"{table.where} is empty: it has columns and 0 rows; at least two bars were expected.")
    time_name, times, notes = _time_of(table, now=now)
    renamed = {"ts": time_name, **{canonical: name for canonical, name in found.items() if name is not None}}
    columns: list[pl.Series] = []
    for canonical in ("open", "high", "low", "close", "volume", "funding_rate"):
        name = found[canonical]
        if name is not None:
            column, said = _numbers(frame[name], canonical, table)
            columns.append(column)
            notes.extend(said)
    aliased = [f"{shown(name)} for {canonical}" for canonical, name in renamed.items() if name != canonical]
    if aliased:
        notes.append(ReadNote(NoteKind.COLUMN, f"columns are named {', '.join(aliased)}.", file))
    ignored = [name for name in names if name not in renamed.values()]
    if ignored:
        listed = ", ".join(map(shown, ignored[:12])) + (f" and {len(ignored) - 12} more" if len(ignored) > 12 else "")
        notes.append(ReadNote(NoteKind.COLUMN, f"columns {listed} are not used.", file))
    of_rows, said = _symbols(table, found["symbol"], symbol)
    notes.extend(said)
    result = pl.DataFrame([of_rows, times.alias("ts"), *columns])
    kept = result.filter(pl.col("symbol") == symbol) if symbol is not None else result
    return kept, notes


def _symbols(table: Table, column: str | None, symbol: str | None) -> tuple[pl.Series, list[ReadNote]]:
    rows = table.frame.height
    if column is not None:
        named = table.frame[column]
        if not isinstance(named.dtype, (pl.String, pl.Categorical, pl.Enum)):
            raise CandleError(f"symbol column {shown(column)} of {table.where} holds {named.dtype}; names were expected.")
        named = named.cast(pl.String).str.strip_chars().alias("symbol")
        empty = named.is_null() | (named == "")
        if empty.any():
            raise CandleError(
                f"symbol column {shown(column)} of {table.where} is empty in row {empty.arg_max()} ({empty.sum()} rows)."
            )
        control = named.str.contains(r"[[:cntrl:]]")
        if control.any():
            row = int(control.arg_max() or 0)
            raise CandleError(
                f"symbol column {shown(column)} of {table.where} says {shown(named[row])} in row {row}; a name was expected."
            )
        return named, []
    if symbol is None and table.symbol is None:
        said = f"the frame names no symbol; it is called '{UNNAMED}'."
        return pl.Series("symbol", [UNNAMED]).new_from_index(0, rows), [ReadNote(NoteKind.SYMBOL, said)]
    name = symbol if symbol is not None else str(table.symbol)
    notes = [] if symbol is not None else [ReadNote(NoteKind.SYMBOL, f"symbol {name} is taken from the file name.", table.file)]
    return pl.Series("symbol", [name]).new_from_index(0, rows), notes


def _time_of(table: Table, *, now: dt.datetime) -> tuple[str, pl.Series, list[ReadNote]]:
    """Find the column that says when a bar opens; several that are plausible must agree."""
    by_name: dict[str, list[str]] = {}
    for name in table.frame.columns:
        by_name.setdefault(plain_name(name), []).append(name)
    candidates = [name for alias in TIME_NAMES for name in by_name.get(alias, [])]
    if not candidates:
        raise missing_column("ts", table.frame.columns, where=table.where)
    read: dict[str, ReadTimes] = {}
    refused: dict[str, CandleError] = {}
    for name in candidates:
        try:
            read[name] = read_times(table.frame[name], now=now, file=table.file)
        except CandleError as error:
            refused[name] = error
    if not read:
        first = next(iter(refused.values()))
        raise CandleError(f"{table.where}: {first}") from first
    chosen = next(iter(read))
    for name in list(read)[1:]:
        differ = read[name].times != read[chosen].times
        if not differ.any():
            continue
        coarser, finer = sorted((chosen, name), key=lambda n: (read[n].times.n_unique(), n == name))
        day = read[coarser].times.dt.truncate("1d")
        if (day == read[coarser].times).all() and (read[finer].times.dt.truncate("1d") == day).all():
            chosen = finer
            continue
        row = int(differ.arg_max() or 0)
        mine, other = (read[n].times.dt.epoch("ms")[row] for n in (chosen, name))
        raise CandleError(
            f"{table.where}: columns {shown(chosen)} and {shown(name)} tell different times, {written_time(mine)} and "
            f"{written_time(other)} in row {row} ({differ.sum()} rows); keep the one that is the bar's open."
        )
    notes = list(read[chosen].notes)
    for name, reason in refused.items():
        said = f"time is taken from column {shown(chosen)}, not from {shown(name)}: {reason}"
        notes.append(ReadNote(NoteKind.TIME_COLUMN, said, table.file))
    return chosen, read[chosen].times, notes


def _numbers(column: pl.Series, canonical: str, table: Table) -> tuple[pl.Series, list[ReadNote]]:
    """Turn a column of prices or volumes into Float64."""
    name, kind = column.name, column.dtype
    if kind == pl.Float64:
        return column.alias(canonical), []
    if kind.is_numeric():
        return column.cast(pl.Float64).alias(canonical), []
    if kind == pl.Null:
        return column.cast(pl.Float64).alias(canonical), []
    if isinstance(kind, (pl.String, pl.Categorical, pl.Enum)):
        text = column.cast(pl.String).str.strip_chars()
        numbers = text.cast(pl.Float64, strict=False)
        unread = numbers.is_null() & text.is_not_null() & (text != "")
        if unread.any():
            row = int(unread.arg_max() or 0)
            raise CandleError(
                f"{table.where}: column {shown(name)} says {shown(column[row])} in row {row} ({unread.sum()} rows); "
                "a number was expected."
            )
        said = f"column {shown(name)} holds numbers written as text and was converted."
        return numbers.alias(canonical), [ReadNote(NoteKind.NUMBER, said, table.file)]
    raise CandleError(f"{table.where}: column {shown(name)} holds {kind}; numbers were expected.")
