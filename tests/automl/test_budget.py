"""A budget by the clock holds for everything, and a short one gives a model, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from huracan.automl import AutoMLEngine, Between, OneOf, choosing
from huracan.automl.automl_engine import _affordable
from huracan.automl.budget import Budget
from huracan.automl.crew import SameProcess
from huracan.automl.feature_choice import FEATURE_SPACE
from huracan.automl.final_fits import clock_time
from huracan.automl.proposals import Proposals
from huracan.automl.search import Search
from huracan.automl.study_rows import StudyRows
from huracan.automl.trials import Trial, TrialState
from huracan.catalogue import find_learner
from huracan.dataset import TrainingSet
from huracan.errors import ModelError, NotEnoughData
from huracan.validation import PurgedWalkForward


def rows_of(n: int, d: int = 4, seed: int = 0) -> TrainingSet:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(np.float32)
    return TrainingSet.from_arrays(X, 0.5 * X[:, 0] + rng.standard_normal(n), label_horizon=3)


def test_where_nothing_is_known_of_the_cost_searching_ends_early() -> None:
    budget = Budget(seconds=100.0)
    assert budget.end_of_search(None) == pytest.approx(budget.began + 40.0)
    assert budget.end_of_search(10.0) == pytest.approx(budget.began + 85.0)
    assert budget.end_of_search(2.0, wanted=5.0) == pytest.approx(budget.began + 91.5)
    assert budget.end_of_search(2.0, wanted=500.0) == pytest.approx(budget.began + 82.4)  # as much as the members may have
    assert budget.end_of_search(20.0, wanted=500.0) == pytest.approx(budget.began + 72.0)  # never less than the best one needs
    assert 72.0 < budget.room <= 98.0 / 1.3 and Budget(trials=3).room == np.inf
    assert Budget(trials=3).end_of_search(None) is None


def test_time_to_choose_members_is_kept_and_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    study = StudyRows.of(rows_of(100_000), "classification")
    n_rows = sum(len(fold.test) for fold in study.folds)
    trials = [Trial(number, "ridge", {"alpha": number}, 0, "sampler", TrialState.FINISHED, score=0.1) for number in range(3)]
    rng = np.random.default_rng(0)
    for trial in trials:
        trial.answers = {k: rng.uniform(0.4, 0.6, len(fold.test)).astype(np.float32) for k, fold in enumerate(study.folds)}
        trial.gains = {k: np.ones(2) for k in trial.answers}
    seen = []

    def greedy(table: Any, labels: Any, *loss: Any, **more: Any) -> Any:
        seen.append(table)
        return np.array([0.5, 0.3, 0.1, 0.1])

    monkeypatch.setattr(choosing, "greedy_weights", greedy)
    for _ in range(2):
        choosing.choose(study, trials, most=3, ensemble=True, random_state=0)
    assert n_rows > len(seen[0]) == 50_000 and np.array_equal(seen[0], seen[1])
    search = Search(study, None, SameProcess(study), Budget(100.0), members=3, trials=trials)  # type: ignore[arg-type]
    kept = choosing.seconds_to_choose(study, 3) + 3 * 0.003
    assert search._end() == pytest.approx(search.budget.began + 98.0 - kept) and kept > 0.5


def test_what_a_final_fit_prepares_anew_is_part_of_its_cost() -> None:
    study = StudyRows.of(rows_of(1_200), "regression", judged_share=0.2)
    chosen = {"select_features_by": "importance", "share_of_features": 0.5}
    queue = [("ridge", chosen, "portfolio"), ("ridge", {**chosen, "alpha": 2.0}, "portfolio"), ("ridge", {}, "portfolio")]
    proposals = Proposals({"ridge": {**find_learner("ridge").search_space, **FEATURE_SPACE}}, queue, seed=0)
    search = Search(study, proposals, SameProcess(study), Budget(trials=3))
    first, second, plain = search.run()
    ranked = study.seconds["importance"] / len(study.folds)
    assert first.wall_seconds > 4 * 0.5 * ranked > second.wall_seconds, "the second finds the rankings made"
    for trial in (first, second):
        assert search.cost_of(trial) > 2 * ranked
    assert search.cost_of(plain) < ranked
    lightgbm = Search(study, Proposals({"lightgbm": {}}, seed=0), SameProcess(study), Budget(trials=1))
    (trial,) = lightgbm.run()
    assert lightgbm.cost_of(trial) > 2 * study.seconds["lightgbm"] > 0.0


def test_members_of_least_weight_give_way_where_time_is_short() -> None:
    members = [Trial(number, "ridge", {}, 0, "sampler") for number in range(3)]
    cost = {0: 5.0, 1: 1.0, 2: 1.0}
    weights = np.array([0.2, 0.5, 0.1])

    def on_workers(n: int) -> Callable[[Sequence[Trial]], float]:
        return lambda some: clock_time((cost[trial.number] for trial in some), n)

    kept, scaled = _affordable(members, weights, on_workers(1), 3.0)
    assert [trial.number for trial in kept] == [1] and scaled.tolist() == pytest.approx([0.8])
    kept, scaled = _affordable(members, weights, on_workers(1), 60.0)
    assert len(kept) == 3 and scaled.tolist() == weights.tolist()
    assert len(_affordable(members, weights, on_workers(2), 6.0)[0]) == 3  # beside each other
    assert len(_affordable(members, weights, on_workers(1), 0.1)[0]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [6.0, 12.0])
def test_a_budget_is_not_overrun(seconds: float) -> None:
    began = time.monotonic()
    found = AutoMLEngine(time_budget=seconds).fit(rows_of(4_000, 20))
    assert time.monotonic() - began <= 1.05 * seconds
    assert found.verdict_ is not None and not found.reproducible_ and not found.notes_


@pytest.mark.slow
def test_a_budget_too_short_for_one_trial_gives_the_first_setting_and_says_so() -> None:
    rows = rows_of(60_000, 40)
    with pytest.warns(UserWarning, match="no trial was finished within 5 s; lightgbm, a setting of the portfolio"):
        found = AutoMLEngine(time_budget=5.0, learners=["lightgbm"], search_space={}).fit(rows)
    assert np.isfinite(found.predict(rows)).all() and found.verdict_ is None
    with pytest.warns(UserWarning, match="the constant forecast answers"):
        found = AutoMLEngine(time_budget=1.0, learners=["lightgbm"], search_space={}).fit(rows)
    assert np.ptp(found.predict(rows)) == 0.0


def test_the_setting_in_place_of_a_trial_lies_in_the_space_that_is_searched() -> None:
    space = {"lightgbm": {"n_rounds": Between(5, 9, whole=True), "num_leaves": OneOf((3, 5))}}
    engine = AutoMLEngine(time_budget=2.0, learners=["lightgbm"], search_space=space)
    engine.history_, engine.notes_ = [], []
    with pytest.warns(UserWarning, match="no trial was finished within 2 s"):
        chosen = engine._in_place_of_a_trial(*nothing_finished())
    assert chosen.params["n_rounds"] == 9 and chosen.params["num_leaves"] in (3, 5)


def nothing_finished() -> tuple[StudyRows, Search, Budget]:
    study = StudyRows.of(rows_of(400), "regression")
    return study, Search(study, None, None, None), Budget(2.0)  # type: ignore[arg-type]


def test_a_setting_that_ran_out_of_time_is_not_fitted_in_place_of_a_trial() -> None:
    def ended(number: int, learner: str, folds: int = 0, state: TrialState = TrialState.FAILED) -> Trial:
        gains = {fold: np.zeros(30) for fold in range(folds)}
        return Trial(number, learner, {}, 0, "portfolio", state, gains=gains)

    cut_short = TrialState.CUT_SHORT
    engine = AutoMLEngine(time_budget=2.0)
    engine.notes_ = []
    study, search, budget = nothing_finished()
    search._overdue["ridge"] = 1
    for history, expected in (
        ([ended(0, "ridge", state=cut_short)], "extra_trees"),
        ([ended(0, "ridge")], "extra_trees"),
        ([ended(0, "ridge"), ended(1, "extra_trees")], "lightgbm"),
        ([ended(0, "ridge"), ended(1, "extra_trees", 1, cut_short), ended(2, "xgboost", 2, cut_short)], "xgboost"),
        ([ended(number, learner) for number, learner in enumerate(engine.learners)], "ridge"),  # all are slow: the cheapest
    ):
        engine.history_ = history
        with pytest.warns(UserWarning, match="no trial was finished within 2 s"):
            assert engine._in_place_of_a_trial(study, search, budget).learner == expected


def test_folds_of_one_class_are_left_out_and_labels_of_one_class_refused() -> None:
    rows = rows_of(1_000)
    rows.y[:500] = np.abs(rows.y[:500]) + 0.1
    folds = StudyRows.of(rows, "classification").folds
    assert 0 < len(folds) < 4

    def engine(**more: Any) -> AutoMLEngine:
        return AutoMLEngine(max_trials=2, task="classification", learners=["logistic_regression"], **more)

    assert np.isfinite(engine().fit(rows).predict_proba(rows)).all()
    rows.y[:] = 1.0
    with pytest.raises(ModelError, match="train on one class only"):
        engine().fit(rows)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_folds_that_train_on_rows_of_weight_0_are_left_out_and_rows_without_weight_refused(task: Any) -> None:
    rows = rows_of(1_000)
    rows.weight[: len(StudyRows.of(rows, task).folds[-1].train)] = 0.0
    study = StudyRows.of(rows, task)
    assert len(study.folds) == 3
    assert all(np.isfinite(study.targets[fold].constant) for fold in range(3))
    one = PurgedWalkForward(1)
    rows.weight[: next(iter(one.folds(rows))).test[0]] = 0.0
    with pytest.raises(NotEnoughData, match=r"all rows that 1 fold\(s\) train on have weight 0"):
        StudyRows.of(rows, task, one)


def test_a_class_that_has_no_weight_is_not_there_to_be_learned() -> None:
    rows = rows_of(1_000)
    rows.weight[:250][rows.y[:250] > 0] = 0.0
    assert 0 < len(StudyRows.of(rows, "classification").folds) < len(StudyRows.of(rows, "regression").folds)
