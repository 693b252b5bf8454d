"""What a run leaves in the registry: the champion, or the baseline where there was none before.

Models are kept under ``registry.model_name``; those trained on the simulated market under ``<model_name>.simulated``, so
that a demonstration never takes the place of a model for real candles. With one model a symbol, ``.<symbol>`` follows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from huracan.baselines.wrapper import MIN_TRAIN_ROWS
from huracan.config import HuracanConfig
from huracan.dataset import TrainingSet
from huracan.errors import PromotionConflict, PromotionsFrozen
from huracan.integration.candidates import candidates_of
from huracan.integration.closing import HoldOutLook, fit_baseline
from huracan.integration.evidence import Evidence, RunFacts
from huracan.integration.expectations import attached_scores
from huracan.integration.feedback.switch import Switch
from huracan.integration.preparation import Prepared
from huracan.integration.serving_facts import attached_files, probe_rows, serving_signature
from huracan.integration.symbol_evidence import SymbolEvidence
from huracan.logs import logger
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.registry.records import ModelKind, ModelVersion, Provenance, RetentionPolicy, RetentionReport

__all__ = ["Registered", "learner_cards", "provenance_of", "register_outcome", "registered_name", "retain_after_run"]

_CHAMPION = "champion"
_MEASURED = (
    "rank_ic",
    "skill",
    "ci_low",
    "ci_high",
    "p_adjusted",
    "accuracy",
    "auc",
    "net_return",
    "net_sharpe",
    "max_drawdown",
)
_SAME_MARKET = 0.8
"""Share of the symbols of two models, taken together, that both must know, so that one may follow the other unasked."""
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms"))


@dataclass(frozen=True)
class Registered:
    """What a run left in the registry.

    Attributes
    ----------
    name : registered under; with one model a symbol, what their names begin with. None where nothing was registered.
    version : of the model, of the last symbol where there is one a symbol. None where nothing was registered.
    promoted : whether what was registered, all of it, is champion now. sentence : the same in words.
    """

    name: str | None
    version: int | None
    promoted: bool
    sentence: str


def learner_cards(config: HuracanConfig, evidence: Evidence, leaderboard: pl.DataFrame) -> dict[str, ModelInfo]:
    """The card of every candidate judged: as it is configured, completed by what was measured out of fold."""
    candidates = candidates_of(config)
    table = {row["learner"]: row for row in leaderboard.iter_rows(named=True)}
    cards = {}
    for name in evidence.judged:
        measured = {
            "performance_metrics": _finite({key: table[name].get(key) for key in _MEASURED}),
            "regime_evidence": tuple(evidence.skills_by_regime.get(name, ())),
        }
        cards[name] = candidates[name].card().model_copy(update=measured)
    return cards


def registered_name(config: HuracanConfig, prepared: Prepared) -> str:
    """What a run's models are registered under: those of a simulated market under a name of their own."""
    return f"{config.registry.model_name}.simulated" if prepared.source.truth is not None else config.registry.model_name


def register_outcome(
    registry: ModelRegistry,
    config: HuracanConfig,
    prepared: Prepared,
    evidence: Evidence,
    models: Mapping[str | None, Any],
    cards: Mapping[str, ModelInfo],
    look: HoldOutLook | None,
    facts: RunFacts,
    *,
    run_id: str,
    reason: str,
    deserves_money: bool,
    finalist_extras: Mapping[str, Any],
    by_symbol: Mapping[str, SymbolEvidence] | None = None,
) -> Registered:
    """Register and promote the crowned learner; without one, the baseline, only where there is no champion yet.

    A champion that was trained on other symbols or on bars of another length keeps its place; the new model is registered
    beside it, and the outcome says that the champion ages. Symbols are others where less than 80 % of those of either are in
    both, so that a coin that is listed or delisted stops no promotion; the promotion's reason names it. While promotions are
    frozen nothing is promoted, and the outcome says so. A run that was killed and is continued finds what it had registered, by
    its ``run_id``, and goes on from there.

    Parameters
    ----------
    models : symbol -> fitted model of the crowned learner, None for all symbols; not looked at where none is crowned. With one
        model a symbol, a symbol that has none gets the baseline.
    cards : of :func:`learner_cards`; what was measured out of fold is taken from there, all else from the fitted model.
    reason : of the promotion, in words. finalist_extras : JSON kept with the crowned model: policy, scale, levels, ...
    by_symbol : with one model a symbol, what was measured of each alone: a model bears its own evidence, and none where nothing
        was measured of it. What was measured of all together (``cards``, the hold-out, ``deserves_money``) is on none of them.
    """
    rows, champion = evidence.development, evidence.champion
    prefix = registered_name(config, prepared)
    shared = {
        # where the run was at home and how it reached its database say nothing about the model
        "config": config.told(),
        "recipe": prepared.recipe.to_json(),
    }
    origin = {
        "run_id": run_id,
        "data_hash": facts.data_hash,
        "config_hash": facts.config_hash,
        "recipe_hash": prepared.recipe.hash,
        "seed": facts.seed,
        "versions": dict(facts.versions),
        "simulated": prepared.source.truth is not None,
    }

    def crowned(name: str, model: Any, mine: TrainingSet, symbol: str | None) -> _Kept:
        signature = serving_signature(model, mine, prepared.recipe.hash)
        extras = {**shared, **finalist_extras}
        if symbol is None:
            card = cards[str(champion)]
            metrics, regimes, why = dict(card.performance_metrics), card.regime_evidence, reason
            held_out = (
                {} if look is None else {"hold_out_skill": look.result.skill, "hold_out_net_return": look.result.net_return}
            )
            kept = {**metrics, **_finite(held_out), "deserves_money": float(deserves_money)}
            extras["deserves_money"] = bool(deserves_money)
        else:
            own = (by_symbol or {}).get(symbol, SymbolEvidence())
            metrics, regimes, why = dict(own.metrics), own.regimes, f"{reason} That is of all symbols together; {own.sentence}"
            kept, extras["evidence"] = metrics, own.sentence
            extras |= own.expected
        measured = {"performance_metrics": metrics, "regime_evidence": regimes}
        info = model.model_info().model_copy(update={"signature": signature, **measured})
        provenance = provenance_of(model, mine, origin)
        judged = evidence.judged.get(str(champion))
        scores = {} if judged is None else attached_scores(evidence.plan, judged, symbol=symbol)
        entry = _Entry(name, model, info, "challenger", kept, provenance, extras, mine, config, scores)
        return _keep_crowned(registry, entry, why)

    def baseline(name: str, mine: TrainingSet, why: str) -> _Kept:
        enough = len(mine) >= MIN_TRAIN_ROWS
        learned = mine if enough else rows
        model = fit_baseline(learned, config.seed)
        provenance = provenance_of(model, learned, origin)
        if not enough:  # a constant of all symbols, for one of them
            provenance = provenance.model_copy(update={"symbols": ()})
        signature = serving_signature(model, learned, prepared.recipe.hash)
        info = model.model_info().model_copy(update={"signature": signature})
        extras = {**shared, "deserves_money": False}
        figures = {"deserves_money": 0.0}
        entry = _Entry(name, model, info, "baseline", figures, provenance, extras, learned, config)
        return _keep_baseline(registry, entry, reason, why=why)

    def keep(name: str, symbol: str | None) -> _Kept:
        mine = rows if symbol is None else rows.of_symbol(symbol)
        if champion is None:
            return baseline(name, mine, "crowned nothing")
        if symbol is None or symbol in models:
            return crowned(name, models[symbol], mine, symbol)
        return baseline(name, mine, f"has no model of {symbol}")

    if config.training.pooling == "pooled":
        return keep(prefix, None).registered
    return _together(prefix, [keep(f"{prefix}.{symbol}", symbol) for symbol in rows.symbols])


@dataclass(frozen=True)
class _Entry:
    """One model with all that is registered of it; it learned from ``rows``. ``scores`` : see :func:`attached_scores`."""

    name: str
    model: Any
    info: ModelInfo
    kind: ModelKind
    metrics: Mapping[str, float]
    provenance: Provenance
    extras: Mapping[str, Any]
    rows: TrainingSet
    config: HuracanConfig
    scores: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class _Kept:
    """``has`` : what there is under the name now, in words."""

    registered: Registered
    has: str


def _keep_crowned(registry: ModelRegistry, entry: _Entry, reason: str) -> _Kept:
    earlier = _of_this_run(registry, entry)
    version = _register(registry, entry) if earlier is None else earlier.version
    label = f"version {version} of '{entry.name}'"
    holder = registry.aliases(entry.name).get(_CHAMPION)
    if holder != version:
        if earlier is not None and _was_promoted(registry, entry.name, version):
            return _challenger(entry, version, f"{label} was champion, and version {holder} has taken its place since")
        before = None if holder is None else registry.get(entry.name, version=holder).provenance
        other = None if before is None else _other_market(before, entry.provenance)
        if before is not None and other is not None:
            logger().warning("the champion was not followed", model=entry.name, version=version, reason=other)
            return _challenger(entry, version, f"{label} is registered as challenger: {other}. {_ages(before)}")
        reason += "" if before is None else _changed_universe(before, entry.provenance)
        try:
            _promote(registry, entry, version, holder, reason, metrics=entry.metrics)
        except PromotionsFrozen as frozen:
            return _held_back(entry, version, f"{label} is registered as challenger", frozen)
        except PromotionConflict:
            return _challenger(
                entry, version, f"{label} is registered as challenger: another run promoted its own at that moment"
            )
    return _Kept(Registered(entry.name, version, True, f"{label} is the new champion"), "a new champion")


def _keep_baseline(registry: ModelRegistry, entry: _Entry, reason: str, *, why: str) -> _Kept:
    earlier = _of_this_run(registry, entry)
    version = None if earlier is None else earlier.version
    holder = registry.aliases(entry.name).get(_CHAMPION) if entry.name in registry.names() else None
    if holder is None:
        version = _register(registry, entry) if version is None else version
        try:
            _promote(registry, entry, version, None, reason)
            holder = version
        except PromotionsFrozen as frozen:
            return _held_back(entry, version, f"version {version} of '{entry.name}', the baseline, is registered", frozen)
        except PromotionConflict:
            holder = registry.aliases(entry.name).get(_CHAMPION)
    if holder == version:
        sentence = f"version {version} of '{entry.name}', the baseline, is champion until a run crowns a learner"
        return _Kept(Registered(entry.name, version, True, sentence), "the baseline")
    return _Kept(
        Registered(None, None, False, f"the earlier champion (version {holder}) stays: this run {why}"), "an earlier champion"
    )


def _promote(
    registry: ModelRegistry,
    entry: _Entry,
    version: int,
    holder: int | None,
    reason: str,
    *,
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Make a version champion in the place of who holds the alias, unless promotions of its name are frozen."""
    switch = Switch(registry.database, entry.name, entry.config.home)
    said: dict[str, Any] = {"expected": holder, "reason": reason, "metrics": metrics}
    registry.promote(entry.name, version, alias=_CHAMPION, require=switch.require, **said)


def _held_back(entry: _Entry, version: int, what: str, frozen: PromotionsFrozen) -> _Kept:
    """What was registered and is not champion, since a person has frozen promotions; that may be undone by hand."""
    why = str(frozen).rstrip(".")
    logger().warning("promotions are frozen", model=entry.name, version=version, reason=why)
    sentence = f"{what} and was not promoted: {why}"
    return _Kept(Registered(entry.name, version, False, sentence), "a model that was not promoted, since promotions are frozen")


def _challenger(entry: _Entry, version: int, sentence: str) -> _Kept:
    return _Kept(Registered(entry.name, version, False, sentence), "a challenger beside an earlier champion")


def _register(registry: ModelRegistry, entry: _Entry) -> int:
    return registry.register(
        entry.model,
        entry.info,
        name=entry.name,
        metrics=entry.metrics,
        provenance=entry.provenance,
        kind=entry.kind,
        extras=entry.extras,
        attachments={**attached_files(entry.config, entry.model, entry.rows), **entry.scores},
        probe=probe_rows(entry.model, entry.rows),
    )


def _of_this_run(registry: ModelRegistry, entry: _Entry) -> ModelVersion | None:
    """What the same run registered before it was killed."""
    found = registry.find(name=entry.name, run_id=entry.provenance.run_id, stage=None) if entry.provenance.run_id else []
    return registry.get(entry.name, version=found[-1].version) if found else None


def _was_promoted(registry: ModelRegistry, name: str, version: int) -> bool:
    moves = registry.history(name).filter(action="promote", alias=_CHAMPION)
    return version in moves["to_version"].to_list()


def _together(prefix: str, kept: Sequence[_Kept]) -> Registered:
    """One outcome of several, one a symbol."""
    each = [one.registered for one in kept]
    versions = [one.version for one in each if one.version is not None]
    counts = Counter(one.has for one in kept)
    listed = ", ".join(f"{number} {'has' if number == 1 else 'have'} {what}" for what, number in counts.items())
    sentence = f"of {len(each)} symbols, each under '{prefix}.<symbol>', {listed}"
    return Registered(
        prefix if versions else None, versions[-1] if versions else None, all(one.promoted for one in each), sentence
    )


def retain_after_run(registry: ModelRegistry, config: HuracanConfig) -> RetentionReport | None:
    """Let versions go as ``registry.retention`` says, where it says that a run does so; ``None`` where it does not."""
    kept = config.registry.retention
    if not kept.after_run:
        return None
    report = registry.retain(RetentionPolicy(keep_last=kept.keep_last, keep_days=kept.keep_days))
    registry.collect()
    logger().info("old versions gave up their files", removed=len(report.removed), kept=report.kept)
    return report


def provenance_of(model: Any, rows: TrainingSet, origin: Mapping[str, Any]) -> Provenance:
    """Where a model comes from; ``trained_until`` is the moment the last of its labels was known."""
    used = rows.most_recent(model.model_info().max_train_rows)
    there = np.unique(used.symbol_code)
    return Provenance.model_validate(
        {
            **origin,
            "n_rows": int(getattr(model, "n_train_rows_", len(used))),
            "symbols": tuple(used.symbols[code] for code in there),
            "trained_from": _moment(used.ts[0]),
            "trained_until": _moment(used.label_end.max()),
            "bar_length_ms": _milliseconds(used.bar_length),
        }
    )


def _other_market(champion: Provenance, new: Provenance) -> str | None:
    """How the champion's candles differ from these in kind; None where they do not, or it does not say."""
    theirs, mine = set(champion.symbols), set(new.symbols)
    if theirs and len(theirs & mine) < _SAME_MARKET * len(theirs | mine):
        return (
            f"the champion was trained on {_listed(champion.symbols)}, these candles are {_listed(new.symbols)}, and less than "
            f"{_SAME_MARKET:.0%} of all these symbols are in both"
        )
    bars = [(one.model_extra or {}).get("bar_length_ms") for one in (champion, new)]
    if bars[0] is not None and bars[0] != bars[1]:
        return f"the champion was trained on bars of {_length(bars[0])}, these are bars of {_length(bars[1])}"
    return None


def _ages(champion: Provenance) -> str:
    """What follows where a champion stays: it is not trained again by such runs."""
    until = champion.trained_until
    known = "" if until is None else f" knows nothing after {until:%Y-%m-%d},"
    return f"The champion{known} stays and ages; promote this one by hand where it is to follow"


def _changed_universe(champion: Provenance, new: Provenance) -> str:
    """Symbols that a new champion knows and the one before did not, and the other way round; empty where there are none."""
    theirs, mine = (dict.fromkeys(one.symbols) for one in (champion, new))
    came = [symbol for symbol in mine if symbol not in theirs] if theirs else []
    went = [symbol for symbol in theirs if symbol not in mine] if mine else []
    told = [f"{what} {_listed(some)}" for what, some in (("it learned from", came), ("and no longer from", went)) if some]
    return f" Beside the symbols of the champion before {' '.join(told)}." if told else ""


def _listed(symbols: Sequence[str]) -> str:
    shown = ", ".join(symbols[:3])
    return shown if len(symbols) <= 3 else f"{shown} and {len(symbols) - 3} more"


def _length(milliseconds: Any) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if int(milliseconds) % size == 0)
    return f"{int(milliseconds) // size} {unit}"


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}


def _milliseconds(length: np.timedelta64) -> int:
    return int(length / np.timedelta64(1, "ms"))


def _moment(time: np.datetime64) -> datetime:
    return datetime.fromtimestamp(time.astype("datetime64[ms]").astype(np.int64) / 1000, tz=UTC)
