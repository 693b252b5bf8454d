"""Alerts of one kind as they are at a turn: those that hold are raised, those that did and do no longer end."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from huracan.mlops.alerts import AlertLevel, Alerts
from huracan.registry.statements import Statement
from huracan.storage import Database
from huracan.storage.feedback_tables import alerts as table

__all__ = ["holds", "settle_alerts"]

_C = table.c
_HOLDING = Statement(sa.select(_C.id).where(_C.name == sa.bindparam("of", type_=sa.Text), _C.resolved_tick.is_(None)))


def holds(database: Database, alerts: Alerts, kind: str) -> bool:
    """Whether an alert holds whose id begins with ``kind``."""
    return any(row.id.startswith(f"{kind}:") for row in database.read(lambda connection: _HOLDING(connection, of=alerts.name)))


def settle_alerts(
    connection: sa.Connection,
    alerts: Alerts,
    kind: str,
    now: Mapping[str, tuple[AlertLevel, str]],
    *,
    tick: int,
    again: int = 0,
) -> None:
    """Raise what holds now, and end what held before, of the alerts whose id begins with ``kind``.

    Parameters
    ----------
    now : what it is about -> level and sentence; its id is ``kind:what``. tick : milliseconds UTC.
    again : milliseconds before what held already, and is not more urgent by now, is raised again.
    """
    ids = {f"{kind}:{what}": said for what, said in now.items()}
    held = {one.id: one for one in alerts.holding(connection) if one.id.startswith(f"{kind}:")}
    for id in sorted(set(held) - set(ids)):
        alerts.resolve(connection, id, tick=tick)
    levels = list(AlertLevel)
    for id, (level, sentence) in ids.items():
        before = held.get(id)
        if before is None or tick - before.last_tick >= again or levels.index(level) > levels.index(before.level):
            alerts.raise_(connection, id, level, sentence, tick=tick)
