"""TA-Lib's functions as recordable operations: the same C code in batch and, through its stream handles, bar by bar."""

from __future__ import annotations

import math
import weakref
from functools import cache
from typing import Any

import numpy as np
import talib
import talib.abstract

from huracan.errors import FeatureError
from huracan.preprocessing.tracing import operation

__all__ = ["refuse_changed_talib", "ta", "ta_lookback", "ta_outputs"]

_WITH_UNSTABLE_PERIOD = (
    *("ADX", "ATR", "CMO", "DX", "EMA", "HA", "HT_DCPERIOD", "HT_DCPHASE", "HT_PHASOR", "HT_SINE", "HT_TRENDLINE"),
    *("HT_TRENDMODE", "KAMA", "MAMA", "MINUS_DI", "MINUS_DM", "NATR", "PLUS_DI", "PLUS_DM", "RMA", "RSI", "RVI", "T3"),
)


@cache
def ta_outputs(function: str) -> int:
    """How many series a TA-Lib function gives.

    >>> ta_outputs("RSI"), ta_outputs("MACD")
    (1, 3)
    """
    return len(talib.abstract.Function(function).output_names)  # type: ignore[attr-defined]


@cache
def ta_lookback(function: str, **parameters: Any) -> int:
    """Rows without a value at the start, for these parameters, as TA-Lib says.

    >>> ta_lookback("RSI", timeperiod=14), ta_lookback("MACD", fastperiod=12, slowperiod=26, signalperiod=9)
    (14, 33)
    """
    handle = talib.abstract.Function(function)  # type: ignore[attr-defined]
    handle.parameters = parameters
    return int(handle.lookback)


@operation(outputs=lambda function, *series, **parameters: ta_outputs(function))
def ta(function: str, *series: Any, **parameters: Any) -> Any:
    """Call a TA-Lib function on float64 series.

    TA-Lib by itself is undone by a NaN in mid-series (a moving average never recovers, others go on with rubbish). Here a
    value that is not finite gives NaN, and the function begins anew after it, exactly as on a series that starts there.

    >>> ta("SMA", np.array([1.0, 2.0, 6.0]), timeperiod=2)
    array([nan, 1.5, 4. ])
    >>> ta("SMA", np.array([1.0, 2.0, np.nan, 5.0, 6.0, 7.0]), timeperiod=2)
    array([nan, 1.5, nan, nan, 5.5, 6.5])
    """
    compute = getattr(talib, function)
    if all(_is_finite(x) for x in series):
        return _floats(compute(*series, **parameters), function, parameters)
    finite = np.isfinite(series[0])
    for x in series[1:]:
        finite &= np.isfinite(x)
    if finite.all():
        return _floats(compute(*series, **parameters), function, parameters)
    several = ta_outputs(function) > 1
    results = [np.full(len(finite), np.nan) for _ in range(ta_outputs(function))]
    edges = np.flatnonzero(np.diff(np.r_[False, finite, False]))
    shortest = ta_lookback(function, **parameters)
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist()):
        if stop - start > shortest:
            made = _floats(compute(*(np.ascontiguousarray(x[start:stop]) for x in series), **parameters), function, parameters)
            for result, values in zip(results, made if several else (made,), strict=True):
                result[start:stop] = values
    return tuple(results) if several else results[0]


def refuse_changed_talib() -> None:
    """Refuse to go on where this process has changed what TA-Lib's functions give: recipes of one hash have one value.

    Unstable periods and the compatibility mode are settings of the whole process; this takes 0.15 ms.

    Raises
    ------
    FeatureError : one of them is not TA-Lib's default.

    Examples
    --------
    >>> refuse_changed_talib()
    >>> talib.set_unstable_period("RSI", 7)
    >>> refuse_changed_talib()
    Traceback (most recent call last):
    ...
    huracan.errors.FeatureError: TA-Lib's unstable period of RSI is 7 in this process; 0 was expected: ...
    >>> talib.set_unstable_period("RSI", 0)
    """
    for function in _WITH_UNSTABLE_PERIOD:
        bars = talib.get_unstable_period(function)
        if bars:
            raise FeatureError(
                f"TA-Lib's unstable period of {function} is {bars} in this process; 0 was expected: "
                f'set_unstable_period("{function}", 0).'
            )
    mode = talib.get_compatibility()
    if mode:
        raise FeatureError(f"TA-Lib's compatibility mode is {mode} in this process; 0 was expected: set_compatibility(0).")


_FINITE: dict[int, weakref.ref[Any]] = {}
"""Series that cannot be written to and were found finite: a recipe hands the same prices to many functions."""


def _is_finite(x: Any) -> bool:
    """Whether a series holds numbers only; false also where its sum overflows, which is looked at again."""
    key, fixed = id(x), not x.flags.writeable
    if fixed and key in _FINITE and _FINITE[key]() is x:
        return True
    finite = math.isfinite(x.sum())
    if finite and fixed:
        _FINITE[key] = weakref.ref(x, lambda _: _FINITE.pop(key, None))
    return finite


def _floats(made: Any, function: str, parameters: dict[str, Any]) -> Any:
    """Float64, with NaN instead of the zeros that functions of whole numbers begin with."""
    if isinstance(made, tuple):
        return tuple(_floats(x, function, parameters) for x in made)
    if made.dtype == np.float64:
        return made
    values = made.astype(np.float64)
    values[: ta_lookback(function, **parameters)] = np.nan
    return values
