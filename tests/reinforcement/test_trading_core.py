"""One account, four ways: backtest, scalar, batch and tensors move it alike, with every cost on."""

import numpy as np
import polars as pl
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from huracan.accounting import CostModel, backtest
from huracan.errors import AccountingError
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe
from huracan.reinforcement import ActionLadder, BatchTradingEnv, MarketTable, TradingEnv, TradingRules
from huracan.reinforcement.tensor_env import TensorTradingEnv

EVERY_COST = CostModel(
    fee_bps=5,
    half_spread_bps=1,
    slippage_bps=2,
    borrow_bps_per_bar=0.05,
    lot_size=0.01,
    minimum_notional=20.0,
    max_volume_share=0.02,
    initial_equity=10_000.0,
)


@pytest.fixture(scope="module")
def candles():
    market = simulate_market(n_bars=3_000, n_symbols=2, seed=3, signal_strength=1.0)
    rate = np.random.default_rng(0).normal(1e-5, 5e-5, market.candles.height)
    return market.candles.with_columns(funding_rate=pl.Series(rate))


@pytest.fixture(scope="module")
def market(candles):
    return MarketTable.from_candles(candles, recipe=FeatureRecipe.minimal())


def rules(**changes):
    return TradingRules(
        **{
            "actions": ActionLadder.positions(-1, -0.5, 0, 0.5, 1),
            "costs": EVERY_COST,
            "episode_length": None,
            "observe": ("level", "target", "position", "unrealised_profit", "drawdown"),
            **changes,
        }
    )


def first_rows(market, window=1):
    return market.starts(window=window, steps=None, whole=True)


@pytest.mark.parametrize("rebalance", [False, True], ids=["drifting", "rebalanced"])
def test_backtest_scalar_batch_and_tensors_move_an_account_alike(candles, market, rebalance):
    game = rules(rebalance=rebalance)
    rows = first_rows(market)
    n = 400
    actions = np.random.default_rng(1).integers(0, 5, (n, len(rows)))
    batch = BatchTradingEnv(market, len(rows), game)
    tensors = TensorTradingEnv(market, len(rows), game)
    scalar = TradingEnv(market, game)
    seen, _ = batch.reset(seed=0, options={"rows": rows})
    assert np.allclose(seen, tensors.reset(rows=torch.from_numpy(rows))[0].numpy())
    alone, _ = scalar.reset(seed=0, options={"row": int(rows[0])})
    equity = np.empty((n, len(rows)))
    for i in range(n):
        seen, reward, terminated, truncated, infos = batch.step(actions[i])
        seen_t, reward_t, _, truncated_t, infos_t = tensors.step(torch.from_numpy(actions[i]))
        alone, reward_s, _, truncated_s, info_s = scalar.step(int(actions[i, 0]))
        equity[i] = infos["equity"]
        assert not terminated.any()
        np.testing.assert_allclose(infos_t["equity"].numpy(), equity[i], rtol=1e-12)
        np.testing.assert_allclose(reward_t.numpy(), reward, atol=1e-12)
        np.testing.assert_allclose(seen_t.numpy(), seen, atol=1e-6)
        assert (reward_s, info_s["equity"]) == (reward[0], equity[i, 0])
        assert truncated_s == truncated[0] == bool(truncated_t[0])
        np.testing.assert_array_equal(alone, seen[0])
    weights = np.array(game.actions.weights)[actions]
    for k, row in enumerate(rows):
        at = slice(row, row + n)
        targets = pl.DataFrame(
            {
                "symbol": [market.symbols[k]] * n,
                "ts": pl.Series(market.ts[at]).dt.replace_time_zone("UTC"),
                "target": weights[:, k],
            }
        )
        result = backtest(candles, targets, EVERY_COST, close_at_end=False, rebalance=rebalance)
        np.testing.assert_allclose(np.cumprod(1 + result.returns) * 10_000.0, equity[:, k], rtol=1e-9)


def test_a_rebalanced_account_without_lots_is_booked_in_closed_form(candles, market):
    costs = CostModel(fee_bps=5, borrow_bps_per_bar=0.05, initial_equity=10_000.0)
    game = rules(actions=ActionLadder.positions(-2, -0.5, 0, 1, 2), costs=costs, rebalance=True, max_leverage=2)
    row = int(first_rows(market)[0])
    n = int(market.steps_ahead[row])
    actions = np.random.default_rng(1).integers(0, 5, n // 4).repeat(4)
    env, equity = BatchTradingEnv(market, 1, game), []
    env.reset(seed=0, options={"rows": [row]})
    for action in actions:
        _, _, terminated, _, infos = env.step(action[None])
        equity.append(infos["equity"][0])
        assert not terminated[0]
    targets = pl.DataFrame(
        {
            "symbol": market.symbols[0],
            "ts": pl.Series(market.ts[row : row + len(actions)]).dt.replace_time_zone("UTC"),
            "target": np.array(game.actions.weights)[actions],
        }
    )
    for stepwise in (False, True):
        result = backtest(candles, targets, costs, close_at_end=False, rebalance=True, stepwise=stepwise)
        np.testing.assert_allclose(np.cumprod(1 + result.returns) * 10_000.0, equity, rtol=1e-9)
    drifting = backtest(candles, targets, costs, close_at_end=False)
    assert abs(drifting.metrics["total_return"] / result.metrics["total_return"] - 1) > 1e-3
    with pytest.raises(AccountingError, match="rebalance=True was given with exit_costs"):
        backtest(candles, targets, costs, rebalance=True, exit_costs=costs)


def test_a_copy_does_the_same_among_any_number(market):
    game = rules(episode_length=40, costs=CostModel(fee_bps=5, initial_equity=1e4))
    many, one = BatchTradingEnv(market, 7, game), BatchTradingEnv(market, 1, game)
    tensors = TensorTradingEnv(market, 7, game)
    a, _ = many.reset(seed=11)
    b, _ = one.reset(seed=14)
    t, _ = tensors.reset(seed=11)
    np.testing.assert_array_equal(a[3], b[0])
    rng = np.random.default_rng(0)
    for _ in range(200):
        act = rng.integers(0, 5, 7)
        a, reward, *_ = many.step(act)
        b, reward_b, *_ = one.step(act[[3]])
        t, *_ = tensors.step(torch.from_numpy(act))
        assert reward[3] == reward_b[0]
        np.testing.assert_array_equal(a[3], b[0])
        np.testing.assert_allclose(t.numpy(), a, atol=1e-6)


def test_the_scalar_environment_passes_gymnasium_s_checker(market):
    check_env(TradingEnv(market, rules(episode_length=50)), skip_render_check=True)


def test_episodes_go_on_exactly_from_a_state(market):
    env = BatchTradingEnv(market, 5, rules(episode_length=30))
    env.reset(seed=2)
    rng = np.random.default_rng(0)
    for _ in range(50):
        env.step(rng.integers(0, 5, 5))
    kept, later = env.state_dict(), BatchTradingEnv(market, 5, rules(episode_length=30))
    later.load_state_dict(kept)
    for _ in range(70):
        act = rng.integers(0, 5, 5)
        for mine, theirs in zip(env.step(act)[:4], later.step(act)[:4], strict=True):
            np.testing.assert_array_equal(mine, theirs)
