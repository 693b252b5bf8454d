"""Read a time column row by row where it cannot be read as a whole, and say which rows were wrong and how."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl

from huracan.errors import CandleError
from huracan.market.columns import shown
from huracan.market.schema import written_time
from huracan.market.timestamps import FIRST_BLOCK, ReadNote, read_times

__all__ = ["FoundTimes", "TimeFlaw", "find_times"]

_UNITS = (("seconds", 1), ("milliseconds", 1_000), ("microseconds", 1_000_000), ("nanoseconds", 1_000_000_000))
_TICKS = {"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_YEAR = 365 * 86_400_000
_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d", "%Y.%m.%d %H:%M:%S")
_ZONED = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z")
UTC_MS = pl.Datetime("ms", "UTC")


@dataclass(frozen=True)
class TimeFlaw:
    """One kind of fault in a time column: ``name`` of the check, the ``rows`` it concerns, a sentence without the place."""

    name: str
    rows: pl.Series
    sentence: str


@dataclass(frozen=True)
class FoundTimes:
    """Times of one column, null where a row's time cannot be known, and everything that was wrong with it."""

    column: str
    times: pl.Series
    flaws: tuple[TimeFlaw, ...] = ()
    notes: tuple[ReadNote, ...] = ()

    @property
    def wrong(self) -> int:
        """Rows with a fault."""
        return sum(int(flaw.rows.sum()) for flaw in self.flaws)


def find_times(column: pl.Series, *, now: dt.datetime, file: str | None = None) -> FoundTimes | None:
    """Read a time column as :func:`huracan.market.timestamps.read_times` does; where that refuses, row by row.

    A row whose number lies in the window of one unit (seconds, milliseconds, microseconds, nanoseconds between the
    first Bitcoin block and tomorrow; the windows do not overlap) is read in that unit, also where a datetime was made
    of the number in another: that is a fault, and it is counted. Nothing else is tried: other rows have no time.

    Returns
    -------
    ``None`` where the column is of a type that holds no times.

    Examples
    --------
    >>> found = find_times(pl.Series("t", [1761967080, 1761967140000, None]), now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    >>> [str(time) for time in found.times], [flaw.sentence for flaw in found.flaws]
    (['2025-11-01 03:18:00+00:00', '2025-11-01 03:19:00+00:00', 'None'],
     ["column 't' is in milliseconds in 1 row, first in row 1, where most rows are in seconds",
      "column 't' is empty in 1 row, first in row 2"])
    """
    try:
        read = read_times(column, now=now, file=file)
    except CandleError:
        return _by_row(column, now)
    return FoundTimes(column.name, read.times, (), read.notes)


def _by_row(column: pl.Series, now: dt.datetime) -> FoundTimes | None:
    kind = column.dtype
    if isinstance(kind, (pl.String, pl.Categorical, pl.Enum)):
        text = column.cast(pl.String).str.strip_chars()
        text = text.set(text == "", None)
        numbers = text.cast(pl.Float64, strict=False)
        if numbers.null_count() == text.len() or numbers.null_count() > 0.5 * text.len():
            return _from_text(text)
        return _from_numbers(column.name, numbers.set(numbers.is_nan(), None), text.is_null(), now)
    if isinstance(kind, (pl.Datetime, pl.Date)):
        return _from_datetimes(column, now)
    if kind.is_numeric():
        numbers = column.cast(pl.Float64).fill_nan(None)
        return _from_numbers(column.name, numbers, numbers.is_null(), now)
    return None


def _from_numbers(name: str, numbers: pl.Series, empty: pl.Series, now: dt.datetime) -> FoundTimes:
    times, in_unit = _in_windows(numbers, now)
    most = max(in_unit, key=lambda unit: int(in_unit[unit].sum()))
    flaws = [
        TimeFlaw("epoch", rows, f"column {shown(name)} is in {unit} in {_rows(rows)}, where most rows are in {most}")
        for unit, rows in in_unit.items()
        if unit != most and rows.any()
    ]
    flaws += _missing(name, empty)
    unread = times.is_null() & ~empty
    if unread.any():
        row = int(unread.arg_max() or 0)
        said = "no text of a number" if numbers[row] is None else f"{numbers[row]:.15g}, which is no time in any unit,"
        flaws.append(TimeFlaw("epoch", unread, f"column {shown(name)} holds {said} in {_rows(unread)}"))
    return FoundTimes(name, times.alias(name), tuple(flaws))


def _in_windows(numbers: pl.Series, now: dt.datetime) -> tuple[pl.Series, dict[str, pl.Series]]:
    """Each number in the unit whose window it lies in."""
    first, last = FIRST_BLOCK.timestamp(), now.timestamp() + 86_400
    milliseconds = pl.Series("ms", [None], dtype=pl.Float64).new_from_index(0, numbers.len())
    in_unit = {}
    for unit, per_second in _UNITS:
        inside = ((numbers > first * per_second) & (numbers < last * per_second)).fill_null(False)
        in_unit[unit] = inside
        milliseconds = (numbers * 1000 / per_second).zip_with(inside, milliseconds)
    times = milliseconds.floor().cast(pl.Int64).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    return times, in_unit


def _from_datetimes(column: pl.Series, now: dt.datetime) -> FoundTimes:
    name, kind = column.name, column.dtype
    zone = kind.time_zone if isinstance(kind, pl.Datetime) else None
    times = column.cast(pl.Datetime("ms", zone)) if isinstance(kind, pl.Datetime) else column.cast(pl.Datetime("ms"))
    times = times.dt.convert_time_zone("UTC") if zone else times.dt.replace_time_zone("UTC")
    since = times.dt.epoch("ms")
    latest = int(now.timestamp() * 1000) + 100 * _YEAR
    wrong = (((since >= 0) & (since < 31 * 86_400_000)) | (since > latest) | (since < -270 * _YEAR)).fill_null(False)
    flaws = _missing(name, column.is_null())
    if wrong.any() and isinstance(kind, pl.Datetime):
        read, in_unit = _in_windows(column.to_physical().cast(pl.Float64), now)
        for unit, inside in in_unit.items():
            rows = inside & wrong
            if rows.any() and unit != _TICKS[kind.time_unit]:
                row = int(rows.arg_max() or 0)
                said = (
                    f"column {shown(name)} says {written_time(since[row])} in {_rows(rows)}: "
                    f"{_mistaken(unit, kind.time_unit)}, and {written_time(read.dt.epoch('ms')[row])} is meant"
                )
                flaws.append(TimeFlaw("epoch", rows, said))
                times, wrong = read.zip_with(rows, times), wrong & ~rows
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        said = f"column {shown(name)} says {written_time(since[row])} in {_rows(wrong)}, which is no time of a candle"
        flaws.append(TimeFlaw("epoch", wrong, said))
        times = times.set(wrong, None)
    zoned = () if zone == "UTC" else (_zone_flaw(name, zone, column.len()),)
    return FoundTimes(name, times.cast(UTC_MS).alias(name), (*flaws, *zoned))


def _mistaken(unit: str, tick: str) -> str:
    """Which units were confused; a factor of a thousand fits more than one pair."""
    said = f"{unit} were read as {_TICKS[tick]}"
    if (unit, tick) == ("seconds", "ms"):
        return f"{said} or milliseconds as microseconds"
    return said


def _from_text(text: pl.Series) -> FoundTimes:
    name = text.name
    plain = text.str.replace("T", " ", literal=True).str.replace(r"\s*(Z| ?UTC)$", "+00:00")
    times = pl.Series(name, [None], dtype=UTC_MS).new_from_index(0, text.len())
    for form in _ZONED:
        read = plain.str.to_datetime(form, strict=False, time_unit="ms").cast(UTC_MS)
        times = times.zip_with(times.is_not_null(), read)
    naive = times.is_null()
    for form in _FORMATS:
        read = plain.str.to_datetime(form, strict=False, time_unit="ms").dt.replace_time_zone("UTC")
        times = times.zip_with(times.is_not_null(), read)
    naive = naive & times.is_not_null()
    flaws = _missing(name, text.is_null())
    unread = times.is_null() & text.is_not_null()
    if unread.any():
        value = shown(text[int(unread.arg_max() or 0)])
        flaws.append(TimeFlaw("unreadable time", unread, f"column {shown(name)} says {value} in {_rows(unread)}"))
    if naive.any():
        said = f"column {shown(name)} names no UTC offset in {_rows(naive)}, read as UTC"
        flaws.append(TimeFlaw("time zone", naive, said))
    return FoundTimes(name, times.alias(name), tuple(flaws))


def _missing(name: str, empty: pl.Series) -> list[TimeFlaw]:
    return [TimeFlaw("missing time", empty, f"column {shown(name)} is empty in {_rows(empty)}")] if empty.any() else []


def _zone_flaw(name: str, zone: str | None, rows: int) -> TimeFlaw:
    said = (
        f"column {shown(name)} is in {zone} and was converted to UTC"
        if zone
        else f"column {shown(name)} names no time zone and is read as UTC"
    )
    return TimeFlaw("time zone", pl.Series([True]).new_from_index(0, rows), said)


def _rows(rows: pl.Series) -> str:
    count = int(rows.sum())
    return f"{count:,} row{'' if count == 1 else 's'}, first in row {rows.arg_max()}"
