"""One account, four ways: backtest, scalar, batch and tensors move it alike, with every cost on."""

import numpy as np
import polars as pl
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from huracan.accounting import CostModel, backtest
from huracan.errors import AccountingError, ModelError
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


ALL_FIELDS = ("level", "target", "position", "unrealised_profit", "drawdown", "time_left")


@pytest.mark.parametrize(
    "changes",
    [
        {"observe": ALL_FIELDS, "episode_length": 60, "window": 3},
        {"observe": ("level",), "rebalance": True, "costs": CostModel(fee_bps=20)},
        {"observe": (), "costs": CostModel.free(), "reward": NetLogReturn(drawdown=0.5)},
        {"max_leverage": 1.0},
        {"maintenance_margin": 0.9, "reward": DifferentialSharpe()},
        {"max_drawdown": 0.02, "episode_length": 60},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_many_copies_take_the_steps_that_few_take(market, monkeypatch, changes):
    """Where there are many, steps and observations are compiled; seeds make them the same copies."""
    pytest.importorskip("numba")
    compiled = BatchTradingEnv(market, 80, rules(**changes))
    monkeypatch.setattr("huracan.reinforcement.trading_core._COMPILED_FROM", 1_000_000)
    plain = BatchTradingEnv(market, 80, rules(**changes))
    np.testing.assert_array_equal(compiled.reset(seed=4)[0], plain.reset(seed=4)[0])
    for step in range(150):
        actions = np.random.default_rng(step).integers(0, 5, 80)
        *mine, told = compiled.step(actions)
        *theirs, told_plain = plain.step(actions)
        for one, another in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(one, another)
        assert told.keys() == told_plain.keys()
        for name, value in told.items():
            if name == "final_obs":
                over = told["_final_obs"]
                np.testing.assert_array_equal(value[over], told_plain[name][over])
            else:
                np.testing.assert_array_equal(value, told_plain[name])
    for name, value in compiled.state_dict().items():
        np.testing.assert_array_equal(value, plain.state_dict()[name])


def test_the_scalar_environment_passes_gymnasium_s_checker(market):
    check_env(TradingEnv(market, rules(episode_length=50)), skip_render_check=True)


ON_EITHER_SIDE = [(a, b) for a in (BatchTradingEnv, TensorTradingEnv) for b in (BatchTradingEnv, TensorTradingEnv)]


@pytest.mark.parametrize(("before", "after"), ON_EITHER_SIDE, ids=lambda kind: kind.__name__)
def test_episodes_go_on_exactly_from_a_state(market, before, after):
    game = rules(episode_length=30, reward=DifferentialSharpe(), max_drawdown=0.5)
    env, later, goes_on = before(market, 5, game), after(market, 5, game), before(market, 5, game)
    env.reset(seed=2)
    rng = np.random.default_rng(0)
    given = torch.from_numpy if before is TensorTradingEnv else np.asarray
    for _ in range(50):
        env.step(given(rng.integers(0, 5, 5)))
    kept = env.state_dict()
    assert all(isinstance(value, np.ndarray) for value in kept.values())
    later.load_state_dict(kept)
    goes_on.load_state_dict(kept)
    taken = torch.from_numpy if after is TensorTradingEnv else np.asarray
    for _ in range(40):
        act = rng.integers(0, 5, 5)
        mine, same, theirs = env.step(given(act))[:4], goes_on.step(given(act))[:4], later.step(taken(act))[:4]
        for a, b, c in zip(mine, same, theirs, strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
            np.testing.assert_allclose(np.asarray(c, np.float64), np.asarray(a, np.float64), rtol=1e-9, atol=1e-6)
    with pytest.raises(ModelError, match="of 5 copies; 4 were expected"):
        after(market, 4, game).load_state_dict(kept)


def test_resets_of_tensors_are_those_of_numpy(market):
    game = rules(episode_length=20)
    batch, tensors = BatchTradingEnv(market, 4, game), TensorTradingEnv(market, 4, game)

    def alike(**options):
        a, b = batch.reset(**options)[0], tensors.reset(**options)[0]
        np.testing.assert_array_equal(batch.core.row, tensors.core.row.numpy())
        np.testing.assert_allclose(b.numpy(), a, atol=1e-6)
        return batch.core.row.copy()

    first = alike(seed=5)
    second = alike()  # goes on with the next episodes
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(alike(seed=5), first)
    np.testing.assert_array_equal(alike(seed=[5, 6, 7, 8]), first)
    np.testing.assert_array_equal(alike(), second)
    assert len({int(TensorTradingEnv(market, 1, game).reset()[0][0, 0] * 1e6) for _ in range(5)}) > 1  # never sown: by chance
    for env in (batch, tensors):
        with pytest.raises(ModelError, match="seed is -1"):
            env.reset(seed=-1)
        with pytest.raises(ModelError, match="or 4 of them"):
            env.reset(seed=[1, 2])
    with pytest.raises(ModelError, match="cannot begin on row"):
        tensors.reset(rows=torch.tensor([len(market) - 1] * 4))
