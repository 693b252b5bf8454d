"""The search: reproducible, honest about what failed, never stopped by one bad trial."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from huracan.automl import AutoMLEngine, Between, OneOf
from huracan.automl.choosing import leaders
from huracan.automl.crew import ProcessFolds
from huracan.automl.fold_work import FoldTask
from huracan.automl.proposals import search_spaces
from huracan.automl.search import Search
from huracan.automl.study_rows import StudyRows
from huracan.automl.trials import Trial, TrialState, careful_score
from huracan.baselines.spec import LearnerSpec
from huracan.catalogue import _LEARNERS, build_model, find_learner, register_learner
from huracan.dataset import TrainingSet
from huracan.errors import ConfigError, DataError, ModelError, NotEnoughData, UnknownName
from huracan.models.binned_rows import BinnedRows
from huracan.registry.formats import dump_model, load_model
from huracan.validation import PurgedWalkForward

QUICK = {"lightgbm": {"n_rounds": Between(5, 20, whole=True), "num_leaves": OneOf((2, 4, 8))}}


def rows_of(n: int = 900, strength: float = 0.5, seed: int = 0) -> TrainingSet:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)).astype(np.float32)
    return TrainingSet.from_arrays(X, strength * X[:, 0] + rng.standard_normal(n), label_horizon=3)


def engine(**settings: Any) -> AutoMLEngine:
    given = {"learners": ["ridge", "lightgbm"], "search_space": QUICK, "max_trials": 6, "random_state": 3, **settings}
    return AutoMLEngine(**given)


class _Bad:
    """A learner of somebody's own: raises, answers NaN, or never ends."""

    def __init__(self, how: str) -> None:
        self.how = how

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> _Bad:
        if self.how == "raises":
            raise RuntimeError("the moon was in the wrong house")
        if self.how == "hangs":
            time.sleep(600)
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), np.nan)


class _BadClassifier(_Bad):
    def predict_proba(self, X: Any) -> Any:
        return np.tile([-0.2, 1.2], (len(X), 1))


@pytest.fixture
def bad_learner(request: pytest.FixtureRequest) -> Any:
    how = request.param
    register_learner(
        LearnerSpec(
            name="bad",
            purpose="fails",
            ideal_dataset_shape="(0 rows)",
            tasks=("regression", "classification"),
            build=lambda context: _BadClassifier(how) if how == "answers no probabilities" else _Bad(how),
        ),
        replace=True,
    )
    yield "bad"
    del _LEARNERS["bad"]


def test_the_same_seed_and_trials_give_the_same_bits() -> None:
    rows = rows_of()
    one, two = engine().fit(rows), engine().fit(rows)
    np.testing.assert_array_equal(one.predict(rows), two.predict(rows))
    assert one.leaderboard_.drop("seconds").equals(two.leaderboard_.drop("seconds"))
    assert one.reproducible_ and len(one.history_) == 6


def test_what_was_found_beats_the_constant_where_there_is_something_to_find() -> None:
    train, later = rows_of(), rows_of(seed=1)
    for task in ("regression", "classification"):
        learners = ["ridge" if task == "regression" else "logistic_regression", "lightgbm"]
        found = engine(task=task, learners=learners).fit(train)
        if task == "regression":
            gain = np.var(later.y) - np.mean((found.predict(later) - later.y) ** 2)
        else:
            p = found.predict_proba(later)[:, 1]
            gain = np.log(2.0) + np.mean(np.log(np.where(later.direction() == 1, p, 1.0 - p)))
        assert gain > 0.05
        assert found.leaderboard_["state"][0] == "finished"


def test_the_luckiest_of_noisy_trials_is_not_the_best() -> None:
    noise = np.random.default_rng(0).standard_normal(3_000)
    noise -= noise.mean()
    assert careful_score(0.010 + 0.05 * noise) > careful_score(0.011 + 3.0 * noise)
    assert careful_score(np.full(50, 0.25)) == 0.25


def test_pure_noise_is_answered_with_little_more_than_the_constant() -> None:
    noise = rows_of(2_000, strength=0.0, seed=5)
    found = engine().fit(noise)
    assert np.std(found.predict(noise)) < 0.1


def test_the_same_setting_is_one_member() -> None:
    def trial(number: int, score: float, **params: float) -> Trial:
        return Trial(number, "ridge", params, 0, "sampler", TrialState.FINISHED, score=score)

    best = leaders([trial(0, 0.1), trial(1, 0.3, alpha=1.0), trial(2, 0.2, alpha=1.0), trial(3, 0.1)], 5)
    assert [one.number for one in best] == [1, 0]


@pytest.mark.parametrize("bad_learner", ["raises", "answers NaN"], indirect=True)
def test_a_learner_that_fails_costs_its_trial_only(bad_learner: str) -> None:
    found = engine(learners=["ridge", bad_learner], search_space={}).fit(rows_of())
    failed = [trial for trial in found.history_ if trial.state is TrialState.FAILED]
    assert failed and all(trial.learner == "bad" and trial.reason for trial in failed)
    assert np.isfinite(found.predict(rows_of())).all()
    with pytest.raises(
        ModelError, match=r"no trial could be finished; the first, bad, failed: (RuntimeError: the moon|member 'bad' answers)"
    ):
        engine(learners=[bad_learner], search_space={}, max_trials=2).fit(rows_of())


@pytest.mark.parametrize("bad_learner", ["answers no probabilities"], indirect=True)
def test_probabilities_that_are_none_cost_their_trial_only(bad_learner: str) -> None:
    found = engine(task="classification", learners=["logistic_regression", bad_learner], search_space={}).fit(rows_of())
    reasons = {trial.reason for trial in found.history_ if trial.learner == "bad"}
    assert reasons == {"member 'bad' answers 1.2 in row 0; probabilities from 0 to 1 were expected."}
    assert found.weights_


@pytest.mark.slow
@pytest.mark.parametrize("bad_learner", ["hangs"], indirect=True)
def test_a_learner_that_hangs_is_ended(bad_learner: str) -> None:
    began = time.monotonic()
    found = engine(learners=["ridge", bad_learner], search_space={}, max_trials=3, trial_timeout=3.0).fit(rows_of())
    assert {trial.learner for trial in found.history_ if trial.state is TrialState.FAILED} == {"bad"}
    assert time.monotonic() - began < 60.0
    assert not found.reproducible_


@pytest.mark.slow
@pytest.mark.parametrize("bad_learner", ["hangs"], indirect=True)
def test_a_learner_that_hangs_does_not_eat_the_budget(bad_learner: str) -> None:
    found = engine(learners=["ridge", bad_learner], search_space={}, max_trials=None, time_budget=20.0).fit(rows_of())
    assert sum(trial.state is TrialState.FAILED and trial.learner == "bad" for trial in found.history_) >= 1
    assert sum(trial.state is TrialState.FINISHED for trial in found.history_) >= 2
    assert found.seconds_ <= 21.0


@pytest.mark.slow
@pytest.mark.parametrize("bad_learner", ["hangs"], indirect=True)
def test_a_first_trial_that_hangs_is_failed_and_the_study_goes_on(bad_learner: str) -> None:
    given = {"learners": [bad_learner, "linear_regression"], "search_space": {}, "max_trials": None, "time_budget": 30.0}
    found = engine(**given).fit(rows_of())
    first, *others = found.history_
    assert first.learner == "bad" and first.state is TrialState.FAILED and "longer than its time" in first.reason
    assert any(trial.state is TrialState.FINISHED and trial.learner == "linear_regression" for trial in others)
    assert found.seconds_ <= 31.5


@pytest.mark.slow
@pytest.mark.parametrize("bad_learner", ["hangs"], indirect=True)
def test_a_worker_is_free_for_the_final_fits_whatever_the_search_left_running(bad_learner: str) -> None:
    crew = ProcessFolds(StudyRows.of(rows_of(), "regression"), 1)
    try:
        crew.give(FoldTask(0, 0, bad_learner, {}, 0, find_learner(bad_learner)))
        crew.give(FoldTask(1, 0, bad_learner, {}, 0, find_learner(bad_learner)))
        assert crew.wait(time.monotonic() + 3.0) == [] and crew.idle == -1
        crew.cancel()
        assert crew.idle == 1
        crew.give(FoldTask(2, 0, "ridge", {}, 0))
        (done,) = crew.wait(time.monotonic() + 60.0)
        assert done.task.trial == 2 and done.answer is not None
    finally:
        crew.close()


def test_hopeless_trials_are_stopped_and_good_ones_are_not() -> None:
    study = StudyRows.of(rows_of(3_000), "regression")
    search = Search(study, None, None, None)  # type: ignore[arg-type]
    y = [study.targets[fold].y for fold in range(4)]
    for number, share in ((0, 0.3), (1, -0.5)):
        trial = Trial(number, "ridge", {}, 0, "sampler")
        for fold in range(4 if number == 0 else 1):
            trial.gains[fold] = study.gains(fold, share * y[fold])
        trial.score = careful_score(trial.in_time_order(sorted(trial.gains)))
        if number == 0:
            trial.state = TrialState.FINISHED
            search.trials.append(trial)
        else:
            assert search._hopeless(trial, [0])
    assert not search._hopeless(search.trials[0], [0, 1])


def test_bins_know_only_what_every_fold_trains_on() -> None:
    """Other values in the newest rows change no model of an older fold."""
    rows = rows_of(1_200)
    folds = tuple(PurgedWalkForward(3).folds(rows))
    changed = rows.X.copy()
    changed[folds[0].test[0] :] *= 50.0
    fitted = []
    for X in (rows.X, changed):
        bins = BinnedRows(X, folds[0].train)
        train = TrainingSet.from_arrays(X, rows.y, label_horizon=3).take(folds[0].train_rows)
        fitted.append(build_model("lightgbm", n_rounds=5).fit_prepared(train, bins.of_fold(0, folds[0].train)))
    np.testing.assert_array_equal(fitted[0].predict(rows), fitted[1].predict(rows))


def test_xgboost_from_kept_rows_is_xgboost() -> None:
    rows = rows_of(1_200)
    bins = BinnedRows(rows.X, np.arange(300))
    train = rows.take(slice(0, 800))
    plain = build_model("xgboost", n_rounds=10).fit(train)
    for _ in range(2):
        kept = build_model("xgboost", n_rounds=10).fit_prepared(train, bins.of_fold(0, np.arange(800)))
        np.testing.assert_array_equal(kept.predict(rows), plain.predict(rows))


def test_an_ensemble_is_stored_without_pickle() -> None:
    rows = rows_of()
    found = engine().fit(rows)
    again = load_model(dump_model(found.best_model_))
    np.testing.assert_array_equal(again.predict(rows), found.predict(rows))


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"max_trials": None}, ConfigError, "neither time_budget nor max_trials"),
        ({"max_trials": 0}, ConfigError, "max_trials is 0"),
        ({"time_budget": -3.0}, ConfigError, "time_budget is -3.0"),
        ({"learners": []}, ConfigError, "learners is empty"),
        ({"learners": "ridge"}, ConfigError, "learners is 'ridge'; a list of names"),
        ({"n_workers": 0}, ConfigError, "n_workers is 0"),
        ({"max_members": 0}, ConfigError, "max_members is 0"),
        ({"trial_timeout": -1.0}, ConfigError, "trial_timeout is -1.0"),
        ({"random_state": -1}, ConfigError, "random_state is -1"),
        ({"learners": ["lstmm"]}, UnknownName, "did you mean 'lstm'"),
        ({"learners": ["gan"]}, ModelError, "gan, which does not do regression"),
        ({"sampler": "tpee"}, UnknownName, "did you mean 'tpe'"),
        ({"task": "ranking"}, ConfigError, "task is 'ranking'"),
        ({"search_space": {"lightgbm": {"rounds": Between(1, 2)}}}, UnknownName, "hyperparameter of lightgbm"),
        ({"search_space": {"lightgbm": {"n_rounds": 7}}}, ModelError, "lightgbm.n_rounds is 7; Between"),
        ({"search_space": {"xgboost": {}}}, ModelError, "speaks of 'xgboost', which is not among"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        engine(**settings)


def test_a_space_may_name_its_learner_as_a_user_does() -> None:
    space = {"lgbm": {"num_leaves": OneOf((3, 5))}}
    assert search_spaces(["lightgbm"], space)["lightgbm"]["num_leaves"] == OneOf((3, 5))


def test_a_space_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match="holds nothing"):
        Between(3, 1)
    with pytest.raises(ModelError, match="log scale needs bounds above 0"):
        Between(0, 1, log=True)
    with pytest.raises(NotEnoughData):
        engine().fit(rows_of(12))


def test_what_is_not_fitted_yet_says_so_and_labels_are_not_given_twice() -> None:
    engine = AutoMLEngine(max_trials=1)
    with pytest.raises(ModelError, match="call fit first"):
        engine.predict(np.zeros((3, 2)))
    rows = TrainingSet.from_arrays(np.zeros((300, 2)), np.arange(300.0))
    with pytest.raises(DataError, match="brings its own labels"):
        engine.fit(rows, rows.y)


@pytest.mark.parametrize("names", [(-1, 1), (1, 2), (False, True), ("down", "up"), (0.0, 1.0)])
def test_labels_of_two_classes_come_back_as_they_were_given(names: tuple[Any, Any]) -> None:
    rows = rows_of()
    up = rows.y > 0
    found = engine(task="classification", learners=["logistic_regression"], search_space={}, max_trials=2)
    found.fit(rows.X, np.where(up, names[1], names[0]), label_horizon=3)
    said = found.predict(rows.X)
    assert found.classes_.tolist() == list(names) and set(said.tolist()) == set(names)
    assert np.mean((said == names[1]) == up) > 0.55
    np.testing.assert_array_equal(said == names[1], found.predict_proba(rows.X)[:, 1] > 0.5)
    by_sign = engine(task="classification", learners=["logistic_regression"], search_space={}, max_trials=2).fit(rows)
    np.testing.assert_array_equal(by_sign.predict_proba(rows.X), found.predict_proba(rows.X))
    assert by_sign.classes_.tolist() == [0, 1]


def test_more_than_two_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"y holds 3 classes \(0, 1, 2\); two, or numbers whose sign is asked for"):
        engine(task="classification", learners=["logistic_regression"], search_space={}).fit(rows_of().X, np.arange(900) % 3)


@pytest.mark.parametrize("bad_learner", ["raises"], indirect=True)
def test_a_fit_that_fails_leaves_the_engine_as_it_was(bad_learner: str, tmp_path: Any) -> None:
    rows = rows_of()
    found = engine(learners=["ridge", bad_learner], search_space={}, max_trials=2, database=f"sqlite:///{tmp_path}/s.db").fit(
        rows
    )
    before = dict(vars(found))
    found.spaces.pop("ridge")
    with pytest.raises(ModelError, match="no trial could be finished"):
        found.fit(rows_of(seed=1))
    assert vars(found) == before and np.isfinite(found.predict(rows)).all()


def test_nothing_is_left_open_where_workers_cannot_start(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_crew(self: AutoMLEngine, study: StudyRows) -> Any:
        raise OSError("no more processes")

    monkeypatch.setattr(AutoMLEngine, "_crew", no_crew)
    with pytest.raises(OSError, match="no more processes"):
        engine(database=f"sqlite:///{tmp_path}/s.db").fit(rows_of())
    assert not any("signs of life" in thread.name for thread in threading.enumerate())
