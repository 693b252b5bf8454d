"""A challenger that was asked for becomes a version of the registry, once, or a reason why it could not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np

from huracan.accounting import PositionPolicy
from huracan.config import HuracanConfig, LearnerConfig, config_hash
from huracan.config.section import milliseconds
from huracan.dataset import TrainingSet
from huracan.errors import ArtifactError, HuracanError, ModelError, NotEnoughData, RegistryError, StorageError
from huracan.integration.candidates import Candidate, LearnerCandidate
from huracan.integration.feedback.candle_window import CandleWindow
from huracan.integration.feedback.cleaned_window import FILLED, cleaned
from huracan.integration.feedback.training_span import training_span
from huracan.integration.judging import Scale
from huracan.integration.preparation import Prepared, Source, load_recipe, prepare
from huracan.integration.ready_models import PolicyOf, ReadyModel, baseline_for_service, fit_for_service
from huracan.integration.refitting import GoingOn, Refitting, can_go_on
from huracan.logs import logger
from huracan.market import candles_hash, validate_candles
from huracan.market.schema import written_time
from huracan.mlops.live_expectation import EXPECTATION
from huracan.model_registry import ModelRegistry
from huracan.preprocessing import FeatureRecipe
from huracan.regimes import RegimeClassifier
from huracan.registry.kept_facts import read_facts
from huracan.registry.records import ModelVersion
from huracan.serving.placing import DOES_NOT_FIT
from huracan.storage import library_versions

__all__ = ["Order", "Trained", "train_challenger"]

_OWN_POLICY = 1_000
"""Labelled rows from which on a challenger chooses a position policy of its own."""
_TODAY = ("cleaning", "costs", "serving", "registry", "comparison", "drift", "retrain", "mechanic", "training")
"""Sections that are of the Mechanic; what a model is made by stays that of its parent."""
_SPANS = 5
_UNLOADABLE = (RegistryError, ModelError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Order:
    """What is asked for.

    Attributes
    ----------
    id : of the challenger; its version bears it as ``run_id``. name : that it is registered under.
    kind : ``first`` where nobody is champion, ``full``, or ``warm``: a network goes on from the parent's parameters.
    parent : version that it is to follow, None for ``first``. symbols : that it learns from; those of the parent where empty.
    until : moment up to which candles are closed, milliseconds UTC. train_from : of the first row it learns from; None for as
        far back as :func:`~huracan.integration.feedback.training_span.training_span` reaches.
    """

    id: str
    name: str
    kind: str
    until: int
    parent: int | None = None
    symbols: tuple[str, ...] = ()
    train_from: int | None = None

    def seed(self, config: HuracanConfig) -> int:
        """Of its fits: that of the configuration and the challenger's id.

        >>> Order("btc:*:*:0", "btc", "full", 0).seed(HuracanConfig())
        226158761
        """
        digest = hashlib.sha256(f"{config.seed}:{self.id}".encode()).digest()
        return int.from_bytes(digest[:4], "big") % 2**31


@dataclass(frozen=True)
class Trained:
    """What became of an order.

    Attributes
    ----------
    version : of the registry; None where it failed. reason : in a sentence, what was trained and how, or why nothing could be.
    rows_from, rows_until : open of the first and the last bar it learned from, milliseconds UTC.
    expected : what it promises. crowned : of a first champion, whether its skill is shown; else it is the constant prediction.
    """

    version: int | None
    reason: str
    rows_from: int | None = None
    rows_until: int | None = None
    expected: Mapping[str, Any] = field(default_factory=dict)
    crowned: bool = False


def train_challenger(registry: ModelRegistry, config: HuracanConfig, candles: CandleWindow, order: Order) -> Trained:
    """Train and register what was asked for; what was registered before under this id is found, not trained again.

    The parent's configuration and recipe make its rows; its learner is fitted anew with the settings it has. Where there is no
    parent, or it is the constant prediction or cannot be fitted anew, the best of ``mechanic.learners`` is taken. With fewer
    than 1,000 labelled rows the parent's position policy is kept, scaled to the new scores.

    Parameters
    ----------
    config : of the Mechanic. candles : of which those that are closed by ``order.until`` are read, cleaned as it says.

    Returns
    -------
    Trained, also where training failed: the champion stays, and the reason is told.

    Raises
    ------
    StorageError : the database cannot be reached: nothing was decided.
    """
    found = registry.find(name=order.name, run_id=order.id, stage=None)
    if found:
        return _of_version(registry.get(order.name, version=found[-1].version))
    try:
        training = _Training.of(registry, config, order)
        ready, how = training.made(candles)
    except (*DOES_NOT_FIT, RuntimeError) as error:
        if isinstance(error, StorageError) and not isinstance(error, ArtifactError):
            raise
        said = str(error) if isinstance(error, HuracanError) else f"{type(error).__name__}: {error}"
        logger().warning("a challenger could not be trained", challenger=order.id, reason=said)
        return Trained(None, f"it could not be trained: {said}")
    told = {**ready.extras, "challenger": {"kind": order.kind, "how": how}}
    if hasattr(ready.model, "beside"):  # what the clock said of a training: the same one, done again, is to leave the same bits
        told["beside"] = {}
    version = replace(ready, extras=told).register(registry, order.name, parent=order.parent)
    return _of_version(registry.get(order.name, version=version))


def _of_version(version: ModelVersion) -> Trained:
    """What is told of a challenger that is registered; the same when it is found again."""
    provenance, extras = version.provenance, version.extras
    first, last = (
        None if moment is None else round(moment.timestamp() * 1_000)
        for moment in (provenance.trained_from, provenance.trained_until)
    )
    skill = version.metrics.get("skill")
    shown = "" if skill is None else f", whose skill out of fold is {skill:.3g}"
    reason = f"{extras.get('challenger', {}).get('how', version.learner)}, of {provenance.n_rows} rows{shown}."
    crowned = version.kind != "baseline"
    return Trained(version.version, reason, first, last, dict(extras.get(EXPECTATION, {})), crowned)


@dataclass(frozen=True)
class _Training:
    """What an order comes to: whose rows, which candidates, and which positions."""

    config: HuracanConfig
    order: Order
    settings: HuracanConfig
    recipe: FeatureRecipe
    symbols: tuple[str, ...]
    simulated: bool
    parent: ModelVersion | None
    model: Any
    why_not: str

    @classmethod
    def of(cls, registry: ModelRegistry, config: HuracanConfig, order: Order) -> _Training:
        if order.parent is None:
            settings = _own(config)
            simulated = order.name.endswith(".simulated")
            return cls(config, order, settings, load_recipe(settings), order.symbols, simulated, None, None, "")
        parent = registry.get(order.name, version=order.parent)
        told = parent.extras.get("config")
        settings = _own(config if told is None else _as_the_parent(config, told))
        recipe = FeatureRecipe.from_json(parent.extras["recipe"]) if "recipe" in parent.extras else load_recipe(settings)
        simulated = bool((parent.provenance.model_extra or {}).get("simulated", False))
        model, why_not = None, "the champion before is the constant prediction"
        if parent.kind != "baseline":
            try:
                model, why_not = registry.load(order.name, version=order.parent), ""
            except (ArtifactError, *_UNLOADABLE) as error:
                why_not = f"the champion before cannot be loaded ({_clause(error)})"
        symbols = order.symbols or parent.provenance.symbols
        return cls(config, order, settings, recipe, symbols, simulated, parent, model, why_not)

    def made(self, candles: CandleWindow) -> tuple[ReadyModel, str]:
        """The model, and in words how it was made."""
        prepared, rows = self._rows(candles)
        seed = self.order.seed(self.config)
        origin = {
            "run_id": self.order.id,
            "data_hash": candles_hash(prepared.source.candles),
            "config_hash": config_hash(self.settings),
            "recipe_hash": self.recipe.hash,
            "seed": seed,
            "versions": library_versions(),
            "simulated": self.simulated,
        }
        common: dict[str, Any] = {"origin": origin, "seed": seed, "rows": rows}
        if self.order.parent is None:
            return self._first(prepared, common)
        n = int(rows.labelled.sum())
        policy_of, kept = (None, "") if n >= _OWN_POLICY else self._kept_policy(n)
        if self.model is None:
            ready = fit_for_service(self.settings, prepared, self._learners(), policy_of=policy_of, **common)
            return ready, f"{ready.name}, the best of {', '.join(self._learners())}, since {self.why_not}{kept}"
        name = self.parent.learner if self.parent is not None else ""
        again: dict[str, Candidate] = {name: Refitting(name, self.model)}
        final: dict[str, Candidate] = {}
        how = f"{name} learned anew with the settings of version {self.order.parent}"
        if self.order.kind == "warm" and can_go_on(self.model):
            final = {name: GoingOn(name, self.model)}
            how = f"{name} went on from the parameters of version {self.order.parent}"
        elif self.order.kind == "warm":
            how += ", since it cannot go on from its parameters"
        return fit_for_service(self.settings, prepared, again, policy_of=policy_of, final=final, **common), f"{how}{kept}"

    def _first(self, prepared: Prepared, common: Mapping[str, Any]) -> tuple[ReadyModel, str]:
        """The best learner where its skill is shown, else the constant prediction, which holds nothing."""
        alpha, names = self.config.comparison.alpha, ", ".join(self._learners())
        try:
            ready = fit_for_service(self.settings, prepared, self._learners(), **common)
        except ModelError as error:
            return baseline_for_service(self.settings, prepared, **common), f"the constant prediction, since {_clause(error)}"
        skill = 0.0 if ready.skill is None else ready.skill.mean
        if skill > 0.0 and ready.p_adjusted < alpha:
            return ready, f"{ready.name}, the best of {names}"
        why = f"none of {names} is shown to have skill (the best, {ready.name}: {skill:.3g}, p = {ready.p_adjusted:.2g})"
        return baseline_for_service(self.settings, prepared, **common), f"the constant prediction, since {why}"

    def _rows(self, candles: CandleWindow) -> tuple[Prepared, TrainingSet]:
        """Candles made into rows, from as far back as features need; and those rows that are learned from."""
        bar, settings, order = candles.bar, self.settings, self.order
        windows = RegimeClassifier(**settings.regimes.model_dump()).windows(timedelta(milliseconds=bar))
        behind = max(self.recipe.warmup, windows.warmup + windows.lookback, _SPANS * settings.labels.volatility_span)
        most = self.config.mechanic.max_train_rows
        usual = order.until - milliseconds(self.config.mechanic.train)
        first = training_span(candles, self.config, order.until, self.symbols or None).first
        if self.symbols and first == usual:  # more would be computed and left out; some, where bars are missing
            first = max(first, order.until - bar * (most * 5 // (len(self.symbols) * 4) + 100))
        first = first if order.train_from is None else max(first, order.train_from)
        there = cleaned(candles, self.config).bars(first - behind * bar, order.until - bar, self.symbols or None)
        if there.is_empty():
            raise NotEnoughData(
                f"there are no candles from {written_time(first)} to {written_time(order.until)} UTC to learn from."
            )
        filled = there.filter(FILLED).select("symbol", "ts") if FILLED in there.columns else None
        source = Source(validate_candles(there.drop(FILLED, strict=False)), "candles of the Mechanic", filled=filled)
        prepared = prepare(settings, source, self.recipe)
        rows = prepared.everything
        rows = rows.take(rows.ts.astype("datetime64[ms]").astype(np.int64) >= first)
        return prepared, rows.most_recent(most)

    def _learners(self) -> dict[str, Candidate]:
        known = self.config.active_profile.learners
        return {name: LearnerCandidate(name, known.get(name, LearnerConfig())) for name in self.config.mechanic.learners}

    def _kept_policy(self, n: int) -> tuple[PolicyOf | None, str]:
        """The parent's position policy for scores of another width, where it has one."""
        facts = None if self.parent is None else read_facts(self.parent.extras)
        if facts is None or facts.policy is None or facts.outlook is None or not facts.outlook.spread > 0.0:
            return None, ""
        policy, width = facts.policy, facts.outlook.spread

        def scaled(scale: Scale) -> PositionPolicy:
            ratio = scale.spread / width
            return replace(policy, center=policy.center * ratio, spread=policy.spread * ratio or policy.spread)

        return scaled, f"; its position policy is kept, for {n} labelled rows choose none ({_OWN_POLICY} do)"


def _clause(error: BaseException) -> str:
    """What an error says, without its full stop."""
    return str(error).rstrip(".") or type(error).__name__


def _own(config: HuracanConfig) -> HuracanConfig:
    """For the candles it is given, whatever their symbols."""
    return config.model_copy(update={"data": config.data.model_copy(update={"symbols": ()})})


def _as_the_parent(config: HuracanConfig, told: Mapping[str, Any]) -> HuracanConfig:
    """As a model was made, but for what is the Mechanic's own."""
    theirs = HuracanConfig.model_validate(told)
    return theirs.model_copy(update={name: getattr(config, name) for name in _TODAY})
