"""TA-Lib's indicators as entries of the register: its values, its seeds and its warm-up, one declaration each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.registry import Parameter, indicator
from huracan.preprocessing.rolling import Array
from huracan.preprocessing.ta import ta, ta_lookback

__all__ = ["ORACLES", "Oracle", "also", "cascade_time", "ema_time", "register_talib", "wilder_time"]


@dataclass(frozen=True)
class Oracle:
    """The TA-Lib function that an indicator is checked against.

    Attributes
    ----------
    function : its name.
    columns : candle columns it takes, in its order.
    arguments : our parameters by keyword -> TA-Lib's by name.
    outputs : for each of our outputs the number of TA-Lib's, or None where TA-Lib has no such output.
    difference : why ours is not equal to it bit for bit; empty where it is.
    """

    function: str
    columns: tuple[str, ...]
    arguments: Callable[..., dict[str, Any]]
    outputs: tuple[int | None, ...] = (0,)
    difference: str = ""


ORACLES: dict[str, Oracle] = {}
"""Indicator -> the TA-Lib function whose values it has."""

_PRICE_POWERS = {"": 0, "price": 1, "price^2": 2, "volume": 0, "money": 1}


def register_talib(
    name: str,
    function: str,
    purpose: str,
    *,
    family: str,
    formula: str,
    parameters: tuple[Parameter, ...] = (),
    called: Mapping[str, str] | None = None,
    constants: Mapping[str, Any] | None = None,
    columns: tuple[str, ...] = ("close",),
    outputs: tuple[str, ...] = ("",),
    unit: str | tuple[str, ...] = "",
    undefined: str = "",
    source: str = "",
    settle: Callable[..., int] | None = None,
    cumulative: bool = False,
    refuse: Callable[..., str | None] | None = None,
    aliases: tuple[str, ...] = (),
) -> None:
    """Register a TA-Lib function under a name of the field; its values are TA-Lib's bit for bit.

    Parameters
    ----------
    name, purpose, family, formula, unit, undefined, source, refuse, aliases : as for :func:`~.registry.indicator`.
    function : TA-Lib's name.
    parameters : ours. TA-Lib knows ``window`` as ``timeperiod`` and any other as ``NAMEperiod``, unless ``called`` says else;
        its names are understood as well.
    called : our name of a parameter -> TA-Lib's.
    constants : TA-Lib's parameters that are fixed.
    columns : candle columns, in the order in which TA-Lib takes them.
    outputs : suffixes of the columns, in the order in which TA-Lib gives them.
    settle : bars *beyond the warm-up* after which the beginning is forgotten; given where the formula is recursive.
    cumulative : the value may depend on the whole segment for ever.
    """
    renamed = {"window": "timeperiod", **(called or {})}
    parameters = tuple(also(p, renamed.get(p.name, f"{p.name}period")) for p in parameters)
    powers = [_PRICE_POWERS[one] for one in ((unit,) * len(outputs) if isinstance(unit, str) else unit)]

    def arguments(**values: Any) -> dict[str, Any]:
        return {**{renamed.get(key, f"{key}period"): value for key, value in values.items()}, **(constants or {})}

    def lookback(**values: Any) -> int:
        return ta_lookback(function, **arguments(**values))

    def compute(bars: Bars, **values: Any) -> tuple[Array, ...]:
        found = ta(function, *(bars.column(column) for column in columns), **arguments(**values))
        series = found if isinstance(found, tuple) else (found,)
        return tuple(bars.unscaled(x, power, in_place=True) for x, power in zip(series, powers, strict=True))

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = purpose
    ORACLES[name] = Oracle(function, columns, arguments, tuple(range(len(outputs))))
    indicator(
        family=family,
        lookback=lookback,
        formula=formula,
        parameters=parameters,
        columns=columns,
        outputs=outputs,
        undefined=undefined,
        source=source,
        memory="cumulative" if cumulative else "recursive" if settle else "window",
        settle=(lambda **values: lookback(**values) + settle(**values)) if settle else None,
        refuse=refuse,
        unit=unit,
        aliases=aliases,
    )(compute)


def also(parameter: Parameter, *names: str) -> Parameter:
    """The same parameter, also known under other names.

    >>> from huracan.preprocessing.indicators.registry import window
    >>> also(window("smooth", 3), "smooth_k").aliases
    ('smooth_period', 'smoothperiod', 'smooth_k')
    """
    known = (*parameter.aliases, parameter.name)
    return replace(parameter, aliases=(*parameter.aliases, *(name for name in names if name not in known)))


def cascade_time(weight: float, stages: int) -> int:
    """Bars after which exponential averages of one another, ``weight`` on the newest value, remember 1e-8 of their start.

    What enters a stage leaves it after a number of bars that is geometrically distributed; of a beginning remains the chance
    that fewer than ``stages`` of ``bars + stages - 1`` trials succeeded.

    >>> cascade_time(1.0 / 14, 1), cascade_time(1.0 / 14, 2)
    (249, 291)
    """
    if weight >= 1.0:
        return 0

    def remains(bars: int) -> float:
        trials = bars + stages - 1
        return sum(math.comb(trials, j) * weight**j * (1.0 - weight) ** (trials - j) for j in range(stages))

    low, high = 0, 1
    while remains(high) > 1e-8:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if remains(middle) > 1e-8 else (low, middle)
    return high


def ema_time(window: int, stages: int = 1) -> int:
    """Bars after which exponential averages over ``window`` bars forget where they began.

    >>> ema_time(12)
    111
    """
    return cascade_time(2.0 / (window + 1.0), stages)


def wilder_time(window: int, stages: int = 1) -> int:
    """Bars after which Wilder's averages over ``window`` bars forget where they began.

    >>> wilder_time(14)
    249
    """
    return cascade_time(1.0 / window, stages)
