"""The last stages of a run: did the data drift, should the champion be trained again, and how does it live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa

from huracan.config import HuracanConfig, milliseconds
from huracan.dataset import TrainingSet
from huracan.errors import NotEnoughData
from huracan.integration.champion_scores import scores_since
from huracan.integration.lived_evidence import lived_evidence
from huracan.integration.results import NotRun, not_run
from huracan.mlops.drift_detector import DriftDetector
from huracan.mlops.drift_report import DriftReport
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.performance import PerformanceStore
from huracan.mlops.policy_history import PolicyHistory, time_text
from huracan.mlops.retraining import RetrainPolicy
from huracan.model_registry import ModelRegistry
from huracan.registry import ModelVersion
from huracan.storage.feedback_tables import live_buckets

__all__ = ["detected", "drift_detector", "drift_evidence", "drift_stages", "in_ms", "newest_stretch", "told_since"]

_CHAMPION = "champion"


def drift_detector(config: HuracanConfig) -> DriftDetector:
    """The detector that ``drift`` of the configuration asks for, not fitted yet."""
    drift = config.drift
    return DriftDetector(
        alpha=drift.alpha,
        correction=drift.correction,
        dependence=drift.dependence,
        n_cosines=drift.n_cosines,
        multivariate=drift.multivariate,
    )


def newest_stretch(rows: TrainingSet, duration: str) -> TrainingSet:
    """The rows of the last ``duration`` (``7d``), without a hole cut into time.

    Examples
    --------
    >>> hours = np.datetime64("2026-01-01") + np.arange(100) * np.timedelta64(1, "h")
    >>> rows = TrainingSet.from_arrays(np.zeros((100, 1)), np.zeros(100), ts=hours)
    >>> len(newest_stretch(rows, "2d"))
    48
    """
    if not len(rows):
        return rows
    begin = rows.decision_time[-1] - np.timedelta64(milliseconds(duration), "ms")
    return rows.take(slice(int(np.searchsorted(rows.decision_time, begin, side="right")), None))


def drift_stages(config: HuracanConfig, registry: ModelRegistry, name: str, rows: TrainingSet, split: int) -> dict[str, Any]:
    """``drift_detection``, ``should_retrain`` and ``feedback`` of a run on candles.

    The newest ``drift.window`` of all rows is held against the newest ``drift.reference`` of the rows before it that models
    were trained on. Whether to retrain is asked about who is champion now, by ``retrain`` of the configuration: drift of
    features, and of its scores since it was trained, is looked for this once; what its outcomes and a Mechanic say of it is
    read from the database, with the looks that a Mechanic counted, the retrainings it asked for, and the challenger it is at
    work on. ``looked_at`` says what was seen of each.

    Parameters
    ----------
    name : that the run registers under. rows : with features, in order of time, labelled or not. split : how many of them
        could be trained on.
    """
    window = newest_stretch(rows, config.drift.window)
    before = min(split, len(rows) - len(window))
    found = detected(config, newest_stretch(rows.take(slice(0, before)), config.drift.reference), window)
    held = _held(registry, name)
    if held is None:
        none = not_run(f"nobody is champion of '{name}'")
        return {"drift_detection": found, "should_retrain": none, "feedback": none}
    tick, trained = in_ms(rows.decision_time[-1]), held.provenance.trained_until
    known = rows.label_end[rows.labelled]
    lived = lived_evidence(registry.database, held, tick=tick)
    evidence = () if isinstance(found, NotRun) else drift_evidence(found, name=name, tick=tick, version_id=lived.version_id)
    scores, said = scores_since(registry, held, window, tick=tick, version_id=lived.version_id)
    evidence += scores
    history = PolicyHistory(
        bar=in_ms(rows.bar_length),
        trained_until=None if trained is None else round(trained.timestamp() * 1_000),
        labelled_until=in_ms(known.max()) if len(known) else None,
        version_id=lived.version_id,
        last_change=lived.last_change,
        requests=lived.requests,
        looks=lived.looks,
        under_way=lived.under_way,
        asked_once=lived.asked_once.union(one.kind for one in evidence),
    )
    policy = RetrainPolicy(**config.retrain.in_bars(history.bar))
    decision = policy.decide([*lived.evidence, *evidence], history, tick=tick).to_dict()
    features = found["reason"] if isinstance(found, NotRun) else found.sentence
    asked = {**decision, "looked_at": {"features": features, "scores": said, **lived.looked_at}}
    return {"drift_detection": found, "should_retrain": asked, "feedback": _lived(registry, held, lived.version_id)}


def drift_evidence(report: DriftReport, *, name: str, tick: int, version_id: int | None = None) -> tuple[Evidence, ...]:
    """What a drift report says of a model: columns each for itself, all together, columns that are gone.

    Returns
    -------
    Evidence of kind ``data``, ``joint`` and ``columns``, as far as there is any.
    """
    found = []
    shared: dict[str, Any] = {"name": name, "tick": tick, "version_id": version_id}
    moved = [column for column in report.columns if column.drifted and column.feature not in report.missing]
    if moved and report.share >= report.min_share:
        least = min((column.q_value for column in moved if column.q_value is not None), default=None)
        found.append(Evidence.of(EvidenceKind.DATA, report.sentence, q_value=least, **shared))
    if report.joint is not None and report.joint.drifted:
        sentence = f"all columns together are distributed unlike the reference, most in {report.joint.where}."
        found.append(
            Evidence.of(EvidenceKind.JOINT, sentence, p_value=report.joint.p_value, q_value=report.joint.q_value, **shared)
        )
    if report.missing:
        found.append(
            Evidence.of(EvidenceKind.COLUMNS, f"columns are missing: {', '.join(report.missing)}.", strong=True, **shared)
        )
    return tuple(found)


def told_since(stages: Mapping[str, Any]) -> dict[str, str]:
    """The three stages in sentences, for a report, with what the question about retraining looked at."""
    drift, decision, lived = (stages[name] for name in ("drift_detection", "should_retrain", "feedback"))
    return {
        "drift of features": drift.sentence if isinstance(drift, DriftReport) else drift["reason"],
        "should the champion be trained again": decision["reason"],
        **{f"{what}, for that question": said for what, said in decision.get("looked_at", {}).items() if what != "features"},
        "lived so far": lived["reason"] if isinstance(lived, NotRun) else lived["sentence"],
    }


def detected(config: HuracanConfig, reference: TrainingSet, window: TrainingSet) -> DriftReport | NotRun:
    """A window held against a reference under ``drift`` of the configuration, or which of the two is too short."""
    try:
        return drift_detector(config).fit(reference).detect(window)
    except NotEnoughData as error:
        return not_run(str(error))


def _held(registry: ModelRegistry, name: str) -> ModelVersion | None:
    if name not in registry.names():
        return None
    holder = registry.aliases(name).get(_CHAMPION)
    return None if holder is None else registry.get(name, version=holder)


def _lived(registry: ModelRegistry, held: ModelVersion, version_id: int) -> Mapping[str, Any]:
    """What outcomes have said of a version since a Mechanic lets it live."""
    sums = live_buckets.c
    query = sa.select(sa.func.sum(sums.n), sa.func.sum(sums.payoff), sa.func.sum(sums.net), sa.func.min(sums.bucket)).where(
        sums.version_id == version_id
    )
    n, payoff, net, first = registry.database.read(lambda connection: connection.execute(query).one())
    who = f"version {held.version} of '{held.name}'"
    if not n:
        return not_run(f"no outcome of {who} is known yet; huracan mechanic looks after it")
    store = PerformanceStore(registry.database, held.name)
    bot = store.account()
    said = f"{who} has lived through {n:,} outcomes since {time_text(first)} UTC: mean payoff {payoff / n:+.4f}"
    return {
        "model": held.name,
        "version": held.version,
        "outcomes": int(n),
        "mean_payoff": payoff / n,
        "net_return": net,
        "since": first,
        "against_backtest": store.against_backtest(version_id),
        "bot": bot.to_dict(),
        "sentence": " ".join([f"{said}, {net:+.2%} net of costs, summed over symbols.", *bot.sentences]),
    }


def in_ms(time: Any) -> int:
    """A time, or a length of time, as whole milliseconds."""
    found = np.asarray(time)
    return int(found.astype(f"{found.dtype.kind}8[ms]").astype(np.int64))
