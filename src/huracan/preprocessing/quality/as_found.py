"""Read candles as they are found: nothing is refused that can still be looked at, and what cannot be used is counted."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from huracan.errors import CandleError, NotEnoughData
from huracan.market.columns import TIME_NAMES, find_column, missing_column, plain_name, shown
from huracan.market.interpretation import UNNAMED
from huracan.market.schema import CANDLE_SCHEMA, written_time
from huracan.market.sources import Table
from huracan.market.timestamps import NoteKind
from huracan.preprocessing.quality.findings import QualityCheck, Severity, row_check
from huracan.preprocessing.quality.lenient_times import FoundTimes, TimeFlaw, find_times
from huracan.preprocessing.quality.opening import tables_of, with_texts

__all__ = ["FoundCandles", "read_as_found"]

_VALUES = ("open", "high", "low", "close", "volume")
_JANUARY_1970, _FAR = 31 * 86_400_000, 100 * 365 * 86_400_000


@dataclass(frozen=True, eq=False)
class FoundCandles:
    """Rows of a source in the types of candles, in the order they came, and what was wrong with the rest.

    Attributes
    ----------
    frame : ``[symbol, ts, open, high, low, close, volume]``; a value that is missing or unreadable is null. Rows without
        a readable time or a symbol are left out and counted in ``checks``.
    checks : what reading found. rows : of the source, used or not. files : those read.
    twins : pairs of series that are one symbol from two files at overlapping times; the second carries its file's name.
    """

    frame: pl.DataFrame
    checks: tuple[QualityCheck, ...]
    rows: int
    files: tuple[Path, ...] = ()
    twins: tuple[tuple[str, str], ...] = ()


def read_as_found(source: Any, *, now: dt.datetime | None = None, bar: str | None = None) -> FoundCandles:
    """Read candles without refusing what is wrong with them.

    Parameters
    ----------
    source : whatever :func:`huracan.market.read_candles` takes: a file, a folder, a pandas or polars frame.
    now : the clock that times are judged by; the default is the present.
    bar : which bars of a candle store.

    Raises
    ------
    CandleError : the source cannot be opened, or no table in it has times and closes. NotEnoughData : it has no rows.

    Examples
    --------
    >>> frame = pl.DataFrame({"ts": ["2025-01-01", "someday"], "open": 1.0, "high": 1.0, "low": 1.0, "close": ["1", "x"]})
    >>> found = read_as_found(frame)
    >>> found.frame.height, [check.name for check in found.checks if check.severity == "error"]
    (1, ['unreadable time', 'unreadable close', 'missing column'])
    """
    clock = dt.datetime.now(dt.UTC) if now is None else now if now.tzinfo else now.replace(tzinfo=dt.UTC)
    if isinstance(source, pl.DataFrame) and _is_canonical(source, clock):
        return FoundCandles(source.select(CANDLE_SCHEMA.names()), (), source.height)
    source = with_texts(source)
    parts: list[tuple[str, pl.DataFrame]] = []
    checks: list[QualityCheck] = []
    files: list[Path] = []
    rows, refused = 0, None
    for table in tables_of(source, checks, bar):
        if table.file is not None and Path(table.file).is_file():  # a store's folder is older than what is in it
            files.append(Path(table.file))
        try:
            part, said = _interpreted(table, clock)
        except (CandleError, NotEnoughData) as error:
            refused = error
            checks.append(row_check("unreadable file", Severity.ERROR, table.frame.height, 1.0, str(error)))
            continue
        rows += table.frame.height
        checks += said
        parts.append((Path(table.file).name if table.file else table.where, part))
    parts, twins = _told_apart(parts, checks)
    if not any(part.height for _, part in parts):
        if rows and not refused:
            first = next(check.sentence for check in checks if check.severity is Severity.ERROR)
            raise CandleError(f"no row has a readable time and symbol: {first}")
        raise refused or CandleError(checks[0].sentence if checks else "there are no candles.")
    return FoundCandles(pl.concat([part for _, part in parts]), tuple(checks), rows, tuple(files), twins)


def _is_canonical(frame: pl.DataFrame, now: dt.datetime) -> bool:
    """Whether there is nothing to interpret: the usual case, and the quick one."""
    if any(frame.schema.get(name) != kind for name, kind in CANDLE_SCHEMA.items()) or frame.is_empty():
        return False
    if any(name != "ts" and plain_name(name) in TIME_NAMES for name in frame.columns):
        return False
    if frame["symbol"].null_count() or frame["ts"].null_count() or (frame["symbol"] == "").any():
        return False
    since = frame["ts"].to_physical()
    return bool(since.min() >= _JANUARY_1970 and since.max() < now.timestamp() * 1000 + _FAR)  # type: ignore[operator]


def _interpreted(table: Table, now: dt.datetime) -> tuple[pl.DataFrame, list[QualityCheck]]:
    """One table in canonical types; rows without time or symbol left out."""
    frame, where = table.frame, table.where
    names = list(frame.columns)
    column = {name: find_column(name, names) for name in ("symbol", *_VALUES)}
    if column["close"] is None:
        raise missing_column("close", names, where=where)
    if frame.is_empty():
        raise NotEnoughData(f"{where} is empty: it has columns and 0 rows; at least two bars were expected.")
    times, checks = _times(table, now)
    values = []
    for name in _VALUES:
        if column[name] is None:
            said = str(missing_column(name, names, where=where))
            checks.append(row_check("missing column", Severity.ERROR, frame.height, 1.0, said))
            values.append(pl.Series(name, [None], dtype=pl.Float64).new_from_index(0, frame.height))
            continue
        numbers, said_of = _numbers(frame[str(column[name])], name, where)
        values.append(numbers)
        checks += said_of
    symbol, said_of = _symbols(table, column["symbol"])
    checks += said_of
    whole = pl.DataFrame([symbol, times.alias("ts"), *values])
    if symbol.n_unique() == 1 and symbol[0] is not None:
        checks = [replace(check, symbol=symbol[0]) if check.severity is Severity.ERROR else check for check in checks]
    return whole.drop_nulls(["symbol", "ts"]), checks


def _times(table: Table, now: dt.datetime) -> tuple[pl.Series, list[QualityCheck]]:
    """The column with the fewest faults, the most trusted name among equals, and the faults of it and of those before it."""
    by_name: dict[str, list[str]] = {}
    for name in table.frame.columns:
        by_name.setdefault(plain_name(name), []).append(name)
    candidates = [name for alias in TIME_NAMES for name in by_name.get(alias, [])]
    found = [read for name in candidates if (read := find_times(table.frame[name], now=now, file=table.file)) is not None]
    if not found:
        raise missing_column("ts", table.frame.columns, where=table.where)
    chosen = _finer(min(found, key=lambda read: sum(int(f.rows.sum()) for f in read.flaws if f.name != "time zone")), found)
    checks: list[QualityCheck] = []
    for read in found[: found.index(chosen) + 1]:
        end = "" if read is chosen else f"; time is taken from column {shown(chosen.column)}"
        checks += [_flaw_check(flaw, table, end) for flaw in read.flaws]
    checks += [_apart(read, chosen, table) for read in found if read is not chosen and not read.wrong and _differ(read, chosen)]
    for note in chosen.notes:
        severity = Severity.WARNING if note.kind in (NoteKind.TIME_ZONE, NoteKind.FUTURE) else Severity.NOTE
        name = "time zone" if note.kind is NoteKind.TIME_ZONE else "reading"
        if note.kind is not NoteKind.FUTURE:  # the check of the future says it for each symbol
            checks.append(row_check(name, severity, table.frame.height, 1.0, note.sentence))
    return chosen.times, checks


def _finer(chosen: FoundTimes, found: list[FoundTimes]) -> FoundTimes:
    """Of faultless columns that name the same days, the one that also knows the hour."""
    for read in found:
        if read is chosen or read.wrong or chosen.wrong:
            continue
        day = chosen.times.dt.truncate("1d")
        if (day == chosen.times).all() and (read.times.dt.truncate("1d") == day).all() and (read.times != day).any():
            return read
    return chosen


def _differ(read: FoundTimes, chosen: FoundTimes) -> bool:
    days = (read.times.dt.truncate("1d") == read.times).all() and (chosen.times.dt.truncate("1d") == read.times).all()
    return not days and bool((read.times != chosen.times).any())


def _apart(read: FoundTimes, chosen: FoundTimes, table: Table) -> QualityCheck:
    differ = read.times != chosen.times
    row = int(differ.arg_max() or 0)
    mine, other = (written_time(one.times.dt.epoch("ms")[row]) for one in (chosen, read))
    said = (
        f"{table.where}: columns {shown(chosen.column)} and {shown(read.column)} tell different times, {mine} and {other} in "
        f"row {row} ({differ.sum():,} rows); {shown(chosen.column)} was taken."
    )
    return row_check("time columns", Severity.ERROR, int(differ.sum()), int(differ.sum()) / table.frame.height, said)


def _flaw_check(flaw: TimeFlaw, table: Table, end: str) -> QualityCheck:
    severity = Severity.WARNING if flaw.name == "time zone" else Severity.ERROR
    count = int(flaw.rows.sum())
    return row_check(flaw.name, severity, count, count / table.frame.height, f"{table.where}: {flaw.sentence}{end}.")


def _numbers(column: pl.Series, name: str, where: str) -> tuple[pl.Series, list[QualityCheck]]:
    kind = column.dtype
    if kind.is_numeric() or kind == pl.Null:
        return column.cast(pl.Float64).alias(name), []
    text = column.cast(pl.String).str.strip_chars() if isinstance(kind, (pl.String, pl.Categorical, pl.Enum)) else None
    numbers = (
        text.cast(pl.Float64, strict=False)
        if text is not None
        else pl.Series(name, [None], dtype=pl.Float64).new_from_index(0, column.len())
    )
    unread = numbers.is_null() & (column.is_not_null() if text is None else text.is_not_null() & (text != ""))
    if not unread.any():
        said = f"{where}: column {shown(column.name)} holds numbers written as text."
        return numbers.alias(name), [row_check("reading", Severity.NOTE, column.len(), 1.0, said)]
    row, count = int(unread.arg_max() or 0), int(unread.sum())
    said = (
        f"{where}: column {shown(column.name)} says {shown(column[row])} in row {row} ({count:,} rows); a number was expected."
    )
    return numbers.alias(name), [row_check(f"unreadable {name}", Severity.ERROR, count, count / column.len(), said)]


def _symbols(table: Table, column: str | None) -> tuple[pl.Series, list[QualityCheck]]:
    rows = table.frame.height
    if column is None:
        name = table.symbol or UNNAMED
        said = (
            f"symbol {name} is taken from the file name."
            if table.symbol
            else f"the frame names no symbol; it is called '{name}'."
        )
        return pl.Series("symbol", [name]).new_from_index(0, rows), [row_check("reading", Severity.NOTE, rows, 1.0, said)]
    named = table.frame[column]
    checks = []
    if not isinstance(named.dtype, (pl.String, pl.Categorical, pl.Enum)):
        said = f"{table.where}: symbol column {shown(column)} holds {named.dtype}; names were expected."
        checks.append(row_check("symbol", Severity.ERROR, rows, 1.0, said))
    named = named.cast(pl.String).str.strip_chars().alias("symbol")
    for bad, what in (
        (named.is_null() | (named == ""), "is empty"),
        (named.str.contains(r"[[:cntrl:]]").fill_null(False), "holds control characters"),
    ):
        if bad.any():
            said = f"{table.where}: symbol column {shown(column)} {what} in row {bad.arg_max()} ({bad.sum():,} rows)."
            checks.append(row_check("symbol", Severity.ERROR, int(bad.sum()), int(bad.sum()) / rows, said))
            named = named.set(bad, None)
    return named, checks


def _told_apart(
    parts: list[tuple[str, pl.DataFrame]], checks: list[QualityCheck]
) -> tuple[list[tuple[str, pl.DataFrame]], tuple[tuple[str, str], ...]]:
    """Give a symbol that an earlier file has at overlapping times the name of its file."""
    if len(parts) < 2:
        return parts, ()
    spans: dict[str, list[tuple[int, int]]] = {}
    twins, apart = [], []
    for where, part in parts:
        span = part.group_by("symbol", maintain_order=True).agg(pl.col("ts").min().alias("a"), pl.col("ts").max().alias("b"))
        renamed = {}
        for symbol, first, last in span.with_columns(pl.col("a", "b").to_physical()).iter_rows():
            if any(first <= end and last >= begin for begin, end in spans.get(symbol, ())):
                renamed[symbol] = f"{symbol} ({where})"
                since = pl.col("ts").to_physical()
                both = pl.any_horizontal(since.is_between(begin, end) for begin, end in spans[symbol])
                common = part.filter(pl.col("symbol") == symbol).select(both.alias("both"), "ts")
                twins.append((symbol, renamed[symbol]))
                checks.append(_overlapping(symbol, renamed[symbol], common))
            else:
                spans.setdefault(symbol, []).append((first, last))
        apart.append((where, part.with_columns(pl.col("symbol").replace(renamed)) if renamed else part))
    return apart, tuple(twins)


def _overlapping(one: str, other: str, common: pl.DataFrame) -> QualityCheck:
    times = common.filter("both")["ts"]
    said = f"{one} is in two files at overlapping times; the second is looked at apart, as {other}."
    share = times.len() / common.height
    return QualityCheck("overlapping files", other, times.len(), share, times.min(), times.max(), Severity.ERROR, said)  # type: ignore[arg-type]
