"""All pairs at once are what one pair at a time would have been; persistence is read from the same projections."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from scipy.signal import lfilter

from huracan.errors import DataError, NotEnoughData
from huracan.statistics import choose_n_cosines, ewc_t_test
from huracan.statistics.all_pairs import ewc_t_test_pairs
from huracan.statistics.persistence import cosines_for_power
from huracan.statistics.spectrum import autocovariances, band_edges, cosine_projections, gathered

FIELDS = (
    "mean",
    "standard_error",
    "t",
    "degrees_of_freedom",
    "p_value",
    "ci_low",
    "ci_high",
    "n_effective",
    "n_cosines",
    "decidable",
)


def losses(models: int, n: int, seed: int) -> np.ndarray:
    """Losses that share a market, each model with a memory of its own."""
    rng = np.random.default_rng(seed)
    own = [lfilter([1.0], [1.0, -rho], rng.standard_normal(n)) for rho in np.linspace(-0.3, 0.98, models)]
    return 10 * rng.standard_normal(n) ** 2 + np.array(own) + np.linspace(0, 0.2, models)[:, None]


@pytest.mark.parametrize("n", [20, 61, 1000, 5003])
@pytest.mark.parametrize("alternative", ["two-sided", "less"])
def test_equals_the_test_of_one_pair(n, alternative):
    table = losses(6, n, n)
    pairs, test = ewc_t_test_pairs(table, alternative=alternative, confidence=0.9)
    assert pairs.tolist() == [[i, j] for i in range(6) for j in range(i + 1, 6)]
    assert test.n == n
    for k, (i, j) in enumerate(pairs):
        single = ewc_t_test(table[i] - table[j], alternative=alternative, confidence=0.9)
        for field in FIELDS:
            assert getattr(test, field)[k] == pytest.approx(getattr(single, field), rel=1e-10, abs=1e-13), field


def test_a_market_a_million_times_as_large_costs_no_digits():
    rng = np.random.default_rng(1)
    own = rng.standard_normal((3, 400)).round(6)
    market = rng.integers(0, 2**20, 400) * 2.0**10
    exact = ewc_t_test(own[0] - own[1])
    _, test = ewc_t_test_pairs(own + market)
    # the sums themselves were rounded to 2**-23 of a unit; nothing more is lost
    assert test.p_value[0] == pytest.approx(exact.p_value, rel=1e-5)


def test_only_the_pairs_asked_for_in_their_order():
    table = losses(5, 300, 2)
    asked = [[4, 0], [1, 3], [0, 4]]
    pairs, test = ewc_t_test_pairs(table, pairs=asked)
    assert pairs.tolist() == asked
    assert test.t[0] == pytest.approx(-test.t[2], rel=1e-12)
    assert test.p_value[1] == pytest.approx(ewc_t_test(table[1] - table[3]).p_value, rel=1e-10)


def test_series_that_are_the_same_cannot_be_told_apart_and_spoil_no_other_pair():
    table = losses(3, 200, 3)
    _, test = ewc_t_test_pairs(np.vstack([table, table[0]]))
    same = 2  # (0, 3)
    assert (test.p_value[same], test.mean[same], test.ci_low[same], test.ci_high[same]) == (1.0, 0.0, 0.0, 0.0)
    assert not test.decidable[same]
    assert test.p_value[0] == pytest.approx(ewc_t_test(table[0] - table[1]).p_value, rel=1e-10)
    assert np.isfinite(test.p_value).all()


def test_fifty_models_fit_into_memory_and_a_moment():
    table = np.random.default_rng(0).standard_normal((50, 20_000))
    ewc_t_test_pairs(table[:3])
    tracemalloc.start()
    start = time.perf_counter()
    pairs, test = ewc_t_test_pairs(table)
    spent = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(pairs) == 1225
    assert np.isfinite(test.p_value).all()
    # a fifth of the promised length; the differences alone, all at once, would be 196 MB
    assert peak < 120e6
    assert spent < 5.0


@pytest.mark.slow
def test_fifty_models_with_a_hundred_thousand_losses_take_a_second_and_a_gigabyte():
    table = np.random.default_rng(0).standard_normal((50, 100_000))
    spent = []  # time of the processor, so that neighbours on the machine do not count
    for _ in range(5):
        start = time.process_time()
        ewc_t_test_pairs(table)
        spent.append(time.process_time() - start)
    assert min(spent) <= 1.0
    tracemalloc.start()
    ewc_t_test_pairs(table)
    assert tracemalloc.get_traced_memory()[1] <= 1e9
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:1], "two models at least"),
        (lambda x: x[0], "two models at least"),
        (lambda x: np.where(np.arange(x.size).reshape(x.shape) == 130, np.nan, x), r"loss of 'b' holds nan at row 30"),
        (lambda x: np.vstack([x[:2], x[0] + 0.5]), r"difference of 'a' and 'c' is -0.5 at all 100 times"),
    ],
)
def test_losses_that_cannot_be_compared_are_refused_with_the_reason(change, message):
    table = change(np.random.default_rng(0).standard_normal((3, 100)))
    with pytest.raises(DataError, match=message):
        ewc_t_test_pairs(table, names=list("abc") if len(table) == 3 else None)


def test_settings_out_of_bounds_are_refused():
    table = losses(3, 100, 4)
    with pytest.raises(NotEnoughData, match=r"19 observation.*at least 20"):
        ewc_t_test_pairs(table[:, :19])
    with pytest.raises(DataError, match="pairs name model 3 of 0 to 2"):
        ewc_t_test_pairs(table, pairs=[[0, 3]])
    with pytest.raises(DataError, match=r"pairs are .* of shape \(2,\)"):
        ewc_t_test_pairs(table, pairs=[0, 1])
    with pytest.raises(DataError, match="confidence is 95"):
        ewc_t_test_pairs(table, confidence=95)
    with pytest.raises(DataError, match=r"2 name\(s\) were given for 3 models"):
        ewc_t_test_pairs(table, names=["a", "b"])


@pytest.mark.parametrize("n", [20, 33, 1000, 1024, 2048, 5000, 100_003])
def test_bands_cover_every_frequency_once(n):
    edges = band_edges(n)
    assert edges[0] == 1
    assert edges[-1] == n
    assert (np.diff(edges) >= 1).all()


@pytest.mark.parametrize("n", [40, 1500, 6000])
def test_autocovariances_are_those_of_the_series_mirrored_at_its_ends(n):
    x = lfilter([1.0], [1.0, -0.8], np.random.default_rng(n).standard_normal(n))
    x -= x.mean()
    lags = 7
    mirrored = np.concatenate([x[:lags][::-1], x, x[-lags:][::-1]])
    expected = [
        (x @ mirrored[lags + lag : lags + lag + n] + x @ mirrored[lags - lag : lags - lag + n]) / (2 * n)
        for lag in range(lags + 1)
    ]
    found = autocovariances(gathered(cosine_projections(x[None])), n, lags)[0]
    # single frequencies are exact; bands are as narrow as a 1,024th of all frequencies
    assert found == pytest.approx(expected, rel=1e-12 if n < 2048 else 1e-3)


def test_slow_movement_under_noise_is_seen_and_white_noise_is_left_alone():
    rng = np.random.default_rng(5)
    slow = lfilter([1.0], [1.0, -0.97], rng.standard_normal((400, 1500)), axis=1)[:, 500:] * np.sqrt(1 - 0.97**2)
    hidden = choose_n_cosines(slow + np.sqrt(11) * rng.standard_normal(slow.shape))[0]
    white = choose_n_cosines(rng.standard_normal((400, 1000)))[0]
    # an autoregression chosen by AIC alone leaves all 40 cosines on average 25
    assert hidden.mean() < 20
    assert np.mean(white < 40) < 0.06


def test_the_day_of_hourly_bars_is_seen_even_in_ten_days():
    rng = np.random.default_rng(6)
    daily = lfilter([1.0], [1.0] + [0.0] * 23 + [-0.5], rng.standard_normal((200, 1250)), axis=1)[:, 1000:]
    power = gathered(cosine_projections(daily))
    # f(0) is four times what lies between the day's harmonics; only few cosines stay near it
    assert cosines_for_power(power, 250)[0].mean() < 7
