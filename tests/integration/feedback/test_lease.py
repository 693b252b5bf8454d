"""Of all Mechanics on one database one works; who was thought dead cannot write beside its successor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from huracan.errors import LeaseHeld, LeaseLost, StorageError
from huracan.integration.feedback import lease
from huracan.integration.feedback.lease import Lease, lease_holder, names_that_worked
from huracan.storage import Database
from huracan.storage.feedback_tables import mechanic_leases


@pytest.fixture
def database(database_url: str) -> Database:
    database = Database(database_url)
    database.upgrade()
    return database


def _age(database: Database, milliseconds: int) -> None:
    with database.transaction() as connection:
        connection.execute(sa.update(mechanic_leases).values(expires_at=mechanic_leases.c.expires_at - milliseconds))


def test_one_works_and_the_other_is_told_who(database: Database) -> None:
    with Lease(database, "btc"):
        with pytest.raises(LeaseHeld, match=rf"process {os.getpid()} on .* works as Mechanic 'btc' since .*60 s"):
            Lease(database, "btc").acquire()
        assert Lease(database, "eth").try_to_acquire()
    assert names_that_worked(database) == ["btc", "eth"]
    assert Lease(database, "btc").try_to_acquire()


def test_who_was_silent_for_too_long_is_followed_and_cannot_write_any_more(database: Database) -> None:
    stopped, successor = Lease(database, "btc", seconds=60), Lease(database, "btc", seconds=60)
    stopped.acquire()
    assert not successor.try_to_acquire()
    _age(database, 60_001)  # as if it had been stopped for a minute
    assert successor.try_to_acquire()
    with pytest.raises(LeaseLost, match="not Mechanic 'btc' any more: process"):
        database.run(stopped.require)
    database.run(successor.require)
    stopped.release()  # takes nothing from the one who works
    database.run(successor.require)
    successor.release()
    with pytest.raises(LeaseLost):
        database.run(successor.require)


def test_whether_it_is_ours_is_told_when_it_changes_and_when_it_is_found_lost(database: Database) -> None:
    mine: list[bool] = []
    his: list[bool] = []
    stopped, successor = Lease(database, "btc", changed=mine.append), Lease(database, "btc", changed=his.append)
    stopped.acquire()
    assert not successor.try_to_acquire()
    assert (mine, his) == ([True], [False])
    _age(database, 60_001)
    assert successor.try_to_acquire()
    with pytest.raises(LeaseLost):
        database.run(stopped.require)
    assert (mine, his) == ([True, False], [False, True])
    stopped.release()
    successor.release()
    assert (mine[-1], his[-1]) == (False, False)


def test_a_transaction_of_who_lost_the_lease_keeps_nothing(database: Database) -> None:
    stopped = Lease(database, "btc")
    stopped.acquire()
    _age(database, 60_001)

    def writes(connection: sa.Connection) -> None:
        connection.execute(sa.insert(mechanic_leases).values(**_row("eth")))
        stopped.require(connection)

    with Lease(database, "btc"), pytest.raises(LeaseLost):
        database.run(writes)
    assert lease_holder(database, "eth") is None


def test_who_is_followed_by_a_clock_that_is_ahead_keeps_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite a host goes by its own clock: one a minute ahead follows a living owner, whom the number shuts out."""
    database, ahead = (Database(f"sqlite:///{tmp_path}/m.db") for _ in range(2))
    database.upgrade()
    real = lease._now
    monkeypatch.setattr(lease, "_now", lambda where, connection: real(where, connection) + 61_000 * (where is ahead))
    with Lease(database, "btc", seconds=60) as living, Lease(ahead, "btc", seconds=60) as successor:
        assert (living.fence, successor.fence) == (1, 2)
        assert not database.run(lambda connection: living._renewed(connection, real(database, connection)))  # no sign of life

        def writes(connection: sa.Connection) -> None:
            connection.execute(sa.insert(mechanic_leases).values(**_row("eth")))
            living.require(connection)

        with pytest.raises(LeaseLost):
            database.run(writes)
        assert lease_holder(database, "eth") is None
        ahead.run(successor.require)
        assert not Lease(database, "btc", seconds=60).try_to_acquire()  # and is not followed back by the clock behind


def test_the_fence_grows_with_every_owner(database: Database) -> None:
    fences = []
    for _ in range(3):
        with Lease(database, "btc") as lease:
            fences.append(lease.fence)
    assert fences == [1, 2, 3]


def test_each_transaction_is_a_sign_of_life(database: Database) -> None:
    with Lease(database, "btc", seconds=60) as lease:
        _age(database, 59_000)
        before = lease_holder(database, "btc")
        database.run(lease.require)
        after = lease_holder(database, "btc")
    assert before is not None and after is not None
    assert after.expires_at - before.expires_at > 50_000


def test_a_lease_whose_process_is_gone_is_taken_at_once(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/m.db"
    database = Database(url)
    database.upgrade()
    program = (
        "import sys, time\nfrom huracan.storage import Database\nfrom huracan.integration.feedback.lease import Lease\n"
        f"lease = Lease(Database({url!r}), 'btc', seconds=3600)\nlease.acquire()\nprint('mine', flush=True)\ntime.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "mine\n"
        waiting = Lease(database, "btc", seconds=3600)
        assert not waiting.try_to_acquire()
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert waiting.try_to_acquire()
    finally:
        child.kill()
        child.wait()


def test_waiting_ends_when_it_is_told_to_and_says_who_works(database: Database) -> None:
    heard: list[str] = []
    with Lease(database, "btc"):
        looks = iter([False, False, True])
        assert not Lease(database, "btc", seconds=0.05).wait(lambda: next(looks, True), told=heard.append)
    assert len(heard) == 1 and heard[0].startswith(f"waiting: process {os.getpid()} ")


def test_signs_of_life_go_on_while_the_work_takes_long(tmp_path) -> None:
    database = Database(f"sqlite:///{tmp_path}/m.db")
    database.upgrade()
    with Lease(database, "btc", seconds=0.3):
        before = lease_holder(database, "btc")
        deadline = time.monotonic() + 20
        while (now := lease_holder(database, "btc")) == before and time.monotonic() < deadline:
            time.sleep(0.02)
    assert before is not None and now is not None
    assert now.seen_at > before.seen_at and now.fence == before.fence


def test_a_lease_without_a_length_is_refused() -> None:
    with pytest.raises(StorageError, match="a lease of 0 seconds"):
        Lease(Database("sqlite://"), "btc", seconds=0)


def _row(name: str) -> dict[str, object]:
    times = dict.fromkeys(("acquired_at", "seen_at", "expires_at"), 0)
    return {"name": name, "owner": "x", "host": "h", "process_id": 1, "fence": 1, **times}
