"""One-sided trends against the filters they claim to be, and against their own past."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.linalg import solve_discrete_are
from scipy.special import binom
from statsmodels.tsa.filters.hp_filter import hpfilter
from statsmodels.tsa.seasonal import STL

from huracan.errors import DataError, FeatureError, NotEnoughData, UnknownName
from huracan.preprocessing import decompose_for_viewing, fit_local_level
from huracan.preprocessing.decomposition import (
    exponential_trend,
    fractional_difference,
    fractional_weights,
    fractional_window,
    haar_levels,
    hodrick_prescott_smoothing,
    hodrick_prescott_trend,
    local_level_trend,
)
from huracan.preprocessing.decomposition_gains import hodrick_prescott_gains, local_level_gains
from huracan.preprocessing.streams import open_stream

OPERATIONS: list[tuple[Any, tuple[float, ...]]] = [
    (exponential_trend, (2,)),
    (exponential_trend, (48,)),
    (hodrick_prescott_trend, (0.05,)),
    (hodrick_prescott_trend, (1600.0,)),
    (hodrick_prescott_trend, (1e8,)),
    (local_level_trend, (1e-6,)),
    (local_level_trend, (0.01,)),
    (local_level_trend, (50.0,)),
    (fractional_difference, (0.4, 100)),
    (fractional_difference, (-0.6, 7)),
    (fractional_difference, (1.0, 2)),
    (fractional_difference, (0.7, 500)),
]
NAMES = [f"{function.__name__}{constants}" for function, constants in OPERATIONS]


def log_prices(n: int, seed: int = 0) -> np.ndarray:
    return 10.0 + np.cumsum(np.random.default_rng(seed).standard_t(3, n) * 0.005)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


@pytest.mark.parametrize(("function", "constants"), [*OPERATIONS, (haar_levels, (6,))], ids=[*NAMES, "haar"])
def test_the_past_alone_decides_bit_for_bit(function: Any, constants: tuple[float, ...]) -> None:
    x = log_prices(4_000)
    whole = np.atleast_2d(function(x, *constants))
    cuts = [1, 2, 3, 4, 7, 8, 64, 99, 100, 101, 148, 149, *np.random.default_rng(3).integers(150, 4_000, 60)]
    for cut in cuts:
        part = np.atleast_2d(function(x[:cut].copy(), *constants))
        assert all(same_bits(p, w[:cut]) for p, w in zip(part, whole)), f"changes when cut at {cut}"
    later = x.copy()
    later[3_000:] += 1e6 * np.random.default_rng(1).normal(size=1_000)
    assert all(same_bits(p[:3_000], w[:3_000]) for p, w in zip(np.atleast_2d(function(later, *constants)), whole))


@pytest.mark.parametrize(("function", "constants"), OPERATIONS, ids=NAMES)
def test_a_stream_opened_anywhere_goes_on_as_batch(function: Any, constants: tuple[float, ...]) -> None:
    """To 1e-9 of the standard deviation of one step, gaps and infinities included."""
    plain = log_prices(5_000)
    holed = plain.copy()
    holed[[0, 1, 5, 6, 7, 9, 1_000, 1_001, 1_003, 2_600]] = np.nan
    holed[1_500], holed[1_700] = np.inf, -np.inf
    for x in (plain, holed):
        batch = function(x, *constants)
        unit = np.nanstd(np.diff(batch))
        for at in (0, 1, 2, 3, 4, 6, 8, 10, 30, 999, 1_002, 1_501, 2_000):
            stream = open_stream(function, constants, {}, [x[:at]])
            online = np.array([stream.update(value) for value in x[at:].tolist()])
            np.testing.assert_allclose(online / unit, batch[at:] / unit, rtol=0, atol=1e-9, err_msg=f"opened at {at}")


@pytest.mark.parametrize(("function", "constants"), OPERATIONS, ids=NAMES)
def test_a_gap_is_a_new_beginning(function: Any, constants: tuple[float, ...]) -> None:
    x = log_prices(900, 4)
    gapped = np.r_[np.nan, x[:400], np.nan, np.inf, x[400:]]
    parts = [function(x[:400], *constants), function(x[400:], *constants)]
    expected = np.r_[np.nan, parts[0], np.nan, np.nan, parts[1]]
    np.testing.assert_array_equal(function(gapped, *constants), expected)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize(("function", "constants"), [*OPERATIONS, (haar_levels, (3,))], ids=[*NAMES, "haar"])
def test_short_series_have_short_answers(function: Any, constants: tuple[float, ...], n: int) -> None:
    assert all(part.shape == (n,) for part in np.atleast_2d(function(np.arange(float(n)), *constants)) if n)
    assert np.isnan(np.atleast_1d(function(np.full(n, np.nan), *constants))).all()


@pytest.mark.parametrize(
    ("function", "constants", "message"),
    [
        (exponential_trend, (1,), "window is 1; at least 2"),
        (hodrick_prescott_trend, (1e30,), "settles within 200000 rows was expected, 1e15 at most"),
        (local_level_trend, (1e-30,), "settles within 200000 rows was expected, 1e-8 at least"),
        (fractional_difference, (0.4, 0), "window 0"),
        (fractional_difference, (np.nan, 9), "order is nan"),
    ],
)
def test_parameters_that_make_no_filter_are_refused(function: Any, constants: tuple[float, ...], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        function(log_prices(30), *constants)


def test_lists_and_whole_numbers_are_series_too() -> None:
    x = [5, 3, 8, 9, 2, 4, 7]
    for function, constants in (
        (exponential_trend, (3,)),
        (hodrick_prescott_trend, (10.0,)),
        (fractional_difference, (0.5, 2)),
    ):
        np.testing.assert_array_equal(function(x, *constants), function(np.array(x, float), *constants))


# Hodrick-Prescott


@pytest.mark.parametrize("smoothing", [0.1, 1.0, 6.25, 1600.0, 129_600.0])
def test_hodrick_prescott_is_the_end_of_the_two_sided_filter_on_growing_samples(smoothing: float) -> None:
    x = log_prices(700, 1)
    ours = hodrick_prescott_trend(x, smoothing)
    for n in [*range(3, 80), 100, 150, 300, 500, 700]:
        assert ours[n - 1] == pytest.approx(hpfilter(x[:n], smoothing)[1][-1], abs=1e-8), n


@pytest.mark.parametrize("smoothing", [1600.0, 1e8, 1e11])
def test_hodrick_prescott_is_the_kalman_filter_in_sixty_digits(smoothing: float) -> None:
    """Where least squares itself has no digits left: statsmodels errs by 1e-4 at 1e12."""
    x = log_prices(1_500, 2)
    np.testing.assert_allclose(hodrick_prescott_trend(x, smoothing), _exact_filter(x, smoothing), rtol=0, atol=5e-12)


def _exact_filter(x: np.ndarray, smoothing: float) -> np.ndarray:
    with localcontext() as context:
        context.prec = 60
        step = 1 / Decimal(smoothing)
        values = [Decimal(float(v)) for v in x]
        level, slope = values[1], values[1] - values[0]
        a, b, c = Decimal(1), Decimal(1), Decimal(2)
        found = values[:2]
        for value in values[2:]:
            a, b, c = a + 2 * b + c + step, b + c + step, c + step
            spread, error = a + 1, value - level - slope
            level, slope = level + slope + a / spread * error, slope + b / spread * error
            a, b, c = a - a * a / spread, b - a * b / spread, c - b * b / spread
            found.append(level)
        return np.array([float(v) for v in found])


@pytest.mark.parametrize("smoothing", [0.1, 1.0, 1600.0, 1e9])
def test_hodrick_prescott_gain_settles_at_the_riccati_equation(smoothing: float) -> None:
    transition, seen = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    noise = np.full((2, 2), 1.0 / smoothing)
    ahead = solve_discrete_are(transition.T, seen.T, noise, np.eye(1))
    gains = hodrick_prescott_gains(smoothing)
    assert 1.0 - gains.r[-1] == pytest.approx(ahead[0, 0] / (ahead[0, 0] + 1.0), rel=1e-7)
    assert 2.0 - gains.a[-1] - (1.0 - gains.r[-1]) == pytest.approx(ahead[0, 1] / (ahead[0, 0] + 1.0), rel=1e-5)
    assert len(gains.a) < 40.0 * smoothing**0.25 + 40.0


def test_hodrick_prescott_leaves_a_straight_line_alone() -> None:
    line = 3.0 + 0.01 * np.arange(2_000.0)
    np.testing.assert_allclose(hodrick_prescott_trend(line, 1e6), line, rtol=0, atol=1e-10)


def test_smoothing_of_a_period_halves_that_period() -> None:
    """The two-sided filter's gain at frequency w is 1 / (1 + 4 lambda (1 - cos w)^2), one half at the period."""
    for period in (3, 12, 96, 2_000):
        smoothing = hodrick_prescott_smoothing(period)
        assert 1.0 / (1.0 + 4.0 * smoothing * (1.0 - np.cos(2.0 * np.pi / period)) ** 2) == pytest.approx(0.5, rel=1e-6)
    for bad in (2.0, 0.0, float("nan")):
        with pytest.raises(FeatureError, match="more than 2 bars"):
            hodrick_prescott_smoothing(bad)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(FeatureError, match="positive number"):
            hodrick_prescott_trend(np.ones(5), bad)


# Local level


@pytest.mark.parametrize("ratio", [1e-6, 1e-3, 0.1, 1.0, 300.0])
def test_local_level_is_the_kalman_filter_of_statsmodels(ratio: float) -> None:
    x = log_prices(600, 5)
    model = sm.tsa.UnobservedComponents(x, "local level", use_exact_diffuse=True)
    model.ssm.tolerance = 0.0  # or it takes the gain for settled at 1e-10
    np.testing.assert_allclose(local_level_trend(x, ratio), model.filter([1.0, ratio]).filtered_state[0], rtol=0, atol=1e-11)


@pytest.mark.parametrize("ratio", [1e-5, 0.01, 2.0])
def test_local_level_gain_settles_at_its_closed_form(ratio: float) -> None:
    """K = (sqrt(q^2 + 4 q) - q) / 2, the weight of the exponential average it becomes."""
    assert 1.0 - local_level_gains(ratio).r[-1] == pytest.approx((np.sqrt(ratio**2 + 4 * ratio) - ratio) / 2, rel=1e-9)
    with pytest.raises(FeatureError, match="positive number"):
        local_level_trend(np.ones(3), -ratio)


@pytest.mark.parametrize(("ratio", "noise"), [(0.002, 1.0), (0.05, 0.3), (1.0, 2.0), (30.0, 1.0)])
def test_fitted_ratio_is_the_maximum_likelihood_of_statsmodels(ratio: float, noise: float) -> None:
    rng = np.random.default_rng(8)
    x = noise * (np.cumsum(rng.normal(0, np.sqrt(ratio), 2_000)) + rng.normal(size=2_000))
    ours = fit_local_level(x)
    model = sm.tsa.UnobservedComponents(x, "local level", use_exact_diffuse=True)

    def likelihood(fit: tuple[float, float]) -> float:
        return float(model.loglike([fit[0], fit[1]])) + 0.5 * np.log(2 * np.pi)  # theirs counts the diffuse first value

    best = likelihood((ours.noise_variance, ours.level_variance))
    assert ours.log_likelihood == pytest.approx(best, abs=1e-6)
    fitted = model.fit(disp=False, maxiter=500).params
    assert best >= likelihood((fitted[0], fitted[1])) - 1e-6
    assert ours.signal_to_noise == pytest.approx(ours.level_variance / ours.noise_variance)
    assert 0.4 * ratio < ours.signal_to_noise < 2.5 * ratio
    assert ours.at_bound == ""
    assert ours.n == 2_000


def test_a_fit_says_when_there_is_only_noise_or_only_signal() -> None:
    noise = np.random.default_rng(1).normal(size=1_500)
    assert fit_local_level(noise).at_bound == "no signal"
    trending = np.cumsum(np.cumsum(noise))  # smoother than any random walk
    assert fit_local_level(trending).at_bound == "no noise"


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((3, 2)), DataError, r"shape \(3, 2\)"),
        (np.arange(19.0), NotEnoughData, "19 values were given; at least 20"),
        (np.r_[np.arange(30.0), np.nan], DataError, "value nan in row 30"),
        (np.full(30, 7.0), DataError, "all 30 values are 7"),
    ],
)
def test_a_fit_refuses_what_it_cannot_use(x: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fit_local_level(x)


# Exponential average, Haar, fractional difference


@pytest.mark.parametrize("window", [2, 12, 300])
def test_exponential_trend_is_talib_bit_for_bit(window: int) -> None:
    x = log_prices(800, 6)
    assert same_bits(exponential_trend(x, window), talib.EMA(x, window))


@given(hnp.arrays(np.float64, 300, elements=st.floats(1.0, 2.0)), st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_haar_adds_up_to_the_series_exactly(x: np.ndarray, levels: int) -> None:
    """Bit for bit within a factor of two, as differences of such floats are exact (Sterbenz)."""
    smooth, *details = haar_levels(x, levels)
    total = smooth.copy()
    for detail in details:
        total = total + detail
    known = slice(2**levels - 1, None)
    assert same_bits(total[known], x[known])
    assert np.isnan(total[: 2**levels - 1]).all()


def test_haar_smooth_is_the_moving_average_and_details_are_bands() -> None:
    x = log_prices(600, 7)
    smooth, *details = haar_levels(x, 5)
    means = [np.convolve(x, np.full(2**j, 2.0**-j))[: len(x)] for j in range(6)]
    np.testing.assert_allclose(smooth[31:], means[5][31:], rtol=1e-14)
    for j, detail in zip(range(5, 0, -1), details):
        np.testing.assert_allclose(detail[2**j - 1 :], (means[j - 1] - means[j])[2**j - 1 :], rtol=0, atol=1e-14)
        assert np.isnan(detail[: 2**j - 1]).all()


@pytest.mark.parametrize("order", [-0.6, 0.25, 0.4, 0.9, 1.5, 2.0])
def test_fractional_weights_are_the_binomial_series(order: float) -> None:
    """(1 - L)^d = sum over k of (-1)^k binom(d, k) L^k."""
    k = np.arange(60)
    np.testing.assert_allclose(fractional_weights(order, 60), (-1.0) ** k * binom(order, k), rtol=1e-10, atol=1e-16)


def test_order_one_is_the_first_difference_and_order_zero_the_series() -> None:
    x = log_prices(300)
    assert same_bits(fractional_difference(x, 1.0, 2), np.r_[np.nan, np.diff(x)])
    np.testing.assert_allclose(fractional_difference(x, 1.0, 50)[49:], np.diff(x)[48:], rtol=0, atol=1e-14)
    assert same_bits(fractional_difference(x, 0.0, 1), x)
    np.testing.assert_allclose(fractional_difference(x, 2.0, 3)[2:], np.diff(x, 2), rtol=0, atol=1e-14)
    assert same_bits(fractional_difference(x, 0.5, 301), np.full(300, np.nan))


def test_fractional_orders_add() -> None:
    """(1 - L)^.3 (1 - L)^.7 = 1 - L, on a series that was 0 before."""
    x = np.r_[np.zeros(400), np.random.default_rng(0).normal(size=400)]
    twice = fractional_difference(np.nan_to_num(fractional_difference(x, 0.3, 400)), 0.7, 400)
    np.testing.assert_allclose(twice[400:], np.diff(x)[399:], rtol=0, atol=1e-12)


def test_fractional_difference_is_stationary_yet_remembers_the_level() -> None:
    """Lopez de Prado's point: at d = .4 the correlation with the level stays high where that of returns is gone."""
    x = log_prices(6_000, 11)
    window = fractional_window(0.4, 1e-4)
    fractional, returns = fractional_difference(x, 0.4, window)[window:], np.diff(x)[window - 1 :]
    level = x[window:]
    assert np.corrcoef(fractional, level)[0, 1] > 0.6
    assert abs(np.corrcoef(returns, level)[0, 1]) < 0.1


def test_the_window_ends_where_weights_fall_below_the_cut_off() -> None:
    for order, cutoff in ((0.4, 1e-3), (0.8, 1e-5), (-0.3, 0.02)):
        window = fractional_window(order, cutoff)
        weights = np.abs(fractional_weights(order, window + 1))
        assert weights[window - 1] >= cutoff > weights[window]
    with pytest.raises(FeatureError, match="beyond 10000 bars"):
        fractional_window(-0.9, 1e-3)
    with pytest.raises(FeatureError, match="beyond 10000 bars"):
        fractional_window(0.0, 2.0)


# For viewing


def test_viewing_is_the_two_sided_filter_and_says_so() -> None:
    x = log_prices(500, 3)
    for n in (3, 4, 5, 500):
        view = decompose_for_viewing(x[:n], "hodrick_prescott", period=24)
        oracle = hpfilter(x[:n], hodrick_prescott_smoothing(24))[1]
        np.testing.assert_allclose(view.frame["two_sided_trend"], oracle, rtol=0, atol=1e-9)
    view = decompose_for_viewing(x, "stl", period=24, ts=np.arange(500))
    oracle = STL(x, period=24, robust=True).fit()
    np.testing.assert_array_equal(view.frame["two_sided_seasonal"], oracle.seasonal)
    parts = view.frame.select("two_sided_trend", "two_sided_seasonal", "two_sided_remainder")
    np.testing.assert_allclose(parts.sum_horizontal(), x, rtol=1e-14)
    assert view.causal is False
    assert "not for features" in str(view)
    assert view.frame.columns[:2] == ["ts", "observed"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"series": np.arange(50.0), "method": "sttl", "period": 12}, UnknownName, "did you mean 'stl'"),
        ({"series": np.ones((5, 2)), "period": 12}, DataError, "shape"),
        ({"series": np.r_[1.0, np.nan, np.ones(50)], "period": 12}, DataError, "value nan in row 1"),
        ({"series": np.arange(50.0), "period": 2}, DataError, "period is 2"),
        ({"series": np.arange(50.0), "period": 12.5}, DataError, "period is 12.5"),
        (
            {"series": np.arange(23.0), "period": 12},
            NotEnoughData,
            "23 values.* stl with period 12 needs at least 24",
        ),
        ({"series": np.arange(50.0), "period": 12, "ts": np.arange(3)}, DataError, "3 times were given for 50"),
    ],
)
def test_viewing_refuses_in_one_sentence(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        decompose_for_viewing(**given)
