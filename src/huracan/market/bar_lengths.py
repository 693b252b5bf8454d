"""Lengths of time as traders write them, ``1m`` or ``4h``, and the grid of bar opens they make."""

from __future__ import annotations

import datetime as dt
import re

from huracan.errors import CandleError
from huracan.market.segments import written_length

__all__ = ["WEEK", "first_open", "grid_phase", "length_in_ms", "length_label"]

WEEK = 604_800_000
_MONDAY = 4 * 86_400_000  # 1970-01-01 was a Thursday
_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": WEEK}
_WRITTEN = re.compile(r"\s*(\d{1,9})\s*(ms|s|min|m|h|d|w)\s*", re.IGNORECASE)


def length_in_ms(length: str | dt.timedelta, *, what: str = "bar", zero: bool = False) -> int:
    """Read a length of time, in milliseconds: the inverse of ``written_length``.

    Parameters
    ----------
    length : such as ``"1m"``, ``"4h"``, ``"1d"``, ``"1w"``, or a timedelta. Calendar months have no fixed length and
        are refused, ``"1M"`` too.
    what : names the argument in the error. zero : whether no time at all is a length too.

    Raises
    ------
    CandleError : it is neither, is negative or (unless ``zero``) zero, or is no whole number of milliseconds.

    Examples
    --------
    >>> length_in_ms("4h"), length_in_ms(dt.timedelta(minutes=1))
    (14400000, 60000)
    >>> length_in_ms("1M")
    Traceback (most recent call last):
    ...
    huracan.errors.CandleError: bar is '1M'; a length such as '1m', '4h' or '1w' was expected; months have no fixed length.
    """
    if isinstance(length, dt.timedelta):
        milliseconds, rest = divmod(length, dt.timedelta(milliseconds=1))
        if milliseconds >= (not zero) and not rest:
            return milliseconds
    elif isinstance(length, str):
        found = _WRITTEN.fullmatch(length)
        if found and found[2] != "M" and int(found[1]) >= (not zero):
            return int(found[1]) * _UNITS[found[2].lower()]
    raise CandleError(f"{what} is {length!r}; a length such as '1m', '4h' or '1w' was expected; months have no fixed length.")


def length_label(length: str | dt.timedelta, *, what: str = "bar") -> str:
    """The one way a length is written: ``60m`` and an hour are both ``1h``.

    >>> length_label("60m"), length_label(dt.timedelta(days=7))
    ('1h', '1w')
    """
    return written_length(length_in_ms(length, what=what))


def grid_phase(bar_ms: int) -> int:
    """Where the grid of bars stands to 1970 when nothing else is known: weeks open on Monday, all else divides the epoch."""
    return _MONDAY % bar_ms if bar_ms % WEEK == 0 else 0


def first_open(moment_ms: int, bar_ms: int, phase: int) -> int:
    """The first bar open at or after a moment, all in milliseconds.

    >>> first_open(61_000, 60_000, 0)
    120000
    """
    return moment_ms + (phase - moment_ms) % bar_ms
