"""Stacking: the final estimator sees what was known before each row, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_estimator

from huracan.dataset import TrainingSet
from huracan.ensembles import (
    TimeOrderedStackingClassifier,
    TimeOrderedStackingRegressor,
    out_of_fold_predictions,
)
from huracan.errors import LeakageError, ModelError, NotEnoughData
from huracan.validation import PurgedKFold, PurgedWalkForward, assert_fit_ignores_test

MEMBERS: dict[str, Any] = {"line": Ridge(), "tree": DecisionTreeRegressor(random_state=0)}
CLASSIFIERS: dict[str, Any] = {"line": LogisticRegression(), "bayes": GaussianNB()}


def test_the_final_estimator_learns_from_out_of_fold_predictions_alone(rows: TrainingSet) -> None:
    made = TimeOrderedStackingRegressor(MEMBERS, LinearRegression(), splitter=PurgedWalkForward(4)).fit(rows)
    by_hand = out_of_fold_predictions(MEMBERS, rows, PurgedWalkForward(4))
    expected = LinearRegression().fit(by_hand.predictions[by_hand.usable], rows.y[by_hand.usable])
    np.testing.assert_array_equal(made.final_.coef_, expected.coef_)
    np.testing.assert_array_equal(made.out_of_fold_.predictions, by_hand.predictions)


def test_members_are_fitted_again_on_all_rows(rows: TrainingSet) -> None:
    made = TimeOrderedStackingRegressor(MEMBERS).fit(rows)
    np.testing.assert_array_equal(made.members_["line"].coef_, Ridge().fit(rows.X.astype(float), rows.y).coef_)


def test_a_member_that_learns_rows_by_heart_gets_no_credit_for_it(rows: TrainingSet) -> None:
    """In sample the tree is perfect; out of fold it is worse than the line, which is what counts."""
    made = TimeOrderedStackingRegressor(MEMBERS, "nnls").fit(rows)
    assert np.array_equal(made.members_["tree"].predict(rows.X), rows.y)
    line, tree = made.final_.coef_
    assert line > 5 * tree


def test_what_is_learned_ignores_rows_outside_the_training_rows(rows: TrainingSet) -> None:
    def fit(some: TrainingSet, train: Any, test: Any) -> Any:
        return TimeOrderedStackingRegressor(MEMBERS).fit(some.take(train)).predict(some.take(train))

    train, test = next(iter(PurgedWalkForward(1).split(rows)))
    assert_fit_ignores_test(fit, rows, train, test)


@pytest.mark.parametrize("splitter", [KFold(4, shuffle=True, random_state=0), PurgedKFold(4)])
def test_a_splitter_that_looks_ahead_is_refused(splitter: Any, rows: TrainingSet) -> None:
    with pytest.raises(LeakageError, match=r"learned from labels known until .*, not before the decision"):
        TimeOrderedStackingRegressor(MEMBERS, splitter=splitter).fit(rows)


def test_a_planted_leak_in_shuffled_folds_does_not_reach_the_stack() -> None:
    """Labels of 20 overlapping bars and slow features: shuffled folds make trees look perfect, time order does not."""
    rng = np.random.default_rng(0)
    walk = rng.standard_normal(2_040).cumsum()
    slow = np.stack([walk[20:-20] - walk[:-40], np.sin(np.arange(2_000) / 90), np.arange(2_000) / 500], axis=1)
    rows = TrainingSet.from_arrays(slow, walk[40:] - walk[20:-20], label_horizon=20)
    members = {"line": Ridge(1e4), "trees": ExtraTreesRegressor(20, random_state=0)}
    shuffled = out_of_fold_predictions(members, rows, KFold(5, shuffle=True, random_state=0))
    fooled = LinearRegression(positive=True).fit(shuffled.predictions, rows.y)
    honest = TimeOrderedStackingRegressor(members, "nnls").fit(rows)
    assert fooled.coef_[1] > 0.9
    assert honest.final_.coef_[1] < 0.3


@pytest.mark.parametrize(("final", "kind"), [("ridge", "TabularRegressor"), ("nnls", "LinearRegression")])
def test_final_estimators_by_name(final: str, kind: str, rows: TrainingSet) -> None:
    made = TimeOrderedStackingRegressor(MEMBERS, final).fit(rows)
    assert type(made.final_).__name__ == kind
    assert np.corrcoef(made.predict(rows), rows.y)[0, 1] > 0.3


def test_features_are_passed_through(rows: TrainingSet) -> None:
    made = TimeOrderedStackingRegressor(MEMBERS, LinearRegression(), passthrough=True).fit(rows)
    assert made.final_.n_features_in_ == 2 + 4
    assert made.predict(rows).shape == (600,)


@pytest.mark.parametrize("edges", [[0.0], [-0.5, 0.5]])
def test_classes_of_any_name_and_number(edges: list[float], rows: TrainingSet) -> None:
    y = np.array(["down", "flat", "up"])[np.digitize(rows.y, edges)]
    made = TimeOrderedStackingClassifier(CLASSIFIERS).fit(rows.X, y)
    assert made.predict_proba(rows.X).shape == (600, len(edges) + 1)
    assert (made.predict(rows.X) == y).mean() > 1 / (len(edges) + 1)
    assert made.final_.n_features_in_ == (2 if len(edges) == 1 else 6)


def test_rows_without_a_label_are_not_learned_from(rows: TrainingSet) -> None:
    y, end = rows.y.copy(), rows.label_end.copy()
    y[-50:], end[-50:] = np.nan, np.datetime64("NaT")
    some = replace(rows, y=y, label_end=end)
    made = TimeOrderedStackingRegressor(MEMBERS).fit(some)
    np.testing.assert_array_equal(made.members_["line"].coef_, Ridge().fit(rows.X[:-50].astype(float), rows.y[:-50]).coef_)
    assert np.isfinite(made.predict(some)).all()


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"final": "median"}, ModelError, "final is 'median'; 'ridge', 'nnls' or a regressor was expected."),
        ({"final": LogisticRegression()}, ModelError, "a name or an estimator that does regression was expected."),
        ({"splitter": PurgedWalkForward(1, min_train_share=0.995)}, NotEnoughData, "stacking got 3 rows answered out of fold"),
        ({"members": CLASSIFIERS}, ModelError, "members of a TimeOrderedStackingRegressor do classification"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: Any, error: Any, said: str, rows: TrainingSet) -> None:
    with pytest.raises(error, match=said):
        TimeOrderedStackingRegressor(**{"members": MEMBERS, **settings}).fit(rows)


_SORTED = "its rows are sorted by class: what comes first in time holds one class only"
_KNOWN = {
    "check_sample_weight_equivalence_on_dense_data": "rows are repeated and shuffled, which makes other folds in time",
}
_KNOWN_OF_CLASSES = {"check_positive_only_tag_during_fit": _SORTED, "check_estimators_nan_inf": _SORTED}


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        TimeOrderedStackingRegressor(MEMBERS, LinearRegression(), splitter=PurgedWalkForward(2, min_train_share=0.5)),
        TimeOrderedStackingClassifier(CLASSIFIERS, LogisticRegression(), splitter=PurgedWalkForward(2, min_train_share=0.5)),
    ],
    ids=["regressor", "classifier"],
)
def test_scikit_learn_finds_nothing_to_object_to(model: Any) -> None:
    known = _KNOWN | (_KNOWN_OF_CLASSES if isinstance(model, TimeOrderedStackingClassifier) else {})
    check_estimator(model, expected_failed_checks=known, on_skip=None)
