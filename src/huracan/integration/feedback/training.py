"""Stage 6: challengers that were asked for are trained, one after the other; what cannot be trained leaves its reason."""

from __future__ import annotations

import sqlalchemy as sa

from huracan.integration.feedback.aliases import keep_challenger
from huracan.integration.feedback.challenger_log import Challenger, ChallengerState, challengers_in, change_challenger
from huracan.integration.feedback.challengers import Order, Trained, train_challenger
from huracan.integration.feedback.loop_state import put_state, read_state
from huracan.integration.feedback.nobody import in_vain
from huracan.integration.feedback.turn import Turn
from huracan.memory import give_back_freed_memory
from huracan.mlops.alerts import AlertLevel
from huracan.mlops.metrics import Metric

__all__ = ["train"]


def train(turn: Turn) -> None:
    """Train what was asked for; each is kept in a transaction of its own as soon as it is there.

    A training that was killed begins anew, and one that was registered is found by its id. A challenger goes into the shadow
    of the champion from here on; a first champion, which nobody has to be compared with, is to be promoted.
    """
    works = turn.works
    for one in works.database.read(lambda connection: challengers_in(connection, works.name, [ChallengerState.REQUESTED])):
        turn.row.settle()
        order = Order(
            one.id,
            one.name,
            one.kind,
            one.requested,
            parent=None if one.kind == "first" else one.parent_version,
            symbols=(one.symbol,) if one.symbol else turn.symbols,
            train_from=one.rows_from,
        )
        trained = train_challenger(works.registry, works.config, works.candles, order)
        works.metrics.add(Metric.TRAININGS, result="failed" if trained.version is None else "trained")
        if trained.version is not None:
            keep_challenger(works.registry, works.name, trained.version, one.scope)
        _keep(turn, one, trained)
        give_back_freed_memory()  # else what each training freed would stay beside what the next one needs


def _keep(turn: Turn, one: Challenger, trained: Trained) -> None:
    version_id = None if trained.version is None else turn.works.bench.id_of(trained.version)

    def write(connection: sa.Connection) -> None:
        alerts, alarm = turn.works.alerts, f"training:{one.symbol or '*'}/{one.regime or '*'}"
        if trained.version is None:
            values = {"state": ChallengerState.FAILED.value, "reason": trained.reason, "decided": turn.tick}
            change_challenger(connection, one.id, **values)
            alerts.raise_(connection, alarm, AlertLevel.WARNING, f"challenger {one.id}: {trained.reason}", tick=turn.tick)
            if one.kind == "first":
                put_state(connection, one.name, in_vain(read_state(connection, one.name), trained.reason), turn.tick)
            return
        state = ChallengerState.TO_PROMOTE if one.kind == "first" else ChallengerState.SHADOW
        change_challenger(
            connection,
            one.id,
            state=state.value,
            reason=trained.reason,
            version=trained.version,
            version_id=version_id,
            rows_from=trained.rows_from,
            rows_until=trained.rows_until,
            shadow_from=turn.tick,
            expected=dict(trained.expected),
        )
        alerts.resolve(connection, alarm, tick=turn.tick)

    turn.row.keep(write)
