"""Columns put in order and compared, by one thread or several."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, wasserstein_distance

from huracan.mlops import DriftDetector
from huracan.mlops.ordered_columns import compared_columns, each_by_threads, ordered_columns
from huracan.statistics.moments import Moments

EACH = Moments.each_row(300)


def columns(seed: int, n: int = 300) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    gone = np.where(rng.random(n) < 0.1, np.nan, rng.standard_normal(n))
    narrow = rng.standard_normal(n).astype(np.float32)
    return {"wide": rng.standard_normal(n), "narrow": narrow, "gone": gone, "ties": rng.integers(0, 5, n).astype(float)}


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 9])
def test_columns_are_sorted_in_their_own_type_whatever_the_threads(n_jobs: int) -> None:
    told = columns(0)
    found = ordered_columns(told, EACH, n_jobs)
    assert list(found) == list(told)
    for name, values in told.items():
        assert found[name].values.dtype == values.dtype
        np.testing.assert_array_equal(found[name].values, np.sort(values))


def test_moments_of_unequally_many_rows_give_each_row_its_share() -> None:
    found = ordered_columns({"x": np.array([3.0, 1.0, 2.0])}, Moments.of([1, 1, 2]), 2)["x"]
    assert found.values.tolist() == [1.0, 2.0, 3.0]
    assert found.cumulative is not None and found.cumulative.tolist() == [0.25, 0.75, 1.0]


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("n", [300, 75])
def test_distances_are_those_of_scipy_and_missing_values_have_none(n_jobs: int, n: int) -> None:
    before, now = columns(1), columns(2, n)
    found = compared_columns(ordered_columns(before, EACH, 1), ordered_columns(now, Moments.each_row(n), 1), n_jobs)
    assert list(found) == ["wide", "narrow", "ties"]
    for name, apart in found.items():
        assert apart.largest == pytest.approx(ks_2samp(before[name], now[name]).statistic, abs=1e-12)
        assert apart.moved == pytest.approx(wasserstein_distance(before[name], now[name]), rel=1e-5)


def test_nothing_to_work_on_is_nothing_done() -> None:
    assert each_by_threads(abs, [], 2) == []
    assert ordered_columns({}, EACH, 2) == {}


def test_infinite_values_have_a_largest_distance_and_no_mass_to_move() -> None:
    endless = {"x": np.array([0.0, 1.0, np.inf])}
    apart = compared_columns(
        ordered_columns(endless, Moments.each_row(3), 1), ordered_columns(endless, Moments.each_row(3), 1), 1
    )
    assert apart["x"].largest == 0.0 and apart["x"].moved is None


@pytest.mark.parametrize("dependence", ["auto", "independent"])
def test_a_report_is_the_same_by_threads(dependence: str) -> None:
    before, now = columns(3, 900), columns(4, 200)
    reports = [
        DriftDetector(dependence=dependence, n_jobs=n_jobs).fit(before).detect(now)  # type: ignore[arg-type]
        for n_jobs in (1, 3)
    ]
    assert reports[0].to_json() == reports[1].to_json()
