"""Out-of-fold predictions: nothing later than the decision can change them, and the times say so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC

from huracan.catalogue import build_model
from huracan.dataset import TrainingSet
from huracan.ensembles import OutOfFold, out_of_fold_predictions
from huracan.errors import DataError, ModelError
from huracan.validation import PurgedKFold, PurgedWalkForward

MEMBERS: dict[str, Any] = {"ridge": Ridge(), "trees": ExtraTreesRegressor(5, random_state=0), "ours": build_model("ridge")}


@pytest.mark.parametrize("kind", ["rows", "panel"])
def test_what_is_known_after_the_decision_changes_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    """The prefix test: labels that end at the decision or later, and later features, are replaced by noise."""
    rows: TrainingSet = request.getfixturevalue(kind)
    made = out_of_fold_predictions(MEMBERS, rows, PurgedWalkForward(4))
    for fold in range(4):
        first = rows.decision_time[made.fold == fold].min()
        X, y = rows.X.copy(), rows.y.copy()
        y[rows.label_end >= first] = 99.0
        X[rows.label_end >= first] = 7.0
        X[made.fold == fold] = rows.X[made.fold == fold]
        other = out_of_fold_predictions(MEMBERS, replace(rows, X=X, y=y), PurgedWalkForward(4))
        np.testing.assert_array_equal(other.predictions[made.fold == fold], made.predictions[made.fold == fold])


def test_known_until_is_the_last_label_of_the_fold_and_before_the_decision(rows: TrainingSet) -> None:
    splitter = PurgedWalkForward(4, embargo=2)
    made = out_of_fold_predictions(MEMBERS, rows, splitter)
    for train, test in splitter.split(rows):
        assert (made.known_until[test] == rows.label_end[train].max()).all()
    assert (made.known_until[made.answered] < rows.decision_time[made.answered]).all()
    assert np.isnat(made.known_until[~made.answered]).all()
    assert made.fold[~made.answered].max() == -1


@pytest.mark.parametrize("splitter", [KFold(4, shuffle=True, random_state=0), PurgedKFold(4)])
def test_other_splitters_are_told_for_what_they_are(splitter: Any, rows: TrainingSet) -> None:
    made = out_of_fold_predictions({"ridge": Ridge()}, rows, splitter)
    assert (made.known_until >= rows.decision_time).any()


def test_a_fold_is_what_one_would_do_by_hand(rows: TrainingSet) -> None:
    made = out_of_fold_predictions({"ridge": Ridge()}, rows, PurgedWalkForward(3))
    for train, test in PurgedWalkForward(3).split(rows):
        expected = Ridge().fit(rows.X[train].astype(float), rows.y[train]).predict(rows.X[test].astype(float))
        np.testing.assert_array_equal(made.predictions[test, 0], expected)


def test_probabilities_are_those_of_up(rows: TrainingSet) -> None:
    members = {"line": LogisticRegression(), "ours": build_model("logistic_regression")}
    made = out_of_fold_predictions(members, rows, PurgedWalkForward(3))
    train, test = next(iter(PurgedWalkForward(3).split(rows)))
    X = rows.X.astype(float)
    expected = LogisticRegression().fit(X[train], rows.y[train] > 0).predict_proba(X[test])[:, 1]
    np.testing.assert_array_equal(made.predictions[test, 0], expected)
    np.testing.assert_array_equal(made.target, rows.direction())
    said = made.predictions[made.usable]
    np.testing.assert_allclose(
        made.losses(), -np.log(np.where(made.target[made.usable, None] == 1, said, 1 - said)), rtol=1e-12
    )


def test_more_than_two_classes_have_a_probability_each(rows: TrainingSet) -> None:
    codes = np.digitize(rows.y, [-0.5, 0.5])
    made = out_of_fold_predictions({"bayes": GaussianNB()}, rows, PurgedWalkForward(3), target=codes, n_classes=3)
    assert made.predictions.shape == (len(rows), 1, 3)
    np.testing.assert_allclose(made.predictions[made.answered].sum(axis=2), 1.0)
    assert made.losses().shape == (int(made.usable.sum()), 1)


def test_rows_without_a_label_are_answered_and_not_learned_from(rows: TrainingSet) -> None:
    y, end = rows.y.copy(), rows.label_end.copy()
    y[::7], end[::7] = np.nan, np.datetime64("NaT")
    some = replace(rows, y=y, label_end=end)
    made = out_of_fold_predictions(MEMBERS, some, PurgedWalkForward(3))
    assert made.answered[made.fold >= 0].all()
    assert not made.usable[::7].any()
    last = PurgedWalkForward(3).split(rows)
    *_, (train, test) = last
    known = np.setdiff1d(train, np.arange(0, len(rows), 7))
    expected = Ridge().fit(rows.X[known].astype(float), rows.y[known]).predict(rows.X[test].astype(float))
    np.testing.assert_array_equal(made.predictions[test, 0], expected)


def test_models_that_look_back_get_the_bars_before_a_fold(rows: TrainingSet) -> None:
    pytest.importorskip("torch")
    model = build_model("linear_network", window=6, max_epochs=1)
    made = out_of_fold_predictions({"network": model}, rows, PurgedWalkForward(2))
    train, test = next(iter(PurgedWalkForward(2).split(rows)))
    fitted = build_model("linear_network", window=6, max_epochs=1).fit(rows.take(train))
    np.testing.assert_allclose(made.predictions[test, 0], fitted.predict(rows)[test], atol=1e-7)


def test_a_seed_gives_each_member_its_own(rows: TrainingSet) -> None:
    twins = {"a": ExtraTreesRegressor(3, random_state=0), "b": ExtraTreesRegressor(3, random_state=0)}
    same = out_of_fold_predictions(twins, rows, PurgedWalkForward(2))
    np.testing.assert_array_equal(same.predictions[:, 0], same.predictions[:, 1])
    seeded = out_of_fold_predictions(twins, rows, PurgedWalkForward(2), 5)
    assert not np.array_equal(seeded.predictions[:, 0], seeded.predictions[:, 1], equal_nan=True)
    again = out_of_fold_predictions(twins, rows, PurgedWalkForward(2), 5)
    np.testing.assert_array_equal(seeded.predictions, again.predictions)
    assert twins["a"].random_state == 0


def test_parts_of_predictions(rows: TrainingSet) -> None:
    made = out_of_fold_predictions(MEMBERS, rows, PurgedWalkForward(3))
    some = made.select(("trees",)).take(made.usable)
    assert some.names == ("trees",)
    np.testing.assert_array_equal(some.losses()[:, 0], made.losses()[:, 1])
    with pytest.raises(DataError, match="'lightgbm' is not among ridge, trees, ours"):
        made.select(("lightgbm",))


class Raising(Ridge):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        raise ValueError("no luck\ntoday")


class Missing(Ridge):
    def predict(self, X: Any) -> Any:
        return np.full(len(X), np.nan)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "members is {}; a mapping of name to estimator, with at least one, was expected."),
        ({"a": 3}, "member 'a' is a int; an estimator with fit and predict was expected."),
        ({"a__b": Ridge()}, "a member is named 'a__b'"),
        (
            {"a": Ridge(), "b": GaussianNB()},
            "member 'b' does classification, 'a' regression; members of one task were expected.",
        ),
        ({"a": LinearSVC()}, "member 'a' has no predict_proba"),
        ({"a": Raising()}, r"member 'a' cannot be fitted on fold 0 \(decisions from .*\): no luck today"),
        ({"a": Missing()}, "member 'a' answers nan in row 0; a finite number was expected."),
    ],
)
def test_members_that_cannot_be_are_named(members: Any, said: str, rows: TrainingSet) -> None:
    with pytest.raises(ModelError, match=said):
        out_of_fold_predictions(members, rows, PurgedWalkForward(2))


def test_a_fold_of_one_class_is_named(rows: TrainingSet) -> None:
    y = rows.y.copy()
    y[:200] = 1.0
    with pytest.raises(ModelError, match=r"member 'line' cannot be fitted on fold 0 .* class"):
        out_of_fold_predictions({"line": LogisticRegression()}, replace(rows, y=y), PurgedWalkForward(5))


def test_a_row_that_is_tested_twice_is_refused(rows: TrainingSet) -> None:
    class Twice:
        def split(self, X: Any, y: Any = None) -> Any:
            yield np.arange(100), np.arange(100, 200)
            yield np.arange(100), np.arange(150, 250)

    with pytest.raises(DataError, match="row 150 is tested in folds 0 and 1"):
        out_of_fold_predictions({"a": Ridge()}, rows, Twice())


def test_shapes_of_given_predictions_are_checked(rows: TrainingSet) -> None:
    with pytest.raises(DataError, match="predictions have shape"):
        OutOfFold.from_arrays(np.zeros((3, 2)), rows)
