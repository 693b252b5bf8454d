"""The run log: what was run, what is known to have died, how often a hold-out was looked at."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
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


def day(number: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)


def look(log: RunLog, first: int, last: int, symbols: str = "A", *, data: str = "d", run_id: str | None = None) -> int:
    """Look at days ``first`` to ``last``; each letter is a symbol."""
    if run_id is not None and not any(run.run_id == run_id for run in log.find()):
        log.start_run(run_id=run_id)
    return log.use_hold_out(
        data_hash=data, symbols=list(symbols), start=day(first), end=day(last), why="report", config_hash="c", run_id=run_id
    )


def test_every_look_at_a_hold_out_is_counted_whatever_was_appended_to_the_data(log: RunLog) -> None:
    looks = [look(log, 10 + k, 20 + k, data=f"with {k} more bars", run_id=f"r{k}") for k in range(4)]
    assert looks == [0, 1, 2, 3]


def test_other_days_and_other_symbols_are_other_hold_outs(log: RunLog) -> None:
    look(log, 10, 20, "AB", run_id="first")
    assert look(log, 21, 30, "AB") == 0, "later days"
    assert look(log, 0, 9, "AB") == 0, "earlier days"
    assert look(log, 10, 20, "CD") == 0, "other symbols"
    assert look(log, 20, 20, "BZ") == 1, "one day and one symbol are enough"
    assert look(log, 0, 40, "A") == 3


def test_a_run_that_looks_again_counts_once_and_does_not_count_itself(log: RunLog) -> None:
    assert look(log, 10, 20, run_id="first") == 0
    assert look(log, 10, 20, run_id="first") == 0
    assert look(log, 10, 20, run_id="second") == 1
    assert look(log, 10, 20, run_id="first") == 0, "what others looked at since does not change the past"
    assert [use.run_id for use in log.hold_out_uses("d")] == ["first", "second"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.sets(st.sampled_from("ABC"), min_size=1)), max_size=8))
def test_the_count_is_the_number_of_earlier_spans_that_overlap(spans: list[tuple[int, int, set[str]]]) -> None:
    log = RunLog(Database("sqlite://"))
    log.database.upgrade()
    seen: list[set[tuple[int, str]]] = []
    for one, other, symbols in spans:
        first, last = min(one, other), max(one, other)
        cells = {(number, symbol) for number in range(first, last + 1) for symbol in symbols}
        assert look(log, first, last, "".join(symbols)) == sum(not cells.isdisjoint(earlier) for earlier in seen)
        seen.append(cells)


def test_looks_are_listed_by_data_or_by_symbols(log: RunLog) -> None:
    look(log, 1, 2, "AB", data="d", run_id="r")
    look(log, 3, 4, "BC", data="e")
    assert [use.symbols for use in log.hold_out_uses()] == [("A", "B"), ("B", "C")]
    [use] = log.hold_out_uses("d")
    assert (use.why, use.run_id, use.config_hash, use.span_start, use.span_end) == ("report", "r", "c", day(1), day(2))
    assert [use.data_hash for use in log.hold_out_uses(symbols=["C", "X"])] == ["e"]
    assert log.hold_out_uses("d", symbols=["C"]) == []


def test_a_look_logged_before_spans_were_kept_counts_on_the_same_data(log: RunLog) -> None:
    with log.database.transaction() as connection:
        connection.exec_driver_sql("insert into hold_out_uses (data_hash, why) values ('d', 'early')")
    assert look(log, 1, 2, data="e") == 0
    assert look(log, 1, 2, data="d") == 2
    assert log.hold_out_uses("d")[0].symbols == ()


def test_a_look_that_makes_no_sense_is_refused(log: RunLog) -> None:
    with pytest.raises(StorageError, match="names no symbol"):
        look(log, 1, 2, "")
    with pytest.raises(StorageError, match="ends before it starts"):
        look(log, 2, 1)
    with pytest.raises(StorageError, match="has no time zone"):
        log.use_hold_out(data_hash="d", symbols=["A"], start=datetime(2025, 1, 1), end=day(3), why="report")
    assert log.hold_out_uses() == []


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
