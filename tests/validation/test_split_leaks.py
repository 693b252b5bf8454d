"""Leaks across a split are caught: labels over the boundary, and fits on the full sample."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from huracan.dataset import TrainingSet
from huracan.errors import DataError, LeakageError, NotEnoughData
from huracan.validation import PurgedKFold, PurgedWalkForward, assert_fit_ignores_test, assert_purged


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    rng = np.random.default_rng(0)
    return TrainingSet.from_arrays(rng.normal(size=(200, 30)), rng.normal(size=200), label_horizon=5)


@pytest.fixture(scope="module")
def fold(rows):
    return list(PurgedWalkForward(4).folds(rows))[2]


def test_a_training_label_across_the_boundary_is_caught(rows, fold):
    assert_purged(rows, fold.train, fold.test)
    naive = np.arange(fold.test[0])  # all rows before the test span, as unpurged splitters give them
    with pytest.raises(LeakageError, match=r"training row 115 .*overlaps test row 120 .*5 of 120 training rows do"):
        assert_purged(rows, naive, fold.test)


def test_agrees_with_comparing_every_pair_of_rows():
    rng = np.random.default_rng(1)
    for _ in range(200):
        n = 40
        days = np.cumsum(rng.integers(1, 3, n))
        ts = np.datetime64("2025-01-01", "ms") + days * np.timedelta64(1, "D")
        length = rng.integers(2, 9, n) * np.timedelta64(1, "D")
        rows = TrainingSet.from_arrays(np.zeros((n, 1)), np.zeros(n), ts=ts, label_end=ts + length)
        start, end = rows.decision_time, rows.label_end
        test = np.sort(rng.choice(n, 4, replace=False))
        train = np.setdiff1d(np.arange(n), test)
        gap = int(rng.integers(0, 3)) * np.timedelta64(1, "D")
        meets = (end[train][:, None] >= start[test]) & (start[train][:, None] <= end[test] + gap)
        clean = train[~meets.any(axis=1)]
        if len(clean):
            assert_purged(rows, clean, test, embargo=gap)
        for offender in train[meets.any(axis=1)]:
            with pytest.raises(LeakageError, match=f"training row {offender} "):
                assert_purged(rows, np.append(clean, offender), test, embargo=gap)


def test_embargo_counts_after_the_test_rows(rows):
    first = next(iter(PurgedKFold(4, embargo=10).folds(rows)))
    assert_purged(rows, first.train, first.test, embargo=10)
    with pytest.raises(LeakageError):
        assert_purged(rows, first.train, first.test, embargo=11)


def test_a_row_on_both_sides_is_caught(rows):
    with pytest.raises(LeakageError, match="row 3 is in both"):
        assert_purged(rows, [1, 2, 3], [3, 50])


def test_row_numbers_are_checked(rows):
    with pytest.raises(DataError, match="test names row 200; rows are 0 to 199"):
        assert_purged(rows, [0], [200])
    with pytest.raises(NotEnoughData, match="train holds 0 rows"):
        assert_purged(rows, [], [1])
    with pytest.raises(DataError, match="a list of row numbers"):
        assert_purged(rows, [0.5], [1])


def best_five(X, y):
    return np.argsort(-np.abs((X - X.mean(0)).T @ (y - y.mean())))[:5]


LEAKS = {
    "feature selection on the full sample": lambda r, train, test: best_five(r.X, r.y),
    "feature selection that also sees the test rows": lambda r, train, test: best_five(
        r.X[np.append(train, test)], r.y[np.append(train, test)]
    ),
    "scaler on the full sample": lambda r, train, test: StandardScaler().fit(r.X).mean_,
    "label mean on the full sample": lambda r, train, test: {"encoding": float(r.y.mean())},
    "learner that also fits the test rows": lambda r, train, test: Ridge().fit(r.X, r.y).predict(r.X[train]),
    "rows just before the test span, which were purged": lambda r, train, test: r.y[: test[0]].sum(),
    "early stopping on the test labels": lambda r, train, test: ["stop at", int(np.argmax(r.y[test]))],
    "a name chosen by the test rows": lambda r, train, test: r.feature_names[int(np.argmax(r.X[test].std(0)))],
}

HONEST = {
    "feature selection on the training rows": lambda r, train, test: best_five(r.X[train], r.y[train]),
    "scaler on the training rows": lambda r, train, test: (StandardScaler().fit(r.X[train]).mean_, {"n": len(train)}),
    "learner": lambda r, train, test: Ridge().fit(r.X[train], r.y[train]).predict(r.X[train]),
    "nothing but the size": lambda r, train, test: {"rows": len(r), "names": set(r.feature_names), "none": None, "nan": np.nan},
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_fit_that_sees_more_than_its_training_rows_is_caught(name, rows, fold):
    with pytest.raises(LeakageError, match=r"what is learned depends on the (features|labels)"):
        assert_fit_ignores_test(LEAKS[name], rows, fold.train, fold.test)


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_fit_passes(name, rows, fold):
    assert_fit_ignores_test(HONEST[name], rows, fold.train, fold.test)


def test_the_rows_themselves_are_left_alone(rows, fold):
    before = rows.data_hash()
    assert_fit_ignores_test(HONEST["learner"], rows, fold.train, fold.test)
    assert rows.data_hash() == before


def test_an_unseeded_fit_is_refused(rows, fold):
    rng = np.random.default_rng()
    with pytest.raises(DataError, match="seed the fit"):
        assert_fit_ignores_test(lambda r, train, test: rng.normal(size=3), rows, fold.train, fold.test)


def test_what_cannot_be_compared_is_refused(rows, fold):
    with pytest.raises(DataError, match="is a Ridge, which cannot be compared"):
        assert_fit_ignores_test(lambda r, train, test: Ridge(), rows, fold.train, fold.test)
