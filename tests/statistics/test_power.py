"""Power: that of statsmodels for the textbook tests, that of simulated tests for observations over time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter
from statsmodels.stats.power import TTestIndPower, TTestPower

from huracan.errors import DataError, NotEnoughData
from huracan.statistics import ewc_t_test
from huracan.statistics.power import (
    mann_whitney_power,
    mann_whitney_sample_size,
    t_test_power,
    t_test_sample_size,
)
from huracan.statistics.power_over_time import mean_difference_power, observations_needed

SIDES = {"two-sided": "two-sided", "greater": "larger", "less": "smaller"}


@pytest.mark.parametrize("side", SIDES)
def test_power_of_t_tests_is_that_of_statsmodels(side):
    rng = np.random.default_rng(1)
    for _ in range(60):
        d, n, m, alpha = rng.normal(), int(rng.integers(3, 300)), int(rng.integers(3, 300)), rng.uniform(0.001, 0.3)
        two = t_test_power(d, n, m, alpha=alpha, alternative=side)
        one = t_test_power(d, n, paired=True, alpha=alpha, alternative=side)
        for mine, oracle in (
            (two, TTestIndPower().power(d, n, alpha, ratio=m / n, alternative=SIDES[side])),
            (one, TTestPower().power(d, n, alpha, alternative=SIDES[side])),
        ):
            if np.isnan(oracle):  # statsmodels gives up where the power is 0 or 1
                assert mine == pytest.approx(float(side == "two-sided" or (d > 0) == (side == "greater")))
            else:
                assert mine == pytest.approx(oracle, abs=1e-8)


def test_sample_sizes_are_those_of_statsmodels_and_cohens_table():
    # Cohen (1988), table 2.4.1: d = .2, .5, .8 at power .80 and two-sided 5 %
    assert [t_test_sample_size(d).n_a for d in (0.2, 0.5, 0.8)] == [394, 64, 26]
    for d, ratio, side in ((0.3, 1.0, "two-sided"), (-0.4, 2.0, "less"), (0.7, 0.5, "greater")):
        mine = t_test_sample_size(d, ratio=ratio, power=0.9, alternative=side)
        oracle = TTestIndPower().solve_power(d, power=0.9, alpha=0.05, ratio=ratio, alternative=SIDES[side])
        assert mine.exact == pytest.approx(oracle, rel=1e-6)  # statsmodels stops its search there
        assert (mine.n_a, mine.n_b) == (np.ceil(oracle), np.ceil(ratio * np.ceil(oracle)))
        assert t_test_power(d, mine.exact, ratio * mine.exact, alternative=side) == pytest.approx(0.9, abs=1e-9)
        assert mine.power >= 0.9


def test_power_without_a_difference_is_the_level():
    for side in SIDES:
        assert t_test_power(0.0, 30, alternative=side, alpha=0.03) == pytest.approx(0.03)
        assert mann_whitney_power(0.5, 30, alternative=side, alpha=0.03) == pytest.approx(0.03)
        assert mean_difference_power(0.0, 1.0, 500, alternative=side, alpha=0.03) == pytest.approx(0.03)


def test_hopeless_and_certain_powers_are_numbers():
    assert t_test_power(50.0, 40) == pytest.approx(1.0)
    assert t_test_power(50.0, 40, alternative="less") == pytest.approx(0.0, abs=1e-12)
    assert mean_difference_power(1.0, 1.0, 10_000_000) == pytest.approx(1.0)
    assert mean_difference_power(1.0, 1.0, 100, autocorrelation=0.999) == 0.0


def test_mann_whitney_sample_size_is_noethers():
    # Noether (1987): N = (z_.975 + z_.8)^2 / (12 c (1 - c) (p - 1/2)^2); far tail left out there
    for p, share in ((0.7, 0.5), (0.6, 0.25), (0.35, 0.5)):
        total = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) ** 2 / (12 * share * (1 - share) * (p - 0.5) ** 2)
        assert mann_whitney_sample_size(p, ratio=(1 - share) / share).exact == pytest.approx(share * total, rel=1e-4)


def test_mann_whitney_power_is_near_the_simulated():
    # 800 tests: standard error 1.6 points
    rng = np.random.default_rng(2)
    p = stats.norm.cdf(0.5 / np.sqrt(2))
    a, b = rng.normal(0.5, 1, (800, 50)), rng.normal(0, 1, (800, 40))
    simulated = np.mean(stats.mannwhitneyu(a, b, axis=1, method="asymptotic").pvalue < 0.05)
    assert mann_whitney_power(p, 50, 40) == pytest.approx(simulated, abs=0.05)


def autoregression(rho: float, n: int, repetitions: int, seed: int) -> np.ndarray:
    shock = np.random.default_rng(seed).standard_normal((repetitions, n + 300))
    return lfilter([1.0], [1.0, -rho], shock, axis=1)[:, 300:] * np.sqrt(1 - rho**2)


@pytest.mark.parametrize(
    ("rho", "difference", "n", "tolerance"),
    # 1,500 tests: two standard errors are at most 2.6 points; on top, what the docstring admits
    [
        (0.0, 0.1, 1000, 0.04),
        (0.3, 0.15, 1000, 0.04),
        (0.5, 0.15, 1000, 0.04),
        (-0.4, 0.05, 1000, 0.04),
        (0.3, 0.3, 250, 0.04),
        (0.9, 0.5, 1000, 0.04),
        (0.9, 0.5, 250, 0.09),
    ],
)
def test_power_over_time_is_that_of_simulated_tests(rho, difference, n, tolerance):
    found = np.mean(ewc_t_test(autoregression(rho, n, 1500, 3) + difference).p_value < 0.05)
    assert mean_difference_power(difference, 1.0, n, autocorrelation=rho) == pytest.approx(found, abs=tolerance)


def test_power_of_overlapping_labels_by_their_long_run_ratio():
    h, total = 5, np.random.default_rng(4).standard_normal((1500, 1005)).cumsum(axis=1)
    x = (total[:, h:] - total[:, :-h]) / np.sqrt(h)
    found = np.mean(ewc_t_test(x + 0.2).p_value < 0.05)
    assert mean_difference_power(0.2, 1.0, 1000, long_run_ratio=h) == pytest.approx(found, abs=0.06)


def test_as_many_observations_as_needed_and_not_one_more():
    for options in ({}, {"autocorrelation": 0.5}, {"long_run_ratio": 12.0}, {"alternative": "greater", "power": 0.95}):
        wanted = options.get("power", 0.8)
        told = {name: value for name, value in options.items() if name != "power"}
        n = observations_needed(0.05, 1.0, **options)
        assert mean_difference_power(0.05, 1.0, n, **told) >= wanted
        assert mean_difference_power(0.05, 1.0, n - 1, **told) < wanted
    # large samples: (z + z)^2 ratio (sd / difference)^2
    n = observations_needed(1e-3, 1.0, autocorrelation=0.5)
    assert n == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) ** 2 * 3 * 1e6, rel=1e-3)


def test_found_as_often_as_promised():
    n = observations_needed(0.3, 1.0, autocorrelation=0.4)
    found = np.mean(ewc_t_test(autoregression(0.4, n, 1500, 5) + 0.3).p_value < 0.05)
    assert found == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: t_test_power(0.5, 1), NotEnoughData, "1 and 1 observations; at least 2"),
        (lambda: t_test_power(np.nan, 10), DataError, "effect_size is nan"),
        (lambda: t_test_power(0.5, 10, alpha=1.0), DataError, "alpha is 1.0"),
        (lambda: t_test_power(0.5, 10, alternative="both"), DataError, "alternative is 'both'"),
        (lambda: t_test_sample_size(0.0), DataError, "never found"),
        (lambda: t_test_sample_size(0.5, alternative="less"), DataError, "never found"),
        (lambda: t_test_sample_size(0.5, power=1.0), DataError, "power is 1.0"),
        (lambda: t_test_sample_size(0.5, ratio=0.0), DataError, "ratio is 0.0"),
        (lambda: t_test_sample_size(1e-9), DataError, "more than 10"),
        (lambda: mann_whitney_power(1.0, 10), DataError, "probability_a_larger is 1.0"),
        (lambda: mann_whitney_sample_size(0.5), DataError, "never found"),
        (lambda: mean_difference_power(0.1, 0.0, 100), DataError, "sd 0.0"),
        (lambda: mean_difference_power(0.1, 1.0, 10), NotEnoughData, "n is 10; at least 20"),
        (lambda: mean_difference_power(0.1, 1.0, 100, autocorrelation=1.0), DataError, "autocorrelation is 1.0"),
        (lambda: mean_difference_power(0.1, 1.0, 100, long_run_ratio=0.0), DataError, "long_run_ratio is 0.0"),
        (
            lambda: mean_difference_power(0.1, 1.0, 100, autocorrelation=0.1, long_run_ratio=2.0),
            DataError,
            "are both given",
        ),
        (lambda: observations_needed(0.0, 1.0), DataError, "never found"),
        (lambda: observations_needed(0.1, 1.0, alternative="less"), DataError, "never found"),
        (lambda: observations_needed(1e-9, 1.0), DataError, "more than 10"),
        (lambda: observations_needed(0.1, 1.0, power=0.05), DataError, "power above alpha"),
        (lambda: observations_needed(np.nan, 1.0), DataError, "difference is nan"),
    ],
)
def test_bad_input_is_refused_with_numbers(call, error, message):
    with pytest.raises(error, match=message):
        call()
