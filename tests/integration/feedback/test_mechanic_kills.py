"""Killed before and after its commits and while it writes files, on every way that leads there, a Mechanic leaves what an
undisturbed one leaves.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.integration.feedback.edge_market import do_turn, edge_market, make_mechanic

from huracan import Mechanic
from huracan.integration.feedback import publishing
from huracan.integration.feedback.challenger_log import (
    Challenger,
    ChallengerState,
    TrialState,
    add_challenger,
    challengers_in,
    change_trial,
    trials_in,
)
from huracan.integration.feedback.content_hash import content_digests
from huracan.registry.scopes import Scope
from huracan.storage import Database
from huracan.storage.feedback_tables import champion_trials, mechanic_leases

BARS = tuple(range(304, 740, 24))
FAILING, FROZEN, THAWED, ROLLED = BARS[3], BARS[12], BARS[14], BARS[18]
BEFORE, AFTER = "before", "after"
PLAN = {1: BEFORE, 2: AFTER, 6: BEFORE, 7: AFTER, 15: AFTER, 16: BEFORE}
"""On each way to a commit: the how manieth time it is killed, and on which side of it."""


class Killed(BaseException):
    """The process is gone; nothing of it may be caught."""


class Killer:
    """Ends the process, as far as the database and the files can tell, around commits and files that are published."""

    def __init__(self) -> None:
        self.armed = False
        self.dead = False
        self.seen: Counter[tuple[str, ...]] = Counter()
        self.deaths = 0

    def around(self, do: Callable[[], Any], what: str) -> Any:
        if self.dead:
            raise Killed
        way = (what, *_way())
        self.seen[way] += self.armed
        when = PLAN.get(self.seen[way]) if self.armed else None
        if when == BEFORE:
            self.die()
        result = do()
        if when == AFTER:
            self.die()
        return result

    def die(self) -> None:
        self.dead = True
        self.deaths += 1
        raise Killed


def _way() -> Iterator[str]:
    """Functions of this package that are being called, innermost first."""
    frame = sys._getframe(2)
    while frame is not None:
        if "/huracan/" in frame.f_code.co_filename:
            yield frame.f_code.co_qualname if hasattr(frame.f_code, "co_qualname") else frame.f_code.co_name
        frame = frame.f_back  # type: ignore[assignment]


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    killer = Killer()
    begun = Database.transaction

    @contextmanager
    def transaction(self: Database) -> Iterator[sa.Connection]:
        if threading.current_thread() is not threading.main_thread():  # signs of life
            with begun(self) as connection:
                yield connection
            return
        if killer.dead:
            raise Killed
        way = ("commit", *_way())
        killer.seen[way] += killer.armed
        when = PLAN.get(killer.seen[way]) if killer.armed else None
        with begun(self) as connection:
            yield connection
            if when == BEFORE:
                killer.die()
        if when == AFTER:
            killer.die()

    monkeypatch.setattr(Database, "transaction", transaction)
    for name in ("put_file", "_give_sign"):
        write = getattr(publishing, name)
        monkeypatch.setattr(
            publishing,
            name,
            lambda path, data, write=write, **told: killer.around(lambda: write(path, data, **told), path.name),
        )
    replace, unlink = os.replace, Path.unlink
    monkeypatch.setattr(
        os, "replace", lambda aside, path, **told: killer.around(lambda: replace(aside, path, **told), f"to {Path(path).name}")
    )
    monkeypatch.setattr(Path, "unlink", lambda path, **told: killer.around(lambda: unlink(path, **told), "removal"))
    return killer


def _live(home: Path, candles: pl.DataFrame, killer: Killer) -> Mechanic:
    """Turn after turn; who was killed is begun anew from what is there."""
    mechanic: Mechanic | None = None
    for bar in BARS:
        while True:
            mechanic = mechanic or make_mechanic(home, candles, mechanic={"shadow_bars": 300, "trial_bars": 300})
            _meddle(mechanic, bar)
            try:
                killer.armed = True
                do_turn(mechanic, bar)
                break
            except Killed:
                killer.armed = killer.dead = False
                mechanic.works.database.close()
                mechanic = None
                _silence(home)
            finally:
                killer.armed = False
    assert mechanic is not None
    return mechanic


def _meddle(mechanic: Mechanic, bar: int) -> None:
    """What people do meanwhile: freeze and thaw, ask for a challenger that cannot be trained, want the champion before back."""
    if bar == FROZEN:
        mechanic.freeze("the exchange migrates", actor="ann")
    if bar == THAWED:
        mechanic.thaw("done", actor="ann")
    name, database = mechanic.name, mechanic.works.database
    if bar == ROLLED:
        wanted = {"state": TrialState.TO_ROLL_BACK.value, "reason": "it is not trusted."}
        for trial in database.read(lambda connection: trials_in(connection, name)):
            if trial.state is TrialState.ON_TRIAL:
                database.run(lambda connection, trial=trial: change_trial(connection, trial, **wanted))
    if bar == FAILING:
        tick = 1
        known = {one.id for one in database.read(lambda connection: challengers_in(connection, name))}
        made = Challenger(
            "by hand", name, "S0", "", "full", ChallengerState.REQUESTED, tick, "asked for by hand.", parent_version=99
        )
        if made.id not in known:
            database.run(lambda connection: add_challenger(connection, made))


def _silence(home: Path) -> None:
    """The lease of who was killed runs out."""
    database = Database(f"sqlite:///{home}/huracan.db")
    with database.transaction() as connection:
        if sa.inspect(connection).has_table(mechanic_leases.name):
            connection.execute(sa.update(mechanic_leases).values(expires_at=0))
    database.close()


def _digests(mechanic: Mechanic) -> dict[str, str]:
    return content_digests(mechanic.works.database, mechanic.pipeline.config.home / "outbox")


def test_a_life_with_a_death_on_both_sides_of_every_kind_of_commit_leaves_what_a_quiet_life_leaves(
    tmp_path: Path,
    killer: Killer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    candles = edge_market(970, [420], strength=0.6)
    with monkeypatch.context() as quiet:
        quiet.setattr(sys.modules[__name__], "PLAN", {})
        undisturbed = _live(tmp_path / "quiet", candles, killer)
    assert killer.deaths == 0
    killer.seen.clear()
    killed = _live(tmp_path / "killed", candles, killer)
    assert killer.deaths > 60
    ways = {way for way in killer.seen if way[0] == "commit"}
    assert {"register", "promote", "rollback", "withdraw"} <= {_last(name) for way in ways for name in way}
    assert _digests(killed) == _digests(undisturbed)
    with killed.works.database.reading() as connection:
        states = [one.state for one in challengers_in(connection, killed.name)]
        trials = connection.execute(sa.select(champion_trials.c.state)).scalars().all()
    assert ChallengerState.PROMOTED in states and ChallengerState.FAILED in states
    assert "rolled_back" in trials
    assert killed.works.bench.holders()[Scope()] == 1


def _last(name: str) -> str:
    return name.rpartition(".")[2]
