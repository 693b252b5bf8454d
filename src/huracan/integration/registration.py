"""What a run leaves in the registry: the champion, or the baseline where there was none before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import polars as pl

from huracan.config import HuracanConfig
from huracan.integration.closing import HoldOutLook, fit_baseline
from huracan.integration.evidence import Evidence, RunFacts
from huracan.integration.preparation import Prepared
from huracan.model_info import FeatureSignature, ModelInfo
from huracan.model_registry import ModelRegistry

__all__ = ["learner_cards", "register_outcome"]


def learner_cards(evidence: Evidence, leaderboard: pl.DataFrame) -> dict[str, ModelInfo]:
    """The card of every learner judged, completed by what was measured out of fold."""
    from huracan.catalogue import build_model

    table = {row["learner"]: row for row in leaderboard.iter_rows(named=True)}
    kept = (
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
    cards = {}
    for name, one in evidence.judged.items():
        info = build_model(name, task="classification" if one.run.task == "classification" else "auto").model_info()
        metrics = {k: float(table[name][k]) for k in kept if table[name][k] is not None}
        skills = evidence.skills_by_regime.get(name, ())
        cards[name] = info.model_copy(update={"performance_metrics": metrics, "regime_evidence": skills})
    return cards


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
) -> int | None:
    """Register and promote the champion; without one, the baseline becomes champion only where there is no champion yet.

    With one model a symbol, each is registered under ``<model_name>.<symbol>``. Returns the version (of the last symbol),
    or None where an earlier champion stays.
    """
    signature = FeatureSignature(columns=prepared.rows.feature_names, recipe_hash=prepared.recipe.hash)
    provenance = {
        "run_id": run_id,
        "data_hash": facts.data_hash,
        "config_hash": facts.config_hash,
        "recipe_hash": prepared.recipe.hash,
        "seed": facts.seed,
        "trained_until": str(evidence.development.decision_time[-1]),
    }
    extras: dict[str, Any] = {"recipe": prepared.recipe.to_json(), "config": config.model_dump(mode="json")}
    kind: Literal["challenger", "baseline"] = "challenger" if evidence.champion else "baseline"
    if evidence.champion is not None:
        judged = evidence.judged[evidence.champion]
        extras |= {"policy": judged.policy.to_dict(), "scale": vars(judged.scale)}
        info, chosen = cards[evidence.champion], models
    else:
        baseline = fit_baseline(evidence.development, config.seed)
        info, chosen = baseline.model_info(), {None: baseline}
    info = info.model_copy(update={"signature": signature})
    metrics = dict(info.performance_metrics)
    if look is not None and evidence.champion is not None:
        metrics |= {"hold_out_skill": look.result.skill, "hold_out_net_return": look.result.net_return}
    version = None
    for symbol, model in chosen.items():
        name = config.registry.model_name if symbol is None else f"{config.registry.model_name}.{symbol}"
        holder = registry.aliases(name).get("champion") if name in registry.names() else None
        if evidence.champion is None and holder is not None:
            continue
        version = registry.register(model, info, name=name, metrics=metrics, provenance=provenance, kind=kind, extras=extras)
        registry.promote(name, version, alias="champion", expected=holder, reason=reason)
    return version
