"""Indicators of quantiles, the supremum of their distances, sums of squares of shares, and moments of many rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.signal import lfilter
from scipy.special import stdtr
from scipy.stats import chi2, wasserstein_distance
from scipy.stats import t as student

from huracan.errors import DataError
from huracan.statistics import ewc_long_run_variance
from huracan.statistics.moments import Moments
from huracan.statistics.quadratic_forms import QuadraticForm
from huracan.statistics.quantile_indicators import QuantileIndicators, quantile_thresholds
from huracan.statistics.supremum import supremum_p_value
from huracan.statistics.weighted_sample import WeightedSample


def slow(n: int, seed: int = 0) -> NDArray[np.float64]:
    return lfilter([1.0], [1.0, -0.9], np.random.default_rng(seed).standard_normal(n))


# Indicators


def test_the_variance_is_that_of_equal_weighted_cosines() -> None:
    """An oracle within the house: the long-run variance of each indicator, as the t test estimates it."""
    x = slow(1_000)
    found = QuantileIndicators.of(x, Moments.each_row(1_000), n_thresholds=9, n_cosines=20)
    for k, threshold in enumerate(found.thresholds):
        assert found.covariance[k, k] == pytest.approx(ewc_long_run_variance((x <= threshold).astype(float), 20), rel=1e-9)


def test_blocks_change_next_to_nothing() -> None:
    x = slow(50_000)
    found = QuantileIndicators.of(x, Moments.each_row(50_000), n_thresholds=4, n_cosines=28)
    for k, threshold in enumerate(found.thresholds):
        assert found.covariance[k, k] == pytest.approx(ewc_long_run_variance((x <= threshold).astype(float), 28), rel=0.01)


def test_equal_rows_of_a_moment_are_one_observation() -> None:
    x = slow(2_000)
    alone = QuantileIndicators.of(x, Moments.each_row(2_000), n_thresholds=19, n_cosines=28)
    three = QuantileIndicators.of(np.repeat(x, 3), Moments.of(np.repeat(np.arange(2_000), 3)), n_thresholds=19, n_cosines=28)
    assert np.array_equal(three.thresholds, alone.thresholds)
    assert three.shares == pytest.approx(alone.shares) and three.covariance == pytest.approx(alone.covariance)


def test_a_fixed_cycle_is_never_taken_for_certainty() -> None:
    """Its indicators have no variance at low frequencies; a quarter of that of independent rows is assumed."""
    x = np.sin(2 * np.pi * np.arange(4_800) / 24 + 0.1)
    found = QuantileIndicators.of(x, Moments.each_row(4_800), n_thresholds=9, n_cosines=28)
    assert np.all((found.inflation() >= 0.25 - 1e-9) & (found.inflation() < 0.35))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0] * 97 + [1.0] * 3, [0.0]),
        ([0.0] * 3 + [1.0] * 97, [0.0]),  # all quantiles are the largest value: the one beneath it
        ([-1.0] * 2 + [0.0] * 96 + [1.0] * 2, [-1.0, 0.0]),
        ([2.0] * 100, []),
    ],
)
def test_values_that_many_rows_share_can_be_told_from_both_sides(values: list[float], expected: list[float]) -> None:
    assert quantile_thresholds(WeightedSample(np.array(values)), 19).tolist() == expected


def test_shares_are_strictly_between_none_and_all() -> None:
    rng = np.random.default_rng(0)
    for levels in (1, 2, 3, 7, 40):
        x = rng.integers(0, levels, 500).astype(float)
        found = QuantileIndicators.of(x, Moments.each_row(500), n_thresholds=19, n_cosines=10)
        assert np.all((found.shares > 0) & (found.shares < 1)) and np.all(np.diff(found.thresholds) > 0)
        assert found.shares == pytest.approx([np.mean(x <= q) for q in found.thresholds])


# Supremum


@pytest.mark.parametrize(("alpha", "slack"), [(0.1, 0.3), (0.01, 0.15), (0.001, 0.15)])
def test_the_bound_holds_and_is_tight(alpha: float, slack: float) -> None:
    """Against 400,000 draws of a multivariate t with the correlations of ordered indicators of independent rows."""
    nu, draws = 28, 400_000
    rng = np.random.default_rng(0)
    share = np.arange(1, 20) / 20
    covariance = np.minimum.outer(share, share) - np.outer(share, share)
    spread = np.sqrt(np.diagonal(covariance))
    correlation = covariance / np.outer(spread, spread)
    root = np.linalg.cholesky(correlation)
    largest = np.concatenate(
        [
            np.abs(rng.standard_normal((40_000, 19)) @ root.T).max(axis=1) / np.sqrt(rng.chisquare(nu, 40_000) / nu)
            for _ in range(draws // 40_000)
        ]
    )
    c = np.quantile(largest, 1 - alpha)
    found = supremum_p_value(np.full(19, 2 * stdtr(nu, -c)), np.diagonal(correlation, 1), float(nu))
    noise = 3 * np.sqrt(alpha / draws)
    assert alpha - noise <= found <= (1.0 + slack) * alpha + noise


@pytest.mark.parametrize("c", [1.0, 2.3, 8.0])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.95])
def test_pairs_are_integrals(c: float, rho: float) -> None:
    """P(A or B) of two tests against adaptive quadrature of the bivariate t."""
    nu = 28.0

    def both(t: float) -> float:
        s = np.sqrt((nu + t * t) * (1 - rho * rho) / (nu + 1))
        return 2 * student.pdf(t, nu) * (stdtr(nu + 1, (rho * t - c) / s) + stdtr(nu + 1, -(rho * t + c) / s))

    single = 2 * stdtr(nu, -c)
    expected = 2 * single - quad(both, c, np.inf, epsabs=0, epsrel=1e-9)[0]
    assert supremum_p_value(np.full(2, single), np.array([rho]), nu) == pytest.approx(expected, rel=1e-6)


def test_far_tails_keep_their_order_and_never_reach_zero() -> None:
    each = np.array([1e-20, 1e-29, 1e-31, 1e-60, 1e-200, 0.0])
    found = [supremum_p_value(np.array([p, 0.5, 0.5]), np.array([0.9, 0.9]), 28.0) for p in each]
    assert found == sorted(found, reverse=True) and found[-1] > 0.0
    assert all(p <= q <= 3.0 * p for p, q in zip(each[:5], found[:5], strict=True))


# Sums of squares


def test_psi_of_independent_rows_follows_chi_square() -> None:
    """Against 20,000 pairs of multinomial draws."""
    rng = np.random.default_rng(0)
    m, n, share = 5_000, 500, np.full(10, 0.1)
    f, g = rng.multinomial(m, share, 20_000) / m, rng.multinomial(n, share, 20_000) / n
    statistic = ((g - f) * np.log(g / f)).sum(axis=1) / (1 / n + 1 / m)
    null = QuadraticForm.independent(10)
    assert null.critical(0.05) == pytest.approx(chi2.isf(0.05, 9), rel=1e-6)
    rejected = np.mean([null.p_value(s) <= 0.05 for s in statistic])
    assert 0.045 <= rejected <= 0.06  # 5 % within three standard errors, and what the logarithm adds at 50 rows a bin


def test_a_known_covariance_gives_back_its_moments() -> None:
    rng = np.random.default_rng(1)
    shares = np.array([0.2, 0.3, 0.5])
    covariance = 4.0 * (np.diag(shares) - np.outer(shares, shares))
    null = QuadraticForm.estimated(shares, covariance, 100_000, 10**9)
    assert null.scale == pytest.approx(8.0) and null.degrees_of_freedom == pytest.approx(2.0, rel=1e-3)
    draws = (rng.multivariate_normal(np.zeros(3), covariance, 50_000) ** 2 / shares).sum(axis=1)
    assert np.mean(draws > null.critical(0.05)) == pytest.approx(0.05, abs=0.004)


# Moments and weighted samples


def test_moments_are_renumbered_and_cut() -> None:
    moments = Moments.of([1, 1, 2, 5, 5, 5])
    assert not moments.even and Moments.of([1, 1, 2, 2]).even and Moments.each_row(3).even
    rows, newest = moments.newest(2)
    assert (rows.start, newest.n, newest.n_rows) == (2, 2, 4)
    assert moments.kept(np.array([False, False, True, True, False, False])).n == 2
    with pytest.raises(DataError, match="row 2 is of 1, before the row above it"):
        Moments.of([1, 2, 1])


@pytest.mark.parametrize(("m", "n"), [(100, 20), (20, 100), (97, 31), (50, 50)])
def test_wasserstein_is_scipys(m: int, n: int) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal(m), rng.standard_normal(n) + 0.3
    plain = WeightedSample.of(a).wasserstein(WeightedSample.of(b))
    assert plain == pytest.approx(wasserstein_distance(a, b), rel=1e-12)
    u, v = rng.random(m), rng.random(n)
    weighted = WeightedSample.of(a, u).wasserstein(WeightedSample.of(b, v))
    assert weighted == pytest.approx(wasserstein_distance(a, b, u, v), rel=1e-9)
