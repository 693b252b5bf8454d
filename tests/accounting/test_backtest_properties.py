"""What must hold of any account: causality, invariance, order in costs, and what the venue's rules promise."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.accounting import AccountState, CostModel, backtest, backtest_many, buy_and_hold, step
from huracan.errors import AccountingError, NotEnoughData

FREE = CostModel.free()


def candles_of(
    opens: list[float], closes: list[float] | None = None, symbol: str = "X", **columns: list[float]
) -> pl.DataFrame:
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    ts = [start + dt.timedelta(days=i) for i in range(len(opens))]
    frame = pl.DataFrame({"symbol": symbol, "ts": ts, "open": opens, "close": closes or opens, **columns})
    return frame.with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))


def walk(seed: int, n: int, symbol: str = "X") -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    price = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, n)))
    return candles_of(price.tolist(), (price * np.exp(rng.normal(0, 0.01, n))).tolist(), symbol)


@given(seed=st.integers(0, 10**6), n=st.integers(3, 80))
@settings(max_examples=30, deadline=None)
def test_a_full_position_without_costs_is_the_price_relative(seed: int, n: int) -> None:
    candles = walk(seed, n)
    result = backtest(candles, np.ones(n), FREE)
    relative = candles["close"][-1] / candles["open"][1]
    assert result.equity["equity_net"][-1] == pytest.approx(relative, rel=1e-12)
    assert result.equity["equity_gross"][-1] == pytest.approx(relative, rel=1e-12)
    assert result.trades == 1
    assert buy_and_hold(candles, FREE).metrics["total_return"] == pytest.approx(relative - 1, rel=1e-11, abs=1e-13)


@given(seed=st.integers(0, 10**6), low=st.floats(0, 50), more=st.floats(0.1, 50), borrow=st.floats(0, 5))
@settings(max_examples=30, deadline=None)
def test_higher_costs_never_leave_more_at_any_time(seed: int, low: float, more: float, borrow: float) -> None:
    candles = walk(seed, 60)
    target = np.random.default_rng(seed).uniform(-1, 1, 60).repeat(2)[:60]
    cheap = backtest(candles, target, CostModel(fee_bps=low, borrow_bps_per_bar=borrow))
    dear = backtest(candles, target, CostModel(fee_bps=low + more, borrow_bps_per_bar=borrow))
    borrowed = backtest(candles, target, CostModel(fee_bps=low, borrow_bps_per_bar=borrow + 1))
    equity = cheap.equity["equity_net"].to_numpy()
    assert np.all(dear.equity["equity_net"].to_numpy() < equity)
    assert np.all(borrowed.equity["equity_net"].to_numpy() <= equity + 1e-15)


@given(seed=st.integers(0, 10**6), at=st.integers(0, 37))
@settings(max_examples=30, deadline=None)
def test_a_decision_earns_from_the_next_open_to_the_one_after_and_nothing_else(seed: int, at: int) -> None:
    candles = walk(seed, 40)
    target = np.zeros(40)
    target[at] = 1.0
    result = backtest(candles, target, FREE)
    opens = candles["open"].to_numpy()
    expected = np.zeros(39)
    expected[at] = opens[at + 2] / opens[at + 1] - 1
    np.testing.assert_allclose(result.returns, expected, atol=1e-15)
    assert result.equity["ts"][at] == candles["ts"][at + 2]


@given(seed=st.integers(0, 10**6), at=st.integers(1, 37))
@settings(max_examples=20, deadline=None)
def test_later_prices_and_decisions_change_nothing_before_them(seed: int, at: int) -> None:
    candles, rng = walk(seed, 40), np.random.default_rng(seed)
    target = rng.uniform(-1, 1, 40)
    costs = CostModel(lot_size=0.01, minimum_notional=5, borrow_bps_per_bar=1)
    other_target = np.where(np.arange(40) >= at, rng.uniform(-1, 1, 40), target)
    later = pl.int_range(pl.len()) > at + 1
    other_candles = candles.with_columns(pl.when(later).then(pl.col("open") * 1.3).otherwise(pl.col("open")))
    before = backtest(candles, target, costs).equity.head(at)
    assert backtest(candles, other_target, costs).equity.head(at).equals(before)
    assert backtest(other_candles, target, costs).equity.head(at).equals(before)


@pytest.mark.parametrize("stepwise", [False, True])
def test_more_lanes_change_nothing(stepwise: bool) -> None:
    first, second = walk(1, 80, "A"), walk(2, 50, "B")
    both = pl.concat([first, second])
    rng = np.random.default_rng(0)
    target = rng.uniform(-1, 1, 130)
    costs = CostModel(borrow_bps_per_bar=1)
    many = backtest_many(both, {"a": target, "again": target, "b": rng.uniform(-1, 1, 130)}, costs, stepwise=stepwise)
    assert many["a"].equity.equals(many["again"].equity)
    assert many["a"].equity.equals(backtest(both, target, costs, stepwise=stepwise).equity)
    alone = backtest(first, target[:80], costs, stepwise=stepwise)
    assert many["a"].per_symbol["total_return"][0] == pytest.approx(alone.metrics["total_return"], rel=1e-12)


@given(seed=st.integers(0, 10**6), factor=st.sampled_from([0.25, 8.0, 1024.0]))
@settings(max_examples=15, deadline=None)
def test_without_rules_on_size_returns_do_not_depend_on_capital(seed: int, factor: float) -> None:
    candles = walk(seed, 50)
    target = np.random.default_rng(seed).uniform(-1, 1, 50)
    small, large = (backtest(candles, target, CostModel(initial_equity=100 * f)) for f in (1.0, factor))
    np.testing.assert_allclose(small.returns, large.returns, rtol=1e-12, atol=1e-15)


def test_net_is_gross_less_every_cost() -> None:
    candles = walk(3, 60).with_columns(pl.lit(0.0005).alias("funding_rate"))
    target = np.random.default_rng(3).uniform(-1, 1, 60)
    equity = backtest(candles, target, CostModel(borrow_bps_per_bar=2)).equity
    rest = equity["return_gross"] - equity["cost"] - equity["holding_cost"]
    np.testing.assert_allclose(equity["return_net"].to_numpy(), rest.to_numpy(), atol=1e-15)


def test_symbols_share_capital_equally_and_idle_ones_keep_theirs() -> None:
    rising, late = candles_of([10.0, 10, 20, 20], symbol="A"), candles_of([10.0, 10, 10, 10], symbol="B")
    result = backtest(pl.concat([rising, late]), np.array([1.0] * 4 + [np.nan] * 4), FREE)
    assert result.metrics["total_return"] == pytest.approx(0.5)  # one half doubles, the other half waits
    assert result.per_symbol["symbol"].to_list() == ["A", "B"]
    only = backtest(pl.concat([rising, late]), rising.select("symbol", "ts", pl.lit(1.0).alias("target")), FREE)
    assert only.metrics["total_return"] == pytest.approx(1.0)  # symbols without targets take no capital


def test_a_standing_target_holds_units_and_a_null_leaves_the_market() -> None:
    candles = candles_of([10.0, 10, 20, 40, 40])
    held = backtest(candles, np.array([0.5, 0.5, 0.5, 0.5, 0.5]), FREE, keep_bars=True)
    assert held.bars is not None
    assert held.bars["units"].n_unique() == 1
    assert held.metrics["total_return"] == pytest.approx(1.5)  # half of the capital quadrupled
    left = backtest(candles, np.array([0.5, 0.5, np.nan, np.nan, np.nan]), FREE, keep_bars=True)
    assert left.bars is not None
    assert left.bars["units"].to_list()[2:] == [0.0, 0.0]


def test_a_reversal_with_costs_reaches_its_weight_after_costs() -> None:
    state = AccountState.open(1_000.0)
    costs = CostModel(fee_bps=100, half_spread_bps=0, slippage_bps=0)
    for target in (1.0, -1.0, 0.3, 1.5, 0.0):
        state = step(state, target, 10.0, 10.0, costs).state
        assert float(state.weight(10.0)) == pytest.approx(target, abs=1e-14)


def test_funding_is_paid_by_the_long_and_received_by_the_short() -> None:
    candles = candles_of([10.0] * 4, funding_rate=[0.0, 0.01, 0.0, 0.0])
    long, short = (backtest(candles, np.full(4, side), FREE).metrics["total_return"] for side in (1.0, -1.0))
    assert long == pytest.approx(-0.01)
    assert short == pytest.approx(0.01)


def test_over_a_gap_the_position_is_valued_at_the_next_open_and_borrow_runs_on() -> None:
    candles = candles_of([10.0, 10, 10, 10, 10, 12]).filter(~pl.int_range(pl.len()).is_in([3, 4]))  # opens on days 0, 1, 2, 5
    target = np.array([0.0, -1.0, -1.0, -1.0])  # short from day 2, three days until the next open
    result = backtest(candles, target, CostModel.free(borrow_bps_per_bar=100))
    assert result.equity["ts"].to_list()[1] == candles["ts"][3]
    assert result.returns[1] == pytest.approx(-0.2 - 0.03)


def test_a_ruined_account_stays_at_zero() -> None:
    candles = candles_of([10.0, 10, 25, 5, 5, 5])
    result = backtest(candles, np.array([-1.0, -1, 1, 1, 1, 1]), CostModel())
    assert result.equity["equity_net"].to_list() == [0.0] * 5
    assert result.returns.tolist() == [-1.0, 0.0, 0.0, 0.0, 0.0]
    assert result.metrics["total_return"] == -1.0
    assert result.metrics["max_drawdown"] == -1.0
    two = pl.concat([candles_of([10.0, 10, 25, 5, 5, 5], symbol="A"), candles_of([10.0] * 6, symbol="B")])
    survivor = backtest(two, np.array([-1.0] * 6 + [0.0] * 6), FREE)
    assert survivor.metrics["total_return"] == pytest.approx(-0.5)  # the other sub-account is not touched


@given(seed=st.integers(0, 10**6), lot=st.sampled_from([0.1, 1.0, 7.0]))
@settings(max_examples=20, deadline=None)
def test_lots_are_whole_and_never_more_than_the_target(seed: int, lot: float) -> None:
    candles, target = walk(seed, 40), np.random.default_rng(seed).uniform(-1, 1, 40)
    result = backtest(candles, target, CostModel(lot_size=lot, initial_equity=5_000), keep_bars=True)
    exact = backtest(candles, target[:1].repeat(40), CostModel(initial_equity=5_000), keep_bars=True)
    assert result.bars is not None
    assert exact.bars is not None
    units = result.bars["units"].to_numpy()
    np.testing.assert_allclose(units / lot, np.round(units / lot), atol=1e-9)
    assert abs(units[0]) <= abs(exact.bars["units"][0]) < abs(units[0]) + lot * (1 + 1e-9)


def test_three_tenths_are_three_lots() -> None:
    out = step(AccountState.open(3.0), 1.0, 10.0, 10.0, CostModel.free(lot_size=0.1))
    assert float(out.state.units) == pytest.approx(0.3)


def test_a_small_trade_is_skipped_until_it_is_worth_it() -> None:
    costs = CostModel.free(minimum_notional=100, initial_equity=1_000)
    candles = candles_of([10.0] * 6)
    result = backtest(candles, np.array([0.05, 0.09, 0.5, 0.55, 0.65, 0.65]), costs, keep_bars=True, close_at_end=False)
    assert result.bars is not None
    assert result.bars["units"].to_list() == [0.0, 0.0, 50.0, 50.0, 65.0]


def test_a_large_order_is_filled_bar_by_bar_within_the_volume() -> None:
    costs = CostModel.free(max_volume_share=0.1, initial_equity=1_000)
    candles = candles_of([10.0] * 7, volume=[500.0, 400, 300, 0, 200, 9_000, 9_000])
    result = backtest(candles, np.array([1.0, 1, 1, 1, 1, 0, 0]), costs, keep_bars=True, close_at_end=False)
    assert result.bars is not None
    assert result.bars["units"].to_list() == [40.0, 70.0, 70.0, 90.0, 100.0, 0.0]


def test_a_new_target_replaces_the_unfilled_rest() -> None:
    costs = CostModel.free(max_volume_share=0.1, initial_equity=1_000)
    candles = candles_of([10.0] * 5, volume=[100.0, 400, 400, 400, 400])
    result = backtest(candles, np.array([1.0, 0.5, 0.5, 0.5, 0.5]), costs, keep_bars=True, close_at_end=False)
    assert result.bars is not None
    assert result.bars["units"].to_list() == [40.0, 50.0, 50.0, 50.0]


def test_the_run_spans_the_targets_and_all_strategies_share_it() -> None:
    candles = walk(5, 100)
    keys = candles.select("symbol", "ts", pl.lit(1.0).alias("target"))
    many = backtest_many(candles, {"early": keys[20:40], "late": keys[50:60]}, FREE)
    assert many["early"].equity["ts"].equals(many["late"].equity["ts"])
    assert many["early"].equity["ts"][0] == candles["ts"][22]
    assert many["late"].equity.height == 40
    assert many["late"].returns[:30].tolist() == [0.0] * 30
    shuffled = keys[20:40].sample(fraction=1.0, shuffle=True, seed=1)
    assert backtest(candles, shuffled, FREE).equity.equals(backtest(candles, keys[20:40], FREE).equity)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c, t: (c.drop("open"), t), "lack column 'open'"),
        (lambda c, t: (c.reverse(), t), "not sorted"),
        (lambda c, t: (pl.concat([c, c.tail(1)]), t), "not sorted by"),
        (lambda c, t: (c.with_columns(pl.lit(0.0).alias("open")), t), "open of X at 2024-01-01 00:00:00 .row 0. is 0.0"),
        (lambda c, t: (c.with_columns(pl.lit(None, pl.Float64).alias("close")), t), "close of X .* is None"),
        (lambda c, t: (c.with_columns(pl.lit(1).alias("ts")), t), "column 'ts' of candles is Int32"),
        (lambda c, t: (c, pl.concat([t, t.tail(1)])), "X at 2024-01-10 00:00:00 more than once"),
        (lambda c, t: (c, t.with_columns(pl.lit("Y").alias("symbol"))), "10 target.* no candle, the first Y at 2024-01-01"),
        (lambda c, t: (c, t.with_columns(pl.col("ts") + pl.duration(hours=1))), "no candle"),
        (lambda c, t: (c, t.with_columns(pl.lit(np.inf).alias("target"))), "X at 2024-01-01 00:00:00 is inf"),
        (lambda c, t: (c, t.with_columns(pl.lit(5_000.0).alias("target"))), "a target of 5000 at 7 basis points"),
        (lambda c, t: (c, t.drop("target")), "lack column 'target'"),
        (lambda c, t: (c, np.ones(3)), r"shape \(3,\)"),
        (lambda c, t: (c.head(1), t.head(1)), "no symbol has 2 bars"),
        (lambda c, t: (c, t.head(0)), "hold no rows"),
        (lambda c, t: (c.head(0), t.head(0)), "no candles"),
    ],
)
def test_what_no_account_can_be_run_on_is_said_in_one_sentence(change, sentence: str) -> None:  # type: ignore[no-untyped-def]
    candles = walk(0, 10)
    targets = candles.select("symbol", "ts", pl.lit(1.0).alias("target"))
    with pytest.raises((AccountingError, NotEnoughData), match=sentence) as caught:
        backtest(*change(candles, targets), CostModel())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"fee_bps": -1}, "fee_bps is -1"),
        ({"fee_bps": 20_000}, "fee_bps is 20000"),
        ({"fee_bps": 6_000, "slippage_bps": 6_000}, "add to 12001"),
        ({"slippage_bps": float("nan")}, "slippage_bps is nan"),
        ({"fee_bps": "five"}, "fee_bps is 'five'"),
        ({"max_volume_share": 0.0}, "max_volume_share is 0"),
        ({"initial_equity": 0.0}, "initial_equity is 0"),
        ({"lot_size": -0.1}, "lot_size is -0.1"),
    ],
)
def test_impossible_costs_are_refused_with_their_value(values: dict[str, float], sentence: str) -> None:
    with pytest.raises(AccountingError, match=sentence):
        CostModel(**values)  # type: ignore[arg-type]


def test_cost_model_names_the_nearest_key() -> None:
    with pytest.raises(KeyError, match="did you mean 'fee_bps'"):
        CostModel.from_dict({"fees_bps": 5})


def test_fill_at_close_needs_mark_at_close() -> None:
    with pytest.raises(AccountingError, match="mark='close'"):
        backtest(walk(0, 10), np.ones(10), FREE, fill="close")
