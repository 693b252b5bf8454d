"""What is stored with a model for its serving, tried before it is registered: malformed, it would be found at a bad moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from huracan.errors import HuracanError, RegistryError

__all__ = ["check_served_extras", "model_named"]

_SCALE = ("center", "spread", "intercept", "slope")


def check_served_extras(name: str, extras: Mapping[str, Any]) -> None:
    """Read those of ``extras`` that serving reads by the classes it uses; others are the caller's own.

    They are ``recipe``, ``policy``, ``levels``, ``scale``, ``forecast``, ``intervals``, ``anomaly_model`` and, of ``config``,
    ``regimes`` and the ``volatility_span`` of its labels.

    Raises
    ------
    RegistryError : one is malformed; the message says which and why.
    """
    for key, read in _READ.items():
        if key in extras:
            try:
                read(extras[key])
            except (HuracanError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                said = f"{error.args[0]!r} is missing" if type(error) is KeyError else str(error).rstrip(".")
                raise RegistryError(f"model '{name}' cannot be registered: its '{key}' cannot be served: {said}.") from error


def model_named(model_id: Any) -> tuple[str, int]:
    """Name and version of ``name/version``.

    >>> model_named("autoencoder/3")
    ('autoencoder', 3)
    """
    name, _, number = model_id.rpartition("/") if isinstance(model_id, str) else ("", "", "")
    if not name or not number.isdecimal():
        raise RegistryError(f"it is {model_id!r:.60}; a model_id such as 'autoencoder/3' was expected.")
    return name, int(number)


def _recipe(given: Any) -> None:
    from huracan.preprocessing import FeatureRecipe

    FeatureRecipe.from_json(given)


def _policy(given: Any) -> None:
    from huracan.accounting import PositionPolicy

    PositionPolicy.from_dict(_table(given))


def _levels(given: Any) -> None:
    for symbol, level in _table(given).items():
        _number(symbol, level)


def _scale(given: Any) -> None:
    numbers = {key: _number(key, _table(given)[key]) for key in _SCALE}
    if numbers["spread"] < 0:
        raise ValueError(f"spread is {numbers['spread']:g}; it cannot be negative")


def _forecast(given: Any) -> None:
    if given is not None:
        for key in ("intercept", "slope"):
            _number(key, _table(given)[key])


def _intervals(given: Any) -> None:
    from huracan.ensembles import AdaptiveConformal

    if _table(given)["scale"] not in ("volatility", "none"):
        raise ValueError(f"scale is {given['scale']!r:.60}; 'volatility' or 'none' was expected")
    AdaptiveConformal.from_state(_table(given["state"]))


def _config(given: Any) -> None:
    if "regimes" in _table(given):
        from huracan.regimes import RegimeClassifier

        RegimeClassifier.from_dict(_table(given["regimes"]))
    span = _table(given.get("labels", {})).get("volatility_span", 2)
    if isinstance(span, bool) or not isinstance(span, int) or span < 2:
        raise ValueError(f"volatility_span of its labels is {span!r:.60}; a whole number from 2 was expected")


_READ: dict[str, Callable[[Any], object]] = {
    "recipe": _recipe,
    "policy": _policy,
    "levels": _levels,
    "scale": _scale,
    "forecast": _forecast,
    "intervals": _intervals,
    "config": _config,
    "anomaly_model": model_named,
}


def _table(given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise TypeError(f"it is {given!r:.60}; names with values were expected")
    return given


def _number(name: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ValueError(f"{name} is {given!r:.60}; a finite number was expected")
    return float(given)
