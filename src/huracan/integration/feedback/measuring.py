"""What a turn did, for Prometheus."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from huracan.integration.feedback.challenger_log import challengers_in
from huracan.integration.feedback.evidence_log import evidence_at
from huracan.integration.feedback.mechanic_report import MechanicReport
from huracan.integration.feedback.turn import Turn
from huracan.mlops.alerts import AlertLevel
from huracan.mlops.metrics import Metric
from huracan.registry.statements import Statement
from huracan.storage.feedback_tables import live_predictions, policy_decisions

__all__ = ["measure"]

_P, _D = live_predictions.c, policy_decisions.c
_SAID = Statement(
    sa.select(_P.symbol, _P.role, sa.func.count().label("n"))
    .where(_P.tick == sa.bindparam("at", type_=sa.BigInteger))
    .group_by(_P.symbol, _P.role)
)
_DECIDED = Statement(
    sa.select(_D.decision).where(
        _D.name == sa.bindparam("of", type_=sa.Text), _D.tick == sa.bindparam("at", type_=sa.BigInteger)
    )
)


def measure(turn: Turn, report: MechanicReport) -> None:
    """Count what a finished turn has left; nothing is read where nobody measures."""
    works = turn.works
    metrics = works.metrics
    if not metrics.kept:
        return
    name, tick = works.name, turn.tick
    with works.database.reading(one_moment=True) as connection:
        said, decided = _SAID(connection, at=tick), _DECIDED(connection, of=name, at=tick)
        seen = evidence_at(connection, name, tick)
        states = Counter(str(one.state) for one in challengers_in(connection, name))
        alarms = Counter(str(one.level) for one in works.alerts.holding(connection))
    metrics.add(Metric.TICKS, result="finished")
    metrics.set(Metric.LAST_TICK, tick / 1_000.0)
    for state, counts in (("late", report.late), ("revised", report.revised)):
        for symbol, n in counts.items():
            metrics.add(Metric.BARS, n, symbol=symbol, state=state)
    for row in said:
        metrics.add(Metric.PREDICTIONS, row.n, symbol=row.symbol, role=row.role)
    metrics.add(Metric.OUTCOMES, report.outcomes, state="known")
    for one in seen:
        metrics.add(Metric.EVIDENCE, kind=str(one.kind))
    for row in decided:
        metrics.add(Metric.DECISIONS, decision=row.decision)
    for state, n in states.items():
        metrics.set(Metric.CHALLENGERS, n, state=state)
    for level in AlertLevel:
        metrics.set(Metric.ALERTS, alarms[str(level)], level=str(level))
    metrics.set(Metric.LEASE_HELD, 1.0)
    metrics.set(Metric.FROZEN, float(bool(report.frozen)))
