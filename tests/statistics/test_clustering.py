"""Symbols at one time are one observation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.errors import DataError
from huracan.statistics import average_by_time, ewc_t_test


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 8), st.floats(-1e6, 1e6)), min_size=1, max_size=60), st.randoms())
def test_is_the_mean_at_every_time_whatever_the_order_of_rows(rows, random):
    times = np.array([t for t, _ in rows])
    values = np.array([v for _, v in rows])
    unique, mean = average_by_time(values, times)
    np.testing.assert_array_equal(unique, np.unique(times))
    np.testing.assert_allclose(mean, [values[times == t].mean() for t in unique], rtol=1e-9, atol=1e-6)
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)
    again = average_by_time(values[shuffled], times[shuffled])
    np.testing.assert_allclose(again[1], mean, rtol=1e-9, atol=1e-6)


def test_columns_are_averaged_together():
    _, mean = average_by_time(np.arange(8.0).reshape(4, 2), np.array(["b", "a", "b", "a"]))
    assert mean.tolist() == [[4.0, 5.0], [2.0, 3.0]]


def test_copies_of_a_market_do_not_add_evidence():
    x = np.random.default_rng(0).standard_normal(300) + 0.1
    times = np.tile(np.arange(300), 40)
    clustered = average_by_time(np.tile(x, 40), times)[1]
    assert ewc_t_test(clustered).p_value == pytest.approx(ewc_t_test(x).p_value)


def test_lengths_must_agree():
    with pytest.raises(DataError, match="one time for every row"):
        average_by_time([1.0, 2.0], [1])
