"""Effect sizes: definitions, exact intervals for normal data, coverage for the others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.effect_size import _noncentrality_t
from statsmodels.stats.meta_analysis import effectsize_smd

from huracan.errors import DataError, NotEnoughData
from huracan.statistics.effect_sizes import cliffs_delta, cohens_d, common_language, hedges_g, rank_biserial
from huracan.statistics.effect_sizes import noncentrality_interval as interval_of

EVERY = [cohens_d, hedges_g, common_language, cliffs_delta, rank_biserial]


def noncentral_t_cdf(t: float, degrees: float, noncentrality: float) -> float:
    """By its definition: normal over the root of chi-square over its degrees of freedom."""
    density = stats.chi(degrees).pdf
    edge = stats.chi(degrees).ppf([1e-15, 1 - 1e-15])
    return integrate.quad(
        lambda s: stats.norm.cdf(t * s / np.sqrt(degrees) - noncentrality) * density(s), *edge, epsabs=1e-13, limit=500
    )[0]


@pytest.mark.parametrize(("t", "degrees"), [(0.0, 5), (2.6, 18), (-3.0, 40), (5.0, 2), (50.0, 18), (30.0, 10_000)])
def test_noncentral_interval_inverts_the_definition(t, degrees):
    low, high = interval_of(t, degrees, 0.95)
    assert noncentral_t_cdf(t, degrees, low) == pytest.approx(0.975, abs=1e-9)
    assert noncentral_t_cdf(t, degrees, high) == pytest.approx(0.025, abs=1e-9)
    oracle = _noncentrality_t(t, degrees, 0.05).confint  # stops its search at about 1e-5
    assert (low, high) == pytest.approx(oracle, rel=2e-4)


def test_cohens_d_and_hedges_g_by_definition_and_statsmodels():
    rng = np.random.default_rng(1)
    a, b = rng.normal(1, 2, 12), rng.normal(0, 2, 19)
    pooled = np.sqrt((11 * a.var(ddof=1) + 18 * b.var(ddof=1)) / 29)
    d, g = cohens_d(a, b), hedges_g(a, b)
    assert d.estimate == pytest.approx((a.mean() - b.mean()) / pooled, rel=1e-12)
    approximate = effectsize_smd(a.mean(), a.std(ddof=1), 12, b.mean(), b.std(ddof=1), 19)[0]  # factor 1 - 3 / (4 N - 9)
    assert g.estimate == pytest.approx(approximate, rel=2e-4)
    delta = a - b[:12]
    assert cohens_d(a, b[:12], paired=True).estimate == pytest.approx(delta.mean() / delta.std(ddof=1), rel=1e-12)


def test_exact_correction_is_hedges_table():
    # Hedges (1981), table 1: c(m) for m = 2, 3, 4, 5, 10, 20, 50 degrees of freedom
    for degrees, printed in ((2, 0.5642), (3, 0.7236), (4, 0.7979), (5, 0.8408), (10, 0.9228), (20, 0.9619), (50, 0.9849)):
        values = np.arange(degrees + 1.0)
        ratio = hedges_g(values, 0 * values, paired=True).estimate / cohens_d(values, 0 * values, paired=True).estimate
        assert ratio == pytest.approx(printed, abs=6e-5)


def test_hedges_g_has_no_bias():
    rng = np.random.default_rng(2)
    found = [hedges_g(rng.normal(1, 1, 4), rng.normal(0, 1, 4)).estimate for _ in range(3000)]
    assert np.mean(found) == pytest.approx(1.0, abs=3 * np.std(found) / np.sqrt(3000))


def test_interval_leaves_out_zero_just_where_the_t_test_rejects():
    rng = np.random.default_rng(3)
    for _ in range(50):
        a, b = rng.normal(0.8, 1, 10), rng.normal(0, 1, 12)
        rejects = stats.ttest_ind(a, b).pvalue < 0.05
        assert rejects == (cohens_d(a, b).ci_low > 0 or cohens_d(a, b).ci_high < 0)
        assert rejects == (hedges_g(a, b).ci_low > 0 or hedges_g(a, b).ci_high < 0)
        assert (stats.ttest_1samp(a, 0).pvalue < 0.05) == (cohens_d(a, 0 * a, paired=True).ci_low > 0)


def test_ordinal_effects_by_their_definitions():
    rng = np.random.default_rng(4)
    for digits in (0, 9):
        a, b = rng.normal(size=15).round(digits), rng.normal(0.3, 1, 11).round(digits)
        sign = np.sign(a[:, None] - b[None, :])
        assert cliffs_delta(a, b).estimate == pytest.approx(sign.mean(), abs=1e-12)
        assert rank_biserial(a, b).estimate == pytest.approx(sign.mean(), abs=1e-12)
        assert common_language(a, b).estimate == pytest.approx(np.mean(sign > 0) + np.mean(sign == 0) / 2, abs=1e-12)
        delta = a[:11] - b
        ranks = stats.rankdata(np.abs(delta[delta != 0])) * np.sign(delta[delta != 0])
        expected = ranks.sum() / np.abs(ranks).sum()
        assert rank_biserial(a[:11], b, paired=True).estimate == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("effect", EVERY)
def test_swapping_turns_the_sign_and_scale_does_not_matter(effect):
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.5, 1, 20), rng.normal(0, 2, 20)
    one, other, scaled = effect(a, b), effect(b, a), effect(1e-7 * a, 1e-7 * b)
    middle = 0.5 if effect is common_language else 0.0
    assert (other.ci_low - middle, other.ci_high - middle) == pytest.approx((middle - one.ci_high, middle - one.ci_low))
    assert (scaled.estimate, scaled.ci_low, scaled.ci_high) == pytest.approx((one.estimate, one.ci_low, one.ci_high))
    assert one.ci_low < one.estimate < one.ci_high
    wider = effect(a, b, confidence=0.99)
    assert wider.ci_low < one.ci_low < one.ci_high < wider.ci_high


def test_samples_without_overlap_are_not_certain():
    result = cliffs_delta(np.arange(10.0) + 100, np.arange(10.0))
    assert result.estimate == 1.0 == result.ci_high
    assert 0.5 < result.ci_low < 0.95
    paired = rank_biserial(np.arange(1.0, 11.0), np.zeros(10), paired=True)
    assert paired.estimate == 1.0
    assert 0.3 < paired.ci_low < 0.95


def covered(effect, draw, truth: float, repetitions: int, **options) -> float:
    results = (effect(*draw(), **options) for _ in range(repetitions))
    return float(np.mean([result.ci_low <= truth <= result.ci_high for result in results]))


def shapes(rng):
    """Name, draw, true probability that a is larger."""
    return [
        ("equal", lambda: (rng.normal(size=15), rng.normal(size=15)), 0.5),
        ("shifted", lambda: (rng.normal(1, 1, 15), rng.normal(size=15)), stats.norm.cdf(1 / np.sqrt(2))),
        ("far", lambda: (rng.normal(2.5, 1, 15), rng.normal(size=15)), stats.norm.cdf(2.5 / np.sqrt(2))),
        ("spreads differ", lambda: (rng.normal(0.5, 4, 15), rng.normal(size=40)), stats.norm.cdf(0.5 / np.sqrt(17))),
        ("skewed", lambda: (rng.exponential(2, 15), rng.exponential(1, 20)), 2 / 3),
    ]


def test_coverage_of_the_ordinal_intervals():
    # 500 worlds: two standard errors of 95 % are 1.9 points; measured 93 to 98 %
    rng = np.random.default_rng(6)
    for name, draw, truth in shapes(rng):
        assert 0.915 <= covered(common_language, draw, truth, 500) <= 0.995, name


def test_coverage_of_d_and_g_on_normal_data():
    rng = np.random.default_rng(7)
    draw = lambda: (rng.normal(0.8, 1, 9), rng.normal(0, 1, 7))  # noqa: E731
    for effect in (cohens_d, hedges_g):
        assert 0.93 <= covered(effect, draw, 0.8, 600) <= 0.97
    pairs = lambda: (rng.normal(0.8, 1, 12), np.zeros(12))  # noqa: E731
    assert 0.93 <= covered(cohens_d, pairs, 0.8, 600, paired=True) <= 0.97


@pytest.mark.slow
def test_coverage_in_full():
    # 10,000 worlds: standard error .22 points
    rng = np.random.default_rng(8)
    for name, draw, truth in shapes(rng):
        assert 0.93 <= covered(common_language, draw, truth, 10_000) <= 0.985, name
    draw = lambda: (rng.normal(0.8, 1, 9), rng.normal(0, 1, 7))  # noqa: E731
    assert covered(cohens_d, draw, 0.8, 10_000) == pytest.approx(0.95, abs=0.0066)
    n = 20
    for shift in (0.0, 0.5, 1.5):
        p = (n - 1) / (n + 1) * stats.norm.cdf(np.sqrt(2) * shift) + 2 / (n + 1) * stats.norm.cdf(shift)
        pairs = lambda s=shift: (rng.normal(s, 1, n), np.zeros(n))  # noqa: E731
        assert 0.935 <= covered(rank_biserial, pairs, 2 * p - 1, 10_000, paired=True) <= 0.99, shift


@pytest.mark.parametrize("effect", EVERY)
def test_bad_input_is_refused(effect):
    with pytest.raises(NotEnoughData, match=r"a has 1 observation.*at least 2"):
        effect([1.0], [1.0, 2.0])
    with pytest.raises(DataError, match="b holds nan in row 1"):
        effect([1.0, 2.0], [1.0, np.nan])
    with pytest.raises(DataError, match="confidence is 1"):
        effect([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], confidence=1)


def test_what_has_no_size_is_refused():
    with pytest.raises(DataError, match="nothing varies within a or b"):
        cohens_d([1.0, 1.0], [2.0, 2.0])
    with pytest.raises(DataError, match="nothing varies between the pairs"):
        hedges_g([1.0, 2.0], [2.0, 3.0], paired=True)
    with pytest.raises(DataError, match="at least 2 degrees of freedom"):
        hedges_g([1.0, 2.0], [2.0, 4.0], paired=True)
    with pytest.raises(DataError, match="none of the 2 pairs differs"):
        rank_biserial([1.0, 2.0], [1.0, 2.0], paired=True)
    with pytest.raises(DataError, match="a has 2 rows and b 3"):
        cohens_d([1.0, 2.0], [1.0, 2.0, 3.0], paired=True)
