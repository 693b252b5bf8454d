"""From values to places on a chart, and the ticks a reader expects there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["Scale", "nice_ticks", "time_ticks"]

_HOUR, _DAY = 3_600, 86_400
_STEPS = (60, 300, 900, 1_800, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)


@dataclass(frozen=True)
class Scale:
    """A straight or logarithmic map from ``[low, high]`` to ``[0, 1]``.

    >>> Scale(0.0, 4.0)(1.0), Scale(1.0, 100.0, log=True)(10.0)
    (0.25, 0.5)
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, low: float, high: float, *, margin: float = 0.04, log: bool = False) -> Scale:
        """Take in both ends and a margin beyond them; a single value gets room on both sides."""
        if log:
            pad = (high / low) ** margin if high > low else 1.05
            return cls(low / pad, high * pad, log=True)
        pad = margin * (high - low) if high > low else max(abs(high), 1.0) * 0.05
        return cls(low - pad, high + pad)

    def __call__(self, value: float) -> float:
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def clipped(self, value: float) -> float:
        """The place of ``value``, never outside the chart."""
        return min(max(self(value), 0.0), 1.0)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the scale."""
        if not self.log or self.high / self.low < 3.0:
            return nice_ticks(self.low, self.high, about)
        ticks: list[float] = []
        for marks in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)):
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            ticks = [m * 10.0**e for e in powers for m in marks if self.low <= m * 10.0**e <= self.high]
            if len(ticks) >= about - 1:
                break
        return ticks[:: max(1, round(len(ticks) / about))]


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between ``low`` and ``high``.

    >>> nice_ticks(0.93, 1.22)
    [1.0, 1.1, 1.2]
    """
    if not high > low:
        return [low]
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    steps = [m * power for m in (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    chosen = next(i for i, step in enumerate(steps) if step >= raw * 0.9 and i >= 2)
    while True:
        step = steps[chosen]
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last > first or chosen == 0:
            return [float(f"{i * step:.12g}") for i in range(first, last + 1)]
        chosen -= 1


def time_ticks(start: float, end: float, about: int = 7) -> list[tuple[float, str]]:
    """Round moments between two epoch seconds, each with its label in UTC.

    >>> time_ticks(1704067200, 1704067200 + 86400 * 60, 3)
    [(1704067200.0, '1 Jan'), (1706745600.0, '1 Feb'), (1709251200.0, '1 Mar')]
    """
    span = max(end - start, 1.0)
    for step in _STEPS:
        if span / step <= about + 1:
            first = math.ceil(start / step) * step
            label = "%H:%M" if step < _DAY else "%-d %b"
            at = [float(s) for s in range(first, math.floor(end) + 1, step)]
            return [(s, _said(s, "%-d %b" if step < _DAY and s % _DAY == 0 else label)) for s in at]
    months = next((m for m in _MONTHS if span / (m * 30.4 * _DAY) <= about + 1), _MONTHS[-1])
    here = datetime.fromtimestamp(start, UTC)
    index = here.year * 12 + here.month - 1
    index = -(-index // months) * months
    ticks = []
    while (when := datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC).timestamp()) <= end:
        if when >= start:
            pattern = "%Y" if months >= 12 else "%-d %b" if span < 100 * _DAY else "%b %Y"
            ticks.append((when, _said(when, pattern)))
        index += months
    return ticks


def _said(at: float, pattern: str) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at)).strftime(pattern)
