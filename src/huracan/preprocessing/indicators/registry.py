"""The register of indicators: one small function each, with its parameters, warm-up, columns and formula.

Adding your own takes one decorated function::

    from huracan.preprocessing import FeatureRecipe, feature, indicator, window

    @indicator(family="mine", parameters=(window("window", 20),), columns=("close",),
               lookback=lambda window: window - 1, formula="close / lowest close - 1")
    def rise_from_low(bars, window):
        return bars.close / bottleneck.move_min(bars.close, window) - 1

    recipe = FeatureRecipe([feature("rise_from_low", window=50)])

It gets one unbroken segment (:class:`~huracan.preprocessing.indicators.bars.Bars`), longer than its lookback, and returns one
float64 value per bar: NaN where undefined, never infinite, and never from a later bar. ``huracan.validation.assert_causal``
proves the last.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

from huracan.errors import FeatureError, UnknownName, nearest_name
from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.refused import refusal_of
from huracan.preprocessing.rolling import Array, from_row

__all__ = [
    "Indicator",
    "Parameter",
    "Value",
    "choice",
    "forgetting_time",
    "get_indicator",
    "indicator",
    "known_indicators",
    "number",
    "window",
]

Value: TypeAlias = int | float | str
Result: TypeAlias = Array | tuple[Array, ...]

_CANDLE_COLUMNS = ("ts", "open", "high", "low", "close", "volume")
_REGISTER: dict[str, Indicator] = {}
_ALIASES: dict[str, str] = {}


@dataclass(frozen=True)
class Parameter:
    """One parameter of an indicator: default, bounds (or choices), and other names it is known by elsewhere.

    Make one with :func:`window`, :func:`number` or :func:`choice`. ``in_name`` says that the value always stands in the
    name of the column; others stand there only where they differ from the default.
    """

    name: str
    default: Value
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    in_name: bool = False

    def check(self, value: Any, of: str) -> Value:
        """Give the value in its own type, or raise ``FeatureError`` with the bounds."""
        if self.choices:
            if value not in self.choices:
                raise FeatureError(f"{of}: {self.name} is {value!r}; one of {', '.join(self.choices)} was expected.")
            return str(value)
        whole = isinstance(self.default, int)
        kind = "a whole number" if whole else "a number"
        numeric = isinstance(value, Real) and not isinstance(value, bool) and self.low <= float(value) <= self.high
        if not numeric or (whole and value != int(value)):
            raise FeatureError(f"{of}: {self.name} is {value!r}; {kind} from {self.low:g} to {self.high:g} was expected.")
        return int(value) if whole else float(value)


def window(name: str, default: int, *, low: int = 2, high: int = 100_000, in_name: bool = True) -> Parameter:
    """A number of bars.

    >>> window("window", 14).check(20, "rsi")
    20
    """
    others = (
        ("period", "timeperiod", "length", "window", "n", "span") if name == "window" else (f"{name}_period", f"{name}period")
    )
    aliases = tuple(a for a in others if a != name)
    return Parameter(name, default, low, high, aliases=aliases, in_name=in_name)


def number(name: str, default: float, *, low: float, high: float, aliases: tuple[str, ...] = ()) -> Parameter:
    """A real number between bounds.

    >>> number("deviations", 2.0, low=0.1, high=10.0).check(3, "bollinger")
    3.0
    """
    return Parameter(name, float(default), low, high, aliases=aliases)


def choice(name: str, *choices: str) -> Parameter:
    """One of a closed set of words; the first is the default.

    >>> choice("estimator", "realised", "parkinson").default
    'realised'
    """
    return Parameter(name, choices[0], choices=choices, in_name=True)


@dataclass(frozen=True)
class Indicator:
    """An entry of the register; :func:`indicator` makes it."""

    name: str
    family: str
    parameters: tuple[Parameter, ...]
    columns: tuple[str, ...]
    outputs: tuple[str, ...]
    formula: str
    undefined: str
    source: str
    memory: str
    version: int
    function: Callable[..., Result]
    lookback_of: Callable[..., int]
    refusal_of: Callable[..., str | None] | None = None
    aliases: tuple[str, ...] = ()
    settle_of: Callable[..., int] | None = None
    names_of: Callable[..., tuple[str, ...]] | None = None
    units: tuple[str, ...] = ("",)

    @property
    def purpose(self) -> str:
        """First line of the function's docstring."""
        return inspect.getdoc(self.function).splitlines()[0] if inspect.getdoc(self.function) else ""  # type: ignore[union-attr]

    def values_for(self, given: Mapping[str, Any]) -> tuple[tuple[str, Value], ...]:
        """All parameters, the given ones checked and the rest at their defaults."""
        byname = {p.name: p for p in self.parameters}
        byalias = {alias: p.name for p in self.parameters for alias in p.aliases if alias not in byname}
        chosen: dict[str, Value] = {}
        for key, value in given.items():
            name = byalias.get(key, key)
            if name not in byname:
                if not byname:
                    raise FeatureError(f"indicator '{self.name}' takes no parameters; '{key}' was given.")
                raise nearest_name(key, byname, kind=f"parameter of indicator '{self.name}'")
            if name in chosen:
                raise FeatureError(f"indicator '{self.name}': parameter '{name}' is given twice, once as '{key}'.")
            chosen[name] = byname[name].check(value, f"indicator '{self.name}'")
        values = {p.name: chosen.get(p.name, p.default) for p in self.parameters}
        refusal = self.refusal_of(**values) if self.refusal_of else None
        if refusal:
            raise FeatureError(f"indicator '{self.name}': {refusal}")
        return tuple(values.items())

    def lookback(self, values: Mapping[str, Value]) -> int:
        """Rows at the start of a segment for which it has no value."""
        return self.lookback_of(**values)

    def settle(self, values: Mapping[str, Value]) -> int:
        """Bars of history after which its values no longer depend on where the series began.

        "No longer" means by less than 1e-7 of their standard deviation. An indicator that accumulates over the whole
        segment never settles; its :meth:`lookback` is given.

        >>> get_indicator("rsi_scaled").settle({"window": 14})
        263
        """
        return max(self.settle_of(**values) if self.settle_of else 0, self.lookback(values))

    def column_names(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Names of its columns: ``rsi_14``, ``macd_12_26_9_line``."""
        if self.names_of is not None:
            return self.names_of(**values)
        parts = [self.name]
        for p in self.parameters:
            written = f"{values[p.name]:g}" if isinstance(values[p.name], float) else str(values[p.name])
            if p.in_name:
                parts.append(written)
            elif values[p.name] != p.default:
                parts.append(f"{p.name}{written}")
        stem = "_".join(parts)
        return tuple(f"{stem}_{output}" if output else stem for output in self.outputs)

    def compute(self, bars: Bars, values: Mapping[str, Value]) -> tuple[Array, ...]:
        """One array per output, NaN in the warm-up; a segment too short for the warm-up is NaN throughout."""
        import numpy as np

        lookback = self.lookback(values)
        if len(bars) <= lookback:
            return tuple(np.full(len(bars), np.nan) for _ in self.outputs)
        with np.errstate(invalid="ignore", divide="ignore"):
            result = self.function(bars, **values)
        arrays = result if isinstance(result, tuple) else (result,)
        if len(arrays) != len(self.outputs) or any(np.shape(a) != (len(bars),) for a in arrays):
            shapes = ", ".join(str(np.shape(a)) for a in arrays)
            expected = f"{len(self.outputs)} of shape ({len(bars)},)"
            raise FeatureError(f"indicator '{self.name}' returned arrays of shape {shapes}; {expected} were expected.")
        return tuple(a if np.isnan(a[:lookback]).all() else from_row(a, lookback) for a in arrays)


def indicator(
    *,
    family: str,
    lookback: Callable[..., int],
    formula: str,
    parameters: tuple[Parameter, ...] = (),
    columns: tuple[str, ...] = ("close",),
    outputs: tuple[str, ...] = ("",),
    undefined: str = "",
    source: str = "",
    memory: str = "window",
    version: int = 1,
    refuse: Callable[..., str | None] | None = None,
    settle: Callable[..., int] | None = None,
    names: Callable[..., tuple[str, ...]] | None = None,
    unit: str | tuple[str, ...] = "",
    aliases: tuple[str, ...] = (),
    replace: bool = False,
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Register a function as an indicator under its own name.

    Parameters
    ----------
    family : heading it is listed under.
    lookback : the parameters by keyword -> rows without a value at the start of a segment, exactly.
    formula, undefined, source : for :func:`indicator_table`: the formula, what is given where it has no value, the paper.
    parameters : see :func:`window`, :func:`number`, :func:`choice`.
    columns : candle columns it reads.
    outputs : suffix of each column it gives.
    memory : ``"window"`` where a value depends on the last ``lookback + 1`` bars; ``"recursive"`` where it depends on the whole
        segment but forgets its beginning; ``"cumulative"`` where it never forgets.
    version : raise it when the formula changes: recipes stored with another version are then refused instead of misread.
    refuse : the parameters by keyword -> why this combination makes no sense, or None.
    settle : for ``"recursive"``: the parameters by keyword -> bars after which the beginning is forgotten, to 1e-7 of the
        values' standard deviation. :func:`forgetting_time` counts them for an exponential average.
    names : the parameters by keyword -> names of its columns, where a published set of features fixes them (``BETA20``).
    unit : what its values are counted in where that is no pure number: ``price``, ``price^2``, ``volume``, ``money`` (price
        times volume) or ``1 / money``; one for all outputs, or one for each. Such values do not compare between symbols.
    aliases : other names it is known by in recipes from elsewhere.
    replace : allow taking the name of an indicator that is there already.

    Raises
    ------
    FeatureError : the name is taken, a column is not one of a candle, or ``memory`` and ``settle`` do not fit.

    Examples
    --------
    >>> @indicator(family="mine", columns=("open", "close"), lookback=lambda: 0, formula="sign(close - open)", replace=True)
    ... def bar_direction(bars):
    ...     "Whether the bar closed up (1), down (-1) or where it opened (0)."
    ...     import numpy as np
    ...     return np.sign(bars.close - bars.open)
    >>> get_indicator("bar_direction").purpose
    'Whether the bar closed up (1), down (-1) or where it opened (0).'
    >>> del _REGISTER["bar_direction"]
    """
    strange = [c for c in columns if c not in _CANDLE_COLUMNS]
    if strange:
        raise FeatureError(f"column '{strange[0]}' is not one of a candle: {', '.join(_CANDLE_COLUMNS)}.")
    if memory not in ("window", "recursive", "cumulative"):
        raise FeatureError(f"memory is {memory!r}; 'window', 'recursive' or 'cumulative' was expected.")
    if (memory == "recursive") != (settle is not None):
        raise FeatureError("settle goes with memory='recursive': bars after which a value no longer depends on where it began.")

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        name = function.__name__
        if name in _REGISTER and not replace:
            raise FeatureError(f"indicator '{name}' is registered already; choose another name or pass replace=True.")
        _REGISTER[name] = Indicator(
            name,
            family,
            parameters,
            columns,
            outputs,
            formula,
            undefined,
            source,
            memory,
            version,
            function,
            lookback,
            refuse,
            aliases,
            settle,
            names,
            (unit,) * len(outputs) if isinstance(unit, str) else unit,
        )
        _ALIASES.update(dict.fromkeys(aliases, name))
        return function

    return register


def forgetting_time(weight: float) -> int:
    """Bars after which an exponential average, ``weight`` on the newest value, remembers 1e-8 of where it began.

    >>> forgetting_time(1.0 / 14), forgetting_time(2.0 / (12 + 1))
    (249, 111)
    """
    return math.ceil(math.log(1e8) / -math.log1p(-weight)) if weight < 1.0 else 0


def get_indicator(name: str) -> Indicator:
    """Look an indicator up by name or alias.

    Raises
    ------
    UnknownName : nothing of that name; the nearest is offered.
    FeatureError : the name of something that looks ahead, such as STL.

    Examples
    --------
    >>> get_indicator("bbands").name
    'bollinger'
    """
    if not isinstance(name, str):
        raise FeatureError(f"indicator is {name!r}; a name such as 'rsi' was expected.")
    found = _REGISTER.get(name) or _REGISTER.get(_ALIASES.get(name.lower(), name.lower()))
    if found is None:
        refusal = refusal_of(name)
        if refusal:
            raise FeatureError(refusal)
        error: UnknownName = nearest_name(name, _REGISTER, kind="indicator")
        raise error
    return found


def known_indicators() -> tuple[str, ...]:
    """Names of every registered indicator, in order of registration.

    >>> "rsi_scaled" in known_indicators()
    True
    """
    return tuple(_REGISTER)
