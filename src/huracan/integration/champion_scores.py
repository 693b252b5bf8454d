"""Scores of a champion on bars it did not learn from, held against those it gave out of fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from huracan.dataset import TrainingSet
from huracan.mlops.evidence import Evidence
from huracan.mlops.prediction_drift import SCORES_FILE, detect_prediction_drift
from huracan.mlops.reference import Reference
from huracan.model_registry import ModelRegistry
from huracan.registry import ModelVersion
from huracan.serving.batch import answered_rows
from huracan.serving.placing import DOES_NOT_FIT
from huracan.serving.served import load_served

__all__ = ["scores_since"]


def scores_since(
    registry: ModelRegistry, held: ModelVersion, rows: TrainingSet, *, tick: int, version_id: int
) -> tuple[tuple[Evidence, ...], str]:
    """Evidence of kind ``prediction`` where the champion's scores drifted, and what was seen, in a sentence.

    Parameters
    ----------
    rows : the window, with what lies before it, in order of time; those from the champion's last label on are scored.
    tick, version_id : as of :class:`huracan.mlops.Evidence`.
    """
    who = f"version {held.version} of '{held.name}'"
    trained = held.provenance.trained_until
    try:
        kept = registry.attachments(held.name, held.version).get(SCORES_FILE)
        if kept is None or trained is None:
            return (), f"no scores out of fold were kept with {who}."
        signature = held.info.signature
        if signature is None or tuple(signature.columns) != tuple(rows.feature_names):
            return (), f"{who} reads other features than this run made; its scores were not looked at."
        new = rows.decision_time > np.datetime64(round(trained.timestamp() * 1_000), "ms")
        said = _scored(registry, held, rows).filter(pl.Series(new))
        found = detect_prediction_drift(Reference.from_bytes(kept), said)
    except DOES_NOT_FIT as error:  # what is not served, or too few rows since
        return (), f"the scores of {who} were not looked at: {' '.join(str(error).split())}"
    return found.evidence(name=held.name, tick=tick, version_id=version_id), f"{who}: {found.sentence}"


def _scored(registry: ModelRegistry, held: ModelVersion, rows: TrainingSet) -> pl.DataFrame:
    """``[symbol, ts, score]`` of every row."""
    served = load_served(registry, held, alias=None, generation=0)
    order = np.lexsort((rows.ts, rows.symbol_code))
    volatility = np.full(len(rows), np.nan) if rows.volatility is None else rows.volatility
    facts: dict[str, Any] = {"code": rows.symbol_code[order], "segment": rows.segment[order], "volatility": volatility[order]}
    regime = rows.regime_code[order].astype(np.int64)
    done = answered_rows(served, rows.X[order], rows.symbols, **facts, regime=regime, decision=None, age=None)
    score = np.empty(len(rows))
    score[order] = done.score
    names = np.asarray(rows.symbols, dtype=object)[rows.symbol_code]
    return pl.DataFrame({"symbol": names.tolist(), "ts": rows.ts, "score": score})
