"""A stage's rows and its number are kept together, once, however often the stage is tried."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from huracan.errors import LeaseLost, StorageError
from huracan.integration.feedback.loop_state import drop_state, put_state, read_state
from huracan.integration.feedback.tick_log import TickLog
from huracan.storage import Database

HOUR = 3_600_000


@pytest.fixture
def log(database_url: str) -> TickLog:
    database = Database(database_url)
    database.upgrade()
    return TickLog(database, "btc", require=lambda connection: None, fence=1)


def _state(log: TickLog) -> dict[str, object]:
    return log.database.read(lambda connection: read_state(connection, "btc"))


def test_rows_of_a_stage_that_fails_are_not_kept_and_the_turn_goes_on_before_it(log: TickLog) -> None:
    tick = log.open(HOUR, started=HOUR)
    tick.done(1, lambda connection: put_state(connection, "btc", {"a": 1}, HOUR))

    def breaks(connection: sa.Connection) -> None:
        put_state(connection, "btc", {"a": 2}, HOUR)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        tick.done(2, breaks)
    assert _state(log) == {"a": 1}
    again = log.open(HOUR, started=2 * HOUR)
    assert (again.stage, again.started) == (1, HOUR)


def test_a_stage_that_was_kept_without_hearing_of_it_is_not_kept_twice(log: TickLog) -> None:
    def count(connection: sa.Connection) -> None:
        put_state(connection, "btc", {"n": read_state(connection, "btc").get("n", 0) + 1}, HOUR)

    first, deaf = log.open(HOUR, started=0), log.open(HOUR, started=0)
    first.done(1, count)
    deaf.done(1, count)  # its commit went through, the answer was lost, and it tries again
    assert _state(log) == {"n": 1}


def test_quiet_stages_are_kept_with_the_next_that_writes(log: TickLog) -> None:
    tick = log.open(HOUR, started=0)
    tick.done(1, None)
    assert log.unfinished() is None
    tick.done(2, lambda connection: None)
    assert log.open(HOUR, started=0).stage == 2
    tick.done(3, None)
    tick.finish(9, None, finished=7, report={"nothing": True})
    assert log.last() == (HOUR, {"nothing": True})
    with pytest.raises(StorageError, match="finished already"):
        log.open(HOUR, started=0)


def test_the_oldest_unfinished_turn_is_gone_on_with(log: TickLog) -> None:
    for tick in (2 * HOUR, HOUR):
        log.open(tick, started=0).done(1, lambda connection: None)
    assert log.unfinished() == HOUR


def test_nothing_is_kept_without_the_lease(log: TickLog) -> None:
    def lost(connection: sa.Connection) -> None:
        raise LeaseLost("another works")

    fenced = TickLog(log.database, "btc", require=lost, fence=1)
    with pytest.raises(LeaseLost):
        fenced.open(HOUR, started=0).done(1, lambda connection: None)
    assert log.unfinished() is None


def test_state_holds_what_json_holds_and_is_forgotten_by_key(log: TickLog) -> None:
    values = {"cursor": {"BTC": 5}, "odd": [None, float("inf"), "ü"]}
    log.database.run(lambda connection: put_state(connection, "btc", values, 1))
    assert _state(log) == values
    log.database.run(lambda connection: drop_state(connection, "btc", ["odd"]))
    assert _state(log) == {"cursor": {"BTC": 5}}
