"""No training label reaches into a test span, whatever the times, labels and panels."""

from __future__ import annotations

import copy
import datetime as dt
from dataclasses import replace
from math import comb

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, TimeSeriesSplit, cross_val_score

from huracan.dataset import TrainingSet
from huracan.errors import DataError, NotEnoughData
from huracan.validation import CombinatorialPurgedCV, PurgedKFold, PurgedWalkForward, assert_purged

ORIGIN = np.datetime64("2025-01-01", "ms")
HOUR = np.timedelta64(3_600_000, "ms")


def hours(values):
    return ORIGIN + np.asarray(values) * HOUR


@st.composite
def panels(draw):
    """Rows of several symbols at irregular times, labels of irregular length, in any order."""
    n_times = draw(st.integers(24, 60))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 9]), min_size=n_times, max_size=n_times))
    counts = draw(st.lists(st.integers(1, 3), min_size=n_times, max_size=n_times))
    decision = np.repeat(np.cumsum(steps), counts)
    lengths = draw(st.lists(st.sampled_from([0, 1, 1, 2, 3, 8]), min_size=len(decision), max_size=len(decision)))
    order = np.array(draw(st.permutations(range(len(decision)))))
    return decision[order], (decision + lengths)[order]


splitters = st.one_of(
    st.builds(
        PurgedWalkForward,
        st.integers(2, 4),
        expanding=st.booleans(),
        min_train_share=st.sampled_from([None, 0.5]),
        embargo=st.sampled_from([0, 1, 3]),
    ),
    st.builds(PurgedKFold, st.integers(2, 4), embargo=st.sampled_from([0, 1, 3])),
    st.builds(
        CombinatorialPurgedCV,
        st.integers(4, 5),
        st.integers(1, 2),
        embargo=st.sampled_from([0, 2]),
    ),
)


def spans_of(test, decision):
    """Test rows as runs of times that no other time interrupts."""
    times = np.unique(decision)
    tested = np.isin(times, decision[test])
    runs = np.split(np.flatnonzero(tested), np.flatnonzero(np.diff(np.flatnonzero(tested)) > 1) + 1)
    return [np.isin(decision, times[run]) for run in runs]


@settings(deadline=None, max_examples=150)
@given(panels(), splitters)
def test_no_training_label_reaches_into_a_test_span(panel, splitter):
    decision, end = panel
    step = int(np.quantile(np.diff(np.unique(decision)), 0.5, method="higher"))
    embargo = splitter.embargo * step
    X = np.zeros((len(decision), 1))
    try:
        folds = list(splitter.folds(X, decision_time=hours(decision), label_end=hours(end)))
    except NotEnoughData as error:
        assert "has no training row" in str(error)  # every fold that exists is checked below
        return
    assert len(folds) == splitter.get_n_splits()
    for fold in folds:
        assert not np.intersect1d(fold.train, fold.test).size
        assert np.all(np.diff(fold.train) > 0)
        assert np.all(np.diff(fold.test) > 0)
        # all symbols of one time are on one side
        assert not np.isin(decision[fold.train], decision[fold.test]).any()
        forward = isinstance(splitter, PurgedWalkForward)
        for span in spans_of(fold.test, decision):
            first, last = decision[span].min(), end[span].max()
            before, after = fold.train[decision[fold.train] < first], fold.train[decision[fold.train] > first]
            assert np.all(end[before] < first - (embargo if forward else 0))
            assert np.all(decision[after] > last + embargo)
            assert not (forward and len(after))


@settings(deadline=None, max_examples=80)
@given(panels(), st.sampled_from([0, 1, 3]))
def test_nothing_is_purged_that_need_not_be(panel, bars):
    decision, end = panel
    embargo = bars * int(np.quantile(np.diff(np.unique(decision)), 0.5, method="higher"))
    rows = np.arange(len(decision))
    try:
        folds = list(PurgedKFold(3, embargo=bars).folds(rows, decision_time=hours(decision), label_end=hours(end)))
    except NotEnoughData:
        return
    for fold in folds:
        first, last = decision[fold.test].min(), end[fold.test].max()
        inside = np.isin(rows, fold.test)
        expected = rows[~inside & ((end < first) | (decision > last + embargo))]
        np.testing.assert_array_equal(fold.train, expected)
        assert fold.n_purged == len(rows) - len(fold.test) - len(expected)
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.test for fold in folds])), rows)


@settings(deadline=None, max_examples=30)
@given(st.integers(30, 80), st.integers(1, 4), st.integers(1, 3))
def test_the_order_of_the_rows_does_not_matter(n, horizon, n_symbols):
    decision = np.repeat(np.arange(n), n_symbols)
    shuffled = np.random.default_rng(n).permutation(len(decision))
    X = np.zeros((len(decision), 1))
    for splitter in (PurgedWalkForward(3), PurgedKFold(3, embargo=2), CombinatorialPurgedCV(5, 2)):
        ordered = splitter.split(X, decision_time=hours(decision), label_end=hours(decision + horizon))
        mixed = splitter.split(X, decision_time=hours(decision[shuffled]), label_end=hours((decision + horizon)[shuffled]))
        for (train, test), (mixed_train, mixed_test) in zip(ordered, mixed, strict=True):
            np.testing.assert_array_equal(np.sort(shuffled[mixed_train]), train)
            np.testing.assert_array_equal(np.sort(shuffled[mixed_test]), test)


def panel_rows(n_times: int, n_symbols: int, horizon: int) -> TrainingSet:
    n = n_times * n_symbols
    rows = TrainingSet.from_arrays(np.random.default_rng(0).normal(size=(n, 2)), np.zeros(n))
    decision = hours(np.repeat(np.arange(n_times), n_symbols))
    return replace(
        rows,
        ts=decision - HOUR,
        decision_time=decision,
        label_end=decision + horizon * HOUR,
        symbol_code=np.tile(np.arange(n_symbols, dtype=np.int32), n_times),
        symbols=tuple("abcdefgh"[:n_symbols]),
        bar_length=HOUR,
    )


@pytest.mark.parametrize("horizon", [0, 1, 5])
def test_without_panels_walk_forward_is_scikit_learns_with_a_gap(horizon):
    X = np.zeros((120, 1))
    mine = list(PurgedWalkForward(5, label_horizon=horizon).split(X))
    for (train, test), (oracle_train, oracle_test) in zip(mine, TimeSeriesSplit(5, gap=horizon).split(X), strict=True):
        np.testing.assert_array_equal(train, oracle_train)
        np.testing.assert_array_equal(test, oracle_test)


def test_without_overlap_k_fold_is_scikit_learns():
    X = np.zeros((103, 1))
    mine = list(PurgedKFold(4, label_horizon=0).split(X))
    assert sorted(len(test) for _, test in mine) == sorted(len(test) for _, test in KFold(4).split(X))
    for train, test in mine:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(103))


def test_combinatorial_paths_are_whole_histories():
    cv = CombinatorialPurgedCV(6, 2)
    rows = panel_rows(120, 3, 2)
    folds = list(cv.folds(rows))
    assert len(folds) == cv.get_n_splits() == comb(6, 2)
    assert cv.paths.shape == (cv.n_paths, 6) == (5, 6)
    for path in cv.paths:  # each group of a path comes from a fold that tested it
        assert all(group in folds[fold].test_groups for group, fold in enumerate(path))
    used = [(fold, group) for path in cv.paths for group, fold in enumerate(path)]
    assert len(set(used)) == len(used) == 15 * 2  # no prediction serves twice, none is wasted
    assert np.all(np.bincount(np.concatenate([fold.test for fold in folds])) == cv.n_paths)


def test_combinatorial_agrees_with_skfolio():
    skfolio = pytest.importorskip("skfolio.model_selection")
    oracle = skfolio.CombinatorialPurgedCV(n_folds=6, n_test_folds=2, purged_size=0, embargo_size=0)
    X = np.zeros((120, 1))
    cv = CombinatorialPurgedCV(6, 2, label_horizon=0)
    assert oracle.n_test_paths == cv.n_paths
    pairs = zip(cv.split(X), oracle.split(X), strict=True)
    for (train, test), (oracle_train, oracle_test) in pairs:
        np.testing.assert_array_equal(train, np.sort(oracle_train))
        np.testing.assert_array_equal(test, np.sort(np.concatenate(oracle_test)))


def test_rows_of_a_training_set_are_views():
    rows = panel_rows(600, 4, 3)
    for fold in PurgedWalkForward(5).folds(rows):
        assert isinstance(fold.train_rows, slice)
        assert np.shares_memory(rows.take(fold.train_rows).X, rows.X)
        assert_purged(rows, fold.train, fold.test)
        assert fold.test_start == rows.decision_time[fold.test[0]]
        assert fold.test_end == rows.decision_time[fold.test[-1]]
        assert fold.n_purged == 3 * 4  # a label of 3 bars: 3 times, 4 symbols


def test_rolling_windows_keep_their_length():
    folds = list(PurgedWalkForward(5, expanding=False, label_horizon=1).folds(np.zeros((120, 1))))
    assert {len(fold.train) + fold.n_purged for fold in folds} == {20}
    assert folds[-1].train[0] == 80


def test_embargo_in_bars_time_and_share_mean_the_same():
    rows = panel_rows(200, 2, 1)
    sizes = []
    for embargo in (4, dt.timedelta(hours=4), np.timedelta64(4, "h"), 0.02):
        sizes.append([(len(train), len(test)) for train, test in PurgedKFold(4, embargo=embargo).split(rows)])
    assert all(size == sizes[0] for size in sizes)
    assert sizes[0] != [(len(train), len(test)) for train, test in PurgedKFold(4).split(rows)]


def test_a_panel_is_split_by_its_times_however_a_frame_has_them():
    """Symbols one after the other: by the order of rows one would be learned from and the other judged."""
    times = np.tile(pd.date_range("2025-01-01", periods=90, freq="h").to_numpy(), 2)
    coins = np.repeat(["BTC", "ETH"], 90)
    values = pd.DataFrame({"x": np.zeros(180)})
    splitter = PurgedKFold(3, label_horizon=2)
    wanted = list(splitter.split(values, decision_time=times))
    for frame in (
        values.set_index([pd.Index(coins), pd.Index(times)]),
        values.set_index([pd.Index(times), pd.Index(coins)]),
        values.assign(ts=times, symbol=coins),
        pl.from_pandas(values.assign(ts=times, symbol=coins)),
    ):
        for (train, test), (other_train, other_test) in zip(splitter.split(frame), wanted, strict=True):
            np.testing.assert_array_equal(train, other_train)
            np.testing.assert_array_equal(test, other_test)
            assert set(coins[train]) == set(coins[test]) == {"BTC", "ETH"}


@pytest.mark.parametrize("tz", [None, "UTC", "Asia/Tokyo"])
def test_a_pandas_time_index_is_understood(tz):
    index = pd.date_range("2025-01-01", periods=90, freq="h", tz=tz).repeat(2)
    frame = pd.DataFrame({"x": np.zeros(180)}, index=index)
    fold = next(iter(PurgedWalkForward(2, label_horizon=2).folds(frame)))
    assert len(fold.test) == 60
    assert fold.n_purged == 4
    assert np.issubdtype(type(fold.test_start), np.datetime64)


def test_works_inside_scikit_learn():
    rows = panel_rows(100, 2, 4)
    y = np.random.default_rng(1).normal(size=len(rows))
    for splitter in (PurgedWalkForward(4), PurgedKFold(4), CombinatorialPurgedCV(4, 2)):
        bound = splitter.bind(rows)
        assert len(cross_val_score(Ridge(), rows.X, y, cv=bound)) == splitter.get_n_splits()
        search = GridSearchCV(Ridge(), {"alpha": [1.0, 10.0]}, cv=copy.deepcopy(bound)).fit(rows.X, y)
        assert search.n_splits_ == splitter.get_n_splits()
        for (train, test), (direct_train, direct_test) in zip(bound.split(rows.X), splitter.split(rows), strict=True):
            np.testing.assert_array_equal(train, direct_train)
            np.testing.assert_array_equal(test, direct_test)


def test_bound_times_must_fit_the_rows():
    bound = PurgedKFold(4).bind(panel_rows(100, 2, 4))
    with pytest.raises(DataError, match="X has 150 rows, but the splitter is bound to the times of 200"):
        list(bound.split(np.zeros((150, 2))))


def test_folds_that_would_be_empty_are_refused_with_numbers():
    with pytest.raises(NotEnoughData, match="walk-forward fold 1 of 5 has no training row: of 30 rows 5 are test"):
        list(PurgedWalkForward(5, label_horizon=10).split(np.zeros((30, 1))))
    with pytest.raises(NotEnoughData, match="4 rows at 4 different times cannot make 5 folds"):
        list(PurgedKFold(5).split(np.zeros((4, 1))))
    with pytest.raises(NotEnoughData, match="tests groups 0, 2 of 4"):
        list(CombinatorialPurgedCV(4, 2, label_horizon=6).split(np.zeros((24, 1))))
    with pytest.raises(NotEnoughData, match="0 rows"):
        list(PurgedKFold(5).split(np.zeros((0, 1))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PurgedWalkForward(0), "n_splits is 0"),
        (lambda: PurgedKFold(1), "n_splits is 1"),
        (lambda: PurgedWalkForward(3, min_train_share=1.0), "min_train_share is 1.0"),
        (lambda: CombinatorialPurgedCV(4, 4), "n_test_groups is 4 of 4"),
        (lambda: list(PurgedKFold(3, embargo=-1).split(np.zeros((30, 1)))), "embargo is -1"),
        (lambda: list(PurgedKFold(3, embargo=1.5).split(np.zeros((30, 1)))), "embargo is 1.5"),
        (lambda: list(PurgedKFold(3, embargo="1h").split(np.zeros((30, 1)))), "embargo is '1h'"),
        (lambda: list(PurgedKFold(3, embargo=True).split(np.zeros((30, 1)))), "embargo is True"),
        (lambda: list(PurgedKFold(3, embargo=dt.timedelta(1)).split(np.zeros((30, 1)))), "no times"),
        (lambda: list(PurgedKFold(3, label_horizon=-1).split(np.zeros((30, 1)))), "label_horizon is -1"),
    ],
)
def test_settings_out_of_bounds_are_refused(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_broken_times_are_refused_by_row():
    X, t = np.zeros((30, 1)), hours(np.arange(30))
    late = t.copy()
    late[7] -= 2 * HOUR
    with pytest.raises(DataError, match=r"row 7 is decided at 2025-01-01T07.*before, at 2025-01-01T05"):
        list(PurgedKFold(3).split(X, decision_time=t, label_end=late))
    missing = t.copy()
    missing[3] = np.datetime64("NaT")
    with pytest.raises(DataError, match="decision_time is missing in row 3"):
        list(PurgedKFold(3).split(X, decision_time=missing))
    with pytest.raises(DataError, match="label_end was given without decision_time"):
        list(PurgedKFold(3).split(X, label_end=t))
    with pytest.raises(DataError, match="decision_time has 29 rows where X has 30"):
        list(PurgedKFold(3).split(X, decision_time=t[1:]))
    with pytest.raises(DataError, match="decision_time is int64"):
        list(PurgedKFold(3).split(X, decision_time=np.arange(30)))


# --- where only a matrix can be handed on ---------------------------------------------------------------------------


def three_at_a_time() -> TrainingSet:
    """Three rows at each of 60 times, labels of five bars."""
    X = np.random.default_rng(0).standard_normal((180, 2))
    decision = hours(np.repeat(np.arange(60), 3))
    rows = TrainingSet.from_arrays(X, X[:, 0])
    return replace(rows, ts=decision - HOUR, decision_time=decision, label_end=decision + 5 * HOUR, bar_length=HOUR)


SPLITTERS = [PurgedKFold(4), PurgedWalkForward(4, embargo=2), CombinatorialPurgedCV(4, 2)]


@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda s: type(s).__name__)
def test_a_training_set_as_groups_gives_the_folds_of_the_training_set_itself(splitter) -> None:
    rows = three_at_a_time()
    direct, bound = list(splitter.split(rows)), list(splitter.bind(rows).split(rows.X, rows.y))
    grouped = list(splitter.split(rows.X, rows.y, groups=rows))
    for folds in (bound, grouped):
        for (train, test), (other_train, other_test) in zip(direct, folds, strict=True):
            np.testing.assert_array_equal(train, other_train)
            np.testing.assert_array_equal(test, other_test)
    for train, test in grouped:
        assert not set(rows.decision_time[train]) & set(rows.decision_time[test]), "a time lies on one side only"
        before = rows.decision_time[train] < rows.decision_time[test].min()
        assert np.all(rows.label_end[train][before] < rows.decision_time[test].min())


@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda s: type(s).__name__)
def test_scikit_learn_hands_the_times_on(splitter) -> None:
    rows = three_at_a_time()
    score = cross_val_score(Ridge(), rows.X, rows.y, groups=rows, cv=splitter)
    np.testing.assert_array_equal(score, cross_val_score(Ridge(), rows.X, rows.y, cv=splitter.bind(rows)))
    assert len(score) == splitter.get_n_splits()


def test_groups_that_are_no_times_are_refused() -> None:
    rows, splitter = three_at_a_time(), PurgedKFold(4)
    with pytest.raises(DataError, match="groups is a list; the TrainingSet that X was taken from, or None"):
        next(splitter.split(rows.X, rows.y, groups=[1] * len(rows)))
    with pytest.raises(DataError, match="X has 10 rows, but groups has 180"):
        next(splitter.split(rows.X[:10], groups=rows))
    with pytest.raises(DataError, match="times were given twice"):
        next(splitter.split(rows.X, groups=rows, decision_time=rows.decision_time))
    with pytest.raises(DataError, match="bind got a ndarray"):
        splitter.bind(rows.X)  # type: ignore[arg-type]
