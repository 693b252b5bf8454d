"""The Engine's own recipe JSON: six keys and a hash over them.

``symbol``, ``timeframes``, ``indicators`` {name: {parameter: value}}, ``fill_rules``, ``normalization``, ``window_sizes``;
``hash`` is the first 16 hexadecimal digits of SHA-256 over ``json.dumps(six keys, sort_keys=True)``, timeframes sorted.
Several features of one indicator are written as lists: ``{"rsi": {"window": [6, 14]}}``. With several timeframes every
indicator is computed on each of them: on the shortest, which is the candles' own, and on longer bars as they close.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huracan.errors import CandleError, FeatureError, nearest_name
from huracan.market.bar_lengths import length_in_ms
from huracan.market.segments import written_length
from huracan.preprocessing.indicators import get_indicator
from huracan.preprocessing.spec import FeatureSpec, feature

__all__ = ["ENGINE_KEYS", "EngineFields", "engine_indicators", "read_engine_recipe"]

ENGINE_KEYS = ("symbol", "timeframes", "indicators", "fill_rules", "normalization", "window_sizes")

_DEFAULTS: dict[str, Any] = {
    "symbol": "",
    "timeframes": ["1h"],
    "fill_rules": {"strategy": "forward_fill"},
    "normalization": {"type": "standard", "scaler": "StandardScaler"},
    "window_sizes": {"lookback": 100, "prediction": 1},
}
_KINDS: dict[str, type] = {
    "symbol": str,
    "timeframes": list,
    "indicators": dict,
    "fill_rules": dict,
    "normalization": dict,
    "window_sizes": dict,
}


@dataclass(frozen=True)
class EngineFields:
    """The five keys that are not indicators, and the indicators as they were written; held as JSON, so that it is hashable."""

    fields: str = json.dumps(_DEFAULTS)
    written: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The keys as plain values; ``indicators`` only where they were read."""
        values: dict[str, Any] = json.loads(self.fields)
        if self.written is not None:
            values["indicators"] = json.loads(self.written)
        return values

    @classmethod
    def from_dict(cls, values: Any) -> EngineFields:
        """Check and keep; the inverse of :meth:`to_dict`."""
        if not isinstance(values, dict):
            raise FeatureError(f"the Engine's fields were expected as an object; {values!r} was given.")
        for key, value in values.items():
            if key not in _KINDS:
                raise nearest_name(key, ENGINE_KEYS, kind="key of the Engine's recipe")
            if not isinstance(value, _KINDS[key]):
                raise FeatureError(f"key '{key}' of the Engine's recipe is {value!r}; {_KINDS[key].__name__} was expected.")
        merged = {**_DEFAULTS, **{k: v for k, v in values.items() if k != "indicators"}}
        multiples(merged["timeframes"])
        merged["timeframes"] = sorted(merged["timeframes"])
        return cls(json.dumps(merged), json.dumps(values["indicators"]) if "indicators" in values else None)

    def replaced(self, **fields: Any) -> EngineFields:
        """The same with some of the five keys changed."""
        if "indicators" in fields:
            raise FeatureError("'indicators' follow from the features; build another recipe to change them.")
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
        return EngineFields.from_dict({**self.to_dict(), **plain})

    def require_same(self, other: EngineFields) -> None:
        """``FeatureError`` where one of the five keys differs, which recipes that are added must share."""
        ours, theirs = json.loads(self.fields), json.loads(other.fields)
        different = next((key for key in ours if ours[key] != theirs[key]), None)
        if different is not None:
            raise FeatureError(
                f"the recipes added have different fields of the Engine: {different} is {ours[different]!r} and "
                f"{theirs[different]!r}; make them the same with for_engine."
            )

    @property
    def timeframes(self) -> tuple[str, ...]:
        """Bar lengths as written, sorted as text."""
        return tuple(json.loads(self.fields)["timeframes"])

    def require_bar(self, bar: int) -> None:
        """``FeatureError`` where candles have bars of another length (milliseconds) than the shortest timeframe."""
        shortest = min(length_in_ms(timeframe) for timeframe in self.timeframes)
        if bar != shortest:
            raise FeatureError(
                f"the Engine's recipe is for bars of {written_length(shortest)}; the candles have bars of "
                f"{written_length(bar)}. for_engine(timeframes=[...]) says other ones."
            )

    def hash_with(self, indicators: Mapping[str, Any]) -> str:
        """The Engine's hash."""
        return engine_hash({**json.loads(self.fields), "indicators": indicators})

    def to_json_with(self, indicators: Mapping[str, Any]) -> str:
        """The Engine's JSON, keys in its order."""
        values = {**json.loads(self.fields), "indicators": indicators}
        return json.dumps({**{key: values[key] for key in ENGINE_KEYS}, "hash": engine_hash(values)}, indent=2)


def multiples(timeframes: Sequence[Any]) -> tuple[int, ...]:
    """How many times as long as the shortest each timeframe is, ascending.

    >>> multiples(["1d", "1h", "4h"])
    (1, 4, 24)
    """
    if not timeframes or not all(isinstance(t, str) for t in timeframes) or len(set(timeframes)) < len(timeframes):
        raise FeatureError(f"timeframes are {list(timeframes)}; at least one, each once, such as '1h', was expected.")
    try:
        lengths = sorted(length_in_ms(t, what="timeframe") for t in timeframes)
    except CandleError as error:
        raise FeatureError(f"timeframes are {list(timeframes)}: {error}") from error
    if any(length % lengths[0] for length in lengths):
        raise FeatureError(f"timeframes are {list(timeframes)}; each was expected to be a whole number of the shortest.")
    return tuple(length // lengths[0] for length in lengths)


def engine_hash(values: Mapping[str, Any]) -> str:
    """First 16 hexadecimal digits of SHA-256 over the six keys, sorted."""
    six = {key: values[key] for key in ENGINE_KEYS}
    six["timeframes"] = sorted(six["timeframes"])
    return hashlib.sha256(json.dumps(six, sort_keys=True).encode()).hexdigest()[:16]


def engine_indicators(features: Sequence[FeatureSpec], fields: EngineFields) -> dict[str, dict[str, Any]]:
    """Features as ``{indicator: {parameter: value or list of values}}``, or ``FeatureError`` with what cannot be said so."""
    if fields.written is not None:
        as_read: dict[str, dict[str, Any]] = json.loads(fields.written)
        if _features_of(as_read, fields.timeframes) == tuple(features):
            return as_read
    groups: dict[str, list[FeatureSpec]] = {}
    last = ""
    own = [spec for spec in features if spec.every == 1]
    for spec in own:
        if spec.then:
            raise FeatureError(
                f"column '{spec.columns[0]}' cannot be written for the Engine: its six keys know no step '{spec.then[0][0]}'."
            )
        if spec.cross_section:
            raise FeatureError(
                f"column '{spec.columns[0]}' cannot be written for the Engine: its six keys know no comparison across symbols."
            )
        if spec.indicator in groups and spec.indicator != last:
            raise FeatureError(
                f"the features of '{spec.indicator}' stand apart from each other; the Engine's six keys name an indicator "
                "once, so that the order of the columns would be lost. Put them side by side."
            )
        groups.setdefault(spec.indicator, []).append(spec)
        last = spec.indicator
    made = {name: _merged(specs) for name, specs in groups.items()}
    if _features_of(made, fields.timeframes) != tuple(features):
        longer = next((spec.columns[0] for spec in features if spec.every > 1), None)
        what = f"column '{longer}' is on longer bars" if longer else "its features are on one length of bars"
        raise FeatureError(
            f"the recipe cannot be written for the Engine with timeframes {list(fields.timeframes)}: {what}, and the Engine "
            "computes every indicator on every timeframe, all of one length before the next."
        )
    return made


def read_engine_recipe(text: str) -> tuple[tuple[FeatureSpec, ...], EngineFields]:
    """Parse and check the Engine's JSON; see :meth:`huracan.preprocessing.FeatureRecipe.from_engine_json`."""
    from huracan.preprocessing.recipe import read_json_object

    document = read_json_object(text, "the Engine's recipe")
    stated = document.pop("hash", None)
    missing = [key for key in ENGINE_KEYS if key not in document]
    if missing:
        raise FeatureError(f"key '{missing[0]}' is missing from the Engine's recipe; it has {', '.join(document) or 'none'}.")
    fields = EngineFields.from_dict(document)
    if stated is not None and stated != engine_hash(document):
        raise FeatureError(f"the Engine's recipe states hash {stated!r}; its content has {engine_hash(document)!r}.")
    return _features_of(document["indicators"], fields.timeframes), fields


def _merged(specs: Sequence[FeatureSpec]) -> dict[str, Any]:
    names = [name for name, _ in specs[0].parameters]
    values = {name: [dict(spec.parameters)[name] for spec in specs] for name in names}
    return {name: v[0] if len(set(v)) == 1 else v for name, v in values.items()}


def _features_of(indicators: Mapping[str, Any], timeframes: Sequence[str]) -> tuple[FeatureSpec, ...]:
    specs: list[FeatureSpec] = []
    for name, given in indicators.items():
        entry = get_indicator(name)
        if not isinstance(given, dict):
            raise FeatureError(f"indicator '{name}' has {given!r}; an object of parameters was expected.")
        lengths = {key: len(value) for key, value in given.items() if isinstance(value, list)}
        if len(set(lengths.values())) > 1 or 0 in lengths.values():
            raise FeatureError(
                f"indicator '{name}': its lists have lengths {lengths}; equal lengths of at least 1 were expected."
            )
        for i in range(max(lengths.values(), default=1)):
            specs.append(feature(entry.name, **{k: v[i] if isinstance(v, list) else v for k, v in given.items()}))
    return tuple(spec.on(every) for every in multiples(timeframes) for spec in specs)
