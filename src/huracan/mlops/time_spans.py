"""First and last times as a report tells them, and what two such spans have in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

__all__ = ["Span", "common_span"]

Span = tuple[str, str]
"""First and last time: ISO 8601, UTC where no zone is said, or whole numbers."""


def common_span(one: Span | None, other: Span | None) -> Span | None:
    """First and last time that lie in both spans; None where they share none, or dates would be compared with numbers.

    Examples
    --------
    >>> common_span(("2026-01-01", "2026-03-01"), ("2026-02-01 00:00:00+00:00", "2026-04-01 00:00:00+00:00"))
    ('2026-02-01 00:00:00+00:00', '2026-03-01')
    >>> common_span(("2026-01-01", "2026-02-01"), ("2026-02-02", "2026-04-01")) is None
    True
    """
    if one is None or other is None:
        return None
    mine, theirs = _read(one), _read(other)
    if len(mine) != 2 or len(theirs) != 2 or type(mine[0]) is not type(theirs[0]):
        return None
    if max(mine[0], theirs[0]) > min(mine[1], theirs[1]):
        return None
    return one[0] if mine[0] >= theirs[0] else other[0], one[1] if mine[1] <= theirs[1] else other[1]


def _read(span: Span) -> Sequence[float]:
    """Both times as numbers: whole ones as they are, seconds since 1970 of dates; empty where they are neither."""
    try:
        return [int(text) for text in span]
    except ValueError:
        pass
    try:
        dates = [datetime.fromisoformat(text) for text in span]
    except ValueError:
        return []
    return [(date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() for date in dates]
