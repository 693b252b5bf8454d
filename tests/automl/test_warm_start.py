"""What earlier studies found good comes early in a new one, and does nothing else to it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huracan.automl import AutoMLEngine, Between
from huracan.automl.proposals import search_spaces
from huracan.automl.warm_start import good_settings, with_history
from huracan.baselines.search_space import OneOf
from huracan.dataset import TrainingSet
from huracan.storage import Database, StudyFacts, StudyLog

SPACES = search_spaces(
    ["ridge", "lightgbm"], {"lightgbm": {"num_leaves": OneOf((4, 8)), "n_rounds": Between(50, 100, whole=True)}}
)


def facts(rows: int = 1_000, features: int = 10, task: str = "regression", symbols: int = 1) -> StudyFacts:
    names = tuple(f"S{k}" for k in range(symbols))
    now = datetime(2025, 1, 1, tzinfo=UTC)
    return StudyFacts("d", names, now, now, task, "squared_error", rows, features, 60.0, 0, {})


@pytest.fixture
def log() -> StudyLog:
    database = Database("sqlite://")
    database.upgrade()
    return StudyLog(database)


def past(log: StudyLog, name: str, about: StudyFacts, *trials: tuple[str, dict[str, Any], float], ended: bool = True) -> None:
    study = log.open(name, about, {}, list)
    me = log.enter(study.id)
    for learner, params, score in trials:
        number = log.reserve(study.id, me, None)
        assert number is not None
        log.settle(study.id, number, me, {"learner": learner, "params": params})
        log.end(study.id, number, me, {"state": "finished", "score": score})
    if ended:
        log.finish(study.id, {})


def test_the_most_similar_study_comes_first_and_its_best_setting_before_its_second(log: StudyLog) -> None:
    past(log, "far", facts(rows=100_000), ("ridge", {"expected_ic": 0.3}, 0.9))
    past(log, "near", facts(rows=1_200), ("ridge", {"expected_ic": 0.1}, 0.1), ("ridge", {"expected_ic": 0.2}, 0.2))
    found = good_settings(log.database, facts(), SPACES)
    assert [params["expected_ic"] for _, params, _ in found] == [0.2, 0.1, 0.3]
    assert {source for _, _, source in found} == {"history"}


def test_only_finished_studies_of_the_task_and_settings_that_beat_the_constant_count(log: StudyLog) -> None:
    past(log, "other task", facts(task="classification"), ("ridge", {"expected_ic": 0.3}, 0.9))
    past(log, "running", facts(), ("ridge", {"expected_ic": 0.3}, 0.9), ended=False)
    past(log, "worse", facts(), ("ridge", {"expected_ic": 0.3}, -0.1), ("extra_trees", {}, 0.5))
    assert good_settings(log.database, facts(), SPACES) == []


def test_a_setting_is_brought_into_the_space_or_left_out(log: StudyLog) -> None:
    past(
        log,
        "s",
        facts(),
        ("lightgbm", {"n_rounds": 4_000, "num_leaves": 8}, 0.9),
        ("lightgbm", {"num_leaves": 31}, 0.8),
        ("lightgbm", {"a_hyperparameter_of_old": 1}, 0.7),
    )
    [(learner, params, _)] = good_settings(log.database, facts(), SPACES)
    assert (learner, params["n_rounds"], params["num_leaves"]) == ("lightgbm", 100, 8)


def test_history_comes_after_the_surest_and_tries_nothing_twice() -> None:
    portfolio = [("ridge", {"expected_ic": value}, "portfolio") for value in (0.01, 0.02, 0.03, 0.04)]
    history = [("ridge", {"expected_ic": value}, "history") for value in (0.04, 0.1, 0.1, *(0.2 + k / 100 for k in range(9)))]
    queue = with_history(portfolio, history, SPACES)
    assert [source for _, _, source in queue] == ["portfolio"] * 3 + ["history"] * 6 + ["portfolio"]
    values = [params["expected_ic"] for _, params, _ in queue]
    assert len(set(values)) == len(values) and values[3] == 0.1


def test_what_a_search_found_on_the_span_that_judges_is_no_beginning(tmp_path: Path) -> None:
    """Another search saw the whole; its settings know of what is to judge this one."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((900, 3)).astype(np.float32)
    times = np.datetime64("2020-01-01") + np.arange(900)
    rows = TrainingSet.from_arrays(X, X[:, 0] + rng.standard_normal(900), ts=times)
    url = f"sqlite:///{tmp_path}/studies.db"

    def sources(name: str, **settings: Any) -> set[str]:
        space = {"ridge": {"expected_ic": Between(0.01, 0.3, log=True)}}
        found = AutoMLEngine(max_trials=6, learners=["ridge"], search_space=space, database=url, study=name, **settings).fit(
            rows
        )
        return {trial.source for trial in found.history_}

    sources("whole", judged_share=0.0)
    assert "history" not in sources("judged", judged_share=0.4, warm_start=True, random_state=1)
    assert "history" in sources("again", judged_share=0.0, warm_start=True, random_state=2)


def test_last_nights_study_counts_though_its_last_span_judged_it_and_rows_without_times_have_no_last_night(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((920, 3)).astype(np.float32)
    y, times = X[:, 0] + rng.standard_normal(920), np.datetime64("2020-01-01") + np.arange(920)
    space = {"ridge": {"expected_ic": Between(0.01, 0.3, log=True)}}

    def sources(name: str, n: int, ts: Any, **settings: Any) -> set[str]:
        rows = TrainingSet.from_arrays(X[:n], y[:n], ts=None if ts is None else ts[:n])
        url = f"sqlite:///{tmp_path}/{'none' if ts is None else 'times'}.db"
        engine = AutoMLEngine(max_trials=6, learners=["ridge"], search_space=space, database=url, study=name, **settings)
        return {trial.source for trial in engine.fit(rows).history_}

    sources("last night", 900, times)
    assert "history" in sources("tonight", 920, times, warm_start=True, random_state=1)
    sources("last night", 900, None)
    with pytest.warns(UserWarning, match="rows without times of their own cannot be shown to be later"):
        assert "history" not in sources("tonight", 920, None, warm_start=True, random_state=1)
