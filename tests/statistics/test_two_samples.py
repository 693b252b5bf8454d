"""The textbook tests: equal to scipy and to published examples, exact where they say so, honest where they cannot decide."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from huracan.errors import DataError, NotEnoughData
from huracan.statistics import pairwise_order
from huracan.statistics.rank_distributions import mann_whitney_cdf, signed_rank_cdf
from huracan.statistics.two_samples import mann_whitney, t_test, wilcoxon

SIDES = ("two-sided", "less", "greater")
# Hollander and Wolfe (1999), example 4.1 (membrane permeability) and 3.1 (Hamilton depression scale)
TERM, EARLY = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46], [1.15, 0.88, 0.90, 0.74, 1.21]
FIRST = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
SECOND = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("paired", [True, False])
def test_t_test_equals_scipy_and_statsmodels(paired, side):
    rng = np.random.default_rng(1)
    a, b = rng.normal(1e3, 2, 31), rng.normal(1e3 + 0.5, 3, 31 if paired else 17)
    mine = t_test(a, b, paired=paired, alternative=side, confidence=0.9)
    oracle = stats.ttest_rel(a, b, alternative=side) if paired else stats.ttest_ind(a, b, equal_var=False, alternative=side)
    interval = oracle.confidence_interval(0.9)
    assert (mine.t, mine.p_value, mine.degrees_of_freedom, mine.ci_low, mine.ci_high) == pytest.approx(
        (oracle.statistic, oracle.pvalue, oracle.df, interval.low, interval.high), rel=1e-10
    )
    assert mine.difference / mine.standard_error == pytest.approx(mine.t, rel=1e-10)
    if not paired and side == "two-sided":
        other = CompareMeans(DescrStatsW(a), DescrStatsW(b)).tconfint_diff(alpha=0.1, usevar="unequal")
        assert (mine.ci_low, mine.ci_high) == pytest.approx(other, rel=1e-10)


@pytest.mark.parametrize("side", SIDES)
def test_rank_tests_equal_scipy_with_and_without_ties(side):
    rng = np.random.default_rng(2)
    for n, m in ((2, 3), (8, 8), (8, 40), (9, 9), (30, 60)):
        for digits in (0, 12):
            a, b = rng.normal(size=n).round(digits), (rng.normal(size=m) + 0.4).round(digits)
            if np.ptp(np.concatenate([a, b])) == 0:
                continue
            mine, oracle = mann_whitney(a, b, alternative=side), stats.mannwhitneyu(a, b, alternative=side)
            assert (mine.u, mine.p_value) == pytest.approx((oracle.statistic, oracle.pvalue), rel=1e-10)
    for n in (3, 8, 14, 50, 51, 90):
        for digits in (0, 12):
            delta = (rng.normal(size=n) + 0.3).round(digits)
            if not delta.any():
                continue
            assert wilcoxon(delta, alternative=side).p_value == pytest.approx(
                stats.wilcoxon(delta, alternative=side).pvalue, rel=1e-10
            )


def test_exact_distributions_are_those_of_enumeration():
    n, m = 4, 5
    sums = [sum(chosen) - n * (n + 1) // 2 for chosen in combinations(range(1, n + m + 1), n)]
    np.testing.assert_allclose(mann_whitney_cdf(n, m), np.mean(np.array(sums)[:, None] <= np.arange(n * m + 1), axis=0))
    ranks = np.array([1, 3, 3, 6, 8])  # with ties, doubled
    sums = [np.dot(signs, ranks) for signs in product((0, 1), repeat=len(ranks))]
    np.testing.assert_allclose(signed_rank_cdf(ranks), np.mean(np.array(sums)[:, None] <= np.arange(ranks.sum() + 1), axis=0))


def test_published_example_of_mann_whitney():
    # Hollander and Wolfe, examples 4.1, 4.3, 4.4: one-sided P = .1272, estimate .305, interval (-.15, .76)
    assert mann_whitney(TERM, EARLY, alternative="greater").p_value == pytest.approx(0.1272, abs=5e-5)
    both = mann_whitney(TERM, EARLY)
    assert (both.u, both.exact) == (35.0, True)
    assert (both.median_difference, both.ci_low, both.ci_high) == pytest.approx((0.305, -0.15, 0.76), abs=1e-12)


def test_published_example_of_wilcoxon():
    # Hollander and Wolfe, examples 3.1, 3.3, 3.4: T+ = 5 of Y - X, P = .0195, estimate -.46, interval (-.786, -.010)
    one_sided = wilcoxon(SECOND, FIRST, alternative="less")
    assert (one_sided.rank_sum_positive, round(one_sided.p_value, 4)) == (5.0, 0.0195)
    both = wilcoxon(SECOND, FIRST)
    assert (both.median_difference, both.ci_low, both.ci_high) == pytest.approx((-0.46, -0.786, -0.010), abs=1e-12)
    assert both.p_value == pytest.approx(0.0390625)


@pytest.mark.parametrize("side", SIDES)
def test_an_exact_interval_holds_just_the_shifts_that_are_not_rejected(side):
    rng = np.random.default_rng(3)
    a, b, delta = rng.normal(size=7), rng.normal(size=9), rng.normal(size=12)
    one = mann_whitney(a, b, alternative=side, confidence=0.9)
    other = wilcoxon(delta, alternative=side, confidence=0.9)
    for inside, edge in ((-1e-9, one.ci_high), (1e-9, one.ci_low)):
        if np.isfinite(edge):
            assert mann_whitney(a - edge - inside, b, alternative=side).p_value > 0.1
            assert mann_whitney(a - edge + inside, b, alternative=side).p_value <= 0.1
    for inside, edge in ((-1e-9, other.ci_high), (1e-9, other.ci_low)):
        if np.isfinite(edge):
            assert wilcoxon(delta - edge - inside, alternative=side).p_value > 0.1
            assert wilcoxon(delta - edge + inside, alternative=side).p_value <= 0.1
    assert np.isinf(one.ci_low) == (side == "less") == np.isinf(other.ci_low)
    assert np.isinf(one.ci_high) == (side == "greater") == np.isinf(other.ci_high)


def test_swapping_and_shifting_move_the_result_as_they_should():
    rng = np.random.default_rng(4)
    a, b = rng.standard_t(2, 30), rng.standard_t(2, 30)
    for call in (t_test, mann_whitney, wilcoxon):
        one, other, moved = call(a, b), call(b, a), call(2 * a + 6, 2 * b)
        assert (other.ci_low, other.ci_high) == pytest.approx((-one.ci_high, -one.ci_low))
        assert other.p_value == pytest.approx(one.p_value)
        assert (moved.ci_low, moved.ci_high) == pytest.approx((2 * one.ci_low + 6, 2 * one.ci_high + 6))


def test_many_pairs_are_ordered_without_being_held(monkeypatch):
    monkeypatch.setattr(pairwise_order, "_HELD", 40)
    rng = np.random.default_rng(5)
    for digits in (12, 1, 0):
        a, b = rng.normal(size=25).round(digits), rng.normal(size=38).round(digits)
        every = np.sort(np.subtract.outer(a, b).ravel())
        ranks = [0, 7, 400, 475, 949]
        np.testing.assert_allclose(pairwise_order.ordered_differences(a, b, ranks), every[ranks], atol=1e-14)
        i, j = np.triu_indices(38)
        every = np.sort((b[i] + b[j]) / 2)
        ranks = [0, 7, 300, 370, 740]
        np.testing.assert_allclose(pairwise_order.ordered_walsh_averages(b, ranks), every[ranks], atol=1e-14)


def test_large_samples_take_seconds_and_no_memory_of_pairs():
    rng = np.random.default_rng(6)
    a = rng.normal(size=30_000)
    result = mann_whitney(a + 0.05, rng.normal(size=30_000))
    assert result.ci_low < 0.05 < result.ci_high
    # normal shift: length 2 z sqrt(pi / 3) sqrt(2 / n), as the t interval over the root of the efficiency 3 / pi
    assert result.ci_high - result.ci_low == pytest.approx(2 * 1.96 * np.sqrt(np.pi / 3 * 2 / 30_000), rel=0.03)
    assert wilcoxon(a).n == 30_000
    # scipy's enumeration takes minutes here; by the theory of U, sd is known, p only to a percent by the normal
    small = mann_whitney(rng.normal(size=8), rng.normal(size=20_000))
    assert small.exact
    assert 0.0 < small.p_value <= 1.0


def test_intervals_cover_what_they_say():
    # 800 worlds: standard error of a coverage of 95 % is .77 points; rank intervals may cover more, never less
    rng = np.random.default_rng(7)
    ranked = signed = welch = 0
    for world in range(800):
        a, b = rng.standard_t(3, 12) + 0.7, rng.standard_t(3, 9)
        ranked += (lambda r: r.ci_low <= 0.7 <= r.ci_high)(mann_whitney(a, b))
        signed += (lambda r: r.ci_low <= 0.7 <= r.ci_high)(wilcoxon(a))
        c, d = rng.normal(0.7, 3, 12), rng.normal(0, 1, 9)
        if world < 500:
            welch += (lambda r: r.ci_low <= 0.7 <= r.ci_high)(t_test(c, d))
    assert 0.935 <= ranked / 800 <= 0.98
    assert 0.935 <= signed / 800 <= 0.98
    assert 0.925 <= welch / 500 <= 0.98


def test_samples_too_small_for_the_interval_say_so():
    result = mann_whitney([1.0, 2.0, 3.0], [1.5, 2.5, 3.5])
    assert (result.ci_low, result.ci_high) == (-np.inf, np.inf)
    assert "too small for a distribution-free interval of 0.95" in result.note
    assert "too small" in wilcoxon([1.0, 2.0, 3.0, 4.0]).note
    # 2 / 2^6 = .031 is the first two-sided level below .05
    assert wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0]).note
    assert not wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).note


def test_pairs_without_a_difference_are_counted():
    result = wilcoxon([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 2.0, 2.0])
    assert (result.n, result.n_zero, result.rank_sum_positive, result.rank_sum_negative) == (4, 2, 3.0, 0.0)


@pytest.mark.parametrize("call", [t_test, mann_whitney, wilcoxon])
@pytest.mark.parametrize(
    ("a", "b", "error", "message"),
    [
        ([1.0], [2.0], NotEnoughData, "a has 1 observation.*at least 2"),
        ([], [], NotEnoughData, "a has 0 observation"),
        ([1.0, np.nan], [2.0, 3.0], DataError, "a holds nan in row 1"),
        ([1.0, 2.0], [2.0, -np.inf], DataError, "b holds -inf in row 1"),
        ([[1.0, 2.0]], [2.0, 3.0], DataError, r"a has shape \(1, 2\)"),
        (["x", "y"], [2.0, 3.0], DataError, "a does not hold plain numbers"),
        ([1e200, 2.0], [2.0, 3.0], DataError, "overflows"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), [2.0, 3.0], DataError, "a holds nan in row 1"),
        ([5.0, 5.0], [5.0, 5.0], DataError, "nothing varies|a is 5 and b 5 in every row|none of the 2 pairs differs"),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(call, a, b, error, message):
    with pytest.raises(error, match=message):
        call(a, b)


@pytest.mark.parametrize("call", [t_test, mann_whitney, wilcoxon])
def test_settings_out_of_bounds_are_refused(call):
    a, b = [1.0, 2.0, 4.0], [2.0, 3.0, 9.0]
    for confidence in (0.0, 1.0, 95, np.nan):
        with pytest.raises(DataError, match="confidence is"):
            call(a, b, confidence=confidence)
    with pytest.raises(DataError, match="alternative is 'both'"):
        call(a, b, alternative="both")


def test_pairs_need_equal_lengths_and_differences_that_vary():
    with pytest.raises(DataError, match="a has 3 rows and b 2"):
        t_test([1.0, 2.0, 3.0], [1.0, 2.0], paired=True)
    with pytest.raises(DataError, match="a has 3 rows and b 2"):
        wilcoxon([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(DataError, match="nothing varies between the pairs"):
        t_test([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], paired=True)


def test_they_are_wrong_on_autocorrelated_data_as_their_docstrings_say():
    from scipy.signal import lfilter

    rng = np.random.default_rng(8)
    series = lfilter([1], [1, -0.9], rng.standard_normal((2, 100, 400)), axis=2)[:, :, 200:]
    for call in (t_test, mann_whitney, wilcoxon):
        assert np.mean([call(a, b).p_value < 0.05 for a, b in zip(*series)]) > 0.4
        assert "wrong on autocorrelated data" in (call.__doc__ or "").lower().replace("\n    ", " ")
