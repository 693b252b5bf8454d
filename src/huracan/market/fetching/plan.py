"""What is to be fetched: the span of time as users write it, and what of it the store still lacks."""

from __future__ import annotations

import datetime as dt
import re

from huracan.errors import CandleError, DataError
from huracan.market.bar_lengths import first_open, length_in_ms
from huracan.market.fetching.absences import Absences, union, without
from huracan.market.fetching.pages import DAY, Span
from huracan.market.store import CandleStore
from huracan.market.store.moments import Moment, moment, utc
from huracan.market.store.partition import FUNDING
from huracan.market.store.series import Series

__all__ = [
    "OVERLAP",
    "SETTLING",
    "Moment",
    "as_ms",
    "coverage_of",
    "funding_spans",
    "read_moment",
    "spans_to_fetch",
]

OVERLAP = 10
"""Bars before the last stored one that are fetched again, with it, to see whether the exchange revised them."""

_FUNDING_OVERLAP = 2 * DAY
SETTLING = 1000
"""Milliseconds after its close during which a bar still counts as open: exchanges count late trades into it."""

_BACK = re.compile(r"\s*(\d{1,6}(?:m|min|h|d|w))\s*(?:ago)?\s*")


def read_moment(value: Moment, *, now: int, what: str) -> int:
    """Read a moment, in milliseconds since 1970: a datetime or date, ISO text, or a length of time back from ``now``.

    Parameters
    ----------
    value : without a zone UTC is meant; a date is its midnight; ``"90d"`` is 90 days back (also ``m``, ``h``, ``w``).
    now : milliseconds since 1970. what : names the argument in errors.

    Raises
    ------
    DataError : it is none of these, or lies before 1970.

    Examples
    --------
    >>> read_moment("1970-01-02", now=10**12, what="since"), read_moment("1h", now=7_200_000, what="since")
    (86400000, 3600000)
    >>> read_moment("yesterday", now=10**12, what="since")
    Traceback (most recent call last):
    ...
    huracan.errors.DataError: since is 'yesterday'; a time such as '2025-06-01', '2025-06-01T12:00Z' or '90d' was expected.
    """
    back = _BACK.fullmatch(value) if isinstance(value, str) else None
    if back and length_in_ms(back[1]) <= now:
        return now - length_in_ms(back[1])
    try:
        when = as_ms(moment(value, what=what))
    except (CandleError, OverflowError) as error:
        raise DataError(
            f"{what} is {str(value)!r}; a time such as '2025-06-01', '2025-06-01T12:00Z' or '90d' was expected."
        ) from error
    if when < 0:
        raise DataError(f"{what} is {value}, before 1970; a time since then was expected.")
    return when


def spans_to_fetch(store: CandleStore, symbol: str, bar: str, span: Span, *, absences: Absences, page_bars: int) -> list[Span]:
    """What to ask the exchange for: bars that are neither stored nor known to be absent, and the last stored ones again.

    Spans less than half a page apart are asked for as one.
    """
    start, end = span
    bar_ms = length_in_ms(bar)
    missing = [(as_ms(a), min(as_ms(b), end)) for a, b in store.missing_spans(symbol, bar, utc(start), utc(end))]
    wanted = without(union(missing), absences.spans)
    last = store.last_time(symbol, bar)
    if last is not None and start <= as_ms(last) < end:
        wanted.append((max(start, as_ms(last) - OVERLAP * bar_ms), as_ms(last) + bar_ms))
    return union(wanted, within=page_bars * bar_ms // 2)


def funding_spans(store: CandleStore, symbol: str, span: Span, *, absences: Absences) -> list[Span]:
    """What to ask for of funding rates: before the first stored one, and from shortly before the last."""
    start, end = span
    stored = Series(store.root, symbol, FUNDING)
    first, last = stored.first_facts(), stored.last_facts()
    if first is None or last is None:
        return without([span], absences.spans)
    begin = min(first.first, end)
    earlier = without([(start, begin)], absences.spans) if start < begin else []
    later = max(start, last.last - _FUNDING_OVERLAP)
    return union([*earlier, *([(later, end)] if later < end else [])])


def coverage_of(store: CandleStore, symbol: str, bar: str, span: Span) -> tuple[list[Span], int | None, int | None]:
    """What the store lacks of a span, and its first and last bar within it (None where it has none)."""
    start, end = span
    if start >= end:
        return [], None, None
    missing = [(as_ms(a), as_ms(b)) for a, b in store.missing_spans(symbol, bar, utc(start), utc(end))]
    stored = store.first_time(symbol, bar)
    if stored is None:
        return missing, None, None
    bar_ms = length_in_ms(bar)
    first, beyond = (first_open(edge, bar_ms, as_ms(stored) % bar_ms) for edge in span)
    if missing and missing[0][0] == first:
        first = missing[0][1]
    if missing and missing[-1][1] == beyond:
        beyond = missing[-1][0]
    return (missing, first, beyond - bar_ms) if first < beyond else (missing, None, None)


def as_ms(when: dt.datetime) -> int:
    """Milliseconds since 1970."""
    return (when - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
