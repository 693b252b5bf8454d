"""One feature of a recipe: an indicator, its parameters, the steps that follow it, and the bars and symbols it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np

from huracan.errors import FeatureError, nearest_name
from huracan.market.bar_lengths import length_in_ms
from huracan.market.segments import written_length
from huracan.preprocessing.indicators import Bars, Parameter, get_indicator, window
from huracan.preprocessing.indicators.registry import Value
from huracan.preprocessing.normalization import past_mad_score, past_minmax, past_rank, past_volatility_scale, past_zscore
from huracan.preprocessing.rolling import Array, lag, rolling_minmax, rolling_rank, rolling_zscore, volatility_scale
from huracan.preprocessing.rolling_median import rolling_mad_score

__all__ = ["CROSS_SECTIONS", "STEPS", "FeatureSpec", "StepKind", "feature", "require_bar"]

Values = tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class StepKind:
    """Something done to every output of an indicator: ``function(x, bars)``, which adds ``lookback(bars)`` rows of warm-up."""

    name: str
    purpose: str
    parameter: Parameter
    function: Callable[[Array, int], Array]
    lookback: Callable[[int], int]


_WINDOW = window("window", 96)
STEPS: dict[str, StepKind] = {
    kind.name: kind
    for kind in (
        StepKind("lag", "the value so many bars earlier", window("bars", 1, low=1), lag, lambda bars: bars),
        StepKind("zscore", "standardised by its own past", _WINDOW, rolling_zscore, lambda bars: bars - 1),
        StepKind("mad", "standardised by its past median", _WINDOW, rolling_mad_score, lambda bars: bars - 1),
        StepKind("rank", "rank within its own past, -1 to 1", _WINDOW, rolling_rank, lambda bars: bars - 1),
        StepKind("minmax", "place within its past range, -1 to 1", _WINDOW, rolling_minmax, lambda bars: bars - 1),
        StepKind("scale", "divided by its past root mean square", _WINDOW, volatility_scale, lambda bars: bars - 1),
        StepKind("past_zscore", "zscore by the bars before this one", _WINDOW, past_zscore, lambda bars: bars),
        StepKind("past_mad", "mad by the bars before this one", _WINDOW, past_mad_score, lambda bars: bars),
        StepKind("past_rank", "rank among the bars before this one", _WINDOW, past_rank, lambda bars: bars),
        StepKind("past_minmax", "place in the range of the bars before this one", _WINDOW, past_minmax, lambda bars: bars),
        StepKind("past_scale", "scale by the bars before this one", _WINDOW, past_volatility_scale, lambda bars: bars),
    )
}
"""Steps that may follow an indicator, by name."""

CROSS_SECTIONS = {
    "rank": "rank among the symbols of the same moment, -1 lowest to 1 highest, ties in the middle",
    "zscore": "standard deviations (n - 1) from the mean of the symbols of the same moment; 0 where all are equal",
    "demean": "less the mean of the symbols of the same moment",
}
"""Ways to compare a feature across symbols; null where fewer than two symbols have it at that moment."""

_STORED = ("indicator", "version", "parameters", "then", "every", "bar", "across")


@dataclass(frozen=True)
class FeatureSpec:
    """An indicator with every parameter set, and what follows; make one with :func:`feature`.

    Attributes
    ----------
    indicator, parameters : what is computed.
    then : steps done to it, in order, as ``(name, bars)``.
    every : computed on bars so many times as long; 1 is the candles' own.
    bar : length of the candles' bars it is meant for, in milliseconds; 0 where any will do.
    cross_section : how it is compared across symbols in the end, a key of ``CROSS_SECTIONS``; ``""`` is not at all.
    """

    indicator: str
    parameters: Values
    then: tuple[tuple[str, int], ...] = ()
    every: int = 1
    cross_section: str = ""
    bar: int = 0

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns."""
        suffix = "".join(f"__{name}_{bars}" for name, bars in self.then)
        suffix += f"__on_{self.every}" if self.every > 1 else ""
        suffix += f"__cross_{self.cross_section}" if self.cross_section else ""
        return tuple(name + suffix for name in get_indicator(self.indicator).column_names(dict(self.parameters)))

    @cached_property
    def lookback(self) -> int:
        """Rows without a value at the start of a segment; with :meth:`on`, the most there can be."""
        return self._in_rows(self._steps_lookback + get_indicator(self.indicator).lookback(dict(self.parameters)))

    @property
    def warmup(self) -> int:
        """Bars of history after which its values no longer depend on where the segment began (1e-7 of their deviation)."""
        return self._in_rows(self._steps_lookback + get_indicator(self.indicator).settle(dict(self.parameters)))

    @property
    def _steps_lookback(self) -> int:
        return sum(STEPS[name].lookback(bars) for name, bars in self.then)

    def _in_rows(self, bars: int) -> int:
        """Bars of its own length as rows of the candles, where it starts at the worst moment."""
        return bars if self.every == 1 else (bars + 2) * self.every - 2

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
        return replace(self, then=(*self.then, (step, int(value))))

    def on(self, every: int | str, *, of: str | None = None) -> FeatureSpec:
        """The same on longer bars: each is known when it has closed, and holds until the next one has.

        Parameters
        ----------
        every : how many times as long, for candles of any bar length; or the longer bar (``"4h"``) together with ``of``, the
            bar of the candles (``"1h"``), and candles of other bars are then refused. Longer bars begin at multiples of their
            length since 1970, UTC (a week's on Mondays); one of which a bar is missing is no bar.

        Examples
        --------
        >>> feature("efficiency_ratio", window=24).on(4).columns, feature("return_skew").on("1d", of="1h").every
        (('efficiency_ratio_24__on_4',), 24)
        """
        if isinstance(every, str):
            if of is None:
                raise FeatureError(f"on('{every}') needs the bar of the candles too, as in on('{every}', of='1h').")
            long, short = length_in_ms(every), length_in_ms(of)
            if long % short:
                raise FeatureError(f"a bar of {every} is no whole number of bars of {of}.")
            if self.bar not in (0, short * self.every):
                raise FeatureError(f"column '{self.columns[0]}' is on bars of {written_length(self.bar)}, not of {of}.")
            return replace(self.on(long // short), bar=short // self.every)
        if isinstance(every, bool) or not isinstance(every, Integral) or not 1 <= every <= 100_000:
            raise FeatureError(f"on({every!r}): a whole number of bars from 1 to 100000 was expected.")
        return replace(self, every=self.every * int(every))

    def across(self, method: str = "rank") -> FeatureSpec:
        """The same compared across the symbols of each moment: see ``CROSS_SECTIONS``.

        >>> feature("efficiency_ratio", window=24).across("rank").columns
        ('efficiency_ratio_24__cross_rank',)
        """
        if not isinstance(method, str) or method not in CROSS_SECTIONS:
            raise nearest_name(str(method), CROSS_SECTIONS, kind="comparison across symbols")
        if self.cross_section:
            raise FeatureError(f"column '{self.columns[0]}' is compared across symbols already.")
        return replace(self, cross_section=method)

    @property
    def lag(self) -> int:
        """Bars of the lag it ends in, 0 where it ends in none (or where the lag is counted in longer bars)."""
        ends_in_lag = self.then and self.then[-1][0] == "lag" and self.every == 1 and not self.cross_section
        return self.then[-1][1] if ends_in_lag else 0

    @cached_property
    def before_lag(self) -> FeatureSpec:
        """The feature without the lag it ends in."""
        return replace(self, then=self.then[:-1]) if self.lag else self

    def compute(self, bars: Bars) -> tuple[Array, ...]:
        """One float64 array per column from bars of its own length, NaN in the warm-up; no comparison across symbols."""
        values = dict(self.parameters)
        if len(bars) <= get_indicator(self.indicator).lookback(values) + self._steps_lookback:
            return tuple(np.full(len(bars), np.nan) for _ in self.columns)

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
        if self.every > 1:
            entry["every"] = self.every
        if self.bar:
            entry["bar"] = self.bar
        if self.cross_section:
            entry["across"] = self.cross_section
        return entry

    @classmethod
    def from_dict(cls, entry: Any) -> FeatureSpec:
        """Read what :meth:`to_dict` wrote."""
        if not isinstance(entry, dict) or not isinstance(entry.get("indicator"), str):
            raise FeatureError(f"{entry!r} is not a feature; an object with 'indicator', 'version', 'parameters' was expected.")
        name = entry["indicator"]
        strange = [key for key in entry if key not in _STORED]
        if strange:
            raise nearest_name(str(strange[0]), _STORED, kind=f"key of the stored feature '{name}',")
        for key, kind, wanted in (("parameters", dict, "an object"), ("then", list, "a list"), ("bar", int, "milliseconds")):
            if key in entry and (not isinstance(entry[key], kind) or isinstance(entry[key], bool)):
                raise FeatureError(f"'{key}' of the stored feature '{name}' is {entry[key]!r}; {wanted} was expected.")
        spec = feature(name, **entry.get("parameters", {}))
        version = get_indicator(spec.indicator).version
        if entry.get("version") != version:
            raise FeatureError(
                f"indicator '{spec.indicator}' was stored with version {entry.get('version')!r} of its formula and is now at "
                f"version {version}; what was trained on the old one cannot use the new one."
            )
        for step in entry.get("then", []):
            if not isinstance(step, list) or len(step) != 2 or not isinstance(step[0], str) or step[0] not in STEPS:
                raise FeatureError(f"step {step!r} after '{spec.indicator}' is not one of {', '.join(STEPS)} with its bars.")
            spec = spec.followed_by(step[0], **{STEPS[step[0]].parameter.name: step[1]})
        spec = replace(spec.on(entry.get("every", 1)), bar=entry.get("bar", 0))
        return spec.across(entry["across"]) if "across" in entry else spec

    def __repr__(self) -> str:
        inside = ", ".join([repr(self.indicator), *(f"{k}={v!r}" for k, v in self.parameters)])
        after = "".join(f".followed_by({n!r}, {STEPS[n].parameter.name}={b})" for n, b in self.then)
        after += f".on({self.every})" if self.every > 1 else ""
        after += f".across({self.cross_section!r})" if self.cross_section else ""
        return f"feature({inside}){after}"


def require_bar(features: Sequence[FeatureSpec], bar: int) -> None:
    """``FeatureError`` where a feature is meant for candles of another bar length; ``bar`` in milliseconds."""
    for spec in features:
        if spec.bar not in (0, bar):
            raise FeatureError(
                f"column '{spec.columns[0]}' is made for bars of {written_length(spec.bar)}; the candles have bars of "
                f"{written_length(bar)}."
            )


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
    huracan.errors.UnknownName: unknown indicator 'macdd'; did you mean 'macd'? Of ... known, nearest: macd, ...
    """
    entry = get_indicator(indicator)
    given: Mapping[str, Any] = parameters
    return FeatureSpec(entry.name, entry.values_for(given))
