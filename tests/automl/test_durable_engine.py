"""The engine with a database: ``kill -9``, several processes, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.automl_checks.durability import SearchProcess, kills, table_of
from benchmarks.automl_checks.own_postgresql import new_database
from benchmarks.automl_checks.search_process import SearchSpec, engine_of, outcome, rows_of

from huracan.automl import AutoMLEngine
from huracan.dataset import TimeSource
from huracan.errors import ConfigError, HuracanError, StorageError
from huracan.storage import Database
from huracan.storage.schema import VERSION_TABLE

UNDISTURBED = {"lost": 0, "repeated": 0, "same_table": True, "same_model": True}


@pytest.mark.slow
def test_a_search_killed_at_random_moments_loses_repeats_and_changes_nothing() -> None:
    found = kills(2, trials=16, seed=4)
    assert {key: found[key] for key in UNDISTURBED} == UNDISTURBED


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "nsga_ii", "qmc"])
def test_whatever_the_sampler_and_however_often(sampler: str) -> None:
    found = kills(6, trials=40, seed=1, sampler=sampler)
    assert {key: found[key] for key in UNDISTURBED} == UNDISTURBED


@pytest.mark.slow
def test_two_processes_share_a_study_in_postgresql(postgresql_server: str) -> None:
    spec = SearchSpec(new_database(postgresql_server), "shared", 30)
    Database(str(spec.url)).upgrade()
    processes = [SearchProcess(spec) for _ in range(2)]
    for process in processes:
        process.begin()
    one, two = (process.result() for process in processes)
    assert one == two and one["trials"] == 30
    table = table_of(str(spec.url), "number", "attempts", "owner")
    assert [row[:2] for row in table] == [(number, 1) for number in range(30)]
    assert len({row[2] for row in table}) == 2, "both worked"


def test_a_database_changes_nothing_about_what_is_found(tmp_path: Path) -> None:
    spec = SearchSpec(None, None, 8)
    rows = rows_of(spec)
    alone = outcome(engine_of(spec).fit(rows), rows)
    stored = SearchSpec(f"sqlite:///{tmp_path}/h.db", "s", 8)
    for _ in range(2):
        assert outcome(engine_of(stored).fit(rows), rows) == alone


@pytest.mark.slow
@pytest.mark.parametrize("start", [{"n_workers": 2}, {"trial_timeout": 60.0}])
def test_a_study_that_was_begun_by_chance_is_never_reproducible(tmp_path: Path, start: dict[str, Any]) -> None:
    rows = rows_of(SearchSpec(None, None, 1))
    settings: dict[str, Any] = {"learners": ["ridge"], "database": f"sqlite:///{tmp_path}/h.db", "study": "s"}
    assert not AutoMLEngine(**settings, **start, max_trials=2).fit(rows).reproducible_
    assert not AutoMLEngine(**settings, max_trials=4).fit(rows).reproducible_
    assert AutoMLEngine(**{**settings, "study": "other"}, max_trials=4).fit(rows).reproducible_


def test_a_study_of_another_setting_warms_up_a_new_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/h.db"
    rows = replace(rows_of(SearchSpec(url, None, 1)), time_source=TimeSource.GIVEN)
    settings: dict[str, Any] = {"learners": ["ridge"], "database": url, "max_trials": 6}
    first = AutoMLEngine(**settings, study="first").fit(rows)
    second = AutoMLEngine(**settings, study="second", random_state=1, warm_start=True).fit(rows)
    sources = {trial.number: trial.source for trial in second.history_}
    assert sources[3] == "history"
    best = max((trial for trial in first.history_ if trial.source == "sampler"), key=lambda trial: trial.score)
    assert dict(best.params) in [dict(trial.params) for trial in second.history_ if trial.source == "history"]


def _not_a_database(folder: Path) -> str:
    (folder / "notes.db").write_text("not a database, but long enough to be looked at " * 50)
    return f"sqlite:///{folder}/notes.db"


def _of_the_future(folder: Path) -> str:
    database = Database(f"sqlite:///{folder}/new.db")
    database.upgrade()
    with database.transaction() as connection:
        connection.exec_driver_sql(f"update {VERSION_TABLE} set version_num = '9999'")
    return f"sqlite:///{folder}/new.db"


def _begun_otherwise(folder: Path) -> str:
    spec = SearchSpec(f"sqlite:///{folder}/h.db", "s", 2, sampler="random")
    engine_of(spec).fit(rows_of(spec))
    return str(spec.url)


def _nowhere(folder: Path) -> str:
    pytest.importorskip("psycopg")
    return f"postgresql+psycopg://huracan@/nothing?host={folder}"


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (_not_a_database, StorageError, "notes.db is not a SQLite database"),
        (_of_the_future, StorageError, r"revision '9999'.*a newer version wrote it; upgrade huracan"),
        (_nowhere, StorageError, "cannot be reached"),
        (_begun_otherwise, ConfigError, r"the study 's' in sqlite.* with this call: sampler is 'tpe' here and 'random' there"),
        (lambda _: "mysql://x/y", StorageError, "database kind 'mysql' is not supported"),
        (lambda _: None, ConfigError, r"study is 's' without a database; database= was expected"),
    ],
)
def test_what_cannot_keep_this_study_is_refused_in_one_sentence(
    tmp_path: Path, make: Any, kind: type[HuracanError], said: str
) -> None:
    spec = SearchSpec(make(tmp_path), "s", 2)
    with pytest.raises(kind, match=said):
        engine_of(spec).fit(rows_of(spec))


def test_a_warm_start_needs_a_database() -> None:
    spec = SearchSpec(None, None, 2)
    with pytest.raises(ConfigError, match="warm_start is True without a database"):
        AutoMLEngine(max_trials=1, learners=["ridge"], warm_start=True).fit(rows_of(spec))
