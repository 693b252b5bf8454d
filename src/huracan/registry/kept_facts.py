"""What is kept beside a model for its signals, read and tried out: what cannot be used is refused, not found at a candle.

Registering and loading read by the same lines; a version of an earlier registry, which looked at less, is refused when it is
loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.accounting import PositionPolicy
from huracan.ensembles import AdaptiveConformal
from huracan.errors import HuracanError, RegistryError
from huracan.labels.grid import DEFAULT_VOLATILITY_SPAN
from huracan.labels.live_labels import ForwardReturn
from huracan.preprocessing import FeatureRecipe
from huracan.preprocessing.online_series import CANDLE_VALUES
from huracan.regimes import RegimeClassifier

__all__ = ["KeptFacts", "Outlook", "model_named", "read_facts"]

_BEYOND = 3.0
_LONGEST_HORIZON = 100_000
_SCALES = ("volatility", "none")


@dataclass(frozen=True, slots=True)
class Outlook:
    """What standardised scores mean: the log-odds of a label above zero and the label itself as lines in z.

    ``z = clip((score - center) / spread, -3, 3)``, as when the lines were fitted on scores out of fold. ``forecast`` is
    ``(intercept, slope)`` in the label's unit, None for a model stored without.
    """

    center: float
    spread: float
    intercept: float
    slope: float
    forecast: tuple[float, float] | None

    def of(self, score: float) -> tuple[float, float | None]:
        """Probability that the label is above zero, and its forecast."""
        z = min(max((score - self.center) / self.spread, -_BEYOND), _BEYOND) if self.spread else 0.0
        probability = 1.0 / (1.0 + math.exp(-(self.intercept + self.slope * z)))
        if self.forecast is None:
            return probability, None
        return probability, self.forecast[0] + self.forecast[1] * z

    def many(self, score: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """:meth:`of` scores (n,), to the last bit; the forecast is NaN where there is none.

        >>> Outlook(0.0, 1.0, 0.0, 0.5, (0.0, 0.1)).many(np.array([0.0, 9.0]))[1].round(3).tolist()
        [0.0, 0.3]
        """
        z = np.zeros(len(score))
        if self.spread:
            z = np.clip((score - self.center) / self.spread, -_BEYOND, _BEYOND)
        # math.exp, since NumPy's may differ from it in the last bit
        odds = np.array([math.exp(-x) for x in (self.intercept + self.slope * z).tolist()])
        forecast = np.full(len(z), np.nan) if self.forecast is None else self.forecast[0] + self.forecast[1] * z
        return 1.0 / (1.0 + odds), forecast


@dataclass(frozen=True, slots=True)
class KeptFacts:
    """Of one version, each None or empty where it was stored without.

    Attributes
    ----------
    recipe : of its features. levels : symbol -> mean score on training rows, "all" for every other. outlook : what scores mean.
    policy : its positions. interval : state of adaptive conformal intervals; ``scaled`` says whether in units of a bar's
        volatility, which is told over ``volatility_span`` bars. classifier : of regimes. labels : the rule its labels were made
        by, None where candles as they come do not tell them. companion : name and version of the autoencoder beside it.
    """

    recipe: FeatureRecipe | None
    levels: Mapping[str, float]
    outlook: Outlook | None
    policy: PositionPolicy | None
    interval: Mapping[str, Any] | None
    scaled: bool
    classifier: RegimeClassifier | None
    volatility_span: int
    labels: ForwardReturn | None
    companion: tuple[str, int] | None


def read_facts(extras: Mapping[str, Any], bar: int | None = None) -> KeptFacts:
    """Read of ``extras`` what serving reads; the rest is the caller's own. A bar has ``bar`` milliseconds, where it is known.

    Raises
    ------
    RegistryError : something cannot be used; the message begins with "its" and the key.
    """
    with _reading("recipe"):
        recipe = FeatureRecipe.from_json(extras["recipe"]) if "recipe" in extras else None
    with _reading("levels"):
        levels = {str(symbol): _number(symbol, value) for symbol, value in _table(extras.get("levels", {})).items()}
    with _reading("forecast"):
        forecast = None if extras.get("forecast") is None else _line(_table(extras["forecast"]))
    with _reading("scale"):
        outlook = _outlook(_table(extras["scale"]), forecast) if "scale" in extras else None
    with _reading("policy"):
        policy = _policy(_table(extras["policy"])) if "policy" in extras else None
    with _reading("intervals"):
        interval, scaled = _intervals(_table(extras["intervals"])) if "intervals" in extras else (None, False)
    with _reading("config"):
        config = _table(extras.get("config", {}))
        labels = _table(config.get("labels", {}))
        span = _whole("volatility_span", labels.get("volatility_span", DEFAULT_VOLATILITY_SPAN), 2)
        classifier = _classifier(config, recipe, bar)
        rule = ForwardReturn.of(labels)
    with _reading("anomaly_model"):
        companion = None if extras.get("anomaly_model") is None else model_named(extras["anomaly_model"])
    return KeptFacts(recipe, levels, outlook, policy, interval, scaled, classifier, span, rule, companion)


def model_named(model_id: Any) -> tuple[str, int]:
    """Name and version of ``name/version``.

    >>> model_named("autoencoder/3")
    ('autoencoder', 3)
    """
    name, _, number = model_id.rpartition("/") if isinstance(model_id, str) else ("", "", "")
    if not name or not number.isdecimal():
        raise RegistryError(f"it is {model_id!r:.60}; a model_id such as 'autoencoder/3' was expected")
    return name, int(number)


@contextmanager
def _reading(key: str) -> Iterator[None]:
    try:
        yield
    except (HuracanError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = f"{str(error) or type(error).__name__}".rstrip(".")
        missing = f"{said} is missing" if type(error) is KeyError else said
        raise RegistryError(f"its '{key}' cannot be served: {missing}.") from error


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"it is {value!r:.60}, and names with values were expected")
    return value


def _number(name: str, value: Any, least: float = -math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
        expected = "a finite number" if least == -math.inf else f"a finite number from {least:g}"
        raise ValueError(f"'{name}' is {value!r:.60}, and {expected} was expected")
    return float(value)


def _whole(name: str, value: Any, least: int, most: int = _LONGEST_HORIZON) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"'{name}' is {value!r:.60}, and a whole number from {least} to {most} was expected")
    return value


def _line(values: Mapping[str, Any]) -> tuple[float, float]:
    return _number("intercept", values["intercept"]), _number("slope", values["slope"])


def _outlook(scale: Mapping[str, Any], forecast: tuple[float, float] | None) -> Outlook:
    center, (intercept, slope) = _number("center", scale["center"]), _line(scale)
    made = Outlook(center, _number("spread", scale["spread"], 0.0), intercept, slope, forecast)
    for score in (-math.inf, math.inf):  # the far ends, at which a slope is steepest
        made.of(score)
    return made


def _policy(values: Mapping[str, Any]) -> PositionPolicy:
    policy = PositionPolicy.from_dict(values)
    _whole("horizon", policy.horizon, 1)
    for name in ("threshold", "scale", "cap", "center", "spread"):
        _number(name, getattr(policy, name))
    if policy.volatility_target is not None:
        _number("volatility_target", policy.volatility_target)
    if not isinstance(policy.allow_short, bool):
        raise TypeError(f"'allow_short' is {policy.allow_short!r:.60}, and true or false was expected")
    return policy


def _intervals(values: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The state with nothing that waits for a label, and whether it is in units of a bar's volatility."""
    if values["scale"] not in _SCALES:
        raise ValueError(f"'scale' is {values['scale']!r:.60}, and 'volatility' or 'none' was expected")
    state = {**_table(values["state"]), "waiting": []}
    tried = AdaptiveConformal.from_state(state)
    for place, score in enumerate(state["recent"]):
        _number(f"recent score {place}", score, 0.0)
    for key in ("level", "rate", "half_life", "miss_level"):
        _number(key, state[key])
    for key in ("window", "warm_up", "n_hits", "n_labels"):
        _whole(key, state[key], 0, 2**53)
    low, high = tried.predict(0.0, scale=1.0)
    tried.update(0.0)
    if not low <= high and not math.isnan(low):
        raise ValueError(f"an interval by it is {low:g} to {high:g}")
    return state, values["scale"] == "volatility"


def _classifier(config: Mapping[str, Any], recipe: FeatureRecipe | None, bar: int | None) -> RegimeClassifier | None:
    """The run's regimes, where the candles that the recipe reads are enough to tell them."""
    if "regimes" not in config:
        return None
    classifier = RegimeClassifier.from_dict(_table(config["regimes"]))
    if bar is not None:
        classifier.windows(timedelta(milliseconds=bar))
    return classifier if recipe is not None and set(CANDLE_VALUES) <= set(recipe.required_columns) else None
