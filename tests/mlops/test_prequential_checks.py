"""What the benchmarks of drifting streams are judged by sees nothing before its time."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from benchmarks.drift_checks.elec2_rows import DAY, FIRST, as_task
from benchmarks.drift_checks.elec2_versions import Following, Version
from benchmarks.drift_checks.sea import Watched

_N, _ROW = 1_300, 1_200


def _market(random: np.random.Generator) -> pl.DataFrame:
    columns = ("day", "period", "nswdemand", "vicprice", "vicdemand", "transfer", "nswprice")
    return pl.DataFrame({name: random.random(_N) for name in columns}).with_columns(
        label_up=pl.Series(random.integers(0, 2, _N))
    )


def _with_other_future(frame: pl.DataFrame, first: int) -> pl.DataFrame:
    """The same but for labels and prices from row ``first`` on."""
    late = pl.int_range(pl.len()) >= first
    return frame.with_columns(
        nswprice=pl.when(late).then(pl.col("nswprice") + 5.0).otherwise(pl.col("nswprice")),
        label_up=pl.when(late).then(1 - pl.col("label_up")).otherwise(pl.col("label_up")),
    )


@pytest.mark.parametrize("late", [1, DAY])
def test_features_and_weights_know_no_label_and_no_price_before_they_are_told(late: int) -> None:
    frame = _market(np.random.default_rng(0))
    task = as_task(frame, late)
    other = as_task(_with_other_future(frame, task.known(_ROW)), late)
    assert np.array_equal(task.X[_ROW], other.X[_ROW], equal_nan=True)
    assert not np.array_equal(task.X[_ROW + 1], other.X[_ROW + 1], equal_nan=True)  # the label told next does count
    version = Version(FIRST, np.random.default_rng(1).random((3, _N)), np.full(task.X.shape[1], np.nan))
    said = []
    for one in (task, other):
        weighed = Following(one)
        weighed.take(version)
        said.append([weighed.forecast(row) for row in range(FIRST, _N)])
    at = _ROW - FIRST
    assert said[0][: at + 1] == said[1][: at + 1]
    assert said[0][at + 1] != said[1][at + 1]


def test_weights_find_the_member_that_is_right() -> None:
    """Of three members one says the label: its weight goes to 1, and forecasts with it."""
    random = np.random.default_rng(2)
    task = as_task(_market(random), 1)
    members = np.stack([random.random(_N), task.y.astype(np.float64), random.random(_N)])
    weighed = Following(task)
    weighed.take(Version(FIRST, members, np.full(task.X.shape[1], np.nan)))
    said = np.array([weighed.forecast(row) for row in range(FIRST, _N)])
    assert np.abs(said[100:] - task.y[FIRST + 100 :]).max() < 0.1


def test_a_column_that_begins_to_move_is_seen_where_it_does() -> None:
    X = np.zeros((10, 2))
    X[:, 1] = np.arange(10)
    X[6:, 0] = 1.0
    assert Version(0, np.zeros((3, 10)), np.array([0.0, np.nan])).moved(X).tolist() == [6, 7, 8, 9]


def test_delays_and_false_alarms_are_counted_between_drifts() -> None:
    found = Watched(alarms=(50, 130, 180, 420), error_rate=0.1)
    assert found.delays((100, 200, 400)) == [30, None, 20]
    assert found.false_alarms((100, 200, 400)) == 2
