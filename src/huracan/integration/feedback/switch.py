"""``Switch``: a person stops promotions and rollbacks, and says why; all else goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from huracan.errors import StorageError
from huracan.registry.scopes import check_text
from huracan.registry.statements import Statement
from huracan.storage import Database
from huracan.storage.feedback_tables import mechanic_switches

__all__ = ["EVERY_NAME", "FREEZE_FILE", "Frozen", "Switch"]

FREEZE_FILE = "FREEZE"
"""A file of this name in the home folder freezes as well, for who cannot reach the database; its first line is the reason."""

EVERY_NAME = "*"
"""The name of a switch that holds for every Mechanic of the database, also for those that have not worked yet."""

_C = mechanic_switches.c
_STATE = Statement(sa.select(_C.frozen, _C.reason, _C.actor, _C.at).where(_C.name == sa.bindparam("of", type_=sa.Text)))


@dataclass(frozen=True)
class Frozen:
    """Whether promotions and rollbacks are stopped, why, by whom, and since when (milliseconds UTC; None for a file)."""

    frozen: bool
    reason: str = ""
    actor: str = ""
    at: int | None = None


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
            return Frozen(True, _first_line(file), f"the file {file.name}")
        return self.database.read(self._row) if connection is None else self._row(connection)

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


def _first_line(file: Path) -> str:
    try:
        return (file.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no reason given"])[0]
    except OSError as error:
        return f"no reason to be read: {error.strerror}"
