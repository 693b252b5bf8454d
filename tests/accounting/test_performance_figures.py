"""Figures against their definitions, and the Sharpe ratio's interval against its promised coverage."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from scipy.signal import lfilter

from huracan.accounting import CostModel, backtest, drawdown, performance_metrics, sharpe_interval
from huracan.accounting.round_trips import find_round_trips
from huracan.errors import AccountingError


def test_figures_are_what_textbooks_define() -> None:
    r = np.random.default_rng(0).normal(0.001, 0.02, 500)
    found = performance_metrics(r, bars_per_year=365)
    equity = np.concatenate(([1.0], np.cumprod(1 + r)))
    deepest = min(equity[t] / equity[: t + 1].max() - 1 for t in range(len(equity)))
    assert found["total_return"] == pytest.approx(equity[-1] - 1)
    assert found["annualised_return"] == pytest.approx(equity[-1] ** (365 / 500) - 1)
    assert found["annualised_volatility"] == pytest.approx(r.std(ddof=1) * 365**0.5)
    assert found["sharpe"] == pytest.approx(r.mean() / r.std(ddof=1) * 365**0.5)
    assert found["sortino"] == pytest.approx(r.mean() / np.sqrt(np.mean(np.minimum(r, 0) ** 2)) * 365**0.5)
    assert found["max_drawdown"] == pytest.approx(deepest)
    assert found["calmar"] == pytest.approx(found["annualised_return"] / -deepest)
    assert drawdown(r).min() == pytest.approx(deepest)


def test_a_first_loss_is_a_drawdown_from_the_start() -> None:
    assert performance_metrics([-0.2, 0.1], bars_per_year=1)["max_drawdown"] == pytest.approx(-0.2)


def test_an_account_that_never_moved_has_ratios_of_zero() -> None:
    found = performance_metrics(np.zeros(100), bars_per_year=365)
    assert all(found[key] == 0 for key in ("sharpe", "sortino", "calmar", "sharpe_ci_low", "sharpe_ci_high", "max_drawdown"))


def test_too_short_a_span_is_not_compounded_to_a_year() -> None:
    found = performance_metrics([0.01] * 30, bars_per_year=525_600)
    assert math.isnan(found["annualised_return"])
    assert math.isnan(found["sharpe_ci_low"])  # no variation, no interval


def test_returns_that_are_not_numbers_are_refused_with_their_row() -> None:
    with pytest.raises(AccountingError, match="return of bar 1 is nan"):
        performance_metrics([0.1, np.nan], bars_per_year=1)


@pytest.mark.parametrize("memory", [0.0, 0.4])
def test_sharpe_interval_covers_the_truth_under_autocorrelation_and_fat_tails(memory: float) -> None:
    """Nominal 95 %; 400 draws have a standard error of 1.1 points. The textbook iid interval falls to about 80 %."""
    rng = np.random.default_rng(1)
    true, inside, naive, repetitions = 0.05, 0, 0, 400
    spread = 1 / math.sqrt(1 - memory**2)
    for _ in range(repetitions):
        noise = lfilter([1.0], [1.0, -memory], rng.standard_t(6, 1_200) / math.sqrt(1.5))[200:] / spread
        r = true + noise
        low, high = sharpe_interval(r, bars_per_year=1)
        inside += low < true < high
        estimate = r.mean() / r.std()
        naive += abs(estimate - true) < 1.96 * math.sqrt((1 + estimate**2 / 2) / len(r))
    assert 0.92 <= inside / repetitions <= 0.985
    if memory:
        assert naive / repetitions < 0.88


def test_round_trips_share_a_reversals_cost_between_both_trades() -> None:
    units = np.array([0.0, 10, 10, -5, -5, 0, 3, 3])
    price = np.array([9.0, 10, 12, 13, 11, 10, 8, 9])
    trips = find_round_trips(units, price, np.zeros(8), 0.01, 0.01)
    assert trips.entry.tolist() == [1, 3]  # the last one is still open
    assert trips.exit.tolist() == [3, 5]
    assert trips.side.tolist() == [1, -1]
    np.testing.assert_allclose(trips.pnl, [10 * 3 - 0.01 * (100 + 130), 5 * 3 - 0.01 * (65 + 50)])
    np.testing.assert_allclose(trips.gross_return, [0.3, 15 / 65])


def test_round_trips_add_up_to_what_the_account_earned() -> None:
    rng = np.random.default_rng(2)
    price = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 300)))
    ts = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2025, 1, 1), "1d", eager=True, time_zone="UTC")[:300]
    candles = pl.DataFrame({"symbol": "X", "ts": ts, "open": price, "close": price * 1.001})
    costs = CostModel(borrow_bps_per_bar=2, initial_equity=1_000)
    result = backtest(candles, rng.choice([-1.0, -0.4, 0.0, 0.6, 1.0], 300), costs)
    assert result.round_trips.pnl.sum() == pytest.approx(1_000 * result.metrics["total_return"], rel=1e-9)
    assert result.trades == result.metrics["n_trades"]
    won = result.round_trips.pnl > 0
    assert result.metrics["win_rate"] == pytest.approx(won.mean())
    lost = -result.round_trips.pnl[~won].sum()
    assert result.metrics["profit_factor"] == pytest.approx(result.round_trips.pnl[won].sum() / lost)


def test_at_the_break_even_cost_the_mean_return_is_zero() -> None:
    rng = np.random.default_rng(5)
    price = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 2_000)))
    ts = pl.datetime_range(pl.datetime(2020, 1, 1), pl.datetime(2026, 1, 1), "1d", eager=True, time_zone="UTC")[:2_000]
    candles = pl.DataFrame({"symbol": "X", "ts": ts, "open": price, "close": price})
    ahead = np.append(price[2:] / price[1:-1] - 1, [0.0, 0.0])
    target = np.sign(ahead + rng.normal(0, 0.03, 2_000))  # a noisy look at the future
    first = backtest(candles, target, CostModel.free())
    per_side = first.metrics["break_even_cost_bps"]
    assert per_side > 1
    again = backtest(candles, target, CostModel.free(fee_bps=per_side))
    assert abs(again.returns.mean()) < 0.01 * first.returns.mean()
    assert again.metrics["cost_fraction_of_gross"] == pytest.approx(1, abs=0.01)
