"""What is stored with a model for its serving, tried before it is registered: malformed, it would be found at a bad moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from huracan.errors import HuracanError, RegistryError

__all__ = ["check_served_extras", "model_named"]

_SCALE = ("center", "spread", "intercept", "slope")
_BEYOND = 3.0
"""Standard deviations beyond which a score counts as this many."""
_STEEPEST = 700.0
"""Log-odds whose exponential a float can still hold."""
_LONGEST_HORIZON = 100_000


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

    policy = PositionPolicy.from_dict(_table(given))
    for name in ("threshold", "scale", "cap", "center", "spread"):
        _number(name, getattr(policy, name))
    if policy.volatility_target is not None:
        _number("volatility_target", policy.volatility_target)
    _whole("horizon", policy.horizon, 1, _LONGEST_HORIZON)
    if not isinstance(policy.allow_short, bool):
        raise TypeError(f"allow_short is {policy.allow_short!r:.60}; true or false was expected")


def _levels(given: Any) -> None:
    for symbol, level in _table(given).items():
        _number(symbol, level)


def _scale(given: Any) -> None:
    numbers = {key: _number(key, _table(given)[key]) for key in _SCALE}
    if numbers["spread"] < 0:
        raise ValueError(f"spread is {numbers['spread']:g}; it cannot be negative")
    if abs(numbers["intercept"]) + _BEYOND * abs(numbers["slope"]) > _STEEPEST:
        raise ValueError(
            f"log-odds of intercept {numbers['intercept']:g} and slope {numbers['slope']:g} go beyond {_STEEPEST:g}, where a "
            "probability is 0 or 1"
        )


def _forecast(given: Any) -> None:
    if given is not None:
        for key in ("intercept", "slope"):
            _number(key, _table(given)[key])


def _intervals(given: Any) -> None:
    from huracan.ensembles import AdaptiveConformal

    if _table(given)["scale"] not in ("volatility", "none"):
        raise ValueError(f"scale is {given['scale']!r:.60}; 'volatility' or 'none' was expected")
    state = _table(given["state"])
    tried = AdaptiveConformal.from_state({**state, "waiting": []})
    for place, score in enumerate(state["recent"]):
        if _number(f"recent score {place}", score) < 0:
            raise ValueError(f"recent score {place} is {score:g}; it cannot be negative")
    for name in ("level", "rate", "half_life", "miss_level"):
        _number(name, state[name])
    for name in ("window", "warm_up", "n_hits", "n_labels"):
        _whole(name, state[name], 0, 2**53)
    tried.predict(0.0, scale=1.0)
    tried.update(0.0)


def _config(given: Any) -> None:
    if "regimes" in _table(given):
        from huracan.regimes import RegimeClassifier

        RegimeClassifier.from_dict(_table(given["regimes"]))
    _whole("volatility_span of its labels", _table(given.get("labels", {})).get("volatility_span", 2), 2, _LONGEST_HORIZON)


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


def _whole(name: str, given: Any, least: int, most: int) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise ValueError(f"{name} is {given!r:.60}; a whole number from {least} to {most} was expected")
