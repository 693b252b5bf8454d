"""Diebold-Mariano gives what was published; Giacomini-White holds its level when regimes last."""

from __future__ import annotations

import random

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from huracan.errors import DataError, NotEnoughData
from huracan.statistics import ewc_t_test
from huracan.statistics.forecast_comparison import diebold_mariano, giacomini_white

# ---------------------------------------------------------------- Diebold and Mariano


def test_published_example_of_one_step_checked_against_r():
    # dieboldmariano 1.1 (PyPI), test 1, computed with R's forecast::dm.test: -2.4905, .05513
    result = diebold_mariano(np.array([0, 1, 2, 3, 4, 5]) ** 2, np.array([0, 2, 3, 3, 5, 6]) ** 2)
    assert round(result.statistic, 4) == -2.4905
    assert round(result.p_value, 5) == 0.05513


def test_published_example_of_three_steps_checked_against_r():
    # dieboldmariano 1.1 (PyPI), test 2: absolute errors, h = 3, alternative "less": 1.2109, .877
    a = [0.3675225224615024, 0.5450608127223211, 0.22044990720021074, 0.8688743471040006, 0.6072512228948467,
         0.8582283746501538, 0.41662295816718187, 0.3812100211114714, 0.7185133356116706, 0.30827323290318875,
         0.4297093624074402, 0.8615974488577858, 0.7240514514808826, 0.3450839595261038, 0.19675301374013598]  # fmt: skip
    b = [0.12794132529988733, 0.3679643204341153, 0.768715420996091, 0.09972248964114683, 0.27197653636654284,
         0.28797629010039505, 0.9160213458582482, 0.6112628048698798, 0.5452873235576241, 0.06785907231746158,
         0.6072666485541124, 0.6241575753989782, 0.39998026828867217, 0.19895665605941748, 0.8094941215215619]  # fmt: skip
    result = diebold_mariano(a, b, 3, alternative="less")
    assert result.kernel == "rectangular"
    assert round(result.statistic, 4) == 1.2109
    assert round(result.p_value, 3) == 0.877


def shuffled_numbers(generator: random.Random) -> NDArray[np.float64]:
    """``random.sample(range(100), 100)`` as Python 2 drew it, in which the example was published."""
    pool, drawn = list(range(100)), []
    for taken in range(100):
        place = int(generator.random() * (100 - taken))
        drawn.append(pool[place])
        pool[place] = pool[99 - taken]
    return np.array(drawn, dtype=np.float64)


@pytest.mark.parametrize(
    ("power", "statistic", "p_value"),
    # johntwk/Diebold-Mariano-Test, README, seed 123: absolute, squared and fourth powers of the errors
    [
        (1, 1.3275742446369585, 0.18737195617455585),
        (2, 1.2112523589452902, 0.22868210381769466),
        (4, 0.9124498079287283, 0.36374861695187799),
    ],
)
def test_published_example_to_the_last_digit(power, statistic, p_value):
    generator = random.Random(123)
    actual, first, second = (shuffled_numbers(generator) for _ in range(3))
    result = diebold_mariano(np.abs(actual - first) ** power, np.abs(actual - second) ** power)
    assert result.statistic == pytest.approx(statistic, rel=1e-13)
    assert result.p_value == pytest.approx(p_value, rel=1e-13)


@pytest.mark.parametrize(
    ("horizon", "n", "plain", "corrected"),
    # Journal of Transportation and Statistics 7(1), 2004, paper 3, table 9: DM and modified DM of forecasts of 36 months;
    # a fourth cell of the first row, -2.32 and -2.30, has another ratio than its neighbours, and is left out
    [
        (1, 36, (-1.34, -0.57, -1.04, 0.23, -0.69), (-1.32, -0.56, -1.02, 0.22, -0.68)),
        (6, 31, (-2.89, 1.80, 0.37, -2.08, 0.60, -3.52), (-2.38, 1.48, 0.31, -1.71, 0.49, -2.90)),
    ],
)
def test_published_small_sample_corrections(horizon, n, plain, corrected):
    x = np.random.default_rng(0).standard_normal((2, n))
    factor = diebold_mariano(*x, horizon).statistic / diebold_mariano(*x, horizon, correction="none").statistic
    # both columns are printed to two digits
    assert np.array(plain) * factor == pytest.approx(corrected, abs=0.01)


@pytest.mark.parametrize("horizon", [1, 2, 5, 12])
def test_equals_the_definition_written_out(horizon):
    a, b = np.random.default_rng(horizon).standard_normal((2, 150)) ** 2
    d, n = a - b, 150
    c = d - d.mean()
    variance = sum((c[abs(k) :] @ c[: n - abs(k)]) / n for k in range(1 - horizon, horizon)) / n
    plain = d.mean() / np.sqrt(variance)
    found = diebold_mariano(a, b, horizon, correction="none")
    assert found.statistic == pytest.approx(plain, rel=1e-12)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(plain)), rel=1e-10)
    modified = plain * np.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
    found = diebold_mariano(a, b, horizon)
    assert found.statistic == pytest.approx(modified, rel=1e-12)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(modified), n - 1), rel=1e-10)


def test_one_step_is_the_t_test_of_the_difference():
    a, b = np.random.default_rng(1).standard_normal((2, 40))
    found, classical = diebold_mariano(a, b), stats.ttest_rel(a, b)
    assert found.statistic == pytest.approx(classical.statistic, rel=1e-10)
    assert found.p_value == pytest.approx(classical.pvalue, rel=1e-10)
    interval = classical.confidence_interval(0.95)
    assert (found.ci_low, found.ci_high) == pytest.approx((interval.low, interval.high), rel=1e-10)


def test_bartlett_weights_take_over_where_the_rectangular_ones_give_no_variance():
    d = np.tile([1.0, -1.0], 20) + 0.1 * np.random.default_rng(0).standard_normal(40) + 0.05
    found = diebold_mariano(d, np.zeros(40), 2, correction="none")
    assert found.kernel == "bartlett"
    # statsmodels: Newey-West with one lag has the weights 1, 1/2
    oracle = sm.OLS(d, np.ones(40)).fit(cov_type="HAC", cov_kwds={"maxlags": 1})
    assert found.standard_error == pytest.approx(oracle.bse[0], rel=1e-10)
    assert 0.0 < found.p_value <= 1.0


def test_interval_sides_and_order_agree():
    a, b = np.random.default_rng(2).standard_normal((2, 80)) + np.array([[0.2], [0.0]])
    both = diebold_mariano(a, b, 3, confidence=0.9)
    assert diebold_mariano(b, a, 3).statistic == pytest.approx(-both.statistic)
    less, greater = (diebold_mariano(a, b, 3, alternative=side, confidence=0.9) for side in ("less", "greater"))
    assert less.p_value + greater.p_value == pytest.approx(1.0)
    assert both.p_value == pytest.approx(2 * min(less.p_value, greater.p_value))
    assert (less.ci_low, greater.ci_high) == (-np.inf, np.inf)
    for edge in (both.ci_low, both.ci_high):
        assert diebold_mariano(a - edge, b, 3).p_value == pytest.approx(0.1, rel=1e-9)


def test_level_on_overlapping_labels_of_the_horizon_given():
    shock = np.random.default_rng(3).standard_normal((2000, 254))
    d = np.lib.stride_tricks.sliding_window_view(shock, 5, axis=1).sum(axis=2)
    found = diebold_mariano(d, np.zeros_like(d), 5)
    # 2,000 repetitions: standard error .5 points; the rectangular kernel is known to be a little liberal
    assert 0.04 <= np.mean(found.p_value < 0.05) <= 0.09
    single = diebold_mariano(d[7], np.zeros(250), 5)
    assert single.p_value == pytest.approx(found.p_value[7], rel=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "horizon", "message"),
    [
        (np.ones(50), np.ones(50), 1, "the same at all 50 times"),
        (np.arange(50.0) + 0.3, np.arange(50.0), 1, "the same at all 50 times"),
        (np.arange(50.0), np.arange(49.0), 1, r"loss_a has shape \(50,\), loss_b \(49,\)"),
        ([1.0, np.nan] * 20, np.arange(40.0), 1, "loss_a holds nan at row 1"),
        (np.arange(40.0) % 3, [np.inf] * 40, 1, "loss_b holds inf at row 0"),
        (np.arange(10.0) % 3, np.zeros(10), 5, r"10 observation\(s\) in time; at least 11 are needed"),
        (np.arange(4.0), np.zeros(4), 1, "at least 5 are needed"),
        (np.arange(50.0) % 3, np.zeros(50), 0, "horizon is 0"),
        (np.arange(50.0) % 3, np.zeros(50), 1.5, "horizon is 1.5"),
    ],
)
def test_losses_that_cannot_be_compared_are_refused_with_the_reason(a, b, horizon, message):
    with pytest.raises(DataError, match=message):
        diebold_mariano(a, b, horizon)


def test_settings_out_of_bounds_are_refused():
    a, b = np.random.default_rng(4).standard_normal((2, 30))
    with pytest.raises(DataError, match="correction is 'holm'"):
        diebold_mariano(a, b, correction="holm")
    with pytest.raises(DataError, match="alternative is 'both'"):
        diebold_mariano(a, b, alternative="both")
    with pytest.raises(DataError, match="confidence is 1"):
        diebold_mariano(a, b, confidence=1)


# ---------------------------------------------------------------- Giacomini and White


def lasting_regimes(rng: np.random.Generator, n: int, kinds: int) -> NDArray[np.bool_]:
    """Indicators (n, kinds) of regimes that last 50 bars on average; every kind occurs."""
    while True:
        change = np.cumsum(rng.random(n) < 0.02)
        kind = rng.integers(kinds, size=change[-1] + 1)[change]
        if len(np.unique(kind)) == kinds:
            return kind[:, None] == np.arange(kinds)


def rejections(losses, repetitions: int, seed: int, **settings) -> float:
    rng = np.random.default_rng(seed)
    found = [giacomini_white(d, np.zeros_like(d), known, **settings) for d, known in (losses(rng) for _ in range(repetitions))]
    return float(np.mean([result.p_value < 0.05 for result in found]))


@pytest.mark.parametrize("kind", ["martingale", "AR .5", "overlap 5"])
def test_level_holds_in_regimes_that_last_and_differ_in_volatility(kind):
    def losses(rng):
        known = lasting_regimes(rng, 1000, 3)
        numerator, denominator = {"martingale": ([1], [1]), "AR .5": ([1], [1, -0.5]), "overlap 5": ([1] * 5, [1])}[kind]
        shock = lfilter(numerator, denominator, rng.standard_normal(1100))[100:]
        return shock * (known @ [1.0, 2.0, 3.0]), known

    # 600 repetitions: standard error .9 points; a little below 5 % because the variance moves with the regimes
    assert 0.01 <= rejections(losses, 600, 1) <= 0.065


def test_level_with_the_papers_own_instruments():
    def losses(rng):
        return rng.standard_normal(500), None

    # 600 repetitions: standard error .9 points
    for covariance in ("ewc", "martingale"):
        assert 0.03 <= rejections(losses, 600, 2, covariance=covariance) <= 0.075


def test_a_martingale_covariance_fails_where_losses_remember():
    def losses(rng):
        return lfilter([1], [1, -0.5], rng.standard_normal(1000)), lasting_regimes(rng, 1000, 2)

    assert rejections(losses, 100, 3, covariance="martingale") > 0.2


def test_a_model_that_is_better_in_one_regime_and_worse_in_another_is_found_though_the_means_are_equal():
    rng = np.random.default_rng(4)
    trending = np.repeat(np.tile([True, False], 20), 25)
    d = np.where(trending, -0.35, 0.35) + rng.standard_normal(1000)
    known = np.column_stack([trending, ~trending])
    result = giacomini_white(d, np.zeros(1000), known)
    assert result.p_value < 0.001
    assert result.moments == pytest.approx([-0.175, 0.175], abs=0.08)
    assert giacomini_white(d, np.zeros(1000), np.ones(1000)).p_value > 0.05


def test_martingale_covariance_is_n_times_r_squared_of_the_papers_regression():
    rng = np.random.default_rng(5)
    d, x = rng.standard_normal((2, 300))
    known = np.column_stack([np.ones(300), x])
    oracle = sm.OLS(np.ones(300), known * d[:, None]).fit()
    result = giacomini_white(d, np.zeros(300), known, covariance="martingale")
    assert result.statistic == pytest.approx(300 * (1 - oracle.ssr / 300), rel=1e-10)
    assert result.p_value == pytest.approx(stats.chi2.sf(result.statistic, 2), rel=1e-10)
    lagged = giacomini_white(d, np.zeros(300), covariance="martingale")
    by_hand = giacomini_white(d[1:], np.zeros(299), np.column_stack([np.ones(299), d[:-1]]), covariance="martingale")
    assert (lagged.n, lagged.statistic) == (299, pytest.approx(by_hand.statistic, rel=1e-12))


def test_with_a_constant_alone_it_is_the_ewc_t_test():
    from huracan.statistics import ewc_t_test

    d = lfilter([1], [1, -0.6], np.random.default_rng(6).standard_normal(400))
    result, t_test = giacomini_white(d, np.zeros(400), np.ones(400)), ewc_t_test(d)
    assert result.statistic == pytest.approx(t_test.t**2, rel=1e-10)
    assert result.p_value == pytest.approx(t_test.p_value, rel=1e-10)
    assert result.n_cosines == t_test.n_cosines


def test_units_of_instruments_do_not_matter():
    rng = np.random.default_rng(7)
    d, x, y = rng.standard_normal((3, 300))
    one = giacomini_white(d, np.zeros(300), np.column_stack([x, y]))
    other = giacomini_white(1e3 * d, np.zeros(300), np.column_stack([1e-6 * x, 1e6 * y]))
    assert other.p_value == pytest.approx(one.p_value, rel=1e-8)


def test_what_remembers_too_long_is_not_decided():
    walks = np.random.default_rng(8).standard_normal((20, 500)).cumsum(axis=1)
    found = [giacomini_white(walk, np.zeros(500), np.ones(500)) for walk in walks]
    assert [one.decidable for one in found] == ewc_t_test(walks).decidable.tolist()
    undecided = [one.p_value for one in found if not one.decidable]
    assert len(undecided) >= 10
    assert set(undecided) == {1.0}


@pytest.mark.parametrize(
    ("instruments", "settings", "message"),
    [
        (np.ones(99), {}, r"instruments have shape \(99, 1\); one row for each of the 100 losses"),
        (np.column_stack([np.ones(100), np.arange(100) < 50, np.arange(100) >= 50]), {}, "3 instruments are collinear"),
        (np.column_stack([np.ones(100), np.zeros(100)]), {}, "instrument 1 is zero"),
        (np.where(np.arange(100) == 7, np.nan, 1.0), {}, "instrument 0 is nan at row 7"),
        (np.ones(100), {"covariance": "hac"}, "covariance is 'hac'"),
        (np.ones(100), {"covariance": "martingale", "horizon": 3}, "horizon is 3"),
        (np.ones(100), {"horizon": -1}, "horizon is -1"),
    ],
)
def test_instruments_that_cannot_be_used_are_refused_with_the_reason(instruments, settings, message):
    a, b = np.random.default_rng(9).standard_normal((2, 100))
    with pytest.raises(DataError, match=message):
        giacomini_white(a, b, instruments, **settings)


def test_too_few_or_constant_losses_are_refused():
    with pytest.raises(NotEnoughData, match=r"19 observation\(s\) in time; at least 20"):
        giacomini_white(np.arange(19.0), np.zeros(19), np.ones(19))
    with pytest.raises(DataError, match="the same at all 40 times"):
        giacomini_white(np.ones(40), np.zeros(40), np.ones(40))
