"""The rules of the game: limits that end it, rewards that pay it, and what is refused."""

import numpy as np
import polars as pl
import pytest
import torch

from huracan.accounting import CostModel, backtest
from huracan.errors import AccountingError, DataError, ModelError, NotEnoughData, UnknownName
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe
from huracan.reinforcement import (
    ActionLadder,
    BatchTradingEnv,
    DifferentialSharpe,
    MarketTable,
    NetLogReturn,
    TensorTradingEnv,
    TradingEnv,
    TradingRules,
)

FREE = CostModel.free(initial_equity=1_000.0)


def on(prices, **rules):
    """One account on these prices, at the first of them."""
    market = MarketTable.from_prices(np.zeros((len(prices), 1)), prices)
    env = TradingEnv(market, **{"costs": FREE, "episode_length": None, **rules})
    env.reset(seed=0, options={"row": 0})
    return env


def test_a_loss_beyond_the_drawdown_limit_closes_the_position_and_ends_the_episode():
    env = on([100.0, 120.0, 95.0, 90.0, 50.0], actions=ActionLadder.positions(0, 1), max_drawdown=0.2, costs=FREE)
    assert env.step(1)[2] is False
    *_, terminated, truncated, info = env.step(1)
    assert terminated and not truncated
    assert info["equity"] == pytest.approx(950.0)
    assert env.core.level[0] == 0  # flat again
    with pytest.raises(ModelError, match="over"):
        env.step(1)


def test_liquidation_costs_a_trade_and_ends_the_episode():
    costs = CostModel(fee_bps=100, half_spread_bps=0, slippage_bps=0, initial_equity=1_000.0)
    env = on([100.0, 60.0, 60.0], actions=ActionLadder.positions(0, 2), maintenance_margin=0.25, costs=costs)
    _, reward, terminated, _, info = env.step(1)
    bought = 2 * 1_000.0 / (1 + 2 * 0.01)  # the weight after its own cost is 2
    equity = 1_000.0 - 0.01 * bought - 0.4 * bought
    assert terminated
    assert equity < 0.25 * 0.6 * bought
    assert info["equity"] == pytest.approx(equity - 0.01 * 0.6 * bought)
    assert reward == pytest.approx(np.log(info["equity"] / 1_000.0))


def test_ruin_terminates_and_pays_the_log_of_a_millionth():
    env = on([100.0, 40.0, 40.0], actions=ActionLadder.positions(0, 2))
    _, reward, terminated, _, info = env.step(1)
    assert terminated and info["equity"] == 0.0
    assert reward == pytest.approx(np.log(1e-6))


def test_a_weight_that_drifts_beyond_the_leverage_cap_is_cut_back_to_it():
    prices = [100.0, 130.0, 130.0, 130.0]
    env = on(prices, actions=ActionLadder.positions(-1, 0, 1), max_leverage=1.0)
    env.step(0)  # short 10 at 100; at 130 the account is worth 700, the position 1,300
    assert env.core.account.units[0] == pytest.approx(-10.0)
    env.step(0)
    assert env.core.account.units[0] == pytest.approx(-700.0 / 130.0)
    free = on(prices, actions=ActionLadder.positions(-1, 0, 1))
    free.step(0)
    free.step(0)
    assert free.core.account.units[0] == pytest.approx(-10.0)


def test_rebalancing_holds_the_weight_and_standing_units_drift():
    prices = [100.0, 150.0, 200.0, 200.0]
    held, kept = on(prices, actions=ActionLadder.positions(0, 0.5)), None
    held.step(1)
    held.step(1)
    assert held.core.account.units[0] == pytest.approx(5.0)
    kept = on(prices, actions=ActionLadder.positions(0, 0.5), rebalance=True)
    kept.step(1)
    kept.step(1)
    assert kept.core.account.units[0] * 150.0 == pytest.approx(0.5 * 1_250.0)


def test_the_account_is_shown_at_the_last_known_close_and_not_at_the_next_open():
    market = simulate_market(n_bars=400, seed=1)
    table = MarketTable.from_candles(market.candles, recipe=FeatureRecipe.minimal())
    fields = ("position", "unrealised_profit", "drawdown", "time_left", "target")
    env = TradingEnv(table, costs=FREE, observe=fields, episode_length=20)
    env.reset(seed=3)
    peak = 1_000.0
    for i in range(19):
        observation = env.step(2)[0]
        account, row = env.core.account, env.core.row[0]
        worth = account.cash[0] + account.units[0] * table.close[row]
        peak = max(peak, worth)
        shown = dict(zip(env.rules.account_fields, observation[table.n_features :], strict=True))
        assert shown["position"] == pytest.approx(account.units[0] * table.close[row] / worth, abs=1e-6)
        profit = account.units[0] * (table.close[row] - env.core.entry[0]) / worth
        assert shown["unrealised_profit"] == pytest.approx(profit, abs=1e-6)
        assert shown["drawdown"] == pytest.approx(1 - worth / max(peak, worth), abs=1e-6)
        assert shown["time_left"] == pytest.approx((19 - i) / 20, abs=1e-6)
        assert shown["target"] == 1.0


def test_the_average_price_is_that_of_what_was_bought():
    env = on([100.0, 110.0, 120.0, 130.0, 125.0, 125.0], actions=ActionLadder.positions(-1, 0, 0.25, 0.5))
    env.step(2)
    first = env.core.account.units[0]
    env.step(3)
    second = env.core.account.units[0] - first
    average = (first * 100.0 + second * 110.0) / (first + second)
    assert env.core.entry[0] == pytest.approx(average)
    env.step(2)  # selling some changes nothing
    assert env.core.entry[0] == pytest.approx(average)
    env.step(0)  # turning begins anew
    assert env.core.entry[0] == pytest.approx(130.0)


def test_the_differential_sharpe_ratio_is_the_derivative_of_the_sharpe_ratio():
    """Moody and Saffell, equation 8: to first order in 1 / span."""
    span, r = 100_000.0, np.random.default_rng(0).normal(0.001, 0.01, 400)
    reward, first, second = DifferentialSharpe(span=span, floor=1e-9), r[:200].mean(), np.square(r[:200]).mean()
    from huracan.reinforcement.arrays import NUMPY
    from huracan.reinforcement.rewards import Outcome

    zero = np.zeros(1)
    memory = (np.array([first]), np.array([second]))
    for x in r[200:260]:
        before = memory[0] / np.sqrt(memory[1] - memory[0] ** 2)
        told, memory = reward(Outcome(np.array([x]), zero, zero, zero, zero, zero, zero), memory, NUMPY)
        after = memory[0] / np.sqrt(memory[1] - memory[0] ** 2)
        np.testing.assert_allclose(told, after - before, rtol=1e-3, atol=1e-9)


def test_a_function_of_one_s_own_is_a_reward():
    env = on([100.0, 110.0, 121.0], actions=ActionLadder.positions(0, 1), reward=lambda outcome: -outcome.turnover)
    assert env.step(1)[1] == pytest.approx(-1.0)
    assert env.step(1)[1] == 0.0


def test_windows_and_episodes_do_not_cross_a_gap():
    candles = simulate_market(n_bars=300, seed=2).candles
    cut = candles.filter(~pl.int_range(pl.len()).is_between(150, 155))
    table = MarketTable.from_candles(cut, recipe=FeatureRecipe.minimal())
    starts = table.starts(window=8, steps=10)
    for row in starts:
        assert len(set(table.run[row - 7 : row + 11])) == 1
        assert (np.diff(table.ts[row - 7 : row + 11]) == table.bar_length).all()


def test_a_span_of_time_is_decided_and_settled_in():
    table = MarketTable.from_candles(simulate_market(n_bars=300, seed=2).candles, recipe=FeatureRecipe.minimal())
    middle = table.ts[len(table) // 2]
    early, late = table.between(stop=middle), table.between(start=middle)
    rows = np.flatnonzero(early.decidable)
    assert (table.ts[rows] + 2 * table.bar_length).max() <= middle  # valued at the open after next
    assert (table.ts[np.flatnonzero(late.decidable)] + table.bar_length).min() >= middle
    assert not (early.decidable & late.decidable).any()
    with pytest.raises(NotEnoughData, match="no decision lies between"):
        table.between(stop="1999-01-01")


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ({"max_leverage": 0.5}, AccountingError, "max_leverage is 0.5"),
        ({"maintenance_margin": 1.5}, AccountingError, "maintenance_margin is 1.5"),
        ({"max_drawdown": 0.0}, AccountingError, "max_drawdown is 0"),
        ({"window": 0}, ModelError, "window is 0"),
        ({"episode_length": 0}, ModelError, "episode_length is 0"),
        ({"observe": ("profit",)}, UnknownName, "unrealised_profit"),
        ({"observe": ("time_left",), "episode_length": None}, ModelError, "nobody knows how long"),
        ({"reward": 3.0}, AccountingError, "reward is 3.0"),
        ({"actions": ActionLadder.positions(0, 30), "costs": CostModel(fee_bps=400)}, AccountingError, "whole account"),
    ],
)
def test_rules_out_of_bounds_are_refused(rules, error, message):
    with pytest.raises(error, match=message):
        TradingRules(**rules)


def test_costs_below_0_and_above_everything_are_refused():
    with pytest.raises(AccountingError, match="cannot be negative"):
        CostModel(fee_bps=-1.0)
    with pytest.raises(AccountingError, match="not possible"):
        CostModel(fee_bps=10_001.0)


@pytest.mark.parametrize(
    ("features", "price", "message"),
    [
        ([[0.0], [np.nan], [0.0]], [1.0, 1.0, 1.0], "feature 'x0' is nan in row 1"),
        ([[0.0], [0.0], [0.0]], [1.0, np.nan, 1.0], "price is nan in row 1"),
        ([[0.0], [0.0], [0.0]], [1.0, 1.0, -2.0], "price is -2 in row 2"),
        ([[0.0], [0.0]], [1.0, 1.0, 1.0], "price has shape"),
    ],
)
def test_features_and_prices_that_are_no_numbers_are_refused(features, price, message):
    with pytest.raises(DataError, match=message):
        MarketTable.from_prices(features, price)


def test_what_does_not_fit_the_data_is_refused_with_both_numbers():
    market = MarketTable.from_prices(np.zeros((10, 1)), np.ones(10))
    with pytest.raises(NotEnoughData, match="episode of 50 steps is longer than the data"):
        BatchTradingEnv(market, 2, episode_length=50)
    with pytest.raises(NotEnoughData, match="a window shows 20 bars"):
        BatchTradingEnv(market, 2, window=20, episode_length=5)
    env = BatchTradingEnv(market, 2, episode_length=5)
    env.reset(seed=0)
    for actions, message in (
        ([0, 3], "action 3 of copy 1"),
        ([-1, 0], "action -1 of copy 0"),
        ([0], "shape"),
        ([0.5, 1.0], "float64"),
    ):
        with pytest.raises(ModelError, match=message):
            env.step(np.array(actions))
    with pytest.raises(ModelError, match="rules were given"):
        BatchTradingEnv(market, 2, TradingRules(), window=3)


def test_rules_come_back_from_plain_values_and_functions_by_name_only():
    rules = TradingRules(
        actions=ActionLadder.positions(-1, 0, 2), window=5, max_leverage=3.0, reward=DifferentialSharpe(span=50.0)
    )
    assert TradingRules.from_dict(rules.to_dict()) == rules
    own = TradingRules.from_dict(TradingRules(reward=lambda outcome: outcome.log_return).to_dict())
    with pytest.raises(ModelError, match="not stored with a model"):
        on([1.0, 1.0, 1.0], reward=own.reward).step(1)
    with pytest.raises(UnknownName, match="windw"):
        TradingRules.from_dict({"windw": 3})


def test_penalties_are_taken_off():
    env = on([100.0, 90.0, 99.0, 99.0], actions=ActionLadder.positions(0, 1), reward=NetLogReturn(downside=1.0, drawdown=0.5))
    assert env.step(1)[1] == pytest.approx(2 * np.log(0.9) - 0.5 * 0.1)
    assert env.step(1)[1] == pytest.approx(np.log(1.1))


def test_what_is_told_of_a_step_can_be_changed_without_changing_the_account():
    market = MarketTable.from_prices(np.zeros((6, 1)), [100.0, 101.0, 99.0, 103.0, 102.0, 104.0])
    env, other = (BatchTradingEnv(market, 2, costs=FREE, episode_length=5) for _ in range(2))
    for each in (env, other):
        each.reset(seed=0)
    for _ in range(3):
        infos, same = env.step(np.array([2, 0]))[4], other.step(np.array([2, 0]))[4]
        for name in ("equity", "target", "log_return", "turnover", "cost", "action_mask"):
            np.testing.assert_array_equal(infos[name], same[name])
            infos[name][...] = 0


def test_a_position_that_is_held_and_not_seen_is_a_path():
    assert TradingRules(rebalance=True, observe=("level",)).path_dependence == ()
    assert TradingRules(rebalance=True, observe=("target",)).path_dependence == ()
    (reason,) = TradingRules(rebalance=True, observe=()).path_dependence
    assert "does not see the standing target" in reason


def test_a_reward_that_reads_drawdowns_is_told_them_and_others_are_not():
    seen = []
    env = on([100.0, 110.0, 99.0, 99.0], actions=ActionLadder.positions(0, 1), reward=lambda o: seen.append(o) or o.log_return)
    env.step(1)
    env.step(1)
    assert seen[1].drawdown == pytest.approx(0.1) and seen[1].drawdown_before == 0.0
    assert TradingEnv(env.market, episode_length=None).core.move(np.array([1])).outcome.drawdown is None


@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_leverage_that_loses_everything_ends_the_episode_at_zero_and_pays_a_millionth(margin):
    """A gap beyond the margin: nothing is owed, nothing is left, and the next episode begins with a full account."""
    market = MarketTable.from_prices(np.zeros((6, 1)), [100.0, 60.0, 60.0, 61.0, 62.0, 63.0])
    rules = TradingRules(actions=ActionLadder.positions(-2, 0, 3), costs=FREE, episode_length=None, maintenance_margin=margin)
    batch, tensors = BatchTradingEnv(market, 2, rules), TensorTradingEnv(market, 2, rules)
    batch.reset(seed=0, options={"rows": [0, 0]})
    tensors.reset(rows=torch.zeros(2, dtype=torch.int64))
    told = batch.step(np.array([2, 1]))
    for observation, reward, terminated, truncated, infos in (told, tensors.step(torch.tensor([2, 1]))):
        assert terminated.tolist() == [True, False]
        assert not truncated.any()
        assert infos["equity"].tolist() == [0.0, 1_000.0]
        assert float(reward[0]) == pytest.approx(np.log(1e-6))
        assert np.isfinite(np.asarray(observation)).all()
    assert batch.core.account.equity.tolist() == [1_000.0, 1_000.0]


def test_a_funding_rate_that_is_missing_is_none_as_in_a_backtest_and_counted():
    candles = simulate_market(n_bars=300, n_symbols=1, seed=2).candles
    rate = np.random.default_rng(0).normal(1e-4, 1e-3, 300)
    told = candles.with_columns(funding_rate=pl.Series(rate))
    gaps = told.with_columns(pl.when(pl.int_range(pl.len()) % 8 == 0).then("funding_rate").alias("funding_rate"))
    whole, partly = (MarketTable.from_candles(c, recipe=FeatureRecipe.minimal()) for c in (told, gaps))
    assert whole.assumed == {}
    missing = int((partly.funding_rate[np.isfinite(partly.fill)] == 0.0).sum())
    assert partly.assumed == {"funding rate missing, taken as 0": missing}
    assert f"taken as 0 in {missing:,} rows" in repr(partly)
    rules = TradingRules(actions=ActionLadder.positions(0, 1), episode_length=None, costs=FREE)
    env, row = TradingEnv(partly, rules), int(partly.starts(window=1, steps=None)[0])
    env.reset(seed=0, options={"row": row})
    equity = [env.step(1)[4]["equity"] / 1_000.0 for _ in range(int(partly.steps_ahead[row]))]
    decided = gaps.filter(pl.col("ts").dt.replace_time_zone(None).is_between(partly.ts[row], partly.ts[row + len(equity) - 1]))
    targets = decided.select("symbol", "ts", target=pl.lit(1.0))
    result = backtest(gaps, targets, FREE, close_at_end=False)
    np.testing.assert_allclose(equity, np.cumprod(1 + result.returns), rtol=1e-9)
