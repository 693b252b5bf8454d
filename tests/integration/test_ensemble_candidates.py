"""Ensembles as candidates of the main job: nested in every fold, trained once for all of them, never taking the run down."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import UnifiedMLPipeline
from huracan.baselines.spec import LearnerSpec
from huracan.catalogue import _LEARNERS, build_model, register_learner, signal_score
from huracan.config import LearnerConfig, load_config
from huracan.dataset import TrainingSet
from huracan.errors import ConfigError, ModelError
from huracan.integration.candidates import LearnerCandidate, candidates_of, check_candidates
from huracan.integration.ensemble_candidates import EnsembleCandidate, MemberPool, _greedy, ensembles_of
from huracan.registry.formats import dump_model, load_model
from huracan.validation import PurgedWalkForward

METHODS = ["greedy", "stacking", "inverse_loss", "voting", "by_regime", "hedge"]


def rows_of(n: int = 700, *, strength: float = 0.6, seed: int = 0, horizon: int = 3) -> TrainingSet:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    rows = TrainingSet.from_arrays(X, strength * X[:, 0] + rng.standard_normal(n), label_horizon=horizon)
    return replace(rows, regime_code=(np.arange(n) // 50 % 3).astype(np.int8))


def pool_of(task: Any = "regression", takers: int = 1, **more: LearnerConfig) -> MemberPool:
    names = ["ridge", "decision_tree"] if task == "regression" else ["logistic_regression", "decision_tree"]
    settings = {**{name: LearnerConfig() for name in names}, **more}
    return MemberPool({name: LearnerCandidate(name, s) for name, s in settings.items()}, task, PurgedWalkForward(3), takers)


@pytest.fixture
def failing() -> Any:
    """A learner that can be trained on few rows only."""

    class Failing:
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            if len(X) > 400:
                raise ModelError("the moon was in the wrong house")
            return self

        def predict(self, X: Any) -> Any:
            return np.zeros(len(X))

    spec = LearnerSpec(
        name="moody",
        purpose="fails",
        ideal_dataset_shape="(0 rows)",
        tasks=("regression",),
        build=lambda context: Failing(),
    )
    register_learner(spec, replace=True)
    yield "moody"
    del _LEARNERS["moody"]


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("method", METHODS)
def test_every_way_gives_a_model_that_is_skilled_stored_and_served(method: str, task: Any) -> None:
    rows, later = rows_of(), rows_of(seed=1)
    made = EnsembleCandidate(f"ensemble_{method}", method, pool_of(task)).fit(rows, seed=0)
    assert made.left_out_ == {}
    assert made.model_info().task == task
    score = signal_score(made, later)
    assert np.corrcoef(score, later.y)[0, 1] > 0.25, "of 0.51 attainable"
    np.testing.assert_array_equal(signal_score(load_model(dump_model(made)), later), score)


@pytest.mark.parametrize("method", METHODS)
def test_weights_come_from_what_members_said_before_they_knew(method: str) -> None:
    """A nearest neighbour knows its own rows by heart; weights learned from rows that members have seen would all be its."""
    pool = pool_of(k_nearest_neighbors=LearnerConfig(params={"n_neighbors": 1}))
    rows = rows_of()
    trained = pool.trained(rows, seed=0)
    made = trained.out_of_fold
    answered = made.answered
    assert (made.known_until[answered] < made.decision_time[answered]).all()
    by_heart = trained.models["k_nearest_neighbors"].predict(rows)
    assert np.corrcoef(by_heart, rows.y)[0, 1] > 0.9
    assert np.corrcoef(made.predictions[answered, 2], rows.y[answered])[0, 1] < 0.6
    ensemble = EnsembleCandidate("e", method, pool).fit(rows, seed=0)
    if method in ("greedy", "inverse_loss", "hedge"):
        weights = dict(zip(ensemble.members_, np.asarray(ensemble.weights_)))
        assert weights["ridge"] > weights.get("k_nearest_neighbors", 0.0)


def test_where_no_row_with_a_weight_was_known_there_is_no_constant_and_nothing_is_weighed() -> None:
    made = pool_of().trained(rows_of(), seed=0).out_of_fold
    weight = np.where(np.arange(700) < 200, 0.0, 1.0)
    later = _greedy(replace(made, rows=replace(made.rows, weight=weight)), seed=0)
    assert np.isfinite(later).all() and later.sum() == pytest.approx(1.0)


def test_what_comes_after_the_rows_changes_nothing() -> None:
    rows = rows_of(900)
    changed = replace(
        rows, X=np.where(np.arange(900)[:, None] < 600, rows.X, -rows.X), y=np.where(np.arange(900) < 600, rows.y, 9.0)
    )
    first = [
        EnsembleCandidate("e", method, pool_of()).fit(part.take(slice(0, 600)), seed=0)
        for method in ("greedy", "stacking")
        for part in (rows, changed)
    ]
    for one, two in (first[:2], first[2:]):
        np.testing.assert_array_equal(one.predict(rows.X), two.predict(rows.X))


def test_members_are_trained_once_for_all_ensembles_whoever_asks_first() -> None:
    fits: list[int] = []
    lock = threading.Lock()

    def build(context: Any) -> Any:
        from sklearn.linear_model import Ridge

        with lock:
            fits.append(context.n_rows)
        return Ridge()

    register_learner(
        LearnerSpec(name="counted", purpose="counts", ideal_dataset_shape="(1 row)", tasks=("regression",), build=build)
    )
    try:
        pool = MemberPool(
            {"counted": LearnerCandidate("counted", LearnerConfig())}, "regression", PurgedWalkForward(3), len(METHODS)
        )
        rows = rows_of(300)
        made = [EnsembleCandidate(method, method, pool) for method in METHODS]
        threads = [threading.Thread(target=one.fit, args=(rows,), kwargs={"seed": 0}) for one in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(fits) == 3 + 1, "three inner folds, and all rows"
        assert not pool._shelf, "what all have taken is forgotten"
    finally:
        del _LEARNERS["counted"]


def test_a_member_that_fails_is_left_out_and_named(failing: str) -> None:
    pool = pool_of(moody=LearnerConfig())
    made = EnsembleCandidate("e", "voting", pool).fit(rows_of(700), seed=0)
    assert list(made.members_) == ["ridge", "decision_tree"]
    assert "the moon was in the wrong house" in made.left_out_["moody"]
    alone = MemberPool({"moody": LearnerCandidate("moody", LearnerConfig())}, "regression", PurgedWalkForward(3))
    with pytest.raises(ModelError, match=r"none of 1 members of the ensemble could be trained; moody: .*the moon"):
        EnsembleCandidate("e", "voting", alone).fit(rows_of(700), seed=0)


def test_members_are_the_learners_that_do_the_task() -> None:
    config = load_config({"ensemble": {"methods": ["voting"]}}, environ={})
    members = ensembles_of(config)["ensemble_voting"].pool.members
    assert "ridge" in members and "logistic_regression" not in members and "majority" not in members
    down = ensembles_of(config, task="classification")["ensemble_voting"].pool.members
    assert "logistic_regression" in down and "ridge" not in down and "linear_svm" not in down, "a margin is no probability"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"members": ["logistic_regression"]},
            "'logistic_regression', which does not do regression; the members' task is regress",
        ),
        ({"members": ["majority"]}, "'majority', which is a rule"),
        ({"members": ["linear_svm"], "task": "classification"}, "'linear_svm', which has no probabilities"),
    ],
)
def test_members_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_candidates(load_config({"ensemble": {"methods": ["greedy"], **settings}}, environ={}))
    assert said in str(caught.value)


def test_a_profile_without_a_member_is_refused() -> None:
    tiny = {"profile": "tiny", "profiles": {"tiny": {"learners": {"majority": {}}}}, "ensemble": {"methods": ["greedy"]}}
    with pytest.raises(ConfigError, match="no learner of profile 'tiny' does regression"):
        candidates_of(load_config(tiny, environ={}))


@pytest.mark.parametrize("pooling", ["pooled", pytest.param("per_symbol", marks=pytest.mark.slow)])
def test_the_main_job_judges_registers_and_reports_ensembles_like_learners(
    tmp_path: Path, small_config: Any, pooling: str
) -> None:
    methods = ["greedy", "stacking"]
    config = small_config(
        tmp_path,
        data={"simulation": {"n_bars": 1200, "n_symbols": 2, "signal_strength": 3.0}},
        profiles={"tiny": {"n_splits": 2, "learners": {"majority": {}, "ridge": {}, "decision_tree": {"max_train_rows": 500}}}},
        ensemble={"methods": methods, "n_splits": 2},
        training={"pooling": pooling},
    )
    pipeline = UnifiedMLPipeline(config)
    result = pipeline.run()
    board = result["evaluation"]["leaderboard"]
    named = {f"ensemble_{method}" for method in methods}
    assert set(board["learner"]) == {"majority", "ridge", "decision_tree", *named}
    assert board.filter(pl.col("learner").is_in(sorted(named)))["skill"].is_not_null().all()
    assert named <= set(result["ab_testing"].comparison.models)
    assert result["performance_report"]["content"].tried["ensembles of them"] == "2: ensemble_greedy, ensemble_stacking"
    assert result.report_path is not None and "ensemble_greedy" in result.report_path.read_text()
    cards = pipeline.get_all_models_info()
    assert set(cards["ensemble_greedy"]["hyperparameters"]["members"]) == {"ridge", "decision_tree"}


@pytest.mark.slow
def test_it_does_not_matter_which_ensemble_trains_the_members(tmp_path: Path, small_config: Any) -> None:
    found = set()
    for n_jobs in (1, 2):
        config = small_config(
            tmp_path / str(n_jobs),
            profiles={"tiny": {"n_splits": 2, "learners": {"ridge": {}, "decision_tree": {}}}},
            ensemble={"methods": METHODS, "n_splits": 2},
            training={"n_jobs": n_jobs},
        )
        found.add(UnifiedMLPipeline(config).run().result_hash)
    assert len(found) == 1


def test_an_ensemble_is_registered_and_forecasts_like_any_champion(tmp_path: Path, small_config: Any) -> None:
    """The only learner that says anything is the ensemble's member, so that the ensemble can be the finalist."""
    config = small_config(
        tmp_path,
        data={"simulation": {"n_bars": 1200, "n_symbols": 2, "signal_strength": 3.0}},
        profiles={"tiny": {"n_splits": 2, "learners": {"majority": {}, "ridge": {}}}},
        ensemble={"methods": ["voting"], "n_splits": 2},
    )
    pipeline = UnifiedMLPipeline(config)
    result = pipeline.run()
    board = {row["learner"]: row for row in result["evaluation"]["leaderboard"].iter_rows(named=True)}
    assert board["ensemble_voting"]["skill"] == pytest.approx(board["ridge"]["skill"], rel=1e-9), "one member alone is itself"
    from huracan.integration.closing import fit_final
    from huracan.integration.plan import make_plan
    from huracan.integration.preparation import prepare, read_source

    rows = make_plan(pipeline.config, prepare(pipeline.config, read_source(pipeline.config)).everything).development
    fitted = fit_final(pipeline.config, rows, "ensemble_voting")
    np.testing.assert_allclose(
        load_model(dump_model(fitted.models[None])).predict(rows), fitted.models[None].predict(rows), rtol=0, atol=0
    )


def test_ready_features_get_ensembles_too() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((900, 3))
    for y, names in (
        (X[:, 0] + rng.standard_normal(900), ["ridge"]),
        ((X[:, 0] + rng.standard_normal(900) > 0) * 1, ["naive_bayes"]),
    ):
        pipeline = UnifiedMLPipeline(
            {
                "profile": "mine",
                "profiles": {"mine": {"learners": {name: {} for name in names}}},
                "ensemble": {"methods": ["voting", "stacking"], "n_splits": 2},
            }
        )
        result = pipeline.run_complete_pipeline(
            X_train=X[:500], y_train=y[:500], X_val=X[500:700], y_val=y[500:700], X_test=X[700:], y_test=y[700:]
        )
        board = result["evaluation"]["leaderboard"]["learner"].to_list()
        assert {"ensemble_voting", "ensemble_stacking", *names} <= set(board)
        assert all(entry["failure"] is None for entry in result["training"].values())


def test_a_stack_of_fitted_models_is_the_stack_that_fits_them() -> None:
    from huracan.ensembles import TimeOrderedStackingRegressor, out_of_fold_predictions
    from huracan.errors import LeakageError

    rows, splitter = rows_of(), PurgedWalkForward(3)
    members = {"ridge": build_model("ridge"), "tree": build_model("decision_tree", task="regression")}
    whole = TimeOrderedStackingRegressor(members, splitter=splitter).fit(rows)
    made = out_of_fold_predictions(members, rows, splitter)
    fitted = {name: build_model(model.spec.name, task="regression").fit(rows) for name, model in members.items()}
    put_together = TimeOrderedStackingRegressor.of_fitted(fitted, made)
    np.testing.assert_array_equal(put_together.predict(rows), whole.predict(rows))
    with pytest.raises(ModelError, match="the same models in the same order were expected"):
        TimeOrderedStackingRegressor.of_fitted({"ridge": fitted["ridge"]}, made)
    with pytest.raises(LeakageError):
        TimeOrderedStackingRegressor.of_fitted(fitted, replace(made, known_until=made.decision_time))
