"""The best attainable forecast: exact, causal, beaten by nobody who sees only candles."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest, norm, rankdata
from scipy.stats import t as student

from huracan.market.simulator import simulate_market
from huracan.market.simulator_chance import draw_open_slots, draw_shared, draw_shocks, draw_symbol
from huracan.market.simulator_filter import Bars, Forecast, _filter, forecast_segment
from huracan.market.simulator_process import MarketLaw, SymbolLaw, SymbolPath, SymbolShocks, draw_path

LAW = MarketLaw()
Draw = tuple[SymbolLaw, SymbolShocks, SymbolPath]


def _draw(seed: int, n_bars: int = 20_000, strength: float = 1.0) -> Draw:
    shared = draw_shared(np.random.default_rng([seed, 0]), LAW, n_bars)
    rng = np.random.default_rng([seed, 1])
    symbol = draw_symbol(rng, hours=1.0)
    shocks = draw_shocks(rng, LAW, symbol, draw_open_slots(rng, n_bars, n_bars), shared)
    return symbol, shocks, draw_path(LAW, symbol, shocks, strength)


def _bars(path: SymbolPath, stop: int | None = None) -> Bars:
    return Bars(path.open[:stop], path.high[:stop], path.low[:stop], path.close[:stop], path.volume[:stop])


def _rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


@pytest.fixture(scope="module")
def drawn() -> Draw:
    return _draw(0)


@pytest.fixture(scope="module")
def forecast(drawn: Draw) -> Forecast:
    return forecast_segment(LAW, drawn[0], _bars(drawn[2]), 1.0)


def test_the_score_reads_candles_only_up_to_its_bar(drawn: Draw, forecast: Forecast) -> None:
    for stop in (1, 2, 57, 400, 3_001):
        early = forecast_segment(LAW, drawn[0], _bars(drawn[2], stop), 1.0)
        np.testing.assert_allclose(early.score, forecast.score[:stop], rtol=1e-9, atol=1e-15)


def test_published_scores_follow_from_published_candles_alone() -> None:
    market = simulate_market(1_000, 2, seed=5)
    for i, name in enumerate(("SIM01-USD", "SIM02-USD")):
        symbol = draw_symbol(np.random.default_rng([5, i + 1]), hours=1.0)
        one = market.candles.filter(pl.col("symbol") == name)
        bars = Bars(*(one[c].to_numpy() for c in ("open", "high", "low", "close", "volume")))
        mine = market.best_scores.filter(pl.col("symbol") == name)["score"].to_numpy()
        np.testing.assert_allclose(forecast_segment(LAW, symbol, bars, 1.0).score, mine, rtol=1e-9)


def test_filter_knows_variance_and_edge_exactly_once_the_regime_is_known(drawn: Draw) -> None:
    """A regime that is sure to last makes the filter's mean and deviation those that made the return."""
    symbol, shocks, path = drawn
    sticky = MarketLaw(duration=(1e15,) * 4)
    shocks_in_one = SymbolShocks(
        np.full_like(shocks.regime, 2), shocks.shock, shocks.up, shocks.down, shocks.volume, shocks.restart, shocks.jump
    )
    path = draw_path(sticky, symbol, shocks_in_one, 1.0)
    known = forecast_segment(sticky, symbol, _bars(path), 1.0, known_regime=shocks_in_one.regime)
    np.testing.assert_allclose(known.mean[:-1], path.mean[1:], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(known.deviation[:-1], path.deviation[1:], rtol=1e-6)


def test_recursion_equals_the_sum_over_every_path_of_regimes() -> None:
    """Oracle: Bayes' rule by brute force over all 4^6 paths."""
    log_likelihood = np.random.default_rng(3).normal(0.0, 2.0, (6, 4))
    weight = np.zeros(4)
    for path in itertools.product(range(4), repeat=6):
        chance = np.log(LAW.stationary[path[0]]) + sum(log_likelihood[t, s] for t, s in enumerate(path))
        with np.errstate(divide="ignore"):
            chance += sum(np.log(LAW.transition[a, b]) for a, b in itertools.pairwise(path))
        weight += np.exp(chance) * LAW.transition[path[-1]]
    np.testing.assert_allclose(_filter(LAW, log_likelihood)[-1], weight / weight.sum(), rtol=1e-10)


def test_candles_have_the_densities_that_the_filter_assumes(drawn: Draw) -> None:
    """Probability integral transforms of shock, wicks and volume are uniform (Kolmogorov-Smirnov at .001)."""
    symbol, shocks, path = drawn
    move = np.log(path.close / path.open)
    above, below = np.log(path.high / path.open), np.log(path.low / path.open)
    standard = (move - path.mean) / path.deviation * np.sqrt(LAW.tail / (LAW.tail - 2.0))
    log_volume = np.log(path.volume) - symbol.log_volume
    root = path.deviation / np.asarray(LAW.scale)[shocks.regime]
    level = (1.0 - LAW.volume_memory) * np.asarray(LAW.volume_level)[shocks.regime]
    expected = LAW.volume_memory * log_volume[:-1] + (level + LAW.volume_response * (np.abs(move) / root - LAW.mean_move))[1:]
    uniform = {
        "shock": student(LAW.tail).cdf(standard),
        "upper wick": np.exp(-2.0 * above * (above - move) / path.deviation**2),
        "lower wick": np.exp(-2.0 * below * (below - move) / path.deviation**2),
        "volume": norm.cdf((log_volume[1:] - expected) / LAW.volume_noise),
    }
    for name, values in uniform.items():
        assert kstest(values, "uniform").pvalue > 0.001, name


def test_regime_probabilities_are_calibrated(drawn: Draw, forecast: Forecast) -> None:
    """Where the filter says p, the regime of the next bar comes in a share p of bars, up to four standard errors."""
    regime = drawn[1].regime[1:]
    for state in range(4):
        p = forecast.regime[:-1, state]
        for low, high in itertools.pairwise((0.0, 0.05, 0.3, 0.7, 0.95, 1.0)):
            rows = (p > low) & (p <= high)
            spread = np.sqrt(p[rows].mean() * (1 - p[rows].mean()) / rows.sum() * 20)  # neighbours are not independent
            assert abs((regime[rows] == state).mean() - p[rows].mean()) < 4 * spread


def test_forecast_is_unbiased_and_its_deviation_right(drawn: Draw, forecast: Forecast) -> None:
    """Regressing the standardised return on the standardised forecast has slope one, and residuals of variance one."""
    future = np.log(drawn[2].close / drawn[2].open)[1:]
    x, y = (forecast.mean / forecast.deviation)[:-1], future / forecast.deviation[:-1]
    slope = (x @ y) / (x @ x)
    assert slope == pytest.approx(1.0, abs=4.0 / np.sqrt(x @ x))
    assert np.var(y - x) == pytest.approx(1.0, abs=0.06)


def test_knowing_the_true_regime_does_not_hurt_and_ignoring_it_does() -> None:
    gains, losses = [], []
    for seed in range(6):
        symbol, shocks, path = _draw(seed)
        future = np.log(path.close / path.open)[1:]
        seen = forecast_segment(LAW, symbol, _bars(path), 1.0)
        told = forecast_segment(LAW, symbol, _bars(path), 1.0, known_regime=shocks.regime)
        edge = LAW.edge_unit * np.asarray(LAW.edge)
        blind = _blind_score(LAW, symbol, _bars(path), edge)
        best = _rank_correlation(seen.score[:-1], future)
        gains.append(_rank_correlation(told.score[:-1], future) - best)
        losses.append(best - _rank_correlation(blind[:-1], future))
    assert np.mean(gains) > -0.001
    assert np.mean(losses) > 0.002


def _blind_score(law: MarketLaw, symbol: SymbolLaw, bars: Bars, edge: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same drivers with one average formula for all regimes."""
    average = tuple(tuple((law.stationary @ np.asarray(law.edge)).tolist()) for _ in range(4))
    same = MarketLaw(edge=average)
    return forecast_segment(same, symbol, bars, 1.0).score


def test_what_the_law_leaves_over_is_noise() -> None:
    """After the conditional mean, nothing seen at the bar before ranks the return: no second way to predict."""
    _, _, path = _draw(4, n_bars=60_000)
    move = np.log(path.close / path.open)
    noise = ((move - path.mean) / path.deviation)[200:]
    volume = np.log(path.volume)
    known = {
        "last return": move,
        "five bars": np.convolve(move, np.ones(5))[: len(move)],
        "fifty bars": np.convolve(move, np.ones(50))[: len(move)],
        "range": np.log(path.high / path.low),
        "wicks": np.log(path.high * path.low / (path.open * path.close)),
        "volume": volume,
        "signed volume": np.sign(move) * np.diff(volume, prepend=volume[0]),
    }
    for name, feature in known.items():
        assert abs(_rank_correlation(feature[199:-1], noise)) < 4.0 / np.sqrt(len(noise)), name
