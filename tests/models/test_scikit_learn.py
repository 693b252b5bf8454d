"""Networks keep scikit-learn's contract where a user meets it; what they knowingly do not is in ``docs/networks.md``."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import StackingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from huracan.catalogue import build_model
from huracan.errors import DataError, ModelError, UnknownName
from huracan.validation import PurgedKFold

_QUICK = (
    "check_complex_data",
    "check_dataframe_column_names_consistency",
    "check_dict_unchanged",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_dont_overwrite_parameters",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_sparse_array",
    "check_estimator_sparse_tag",
    "check_estimators_empty_data_messages",
    "check_estimators_nan_inf",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_estimators_unfitted",
    "check_f_contiguous_array_estimator",
    "check_fit1d",
    "check_fit2d_1sample",
    "check_fit2d_predict1d",
    "check_fit_idempotent",
    "check_get_params_invariance",
    "check_methods_sample_order_invariance",
    "check_n_features_in_after_fitting",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_readonly_memmap_input",
    "check_sample_weights_not_overwritten",
    "check_sample_weights_shape",
    "check_set_params",
    "check_supervised_y_2d",
    "check_supervised_y_no_nan",
)
TASKS = ("regression", "classification")


def small(task: str = "regression", **more: Any) -> Any:
    return build_model("mlp", task=task, max_epochs=2, **more)  # type: ignore[arg-type]


def rows(n: int = 200) -> tuple[pd.DataFrame, pd.Series]:
    X = pd.DataFrame(np.random.default_rng(0).standard_normal((n, 3)), columns=["a", "b", "c"])
    return X, 0.01 * X["a"]


@pytest.mark.parametrize("task", TASKS)
def test_the_checks_of_what_users_meet_are_passed(task: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _QUICK:
            getattr(estimator_checks, name)("mlp", small(task))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_scikit_learn_finds_nothing_to_object_to(task: str) -> None:
    few = {"check_sample_weight_equivalence_on_dense_data": "9 of its rows have a weight; at least 10 are needed"}
    estimator_checks.check_estimator(small(task), expected_failed_checks=few, on_skip=None)


def test_a_search_over_a_pipeline_finds_the_better_rate_and_refits_it() -> None:
    X, y = rows()
    pipeline = make_pipeline(StandardScaler(), small(max_steps=40))
    search = GridSearchCV(pipeline, {"neuralregressor__learning_rate": [1e-6, 1e-2]}, cv=TimeSeriesSplit(3)).fit(X, y)
    assert search.best_params_ == {"neuralregressor__learning_rate": 1e-2}
    assert np.corrcoef(search.predict(X), y)[0, 1] > 0.5
    again = pickle.loads(pickle.dumps(search))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(again.predict(X), search.predict(X))
    stack = StackingRegressor([("mlp", small()), ("ridge", build_model("ridge"))], cv=3).fit(X, y)
    assert stack.predict(X).shape == (200,)


def test_a_search_by_purged_folds_over_windows() -> None:
    X, y = rows()
    model = build_model("gru", window=4, max_epochs=1)
    search = GridSearchCV(model, {"hidden": [4, 8]}, cv=PurgedKFold(3, label_horizon=2)).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_parameters_are_those_of_the_network_and_of_the_wrapper() -> None:
    model = small(hidden=8).set_params(learning_rate=0.1, random_state=3)
    params = clone(model).get_params()
    assert (params["hidden"], params["learning_rate"], params["random_state"], params["max_epochs"]) == (8, 0.1, 3, 2)
    with pytest.raises(UnknownName, match="did you mean 'hidden'"):
        model.set_params(hiden=8)


def test_what_it_was_fitted_on_is_asked_for_again() -> None:
    X, y = rows()
    model = small().fit(X, y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"] and model.n_features_in_ == 3
    with pytest.raises(DataError, match="must be in the same order"):
        model.predict(X[["b", "a", "c"]])
    with pytest.raises(DataError, match=r"now missing:\n- b"):
        model.predict(X[["a", "c"]])
    with pytest.raises(DataError, match="X has 2 features, but NeuralRegressor is expecting 3"):
        small().fit(X.to_numpy(), y).predict(X.to_numpy()[:, :2])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X.to_numpy())
    assert model.fit(X[["a", "b"]], y).n_features_in_ == 2


@pytest.mark.parametrize("method", ["predict", "predict_proba", "feature_importance", "to_parts"])
def test_before_a_fit_it_says_so(method: str) -> None:
    model, X = small("classification"), rows()[0]
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(model, method)(*([X] if method.startswith("predict") else []))


@pytest.mark.parametrize("name", ["mlp", "ridge", "lightgbm"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"random_state": np.random.RandomState(0)}, "random_state is RandomState"),
        ({"random_state": "one"}, "random_state is 'one'; a whole number was expected"),
        ({"n_jobs": "two"}, "n_jobs is 'two'; a whole number from 1, or -1"),
        ({"n_jobs": 0}, "n_jobs is 0; a whole number from 1, or -1"),
    ],
)
def test_seeds_and_threads_are_whole_numbers(name: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        build_model(name, task="regression", **given).fit(*rows())


@pytest.mark.parametrize("labels", [["down", "up"], [False, True], pd.Categorical(["down", "up"]), [-1.0, 1.0]])
def test_classes_come_back_as_they_were_given(labels: Any) -> None:
    X, y = rows()
    names = np.asarray(labels)
    given = pd.Series(labels).take((y > 0).astype(int)).reset_index(drop=True)
    model = small("classification", max_steps=30).fit(X, given)
    assert model.classes_.tolist() == sorted(names.tolist())
    assert set(model.predict(X)) <= set(names.tolist())
