"""Alerts of one kind as they are at a turn: those that hold are raised, those that did and do no longer end."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from huracan.mlops.alerts import AlertLevel, Alerts
from huracan.storage import Database

__all__ = ["holds", "settle_alerts"]


def holds(database: Database, alerts: Alerts, kind: str) -> bool:
    """Whether an alert holds whose id begins with ``kind``."""
    return any(one.id.startswith(f"{kind}:") for one in database.read(alerts.holding))


def settle_alerts(
    connection: sa.Connection, alerts: Alerts, kind: str, now: Mapping[str, tuple[AlertLevel, str]], *, tick: int
) -> None:
    """Raise what holds now, and end what held before, of the alerts whose id begins with ``kind``.

    Parameters
    ----------
    now : what it is about -> level and sentence; its id is ``kind:what``. tick : milliseconds UTC.
    """
    ids = {f"{kind}:{what}": said for what, said in now.items()}
    for one in alerts.holding(connection):
        if one.id.startswith(f"{kind}:") and one.id not in ids:
            alerts.resolve(connection, one.id, tick=tick)
    for id, (level, sentence) in ids.items():
        alerts.raise_(connection, id, level, sentence, tick=tick)
