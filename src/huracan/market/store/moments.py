"""Moments and spans of time as a caller gives them."""

from __future__ import annotations

import datetime as dt

from huracan.errors import CandleError
from huracan.market.schema import written_time

__all__ = ["Moment", "bound_in_ms", "moment", "seen_moment", "span_in_ms", "utc"]

Moment = dt.datetime | dt.date | str

_CLOCK_TOLERANCE = dt.timedelta(days=1)


def moment(value: Moment, *, what: str) -> dt.datetime:
    """Read a moment: a datetime (without zone: UTC), a date (its midnight, UTC) or ISO text.

    >>> moment("2025-06-01", what="start").isoformat()
    '2025-06-01T00:00:00+00:00'
    """
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError as error:
            raise CandleError(
                f"{what} is '{value}'; a time such as '2025-06-01' or '2025-06-01T12:00Z' was expected."
            ) from error
    if not isinstance(value, dt.datetime):
        if not isinstance(value, dt.date):
            raise CandleError(f"{what} is a {type(value).__name__}; a datetime or ISO text was expected.")
        value = dt.datetime(value.year, value.month, value.day)
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def seen_moment(fetched_at: Moment | None, now: dt.datetime) -> dt.datetime:
    """When the rows were seen: what the caller says, unless the clock says that this is still to come."""
    if fetched_at is None:
        return now
    seen = moment(fetched_at, what="fetched_at")
    if seen > now + _CLOCK_TOLERANCE:
        raise CandleError(
            f"fetched_at is {seen:%Y-%m-%d %H:%M} UTC, and now is {now:%Y-%m-%d %H:%M} UTC; a time past was expected."
        )
    return seen


def bound_in_ms(bound: Moment, *, what: str) -> int:
    """A bound of a half-open span in milliseconds since 1970: the next whole one, so that the span keeps its meaning."""
    return -((dt.datetime(1970, 1, 1, tzinfo=dt.UTC) - moment(bound, what=what)) // dt.timedelta(milliseconds=1))


def span_in_ms(start: Moment | None, end: Moment | None) -> tuple[int | None, int | None]:
    """A half-open span in milliseconds since 1970, open at the side that is None."""
    begin = None if start is None else bound_in_ms(start, what="start")
    stop = None if end is None else bound_in_ms(end, what="end")
    if begin is not None and stop is not None and stop < begin:
        raise CandleError(f"end {written_time(stop)} is before start {written_time(begin)}; start <= end was expected.")
    return begin, stop


def utc(milliseconds: int) -> dt.datetime:
    """The datetime of milliseconds since 1970.

    >>> utc(0).isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=milliseconds)
