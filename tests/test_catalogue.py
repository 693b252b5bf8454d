"""The catalogue: names, cards, tasks, scores, storage, and a user's own learner."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import huracan.catalogue as catalogue
from huracan.catalogue import (
    MODEL_CATALOGUE,
    PROFILES,
    LearnerSpec,
    build_model,
    check_learners,
    feature_importance,
    find_learner,
    model_from_parts,
    register_learner,
    signal_score,
    up_probability,
)
from huracan.config import HuracanConfig, LearnerConfig, load_config
from huracan.dataset import TrainingSet
from huracan.errors import HuracanError, ModelError, UnknownName

LEARNERS = {
    "linear_regression", "ridge", "logistic_regression", "k_nearest_neighbors", "linear_svm", "rbf_svm", "naive_bayes",
    "decision_tree", "random_forest", "extra_trees", "xgboost", "lightgbm",
}  # fmt: skip
NETWORKS = {"linear_network", "mlp", "cnn", "lstm", "gru", "transformer"}
RULES = ("majority", "last_value", "buy_and_hold")
WITHOUT_LABEL = {"autoencoder", "gan", "dqn"}
SUPERVISED = {name: spec for name, spec in MODEL_CATALOGUE.items() if spec.is_supervised}
EVERY_TASK = [(name, task) for name, spec in SUPERVISED.items() for task in spec.tasks]


def few(name: str, epochs: int = 2) -> dict[str, Any]:
    """Hyperparameters with which a network is trained in a moment."""
    return {"window": 4, "max_epochs": epochs, "learning_rate": 0.01} if name in NETWORKS else {}


def market(n: int = 600, d: int = 5, seed: int = 0) -> TrainingSet:
    """Rows whose first column pushes the label up."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(np.float32)
    rows = TrainingSet.from_arrays(X, 0.01 * X[:, 0] + 0.02 * rng.standard_normal(n))
    return replace(rows, feature_names=("return_1", *rows.feature_names[1:]))


@pytest.fixture
def restored_catalogue() -> Iterator[None]:
    before = dict(catalogue._LEARNERS)
    yield
    catalogue._LEARNERS.clear()
    catalogue._LEARNERS.update(before)


def test_every_learner_of_the_contract_is_there_and_nothing_can_be_written_past_register_learner() -> None:
    assert set(MODEL_CATALOGUE) == {*LEARNERS, *NETWORKS, *WITHOUT_LABEL, *RULES}
    with pytest.raises(TypeError):
        MODEL_CATALOGUE["mine"] = MODEL_CATALOGUE["ridge"]  # type: ignore[index]


@pytest.mark.parametrize(("name", "task"), EVERY_TASK)
def test_every_card_is_complete(name: str, task: Any) -> None:
    info = build_model(name, task=task).model_info()
    assert info.name == name
    assert len(info.purpose) > 20
    assert re.match(r"\(.+ rows?( in windows of .+ bars)?, .+ features?[^)]*\)", info.ideal_dataset_shape)
    assert info.feature_requirements
    assert info.output_schema
    assert info.task == ("rule" if name in RULES else task)
    assert info.market_regimes
    assert all(len(reason) > 10 for reason in info.market_regimes.values())
    assert dict(info.hyperparameters) == dict(MODEL_CATALOGUE[name].defaults)
    json.dumps(info.model_dump(mode="json"))


@pytest.mark.parametrize("name", SUPERVISED)
def test_caps_on_training_rows_grow_with_the_profile(name: str) -> None:
    caps = [MODEL_CATALOGUE[name].row_cap(profile) or np.inf for profile in PROFILES]
    assert caps == sorted(caps)
    assert build_model(name, max_train_rows="quick").model_info().max_train_rows == MODEL_CATALOGUE[name].row_cap("quick")


@pytest.mark.parametrize(
    ("asked", "name"),
    [("linear", "linear_regression"), ("logistic", "logistic_regression"), ("knn", "k_nearest_neighbors"), ("svm", "rbf_svm"),
     ("rf", "random_forest"), ("xgb", "xgboost"), ("lgbm", "lightgbm"), ("Random-Forest", "random_forest")],
)  # fmt: skip
def test_common_aliases_are_understood(asked: str, name: str) -> None:
    assert find_learner(asked).name == name


def test_wrong_names_and_tasks_are_refused_with_the_reason() -> None:
    with pytest.raises(UnknownName, match="did you mean 'lightgbm'"):
        build_model("lightgmb")
    with pytest.raises(UnknownName, match="hyperparameter of ridge 'expected_ci'; did you mean 'expected_ic'"):
        build_model("ridge", expected_ci=0.1)
    with pytest.raises(ModelError, match="ridge does not do classification"):
        build_model("ridge", task="classification")
    with pytest.raises(UnknownName, match="unknown task 'clasification'; did you mean 'classification'"):
        build_model("ridge", task="clasification")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="unknown profile 'quik'"):
        build_model("ridge", max_train_rows="quik").fit(market())


@pytest.mark.parametrize("name", MODEL_CATALOGUE)
def test_every_hyperparameter_has_a_meaning(name: str) -> None:
    spec = MODEL_CATALOGUE[name]
    assert set(spec.meanings) == set(spec.defaults)
    assert all(len(meaning) > 10 and "|" not in meaning for meaning in spec.meanings.values())
    assert not set(spec.aliases) & set(spec.defaults)


def test_the_page_of_learners_is_the_generated_one() -> None:
    docs = Path(__file__).resolve().parents[1] / "docs"
    page = runpy.run_path(str(docs / "generate.py"))["learners_page"]()
    assert (docs / "learners.md").read_text() == page, "run `make docs`"
    for spec in MODEL_CATALOGUE.values():
        assert f"## {spec.name}\n" in page


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("lightgbm", {"n_estimators": 30}, {"n_rounds": 30}),
        ("lightgbm", {"num_boost_round": 30, "colsample_bytree": 0.9}, {"n_rounds": 30, "colsample": 0.9}),
        ("lightgbm", {"min_child_samples": 40}, {"min_samples_leaf": 40}),
        ("xgboost", {"n_estimators": 30, "eta": 0.1}, {"n_rounds": 30, "learning_rate": 0.1}),
    ],
)
def test_well_known_names_are_the_same_hyperparameter(name: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    rows = market(400)
    one, two = (build_model(name, **given).fit(rows) for given in (theirs, ours))
    np.testing.assert_array_equal(signal_score(one, rows), signal_score(two, rows))
    assert one.model_info() == two.model_info()
    assert one.state_dict() == two.state_dict()


def test_a_hyperparameter_set_again_under_another_name_is_replaced_and_given_twice_at_once_refused() -> None:
    model = build_model("lightgbm", n_estimators=20)
    assert clone(model).set_params(n_rounds=30).get_params()["n_rounds"] == 30
    assert clone(model).set_params(num_boost_round=40).get_params()["n_rounds"] == 40
    with pytest.raises(ModelError, match="lightgbm got 'n_rounds' twice"):
        build_model("lightgbm", n_rounds=20, n_estimators=30)


@pytest.mark.parametrize("name", ["decision_tree", "random_forest", "extra_trees", "lightgbm"])
def test_a_leaf_of_more_rows_than_there_are_makes_a_constant(name: str) -> None:
    rows = market(400)
    score = signal_score(build_model(name, task="regression", min_samples_leaf=399).fit(rows), rows)
    np.testing.assert_allclose(score, score[0])


def test_a_value_that_fits_no_hyperparameter_is_one_sentence() -> None:
    for name, given in (("decision_tree", {"max_depth": "deep"}), ("ridge", {"alpha": "much"}), ("ridge", {"expected_ic": 0})):
        with pytest.raises(ModelError, match=f"{name} cannot be fitted with") as caught:
            build_model(name, **given).fit(market(400))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("learners", "said"),
    [
        ({"rigde": {}}, "profiles.mine.learners.rigde: unknown learner 'rigde'; did you mean 'ridge'?"),
        (
            {"ridge": {"params": {"alfa": 3}}},
            "profiles.mine.learners.ridge: unknown hyperparameter of ridge 'alfa'; did you mean",
        ),
        ({"ridge": {"task": "classification"}}, "profiles.mine.learners.ridge: ridge does not do classification"),
        ({"lightgbm": {"params": {"n_rounds": 1, "n_estimators": 1}}}, "lightgbm: lightgbm got 'n_rounds' twice"),
        ({"ridge": {"params": {"random_state": 3}}}, "unknown hyperparameter of ridge 'random_state'"),
    ],
)
def test_learners_of_a_profile_are_checked_before_anything_runs(learners: Any, said: str) -> None:
    config = load_config({"profiles": {"mine": {"learners": learners}}, "profile": "mine"}, environ={})
    with pytest.raises(HuracanError) as caught:
        check_learners(config.active_profile.learners, where="profiles.mine.learners")
    assert said in str(caught.value)
    assert isinstance(caught.value, ModelError | UnknownName)


def test_learners_of_every_shipped_profile_pass_and_so_do_settings_of_the_wrapper() -> None:
    for profile in HuracanConfig().profiles.values():
        check_learners(profile.learners)
    check_learners({"knn": LearnerConfig(params={"clip": 5.0, "winsorize": 0.0, "n_neighbors": 30})})


@pytest.mark.parametrize(("name", "task"), EVERY_TASK)
def test_larger_score_means_up(name: str, task: Any) -> None:
    rows = market(2_000)
    model = build_model(name, task=task, **few(name, 6)).fit(rows)
    score = signal_score(model, rows)
    assert score.shape == (len(rows),)
    assert score.dtype == np.float64
    assert np.isfinite(score).all()
    if name in ("majority", "buy_and_hold"):
        assert np.all(score == (name == "buy_and_hold"))
        return
    assert np.corrcoef(score, rows.X[:, 0])[0, 1] > 0.3  # the planted effect has correlation 0.45 with the label
    probability = up_probability(model, rows)
    if probability is not None:
        assert task == "classification"
        assert np.all((probability >= 0) & (probability <= 1))


@pytest.mark.parametrize(("name", "task"), EVERY_TASK)
def test_same_seed_same_bits_whatever_the_number_of_threads(name: str, task: Any) -> None:
    """A network's sums are made in another order on more threads, so it has the same bits for the same number only."""
    rows, ahead = market(400), np.random.default_rng(5).standard_normal((34_000, 5)).astype(np.float32)
    fewer = few(name) | {key: 10 for key in ("n_rounds", "n_estimators") if key in MODEL_CATALOGUE[name].defaults}
    threads = (1, 1) if name in NETWORKS else (1, 2)
    one, two = (signal_score(build_model(name, task=task, n_jobs=n, random_state=3, **fewer).fit(rows), ahead) for n in threads)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("name", "task"), EVERY_TASK)
def test_parts_through_json_give_the_same_model(name: str, task: Any) -> None:
    rows = market()
    model = build_model(name, task=task, winsorize=0.01, **few(name)).fit(rows)
    state, inner = model.to_parts()
    again = model_from_parts(json.loads(json.dumps(state)), inner)
    assert (inner is None) == (name in RULES)
    np.testing.assert_array_equal(signal_score(again, rows), signal_score(model, rows))
    assert again.feature_importance() == model.feature_importance()
    assert again.model_info() == model.model_info()
    assert again.state_dict() == state


def test_parts_of_another_learner_or_with_a_key_missing_are_refused() -> None:
    state, inner = build_model("ridge").fit(market()).to_parts()
    with pytest.raises(ModelError, match="lacks the key 'target'"):
        model_from_parts({key: value for key, value in state.items() if key != "target"}, inner)
    with pytest.raises(ModelError, match="in format 7"):
        model_from_parts({**state, "format": 7}, inner)
    with pytest.raises(UnknownName, match="unknown learner"):
        model_from_parts({**state, "name": "gone"}, inner)


@pytest.mark.parametrize(("name", "task"), EVERY_TASK)
def test_importance_finds_the_column_that_matters_or_says_nothing(name: str, task: Any) -> None:
    importance = feature_importance(build_model(name, task=task, **few(name, 6)).fit(market(2_000)))
    silent = {"k_nearest_neighbors", "rbf_svm", "naive_bayes", *RULES}
    assert (importance is None) == (name in silent)
    if importance is not None:
        assert max(importance, key=lambda feature: importance[feature]) == "return_1"
        assert sum(importance.values()) == pytest.approx(1.0)


def test_scores_of_plain_scikit_learn_models() -> None:
    from sklearn.linear_model import LogisticRegression, Ridge

    rows = market()
    three = np.digitize(rows.y, [-0.01, 0.01]) - 1
    for model in (Ridge().fit(rows.X, rows.y), LogisticRegression().fit(rows.X, three)):
        assert np.corrcoef(signal_score(model, rows.X), rows.X[:, 0])[0, 1] > 0.9
        assert feature_importance(model) is None


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "extra_trees", "naive_bayes", "rbf_svm", "majority", "last_value"])
def test_three_classes_down_flat_up(name: str) -> None:
    rows = market(900)
    barrier = np.digitize(rows.y, [-0.01, 0.01]) - 1
    chosen = {"column": "x0"} if name == "last_value" else {}
    model = build_model(name, task="classification", **chosen).fit(rows.X, barrier)
    assert model.classes_.tolist() == [-1, 0, 1]
    assert set(model.predict(rows.X)) <= {-1, 0, 1}
    if name != "majority":
        assert np.corrcoef(signal_score(model, rows.X), rows.X[:, 0])[0, 1] > 0.3
    state, inner = model.to_parts()
    np.testing.assert_array_equal(model_from_parts(json.loads(json.dumps(state)), inner).predict(rows.X), model.predict(rows.X))


def test_models_are_scikit_learn_estimators() -> None:
    rows = market()
    model = build_model("lightgbm", n_rounds=20, random_state=4)
    assert model.get_params()["n_rounds"] == 20
    copy = clone(model).set_params(n_rounds=30, random_state=5)
    assert (copy.get_params()["n_rounds"], copy.random_state, model.get_params()["n_rounds"]) == (30, 5, 20)
    assert make_pipeline(StandardScaler(), model).fit(rows.X, rows.y).predict(rows.X).shape == (len(rows),)
    with pytest.raises(UnknownName, match="did you mean 'n_rounds'"):
        copy.set_params(n_round=3)


def test_a_learner_of_your_own_as_documented(restored_catalogue: None) -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "your_own_learner.md").read_text()
    scope: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.S):
        exec(code, scope)
    rows = market()
    model = scope["model"].fit(rows)
    assert model.model_info().market_regimes == {"volatile": "outliers weigh linearly, not by their square"}
    assert np.corrcoef(signal_score(model, rows), rows.X[:, 0])[0, 1] > 0.9
    rule = build_model("trend_rule", column=1).fit(rows)
    state, inner = rule.to_parts()
    assert inner is None
    np.testing.assert_array_equal(
        signal_score(model_from_parts(json.loads(json.dumps(state)), inner), rows), signal_score(rule, rows)
    )


def test_a_taken_name_is_not_replaced_by_accident(restored_catalogue: None) -> None:
    with pytest.raises(ModelError, match="in the catalogue already"):
        register_learner(MODEL_CATALOGUE["ridge"])
    with pytest.raises(ModelError, match="'rf' is an alias of 'random_forest'"):
        register_learner(
            LearnerSpec(name="rf", purpose="", ideal_dataset_shape="", tasks=("regression",), build=lambda c: None)
        )
    assert register_learner(MODEL_CATALOGUE["ridge"], replace=True) is MODEL_CATALOGUE["ridge"]


def test_a_spec_without_a_way_to_fit_is_refused() -> None:
    with pytest.raises(ModelError, match="exactly one of build=, fit=, network= and estimator="):
        LearnerSpec(name="nothing", purpose="", ideal_dataset_shape="", tasks=("regression",))
    with pytest.raises(ModelError, match="has tasks"):
        LearnerSpec(name="odd", purpose="", ideal_dataset_shape="", tasks=("ranking",), build=lambda c: None)  # type: ignore[arg-type]


def test_reading_the_catalogue_loads_no_learning_library() -> None:
    heavy = ("sklearn", "xgboost", "lightgbm", "torch")
    code = f"import sys, huracan.catalogue as c; c.build_model; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
