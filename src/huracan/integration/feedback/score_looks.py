"""What a champion said lately: its scores against those out of fold, its probabilities against what came true."""

from __future__ import annotations

from typing import Any

import polars as pl
import sqlalchemy as sa

from huracan.config.section import milliseconds
from huracan.errors import ArtifactError, DataError, RegistryError
from huracan.integration.feedback.asking import ANSWERED
from huracan.integration.feedback.turn import Turn
from huracan.logs import logger
from huracan.mlops.calibration_drift import detect_calibration_drift
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.prediction_drift import SCORES_FILE, detect_prediction_drift
from huracan.mlops.reference import Reference
from huracan.registry.scopes import Scope
from huracan.registry.statements import Statement
from huracan.serving.served import Served
from huracan.storage.feedback_tables import live_outcomes, live_predictions

__all__ = ["SCORE_KINDS", "look_at_scores"]

SCORE_KINDS = (EvidenceKind.PREDICTION, EvidenceKind.CALIBRATION)
"""What a look at the scores looks for."""

_ALPHA = 0.01
_CALIBRATED_ON = 4
"""Windows of scores that calibration is judged on: hits say less than scores, one by one."""

_P, _O = live_predictions.c, live_outcomes.c
_SAID = Statement(
    sa.select(_P.symbol, _P.ts, _P.regime, _P.score, _P.probability, _O.label)
    .select_from(
        live_predictions.outerjoin(
            live_outcomes, sa.and_(_P.version_id == _O.version_id, _P.symbol == _O.symbol, _P.ts == _O.ts)
        )
    )
    .where(
        _P.version_id == sa.bindparam("version", type_=sa.BigInteger),
        _P.ts >= sa.bindparam("first", type_=sa.BigInteger),
        _P.role == ANSWERED,
    )
    .order_by(_P.ts, _P.symbol)
)
_SCHEMA = {
    "symbol": pl.String,
    "ts": pl.Int64,
    "regime": pl.String,
    **dict.fromkeys(("score", "probability", "label"), pl.Float64),
}


def look_at_scores(turn: Turn, scope: Scope, served: Served) -> list[Evidence]:
    """What the newest window of answers says; nothing where too few are there, or nothing to compare them with was kept."""
    window = milliseconds(turn.works.config.drift.window)
    version_id = turn.works.bench.id_of(served.version.version)
    first = turn.tick - _CALIBRATED_ON * window
    rows = turn.works.database.read(lambda connection: _SAID(connection, version=version_id, first=first))
    said = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    if scope.symbol:
        said = said.filter(pl.col("symbol") == scope.symbol)
    if scope.regime:
        said = said.filter(pl.col("regime") == scope.regime)
    about: dict[str, Any] = {
        "name": turn.works.name,
        "tick": turn.tick,
        "symbol": scope.symbol,
        "regime": scope.regime,
        "version_id": version_id,
    }
    lately = said.filter(pl.col("ts") >= turn.tick - window)
    return [*_scores(turn, served, lately, about), *_hits(said, about)]


def _scores(turn: Turn, served: Served, said: pl.DataFrame, about: dict[str, Any]) -> tuple[Evidence, ...]:
    version = served.version
    try:
        kept = turn.works.registry.attachments(version.name, version.version).get(SCORES_FILE)
        if kept is None:
            return ()
        found = detect_prediction_drift(Reference.from_bytes(kept), said.select("symbol", "ts", "score"), alpha=_ALPHA)
    except (ArtifactError, DataError, RegistryError) as error:
        logger().info("scores were not looked at", mechanic=turn.works.name, version=served.model_id, reason=str(error))
        return ()
    return found.evidence(**about)


def _hits(said: pl.DataFrame, about: dict[str, Any]) -> tuple[Evidence, ...]:
    known = said.drop_nulls(["probability", "label"])
    try:
        found = detect_calibration_drift(
            known["probability"].to_numpy(), (known["label"] > 0).to_numpy(), time=known["ts"].to_numpy(), alpha=_ALPHA
        )
    except DataError:  # too few moments yet, or outcomes that do not vary
        return ()
    return found.evidence(**about)
