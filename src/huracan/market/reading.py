"""``read_candles``: whatever a trader has goes in, canonical candles come out, or one sentence says why not."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from huracan.errors import CandleError, NotEnoughData
from huracan.market.columns import ALIASES, TIME_NAMES, find_column, missing_column, plain_name
from huracan.market.schema import CANDLE_SCHEMA, OPTIONAL_COLUMNS, candles_hash, written_time
from huracan.market.segments import bar_length, steps_of, written_length
from huracan.market.sources import CandleSource, Table, open_tables
from huracan.market.timestamps import NoteKind, ReadNote, ReadTimes, read_times
from huracan.market.validity import validate_candles

__all__ = ["CandleIngest", "CandleSource", "ingest_candles", "read_candles"]

UNNAMED = "asset"
"""Symbol of a frame that names none."""


@dataclass(frozen=True, eq=False)
class CandleIngest:
    """Canonical candles and everything that was recognised on the way.

    Attributes
    ----------
    candles : canonical candles, validated.
    notes : what was recognised, converted, dropped or ignored, in the order it happened.
    files : the files read, empty for frames.
    bar_length : length of one bar.
    """

    candles: pl.DataFrame
    notes: tuple[ReadNote, ...]
    files: tuple[Path, ...]
    bar_length: dt.timedelta

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols in order."""
        return tuple(self.candles["symbol"].unique(maintain_order=True))

    @property
    def hash(self) -> str:
        """``candles_hash`` of the candles."""
        return candles_hash(self.candles)


def read_candles(
    source: CandleSource,
    *,
    symbol: str | None = None,
    on_unsorted: Literal["refuse", "sort"] = "refuse",
    on_duplicate: Literal["refuse", "drop_exact"] = "refuse",
    drop_open_bar: bool = False,
) -> pl.DataFrame:
    """Read candles from a file, a folder or a frame.

    The same as :func:`ingest_candles`, without the notes.

    Examples
    --------
    >>> frame = pl.DataFrame({"Open time": ["2025-11-01 03:18", "2025-11-01 03:19"], "Open": [187.0, 187.2],
    ...                       "High": [187.2, 187.4], "Low": [186.9, 187.2], "Close": [187.2, 187.3], "Vol": [302, 1181]})
    >>> read_candles(frame, symbol="SOL-USDT").columns
    ['symbol', 'ts', 'open', 'high', 'low', 'close', 'volume']
    """
    return ingest_candles(
        source, symbol=symbol, on_unsorted=on_unsorted, on_duplicate=on_duplicate, drop_open_bar=drop_open_bar
    ).candles


def ingest_candles(
    source: CandleSource,
    *,
    symbol: str | None = None,
    on_unsorted: Literal["refuse", "sort"] = "refuse",
    on_duplicate: Literal["refuse", "drop_exact"] = "refuse",
    drop_open_bar: bool = False,
    now: dt.datetime | None = None,
) -> CandleIngest:
    """Read candles and say what had to be recognised.

    Parameters
    ----------
    source : path of a parquet, CSV (also gzipped) or Feather (Arrow IPC) file, a folder of them, a pandas frame (times
        in a column or in the index) or a polars frame, lazy or not. Columns go by their usual names (``Open``, ``o``,
        ``open_time``, ``ticker``, ...); symbols come from a column, else from the file name (``SOL-USDT_1m.parquet``).
    symbol : names the series of a source without symbols; where the source has symbols, only this one is kept.
    on_unsorted : ``"refuse"`` times that go back, or ``"sort"`` them. Rows of several symbols may be interleaved either way.
    on_duplicate : ``"refuse"`` a bar that is there twice, or ``"drop_exact"`` to keep one of rows that agree in every
        value; rows that contradict each other are always refused.
    drop_open_bar : drop the last bar of every symbol, because it was still open when the data was taken. Whether it
        was is never guessed; a note says where the clock shows that it still is.
    now : the clock that times are judged by; the default is the present. Later than a day after it is refused.

    Raises
    ------
    CandleError : the source cannot be read, lacks a column, or holds what :func:`validate_candles` refuses.
    NotEnoughData : no rows, or a symbol with a single bar.

    Examples
    --------
    >>> frame = pl.DataFrame({"t": [1761967080000, 1761967140000], "o": [187.0, 187.2], "h": [187.2, 187.4],
    ...                       "l": [186.9, 187.2], "c": [187.2, 187.3], "v": [302, 1181]})
    >>> for note in ingest_candles(frame, symbol="SOL-USDT").notes:
    ...     print(note.sentence)
    column 't' holds numbers, recognised as milliseconds since 1970 (2025-11-01 03:18 UTC and later).
    columns are named 't' for ts, 'o' for open, 'h' for high, 'l' for low, 'c' for close, 'v' for volume.
    """
    if on_unsorted not in ("refuse", "sort"):
        raise CandleError(f"on_unsorted is {on_unsorted!r}; 'refuse' or 'sort' was expected.")
    if on_duplicate not in ("refuse", "drop_exact"):
        raise CandleError(f"on_duplicate is {on_duplicate!r}; 'refuse' or 'drop_exact' was expected.")
    clock = _clock(now)
    notes: list[ReadNote] = []
    parts: list[tuple[str, pl.DataFrame]] = []
    files: list[Path] = []
    for table in open_tables(source):
        part, said = _canonical(table, symbol=symbol, now=clock)
        notes.extend(said)
        files.extend([Path(table.file)] if table.file else [])
        if part.is_empty() and symbol is not None and table.frame.height:
            continue
        part, said = _in_order(part, table, on_unsorted=on_unsorted)
        notes.extend(said)
        parts.append((table.where, part))
    if not parts:
        raise CandleError(f"symbol '{symbol}' is not in {', '.join(map(str, files)) or 'the frame'}.")
    candles, said = _joined(parts, sort=on_unsorted == "sort")
    notes.extend(said)
    candles, said = _without_duplicates(candles, drop=on_duplicate == "drop_exact")
    notes.extend(said)
    if drop_open_bar:
        last = (pl.col("symbol") != pl.col("symbol").shift(-1)).fill_null(True)
        at = written_time(candles["ts"].dt.epoch("ms").max()) if candles.height else "no time"
        notes.append(
            ReadNote(
                NoteKind.OPEN_BAR,
                f"the last bar of every symbol was dropped as still open (latest: {at}).",
                count=candles["symbol"].n_unique(),
            )
        )
        candles = candles.filter(~last)
    validate_candles(candles)
    bar = bar_length(candles)
    still_open = candles.filter(pl.col("ts") + bar > clock)
    if still_open.height:
        first = still_open.row(0, named=True)
        notes.append(
            ReadNote(
                NoteKind.OPEN_BAR,
                f"{first['symbol']}: the bar of {written_time(int(first['ts'].timestamp() * 1000))} is still open now and was kept "
                f"({still_open.height} such bars); drop_open_bar=True drops it.",
                count=still_open.height,
            )
        )
    return CandleIngest(candles, tuple(notes), tuple(files), bar)


def _clock(now: dt.datetime | None) -> dt.datetime:
    if now is None:
        return dt.datetime.now(dt.UTC)
    return now.replace(tzinfo=dt.UTC) if now.tzinfo is None else now.astimezone(dt.UTC)


def _canonical(table: Table, *, symbol: str | None, now: dt.datetime) -> tuple[pl.DataFrame, list[ReadNote]]:
    """Name, type and select the columns of one table; rows stay in the order they came."""
    frame, file = table.frame, table.file
    names = [name for name in frame.columns]
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
    aliased = [f"'{name}' for {canonical}" for canonical, name in renamed.items() if name != canonical]
    if aliased:
        notes.append(ReadNote(NoteKind.COLUMN, f"columns are named {', '.join(aliased)}.", file))
    ignored = [name for name in names if name not in renamed.values()]
    if ignored:
        listed = ", ".join(map(repr, ignored[:12])) + (f" and {len(ignored) - 12} more" if len(ignored) > 12 else "")
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
            raise CandleError(f"symbol column '{column}' of {table.where} holds {named.dtype}; names were expected.")
        named = named.cast(pl.String).str.strip_chars().alias("symbol")
        empty = named.is_null() | (named == "")
        if empty.any():
            raise CandleError(
                f"symbol column '{column}' of {table.where} is empty in row {empty.arg_max()} ({empty.sum()} rows)."
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
            f"{table.where}: columns '{chosen}' and '{name}' tell different times, {written_time(mine)} and "
            f"{written_time(other)} in row {row} ({differ.sum()} rows); keep the one that is the bar's open."
        )
    notes = list(read[chosen].notes)
    for name, error in refused.items():
        said = f"time is taken from column '{chosen}', not from '{name}': {error}"
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
                f"{table.where}: column '{name}' says '{column[row]}' in row {row} ({unread.sum()} rows); a number was expected."
            )
        said = f"column '{name}' holds numbers written as text and was converted."
        return numbers.alias(canonical), [ReadNote(NoteKind.NUMBER, said, table.file)]
    raise CandleError(f"{table.where}: column '{name}' holds {kind}; numbers were expected.")


def _in_order(frame: pl.DataFrame, table: Table, *, on_unsorted: str) -> tuple[pl.DataFrame, list[ReadNote]]:
    """Bring the rows of each symbol together; within a symbol, times must go forward already or be sorted on request."""
    if not frame["symbol"].is_sorted():
        frame = frame.sort("symbol", maintain_order=True)
    back = steps_of(frame).filter(pl.col("step") < 0)
    if back.is_empty():
        return frame, []
    symbol, ts = back.row(0)[:2]
    when = written_time(int(ts.timestamp() * 1000))
    if on_unsorted == "refuse":
        raise CandleError(
            f"{table.where}: {symbol} is not in order of time, {when} comes after a later bar ({back.height} such rows); "
            "on_unsorted='sort' sorts them."
        )
    note = ReadNote(NoteKind.ORDER, f"{symbol} was not in order of time at {when} and was sorted.", table.file, back.height)
    return frame.sort("symbol", "ts", maintain_order=True), [note]


def _joined(parts: list[tuple[str, pl.DataFrame]], *, sort: bool) -> tuple[pl.DataFrame, list[ReadNote]]:
    """Join the tables of several files; the same symbol in two files must have one bar length and follow in time."""
    if len(parts) == 1:
        return parts[0][1].rechunk(), []
    lengths: dict[int, str] = {}
    for where, part in parts:
        if (steps_of(part)["step"] > 0).any():
            lengths.setdefault(int(bar_length(part).total_seconds() * 1000), where)
    if len(lengths) > 1:
        said = " and ".join(f"{where} has bars of {written_length(bar)}" for bar, where in sorted(lengths.items())[:3])
        raise CandleError(f"bar lengths are mixed: {said}; one bar length was expected, read them apart.")
    spans = pl.concat(
        [
            part.group_by("symbol")
            .agg(pl.col("ts").min().alias("first"), pl.col("ts").max().alias("last"))
            .with_columns(where=pl.lit(where))
            for where, part in parts
        ]
    ).sort("symbol", "first")
    same = (spans["symbol"] == spans["symbol"].shift(1)).fill_null(False)
    overlap = same & (spans["first"] < spans["last"].shift(1)).fill_null(False)
    if overlap.any() and not sort:
        row = int(overlap.arg_max() or 0)
        raise CandleError(
            f"{spans['symbol'][row]} is in {spans['where'][row - 1]} and in {spans['where'][row]} at overlapping times; "
            "one file a span was expected, or on_unsorted='sort'."
        )
    frame = pl.concat([part for _, part in parts], how="diagonal").sort("symbol", "ts", maintain_order=True)
    note = [ReadNote(NoteKind.FILES, f"{spans['symbol'].n_unique()} symbols were joined from {len(parts)} files.")]
    return frame, note


def _without_duplicates(frame: pl.DataFrame, *, drop: bool) -> tuple[pl.DataFrame, list[ReadNote]]:
    """Refuse or drop bars that are there twice; rows that contradict each other cannot be dropped."""
    twice = steps_of(frame).filter(pl.col("step") == 0)
    if twice.is_empty():
        return frame, []
    keys = twice.select("symbol", "ts").unique(maintain_order=True)
    exact = frame.join(keys, on=["symbol", "ts"], how="semi").unique()
    conflicting = exact.group_by("symbol", "ts").len().filter(pl.col("len") > 1).sort("symbol", "ts")
    shown = conflicting if conflicting.height else keys
    symbol, ts = shown.row(0)[:2]
    when = written_time(int(ts.timestamp() * 1000))
    if conflicting.height:
        raise CandleError(
            f"{symbol}: {when} is there more than once with different values ({conflicting.height} such bars); one bar a "
            "time was expected."
        )
    if not drop:
        raise CandleError(
            f"{symbol}: {when} is there more than once with the same values ({twice.height} rows too many); one bar a time "
            "was expected, on_duplicate='drop_exact' keeps one of each."
        )
    said = f"{symbol}: {when} was there more than once with the same values and one was kept ({twice.height} rows dropped)."
    kept = frame.unique(["symbol", "ts"], keep="first", maintain_order=True)
    return kept, [ReadNote(NoteKind.DUPLICATE, said, count=twice.height)]
