"""The test of two Sharpe ratios is Ledoit and Wolf's, written out; it holds its level where returns are heavy and volatile."""

from __future__ import annotations

import numpy as np
import pytest
from arch.covariance.kernel import QuadraticSpectral
from numpy.typing import NDArray
from scipy import stats

from huracan.errors import DataError, NotEnoughData
from huracan.statistics.sharpe_difference import sharpe_difference_test


def two_strategies(seed: int, n: int, rho: float = 0.3) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    shock = rng.standard_t(6, (n + 1, 2)) + rng.standard_normal((n + 1, 1))
    returns = 0.01 * (shock[1:] + rho * shock[:-1]) + [0.001, 0.0005]
    return returns[:, 0], returns[:, 1]


def gradient(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the difference in the means of a, b, a squared, b squared (Ledoit and Wolf 2008, equation 3)."""
    a, b, aa, bb = mean
    return np.array(
        [aa / (aa - a**2) ** 1.5, -bb / (bb - b**2) ** 1.5, -a / 2 / (aa - a**2) ** 1.5, b / 2 / (bb - b**2) ** 1.5]
    )


def moments_of(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([a, b, a**2, b**2])


@pytest.mark.parametrize("seed", range(4))
def test_standard_error_is_the_prewhitened_quadratic_spectral_one(seed):
    a, b = two_strategies(seed, 300)
    a, b = a / a.std(), b / b.std()
    y = moments_of(a, b)
    slope = gradient(y.mean(axis=0))
    y = y - y.mean(axis=0)
    transition = np.linalg.lstsq(y[:-1], y[1:], rcond=None)[0].T
    # Andrews and Monahan: no root so near one that recolouring explodes
    left, root, right = np.linalg.svd(transition)
    transition = left @ np.diag(np.minimum(root, 0.97)) @ right
    white = y[1:] - y[:-1] @ transition.T
    rho = np.sum(white[1:] * white[:-1], axis=0) / np.sum(white[:-1] ** 2, axis=0)
    variance = np.mean((white[1:] - rho * white[:-1]) ** 2, axis=0)
    alpha = np.sum(4 * rho**2 * variance**2 / (1 - rho) ** 8) / np.sum(variance**2 / (1 - rho) ** 4)
    bandwidth = 1.3221 * (alpha * len(white)) ** 0.2
    inner = QuadraticSpectral(white, bandwidth=bandwidth, center=False, force_int=False).cov.long_run
    colour = np.linalg.inv(np.eye(4) - transition)
    covariance = colour @ np.asarray(inner) @ colour.T * 300 / 296
    found = sharpe_difference_test(a, b, method="hac")
    assert found.standard_error == pytest.approx(np.sqrt(slope @ covariance @ slope / 300), rel=1e-6)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(found.statistic)), rel=1e-10)


@pytest.mark.parametrize("block", [1, 4, 7])
def test_bootstrap_is_the_published_one_written_out(block):
    a, b = two_strategies(9, 90)
    a, b = a / a.std(), b / b.std()
    n, resamples = 90, 199
    found = sharpe_difference_test(a, b, block_length=block, resamples=resamples, seed=5)
    starts = np.random.default_rng(5).integers(0, n, (resamples, n // block))
    y, drawn = moments_of(a, b), []
    for row in starts:
        rows = (row[:, None] + np.arange(block)).ravel() % n
        sample = y[rows]
        mean = sample.mean(axis=0)
        zeta = (sample - mean).reshape(-1, block, 4).sum(axis=1) / np.sqrt(block)
        slope = gradient(mean)
        error = np.sqrt(slope @ (zeta.T @ zeta / len(zeta)) @ slope / len(sample))
        ratio = mean[:2] / np.sqrt(mean[2:] - mean[:2] ** 2)
        drawn.append(abs(ratio[0] - ratio[1] - found.difference) / error)
    drawn = np.sort(drawn)
    assert found.p_value == pytest.approx((1 + np.sum(drawn >= abs(found.statistic))) / (resamples + 1), abs=1e-12)
    # .95 of 200 are 190: the 190th smallest
    half = drawn[189] * found.standard_error
    assert (found.ci_low, found.ci_high) == pytest.approx((found.difference - half, found.difference + half), rel=1e-9)


def test_of_normal_independent_returns_the_error_is_that_of_jobson_and_korkie():
    rng = np.random.default_rng(3)
    a = rng.normal(0.1, 1, 20_000)
    b = 0.6 * a + rng.normal(0.05, 0.8, 20_000)
    found = sharpe_difference_test(a, b, method="hac")
    rho, one, two = np.corrcoef(a, b)[0, 1], found.sharpe_a, found.sharpe_b
    theory = np.sqrt((2 - 2 * rho + (one**2 + two**2 - 2 * one * two * rho**2) / 2) / 20_000)
    assert found.standard_error == pytest.approx(theory, rel=0.03)


def test_units_order_and_seed_do_what_they_should():
    a, b = two_strategies(1, 250)
    found = sharpe_difference_test(a, b, resamples=199)
    assert found.difference == pytest.approx(a.mean() / a.std() - b.mean() / b.std(), rel=1e-12)
    other = sharpe_difference_test(b, a, resamples=199)
    assert (other.difference, other.statistic) == pytest.approx((-found.difference, -found.statistic), rel=1e-9)
    assert other.p_value == pytest.approx(found.p_value, abs=1e-12)
    percent = sharpe_difference_test(100 * a, 1e-9 * b, resamples=199)
    assert (percent.p_value, percent.ci_low) == pytest.approx((found.p_value, found.ci_low), rel=1e-6)
    assert sharpe_difference_test(a, b, resamples=199) == found
    assert sharpe_difference_test(a, b, resamples=199, seed=1).p_value != found.p_value


def test_level_under_heavy_tails_and_changing_volatility():
    rng = np.random.default_rng(4)
    shock = rng.standard_t(5, (800, 2, 400)) * np.sqrt(0.6)
    variance = np.ones((2, 400))
    for t, now in enumerate(shock):
        now *= np.sqrt(variance)
        variance = 0.02 + 0.08 * shock[t] ** 2 + 0.9 * variance
    returns = shock[300:] + 0.05
    rejected = sum(sharpe_difference_test(*returns[:, :, i].T, resamples=199).p_value <= 0.05 for i in range(400))
    # binomial(400, .05): 8 to 35 in 99.8 % of runs
    assert 8 <= rejected <= 35


def test_memory_of_the_returns_lengthens_the_blocks():
    a, b = two_strategies(2, 1000, rho=0.0)
    assert sharpe_difference_test(a, b, resamples=99).block_length <= 3
    slow = np.convolve(a, np.ones(20), "valid"), np.convolve(b, np.ones(20), "valid")
    assert sharpe_difference_test(*slow, resamples=99).block_length >= 15


@pytest.mark.parametrize(
    ("a", "b", "settings", "error", "message"),
    [
        (np.ones(50), np.arange(50.0), {}, DataError, "returns_a is 1 in all 50 rows; its Sharpe ratio is infinite"),
        (np.arange(50.0), np.zeros(50), {}, DataError, "returns_b is 0 in all 50 rows; its Sharpe ratio is undefined"),
        (np.arange(50.0) % 7, np.arange(49.0), {}, DataError, "returns_a has 50 rows and returns_b 49"),
        (np.arange(50.0) % 7, 3 * (np.arange(50.0) % 7), {}, DataError, "a multiple of the other"),
        (np.arange(5.0), np.arange(5.0), {}, NotEnoughData, r"5 observation\(s\) in time; at least 20"),
        (
            np.arange(50.0) % 7,
            np.arange(50.0) % 5,
            {"block_length": 40},
            DataError,
            "block_length is 40; a number from 1 to 25",
        ),
        (np.arange(50.0) % 7, np.arange(50.0) % 5, {"resamples": 9}, DataError, "resamples is 9"),
        (np.arange(50.0) % 7, np.arange(50.0) % 5, {"method": "delta"}, DataError, "method is 'delta'"),
        (np.arange(50.0) % 7, np.arange(50.0) % 5, {"seed": -1}, DataError, "seed is -1"),
    ],
)
def test_returns_that_cannot_be_compared_are_refused_with_the_reason(a, b, settings, error, message):
    with pytest.raises(error, match=message):
        sharpe_difference_test(a, b, **settings)
