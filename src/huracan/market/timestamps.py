"""Recognise what a time column means, or say why it cannot be known.

Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970, whichever puts the whole column between the
first Bitcoin block and tomorrow; those four windows do not overlap, so there is never a choice to make.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from huracan.errors import CandleError
from huracan.market.columns import shown
from huracan.market.schema import written_time

__all__ = ["FIRST_BLOCK", "NoteKind", "ReadNote", "ReadTimes", "read_times"]

FIRST_BLOCK = dt.datetime(2009, 1, 3, tzinfo=dt.UTC)
"""Numeric times before the first Bitcoin block are not believed."""

_CENTURY = 100 * 365 * 86_400_000
_EARLIEST = int(dt.datetime(1700, 1, 1, tzinfo=dt.UTC).timestamp() * 1000)
UTC_MS = pl.Datetime("ms", "UTC")
_UNITS = (("seconds", 1), ("milliseconds", 1_000), ("microseconds", 1_000_000), ("nanoseconds", 1_000_000_000))
_ZONED = r"[+-]\d{2}:?\d{2}$"
_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y.%m.%d %H:%M:%S%.f",
    "%Y.%m.%d %H:%M",
    "%Y.%m.%d",
)


class NoteKind(StrEnum):
    """What a note about reading is about."""

    COLUMN = "column"
    TIME_COLUMN = "time column"
    TIME_UNIT = "time unit"
    TIME_ZONE = "time zone"
    SYMBOL = "symbol"
    NUMBER = "number"
    ORDER = "order"
    DUPLICATE = "duplicate"
    OPEN_BAR = "open bar"
    FUTURE = "future"
    FILES = "files"


@dataclass(frozen=True)
class ReadNote:
    """One thing that was recognised, converted or left out while reading, in a sentence.

    Attributes
    ----------
    kind : what it is about. sentence : what was done. file : the file it was done in, if any. count : rows concerned,
        0 for all.
    """

    kind: NoteKind
    sentence: str
    file: str | None = None
    count: int = 0


@dataclass(frozen=True)
class ReadTimes:
    """Times of a column in UTC milliseconds, with what had to be recognised to get there."""

    times: pl.Series
    notes: tuple[ReadNote, ...]


def read_times(column: pl.Series, *, now: dt.datetime, file: str | None = None) -> ReadTimes:
    """Turn any time column into UTC, milliseconds.

    Parameters
    ----------
    column : datetimes (naive ones are read as UTC, other zones converted), dates, ISO 8601 strings, or numbers since 1970.
    now : the clock. Numbers later than a day after it are not believed; datetimes may lie ahead (simulated markets
        do), which is noted.
    file : named in the notes.

    Raises
    ------
    CandleError : the column is of another type, holds a time that cannot be read (row and value named), or says a
        time that cannot be true: January 1970, or a century ahead.

    Examples
    --------
    >>> read = read_times(pl.Series("t", [1761967080, 1761967140]), now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    >>> str(read.times[0])
    '2025-11-01 03:18:00+00:00'
    >>> read.notes[0].sentence
    "column 't' holds numbers, recognised as seconds since 1970 (2025-11-01 03:18 UTC and later)."
    """
    name, kind = column.name, column.dtype
    if column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise CandleError(
            f"time column {shown(name)} is empty in row {row} ({column.null_count()} rows); every bar needs its time."
        )
    if isinstance(kind, (pl.String, pl.Categorical, pl.Enum)):
        return _from_text(column.cast(pl.String), now=now, file=file)
    if isinstance(kind, (pl.Datetime, pl.Date)):
        return _from_datetimes(column, now=now, file=file)
    if kind.is_integer() or kind.is_float() or kind.is_decimal():
        return _from_numbers(column, now=now, file=file)
    raise CandleError(f"time column {shown(name)} holds {kind}; datetimes, ISO strings or numbers since 1970 were expected.")


def _from_numbers(column: pl.Series, *, now: dt.datetime, file: str | None) -> ReadTimes:
    name = column.name
    if not column.dtype.is_integer():
        column = column.cast(pl.Float64)
        bad = ~column.is_finite()
        if bad.any():
            row = int(bad.arg_max() or 0)
            raise CandleError(
                f"time column {shown(name)} is {column[row]} in row {row} ({bad.sum()} rows); a number was expected."
            )
    low, high = float(column.min()), float(column.max())  # type: ignore[arg-type]
    first, last = FIRST_BLOCK.timestamp(), now.timestamp() + 86_400
    for unit, per_second in _UNITS:
        if first * per_second < low and high < last * per_second:
            if unit == "seconds":
                whole = (column.cast(pl.Float64) * 1000).round() if column.dtype.is_float() else column.cast(pl.Int64) * 1000
            else:
                whole = column.cast(pl.Int64) // (per_second // 1000)
            times = whole.cast(pl.Int64).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC").alias(name)
            since = written_time(times.dt.epoch("ms").min())
            said = f"column {shown(name)} holds numbers, recognised as {unit} since 1970 ({since} and later)."
            return ReadTimes(times, (ReadNote(NoteKind.TIME_UNIT, said, file),))
    raise CandleError(
        f"time column {shown(name)} holds numbers from {low:.15g} to {high:.15g}; in no unit (seconds, milliseconds, "
        f"microseconds, nanoseconds) do all of them lie between {FIRST_BLOCK:%Y-%m-%d} and tomorrow."
    )


def _from_datetimes(column: pl.Series, *, now: dt.datetime, file: str | None) -> ReadTimes:
    name, notes = column.name, []
    zone = column.dtype.time_zone if isinstance(column.dtype, pl.Datetime) else None
    moved = column.cast(pl.Datetime("ms", zone)) if isinstance(column.dtype, pl.Datetime) else column.cast(pl.Datetime("ms"))
    if zone is None:
        moved = moved.dt.replace_time_zone("UTC")
        notes.append(ReadNote(NoteKind.TIME_ZONE, f"column {shown(name)} names no time zone and is read as UTC.", file))
    elif zone != "UTC":
        moved = moved.dt.convert_time_zone("UTC")
        notes.append(ReadNote(NoteKind.TIME_ZONE, f"column {shown(name)} is in {zone} and was converted to UTC.", file))
    notes.extend(_require_plausible(moved, now=now, file=file))
    return ReadTimes(moved, tuple(notes))


def _from_text(column: pl.Series, *, now: dt.datetime, file: str | None) -> ReadTimes:
    name = column.name
    text = column.str.strip_chars()
    if text.len() and text.str.contains(r"^\d{9,19}(\.\d+)?$").all():
        numbers = text.cast(pl.Int64, strict=False)
        return read_times(numbers if not numbers.null_count() else text.cast(pl.Float64), now=now, file=file)
    text = text.str.replace("T", " ", literal=True).str.replace(r"\s*(Z| ?UTC)$", "+00:00")
    zoned = text.str.contains(_ZONED)
    if zoned.all():
        times = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", strict=False, time_unit="ms")
        if times.null_count() == text.len():
            times = text.str.to_datetime("%Y-%m-%d %H:%M%#z", strict=False, time_unit="ms")
        if not times.null_count():
            notes = []
            if not text.str.contains(r"[+-]00:?00$").all():
                notes.append(
                    ReadNote(NoteKind.TIME_ZONE, f"column {shown(name)} gives UTC offsets and was converted to UTC.", file)
                )
            notes.extend(_require_plausible(times.cast(UTC_MS), now=now, file=file))
            return ReadTimes(times.cast(UTC_MS), tuple(notes))
        row = int(times.is_null().arg_max() or 0)
    elif zoned.any():
        row = int((zoned != zoned[0]).arg_max() or 0)
        raise CandleError(
            f"time column {shown(name)} gives a UTC offset in some rows only: row {row} says {shown(column[row])}."
        )
    else:
        tried = [text.str.to_datetime(form, strict=False, time_unit="ms") for form in _FORMATS]
        times = min(tried, key=lambda series: series.null_count())
        if not times.null_count():
            return _from_datetimes(times.alias(name), now=now, file=file)
        row = int(times.is_null().arg_max() or 0)
    raise CandleError(
        f"time column {shown(name)} says {shown(column[row])} in row {row}; ISO 8601 like '2025-11-01T03:18:00Z' was expected, "
        "one format for the whole column."
    )


def _require_plausible(times: pl.Series, *, now: dt.datetime, file: str | None) -> tuple[ReadNote, ...]:
    """Refuse what unit mistakes look like, January 1970 and the far future; note what no market has had yet."""
    name = shown(times.name)
    if times.is_empty():
        return ()
    since = times.dt.epoch("ms")
    first, tomorrow = int(since.min() or 0), int(now.timestamp() * 1000) + 86_400_000  # type: ignore[arg-type]
    epoch = (since >= 0) & (since < 31 * 86_400_000)
    if epoch.any() and first >= 0:
        raise CandleError(
            f"column {name} says {written_time(since.filter(epoch)[0])} ({epoch.sum()} of {times.len()} rows); candles of "
            "January 1970 are times read in the wrong unit (milliseconds as microseconds, seconds as milliseconds) or "
            "missing ones."
        )
    late = since > tomorrow + _CENTURY
    if late.any():
        raise CandleError(
            f"column {name} says {written_time(since.filter(late)[0])} ({late.sum()} of {times.len()} rows), later than "
            f"now ({now:%Y-%m-%d %H:%M} UTC) by more than a century; the unit is wrong."
        )
    ahead = since > tomorrow
    if ahead.any():
        said = (
            f"column {name} says {written_time(since.filter(ahead)[0])} ({ahead.sum()} of {times.len()} rows), later than now "
            f"({now:%Y-%m-%d %H:%M} UTC): simulated, or the clock is wrong."
        )
        return (ReadNote(NoteKind.FUTURE, said, file, int(ahead.sum())),)
    if first < _EARLIEST:
        raise CandleError(f"column {name} says {written_time(first)}; no candle is older than the year 1700.")
    if first < FIRST_BLOCK.timestamp() * 1000:
        said = (
            f"column {name} starts {written_time(first)}, before {FIRST_BLOCK:%Y-%m-%d}; dates, unlike numbers, are believed."
        )
        return (ReadNote(NoteKind.TIME_UNIT, said, file),)
    return ()
