"""The features of a champion's newest bars, held against the reference that was kept with it, as often as is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from huracan.config.section import milliseconds
from huracan.errors import ArtifactError, DataError, RegistryError
from huracan.integration.feedback.aliases import CHAMPION
from huracan.integration.feedback.turn import Turn
from huracan.logs import logger
from huracan.mlops.drift_detector import DriftDetector
from huracan.mlops.drift_report import DriftReport
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.metrics import Metric
from huracan.mlops.reference import REFERENCE_FILE, Reference
from huracan.registry.scopes import Scope
from huracan.serving.served import Served
from huracan.storage import from_json

__all__ = ["DRIFT_KINDS", "drift_is_due", "drift_key", "look_for_drift"]

DRIFT_KINDS = (EvidenceKind.DATA, EvidenceKind.JOINT, EvidenceKind.COLUMNS)
"""What a look at the features looks for."""


def drift_key(scope: Scope) -> str:
    """Under which is kept when the features of a scope's champion were last looked at."""
    return f"drift_looked:{scope.written(CHAMPION)}"


def drift_is_due(turn: Turn, state: Mapping[str, Any], scope: Scope, served: Served) -> bool:
    """Whether it is time for a look; the first comes a whole window after the last label that the champion learned from."""
    config = turn.works.config.drift
    last = state.get(drift_key(scope))
    if last is not None and last["version"] == served.version.version:
        return turn.tick - int(last["tick"]) >= milliseconds(config.check_every)
    return turn.tick - served.learned_until >= milliseconds(config.window)


def look_for_drift(turn: Turn, scope: Scope, served: Served) -> list[Evidence]:
    """What the newest window says; nothing where the champion has no reference, or one that does not fit."""
    detector = _detector(turn, served)
    if detector is None or served.recipe is None:
        return []
    try:
        report = detector.detect(_window(turn, scope, served), recipe_hash=served.recipe.hash)
    except DataError as error:
        logger().info("features were not looked at", mechanic=turn.works.name, version=served.model_id, reason=str(error))
        return []
    turn.works.metrics.set(Metric.DRIFT_SHARE, report.share, symbol=scope.symbol)
    return _evidence(turn, scope, served, report) if report.drifted else []


def _detector(turn: Turn, served: Served) -> DriftDetector | None:
    config, version = turn.works.config.drift, served.version
    try:
        kept = turn.works.registry.attachments(version.name, version.version).get(REFERENCE_FILE)
        if kept is None:
            return None
        reference = Reference.from_bytes(kept)
        return DriftDetector.from_reference(
            reference,
            alpha=config.alpha,
            correction=config.correction,
            dependence=config.dependence if reference.n_cosines else "independent",
            multivariate=config.multivariate,
        )
    except (ArtifactError, DataError, RegistryError) as error:
        logger().warning("a reference cannot be used", mechanic=turn.works.name, version=served.model_id, reason=str(error))
        return None


def _window(turn: Turn, scope: Scope, served: Served) -> pl.DataFrame:
    """Rows of features of the symbols that the champion answers for."""
    assert served.recipe is not None  # looked at by the caller
    symbols = [symbol for symbol in turn.lineup.symbols_of(served.version.version) if scope.symbol in ("", symbol)]
    first = turn.tick - milliseconds(turn.works.config.drift.window)
    rows = turn.features.at(served.recipe, symbols, first, turn.tick, volatility_span=served.volatility_span)
    whose = pl.Series("symbol", [rows.symbols[code] for code in rows.code.tolist()], dtype=pl.String)
    frame = pl.DataFrame(rows.X, schema=list(rows.columns), orient="row")
    return frame.select(whose, pl.Series("ts", rows.ts), pl.all())


def _evidence(turn: Turn, scope: Scope, served: Served, report: DriftReport) -> list[Evidence]:
    about: dict[str, Any] = {
        "name": turn.works.name,
        "tick": turn.tick,
        "symbol": scope.symbol,
        "regime": scope.regime,
        "version_id": turn.works.bench.id_of(served.version.version),
        "since": turn.tick - milliseconds(turn.works.config.drift.window),
    }
    said = f"features of {served.model_id}: {report.sentence}"
    found = []
    if report.drifted_features and report.share >= report.min_share:
        worst = report.column(report.drifted_features[0])
        figures: dict[str, Any] = {"statistic": worst.statistic, "p_value": worst.p_value, "q_value": worst.q_value}
        found.append(Evidence.of(EvidenceKind.DATA, said, strong=True, **figures, **about, details=from_json(report.to_json())))
    if report.joint is not None and report.joint.drifted:
        together = report.joint
        joint: dict[str, Any] = {"p_value": together.p_value, "q_value": together.q_value, "details": {"where": together.where}}
        found.append(Evidence.of(EvidenceKind.JOINT, said, strong=True, **joint, **about))
    if report.missing:
        lacking: dict[str, Any] = {"details": {"missing": list(report.missing), "renamed": dict(report.renamed)}}
        found.append(Evidence.of(EvidenceKind.COLUMNS, said, strong=True, **lacking, **about))
    return found
