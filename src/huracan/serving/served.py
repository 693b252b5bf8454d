"""One version as it is served: everything that a signal needs of it, loaded once and never changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.accounting import bars_in_a_year
from huracan.ensembles import AdaptiveConformal
from huracan.errors import RegistryError, SignatureError
from huracan.labels.live_labels import ForwardReturn
from huracan.market import written_length
from huracan.market.schema import written_time
from huracan.model_info import FeatureSignature
from huracan.model_registry import ModelRegistry
from huracan.preprocessing import FeatureRecipe
from huracan.preprocessing.online_series import CANDLE_VALUES
from huracan.regimes import RegimeClassifier
from huracan.registry.kept_facts import KeptFacts, Outlook, read_facts
from huracan.registry.records import ModelVersion
from huracan.serving.arguments import MaxAge, usual_age
from huracan.serving.companion import Companion, load_companion
from huracan.serving.scalar_policy import ScalarPolicy
from huracan.serving.scoring import Scorer, open_scorer
from huracan.serving.screen import Screen
from huracan.serving.sketch import SKETCH_FILE, TrainingSketch

__all__ = ["IN_TRAINING", "Outlook", "Served", "load_served", "require_bar"]

Floats32 = NDArray[np.float32]

IN_TRAINING = "the bar lies in the span that the model learned from"
"""How notes on such bars begin."""

_TOLD_LATE = 1_000
"""Bars by which a label may be told late and still be learned."""


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
    labels : the rule by which candles tell the labels that its intervals learn, None where they are told from outside.
    waits : bars of a symbol whose labels are waited for, at most.
    baseline : whether it is the constant prediction, which holds nothing.
    learned_until : milliseconds since 1970 up to which it learned from labels; minus infinity where that is not known.
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
    labels: ForwardReturn | None
    waits: int
    baseline: bool
    learned_until: float
    expires: float
    stale_after: float
    why_native: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def model_id(self) -> str:
        """``name/version``."""
        return self.version.model_id

    @property
    def in_training(self) -> str:
        """The note on a bar that it learned from, or from later ones."""
        return f"{IN_TRAINING}: labels up to {written_time(int(self.learned_until))}; what it says of it is not out of sample."

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
    max_age: MaxAge = None,
    stale_after: float | None = None,
    anomaly_share: float = 0.001,
    onnx: bool = True,
    learn_from_candles: bool = False,
) -> Served:
    """Load and check everything of one version; what cannot be served is refused here, not at the first candle.

    Raises
    ------
    RegistryError : it answers with no score (a generator, an agent), or something kept with it for signals cannot be used.
    ArtifactError : a file is missing or damaged.
    SignatureError : its columns are not those of its recipe, or its bars not those of its label.
    """
    name = version.model_id
    if version.info.task in ("generation", "representation", "control"):
        raise RegistryError(
            f"'{name}' is for {version.info.task}: it has no score of a row, and no signal can be made of it; a regressor, a "
            "classifier or a rule was expected."
        )
    signature = version.info.signature
    if signature is None:
        raise SignatureError(f"'{name}' was registered without a signature: which columns it takes is not known.")
    bar = _bar_of(version, signature)
    facts = _facts_of(version, bar)
    _require_recipe(name, signature, facts.recipe)
    model = registry.load(version.name, version=version.version)
    scorer, signal, why = open_scorer(registry, version, model, onnx=onnx)
    sketch = _sketch_of(registry, version)
    low, high = _range(name, signature, sketch)
    _try_out(name, scorer, signal, len(signature.columns))
    baseline = version.kind == "baseline"
    labels, not_derived = _labels_of(facts) if learn_from_candles else (None, ())
    age = usual_age(bar) if isinstance(max_age, str) else max_age
    unwatched = () if baseline else _unwatched(version, low, sketch, age)
    notes = (*(("the baseline holds nothing.",) if baseline else ()), *unwatched, *not_derived)
    return Served(
        version=version,
        alias=alias,
        generation=generation,
        scorer=scorer,
        signal=signal,
        columns=signature.columns,
        companion=_companion(registry, facts, signature.columns, anomaly_share),
        screen=Screen(signature.columns, low, high, sketch),
        recipe=facts.recipe,
        bar=bar,
        classifier=facts.classifier,
        levels=facts.levels,
        outlook=facts.outlook,
        policy=None if facts.policy is None else ScalarPolicy(facts.policy, bars_in_a_year(np.timedelta64(bar or 1, "ms"))),
        interval=facts.interval,
        scaled=facts.scaled,
        volatility_span=facts.volatility_span,
        labels=labels,
        waits=_waits(version.extras),
        baseline=baseline,
        learned_until=_milliseconds(version.provenance.trained_until, -math.inf),
        expires=_milliseconds(version.provenance.trained_until, math.inf, age),
        stale_after=math.inf if stale_after is None else stale_after,
        why_native=why,
        notes=notes,
    )


def _facts_of(version: ModelVersion, bar: int | None) -> KeptFacts:
    try:
        return read_facts(version.extras, bar)
    except RegistryError as error:
        raise RegistryError(f"'{version.model_id}' cannot be served: {error}") from error


def _companion(registry: ModelRegistry, facts: KeptFacts, columns: tuple[str, ...], most: float) -> Companion | None:
    return None if facts.companion is None else load_companion(registry, *facts.companion, columns, most)


def _require_recipe(name: str, signature: Any, recipe: FeatureRecipe | None) -> None:
    if recipe is None:
        return
    if signature.recipe_hash not in (None, recipe.hash):
        raise SignatureError(f"'{name}' was trained on recipe {signature.recipe_hash}, and its recipe is {recipe.hash}.")
    if tuple(signature.columns) != tuple(recipe.columns):
        raise SignatureError(f"'{name}' takes other columns than its own recipe gives; it was registered inconsistently.")


def _bar_of(version: ModelVersion, signature: FeatureSignature) -> int | None:
    bar = signature.bar_length_ms or (version.provenance.model_extra or {}).get("bar_length_ms")
    if bar is None:
        return None
    if isinstance(bar, bool) or not isinstance(bar, int | float) or not (bar >= 1 and bar == int(bar)):
        raise RegistryError(
            f"'{version.model_id}' was registered with bars of {bar!r:.60} ms; a whole number from 1 was expected."
        )
    return int(bar)


def _labels_of(facts: KeptFacts) -> tuple[ForwardReturn | None, tuple[str, ...]]:
    """The rule by which candles tell labels, or a note why none are told."""
    if facts.interval is None or facts.labels is not None:
        return facts.labels, ()
    return None, ("its labels are no plain forward returns, so candles do not tell them: learn does.",)


def _waits(extras: Mapping[str, Any]) -> int:
    """As far as its labels look ahead, and some more for those that are told late."""
    horizon = extras.get("config", {}).get("labels", {}).get("horizon")
    return _TOLD_LATE + (horizon if isinstance(horizon, int) and horizon > 0 else 0)


def _sketch_of(registry: ModelRegistry, version: ModelVersion) -> TrainingSketch | None:
    content = registry.attachments(version.name, version.version).get(SKETCH_FILE)
    return None if content is None else TrainingSketch.from_bytes(content)


def _try_out(name: str, scorer: Scorer, signal: Callable[[NDArray[np.float64]], float], d: int) -> None:
    """One row of zeros: a model that takes other columns than its signature says fails now."""
    try:
        signal(scorer.one(np.zeros(d if scorer.window == 1 else (scorer.window, d), np.float32)))
    except Exception as error:  # the libraries' errors have no common base
        said = str(error).partition("\n")[0]
        raise RegistryError(f"'{name}' cannot answer a row of the {d} columns of its signature: {said:.200}") from error


def _range(name: str, signature: FeatureSignature, sketch: TrainingSketch | None) -> tuple[Floats32, Floats32]:
    """The training range of each column: of the signature, else of the sketch, else without end."""
    d = len(signature.columns)
    sizes = {len(signature.low), len(signature.high)} - {0}
    if sketch is not None:
        sizes.add(len(sketch.columns))
    if sizes - {d}:
        told = ", ".join(map(str, sorted(sizes - {d})))
        raise SignatureError(
            f"'{name}' takes {d} columns, and its training range or sketch is of {told}; it was registered inconsistently."
        )
    if signature.low and signature.high:
        return np.array(signature.low, np.float32), np.array(signature.high, np.float32)
    if sketch is not None:
        return sketch.low, sketch.high
    return np.full(d, -np.inf, np.float32), np.full(d, np.inf, np.float32)


def _unwatched(
    version: ModelVersion, low: Floats32, sketch: TrainingSketch | None, max_age: timedelta | None
) -> tuple[str, ...]:
    """What would speak against acting and cannot be told of this version, since nothing of the kind was registered with it."""
    ages = max_age is None or version.provenance.trained_until is not None
    return (
        *(() if ages else ("when it was trained is not known (provenance), so it never counts as expired.",)),
        *(() if np.isfinite(low).any() else ("the range of its training rows is not known, so nothing counts as out of it.",)),
        *(() if sketch is not None else ("it has no sketch of its training rows, so none counts as far from them.",)),
    )


def _milliseconds(until: datetime | None, unknown: float, later: timedelta | None = timedelta(0)) -> float:
    """So much after the newest label in training; ``unknown`` where one of both is."""
    if until is None or later is None:
        return unknown
    moment = until if until.tzinfo else until.replace(tzinfo=UTC)
    return float((moment + later).timestamp() * 1_000.0)


def require_bar(served: Served, bar: int) -> None:
    """Refuse candles of another length than the model was trained on."""
    if served.bar is not None and served.bar != bar:
        mine, theirs = written_length(bar), written_length(served.bar)
        raise SignatureError(f"the candles are bars of {mine}; '{served.model_id}' was trained on bars of {theirs}.")
