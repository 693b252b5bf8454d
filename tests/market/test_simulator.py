"""The simulated market: candles that pass for candles, and a truth that holds what it says."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import kurtosis, spearmanr

from huracan.errors import DataError, NotEnoughData, UnknownName
from huracan.market import bar_length, validate_candles, with_segments
from huracan.market.simulator import SimulatedMarket, _attained, simulate_market
from huracan.market.simulator_process import SymbolPath


def _future(market: SimulatedMarket) -> pl.DataFrame:
    """Score, regime and log return open[t+1] -> open[t+2] of every bar that has one inside its segment."""
    opens = pl.col("open").log()
    forward = (opens.shift(-2) - opens.shift(-1)).over("symbol", "segment")
    rows = with_segments(market.candles).with_columns(future=forward, past=(pl.col("close") / pl.col("open")).log())
    return rows.join(market.best_scores, on=["symbol", "ts"]).join(market.regimes, on=["symbol", "ts"]).drop_nulls("future")


@pytest.fixture(scope="module")
def market() -> SimulatedMarket:
    return simulate_market(n_bars=4_000, n_symbols=4, seed=11)


@pytest.mark.parametrize("gap_share", [0.0, 0.2])
@pytest.mark.parametrize("bar", ["1m", "1d"])
def test_every_candle_obeys_every_rule(bar: str, gap_share: float) -> None:
    candles = simulate_market(n_bars=1_500, n_symbols=3, seed=2, bar=bar, gap_share=gap_share, signal_strength=3).candles
    assert_frame_equal(validate_candles(candles), candles)
    prices = candles.select("open", "high", "low", "close", "volume").to_numpy()
    assert np.isfinite(prices).all()
    assert (prices > 0).all()
    assert (candles["high"] >= candles.select(pl.max_horizontal("open", "close")).to_series()).all()
    assert (candles["low"] <= candles.select(pl.min_horizontal("open", "close")).to_series()).all()
    assert candles.height == 3 * round(1_500 * (1 - gap_share))


def test_next_bar_opens_at_the_close_within_a_segment() -> None:
    rows = with_segments(simulate_market(n_bars=1_000, n_symbols=2, seed=3, gap_share=0.1).candles)
    jump = rows.select(pl.col("open") - pl.col("close").shift(1).over("symbol", "segment")).to_series().drop_nulls()
    assert (jump == 0.0).all()


def test_outages_leave_the_share_asked_for_and_stay_on_the_grid() -> None:
    candles = simulate_market(n_bars=2_000, n_symbols=2, seed=4, gap_share=0.05, bar="5m").candles
    for _, one in candles.group_by("symbol"):
        steps = one["ts"].diff().drop_nulls().dt.total_minutes()
        assert (steps % 5 == 0).all()
        assert one.height == 1_900
        assert int((steps // 5 - 1).sum()) <= 100  # the rest of the missing bars, if any, would lie outside the span
        assert (steps > 5).sum() >= 2


def test_same_seed_is_the_same_market_bit_for_bit_and_another_seed_is_not() -> None:
    one, two, other = (simulate_market(400, 3, seed=s, gap_share=0.1) for s in (5, 5, 6))
    for name in ("candles", "regimes", "best_scores"):
        assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=True)
    assert one.best_information_coefficient == two.best_information_coefficient
    assert not one.candles["close"].equals(other.candles["close"])


def test_a_symbol_does_not_change_when_more_are_asked_for() -> None:
    few, many = (simulate_market(300, n, seed=8).candles.filter(pl.col("symbol") == "SIM02-USD") for n in (2, 5))
    assert_frame_equal(few, many, check_exact=True)


def test_strength_changes_the_edge_and_not_the_regimes() -> None:
    none, strong = (simulate_market(300, 2, seed=8, signal_strength=s) for s in (0, 2))
    assert_frame_equal(none.regimes, strong.regimes)
    assert not none.candles["close"].equals(strong.candles["close"])


def test_best_attainable_is_what_the_scores_attain(market: SimulatedMarket) -> None:
    rows = _future(market)
    accuracy, coefficient = [], []
    for _, one in rows.group_by("symbol"):
        accuracy.append(((one["score"] > 0) == (one["future"] > 0)).mean())
        coefficient.append(spearmanr(one["score"], one["future"]).statistic)
    assert market.best_accuracy == pytest.approx(np.mean(accuracy))
    assert market.best_information_coefficient == pytest.approx(np.mean(coefficient))


def test_strength_one_attains_a_rank_correlation_of_a_tenth() -> None:
    """Six seeds of 16,000 rows have a standard error of about .004."""
    attained = [simulate_market(4_000, 4, seed=s).best_information_coefficient for s in range(6)]
    assert np.mean(attained) == pytest.approx(0.10, abs=0.012)


def test_attainable_skill_grows_with_strength() -> None:
    markets = [simulate_market(4_000, 3, seed=1, signal_strength=s) for s in (0, 0.5, 1, 2, 3)]
    assert np.all(np.diff([m.best_information_coefficient for m in markets]) > 0)
    assert np.all(np.diff([m.best_accuracy for m in markets]) > 0)


def test_strength_zero_says_exactly_that_nothing_predicts() -> None:
    nothing = simulate_market(2_000, 3, seed=9, signal_strength=0)
    assert (nothing.best_accuracy, nothing.best_information_coefficient) == (0.5, 0.0)
    assert (nothing.best_scores["score"] == 0.0).all()


def test_strength_zero_has_no_drift_in_any_regime_and_no_memory_of_direction() -> None:
    rows = _future(simulate_market(20_000, 4, seed=10, signal_strength=0))
    for _, one in rows.group_by("regime"):
        z = one["past"].mean() / (one["past"].std() / np.sqrt(one.height / 1.9))  # the common factor: 1 + 3 * .3
        assert abs(z) < 3.5
    for lag in (1, 2, 5, 20):
        known = rows.select(past=pl.col("past").rolling_sum(lag).over("symbol"), future="future").drop_nulls()
        coefficient = spearmanr(known["past"], known["future"]).statistic
        assert abs(coefficient) < 4.0 * np.sqrt(1.9 / known.height)


def test_returns_are_fat_tailed_clustered_and_correlated_as_markets_are(market: SimulatedMarket) -> None:
    wide = market.candles.with_columns(r=(pl.col("close") / pl.col("open")).log()).pivot(on="symbol", index="ts", values="r")
    returns = wide.drop("ts").to_numpy()
    assert 0.005 < returns.std(axis=0).mean() < 0.009  # 0.7 % an hour
    assert (kurtosis(returns, axis=0) > 1.0).all()
    absolute = np.abs(returns)
    assert all(np.corrcoef(a[:-1], a[1:])[0, 1] > 0.05 for a in absolute.T)
    assert np.corrcoef(returns.T)[np.triu_indices(4, 1)].mean() == pytest.approx(0.28, abs=0.1)


def test_volume_remembers_and_goes_with_the_size_of_moves_and_the_regime(market: SimulatedMarket) -> None:
    rows = _future(market).with_columns(log_volume=pl.col("volume").log(), size=pl.col("past").abs())
    for _, one in rows.group_by("symbol"):
        volume = one["log_volume"].to_numpy()
        assert np.corrcoef(volume[:-1], volume[1:])[0, 1] > 0.5
        assert spearmanr(one["size"], one["volume"]).statistic > 0.1
        by_regime = dict(one.group_by("regime").agg(pl.col("log_volume").mean()).iter_rows())
        assert by_regime["illiquid"] < by_regime["ranging"] < by_regime["trending"] < by_regime["volatile"]


def test_every_regime_occurs_and_lasts(market: SimulatedMarket) -> None:
    changed = market.regimes.select((pl.col("regime") != pl.col("regime").shift(1)).over("symbol")).to_series().sum()
    mean_spell = market.regimes.height / (changed + 4)
    assert 50 < mean_spell < 100
    assert market.regimes["regime"].value_counts(normalize=True)["proportion"].min() > 0.03


@pytest.mark.parametrize(("bar", "minutes"), [("1m", 1), ("5m", 5), ("1h", 60), ("4h", 240), ("1d", 1440)])
def test_volatility_grows_with_the_root_of_the_bar(bar: str, minutes: int) -> None:
    candles = simulate_market(3_000, 2, seed=12, bar=bar, start="2025-03-01T00:00:00+00:00").candles
    spread = candles.select((pl.col("close") / pl.col("open")).log().std()).item()
    assert spread / np.sqrt(minutes / 60) == pytest.approx(0.007, rel=0.3)
    assert bar_length(candles).total_seconds() == minutes * 60
    assert str(candles["ts"].min()) == "2025-03-01 00:00:00+00:00"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"n_bars": 5}, "n_bars is 5; a whole number from 30"),
        ({"n_bars": 100.5}, "n_bars is 100.5; a whole number"),
        ({"n_symbols": 0}, "n_symbols is 0; a whole number from 1"),
        ({"seed": -1}, "seed is -1; a whole number from 0"),
        ({"signal_strength": -1.0}, "signal_strength is -1.0; a number from 0 to 3"),
        ({"signal_strength": float("nan")}, "signal_strength is nan"),
        ({"gap_share": 0.9}, "gap_share is 0.9; a number from 0 to 0.5"),
        ({"start": "soon"}, "start is 'soon'; an ISO date"),
    ],
)
def test_an_argument_out_of_bounds_is_named_with_its_value(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says.replace("(", r"\(")):
        simulate_market(**arguments)  # type: ignore[arg-type]


def test_an_unknown_bar_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"unknown bar '2h'.*1h"):
        simulate_market(bar="2h")


def test_a_symbol_without_futures_is_refused() -> None:
    every_other = np.array([True, False] * 5)
    ones = np.ones(10)
    with pytest.raises(NotEnoughData, match="SIM01-USD has 0 bars with two more behind them; at least 3 are needed"):
        _attained("SIM01-USD", SymbolPath(*[ones] * 7), every_other, ones)


def test_eight_symbols_of_five_thousand_bars_take_less_than_a_second() -> None:
    simulate_market(100, 1)
    begin = time.process_time()
    simulate_market(5_000, 8)
    assert time.process_time() - begin < 1.0
