"""Stage 3: what came of what was said, each once; and what that says of champions, challengers and trials."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import sqlalchemy as sa

from huracan.accounting import CostModel
from huracan.config import HuracanConfig
from huracan.integration.feedback.comparing import compare
from huracan.integration.feedback.evidence_log import put_evidence
from huracan.integration.feedback.scoring_outcomes import Rubric, outcomes_of
from huracan.integration.feedback.tick_log import Write, last_tick
from huracan.integration.feedback.turn import Turn
from huracan.integration.feedback.watching import watch
from huracan.registry.statements import Statement
from huracan.serving.placing import DOES_NOT_FIT
from huracan.serving.served import Served
from huracan.storage.feedback_tables import live_predictions
from huracan.storage.tables import model_versions

__all__ = ["longest_wait", "score_outcomes"]

_P, _V = live_predictions.c, model_versions.c
_LATELY = Statement(
    sa.select(_V.version, _V.id)
    .where(
        _V.name == sa.bindparam("of", type_=sa.Text),
        _V.id.in_(sa.select(_P.version_id).where(_P.tick >= sa.bindparam("since", type_=sa.BigInteger))),
    )
    .order_by(_V.version)
)


def score_outcomes(turn: Turn) -> Write | None:
    """Score every prediction whose label is known by now, and wait no longer for those that are due for too long.

    What champions and challengers are held against counts each moment once, in the same transaction as its outcomes.
    """
    works = turn.works
    labels, waited = works.config.labels, longest_wait(works.config, turn.bar)
    before = last_tick(works.database, works.name)
    since = (turn.tick if before is None else before[0]) - 2 * waited  # after an absence what was said before it waits, too
    costs = CostModel(**works.config.costs.model_dump())
    lately = works.database.read(lambda connection: _LATELY(connection, of=works.name, since=since))
    rows, overdue = [], []
    with works.database.reading() as connection:
        for found in lately:
            pending = works.store.pending(connection, int(found.id), turn.tick, since=since)
            pending = pending.filter(pl.col("symbol").is_in(turn.symbols))
            if pending.is_empty():
                continue
            if int(pending["ts"].min()) < turn.tick - waited:  # type: ignore[arg-type]
                overdue.append(int(found.id))
            served = _served(turn, int(found.version))
            if served is not None:
                rubric = Rubric.of(served, costs, labels)
                rows.append(outcomes_of(connection, rubric, pending, turn.features, until=turn.tick, tick=turn.tick))
    came = pl.concat(rows) if rows else None
    if (came is None or came.is_empty()) and not overdue:
        return None
    return _write(turn, came, overdue, turn.tick - waited, since)


def longest_wait(config: HuracanConfig, bar: int) -> int:
    """For how many milliseconds an outcome is waited for."""
    return (config.labels.horizon + 2 + config.mechanic.patience_bars) * bar


def _write(turn: Turn, came: pl.DataFrame | None, overdue: Sequence[int], before: int, since: int) -> Write:
    works = turn.works

    def write(connection: sa.Connection) -> None:
        if came is not None and not came.is_empty():
            received = works.store.known(connection, came)
            put_evidence(connection, works.name, turn.tick, received.evidence(works.name, turn.tick))
            known = received.known.filter(pl.col("state") == "known")
            watch(connection, turn, known)
            compare(connection, turn, known)
        for version_id in overdue:
            works.store.give_up(connection, version_id, before, tick=turn.tick, since=since)

    return write


def _served(turn: Turn, version: int) -> Served | None:
    """What a version is scored by; None where it cannot be loaded: its predictions wait, and are given up in the end."""
    try:
        return turn.works.bench.served(version)
    except DOES_NOT_FIT:
        return None
