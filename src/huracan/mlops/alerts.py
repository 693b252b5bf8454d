"""``Alerts``: what somebody should know, told once and not again every hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from huracan.errors import DataError
from huracan.logs import logger
from huracan.mlops.alert_channels import Channel, LogChannel, NotSent
from huracan.mlops.policy_history import time_text
from huracan.storage import Database
from huracan.storage.feedback_tables import alerts as table

__all__ = ["Alert", "AlertLevel", "Alerts"]

_SIX_HOURS = 6 * 3_600_000
_MOST_AT_ONCE = 50


class AlertLevel(StrEnum):
    """How urgent it is, least first."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_RANK = {level: rank for rank, level in enumerate(AlertLevel)}


@dataclass(frozen=True)
class Alert:
    """One alert as it stands.

    Attributes
    ----------
    id : what it is about, such as ``artifact:BTC``. level, sentence : of the latest time it was raised.
    first_tick, last_tick : when it was first and last raised; ``count`` ticks raised it. Milliseconds UTC.
    sent_tick : when it was last sent, ``None`` while that is due. resolved_tick : when it ended, ``None`` while it holds.
    """

    id: str
    level: AlertLevel
    sentence: str
    first_tick: int
    last_tick: int
    count: int
    sent_tick: int | None = None
    resolved_tick: int | None = None

    def message(self, name: str) -> dict[str, Any]:
        """What is sent: ``text`` for people, the rest for programs.

        >>> Alert("outage:BTC", AlertLevel.WARNING, "no candle since noon.", 0, 7_200_000, 3).message("btc")["text"]
        'btc: no candle since noon. (3 ticks, since 1970-01-01 00:00)'
        """
        since = "" if self.count == 1 else f" ({self.count} ticks, since {time_text(self.first_tick)})"
        ended = "" if self.resolved_tick is None else "over: "
        state = "raised" if self.resolved_tick is None and self.count == 1 else "holds"
        return {
            "name": name,
            "id": self.id,
            "level": str(self.level),
            "state": state if self.resolved_tick is None else "resolved",
            "text": f"{name}: {ended}{self.sentence}{since}",
            "first": time_text(self.first_tick),
            "last": time_text(self.last_tick),
            "count": self.count,
        }


class Alerts:
    """Alerts of one name in the database, and the channels that tell of them.

    Raising and resolving only write rows, in the transaction of the caller. Sending is apart from it (:meth:`send`): what could
    not be sent stays due and is tried again at the next tick. Between sending and writing that it was sent a process may die:
    then an alert comes twice, never not at all.

    Parameters
    ----------
    name : whose alerts. channels : where they go. repeat : milliseconds after which an alert that still holds is sent again.

    Raises
    ------
    DataError : ``repeat`` is negative.

    Examples
    --------
    >>> database = Database("sqlite://")
    >>> database.upgrade()
    >>> alerts = Alerts("btc")
    >>> hour = 3_600_000
    >>> for tick in (0, hour, 2 * hour):
    ...     with database.transaction() as connection:
    ...         alerts.raise_(connection, "outage:BTC", AlertLevel.WARNING, "no candle of BTC since noon.", tick=tick)
    ...     print(alerts.send(database, tick=tick))
    1
    0
    0
    >>> with database.transaction() as connection:
    ...     alerts.resolve(connection, "outage:BTC", tick=3 * hour)
    >>> alerts.send(database, tick=3 * hour)
    1
    """

    def __init__(self, name: str, channels: Sequence[Channel] | None = None, *, repeat: int = _SIX_HOURS) -> None:
        if repeat < 0:
            raise DataError(f"alerts are to be repeated after {repeat} ms; a time of at least 0 was expected.")
        self.name = name
        self.channels: tuple[Channel, ...] = (LogChannel(),) if channels is None else tuple(channels)
        self.repeat = repeat
        self._told: set[tuple[object, ...]] = set()  # by this process: what a channel has, though others do not

    def raise_(self, connection: sa.Connection, id: str, level: AlertLevel, sentence: str, *, tick: int) -> None:
        """Say that something holds at this tick; raising it twice at a tick is raising it once.

        It is due to be sent when it is new, comes back after its end, becomes more urgent, or was last sent ``repeat`` ago.
        """
        before = self._one(connection, id)
        if before is None or before.resolved_tick is not None:
            new: dict[str, Any] = {"level": level, "sentence": sentence, "first_tick": tick, "last_tick": tick, "count": 1}
            self._write(connection, id, {**new, "sent_tick": None, "resolved_tick": None}, there=before is not None)
            return
        again = before.sent_tick is None or tick - before.sent_tick >= self.repeat or _RANK[level] > _RANK[before.level]
        grown = before.count + (tick > before.last_tick)
        now = {"level": level, "sentence": sentence, "last_tick": max(tick, before.last_tick), "count": grown}
        self._write(connection, id, {**now, "sent_tick": None if again else before.sent_tick}, there=True)

    def resolve(self, connection: sa.Connection, id: str, *, tick: int) -> None:
        """Say that it holds no longer, which is due to be sent too; does nothing where it did not hold."""
        before = self._one(connection, id)
        if before is not None and before.resolved_tick is None:
            self._write(connection, id, {"resolved_tick": tick}, there=True)

    def holding(self, connection: sa.Connection) -> tuple[Alert, ...]:
        """Alerts that hold, most urgent first, then the oldest."""
        found = connection.execute(sa.select(table).where(table.c.name == self.name, table.c.resolved_tick.is_(None)))
        return tuple(sorted(map(_alert, found), key=lambda one: (-_RANK[one.level], one.first_tick, one.id)))

    def due(self, connection: sa.Connection) -> tuple[Alert, ...]:
        """Alerts that are to be sent, the oldest first: never sent since something about them changed, or ended since."""
        unsaid = sa.or_(table.c.sent_tick.is_(None), table.c.sent_tick < table.c.resolved_tick)
        found = connection.execute(sa.select(table).where(table.c.name == self.name, unsaid))
        return tuple(sorted(map(_alert, found), key=lambda one: (one.first_tick, one.id)))

    def send(self, database: Database, *, tick: int) -> int:
        """Send what is due, outside of any transaction, and write what was sent; how many that were.

        A channel that fails is not tried again at this tick, so that a webhook that is down costs one timeout. What it did not
        take stays due, and other channels do not get it again from this process.
        """
        due = database.read(self.due)[:_MOST_AT_ONCE]
        failed: set[int] = set()
        sent = []
        for alert in due:
            message = alert.message(self.name)
            missed = False
            for number, channel in enumerate(self.channels):
                told = (number, alert.id, alert.level, alert.first_tick, alert.resolved_tick)
                if told in self._told:
                    continue
                if number not in failed and self._sent(channel, message):
                    self._told.add(told)
                else:
                    failed.add(number)
                    missed = True
            if not missed:
                sent.append(alert)
        if sent:
            database.run(lambda connection: self._mark(connection, sent, tick))
            gone = {alert.id for alert in sent}
            self._told = {told for told in self._told if told[1] not in gone}
        return len(sent)

    def _sent(self, channel: Channel, message: dict[str, Any]) -> bool:
        try:
            channel.send(message)
        except NotSent as error:
            logger().warning(str(error), alert=message["id"])
            return False
        return True

    def _mark(self, connection: sa.Connection, sent: Sequence[Alert], tick: int) -> None:
        for alert in sent:
            as_it_was = sa.and_(table.c.last_tick == alert.last_tick, table.c.count == alert.count)
            at = max(tick, alert.resolved_tick or tick)
            connection.execute(sa.update(table).where(self._is(alert.id), as_it_was).values(sent_tick=at))

    def _one(self, connection: sa.Connection, id: str) -> Alert | None:
        row = connection.execute(sa.select(table).where(self._is(id))).one_or_none()
        return None if row is None else _alert(row)

    def _write(self, connection: sa.Connection, id: str, values: dict[str, Any], *, there: bool) -> None:
        if there:
            connection.execute(sa.update(table).where(self._is(id)).values(**values))
        else:
            connection.execute(sa.insert(table).values(name=self.name, id=id, **values))

    def _is(self, id: str) -> sa.ColumnElement[bool]:
        return sa.and_(table.c.name == self.name, table.c.id == id)


def _alert(row: Any) -> Alert:
    values = {key: value for key, value in row._mapping.items() if key != "name"}
    return Alert(**{**values, "level": AlertLevel(values["level"])})
