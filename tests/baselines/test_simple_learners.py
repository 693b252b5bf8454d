"""Linear learners against closed forms, fast predictions against the libraries' own, rules against their definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

from huracan.baselines.chunked import blocks_of_rows, neighbor_average, rbf_decision
from huracan.baselines.linear import prior_penalty
from huracan.baselines.rules import RULES as RULE_SPECS
from huracan.catalogue import build_model, signal_score, up_probability
from huracan.dataset import TrainingSet
from huracan.errors import DataError, ModelError, UnknownName

# --- linear ---------------------------------------------------------------------------------------------------------


def faint(seed: int, n: int, d: int, ic: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows from the very prior the penalty assumes: Gaussian coefficients, forecast correlation ``ic``."""
    X, effect, noise = _faint(seed, n, d, ic)
    return X, effect + noise


def _faint(seed: int, n: int, d: int, ic: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(np.float32)
    return X, X @ (rng.standard_normal(d) * ic / np.sqrt(d)), rng.standard_normal(n)


def test_linear_regression_is_least_squares() -> None:
    X, y = faint(0, 500, 6, 0.5)
    ours = build_model("linear_regression", winsorize=0.0).fit(X, y).predict(X)
    np.testing.assert_allclose(ours, LinearRegression().fit(X.astype(float), y).predict(X), atol=1e-5)


def test_linear_regression_survives_copies_of_a_column() -> None:
    X, y = faint(1, 300, 3, 0.5)
    doubled = np.hstack([X, X])
    twin, single = (build_model("linear_regression").fit(rows, y).predict(rows) for rows in (doubled, X))
    np.testing.assert_allclose(twin, single, atol=1e-4)


def test_ridge_is_the_posterior_mean_under_its_prior() -> None:
    X, y = faint(2, 400, 5, 0.3)
    model = build_model("ridge", expected_ic=0.3, winsorize=0.0).fit(X, y)
    Z, t = model.scaler_(X).astype(float), (y - y.mean()) / y.std()
    prior_variance = 0.3**2 / 5
    Z = Z - Z.mean(axis=0)
    posterior_mean = np.linalg.solve(Z.T @ Z + np.eye(5) / prior_variance, Z.T @ t)
    np.testing.assert_allclose(model.estimator_.coef_, posterior_mean, rtol=1e-5)


@pytest.mark.parametrize("name", ["ridge", "logistic_regression", "linear_svm"])
def test_the_right_expectation_forecasts_best(name: str) -> None:
    """Bayes: under the prior, no penalty has a smaller expected loss than the prior's own (mean of 12 markets).

    The loss is taken against what is truly expected, so that the test's own noise is small.
    """
    loss = {}
    for expected in (0.025, 0.1, 0.4):
        found = []
        for seed in range(12):
            X, effect, noise = _faint(seed, 4_000, 30, 0.1)
            past, ahead = slice(0, 2_000), slice(2_000, None)
            y = effect + noise if name == "ridge" else effect + noise > 0
            model = build_model(name, expected_ic=expected, winsorize=0.0).fit(X[past], y[past])
            up = norm.cdf(effect[ahead])
            if name == "ridge":
                found.append(np.mean((model.predict(X[ahead]) - effect[ahead]) ** 2))
            elif name == "logistic_regression":
                said = model.predict_proba(X[ahead])
                found.append(-np.mean(up * np.log(said[:, 1]) + (1 - up) * np.log(said[:, 0])))
            else:
                found.append(np.mean((model.decision_function(X[ahead]) - (2 * up - 1)) ** 2))
        loss[expected] = np.mean(found)
    assert loss[0.1] == min(loss.values())


def test_the_penalty_scales_with_features_not_rows() -> None:
    assert prior_penalty(0.1, 40) == pytest.approx(4_000.0)
    small, large = (build_model("ridge").fit(*faint(3, n, 8, 0.2)) for n in (200, 2_000))
    assert small.estimator_.alpha == large.estimator_.alpha == pytest.approx(8 / 0.05**2)


# --- fast predictions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_rbf_decisions_equal_libsvm(task: str) -> None:
    X, y = faint(4, 900, 6, 0.6)
    X[:5] *= 20.0  # far-away rows lose the most digits
    model = build_model("rbf_svm", task=task).fit(X, y if task == "regression" else y > 0)  # type: ignore[arg-type]
    machine, Z = model.estimator_, model.scaler_(X)
    oracle = machine.predict(Z) if task == "regression" else machine.decision_function(Z)
    np.testing.assert_allclose(rbf_decision(machine, Z, 1), oracle, atol=1e-4)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_neighbour_averages_equal_scikit_learn(task: str) -> None:
    X, y = faint(5, 700, 6, 0.6)
    model = build_model("k_nearest_neighbors", task=task).fit(X, y if task == "regression" else np.digitize(y, [-0.5, 0.5]))  # type: ignore[arg-type]
    machine, Z = model.estimator_, model.scaler_(X)
    oracle = machine.predict(Z) if task == "regression" else machine.predict_proba(Z)
    np.testing.assert_allclose(neighbor_average(machine, Z, 1), oracle, atol=1e-5)


def test_blocks_cover_all_rows_once() -> None:
    X = np.arange(23, dtype=np.float32)[:, None]
    for n_jobs in (1, 3):
        np.testing.assert_array_equal(blocks_of_rows(lambda rows: rows[:, 0], X, n_jobs, block=4), np.arange(23.0))


# --- the libraries' own names ---------------------------------------------------------------------------------------


def test_penalties_under_their_well_known_names_mean_what_they_mean_in_scikit_learn() -> None:
    X, y = faint(8, 400, 5, 0.3)
    up = (y > 0).astype(int)
    ridge = build_model("ridge", alpha=7.0, winsorize=0.0).fit(X, y)
    Z, t = ridge.scaler_(X).astype(float), (y - y.mean()) / y.std()
    np.testing.assert_allclose(ridge.estimator_.coef_, Ridge(alpha=7.0).fit(Z, t).coef_, rtol=1e-6)
    logistic = build_model("logistic_regression", C=0.02).fit(X, up)
    oracle = LogisticRegression(C=0.02, tol=1e-5, max_iter=200).fit(Z, up)
    np.testing.assert_allclose(logistic.predict_proba(X), oracle.predict_proba(Z), atol=1e-5)
    assert build_model("linear_svm", C=0.02).fit(X, up).estimator_.C == 0.02
    assert build_model("rbf_svm", gamma=0.02).fit(X, up).estimator_.gamma == 0.02


@pytest.mark.parametrize("name", ["ridge", "logistic_regression", "linear_svm", "k_nearest_neighbors", "decision_tree"])
def test_a_well_known_name_at_the_derived_value_changes_nothing(name: str) -> None:
    X, y = faint(9, 1_000, 5, 0.3)
    penalty = prior_penalty(0.05, 5)
    same = {
        "ridge": {"alpha": penalty},
        "logistic_regression": {"C": 4 / penalty},
        "linear_svm": {"C": 0.5 / penalty},
        "k_nearest_neighbors": {"n_neighbors": 100},
        "decision_tree": {"min_samples_leaf": 50},
    }[name]
    target = y if name == "ridge" else (y > 0).astype(int)
    one, two = (build_model(name, **chosen).fit(X, target) for chosen in ({}, same))
    np.testing.assert_array_equal(signal_score(one, X), signal_score(two, X))


# --- rules ----------------------------------------------------------------------------------------------------------


def series(n: int = 200) -> TrainingSet:
    rng = np.random.default_rng(6)
    returns = rng.standard_normal(n) * 0.01
    X = np.column_stack([rng.standard_normal(n), returns])
    return replace(TrainingSet.from_arrays(X, np.roll(returns, -1) + 0.001), feature_names=("noise", "log_return_1"))


@pytest.mark.parametrize("name", [spec.name for spec in RULE_SPECS])
def test_rules_refuse_nan_exactly_where_their_card_asks_for_finite_inputs(name: str) -> None:
    rows = series()
    broken = rows.X.copy()
    broken[3, 1], broken[4, 0] = np.nan, np.inf
    names = pd.DataFrame(broken, columns=list(rows.feature_names))
    model = build_model(name)
    if any("finite" in need for need in model.model_info().feature_requirements):
        with pytest.raises(DataError, match="holds NaN in row 3"):
            model.fit(names, rows.y)
        return
    y = rows.direction() if name == "majority" else rows.y
    score = signal_score(model.fit(names, y), names)
    np.testing.assert_array_equal(score, signal_score(build_model(name).fit(rows.X, y), rows.X))


def test_majority_is_the_mean_or_the_share_of_each_class() -> None:
    rows = series()
    assert np.all(build_model("majority", task="regression").fit(rows).predict(rows) == rows.y.mean())
    model = build_model("majority").fit(rows)
    np.testing.assert_allclose(up_probability(model, rows), np.mean(rows.y > 0))
    assert np.all(signal_score(model, rows) == 0.0)


def test_last_value_finds_the_return_column_or_takes_the_one_it_is_told() -> None:
    rows = series()
    found = build_model("last_value").fit(rows)
    np.testing.assert_array_equal(found.predict(rows), rows.X[:, 1].astype(np.float64))
    told = build_model("last_value", column="noise").fit(rows)
    np.testing.assert_array_equal(signal_score(told, rows), rows.X[:, 0].astype(np.float64))
    with pytest.raises(ModelError, match=r"among x0, x1; it looks for return_1, log_return_1, .* Name another with column="):
        build_model("last_value").fit(rows.X, rows.y)
    second = build_model("last_value", column="x1").fit(rows.X, rows.y)
    np.testing.assert_array_equal(second.predict(rows.X), rows.X[:, 1].astype(np.float64))
    with pytest.raises(UnknownName, match="did you mean 'log_return_1'"):
        build_model("last_value", column="log_return1").fit(rows)


def test_last_value_as_a_classifier_repeats_the_sign() -> None:
    rows = series()
    model = build_model("last_value", task="classification").fit(rows)
    np.testing.assert_array_equal(model.predict(rows), (rows.X[:, 1] > 0).astype(int))


def test_buy_and_hold_is_always_long() -> None:
    rows = series()
    falling = replace(rows, y=rows.y - 0.05)
    for task in ("regression", "classification"):
        model = build_model("buy_and_hold", task=task).fit(rows)  # type: ignore[arg-type]
        assert np.all(signal_score(model, rows) == 1.0)
    assert np.all(build_model("buy_and_hold", task="classification").fit(rows).predict(rows) == 1)
    assert np.all(build_model("buy_and_hold").fit(falling).predict(falling) == 0.0)
