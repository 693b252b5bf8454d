"""``Switch``: a person stops promotions and rollbacks, and says why; all else goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from huracan.errors import PromotionsFrozen, StorageError
from huracan.market.schema import written_time
from huracan.registry.scopes import check_text
from huracan.registry.statements import Statement
from huracan.storage import Database
from huracan.storage.feedback_tables import mechanic_switches

__all__ = ["EVERY_NAME", "FREEZE_FILE", "Frozen", "Switch", "switches_by_name"]

FREEZE_FILE = "FREEZE"
"""A file of this name in the home folder freezes as well, for who cannot reach the database; its first line is the reason."""

EVERY_NAME = "*"
"""The name of a switch that holds for every Mechanic of the database, also for those that have not worked yet."""

_C = mechanic_switches.c
_STATE = Statement(sa.select(_C.frozen, _C.reason, _C.actor, _C.at).where(_C.name == sa.bindparam("of", type_=sa.Text)))


@dataclass(frozen=True)
class Frozen:
    """Whether promotions and rollbacks are stopped, why, by whom, and since when (milliseconds UTC).

    >>> Frozen(True, "exchange migrates.", "ann", 3_600_000).sentence
    'promotions are frozen since 1970-01-01 01:00 UTC by ann: exchange migrates'
    """

    frozen: bool
    reason: str = ""
    actor: str = ""
    at: int | None = None

    @property
    def sentence(self) -> str:
        """The same in words, without the stop at the end."""
        if not self.frozen:
            return "promotions are not frozen"
        since = "" if self.at is None else f" since {written_time(self.at // 1_000 * 1_000)}"
        return f"promotions are frozen{since} by {self.actor}: {self.reason.rstrip('.')}"


class Switch:
    """The kill switch of a Mechanic.

    Parameters
    ----------
    name : of the Mechanic; ``EVERY_NAME`` for all of them. home : folder in which a file ``FREEZE`` counts as well; None looks
        for none.

    Examples
    --------
    >>> database = Database("sqlite://")
    >>> database.upgrade()
    >>> switch = Switch(database, "btc")
    >>> switch.freeze("exchange migrates", actor="ann", at=0)
    >>> switch.state().reason
    'exchange migrates'
    >>> switch.thaw("done", actor="ann", at=1)
    >>> switch.state().frozen
    False
    """

    def __init__(self, database: Database, name: str, home: Path | None = None) -> None:
        self.database, self.name, self.home = database, name, home

    def freeze(self, reason: str, *, actor: str, at: int) -> None:
        """Stop promotions and rollbacks from here on."""
        self._set(True, reason, actor, at)

    def thaw(self, reason: str, *, actor: str, at: int) -> None:
        """Let them go on; what waited is looked at anew. ``EVERY_NAME`` thaws all that were frozen by their own names, too.

        Raises
        ------
        StorageError : a file ``FREEZE``, or the switch of every Mechanic, still freezes.
        """
        self._set(False, reason, actor, at)
        if self.name != EVERY_NAME and self.database.read(lambda connection: _frozen(connection, EVERY_NAME)) is not None:
            raise StorageError(f"Mechanic '{self.name}' is still frozen together with every other one; thaw without a name.")
        if (held := self._file()) is not None:
            raise StorageError(f"{held} still freezes Mechanic '{self.name}'; remove the file.")

    def state(self, connection: sa.Connection | None = None) -> Frozen:
        """What holds now; within ``connection``'s transaction where one is given."""
        if (file := self._file()) is not None:
            return Frozen(True, _first_line(file), f"the file {file.name}", _changed(file))
        return self.database.read(self._row) if connection is None else self._row(connection)

    def require(self, connection: sa.Connection) -> None:
        """Make sure, within the transaction that moves a champion, that none is frozen: what moves champions asks this.

        Raises
        ------
        PromotionsFrozen : a person has stopped promotions of this name; the message is :attr:`Frozen.sentence`.
        """
        if (state := self.state(connection)).frozen:
            raise PromotionsFrozen(f"the champion of '{self.name}' stays as it is: {state.sentence}.")

    def _row(self, connection: sa.Connection) -> Frozen:
        of_all = _frozen(connection, EVERY_NAME)
        if of_all is not None:
            return of_all
        row = _STATE.one(connection, of=self.name)
        return Frozen(False) if row is None else Frozen(bool(row[0]), row[1], row[2], row[3])

    def _file(self) -> Path | None:
        file = None if self.home is None else self.home / FREEZE_FILE
        return file if file is not None and file.exists() else None

    def _set(self, frozen: bool, reason: str, actor: str, at: int) -> None:
        if not reason.strip():
            raise StorageError("freezing and thawing need a reason in words.")
        check_text(reason, "reason")
        values = {"frozen": frozen, "reason": reason, "actor": actor, "at": at}

        def write(connection: sa.Connection) -> None:
            if not self.database.insert_new(connection, mechanic_switches, {"name": self.name, **values}):
                connection.execute(sa.update(mechanic_switches).where(_C.name == self.name).values(**values))
            if self.name == EVERY_NAME and not frozen:
                connection.execute(sa.update(mechanic_switches).where(_C.frozen).values(**values))

        self.database.run(write)


def _frozen(connection: sa.Connection, name: str) -> Frozen | None:
    """What a name's own row says where it freezes."""
    row = _STATE.one(connection, of=name)
    return None if row is None or not row[0] else Frozen(True, row[1], row[2], row[3])


def switches_by_name(database: Database) -> dict[str, Frozen]:
    """Every name that was ever frozen or thawed, and how it stands; ``EVERY_NAME`` is one of them."""
    rows = database.read(lambda connection: connection.execute(sa.select(mechanic_switches).order_by(_C.name)).all())
    return {row.name: Frozen(bool(row.frozen), row.reason, row.actor, row.at) for row in rows}


def _changed(file: Path) -> int | None:
    """When the file was last written; None where it is gone by now."""
    try:
        return file.stat().st_mtime_ns // 1_000_000
    except OSError:
        return None


def _first_line(file: Path) -> str:
    try:
        return (file.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no reason given"])[0]
    except OSError as error:
        return f"no reason to be read: {error.strerror}"
