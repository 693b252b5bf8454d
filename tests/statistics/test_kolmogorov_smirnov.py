"""The two-sample test of Kolmogorov and Smirnov against scipy, and in tails that no subtraction reaches."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy.stats import ks_2samp, kstwo

from huracan.errors import DataError, NotEnoughData
from huracan.statistics.compiled import compiled_loops
from huracan.statistics.kolmogorov_limits import limiting_p_value
from huracan.statistics.kolmogorov_smirnov import kolmogorov_smirnov, lattice_p_value

KERNELS = compiled_loops("huracan.statistics.two_sample_kernels")
COMPILED = [False, pytest.param(True, marks=pytest.mark.skipif(KERNELS is None, reason="numba is not installed"))]


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.filterwarnings("ignore:ks_2samp")
def test_statistic_and_exact_p_value_are_scipys(compiled: bool) -> None:
    rng = np.random.default_rng(0)
    for repetition in range(100):
        m, n = rng.integers(1, 120, 2)
        a, b = rng.standard_normal(m), rng.standard_normal(n) + rng.choice([0.0, 0.3, 1.0])
        if repetition % 3 == 0:
            a, b = a.round(1), b.round(1)
        ours, theirs = kolmogorov_smirnov(a, b, compiled=compiled), ks_2samp(a, b, method="exact")
        assert ours.exact and ours.statistic == theirs.statistic
        assert ours.p_value == pytest.approx(theirs.pvalue, abs=1e-12)
        gaps = [abs(np.mean(side(a, ours.at)) - np.mean(side(b, ours.at))) for side in (np.less_equal, np.less)]
        assert max(gaps) == pytest.approx(ours.statistic, abs=1e-12)


@pytest.mark.parametrize("compiled", COMPILED)
def test_large_samples_are_judged_by_the_limit(compiled: bool) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal(20_000), rng.standard_normal(3_000) + 0.02
    ours, theirs = kolmogorov_smirnov(a, b, compiled=compiled), ks_2samp(a, b, method="asymp")
    assert not ours.exact and ours.statistic == pytest.approx(theirs.statistic, abs=1e-15)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize("kernels", [None, pytest.param(KERNELS, marks=pytest.mark.skipif(KERNELS is None, reason="no numba"))])
@pytest.mark.parametrize(("m", "n"), [(40, 40), (30, 70), (200, 150)])
def test_samples_that_do_not_overlap_are_two_orders_of_all(kernels: object, m: int, n: int) -> None:
    """Far in the tail the probability is known by counting: 2 of binomial(m + n, n) orders."""
    steps = m * n // int(np.gcd(m, n))
    assert lattice_p_value(steps, m, n, kernels=kernels) == pytest.approx(2 / comb(m + n, n), rel=1e-10)


@pytest.mark.skipif(KERNELS is None, reason="numba is not installed")
def test_compiled_and_plain_count_the_same_paths() -> None:
    for m, n, distance in ((2_000, 300, 0.03), (2_000, 300, 0.09), (2_000, 300, 0.4), (3_000, 3_000, 0.03), (997, 1_009, 0.06)):
        steps = round(distance * m * n / np.gcd(m, n))
        plain, compiled = lattice_p_value(steps, m, n), lattice_p_value(steps, m, n, kernels=KERNELS)
        assert plain == pytest.approx(compiled, abs=1e-12) and plain == pytest.approx(compiled, rel=1e-6)


def test_the_limit_is_scipys_in_every_case() -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        m, n = (int(rows) for rows in rng.integers(150, 20_000, 2))
        rows = round(m * n / (m + n))
        distance = min(float(rng.uniform(0.2, 20.0) / rows**0.5), 0.99)
        expected = float(kstwo.sf(distance, rows))
        assert limiting_p_value(distance, m, n) == pytest.approx(expected, abs=1e-13, rel=1e-8)


@pytest.mark.parametrize("digits", [9, 1, 0])
def test_no_row_that_is_passed_over_holds_the_largest_distance(digits: int) -> None:
    """Long samples are looked at in steps first; the distance is that of all rows."""
    rng = np.random.default_rng(3)
    for shift in (0.0, 0.02, 0.3, 5.0):
        a, b = rng.standard_normal(2_500).round(digits), (rng.standard_normal(1_100) + shift).round(digits)
        points = np.concatenate([a, b])
        expected = max(abs(np.mean(a <= x) - np.mean(b <= x)) for x in points)
        assert kolmogorov_smirnov(a, b, compiled=False).statistic == pytest.approx(expected, abs=1e-12)


def test_what_is_no_sample_is_refused() -> None:
    with pytest.raises(DataError, match="b holds nan in row 1"):
        kolmogorov_smirnov([1.0], [0.0, np.nan])
    with pytest.raises(NotEnoughData, match="a has 0"):
        kolmogorov_smirnov([], [0.0])
