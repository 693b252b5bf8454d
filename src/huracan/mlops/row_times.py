"""The times of a table as it brings them: dates, epochs, or objects of Python and pandas."""

from __future__ import annotations

import polars as pl

from huracan.errors import DataError
from huracan.mlops.time_spans import epoch_unit
from huracan.mlops.time_steps import TimeSteps

__all__ = ["as_times", "steps_of"]

_MS_OF_SECOND = 1_000


def as_times(column: pl.Series, what: str) -> pl.Series:
    """Objects (``datetime``, ``pandas.Timestamp``, ``date``, whole numbers) as a column of times; other columns as they are.

    Whole numbers that came as floats, as those of a column with a gap do in pandas, are whole numbers, NaN is no time.

    Raises
    ------
    DataError : objects that are no times, or not of one kind; ``what`` is how the sentence calls the table.

    Examples
    --------
    >>> from datetime import datetime
    >>> as_times(pl.Series("ts", [datetime(2026, 1, 1)], dtype=pl.Object), "the window").dtype
    Datetime(time_unit='us', time_zone=None)
    """
    if column.dtype.is_float():
        given = column.fill_nan(None)
        whole = given.cast(pl.Int64, strict=False)
        return whole if (whole == given).all() and whole.null_count() == given.null_count() else given
    if column.dtype != pl.Object:
        return column
    values = [None if value is None or value != value else value for value in column]  # NaT is not itself
    try:
        made = pl.Series(column.name, values, strict=True)
    except (pl.exceptions.PolarsError, OverflowError, TypeError, ValueError):
        made = column
    if not (made.dtype.is_temporal() or made.dtype.is_integer() or made.dtype in (pl.String, pl.Null)):
        kinds = sorted({type(value).__name__ for value in values})
        raise DataError(f"times (ts) of {what} are objects of {', '.join(kinds)}; dates of one kind were expected.")
    return made


def steps_of(column: pl.Series) -> TimeSteps | None:
    """How far apart times in order are; None where they are no dates and no whole numbers, or come unevenly."""
    if not len(column):
        return None
    if column.dtype in (pl.Datetime, pl.Date):
        ms = column.cast(pl.Datetime("ms"))
        return TimeSteps.of(ms.to_physical().to_numpy(), True, lambda row: str(column[row]))
    if not column.dtype.is_integer():
        return None
    unit = epoch_unit(int(column[0]))
    dated = unit is not None and unit == epoch_unit(int(column[-1]))
    times = column.cast(pl.Int64)
    if dated and unit is not None and unit != _MS_OF_SECOND:
        times = times // (unit // _MS_OF_SECOND) if unit > _MS_OF_SECOND else times * _MS_OF_SECOND
    return TimeSteps.of(times.to_numpy(), dated, lambda row: str(column[row]))
