"""``Lease``: of all Mechanics on one database one works, and one that was thought dead cannot write any more."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from huracan.errors import LeaseHeld, LeaseLost, StorageError
from huracan.logs import logger
from huracan.market.schema import written_time
from huracan.registry.statements import Statement
from huracan.storage import Database
from huracan.storage.feedback_tables import mechanic_leases
from huracan.storage.processes import is_alive, this_host

__all__ = ["Lease", "LeaseHolder", "lease_holder", "names_that_worked"]

_C = mechanic_leases.c
_HOLDER = Statement(sa.select(mechanic_leases).where(_C.name == sa.bindparam("of", type_=sa.Text)))
_MINE = (
    _C.name == sa.bindparam("of", type_=sa.Text),
    _C.owner == sa.bindparam("mine", type_=sa.Text),
    _C.fence == sa.bindparam("number", type_=sa.BigInteger),
)
_RENEW = Statement(
    sa.update(mechanic_leases)
    .where(*_MINE)
    .values(seen_at=sa.bindparam("seen", type_=sa.BigInteger), expires_at=sa.bindparam("until", type_=sa.BigInteger))
)
_RELEASE = Statement(
    sa.update(mechanic_leases).where(*_MINE).values(expires_at=sa.bindparam("until", type_=sa.BigInteger), owner="")
)


@dataclass(frozen=True)
class LeaseHolder:
    """Who works under a name, by the database's clock, milliseconds UTC; ``fence`` counts the owners there were."""

    name: str
    owner: str
    host: str
    process_id: int
    acquired_at: int
    seen_at: int
    expires_at: int
    fence: int

    def holds(self, now: int) -> bool:
        """Whether it has to be waited for: it did not let go, its time is not over and its process, if of this host, lives."""
        gone = self.host == this_host() and not is_alive(self.process_id)
        return bool(self.owner) and now < self.expires_at and not gone

    @property
    def sentence(self) -> str:
        """Who it is, in words."""
        return (
            f"process {self.process_id} on {self.host.split(' ')[0]} works as Mechanic '{self.name}' since "
            f"{written_time(self.acquired_at)}, last seen {written_time(self.seen_at)}"
        )


def lease_holder(database: Database, name: str) -> LeaseHolder | None:
    """Who works under ``name``, or the last who did; None where nobody ever did."""
    return database.read(lambda connection: _holder(connection, name))


def names_that_worked(database: Database) -> list[str]:
    """Every name that a Mechanic ever worked under, by the alphabet."""
    return database.read(lambda connection: list(connection.execute(sa.select(_C.name).order_by(_C.name)).scalars()))


class Lease:
    """The right to work under a name, for so many seconds from the last sign of life.

    A thread gives signs of life while it is held; every transaction of the work asks :meth:`require` first, in itself: an owner
    that was stopped, and whose time was over when it woke, cannot write beside its successor. Times are real ones, by the
    database's clock, also where the work itself is a replay.

    Parameters
    ----------
    name : what is worked on. seconds : until a silent owner is thought dead; one of this host whose process is gone is at once.
    changed : hears whether it is ours: when it is waited for, taken, let go, or found to be another's.

    Examples
    --------
    >>> database = Database("sqlite://")
    >>> database.upgrade()
    >>> with Lease(database, "btc") as lease:
    ...     Lease(database, "btc").try_to_acquire()
    False
    >>> Lease(database, "btc").try_to_acquire()
    True
    """

    def __init__(
        self, database: Database, name: str, *, seconds: float = 60.0, changed: Callable[[bool], None] = lambda held: None
    ) -> None:
        if not seconds > 0:
            raise StorageError(f"a lease of {seconds:g} seconds was asked for; more than 0 was expected.")
        self.database, self.name, self.seconds, self.changed = database, name, seconds, changed
        self.owner = secrets.token_hex(8)
        self.fence = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Lease:
        self.acquire()
        return self

    def __exit__(self, *_: Any) -> None:
        self.release()

    @property
    def held(self) -> bool:
        """Whether it was acquired and not released; whether it is still ours the database says."""
        return self.fence > 0

    def acquire(self) -> None:
        """Have it, or say who has.

        Raises
        ------
        LeaseHeld : another works.
        """
        if not self.try_to_acquire():
            holder = lease_holder(self.database, self.name)
            who = "another works" if holder is None else holder.sentence
            raise LeaseHeld(f"{who}; one at a time may: end it, or wait until it was silent for {self.seconds:g} s.")

    def try_to_acquire(self) -> bool:
        """Have it where nobody works, or who did is dead or silent for too long; whether it is ours now."""
        if self.held:
            return True
        self.fence = self.database.run(self._take)
        self.changed(self.held)
        if self.held:
            self._ended = threading.Event()
            if self._others_can_see:
                self._thread = threading.Thread(target=self._give_signs, args=(self._ended,), daemon=True, name="lease")
                self._thread.start()
        return self.held

    def wait(self, stop: Callable[[], bool], *, told: Callable[[str], None] = lambda sentence: None) -> bool:
        """Wait until it is ours, or ``stop()`` is true; whether it is. ``told`` hears who works, each time that changes."""
        heard = None
        while not stop():
            if self.try_to_acquire():
                return True
            holder = lease_holder(self.database, self.name)
            if holder is not None and holder.fence != heard:
                heard = holder.fence
                told(f"waiting: {holder.sentence}.")
            pause = self.seconds / 5.0
            for _ in range(max(1, round(pause / 0.1))):
                if stop():
                    return False
                self._ended.wait(min(pause, 0.1))
        return False

    def release(self) -> None:
        """Let others work; nothing where it is not held or was taken over. A database that is gone learns it by the silence."""
        if not self.held:
            return
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=self.seconds)
            self._thread = None
        number, self.fence = self.fence, 0
        self.changed(False)
        with suppress(StorageError):
            self.database.run(
                lambda connection: _RELEASE.write(
                    connection, of=self.name, mine=self.owner, number=number, until=_now(self.database, connection)
                )
            )

    def require(self, connection: sa.Connection) -> None:
        """Make sure, within a transaction that writes, that it is ours, and give a sign of life.

        Raises
        ------
        LeaseLost : another works by now; nothing of this transaction may be kept.
        """
        now = _now(self.database, connection)
        if not self._renewed(connection, now):
            holder = _holder(connection, self.name)
            who = "it was released" if holder is None or not holder.owner else holder.sentence
            raise LeaseLost(f"this process is not Mechanic '{self.name}' any more: {who}; nothing of this step was kept.")

    @property
    def _others_can_see(self) -> bool:
        return not self.database.is_sqlite or self.database.url.database not in (None, "", ":memory:")

    def _renewed(self, connection: sa.Connection, now: int) -> bool:
        until = now + round(self.seconds * 1_000)
        ours = (
            self.held and _RENEW.write(connection, of=self.name, mine=self.owner, number=self.fence, seen=now, until=until) == 1
        )
        if not ours:
            self.changed(False)
        return ours

    def _take(self, connection: sa.Connection) -> int:
        """The fence under which it is ours, 0 where another has it."""
        now = _now(self.database, connection)
        values = {
            "owner": self.owner,
            "host": this_host(),
            "process_id": os.getpid(),
            "acquired_at": now,
            "seen_at": now,
            "expires_at": now + round(self.seconds * 1_000),
        }
        if self.database.insert_new(connection, mechanic_leases, {"name": self.name, "fence": 1, **values}):
            return 1
        row = connection.execute(sa.select(mechanic_leases).where(_C.name == self.name).with_for_update()).one()
        holder = LeaseHolder(**row._mapping)
        if holder.owner == self.owner:  # taken by an attempt whose commit was lost on the way back
            return holder.fence
        if holder.holds(now):
            return 0
        connection.execute(sa.update(mechanic_leases).where(_C.name == self.name).values(fence=holder.fence + 1, **values))
        return holder.fence + 1

    def _give_signs(self, ended: threading.Event) -> None:
        """Renew every third of the time, on a connection of its own that never waits long for the work's own transactions."""
        mine = Database(self.database.url.render_as_string(hide_password=False), busy_timeout=min(1.0, self.seconds / 10.0))
        try:
            while not ended.wait(self.seconds / 3.0):
                try:
                    mine.run(lambda connection: self._renewed(connection, _now(mine, connection)), attempts=1)
                except StorageError as error:  # the next sign, or the work's own transactions, will do
                    logger().debug("a sign of life was left out", mechanic=self.name, reason=str(error))
        finally:
            mine.close()


def _now(database: Database, connection: sa.Connection) -> int:
    return int(database.now(connection).timestamp() * 1_000)


def _holder(connection: sa.Connection, name: str) -> LeaseHolder | None:
    row = _HOLDER.one(connection, of=name)
    return None if row is None else LeaseHolder(*row)
