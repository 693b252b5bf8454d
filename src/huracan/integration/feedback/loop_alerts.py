"""Alerts of the loop around the turns: of the clock, and of turns that cannot be finished."""

from __future__ import annotations

from collections.abc import Mapping

from huracan.errors import HuracanError
from huracan.integration.feedback.alerting import settle_alerts
from huracan.integration.feedback.turn import Works
from huracan.logs import logger
from huracan.market.schema import written_time
from huracan.mlops.alerts import AlertLevel

__all__ = ["settle_clock", "settle_failure"]


def settle_clock(works: Works, last: int | None, until: int, *, ahead: str, doubt: str = "", tick: int) -> None:
    """Alerts of a clock that is far ahead of all candles, or behind what was done; they end when it is right again.

    Parameters
    ----------
    last, until : of the newest turn that is finished, and of the one that the clock asks for, milliseconds UTC. ahead : why the
        clock is not believed; empty where it is. doubt : why it is believed with doubt.
    """
    now = {}
    if ahead:
        now["ahead"] = (AlertLevel.ERROR, f"{ahead}.")
    elif last is not None and until < last // works.feed.bar * works.feed.bar:
        said = f"the clock says {written_time(until)}, and the turn of {written_time(last)} is finished: it was put back."
        now["behind"] = (AlertLevel.WARNING, said)
    elif doubt:
        now["ahead"] = (AlertLevel.WARNING, f"{doubt}.")
    _settle(works, "clock", now, tick)


def settle_failure(works: Works, why: str, *, tick: int) -> None:
    """An alert that holds until a turn is finished, ``why`` being empty; where the database is gone, the log has it."""
    try:
        _settle(works, "turn", {"failed": (AlertLevel.ERROR, f"the turn was not finished: {why}")} if why else {}, tick)
    except HuracanError as error:
        logger().warning("an alert could not be kept", mechanic=works.name, reason=str(error))


def _settle(works: Works, kind: str, now: Mapping[str, tuple[AlertLevel, str]], tick: int) -> None:
    """Keep and send them; nothing is written where nothing holds or held."""
    alerts, database = works.alerts, works.database
    held = [one for one in database.read(alerts.holding) if one.id.startswith(f"{kind}:")]
    if now or held:
        database.run(lambda connection: settle_alerts(connection, alerts, kind, now, tick=tick))
        alerts.send(database, tick=tick)
