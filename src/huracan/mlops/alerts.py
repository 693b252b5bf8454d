"""``Alerts``: what somebody should know, told once and not again every hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from huracan.errors import DataError, HuracanError
from huracan.logs import logger
from huracan.mlops.alert_channels import Channel, LogChannel, NotSent
from huracan.mlops.policy_history import time_text
from huracan.mlops.whole_milliseconds import whole_milliseconds
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
_FACTS = ("last_tick", "count", "resolved_tick")


@dataclass(frozen=True)
class Alert:
    """One alert as it stands.

    Attributes
    ----------
    id : what it is about, such as ``artifact:BTC``. level, sentence : of the latest time it was raised.
    first_tick, last_tick : when it was first and last raised; ``count`` ticks raised it, none what only happened and was told.
        Milliseconds UTC.
    sent_tick : when it was last sent, ``None`` while that is due. resolved_tick : when it ended, ``None`` while it holds.
    returns : how often it came back soon after its end. heard : by channel, at what tick it last heard of it, of what level,
        and whether as ended.
    """

    id: str
    level: AlertLevel
    sentence: str
    first_tick: int
    last_tick: int
    count: int
    sent_tick: int | None = None
    resolved_tick: int | None = None
    returns: int = 0
    heard: Mapping[str, tuple[int, str, bool]] = field(default_factory=dict)

    def message(self, name: str, *, unheard: bool = False) -> dict[str, Any]:
        """What is sent: ``text`` for people, the rest for programs.

        Parameters
        ----------
        unheard : whether its end is told to who never heard of its beginning.

        >>> Alert("outage:BTC", AlertLevel.WARNING, "no candle since noon.", 0, 7_200_000, 3).message("btc")["text"]
        'btc: no candle since noon. (3 ticks, since 1970-01-01 00:00)'
        """
        since = "" if self.count <= 1 else f" ({self.count} ticks, since {time_text(self.first_tick)})"
        ended = "" if self.resolved_tick is None or not self.count else "over: "
        if ended and unheard:
            span = f"from {time_text(self.first_tick)} to {time_text(self.resolved_tick or self.last_tick)}"
            since = f" (it held {span}, and could not be told here while it did)"
        state = ("told" if not self.count else "resolved") if self.resolved_tick is not None else "holds"
        return {
            "name": name,
            "id": self.id,
            "level": str(self.level),
            "state": "raised" if state == "holds" and self.count == 1 else state,
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
    DataError : ``repeat`` is negative or no whole number; ``channels`` is no list of channels.

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
        if whole_milliseconds(repeat, "alerts are to be repeated after") < 0:
            raise DataError(f"alerts are to be repeated after {repeat} ms; a time of at least 0 was expected.")
        if channels is not None and not (isinstance(channels, Sequence) and all(hasattr(one, "send") for one in channels)):
            raise DataError(f"channels are {channels!r}; a list of what has send(message) was expected, such as LogChannel().")
        self.name = name
        self.channels: tuple[Channel, ...] = (LogChannel(),) if channels is None else tuple(channels)
        self.repeat = repeat

    def raise_(self, connection: sa.Connection, id: str, level: AlertLevel, sentence: str, *, tick: int) -> None:
        """Say that something holds at this tick; raising it twice at a tick is raising it once.

        It is due to be sent when it is new, comes back after its end, becomes more urgent, or was last sent ``repeat`` ago.
        What comes back within ``repeat`` of its end is the same alert, not a new one. A time later than ``tick``, of a
        clock that was wrong, counts as ``tick``.

        Raises
        ------
        DataError : there is no such level; the tick is no whole number.
        """
        level, tick = _level(level), _tick(tick)
        before = self._one(connection, id)
        if before is None or (before.resolved_tick is not None and tick - before.resolved_tick >= self.repeat):
            new: dict[str, Any] = {"level": level, "sentence": sentence, "first_tick": tick, "last_tick": tick, "count": 1}
            new |= {"sent_tick": None, "resolved_tick": None, "returns": 0, "heard": {}}
            self._write(connection, id, new, there=before is not None)
            return
        back = before.resolved_tick is not None
        sent = None if before.sent_tick is None else min(before.sent_tick, tick)
        again = back or sent is None or tick - sent >= self.repeat or _RANK[level] > _RANK[before.level]
        now = {"level": level, "sentence": sentence, "first_tick": min(before.first_tick, tick), "last_tick": tick}
        now |= {"count": before.count + (tick != before.last_tick), "sent_tick": None if again else sent}
        now |= {"resolved_tick": None, "returns": before.returns + back}
        now |= {"heard": {channel: [min(at, tick), *rest] for channel, (at, *rest) in before.heard.items()}}
        self._write(connection, id, now, there=True)

    def tell(self, connection: sa.Connection, id: str, level: AlertLevel, sentence: str, *, tick: int) -> None:
        """Say that something happened at this tick, which nobody has to end: it is sent once to every channel.

        What happens again later, under the same id, is told again.

        Raises
        ------
        DataError : there is no such level.
        """
        before, tick = self._one(connection, id), _tick(tick)
        if before is None or before.last_tick != tick:
            new: dict[str, Any] = {
                "level": _level(level),
                "sentence": sentence,
                "first_tick": tick,
                "last_tick": tick,
                "count": 0,
            }
            new |= {"sent_tick": None, "resolved_tick": tick, "returns": 0, "heard": {}}
            self._write(connection, id, new, there=before is not None)

    def resolve(self, connection: sa.Connection, id: str, *, tick: int) -> None:
        """Say that it holds no longer, which is due to be sent too; does nothing where it did not hold.

        The end of what came back before is only sent after ``repeat`` without it, so that one to and fro is not many messages.
        """
        before, tick = self._one(connection, id), _tick(tick)
        if before is not None and before.resolved_tick is None:
            self._write(connection, id, {"resolved_tick": tick, "sent_tick": None}, there=True)

    def holding(self, connection: sa.Connection) -> tuple[Alert, ...]:
        """Alerts that hold, most urgent first, then the oldest."""
        found = connection.execute(sa.select(table).where(table.c.name == self.name, table.c.resolved_tick.is_(None)))
        return tuple(sorted(map(_alert, found), key=lambda one: (-_RANK[one.level], one.first_tick, one.id)))

    def due(self, connection: sa.Connection) -> tuple[Alert, ...]:
        """Alerts that some channel may have to hear of: the most urgent first, then the oldest."""
        found = connection.execute(sa.select(table).where(table.c.name == self.name, table.c.sent_tick.is_(None)))
        return tuple(sorted(map(_alert, found), key=lambda one: (-_RANK[one.level], one.first_tick, one.id)))

    def send(self, database: Database, *, tick: int) -> int:
        """Send what is due, outside of any transaction, and write who heard it; how many alerts every channel has by that.

        The most urgent go first, at most 50 to each channel. A channel that fails, whatever it raises, is told in the log and
        not tried again at this tick, so that a webhook that is down costs one timeout. What it did not take stays due, and the
        other channels, which are known by their places and kinds, do not hear it again for that, from another process neither.
        """
        tick = _tick(tick)
        failed: set[str] = set()
        given: Counter[str] = Counter()
        done: list[tuple[Alert, dict[str, Any], bool]] = []
        count = 0
        for alert in database.read(self.due):
            heard: dict[str, Any] = dict(alert.heard)
            missed = told = False
            for number, channel in enumerate(self.channels):
                key = f"{number}:{type(channel).__name__}"
                wants = self._wants(alert, heard.get(key), tick)
                if wants and key not in failed and given[key] < _MOST_AT_ONCE:
                    if self._sent(channel, alert.message(self.name, unheard=key not in heard)):
                        heard[key] = (tick, alert.level, alert.resolved_tick is not None)
                        given[key] += 1
                        told, wants = True, False
                    else:
                        failed.add(key)
                missed |= wants
            missed |= self._waits(alert, tick)
            if told or not missed:
                done.append((alert, heard, missed))
            count += told and not missed
        if done:
            database.run(lambda connection: self._mark(connection, done, tick))
        return count

    def _wants(self, alert: Alert, heard: tuple[int, str, bool] | None, tick: int) -> bool:
        """Whether a channel that heard this last is to hear of the alert now."""
        ended = alert.resolved_tick is not None
        if ended and self._waits(alert, tick):
            return False
        if heard is None or ended != heard[2]:
            return True
        return not ended and (tick - heard[0] >= self.repeat or _RANK[alert.level] > _RANK[AlertLevel(heard[1])])

    def _waits(self, alert: Alert, tick: int) -> bool:
        """Whether the end is not told yet, since it came back before."""
        return alert.resolved_tick is not None and alert.returns > 0 and 0 <= tick - alert.resolved_tick < self.repeat

    def _sent(self, channel: Channel, message: dict[str, Any]) -> bool:
        try:
            channel.send(message)
        except NotSent as error:
            logger().warning(str(error), alert=message["id"])
        except Exception as error:  # noqa: BLE001 - a channel of somebody else's: others are to hear all the same
            kind = type(channel).__name__
            why = f"{kind} failed with {type(error).__name__}; the alert stays due."
            logger().error(why, alert=message["id"], exc_info=not isinstance(error, HuracanError))
        else:
            return True
        return False

    def _mark(self, connection: sa.Connection, done: Sequence[tuple[Alert, dict[str, Any], bool]], tick: int) -> None:
        for alert, heard, missed in done:
            as_it_was = sa.and_(*(table.c[name].is_not_distinct_from(getattr(alert, name)) for name in _FACTS))
            first = min((heard[key][0] for key in heard), default=tick)
            values = {"heard": {key: list(one) for key, one in heard.items()}, "sent_tick": None if missed else first}
            connection.execute(sa.update(table).where(self._is(alert.id), as_it_was).values(**values))

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
    heard = {channel: tuple(one) for channel, one in values["heard"].items()}
    return Alert(**{**values, "level": AlertLevel(values["level"]), "heard": heard})


def _tick(tick: int) -> int:
    return whole_milliseconds(tick, "the tick of an alert is")


def _level(level: AlertLevel | str) -> AlertLevel:
    try:
        return AlertLevel(level)
    except ValueError:
        raise DataError(f"the level of an alert is {level!r}; {', '.join(AlertLevel)} are there.") from None
