"""The run log: what was run, what is known to have died, how often a hold-out was looked at."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huracan.errors import StorageError
from huracan.storage import Database, RunLog, RunStatus, from_json, to_json


@pytest.fixture
def log(tmp_path: Path) -> RunLog:
    database = Database(f"sqlite:///{tmp_path}/huracan.db")
    database.upgrade()
    return RunLog(database)


def test_a_run_is_kept_from_start_to_end(log: RunLog) -> None:
    run_id = log.start_run(config_hash="c", recipe_hash="r", seed=2**40, versions={"numpy": "2.4"})
    assert log.get(run_id).status is RunStatus.RUNNING
    log.update_run(run_id, data_hash="d")
    log.finish_run(run_id, result_hash="h", report_path="report.html", summary={"sharpe": math.inf, "champion": None})
    run = log.get(run_id)
    assert (run.status, run.data_hash, run.config_hash, run.result_hash) == (RunStatus.FINISHED, "d", "c", "h")
    assert (run.seed, run.versions, run.summary) == (2**40, {"numpy": "2.4"}, {"sharpe": math.inf, "champion": None})
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at
    assert run.started_at.utcoffset() is not None


def test_a_killed_run_is_marked_and_can_be_continued_but_a_living_one_not(log: RunLog) -> None:
    code = (
        "import os, sys; from huracan.storage import Database, RunLog\n"
        "RunLog(Database(sys.argv[1])).start_run(config_hash='c', run_id='dead'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, log.database.where], timeout=60)
    alive = log.start_run(config_hash="c")
    assert log.mark_interrupted() == ["dead"]
    assert log.get("dead").status is RunStatus.INTERRUPTED
    assert log.get(alive).status is RunStatus.RUNNING
    assert [run.run_id for run in log.find(config_hash="c", status="interrupted")] == ["dead"]
    first = log.get("dead")
    assert log.start_run(config_hash="c", run_id="dead") == "dead"
    again = log.get("dead")
    assert (again.id, again.started_at, again.status, again.finished_at) == (first.id, first.started_at, "running", None)
    with pytest.raises(StorageError, match="is running already"):
        log.start_run(run_id=alive)
    assert log.mark_interrupted(alive) == [alive]
    assert log.mark_interrupted(alive) == []


def test_find_gives_the_newest_first(log: RunLog) -> None:
    made = [log.start_run(data_hash="d") for _ in range(3)]
    assert [run.run_id for run in log.find(data_hash="d")] == made[::-1]
    assert [run.run_id for run in log.find(data_hash="d", limit=1)] == made[-1:]
    assert log.find(data_hash="other") == []


def test_an_unknown_run_is_named(log: RunLog) -> None:
    for act in (log.get, log.finish_run, lambda run_id: log.update_run(run_id, data_hash="d")):
        with pytest.raises(StorageError, match="run 'x' is not in"):
            act("x")


def test_every_look_at_a_hold_out_is_counted(log: RunLog) -> None:
    run_id = log.start_run()
    looks = [log.use_hold_out("d", why="report", config_hash="c", run_id=run_id) for _ in range(3)]
    assert looks == [0, 1, 2]
    assert log.use_hold_out("other", why="report") == 0
    assert [(use.why, use.run_id) for use in log.hold_out_uses("d")] == [("report", run_id)] * 3


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: key != "$float"), inner),
    max_leaves=10,
)


@given(plain)
def test_json_comes_back_as_it_went_in(value: object) -> None:
    assert repr(_sorted(from_json(to_json(value)))) == repr(_sorted(value))


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def test_what_json_cannot_hold_is_named_with_its_place() -> None:
    with pytest.raises(StorageError, match=r"params\.model\[1\] is a builtins\.object"):
        to_json({"model": [1, object()]}, where="params")
    with pytest.raises(StorageError, match="has the key 3 of type int"):
        to_json({3: 1})
    with pytest.raises(StorageError, match="cannot be read"):
        from_json("{")
