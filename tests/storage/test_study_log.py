"""The log of studies: how often data have been asked already, and who has which trial."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.storage import Database, Study, StudyFacts, StudyLog, StudyStatus


@pytest.fixture
def log() -> StudyLog:
    database = Database("sqlite://")
    database.upgrade()
    return StudyLog(database)


def day(number: int) -> datetime:
    return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=number)


def study_of(
    log: StudyLog,
    name: str,
    first: int | None,
    last: int | None,
    symbols: str = "A",
    *,
    data: str | None = None,
    trials: int = 1,
) -> Study:
    """A study of days ``first`` to ``last``; each letter is a symbol."""
    start, end = (None if first is None else day(first)), (None if last is None else day(last))
    facts = StudyFacts(
        data or name, tuple(symbols), start, end, "regression", "squared_error", 100, 3, 3600.0, 0, {"numpy": "2"}
    )
    study = log.open(name, facts, {"sampler": "tpe"}, list)
    me = log.enter(study.id)
    for _ in range(trials):
        number = log.reserve(study.id, me, None)
        assert number is not None
        log.end(study.id, number, me, {"state": "finished", "score": 0.1 * number})
    return study


def earlier(log: StudyLog, first: int, last: int, symbols: Sequence[str], *, data: str = "new", but: str | None = None) -> int:
    return len(log.earlier_trials(data_hash=data, symbols=symbols, span=(day(first), day(last)), but=but))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 8), st.sets(st.sampled_from("ABC"), min_size=1), st.integers(0, 3)),
        max_size=6,
    )
)
def test_the_trials_of_every_study_that_saw_a_bar_of_these_are_counted(spans: list[tuple[int, int, set[str], int]]) -> None:
    log = StudyLog(Database("sqlite://"))
    log.database.upgrade()
    seen: list[tuple[set[tuple[int, str]], int]] = []
    for place, (one, other, symbols, trials) in enumerate(spans):
        first, last = min(one, other), max(one, other)
        cells = {(number, symbol) for number in range(first, last + 1) for symbol in symbols}
        expected = sum(count for earlier_cells, count in seen if not cells.isdisjoint(earlier_cells))
        assert earlier(log, first, last, sorted(symbols)) == expected
        study_of(log, str(place), first, last, "".join(sorted(symbols)), trials=trials)
        seen.append((cells, trials))


def test_rows_without_times_are_known_by_their_bytes(log: StudyLog) -> None:
    study_of(log, "untimed", None, None, data="d", trials=3)
    assert earlier(log, 0, 9, "A", data="e") == 0
    assert earlier(log, 0, 9, "A", data="d") == 3
    assert log.earlier_trials(data_hash="d", symbols="Z", span=None) == [0.0, 0.1, 0.2]
    assert earlier(log, 0, 9, "A", data="d", but="untimed") == 0


def test_trials_that_never_had_a_score_are_not_counted(log: StudyLog) -> None:
    study = study_of(log, "s", 0, 9, trials=2)
    me = log.enter(study.id)
    for state in ("failed", "running"):
        number = log.reserve(study.id, me, None)
        assert number is not None
        if state == "failed":
            log.end(study.id, number, me, {"state": state, "reason": "no luck"})
    assert earlier(log, 0, 9, "A") == 2


def test_a_study_that_goes_on_is_running_again(log: StudyLog) -> None:
    study = study_of(log, "s", 0, 9)
    assert study.status is StudyStatus.RUNNING
    log.finish(study.id, {"best": 1})
    [finished] = log.find(status=StudyStatus.FINISHED, task="regression")
    assert finished.finished_at is not None and finished.result == {"best": 1}
    me = log.enter(study.id)
    assert log.reserve(study.id, me, 1) is None
    assert [one.name for one in log.find(status=StudyStatus.FINISHED)] == ["s"], "nothing new was begun"
    log.reserve(study.id, me, 2)
    assert log.find(status=StudyStatus.FINISHED) == []


def test_a_study_is_what_it_was_begun_as(log: StudyLog) -> None:
    first = study_of(log, "s", 0, 9, "AB")
    again = log.open("s", first.facts, {"sampler": "other"}, lambda: ["never asked"])
    assert again == first
    assert (again.facts.symbols, again.facts.span_end, again.queue) == (("A", "B"), day(9), [])
