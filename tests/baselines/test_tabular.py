"""What every tabular learner promises about its inputs, rows, weights and scales."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.utils.estimator_checks import check_estimator

from huracan.baselines.inputs import InputScaler
from huracan.baselines.spec import FitContext, LearnerSpec
from huracan.catalogue import MODEL_CATALOGUE, build_model, signal_score
from huracan.dataset import TrainingSet
from huracan.errors import DataError, ModelError, NotEnoughData
from huracan.statistics.spread_rows import spread_rows

# those that look at single rows; networks look at windows and have tests of their own
LEARNERS = [name for name, spec in MODEL_CATALOGUE.items() if spec.is_supervised and not spec.is_rule and spec.network is None]
SCALED = [name for name in LEARNERS if MODEL_CATALOGUE[name].scale_inputs]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((400, 4)).astype(np.float32)
Y = (X[:, 0] + RNG.standard_normal(400)).astype(np.float64)


def target(name: str, y: Any = Y) -> Any:
    return y if MODEL_CATALOGUE[name].preferred_task == "regression" else (np.asarray(y) > 0).astype(int)


# --- bad input: one sentence with the place -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["ridge", "lightgbm", "naive_bayes"])
def test_a_value_that_is_not_finite_is_refused_with_column_and_row(name: str, value: float) -> None:
    frame = pl.DataFrame(X, schema=["a", "b", "c", "d"]).with_row_index()
    broken = frame.with_columns(pl.when(pl.col("index") == 7).then(value).otherwise("c").alias("c")).drop("index")
    whole = frame.drop("index")
    shown = "NaN" if np.isnan(value) else str(value)
    with pytest.raises(DataError, match=f"column 'c' holds {shown} in row 7"):
        build_model(name).fit(broken, target(name))
    with pytest.raises(DataError, match=f"column 'c' holds {shown} in row 7"):
        build_model(name).fit(whole, target(name)).predict(broken)


def test_a_label_that_is_not_finite_is_refused_with_its_row() -> None:
    y = Y.copy()
    y[11] = np.nan
    with pytest.raises(DataError, match="column 'y' holds NaN in row 11"):
        build_model("ridge").fit(X, y)


@pytest.mark.parametrize("name", [*LEARNERS, "majority"])
def test_too_few_rows_are_refused_with_both_numbers(name: str) -> None:
    with pytest.raises(NotEnoughData, match=rf"{name} got 9 sample\(s\) to learn from; at least 10"):
        build_model(name).fit(X[:9], target(name)[:9])


@pytest.mark.parametrize("name", [name for name in LEARNERS if "classification" in MODEL_CATALOGUE[name].tasks])
def test_one_class_only_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="one class only, 1, in 400 rows"):
        build_model(name, task="classification").fit(X, np.ones(400, int))


def test_rows_weights_and_columns_must_agree() -> None:
    model = build_model("ridge").fit(TrainingSet.from_arrays(X, Y))
    with pytest.raises(DataError, match="y has 399 rows where X has 400"):
        build_model("ridge").fit(X, Y[:-1])
    with pytest.raises(DataError, match="sample_weight has 3 rows where X has 400"):
        build_model("ridge").fit(X, Y, sample_weight=[1, 2, 3])
    with pytest.raises(DataError, match=r"sample_weight is -1.0 in row 2"):
        build_model("ridge").fit(X, Y, sample_weight=np.where(np.arange(400) == 2, -1.0, 1.0))
    with pytest.raises(DataError, match="expects the feature 'x1' at column 1 and got 'x2'"):
        model.predict(TrainingSet.from_arrays(X, Y).select(["x0", "x2", "x1", "x3"]))
    with pytest.raises(DataError, match="has 3 features"):
        model.predict(X[:, :3])
    with pytest.raises(ModelError, match="max_train_rows is 4"):
        build_model("ridge", max_train_rows=4).fit(X, Y)


# --- frames, training sets, caps, weights ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ridge", "naive_bayes", "extra_trees", "lightgbm"])
def test_numpy_pandas_polars_and_training_set_give_the_same_model(name: str) -> None:
    columns = ["a", "b", "c", "d"]
    rows = TrainingSet.from_arrays(X, Y)
    y = target(name)
    plain = signal_score(build_model(name).fit(X, y), X)
    for frame in (pd.DataFrame(X, columns=columns), pl.DataFrame(X, schema=columns)):
        model = build_model(name).fit(frame, pd.Series(y))
        assert model.feature_names_ == tuple(columns)
        np.testing.assert_array_equal(signal_score(model, frame), plain)
    np.testing.assert_array_equal(signal_score(build_model(name).fit(rows), rows), plain)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_cap_takes_the_most_recent_rows(name: str) -> None:
    rows = TrainingSet.from_arrays(X, Y, weight=RNG.uniform(0.5, 2.0, 400))
    capped = build_model(name, max_train_rows=150).fit(rows)
    tail = build_model(name, max_train_rows=None).fit(rows.take(slice(250, None)))
    assert capped.n_train_rows_ == 150
    np.testing.assert_array_equal(signal_score(capped, rows), signal_score(tail, rows))


@pytest.mark.parametrize("name", LEARNERS)
def test_rows_of_weight_zero_count_for_nothing(name: str) -> None:
    y, weight = target(name), np.ones(400)
    weight[100:200] = 0.0
    kept = weight > 0
    scrambled = np.where(kept, y, 1 - y)
    with_zeros = build_model(name).fit(X, scrambled, sample_weight=weight)
    np.testing.assert_array_equal(signal_score(with_zeros, X), signal_score(build_model(name).fit(X[kept], y[kept]), X))


@pytest.mark.parametrize("name", LEARNERS)
def test_weights_are_used_or_said_not_to_be(name: str) -> None:
    y = target(name)
    weight = np.where(X[:, 1] > 0, 10.0, 0.1)
    weighted, plain = build_model(name).fit(X, y, sample_weight=weight), build_model(name).fit(X, y)
    assert weighted.weight_used_ == MODEL_CATALOGUE[name].supports_weight
    same = np.array_equal(signal_score(weighted, X), signal_score(plain, X))
    assert same != weighted.weight_used_
    thousandfold = build_model(name).fit(X, y, sample_weight=1_024 * weight)  # a power of two scales without rounding
    np.testing.assert_array_equal(signal_score(thousandfold, X), signal_score(weighted, X))


# --- scales ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCALED)
def test_units_of_the_features_do_not_matter(name: str) -> None:
    y = target(name)
    moved = X * np.array([1e-3, 7.0, 1e4, 1.0], np.float32) + np.array([0.0, 3.0, 100.0, -1.0], np.float32)
    ours, theirs = (build_model(name).fit(rows, y) for rows in (X, moved))
    np.testing.assert_allclose(signal_score(theirs, moved), signal_score(ours, X), rtol=5e-3, atol=2e-4)


@pytest.mark.parametrize("name", ["decision_tree", "random_forest", "xgboost", "lightgbm"])
def test_trees_see_only_the_order_of_a_feature(name: str) -> None:
    y = target(name)
    warped = np.exp(X)
    ours, theirs = (build_model(name).fit(rows, y) for rows in (X, warped))
    agreement = np.corrcoef(signal_score(theirs, warped), signal_score(ours, X))[0, 1]
    assert agreement > 0.99  # thresholds lie halfway between values, so a row between them may change sides


@pytest.mark.parametrize("name", [name for name in LEARNERS if "regression" in MODEL_CATALOGUE[name].tasks])
def test_forecasts_come_back_in_the_unit_of_the_label(name: str) -> None:
    model = build_model(name, task="regression").fit(X, Y)
    small = build_model(name, task="regression").fit(X, 1e-4 * Y + 5.0)
    np.testing.assert_allclose((small.predict(X) - 5.0) / 1e-4, model.predict(X), atol=2e-3 * Y.std())


def test_one_crash_does_not_rule_the_forecast() -> None:
    crash = Y.copy()
    crash[123] = -1_000.0
    calm = build_model("linear_regression").fit(X, Y).predict(X)
    winsorised = build_model("linear_regression").fit(X, crash).predict(X)
    raw = build_model("linear_regression", winsorize=0.0).fit(X, crash).predict(X)
    assert np.abs(winsorised - calm).max() < 0.2
    assert np.abs(raw - calm).max() > 2.0


def test_a_bad_tick_in_a_feature_is_clipped_and_a_constant_feature_is_nothing() -> None:
    rows = X.copy()
    rows[5, 0] = 1e9
    rows[:, 3] = 123.456
    scaler = InputScaler.fit(rows, clip=8.0)
    Z = scaler(rows)
    assert Z.dtype == np.float32
    assert Z[5, 0] == 8.0
    assert np.abs(np.delete(Z, 5, axis=0)).max() < 8.0
    assert np.all(Z[:, 3] == 0.0)
    model = build_model("ridge").fit(rows, Y)
    unseen = rows.copy()
    unseen[:, 3] = 999.0
    np.testing.assert_array_equal(model.predict(unseen), model.predict(rows))


@pytest.mark.parametrize("symbols", [4, 5])
def test_the_scale_of_many_rows_is_that_of_all_symbols_not_of_one(symbols: int) -> None:
    """Rows of several symbols are in turn, each of a scale of its own; the moments are those of the mixture."""
    n = 400_000 - 400_000 % symbols
    size = np.tile(10.0 ** np.arange(symbols), n // symbols)
    rows = (size * np.random.default_rng(0).standard_normal(n)).astype(np.float32)[:, None]
    scaler = InputScaler.fit(rows, clip=8.0)
    low, high = np.quantile(rows[:, 0].astype(np.float64), [0.005, 0.995])
    assert scaler.scale[0] == pytest.approx(np.clip(rows[:, 0].astype(np.float64), low, high).std(), rel=0.03)


def test_a_sample_of_rows_holds_every_symbol_in_its_share_and_is_always_the_same() -> None:
    for symbols in (2, 8, 400):
        rows = spread_rows(160_000, 20_000)
        assert rows is not None and len(rows) == 20_000 and np.all(np.diff(rows) > 0)
        counts = np.bincount(rows % symbols, minlength=symbols)
        share = 20_000 / symbols
        assert np.abs(counts - share).max() < 5.0 * np.sqrt(share)  # of 400 binomial counts
        np.testing.assert_array_equal(rows, spread_rows(160_000, 20_000))
    assert spread_rows(39_999, 20_000) is None


def test_moments_of_few_columns_at_a_time_are_those_of_all_at_once() -> None:
    rows = (np.random.default_rng(0).standard_normal((3_000, 13)) * np.arange(1, 14)).astype(np.float32)
    some = np.flatnonzero(np.arange(3_000) % 3)
    sample = rows[some].astype(np.float64)
    cut = np.clip(sample, *np.quantile(sample, [0.005, 0.995], axis=0))
    scaler = InputScaler.fit(rows, clip=8.0, rows=some)
    np.testing.assert_array_equal(scaler.center, cut.mean(axis=0))
    np.testing.assert_array_equal(scaler.scale, cut.std(axis=0))
    expected, own = scaler(rows), rows.copy()
    assert scaler(own, out=own) is own
    np.testing.assert_array_equal(own, expected)


def test_a_damaged_state_is_refused_in_one_sentence() -> None:
    state, inner = build_model("ridge").fit(X, Y).to_parts()
    for key, value, said in (("scaler", 3, "damaged"), ("feature_names", None, "damaged"), ("target", [1.0], "damaged")):
        with pytest.raises(ModelError, match=f"the stored state of ridge is {said}"):
            type(build_model("ridge")).from_state(MODEL_CATALOGUE["ridge"], {**state, key: value}, inner)


# --- the contract of scikit-learn -----------------------------------------------------------------------------------

_KNOWN = {
    "check_sample_weight_equivalence_on_dense_data": "9 of its rows have a weight; at least 10 are needed",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "task"),
    [("ridge", "regression"), ("logistic_regression", "classification"), ("k_nearest_neighbors", "classification"),
     ("rbf_svm", "classification"), ("decision_tree", "regression"), ("extra_trees", "regression"),
     ("xgboost", "classification"), ("lightgbm", "regression"), ("majority", "classification")],
)  # fmt: skip
def test_scikit_learn_finds_nothing_to_object_to(name: str, task: Any) -> None:
    check_estimator(build_model(name, task=task), expected_failed_checks=_KNOWN, on_skip=None)


def test_models_travel_between_processes() -> None:
    model = build_model("lightgbm", n_rounds=10).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.spec.name == "lightgbm"


@pytest.mark.parametrize(("name", "absent"), [("linear_svm", "predict_proba"), ("naive_bayes", "decision_function")])
def test_a_classifier_has_either_probabilities_or_a_margin(name: str, absent: str) -> None:
    model = build_model(name, task="classification")
    assert not hasattr(model, absent)
    fitted = model.fit(X, target("naive_bayes"))
    said = fitted.predict(X)
    if name == "naive_bayes":
        np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1.0)
        np.testing.assert_array_equal(said, fitted.predict_proba(X).argmax(axis=1))
    else:
        np.testing.assert_array_equal(said, (fitted.decision_function(X) > 0).astype(int))


def test_rows_of_a_fraction_are_modest_on_tiny_data() -> None:
    def leaf(n: int) -> int:
        return FitContext("regression", {"leaf": 0.01}, n, 3).rows_of("leaf", at_least=50)

    assert [leaf(n) for n in (100_000, 2_000, 400, 10)] == [1_000, 50, 20, 1]


def test_no_rows_give_no_forecasts() -> None:
    model = build_model("extra_trees", n_estimators=5).fit(X, Y)
    assert isinstance(MODEL_CATALOGUE["extra_trees"], LearnerSpec)
    assert signal_score(model, X[:0]).shape == (0,)
