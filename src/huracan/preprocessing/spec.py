"""One feature of a recipe: an indicator, its parameters, and the steps that follow it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from huracan.errors import FeatureError, nearest_name
from huracan.preprocessing.indicators import Bars, Parameter, get_indicator, window
from huracan.preprocessing.indicators.registry import Value
from huracan.preprocessing.rolling import Array, lag, rolling_minmax, rolling_rank, rolling_zscore, volatility_scale

__all__ = ["STEPS", "FeatureSpec", "StepKind", "feature"]

Values = tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class StepKind:
    """Something done to every output of an indicator: ``function(x, bars)``, which adds ``lookback(bars)`` rows of warm-up."""

    name: str
    purpose: str
    parameter: Parameter
    function: Callable[[Array, int], Array]
    lookback: Callable[[int], int]


STEPS: dict[str, StepKind] = {
    kind.name: kind
    for kind in (
        StepKind("lag", "the value so many bars earlier", window("bars", 1, low=1), lag, lambda bars: bars),
        StepKind("zscore", "standardised by its own past", window("window", 96), rolling_zscore, lambda bars: bars - 1),
        StepKind("rank", "rank within its own past, -1 to 1", window("window", 96), rolling_rank, lambda bars: bars - 1),
        StepKind("minmax", "place within its past range, -1 to 1", window("window", 96), rolling_minmax, lambda bars: bars - 1),
        StepKind(
            "scale", "divided by its past root mean square", window("window", 96), volatility_scale, lambda bars: bars - 1
        ),
    )
}
"""Steps that may follow an indicator, by name."""


@dataclass(frozen=True)
class FeatureSpec:
    """An indicator with every parameter set, and the steps that follow; make one with :func:`feature`."""

    indicator: str
    parameters: Values
    then: tuple[tuple[str, int], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns."""
        suffix = "".join(f"__{name}_{bars}" for name, bars in self.then)
        return tuple(name + suffix for name in get_indicator(self.indicator).column_names(dict(self.parameters)))

    @property
    def lookback(self) -> int:
        """Rows without a value at the start of a segment."""
        own = get_indicator(self.indicator).lookback(dict(self.parameters))
        return own + sum(STEPS[name].lookback(bars) for name, bars in self.then)

    def followed_by(self, step: str, **parameters: int) -> FeatureSpec:
        """The same with one more step.

        >>> feature("rsi", window=14).followed_by("zscore", window=50).columns
        ('rsi_14__zscore_50',)
        """
        if step not in STEPS:
            raise nearest_name(step, STEPS, kind="step")
        kind = STEPS[step]
        strange = [name for name in parameters if name != kind.parameter.name]
        if strange:
            raise nearest_name(strange[0], [kind.parameter.name], kind=f"parameter of step '{step}'")
        value = kind.parameter.check(parameters.get(kind.parameter.name, kind.parameter.default), f"step '{step}'")
        return FeatureSpec(self.indicator, self.parameters, (*self.then, (step, int(value))))

    def compute(self, bars: Bars) -> tuple[Array, ...]:
        """One float64 array per column, NaN in the warm-up."""
        if len(bars) <= self.lookback:
            return tuple(np.full(len(bars), np.nan) for _ in self.columns)
        values = dict(self.parameters)

        def base() -> tuple[Array, ...]:
            return get_indicator(self.indicator).compute(bars, values)

        arrays = bars.once(("feature", self.indicator, self.parameters), base) if self.then else base()
        for name, window_or_bars in self.then:
            arrays = tuple(STEPS[name].function(x, window_or_bars) for x in arrays)
        return arrays

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON, with the version of the indicator's formula."""
        entry: dict[str, Any] = {
            "indicator": self.indicator,
            "version": get_indicator(self.indicator).version,
            "parameters": dict(self.parameters),
        }
        if self.then:
            entry["then"] = [[name, bars] for name, bars in self.then]
        return entry

    @classmethod
    def from_dict(cls, entry: Any) -> FeatureSpec:
        """Read what :meth:`to_dict` wrote."""
        if not isinstance(entry, dict) or not isinstance(entry.get("indicator"), str):
            raise FeatureError(f"{entry!r} is not a feature; an object with 'indicator', 'version', 'parameters' was expected.")
        spec = feature(entry["indicator"], **entry.get("parameters", {}))
        version = get_indicator(spec.indicator).version
        if entry.get("version") != version:
            raise FeatureError(
                f"indicator '{spec.indicator}' was stored with version {entry.get('version')!r} of its formula and is now at "
                f"version {version}; what was trained on the old one cannot use the new one."
            )
        for step in entry.get("then", []):
            if not isinstance(step, list) or len(step) != 2 or step[0] not in STEPS:
                raise FeatureError(f"step {step!r} after '{spec.indicator}' is not one of {', '.join(STEPS)} with its bars.")
            spec = spec.followed_by(step[0], **{STEPS[step[0]].parameter.name: step[1]})
        return spec

    def __str__(self) -> str:
        inside = ", ".join([repr(self.indicator), *(f"{k}={v!r}" for k, v in self.parameters)])
        after = "".join(f".followed_by({n!r}, {STEPS[n].parameter.name}={b})" for n, b in self.then)
        return f"feature({inside}){after}"


def feature(indicator: str, /, **parameters: Any) -> FeatureSpec:
    """Name one feature: a registered indicator with parameters; those not given take their defaults.

    Raises
    ------
    UnknownName : no such indicator or parameter; the nearest is offered.
    FeatureError : a value out of bounds.

    Examples
    --------
    >>> feature("macd", fast=8, slow=21).columns
    ('macd_8_21_9_line', 'macd_8_21_9_signal', 'macd_8_21_9_histogram')
    >>> feature("macdd")
    Traceback (most recent call last):
    huracan.errors.UnknownName: unknown indicator 'macdd'; did you mean 'macd'? Known: ...
    """
    entry = get_indicator(indicator)
    given: Mapping[str, Any] = parameters
    return FeatureSpec(entry.name, entry.values_for(given))
