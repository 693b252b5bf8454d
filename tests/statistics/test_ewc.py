"""The EWC t test holds its level on autocorrelated data, and still finds what is there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from huracan.errors import DataError, NotEnoughData
from huracan.statistics import choose_n_cosines, default_n_cosines, effective_sample_size, ewc_long_run_variance, ewc_t_test

REPETITIONS = 3000
# 3,000 repetitions measure a level of 5 % with a standard error of 0.40 points; bounds below add twice that
NOISE = 0.008


def autoregression(rho: float, repetitions: int, n: int, seed: int, *, heavy: bool = False) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    shape = (repetitions, n + 200)
    shock = rng.standard_t(3, shape) if heavy else rng.standard_normal(shape)
    return lfilter([1.0], [1.0, -rho], shock, axis=1)[:, 200:]


def overlapping(horizon: int, repetitions: int, n: int, seed: int) -> NDArray[np.float64]:
    total = np.random.default_rng(seed).standard_normal((repetitions, n + horizon)).cumsum(axis=1)
    return total[:, horizon:] - total[:, :-horizon]


def rejected(x: NDArray[np.float64]) -> float:
    return float(np.mean(ewc_t_test(x).p_value < 0.05))


@pytest.mark.parametrize(
    ("series", "low", "high"),
    [
        (lambda n: autoregression(0.0, REPETITIONS, n, 1), 0.04, 0.065),
        (lambda n: autoregression(0.3, REPETITIONS, n, 2), 0.04, 0.065),
        (lambda n: autoregression(0.5, REPETITIONS, n, 3), 0.04, 0.065),
        (lambda n: overlapping(5, REPETITIONS, n, 4), 0.04, 0.065),
        (lambda n: autoregression(0.9, REPETITIONS, n, 5), 0.0, 0.07),
        (lambda n: overlapping(20, REPETITIONS, n, 6), 0.0, 0.07),
        (lambda n: autoregression(0.3, REPETITIONS, n, 7, heavy=True), 0.03, 0.065),
        (lambda n: autoregression(-0.4, REPETITIONS, n, 8), 0.04, 0.065),
    ],
    ids=["iid", "AR .3", "AR .5", "overlap 5", "AR .9", "overlap 20", "AR .3 with t(3) shocks", "AR -.4"],
)
def test_level_of_five_percent_holds_on_a_thousand_observations(series, low, high):
    assert low - NOISE <= rejected(series(1000)) <= high + NOISE


@pytest.mark.parametrize(
    ("series", "high"),
    [
        (lambda n: autoregression(0.0, REPETITIONS, n, 11), 0.07),
        (lambda n: autoregression(0.3, REPETITIONS, n, 12), 0.07),
        (lambda n: autoregression(0.5, REPETITIONS, n, 13), 0.07),
        (lambda n: overlapping(5, REPETITIONS, n, 14), 0.07),
        (lambda n: autoregression(0.9, REPETITIONS, n, 15), 0.09),
        (lambda n: overlapping(20, REPETITIONS, n, 16), 0.09),
    ],
    ids=["iid", "AR .3", "AR .5", "overlap 5", "AR .9", "overlap 20"],
)
def test_level_of_five_percent_holds_on_250_observations(series, high):
    assert rejected(series(250)) <= high + NOISE


def test_a_plain_t_test_would_not_hold():
    x = autoregression(0.9, 500, 1000, 21)
    assert np.mean(stats.ttest_1samp(x, 0.0, axis=1).pvalue < 0.05) > 0.5


def test_power_on_a_moderate_difference():
    x = autoregression(0.3, REPETITIONS, 1000, 22)
    # known variance would give power .936 for a difference of .15 standard deviations at AR .3
    assert rejected(x + 0.15 / np.sqrt(1 - 0.3**2)) >= 0.91


def test_long_run_variance_is_that_of_theory():
    # AR(1) with unit shocks: 1 / (1 - rho)^2
    x = autoregression(0.5, 400, 4000, 23)
    assert np.mean(ewc_long_run_variance(x)) == pytest.approx(4.0, rel=0.04)


def test_equals_the_definition_written_out():
    x = np.random.default_rng(0).standard_normal(137)
    n, cosines = len(x), 9
    t = np.arange(1, n + 1)
    squares = [(np.sqrt(2 / n) * np.cos(np.pi * j * (t - 0.5) / n) @ x) ** 2 for j in range(1, cosines + 1)]
    assert ewc_long_run_variance(x, cosines) == pytest.approx(np.mean(squares), rel=1e-12)
    result = ewc_t_test(x, n_cosines=cosines, null_mean=0.1)
    expected = (x.mean() - 0.1) / np.sqrt(np.mean(squares) / n)
    assert result.t == pytest.approx(expected, rel=1e-12)
    assert result.p_value == pytest.approx(2 * stats.t.sf(abs(expected), cosines), rel=1e-10)


def test_batch_equals_one_by_one():
    x = autoregression(0.6, 5, 300, 24)
    batch = ewc_t_test(x)
    for i, row in enumerate(x):
        single = ewc_t_test(row)
        assert single.p_value == pytest.approx(batch.p_value[i], rel=1e-10)
        assert single.n_cosines == batch.n_cosines[i]


def test_scale_does_not_matter_and_level_moves_only_the_mean():
    x = autoregression(0.6, 1, 400, 25)[0]
    one = ewc_t_test(x)
    assert ewc_t_test(1e6 * x).p_value == pytest.approx(one.p_value, rel=1e-9)
    assert ewc_t_test(-x).p_value == pytest.approx(one.p_value, rel=1e-9)
    assert ewc_t_test(x + 100, null_mean=100).p_value == pytest.approx(one.p_value, rel=1e-6)


def test_interval_and_p_value_agree():
    x = autoregression(0.3, 1, 400, 26)[0]
    for side in ("two-sided", "less", "greater"):
        interval = ewc_t_test(x, alternative=side, confidence=0.9)
        for edge in (interval.ci_low, interval.ci_high):
            if np.isfinite(edge):
                assert ewc_t_test(x, null_mean=edge, alternative=side).p_value == pytest.approx(0.1, abs=1e-9)
    assert ewc_t_test(x, alternative="less").p_value + ewc_t_test(x, alternative="greater").p_value == pytest.approx(1.0)


def test_more_memory_means_fewer_cosines_and_a_smaller_effective_sample():
    cosines = [np.mean(choose_n_cosines(autoregression(rho, 200, 1000, 27))[0]) for rho in (0.0, 0.8, 0.95)]
    assert default_n_cosines(1000) == 40
    assert cosines[0] > 39
    assert cosines[0] > cosines[1] > cosines[2]
    # AR(.8): n (1 - rho) / (1 + rho) = 4000 / 9
    sizes = [effective_sample_size(row) for row in autoregression(0.8, 50, 4000, 28)]
    assert np.median(sizes) == pytest.approx(4000 / 9, rel=0.15)


def test_a_random_walk_is_not_decided():
    results = ewc_t_test(np.random.default_rng(1).standard_normal((200, 1000)).cumsum(axis=1))
    undecided = ~results.decidable
    assert undecided.mean() > 0.5
    assert np.all(results.p_value[undecided] == 1.0)
    assert np.all(np.isinf(results.ci_low[undecided]))
    assert not np.isnan(results.p_value).any()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros(50), DataError, "is 0 in all 50 rows"),
        (np.full(50, 0.1) + 0.2, DataError, "in all 50 rows"),
        (np.arange(19.0), NotEnoughData, "19 observation.*at least 20"),
        ([], NotEnoughData, "0 observation"),
        ([1.0] * 30 + [np.nan], DataError, "nan at row 30"),
        ([1.0, np.inf] * 30, DataError, "inf at row 1"),
        (np.zeros((2, 2, 30)), DataError, "3 dimensions"),
    ],
)
def test_series_that_cannot_be_tested_are_refused_with_the_reason(x, error, message):
    with pytest.raises(error, match=message):
        ewc_t_test(x)


def test_settings_out_of_bounds_are_refused():
    x = np.random.default_rng(0).standard_normal(100)
    with pytest.raises(DataError, match="n_cosines is 100"):
        ewc_t_test(x, n_cosines=100)
    with pytest.raises(DataError, match="alternative is 'both'"):
        ewc_t_test(x, alternative="both")
    with pytest.raises(DataError, match="confidence is 95"):
        ewc_t_test(x, confidence=95)


def test_messages_call_the_series_by_its_name() -> None:
    with pytest.raises(NotEnoughData, match=r"^the series has 10 observation\(s\) in time; at least 20 are needed"):
        ewc_t_test(np.arange(10.0))
    with pytest.raises(NotEnoughData, match=r"^the daily payoff has 10 observation\(s\)"):
        ewc_t_test(np.arange(10.0), name="the daily payoff")
