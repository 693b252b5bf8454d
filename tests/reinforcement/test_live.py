"""Live: what an agent sees of candles and an account is what it saw in training, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

from huracan.accounting import CostModel
from huracan.errors import DataError, ModelError, NotEnoughData
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe
from huracan.reinforcement import (
    ActionLadder,
    BatchTradingEnv,
    DQNAgent,
    LiveAccount,
    MarketTable,
    TradingEnv,
    TradingRules,
    live_state,
)

FIELDS = ("level", "target", "position", "unrealised_profit", "drawdown")
RECIPE = FeatureRecipe.minimal()
COSTS = CostModel(fee_bps=5, borrow_bps_per_bar=1.0, lot_size=0.001, initial_equity=10_000.0)


@pytest.fixture(scope="module")
def candles():
    return simulate_market(n_bars=260, n_symbols=2, seed=4, signal_strength=1.0).candles


def one_symbol(candles):
    return candles.filter(candles["symbol"] == candles["symbol"][0])


def account_of(env, highest):
    core = env.core
    return LiveAccount(
        cash=float(core.account.cash[0]),
        units=float(core.account.units[0]),
        target=float(core.account.target[0]),
        average_price=float(core.entry[0]),
        highest_equity=highest,
    )


@pytest.mark.parametrize("ladder", [ActionLadder.buy_hold_sell(), ActionLadder.positions(-1, 0, 0.5, 1)])
@pytest.mark.parametrize("window", [1, 6])
def test_history_bar_by_bar_is_what_the_environment_shows(candles, ladder, window):
    bars = one_symbol(candles)
    market = MarketTable.from_candles(bars, recipe=RECIPE)
    rules = TradingRules(actions=ladder, costs=COSTS, observe=FIELDS, window=window, episode_length=None)
    env = TradingEnv(market, rules)
    first = int(market.starts(window=window, steps=None)[0])
    seen, infos = env.reset(seed=0, options={"row": first})
    random, highest = np.random.default_rng(0), None
    times = bars["ts"].to_list()
    begun = times.index(market.ts[first].item().replace(tzinfo=times[0].tzinfo))
    for step in range(40):
        state = live_state(bars[: begun + step + 1], account_of(env, highest), rules, RECIPE)
        highest = state.highest_equity
        np.testing.assert_array_equal(state.observation[0], seen)
        np.testing.assert_array_equal(state.allowed[0], infos["action_mask"])
        assert (state.level[0], state.ts) == (env.core.level[0], market.ts[first + step])
        seen, _, _, _, infos = env.step(random.choice(np.flatnonzero(state.allowed[0])))


def test_a_market_s_newest_row_is_seen_and_one_of_several_symbols_is_named(candles):
    market = MarketTable.from_candles(candles, recipe=RECIPE)
    rules = TradingRules(window=3)
    account = LiveAccount(cash=1_000.0)
    name = market.symbols[1]
    from_candles = live_state(candles, account, rules, RECIPE, symbol=name)
    np.testing.assert_array_equal(live_state(market, account, rules, symbol=name).observation, from_candles.observation)
    np.testing.assert_array_equal(from_candles.observation[0, : -rules.account_size], market.features[-3:].ravel())
    assert from_candles.highest_equity is None
    with pytest.raises(DataError, match="symbol is None"):
        live_state(market, account, rules)
    with pytest.raises(DataError, match="symbol is 'X'"):
        live_state(candles, account, rules, RECIPE, symbol="X")


def test_what_cannot_be_known_is_refused(candles):
    bars, account = one_symbol(candles), LiveAccount(cash=1.0)
    with pytest.raises(ModelError, match="time_left"):
        live_state(bars, account, TradingRules(observe=("time_left",)), RECIPE)
    with pytest.raises(ModelError, match="without a recipe"):
        live_state(bars, account, TradingRules())
    with pytest.raises(ModelError, match="the account's target"):
        live_state(bars, LiveAccount(cash=1.0, target=0.3), TradingRules(), RECIPE)
    with pytest.raises(ModelError, match="average_price of 0"):
        live_state(bars, LiveAccount(cash=1.0, units=2.0), TradingRules(), RECIPE)
    with pytest.raises(ModelError, match="cash of the account is nan"):
        LiveAccount(cash=float("nan"))
    with pytest.raises(NotEnoughData, match="sees 500 bars"):
        live_state(bars, account, TradingRules(window=500), RECIPE)
    broken = bars.with_row_index("row").filter(~(np.arange(len(bars)) == len(bars) - 3)).drop("row")
    with pytest.raises(NotEnoughData):  # after a gap features warm up anew
        live_state(broken, account, TradingRules(window=4), RECIPE)


def test_an_agent_that_learned_with_other_features_is_refused(candles):
    market = MarketTable.from_candles(candles, recipe=RECIPE).of_symbol("SIM01-USD")
    rules = TradingRules(rebalance=True, observe=("level",), episode_length=20)
    agent = DQNAgent(hidden=(4,)).fit(BatchTradingEnv(market, 2, rules), 100)
    account = LiveAccount(cash=1_000.0)
    live_state(market, account, rules, symbol="SIM01-USD", agent=agent)
    other = replace(market, feature_names=market.feature_names[::-1])
    with pytest.raises(ModelError, match="feature_names was"):
        live_state(other, account, rules, symbol="SIM01-USD", agent=agent)
