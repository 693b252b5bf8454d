"""One version as it is served: everything that a signal needs of it, loaded once and never changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.accounting import PositionPolicy, bars_in_a_year
from huracan.ensembles import AdaptiveConformal
from huracan.errors import RegistryError, SignatureError
from huracan.labels.grid import DEFAULT_VOLATILITY_SPAN
from huracan.market import written_length
from huracan.model_registry import ModelRegistry
from huracan.preprocessing import FeatureRecipe
from huracan.preprocessing.online_series import CANDLE_VALUES
from huracan.regimes import RegimeClassifier
from huracan.registry.records import ModelVersion
from huracan.serving.companion import Companion, load_companion
from huracan.serving.scalar_policy import ScalarPolicy
from huracan.serving.scoring import Scorer, open_scorer
from huracan.serving.screen import Screen
from huracan.serving.sketch import SKETCH_FILE, TrainingSketch

__all__ = ["Outlook", "Served", "load_served", "require_bar"]

Floats32 = NDArray[np.float32]
_BEYOND = 3.0


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


@dataclass(frozen=True, eq=False)
class Served:
    """A version of a model with all that belongs to it; a signal is made from one of these alone.

    Attributes
    ----------
    version : of the registry, with ``alias``, that it was found by, and the ``generation`` of that alias.
    scorer, signal : rows of features to raw outputs, and those to one score. columns, window : what it reads.
    screen : what is unlike its training rows. companion : the autoencoder beside it, or None.
    recipe, bar : of its candles, milliseconds; None for a model that was registered without.
    levels : symbol -> mean score on training rows, "all" for every other. outlook, policy : None where it was stored without.
    interval : state of adaptive conformal intervals; ``scaled`` says whether in units of a bar's volatility.
    baseline : whether it is the constant prediction, which holds nothing.
    expires : milliseconds since 1970 from which it is too old; infinite for never. stale_after : bars after its close from
        which a candle is stale; infinite for never. why_native : why it is not served by ONNX Runtime, else None.
    """

    version: ModelVersion
    alias: str | None
    generation: int
    scorer: Scorer
    signal: Callable[[NDArray[np.float64]], float]
    columns: tuple[str, ...]
    screen: Screen
    companion: Companion | None
    recipe: FeatureRecipe | None
    bar: int | None
    classifier: RegimeClassifier | None
    levels: Mapping[str, float]
    outlook: Outlook | None
    policy: ScalarPolicy | None
    interval: Mapping[str, Any] | None
    scaled: bool
    volatility_span: int
    baseline: bool
    expires: float
    stale_after: float
    why_native: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def model_id(self) -> str:
        """``name/version``."""
        return self.version.model_id

    @property
    def window(self) -> int:
        """Rows up to its own that a score reads."""
        return self.scorer.window

    @property
    def candle_columns(self) -> tuple[str, ...]:
        """Columns of candles that are read, in the order of open, high, low, close, volume."""
        required = () if self.recipe is None else self.recipe.required_columns
        return tuple(name for name in CANDLE_VALUES if name in required)

    @property
    def reach(self) -> int:
        """Rows up to its own that an answer reads, the companion's included."""
        return self.window if self.companion is None else max(self.window, self.companion.window)

    @property
    def horizon(self) -> int:
        """Decisions that a position is made of."""
        return 1 if self.policy is None else self.policy.horizon

    def level(self, symbol: str) -> float:
        """What scores of a symbol are less."""
        return self.levels.get(symbol, self.levels.get("all", 0.0))

    def fresh_interval(self) -> AdaptiveConformal | None:
        """Intervals as they were when the model was stored; each symbol steers its own from there."""
        return None if self.interval is None else AdaptiveConformal.from_state(self.interval)


def load_served(
    registry: ModelRegistry,
    version: ModelVersion,
    *,
    alias: str | None,
    generation: int,
    max_age: timedelta | None = None,
    stale_after: float | None = None,
    anomaly_share: float = 0.001,
    onnx: bool = True,
) -> Served:
    """Load and check everything of one version; what cannot be served is refused here, not at the first candle.

    Raises
    ------
    RegistryError : it answers with no score (a generator, an agent), or was registered inconsistently.
    ArtifactError : a file is missing or damaged.
    SignatureError : its columns are not those of its recipe, or its bars not those of its label.
    """
    name, extras = version.model_id, version.extras
    if version.info.task in ("generation", "representation", "control"):
        raise RegistryError(
            f"'{name}' is for {version.info.task}: it has no score of a row, and no signal can be made of it; a regressor, a "
            "classifier or a rule was expected."
        )
    signature = version.info.signature
    if signature is None:
        raise SignatureError(f"'{name}' was registered without a signature: which columns it takes is not known.")
    recipe = FeatureRecipe.from_json(extras["recipe"]) if "recipe" in extras else None
    _require_recipe(name, signature, recipe)
    model = registry.load(version.name, version=version.version)
    scorer, signal, why = open_scorer(registry, version, model, onnx=onnx)
    sketch = _sketch_of(registry, version)
    low, high = _range(signature, sketch)
    config = extras.get("config", {})
    bar = signature.bar_length_ms or (version.provenance.model_extra or {}).get("bar_length_ms")
    policy = PositionPolicy.from_dict(extras["policy"]) if "policy" in extras else None
    until = version.provenance.trained_until
    intervals = extras.get("intervals")
    if intervals is not None:
        AdaptiveConformal.from_state(intervals["state"])  # a damaged one is refused now, not at the first candle
    baseline = version.kind == "baseline"
    return Served(
        version=version,
        alias=alias,
        generation=generation,
        scorer=scorer,
        signal=signal,
        columns=signature.columns,
        companion=_companion(registry, extras, signature.columns, anomaly_share),
        screen=Screen(signature.columns, low, high, sketch),
        recipe=recipe,
        bar=None if bar is None else int(bar),
        classifier=_classifier(config, recipe),
        levels=extras.get("levels", {}),
        outlook=_outlook(extras),
        policy=None if policy is None else ScalarPolicy(policy, bars_in_a_year(np.timedelta64(int(bar or 1), "ms"))),
        interval=None if intervals is None else intervals["state"],
        scaled=intervals is not None and intervals["scale"] == "volatility",
        volatility_span=config.get("labels", {}).get("volatility_span", DEFAULT_VOLATILITY_SPAN),
        baseline=baseline,
        expires=_expiry(until, max_age),
        stale_after=math.inf if stale_after is None else stale_after,
        why_native=why,
        notes=("the baseline holds nothing.",) if baseline else (),
    )


def _companion(registry: ModelRegistry, extras: Mapping[str, Any], columns: tuple[str, ...], most: float) -> Companion | None:
    model_id = extras.get("anomaly_model")
    return None if model_id is None else load_companion(registry, str(model_id), columns, most)


def _require_recipe(name: str, signature: Any, recipe: FeatureRecipe | None) -> None:
    if recipe is None:
        return
    if signature.recipe_hash not in (None, recipe.hash):
        raise SignatureError(f"'{name}' was trained on recipe {signature.recipe_hash}, and its recipe is {recipe.hash}.")
    if tuple(signature.columns) != tuple(recipe.columns):
        raise SignatureError(f"'{name}' takes other columns than its own recipe gives; it was registered inconsistently.")


def _classifier(config: Mapping[str, Any], recipe: FeatureRecipe | None) -> RegimeClassifier | None:
    """The run's regimes, where the candles that the recipe reads are enough to tell them."""
    if "regimes" not in config or recipe is None or not set(CANDLE_VALUES) <= set(recipe.required_columns):
        return None
    return RegimeClassifier.from_dict(config["regimes"])


def _outlook(extras: Mapping[str, Any]) -> Outlook | None:
    if "scale" not in extras:
        return None
    line = extras.get("forecast")
    scale = {key: float(extras["scale"][key]) for key in ("center", "spread", "intercept", "slope")}
    return Outlook(**scale, forecast=None if line is None else (float(line["intercept"]), float(line["slope"])))


def _sketch_of(registry: ModelRegistry, version: ModelVersion) -> TrainingSketch | None:
    content = registry.attachments(version.name, version.version).get(SKETCH_FILE)
    return None if content is None else TrainingSketch.from_bytes(content)


def _range(signature: Any, sketch: TrainingSketch | None) -> tuple[Floats32, Floats32]:
    """The training range of each column: of the signature, else of the sketch, else without end."""
    d = len(signature.columns)
    if signature.low and signature.high:
        return np.array(signature.low, np.float32), np.array(signature.high, np.float32)
    if sketch is not None:
        return sketch.low, sketch.high
    return np.full(d, -np.inf, np.float32), np.full(d, np.inf, np.float32)


def _expiry(until: Any, max_age: timedelta | None) -> float:
    if until is None or max_age is None:
        return math.inf
    moment = until if until.tzinfo else until.replace(tzinfo=UTC)
    return float((moment + max_age).timestamp() * 1_000.0)


def require_bar(served: Served, bar: int) -> None:
    """Refuse candles of another length than the model was trained on."""
    if served.bar is not None and served.bar != bar:
        mine, theirs = written_length(bar), written_length(served.bar)
        raise SignatureError(f"the candles are bars of {mine}; '{served.model_id}' was trained on bars of {theirs}.")
