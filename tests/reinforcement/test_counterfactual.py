"""What all actions would have earned is what they earn."""

import numpy as np
import polars as pl
import pytest

from huracan.accounting import CostModel
from huracan.errors import ModelError
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe
from huracan.reinforcement import ActionLadder, BatchTradingEnv, DifferentialSharpe, MarketTable, NetLogReturn, TradingRules
from huracan.reinforcement.counterfactual import counterfactuals


@pytest.fixture(scope="module")
def market():
    simulated = simulate_market(n_bars=600, n_symbols=2, seed=5)
    rate = np.random.default_rng(0).normal(1e-4, 5e-4, simulated.candles.height)
    candles = simulated.candles.with_columns(funding_rate=pl.Series(rate))
    return MarketTable.from_candles(candles, recipe=FeatureRecipe.minimal())


@pytest.mark.parametrize("ladder", [ActionLadder.positions(-1, 0, 0.5, 2), ActionLadder.buy_hold_sell()])
def test_counterfactual_rewards_are_those_of_the_environment(market, ladder):
    rules = TradingRules(
        actions=ladder,
        costs=CostModel(fee_bps=7, borrow_bps_per_bar=2.0),
        rebalance=True,
        observe=("level",),
        episode_length=60,
        reward=NetLogReturn(downside=0.5),
    )
    known = counterfactuals(market, rules)
    at = np.full(len(market), -1)
    at[known.row] = np.arange(len(known.row))
    env = BatchTradingEnv(market, 30, rules)
    env.reset(seed=0)
    random = np.random.default_rng(1)
    fresh = np.ones(30, bool)
    for _ in range(200):
        row, level = env.core.row.copy(), env.core.level.copy()
        action = random.integers(0, ladder.n_actions, 30)
        _, reward, terminated, truncated, _ = env.step(action)
        known_here = known.reward[at[row], level, action]
        np.testing.assert_allclose(reward[~fresh], known_here[~fresh], atol=1e-6)
        np.testing.assert_allclose(reward[fresh], known_here[fresh], atol=1e-6)
        fresh = terminated | truncated


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rebalance": False}, "drifts with the price"),
        ({"observe": ("position",)}, "sees position"),
        ({"costs": CostModel(lot_size=1.0)}, "account's size"),
        ({"reward": DifferentialSharpe()}, "DifferentialSharpe"),
        ({"reward": lambda outcome: outcome.log_return}, "remembers"),
        ({"max_drawdown": 0.2}, "drawdown"),
        ({"maintenance_margin": 0.1}, "liquidation"),
    ],
)
def test_it_is_refused_where_the_future_depends_on_the_path(market, change, reason):
    rules = TradingRules(**{"rebalance": True, "observe": ("level",), **change})
    with pytest.raises(ModelError, match=reason):
        counterfactuals(market, rules)
