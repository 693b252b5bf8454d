"""Ensembles: voting is a special case, weights mean what they say, and all of it is stored and comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor, VotingClassifier, VotingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_estimator

from huracan.catalogue import build_model, score_rows, score_span, signal_score
from huracan.dataset import REGIME_ORDER, TrainingSet
from huracan.ensembles import (
    EnsembleClassifier,
    EnsembleRegressor,
    RegimeWeights,
    SigmoidCalibrator,
    TimeOrderedStackingRegressor,
    out_of_fold_predictions,
)
from huracan.errors import ArtifactError, DataError, ModelError
from huracan.model_info import MarketRegime
from huracan.model_registry import ModelRegistry
from huracan.registry import dump_model, load_model
from huracan.validation import PurgedWalkForward

REGRESSORS: dict[str, Any] = {"line": Ridge(), "tree": DecisionTreeRegressor(max_depth=3, random_state=0)}
CLASSIFIERS: dict[str, Any] = {
    "line": LogisticRegression(),
    "bayes": GaussianNB(),
    "tree": DecisionTreeClassifier(max_depth=3, random_state=0),
}


@pytest.mark.parametrize("weights", [None, [0.2, 0.8]])
def test_a_regressor_is_scikit_learns_voting(weights: Any, rows: TrainingSet) -> None:
    mine = EnsembleRegressor(REGRESSORS, weights).fit(rows.X, rows.y)
    theirs = VotingRegressor(list(REGRESSORS.items()), weights=weights).fit(rows.X.astype(float), rows.y)
    np.testing.assert_allclose(mine.predict(rows.X), theirs.predict(rows.X.astype(float)), rtol=1e-13)


@pytest.mark.parametrize("classes", [["down", "up"], ["down", "flat", "up"]])
@pytest.mark.parametrize("voting", ["soft", "hard"])
@pytest.mark.parametrize("weights", [None, [0.2, 0.5, 0.3]])
def test_a_classifier_is_scikit_learns_voting(weights: Any, voting: Any, classes: list[str], rows: TrainingSet) -> None:
    y = np.array(classes)[np.digitize(rows.y, [0.0] if len(classes) == 2 else [-0.5, 0.5])]
    mine = EnsembleClassifier(CLASSIFIERS, weights, voting=voting).fit(rows.X, y)
    theirs = VotingClassifier(list(CLASSIFIERS.items()), voting=voting, weights=weights).fit(rows.X.astype(float), y)
    np.testing.assert_array_equal(mine.predict(rows.X), theirs.predict(rows.X.astype(float)))
    assert hasattr(mine, "predict_proba") == (voting == "soft")
    if voting == "soft":
        np.testing.assert_allclose(mine.predict_proba(rows.X), theirs.predict_proba(rows.X.astype(float)), atol=1e-14)


def test_members_of_weight_zero_are_not_fitted(rows: TrainingSet) -> None:
    made = EnsembleRegressor({**REGRESSORS, "other": Ridge(9.0)}, {"line": 3.0, "tree": 0.0, "other": 1.0}).fit(rows)
    assert list(made.members_) == ["line", "other"]
    assert made.weights_.tolist() == [0.75, 0.25]


def test_rows_of_weight_zero_are_left_out_by_members_that_know_no_weights(rows: TrainingSet) -> None:
    weight = (np.arange(len(rows)) % 2).astype(float)
    made = EnsembleRegressor({"near": KNeighborsRegressor(5)}).fit(replace(rows, weight=weight))
    expected = KNeighborsRegressor(5).fit(rows.X[1::2].astype(float), rows.y[1::2])
    np.testing.assert_array_equal(made.predict(rows), expected.predict(rows.X.astype(float)))


def test_weights_by_regime_follow_the_regime_of_each_row(panel: TrainingSet) -> None:
    weights = RegimeWeights(np.array([0.5, 0.5]), {REGIME_ORDER[0]: np.array([1.0, 0.0])})
    made = EnsembleRegressor(REGRESSORS, weights).fit(panel)
    line, tree = (model.predict(panel.X.astype(float)) for model in made.members_.values())
    expected = np.where(panel.regime_code == 0, line, (line + tree) / 2)
    np.testing.assert_allclose(made.predict(panel), expected, rtol=1e-12)
    np.testing.assert_allclose(made.predict(panel.X), (line + tree) / 2, rtol=1e-12)  # a matrix has no regimes


def test_models_that_are_fitted_already_answer_together(rows: TrainingSet) -> None:
    fitted = {"line": Ridge().fit(rows.X.astype(float), rows.y), "ours": build_model("ridge").fit(rows.X, rows.y)}
    made = EnsembleRegressor.of_fitted(fitted, [1, 3])
    expected = 0.25 * fitted["line"].predict(rows.X.astype(float)) + 0.75 * fitted["ours"].predict(rows.X)
    np.testing.assert_allclose(made.predict(rows.X), expected, rtol=1e-12)
    assert made.members_["line"] is fitted["line"]
    with pytest.raises(ModelError, match=r"member 'b' was fitted on other columns than 'a' \(2 and 4\)"):
        EnsembleRegressor.of_fitted({"a": fitted["line"], "b": Ridge().fit(rows.X[:, :2].astype(float), rows.y)})


def test_a_calibrator_moves_the_probability_of_up(rows: TrainingSet) -> None:
    made = out_of_fold_predictions(CLASSIFIERS, rows, PurgedWalkForward(4))
    sigmoid = SigmoidCalibrator().fit(made)
    plain = EnsembleClassifier(CLASSIFIERS).fit(rows)
    calibrated = EnsembleClassifier(CLASSIFIERS, calibrator=sigmoid).fit(rows)
    up = calibrated.predict_proba(rows)
    np.testing.assert_allclose(up[:, 1], sigmoid.transform(plain.predict_proba(rows)[:, 1]))
    np.testing.assert_allclose(up.sum(axis=1), 1.0)


def test_the_hungriest_member_says_how_far_back_it_looks(rows: TrainingSet) -> None:
    pytest.importorskip("torch")
    members = {f"w{w}": build_model("linear_network", window=w, max_epochs=1) for w in (4, 9)}
    made = EnsembleRegressor({**members, "line": Ridge()}).fit(rows.take(slice(0, 400)))
    assert made.history_bars == 8
    np.testing.assert_allclose(score_span(made, rows, slice(400, 600)), signal_score(made, rows)[400:], atol=1e-7)
    some = np.array([10, 420, 599])
    np.testing.assert_allclose(score_rows(made, rows, some), signal_score(made, rows)[some], atol=1e-7)


def test_the_parameters_of_members_are_parameters() -> None:
    made = EnsembleRegressor(dict(REGRESSORS))
    assert made.get_params()["line__alpha"] == 1.0
    copy = clone(made).set_params(line__alpha=5.0, weights=[1, 2])
    assert copy.members["line"].alpha == 5.0
    assert made.members["line"].alpha == 1.0
    with pytest.raises(ModelError, match="'lines__alpha' is no parameter of EnsembleRegressor and no member"):
        made.set_params(lines__alpha=1.0)


def test_a_seed_is_handed_to_members(rows: TrainingSet) -> None:
    twins = {"a": ExtraTreesRegressor(3, random_state=0), "b": ExtraTreesRegressor(3, random_state=0)}
    made = EnsembleRegressor(twins, random_state=1).fit(rows)
    a, b = made.members_.values()
    assert a.random_state != b.random_state
    np.testing.assert_array_equal(made.predict(rows), EnsembleRegressor(twins, random_state=1).fit(rows).predict(rows))


def test_the_card_names_members_weights_and_columns(rows: TrainingSet) -> None:
    info = EnsembleRegressor({"line": Ridge(), "ours": build_model("ridge")}, [1, 3]).fit(rows).model_info()
    assert info.hyperparameters["members"] == {"line": "Ridge", "ours": "ridge"}
    assert info.hyperparameters["weights"] == {"line": 0.25, "ours": 0.75}
    assert info.signature is not None
    assert info.signature.columns == rows.feature_names
    assert MarketRegime.TRENDING in info.market_regimes


# --- storage ---------------------------------------------------------------------------------------------------------


def stored(rows: TrainingSet) -> dict[str, Any]:
    up = out_of_fold_predictions(CLASSIFIERS, rows, PurgedWalkForward(4))
    regimes = RegimeWeights(np.array([0.5, 0.5]), {MarketRegime.VOLATILE: np.array([0.9, 0.1])}, {MarketRegime.VOLATILE: 70.0})
    boosted = {"ours": build_model("lightgbm", n_rounds=5), "xgb": build_model("xgboost", n_rounds=5)}
    return {
        "regressor": EnsembleRegressor({**REGRESSORS, **boosted}, [1, 2, 3, 4]).fit(rows),
        "by regime": EnsembleRegressor(REGRESSORS, regimes).fit(rows),
        "classifier": EnsembleClassifier(CLASSIFIERS, calibrator=SigmoidCalibrator().fit(up)).fit(rows),
        "vote": EnsembleClassifier(CLASSIFIERS, voting="hard").fit(rows.X, np.array(["d", "u"])[rows.direction()]),
        "nested": EnsembleRegressor({"inner": EnsembleRegressor(REGRESSORS), "line": Ridge(3.0)}).fit(rows),
        "stack": TimeOrderedStackingRegressor(REGRESSORS, "nnls", passthrough=True).fit(rows),
    }


def test_every_kind_comes_back_bit_for_bit(rows: TrainingSet) -> None:
    for name, model in stored(rows).items():
        files = dump_model(model)
        again = load_model(files)
        assert type(again) is type(model), name
        assert dump_model(again) == files, name
        np.testing.assert_array_equal(again.predict(rows), model.predict(rows), err_msg=name)
        np.testing.assert_array_equal(again.predict(rows.X), model.predict(rows.X), err_msg=name)


def test_the_registry_keeps_one(rows: TrainingSet, tmp_path: Any) -> None:
    model = stored(rows)["regressor"]
    registry = ModelRegistry(f"sqlite:///{tmp_path}/registry.db", artifacts=str(tmp_path / "artifacts"))
    version = registry.register(model, model.model_info(), name="m")
    np.testing.assert_array_equal(registry.load("m", version=version).predict(rows), model.predict(rows))


def test_a_network_among_members_is_stored_without_pickle(rows: TrainingSet) -> None:
    pytest.importorskip("torch")
    model = EnsembleRegressor({"net": build_model("mlp", window=4, max_epochs=1), "line": Ridge()}).fit(rows)
    files = dump_model(model)
    assert "part0.model.safetensors" in files
    np.testing.assert_array_equal(load_model(files).predict(rows), model.predict(rows))


def test_damaged_ensembles_are_refused(rows: TrainingSet) -> None:
    files = dump_model(stored(rows)["regressor"])
    with pytest.raises(ArtifactError, match=r"no model\.skops"):
        load_model({name: data for name, data in files.items() if name != "part0.model.skops"})
    for old, new in (
        (b'"parts":', b'"part":'),
        (b'"weights":', b'"weight":'),
        (b'"stacking"', b'"x"'),
        (b'"ensemble"', b'"heap"'),
    ):
        changed = {**files, "format.json": files["format.json"].replace(old, new)}
        if changed["format.json"] != files["format.json"]:
            with pytest.raises((ArtifactError, ModelError)):
                load_model(changed)


# --- bad input, and the contract of scikit-learn ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weights": [1.0]}, r"weights have shape \(1,\); one for each of 2 members was expected."),
        ({"weights": [1.0, -1.0]}, "the weight of member 1 is -1.0; a finite number >= 0 was expected."),
        ({"weights": [0.0, 0.0]}, "all 2 weights are 0"),
        ({"weights": {"line": 1.0}}, "'tree' has a weight or is a member, not both"),
        ({"members": {"weights": Ridge()}}, "a member is named 'weights'"),
        ({"members": CLASSIFIERS}, "members of a EnsembleRegressor do classification; regression was expected."),
        ({"weights": RegimeWeights(np.ones(3), {})}, "regime weights are for 3 members; there are 2."),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str, rows: TrainingSet) -> None:
    with pytest.raises(ModelError, match=said):
        EnsembleRegressor(**{"members": REGRESSORS, **settings}).fit(rows)


def test_rows_that_cannot_be_are_refused(rows: TrainingSet) -> None:
    X = rows.X.copy()
    X[7, 2] = np.nan
    with pytest.raises(DataError, match="column 'x2' holds NaN in row 7"):
        EnsembleRegressor(REGRESSORS).fit(X, rows.y)
    made = EnsembleRegressor(REGRESSORS).fit(rows)
    with pytest.raises(DataError, match="'x0' at column 0 and got 'b'"):
        made.predict(replace(rows, feature_names=("b", "x1", "x2", "x3")))
    with pytest.raises(ModelError, match="y holds one class only"):
        EnsembleClassifier(CLASSIFIERS).fit(rows.X, np.ones(len(rows)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [EnsembleRegressor(REGRESSORS), EnsembleClassifier(CLASSIFIERS)], ids=["regressor", "classifier"]
)
def test_scikit_learn_finds_nothing_to_object_to(model: Any) -> None:
    check_estimator(model, on_skip=None)
