"""``TickLog``: how far a turn has come, so that any kill leaves a state from which the next one goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from huracan.errors import StorageError
from huracan.registry.statements import Statement, parsed
from huracan.storage import Database, to_json
from huracan.storage.feedback_tables import mechanic_ticks

__all__ = ["OpenTick", "TickLog", "Write", "last_tick", "ticks_before"]

Write = Callable[[sa.Connection], None]
"""What a stage writes, given the connection of the transaction that also keeps the stage's number."""

_C = mechanic_ticks.c
_OF = _C.name == sa.bindparam("of", type_=sa.Text)
_AT = _C.tick == sa.bindparam("at", type_=sa.BigInteger)
_STAGE = sa.bindparam("number", type_=sa.Integer)
_FIND = Statement(sa.select(_C.stage, _C.started, _C.finished).where(_OF, _AT))
_UNFINISHED = Statement(sa.select(_C.tick, _C.stage, _C.started).where(_OF, _C.finished.is_(None)).order_by(_C.tick).limit(1))
_LAST = Statement(
    sa.select(_C.tick, _C.finished, _C.report).where(_OF, _C.finished.is_not(None)).order_by(_C.tick.desc()).limit(1)
)
_BEFORE = Statement(
    sa.select(_C.tick)
    .where(_OF, _C.tick < sa.bindparam("at", type_=sa.BigInteger))
    .order_by(_C.tick.desc())
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_MOST_BEFORE = 24
_GO_ON = Statement(sa.update(mechanic_ticks).where(_OF, _AT).values(stage=_STAGE))
_FINISH = Statement(
    sa.update(mechanic_ticks)
    .where(_OF, _AT)
    .values(
        stage=_STAGE,
        finished=sa.bindparam("ended", type_=sa.BigInteger),
        report=sa.bindparam("told", type_=sa.JSON),
    )
)


class TickLog:
    """The turns of a Mechanic: which stage each has kept, and what came of it.

    Parameters
    ----------
    name : of the Mechanic. require : raises in a transaction that may not be kept, since another works by now.

    Examples
    --------
    >>> database = Database("sqlite://")
    >>> database.upgrade()
    >>> log = TickLog(database, "btc", require=lambda connection: None, fence=1)
    >>> tick = log.open(3_600_000, started=3_600_000)
    >>> tick.done(1, None), tick.done(2, lambda connection: None)
    (None, None)
    >>> log.unfinished(), log.open(3_600_000, started=3_600_500).stage
    (3600000, 2)
    >>> tick.finish(3, None, finished=3_600_700, report={"predictions": 8})
    >>> log.unfinished(), log.last()
    (None, (3600000, {'predictions': 8}))
    """

    def __init__(self, database: Database, name: str, *, require: Write, fence: int) -> None:
        self.database, self.name, self.require, self.fence = database, name, require, fence

    def unfinished(self) -> int | None:
        """The oldest turn that was begun and not finished, milliseconds UTC."""
        row = self.database.read(lambda connection: _UNFINISHED.one(connection, of=self.name))
        return None if row is None else int(row.tick)

    def last(self) -> tuple[int, Mapping[str, Any]] | None:
        """The newest turn that was finished, and its report."""
        return last_tick(self.database, self.name)

    def open(self, tick: int, *, started: int) -> OpenTick:
        """A turn, new or as far as it has come; nothing is written before there is something to write.

        Raises
        ------
        StorageError : it was finished.
        """
        row = self.database.read(lambda connection: _FIND.one(connection, of=self.name, at=tick))
        if row is not None and row.finished is not None:
            raise StorageError(f"tick {tick} of '{self.name}' is finished already.")
        return OpenTick(self, tick, 0 if row is None else int(row.stage), started if row is None else int(row.started))


class OpenTick:
    """One turn. ``stage`` : number of the last stage that is done; ``tick`` : what it is about, milliseconds UTC."""

    def __init__(self, log: TickLog, tick: int, stage: int, started: int) -> None:
        self.log, self.tick, self.stage, self.started = log, tick, stage, started
        self._waiting: list[Write] = []

    def done(self, stage: int, write: Write | None) -> None:
        """A stage is done: what it writes and its number are kept as one; a quiet stage's number waits for the next.

        What it writes may be tried several times where the connection is lost, and is kept once.
        """
        if write is not None:
            self._keep(stage, write, lambda connection: _GO_ON.write(connection, **self._key, number=stage))
        self.stage = stage

    def later(self, stage: int, write: Write) -> None:
        """A stage is done that can be done again: what it writes waits for the next that is kept, and is kept with it."""
        self._waiting.append(write)
        self.stage = stage

    def keep(self, write: Write) -> None:
        """Keep a part of a stage that goes on; it may be kept again where the stage is begun again, and has to bear that."""

        def work(connection: sa.Connection) -> None:
            self.log.require(connection)
            write(connection)

        self.log.database.run(work)

    def settle(self) -> None:
        """Keep that all stages so far are done, quiet ones too, before anything outside of the database is changed.

        Else, after a death between that change and its row, a stage that had nothing to write would see the change, and do
        something else than it did.
        """
        self._keep(
            self.stage,
            lambda connection: None,
            lambda connection: _GO_ON.write(connection, **self._key, number=self.stage),
        )

    def finish(self, stage: int, write: Write | None, *, finished: int, report: Mapping[str, Any]) -> None:
        """The last stage is done, and with it the turn."""
        told = to_json(dict(report), where="report")
        self._keep(
            stage,
            write or (lambda connection: None),
            lambda connection: _FINISH.write(connection, **self._key, number=stage, ended=finished, told=told),
        )
        self.stage = stage

    @property
    def _key(self) -> dict[str, Any]:
        return {"of": self.log.name, "at": self.tick}

    def _keep(self, stage: int, write: Write, number: Callable[[sa.Connection], int]) -> None:
        def work(connection: sa.Connection) -> None:
            self.log.require(connection)
            row = _FIND.one(connection, **self._key)
            if row is not None and int(row.stage) >= stage:
                return  # kept by an attempt that did not hear of it
            if row is None:
                values = {
                    "name": self.log.name,
                    "tick": self.tick,
                    "stage": 0,
                    "started": self.started,
                    "fence": self.log.fence,
                }
                connection.execute(sa.insert(mechanic_ticks).values(**values))
            for each in (*self._waiting, write):
                each(connection)
            number(connection)

        self.log.database.run(work)
        self._waiting.clear()


def ticks_before(database: Database, name: str, tick: int) -> list[int]:
    """What the newest turns of ``name`` before a moment were about, newest first; milliseconds UTC."""
    return [int(row.tick) for row in database.read(lambda connection: _BEFORE(connection, of=name, at=tick, most=_MOST_BEFORE))]


def last_tick(database: Database, name: str) -> tuple[int, Mapping[str, Any]] | None:
    """The newest finished turn of ``name``, and its report; None before the first."""
    row = database.read(lambda connection: _LAST.one(connection, of=name))
    return None if row is None else (int(row.tick), parsed(row.report) or {})
