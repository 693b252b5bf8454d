"""The leak check: certain where times are known, honest about its error rate where they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor

from huracan.dataset import TrainingSet
from huracan.ensembles import OutOfFold, assert_out_of_fold, foresight_test, out_of_fold_predictions
from huracan.errors import DataError, LeakageError, NotEnoughData
from huracan.validation import PurgedKFold, PurgedWalkForward

MEMBERS: dict[str, Any] = {"line": Ridge(1e3), "near": KNeighborsRegressor(20)}


def slow_rows(n: int = 1_500, seed: int = 0) -> TrainingSet:
    """A random walk: labels of 10 bars overlap, features move slowly, and there is nothing to forecast."""
    walk = np.random.default_rng(seed).standard_normal(n + 40).cumsum()
    now = np.arange(20, 20 + n)
    X = np.stack([walk[now] - walk[now - 10], walk[now] - walk[now - 20], walk[now]], axis=1)
    return TrainingSet.from_arrays(X, walk[now + 10] - walk[now], label_horizon=10)


def of_unknown_origin(made: OutOfFold) -> OutOfFold:
    return replace(made, known_until=np.full(len(made), np.datetime64("NaT", "ms")))


def test_walk_forward_predictions_pass() -> None:
    rows = slow_rows()
    assert assert_out_of_fold(out_of_fold_predictions(MEMBERS, rows, PurgedWalkForward(5)), rows) is None


@pytest.mark.parametrize(
    "splitter", [KFold(5, shuffle=True, random_state=0), KFold(5), PurgedKFold(5)], ids=["shuffled", "k-fold", "purged k-fold"]
)
def test_times_find_every_model_that_learned_from_the_future(splitter: Any) -> None:
    rows = slow_rows(300)
    made = out_of_fold_predictions(MEMBERS, rows, splitter)
    with pytest.raises(LeakageError, match=r"the models behind row \d+ \(asset, decided .*\) learned from labels known until"):
        assert_out_of_fold(made, rows)


def test_one_label_that_ends_at_the_decision_is_too_late() -> None:
    rows = slow_rows(300)
    made = out_of_fold_predictions(MEMBERS, rows, PurgedWalkForward(4))
    known = made.known_until.copy()
    known[made.answered.argmax()] = rows.decision_time[made.answered.argmax()]
    with pytest.raises(LeakageError, match=f"behind row {made.answered.argmax()} .*; 1 of 240 predictions are such"):
        assert_out_of_fold(replace(made, known_until=known))


def test_predictions_of_unknown_origin_are_refused_without_their_members() -> None:
    rows = slow_rows(300)
    made = OutOfFold.from_arrays(rows.y * 0.1, rows)
    with pytest.raises(LeakageError, match="nobody knows what the models behind 300 of 300 predictions learned from"):
        assert_out_of_fold(made, rows)


def test_shuffled_folds_are_found_by_their_skill() -> None:
    rows = slow_rows()
    made = of_unknown_origin(out_of_fold_predictions(MEMBERS, rows, KFold(5, shuffle=True, random_state=0)))
    with pytest.raises(LeakageError, match=r"predictions of .*'near' \(p .*\) are better than models can be"):
        assert_out_of_fold(made, rows, MEMBERS)


@pytest.mark.parametrize("splitter", [PurgedWalkForward(5), PurgedKFold(5, embargo=10)], ids=["walk-forward", "purged k-fold"])
def test_honest_predictions_of_unknown_origin_raise_no_alarm(splitter: Any) -> None:
    rows = slow_rows()
    test = assert_out_of_fold(of_unknown_origin(out_of_fold_predictions(MEMBERS, rows, splitter)), rows, MEMBERS)
    assert test is not None
    assert test.foresighted == ()
    assert test.to_frame().columns == ["member", "advantage", "p_value", "p_adjusted"]


def test_the_very_refits_have_no_advantage() -> None:
    rows = slow_rows(500)
    life = (rows.label_end - rows.decision_time).max()
    same = out_of_fold_predictions({"line": Ridge()}, rows, PurgedKFold(10, embargo=life))
    assert foresight_test(same, {"line": Ridge()}, rows).p_value == (1.0,)


@pytest.mark.slow
def test_false_alarms_stay_below_the_level() -> None:
    """Honest members on 100 random walks: at 1 % at most 4 alarms (5 and more have a probability of .3 %)."""
    alarms = 0
    for seed in range(100):
        rows = slow_rows(800, seed=1_000 + seed)
        made = of_unknown_origin(out_of_fold_predictions(MEMBERS, rows, PurgedWalkForward(5)))
        alarms += bool(foresight_test(made, MEMBERS, rows).foresighted)
    assert alarms <= 4


def test_other_rows_and_other_members_are_refused() -> None:
    rows = slow_rows(300)
    made = out_of_fold_predictions(MEMBERS, rows, PurgedWalkForward(4))
    with pytest.raises(DataError, match="predictions of 300 rows and 299 rows"):
        assert_out_of_fold(made, rows.take(slice(1, None)))
    with pytest.raises(DataError, match="label_end of row 0 is"):
        assert_out_of_fold(made, replace(rows, label_end=rows.label_end + np.timedelta64(1, "h")))
    with pytest.raises(DataError, match="member 'near' has predictions or an estimator, not both"):
        foresight_test(made, {"line": Ridge()}, rows)
    with pytest.raises(DataError, match="members were given without rows"):
        assert_out_of_fold(of_unknown_origin(made), None, MEMBERS)
    nothing = OutOfFold.from_arrays(np.full(300, np.nan), rows)
    with pytest.raises(NotEnoughData, match="none of 300 rows is answered"):
        assert_out_of_fold(nothing, rows)
