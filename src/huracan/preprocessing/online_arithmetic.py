"""Python text that computes what numpy computes, for one bar.

Where numpy gives infinity or NaN, Python raises: the functions of this module close that gap, and :data:`EXPRESSIONS` calls
them only where they may be needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from huracan.preprocessing.rolling import log_of_size, ratio
from huracan.preprocessing.tracing import CannotTrace

__all__ = ["EXPRESSIONS", "HELPERS", "INLINE", "number_text"]

_INF, _NAN = math.inf, math.nan


def _over_zero(a: float, b: float) -> float:
    return _NAN if a == 0.0 or a != a else math.copysign(_INF, a) * math.copysign(1.0, b)


def _log(x: float) -> float:
    return math.log(x) if x > 0.0 else (-_INF if x == 0.0 else _NAN)


def _log1p(x: float) -> float:
    return math.log1p(x) if x > -1.0 else (-_INF if x == -1.0 else _NAN)


def _log2(x: float) -> float:
    return math.log2(x) if x > 0.0 else (-_INF if x == 0.0 else _NAN)


def _log10(x: float) -> float:
    return math.log10(x) if x > 0.0 else (-_INF if x == 0.0 else _NAN)


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return _INF


def _expm1(x: float) -> float:
    try:
        return math.expm1(x)
    except OverflowError:
        return _INF


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -_INF if a < 0.0 and b % 2.0 == 1.0 else _INF
    except ValueError:  # 0 to a negative power, or a root of a negative number
        return (math.copysign(_INF, a) if b % 2.0 == 1.0 else _INF) if a == 0.0 else _NAN


def _remainder(a: float, b: float) -> float:
    return a % b if b else _NAN


def _floor_divide(a: float, b: float) -> float:
    return a // b if b else _over_zero(a, b)


def _floor(x: float) -> float:
    return float(math.floor(x)) if -_INF < x < _INF else x


def _ceil(x: float) -> float:
    return float(math.ceil(x)) if -_INF < x < _INF else x


def _sin(x: float) -> float:
    return math.sin(x) if -_INF < x < _INF else _NAN


def _cos(x: float) -> float:
    return math.cos(x) if -_INF < x < _INF else _NAN


HELPERS: dict[str, Any] = {
    "inf": _INF,
    "nan": _NAN,
    "over_zero": _over_zero,
    "log_": _log,
    "log": math.log,
    "log1p": _log1p,
    "log2": _log2,
    "log10": _log10,
    "exp": _exp,
    "expm1": _expm1,
    "power": _power,
    "remainder": _remainder,
    "floor_divide": _floor_divide,
    "floor": _floor,
    "ceil": _ceil,
    "sin": _sin,
    "cos": _cos,
    "tanh": math.tanh,
    "arctan": math.atan,
    "sqrt": math.sqrt,
}
"""What the text may call."""


def _divide(a: str, b: str) -> str:
    if _constant(b):
        return f"{a} / {b}"
    return f"over_zero({a}, {b})" if _constant(b) == 0.0 else f"{a} / {b} if {b} else over_zero({a}, {b})"


def _power_text(a: str, b: str) -> str:
    """As numpy, which does not call ``pow`` for the exponents 2, .5 and -1."""
    quick = {2.0: "{0} * {0}", 0.5: "sqrt({0}) if {0} >= 0.0 else nan", -1.0: "1.0 / {0} if {0} else over_zero(1.0, {0})"}
    exponent = _constant(b)
    return quick[exponent].format(a) if exponent in quick else f"power({a}, {b})"


EXPRESSIONS: dict[str, Callable[..., str]] = {
    "add": "{} + {}".format,
    "subtract": "{} - {}".format,
    "multiply": "{} * {}".format,
    "divide": _divide,
    "remainder": "remainder({}, {})".format,
    "floor_divide": "floor_divide({}, {})".format,
    "power": _power_text,
    "negative": "-{}".format,
    "absolute": "abs({})".format,
    "sign": "1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else {0}".format,
    "sqrt": "sqrt({0}) if {0} >= 0.0 else nan".format,
    "square": "{0} * {0}".format,
    "log": "log({0}) if {0} > 0.0 else log_({0})".format,
    "log1p": "log1p({})".format,
    "log2": "log2({})".format,
    "log10": "log10({})".format,
    "exp": "exp({})".format,
    "expm1": "expm1({})".format,
    "tanh": "tanh({})".format,
    "arctan": "arctan({})".format,
    "sin": "sin({})".format,
    "cos": "cos({})".format,
    "floor": "floor({})".format,
    "ceil": "ceil({})".format,
    "maximum": "{0} if {0} >= {1} or {0} != {0} else {1}".format,
    "minimum": "{0} if {0} <= {1} or {0} != {0} else {1}".format,
    "fmax": "{0} if {0} >= {1} or {1} != {1} else {1}".format,
    "fmin": "{0} if {0} <= {1} or {1} != {1} else {1}".format,
    "greater": "{} > {}".format,
    "greater_equal": "{} >= {}".format,
    "less": "{} < {}".format,
    "less_equal": "{} <= {}".format,
    "equal": "{} == {}".format,
    "not_equal": "{} != {}".format,
    "logical_and": "True if {} and {} else False".format,
    "logical_or": "True if {} or {} else False".format,
    "logical_not": "not {}".format,
    "isnan": "{0} != {0}".format,
    "isfinite": "-inf < {} < inf".format,
    "where": "{1} if {0} else {2}".format,
}
"""The text of each elementwise function, given the texts of its arguments."""


def _ratio_text(numerator: str, denominator: str, otherwise: str = "nan") -> str:
    if _constant(denominator):
        return f"{numerator} / {denominator}"
    at_zero = otherwise if otherwise == "nan" else f"({otherwise} if {numerator} == {numerator} else nan)"
    return f"{numerator} / {denominator} if {denominator} else {at_zero}"


INLINE: dict[Callable[..., Any], Callable[..., str]] = {
    ratio: _ratio_text,
    log_of_size: "log({0}) if {0} > 0.0 else nan".format,
}
"""Operations that look at one bar only, and so need no stream."""


def number_text(x: Any) -> str:
    """A constant as text; ``CannotTrace`` where it is no number.

    >>> number_text(-2.0), number_text(math.inf)
    ('(-2.0)', 'inf')
    """
    if isinstance(x, bool | int):
        return repr(x)
    if isinstance(x, float):
        text = "nan" if x != x else "inf" if x == _INF else "-inf" if x == -_INF else repr(x)
        return f"({text})" if text.startswith("-") else text
    raise CannotTrace(f"{x!r} takes part in an indicator where a number was expected.")


def _constant(text: str) -> float | None:
    """The number a text is, None where it is the name of a value."""
    try:
        return float(text.strip("()"))
    except ValueError:
        return None
