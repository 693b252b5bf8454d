"""Numbers, times and lengths as a reader wants them; what is missing becomes an en dash."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

__all__ = [
    "DASH",
    "bounds",
    "count",
    "grown",
    "is_number",
    "moment",
    "number",
    "p_value",
    "percent",
    "plural",
    "price",
    "seconds",
    "suitable_decimals",
    "tick_decimals",
    "title_case",
]

DASH = "–"
_MINUS = "−"


def is_number(value: float | None) -> bool:
    """Whether there is a finite value to show.

    >>> is_number(0.0), is_number(None), is_number(float("nan"))
    (True, False, False)
    """
    return value is not None and math.isfinite(value)


def number(value: float | None, decimals: int = 2, *, signed: bool = False) -> str:
    """Write with thousands separators, a fixed number of decimals and a true minus sign; a rounded zero has no sign.

    >>> number(-1234.567, 1), number(0.0345, 4, signed=True), number(None), number(-0.0001, 2)
    ('−1,234.6', '+0.0345', '–', '0.00')
    """
    if value is None or not math.isfinite(value):
        return DASH
    rounded = round(value, decimals) + 0.0
    sign = "+" if signed and rounded > 0 else ""
    return f"{rounded:{sign},.{decimals}f}".replace("-", _MINUS)


def percent(value: float | None, decimals: int = 1, *, signed: bool = False) -> str:
    """Write a fraction as a percentage.

    >>> percent(0.0512), percent(-0.0909, signed=True), percent(None)
    ('5.1%', '−9.1%', '–')
    """
    return DASH if value is None or not math.isfinite(value) else number(100.0 * value, decimals, signed=signed) + "%"


def grown(log_return: float | None, decimals: int = 2) -> str:
    """Write a log return as the growth of capital that it is.

    >>> grown(0.0953), grown(-0.6931, 1), grown(None)
    ('+10.00%', '−50.0%', '–')
    """
    return DASH if log_return is None else percent(math.expm1(log_return), decimals, signed=True)


def bounds(low: float | None, high: float | None, decimals: int = 2, *, signed: bool = False) -> str:
    """Write the two ends of an interval.

    >>> bounds(-0.075, 0.144, 3, signed=True), bounds(None, 1.0)
    ('−0.075 to +0.144', '–')
    """
    if not (is_number(low) and is_number(high)):
        return DASH
    return f"{number(low, decimals, signed=signed)} to {number(high, decimals, signed=signed)}"


def p_value(p: float | None) -> str:
    """Write a p-value with two digits that count; the smallest as a bound.

    >>> p_value(0.0321), p_value(1e-9), p_value(1.0), p_value(0.62), p_value(None)
    ('0.032', '<0.0001', '1', '0.62', '–')
    """
    if p is None or not math.isfinite(p):
        return DASH
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def count(value: float | None) -> str:
    """Write a whole number.

    >>> count(216000), count(None)
    ('216,000', '–')
    """
    return number(value, 0)


def plural(how_many: int, thing: str) -> str:
    """Write a count and its thing.

    >>> plural(1, "symbol"), plural(1500, "candle")
    ('1 symbol', '1,500 candles')
    """
    return f"{how_many:,} {thing}{'' if how_many == 1 else 's'}"


def seconds(value: float | None) -> str:
    """Write a duration.

    >>> seconds(0.634), seconds(14.2), seconds(125.0), seconds(None)
    ('0.6 s', '14 s', '2 min 5 s', '–')
    """
    if value is None or not math.isfinite(value):
        return DASH
    if value < 60.0:
        return f"{value:.1f} s" if value < 10.0 else f"{value:.0f} s"
    return f"{int(value // 60):,} min {int(value % 60)} s"


def moment(time: datetime | None, *, with_hour: bool = True) -> str:
    """Write a UTC time.

    >>> moment(datetime(2024, 3, 3, 11)), moment(datetime(2024, 3, 3, 11), with_hour=False)
    ('2024-03-03 11:00', '2024-03-03')
    """
    return DASH if time is None else f"{time:%Y-%m-%d %H:%M}" if with_hour else f"{time:%Y-%m-%d}"


def price(value: float | None) -> str:
    """Write a price with about five digits that count.

    >>> price(11765.07), price(0.00001234), price(1.5)
    ('11,765', '0.00001234', '1.5000')
    """
    if value is None or not math.isfinite(value):
        return DASH
    digits = 0 if value == 0 else math.floor(math.log10(abs(value)))
    return number(value, min(max(4 - digits, 0), 12) if digits >= -3 else min(3 - digits, 12))


def suitable_decimals(values: Iterable[float | None], digits: int = 3, *, least: int = 0, most: int = 8) -> int:
    """How many decimals give the largest of ``values`` so many digits that count.

    >>> suitable_decimals([0.034, -0.02]), suitable_decimals([12.0, None]), suitable_decimals([])
    (4, 1, 2)
    """
    largest = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
    if largest == 0.0:
        return max(least, 2)
    return min(max(digits - 1 - math.floor(math.log10(largest)), least), most)


def tick_decimals(ticks: Iterable[float]) -> int:
    """How many decimals tell the labels of an axis apart and move none of them.

    >>> tick_decimals([0.96, 0.98, 1.0]), tick_decimals([5.0, 10.0]), tick_decimals([])
    (2, 0, 0)
    """
    marks = list(ticks)
    near = 1e-9 * max(map(abs, marks), default=0.0)
    return next((d for d in range(12) if all(abs(round(t, d) - t) <= near for t in marks)), 12)


def title_case(name: str) -> str:
    """Make a label of a key: underscores become spaces, the first letter a capital.

    >>> title_case("walk-forward folds"), title_case("rank_ic")
    ('Walk-forward folds', 'Rank ic')
    """
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]
