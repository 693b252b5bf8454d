"""Whole lives: the same on both databases, of several symbols, and of two Mechanics that share one database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.automl_checks.own_postgresql import new_database
from tests.integration.feedback.edge_market import HOUR, START, do_turn, edge_market, make_mechanic

from huracan.integration.feedback.challenger_log import AT_WORK, ChallengerState, challengers_in
from huracan.integration.feedback.clock import SimulatedClock
from huracan.integration.feedback.content_hash import content_digests
from huracan.integration.feedback.loop_state import read_state
from huracan.mlops.skill_monitor import SkillMonitor
from huracan.registry.scopes import ALL

_TELL_THE_DATABASE = ("model_versions", "file champion/latest.json", "file models/")
"""A version's provenance has the hash of the configuration, of which the address of the database is one part."""
BARS = (*range(304, 544, 24), *range(544, 760, 36))


def test_a_life_on_postgresql_leaves_what_one_on_sqlite_leaves(tmp_path: Path, postgresql_server: str) -> None:
    candles = edge_market(770, [420], strength=0.6)
    left = []
    for kind, url in (("sqlite", None), ("postgresql", new_database(postgresql_server))):
        mechanic = make_mechanic(tmp_path / kind, candles, registry={"url": url})
        for bar in BARS:
            do_turn(mechanic, bar)
        left.append(content_digests(mechanic.works.database, tmp_path / kind / "outbox"))
        states = [one.state for one in mechanic.works.database.read(lambda connection: challengers_in(connection, "champion"))]
        assert ChallengerState.PROMOTED in states
        mechanic.works.database.close()
    one, other = (
        {table: digest for table, digest in digests.items() if not table.startswith(_TELL_THE_DATABASE)} for digests in left
    )
    assert one == other


def test_several_symbols_live_side_by_side_and_one_of_them_gets_a_champion_of_its_own(tmp_path: Path) -> None:
    candles = edge_market(560, [], n_symbols=3, strength=0.6)
    mechanic = make_mechanic(tmp_path, candles)
    do_turn(mechanic, 304)
    assert mechanic.works.bench.holders() == {ALL: 1}
    mechanic.works.registry.promote("champion", 1, symbol="S1", reason="S1 by itself")
    report = do_turn(mechanic, 352)
    assert report.predictions == 3 * 48 and report.champions == {"champion": 1, "champion@S1": 1}
    do_turn(mechanic, 400)
    with mechanic.works.database.reading() as connection:
        state = read_state(connection, "champion")
    monitors = {key: SkillMonitor.from_json(state[key]["state"]) for key in ("monitor:champion", "monitor:champion@S1")}
    assert all(monitor.n > 40 for monitor in monitors.values())
    assert monitors["monitor:champion"].to_json() != monitors["monitor:champion@S1"].to_json()


_WORKER = """
import sys
from pathlib import Path
from tests.integration.feedback.edge_market import START, HOUR, edge_market, make_mechanic
mechanic = make_mechanic(Path(sys.argv[1]), edge_market(420, [], strength=0.6), mechanic={"every": "1h"})
mechanic.clock.set(START + 300 * HOUR)
mechanic.run(told=lambda sentence: print(sentence, flush=True))
"""


@pytest.mark.slow
def test_of_two_that_are_started_one_waits_and_takes_over_when_the_other_is_killed(tmp_path: Path) -> None:
    """Slow: two fresh processes import everything."""
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"}
    command = [sys.executable, "-u", "-c", _WORKER, str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root)
    assert first.stdout is not None
    assert first.stdout.readline().startswith("Mechanic 'champion' at")
    second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root)
    assert second.stdout is not None
    try:
        assert second.stdout.readline().startswith(f"waiting: process {first.pid} ")
        first.send_signal(signal.SIGKILL)
        first.wait()
        killed = time.monotonic()
        assert second.stdout.readline().startswith("Mechanic 'champion' at")
        assert time.monotonic() - killed < 60  # the lease
    finally:
        for process in (first, second):
            process.kill()
            process.wait()


def test_a_first_champion_is_trained_from_enough_bars_and_not_asked_for_again_at_once(tmp_path: Path) -> None:
    candles = edge_market(700, [], strength=0.0, seed=5)  # nothing to learn: the constant prediction is champion
    mechanic = make_mechanic(tmp_path, candles)
    assert "of the 288 bars" in do_turn(mechanic, 200).decisions["champion"]
    report = do_turn(mechanic, 300)
    assert report.champions == {"champion": 1} and "the constant prediction" in next(iter(report.challengers.values()))
    assert do_turn(mechanic, 301).predictions == 1
    assert mechanic.works.database.read(lambda connection: challengers_in(connection, "champion", AT_WORK)) == []


def test_a_clock_that_is_set_back_and_forth_leaves_one_turn_a_time(tmp_path: Path) -> None:
    mechanic = make_mechanic(tmp_path, edge_market(400, [], strength=0.6))
    clock = mechanic.clock
    assert isinstance(clock, SimulatedClock)
    done = []
    for bar in (304, 310, 307, 310, 330, 320, 331):
        clock.set(START + bar * HOUR + 90_000)
        done.append(mechanic.tick().done)
    assert done == [True, True, False, False, True, False, True]
