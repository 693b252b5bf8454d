"""Sessions and calendar as plain numbers, UTC, of the bar's open: known before the bar trades."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.registry import indicator
from huracan.preprocessing.rolling import Array

__all__ = ["day_of_month", "hour", "minutes_to_funding", "month", "session", "weekday", "weekend"]

_FAMILY = "calendar"
_HOUR = 3_600_000
_DAY = 24 * _HOUR
_FUNDING = 8 * _HOUR


@indicator(
    family=_FAMILY,
    columns=("ts",),
    lookback=lambda: 0,
    outputs=("asia", "europe", "us"),
    formula="1 from 00:00 to 09:00, 07:00 to 16:00 and 13:00 to 22:00 UTC, else 0: the business day of Tokyo, and of London "
    "and New York in summer; no daylight saving",
)
def session(bars: Bars) -> tuple[Array, ...]:
    """Which of the three trading sessions is open; they overlap."""
    of_day = bars.ts % _DAY
    return _between(of_day, 0, 9), _between(of_day, 7, 16), _between(of_day, 13, 22)


@indicator(family=_FAMILY, columns=("ts",), lookback=lambda: 0, formula="1 on Saturday and Sunday UTC, else 0")
def weekend(bars: Bars) -> Array:
    """Whether traditional markets are closed."""
    return np.where(_weekday(bars) >= 5.0, 1.0, 0.0)


@indicator(family=_FAMILY, columns=("ts",), lookback=lambda: 0, formula="0 to 23, UTC")
def hour(bars: Bars) -> Array:
    """Hour of the bar's open; ``time_of_day`` gives it as a point on a circle."""
    return np.floor((bars.ts % _DAY) / _HOUR)


@indicator(family=_FAMILY, columns=("ts",), lookback=lambda: 0, formula="0 (Monday) to 6 (Sunday), UTC")
def weekday(bars: Bars) -> Array:
    """Day of the week of the bar's open; ``day_of_week`` gives it as a point on a circle."""
    return _weekday(bars)


@indicator(family=_FAMILY, columns=("ts",), lookback=lambda: 0, formula="1 to 31, UTC")
def day_of_month(bars: Bars) -> Array:
    """Day of the month of the bar's open."""
    return _month_and_day(bars)[1]


@indicator(family=_FAMILY, columns=("ts",), lookback=lambda: 0, formula="1 (January) to 12, UTC")
def month(bars: Bars) -> Array:
    """Month of the bar's open."""
    return _month_and_day(bars)[0]


@indicator(
    family=_FAMILY,
    columns=("ts",),
    lookback=lambda: 0,
    formula="minutes from the bar's open to the next of 00:00, 08:00, 16:00 UTC, above 0 to 480",
)
def minutes_to_funding(bars: Bars) -> Array:
    """Time to the next funding payment of perpetual futures that pay every eight hours."""
    return (_FUNDING - bars.ts % _FUNDING) / 60_000.0


def _between(of_day: NDArray[np.int64], begin: int, end: int) -> Array:
    return np.where((of_day >= begin * _HOUR) & (of_day < end * _HOUR), 1.0, 0.0)


def _weekday(bars: Bars) -> Array:
    return (np.floor(bars.ts / _DAY) + 3.0) % 7.0  # 1970-01-01 was a Thursday


def _month_and_day(bars: Bars) -> tuple[Array, Array]:
    """Month and day of the Gregorian calendar by arithmetic: years are counted from 1 March, so that leap days come last."""
    day = np.floor(bars.ts / _DAY) + 719_468.0  # days since 1 March of the year 0
    day = day % 146_097.0  # of the cycle of 400 years
    year = np.floor((day - np.floor(day / 1_460.0) + np.floor(day / 36_524.0) - np.floor(day / 146_096.0)) / 365.0)
    day = day - (365.0 * year + np.floor(year / 4.0) - np.floor(year / 100.0))
    shifted = np.floor((5.0 * day + 2.0) / 153.0)  # month, counted from March
    return (shifted + 2.0) % 12.0 + 1.0, day - np.floor((153.0 * shifted + 2.0) / 5.0) + 1.0
