"""Calendar: the hour and the weekday as points on a circle, UTC, of the bar's open."""

from __future__ import annotations

import numpy as np

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.registry import indicator
from huracan.preprocessing.rolling import Array

__all__ = ["day_of_week", "time_of_day"]

_DAY = 86_400_000
_MONDAY = 4 * _DAY  # 1970-01-05


@indicator(
    family="calendar",
    columns=("ts",),
    lookback=lambda: 0,
    outputs=("sin", "cos"),
    formula="sin and cos of 2 pi * (time since midnight UTC / 24 h)",
)
def time_of_day(bars: Bars) -> tuple[Array, ...]:
    """Time of day of the bar's open as a point on a circle; constant on daily bars."""
    return _circle(bars.ts, _DAY)


@indicator(
    family="calendar",
    columns=("ts",),
    lookback=lambda: 0,
    outputs=("sin", "cos"),
    formula="sin and cos of 2 pi * (time since Monday 00:00 UTC / 7 d)",
)
def day_of_week(bars: Bars) -> tuple[Array, ...]:
    """Time within the week of the bar's open as a point on a circle."""
    return _circle(bars.ts - _MONDAY, 7 * _DAY)


def _circle(milliseconds: np.ndarray, period: int) -> tuple[Array, ...]:
    angle = (2.0 * np.pi / period) * (milliseconds % period)
    return np.sin(angle), np.cos(angle)
