"""First and last times as a report tells them, and what is to be said of two such spans."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["Span", "common_span", "epoch_unit", "said_of_spans"]

Span = tuple[str, str]
"""First and last time: ISO 8601, UTC where no zone is said, or whole numbers."""

_IN_2001, _IN_2100 = 1_000_000_000, 4_102_444_800
_UNITS = (1, 1_000, 1_000_000, 1_000_000_000)


def epoch_unit(whole: int) -> int | None:
    """How many of what a whole number counts make a second, where it has the size of a time since 1970 between 2001 and 2100.

    >>> epoch_unit(1_769_904_000), epoch_unit(1_769_904_000_000), epoch_unit(5)
    (1, 1000, None)
    """
    return next((unit for unit in _UNITS if _IN_2001 <= whole / unit < _IN_2100), None)


def common_span(one: Span | None, other: Span | None) -> Span | None:
    """First and last time that lie in both spans; None where they share none, or dates would be compared with numbers.

    Whole numbers of the size of seconds, milli-, micro- or nanoseconds between 2001 and 2100 are such times, UTC.

    Examples
    --------
    >>> common_span(("2026-01-01", "2026-03-01"), ("2026-02-01 00:00:00+00:00", "2026-04-01 00:00:00+00:00"))
    ('2026-02-01 00:00:00+00:00', '2026-03-01')
    >>> common_span(("2026-01-01", "2026-03-01"), ("1769904000", "1775001600000"))
    ('1769904000', '2026-03-01')
    >>> common_span(("2026-01-01", "2026-02-01"), ("2026-02-02", "2026-04-01")) is None
    True
    """
    if one is None or other is None:
        return None
    mine, theirs = _read(one), _read(other)
    if mine is None or theirs is None or mine[0] != theirs[0]:
        return None
    (_, mine_first, mine_last), (_, first, last) = mine, theirs
    if max(mine_first, first) > min(mine_last, last):
        return None
    return one[0] if mine_first >= first else other[0], one[1] if mine_last <= last else other[1]


def said_of_spans(reference: Span | None, window: Span | None) -> str | None:
    """What is wrong with a window at its time beside a reference at its; None where nothing is, or times are not there.

    Examples
    --------
    >>> said_of_spans(("2026-02-01", "2026-03-01"), ("2026-01-01", "2026-01-02"))
    'the window, until 2026-01-02, lies before the reference, from 2026-02-01 on; perhaps the two were swapped'
    >>> said_of_spans(("2026-02-01", "2026-03-01"), ("5", "9"))
    'times of the reference (2026-02-01) and of the window (5) cannot be compared, so whether they overlap is not known'
    >>> said_of_spans(("2026-02-01", "2026-03-01"), ("2026-03-01 01:00:00", "2026-03-02")) is None
    True
    """
    if reference is None or window is None:
        return None
    mine, theirs = _read(reference), _read(window)
    if mine is None or theirs is None or mine[0] != theirs[0]:
        return (
            f"times of the reference ({reference[0]}) and of the window ({window[0]}) cannot be compared, so whether they "
            "overlap is not known"
        )
    if (shared := common_span(reference, window)) is not None:
        return (
            f"the window and the reference overlap in time, from {shared[0]} to {shared[1]}: what is in both is held against "
            "itself, and its drift is not seen"
        )
    if theirs[2] < mine[1]:
        return f"the window, until {window[1]}, lies before the reference, from {reference[0]} on; perhaps the two were swapped"
    return None


def _read(span: Span) -> tuple[bool, float, float] | None:
    """Whether both times are dates, and both as numbers, of dates in seconds since 1970; None where they are neither."""
    first, last = _number(span[0]), _number(span[1])
    if first is None or last is None or first[0] != last[0]:
        return None
    return first[0], first[1], last[1]


def _number(text: str) -> tuple[bool, float] | None:
    try:
        whole = int(text)
    except ValueError:
        pass
    else:
        unit = epoch_unit(whole)
        return (False, float(whole)) if unit is None else (True, whole / unit)
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return True, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
