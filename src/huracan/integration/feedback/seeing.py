"""Stage 4: what speaks about each champion now: its payoffs against what they promised, its features against its reference."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from huracan.integration.feedback.alerting import holds, settle_alerts
from huracan.integration.feedback.aliases import CHAMPION
from huracan.integration.feedback.drift_looks import DRIFT_KINDS, drift_is_due, drift_key, look_for_drift
from huracan.integration.feedback.evidence_log import put_evidence
from huracan.integration.feedback.loop_state import put_state
from huracan.integration.feedback.score_looks import SCORE_KINDS, look_at_scores
from huracan.integration.feedback.tick_log import Write
from huracan.integration.feedback.turn import Turn
from huracan.integration.feedback.watching import monitor_of
from huracan.mlops.alerts import AlertLevel
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.policy_history import looks_in_a_row
from huracan.registry.scopes import Scope
from huracan.serving.served import Served

__all__ = ["LOOKS", "looks_key", "see"]

LOOKS = "looks"
"""Beginning of the keys under which is kept how many looks in a row saw each kind of evidence, by scope and champion."""
_ALARM, _WEEK = "skill", 7 * 86_400_000
"""What lost its skill may be without it for months: once a week is often enough to hear of it."""
_SKILL = (EvidenceKind.SKILL_FALL, EvidenceKind.NO_SKILL)


def looks_key(scope: Scope) -> str:
    """Under which the looks at a scope's champion are counted."""
    return f"{LOOKS}:{scope.written(CHAMPION)}"


def see(turn: Turn) -> Write | None:
    """Look at every champion that can answer; what is seen, and how often in a row, is kept."""
    works, lineup, state = turn.works, turn.lineup, turn.state()
    seen: list[Evidence] = []
    counted: dict[str, Any] = {}
    alarms: dict[str, tuple[AlertLevel, str]] = {}
    for scope, version in lineup.able.items():
        served = lineup.served.get(version)
        if served is None or served.baseline:
            continue
        found = list(_skill(turn, state, scope, served))
        for one in found:  # what is none has fallen, too, and is worse
            if one.kind is EvidenceKind.NO_SKILL or scope.written(CHAMPION) not in alarms:
                level = AlertLevel.ERROR if one.kind is EvidenceKind.NO_SKILL else AlertLevel.WARNING
                alarms[scope.written(CHAMPION)] = (level, one.sentence)
        looked_for = list(_SKILL)
        if drift_is_due(turn, state, scope, served):
            found += [*look_for_drift(turn, scope, served), *look_at_scores(turn, scope, served)]
            looked_for += [*DRIFT_KINDS, *SCORE_KINDS]
            counted[drift_key(scope)] = {"version": version, "tick": turn.tick}
        seen += found
        before = state.get(looks_key(scope), {"version": version, "counts": {}})
        counts = before["counts"] if before["version"] == version else {}
        now = looks_in_a_row({EvidenceKind(kind): n for kind, n in counts.items()}, found, looked_for=looked_for)
        told = {"version": version, "counts": {str(kind): n for kind, n in now.items()}}
        if told != before:
            counted[looks_key(scope)] = told
    if not seen and not counted and not holds(works.database, works.alerts, _ALARM):
        return None

    def write(connection: sa.Connection) -> None:
        put_evidence(connection, works.name, turn.tick, seen)
        put_state(connection, works.name, counted, turn.tick)
        settle_alerts(connection, works.alerts, _ALARM, alarms, tick=turn.tick, again=_WEEK)

    return write


def _skill(turn: Turn, state: Any, scope: Scope, served: Served) -> tuple[Evidence, ...]:
    """What the payoffs of a champion say."""
    monitor = monitor_of(state, scope, served)
    return monitor.evidence(
        name=turn.works.name,
        tick=turn.tick,
        symbol=scope.symbol,
        regime=scope.regime,
        version_id=turn.works.bench.id_of(served.version.version),
    )
