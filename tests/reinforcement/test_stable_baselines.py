"""Agents of stable-baselines3: they see the same steps, learn in the same environment, and are played on the same accounts."""

import random

import numpy as np
import pytest
import torch

from huracan.accounting import CostModel
from huracan.errors import DependencyMissing, ModelError
from huracan.reinforcement import ActionLadder, BatchTradingEnv, MarketTable, TradingRules, play
from huracan.reinforcement.stable_baselines import StableBaselinesAgent, as_vec_env, train_stable_baselines

FREE = CostModel.free(initial_equity=1_000.0)
RULES = TradingRules(
    costs=FREE, actions=ActionLadder.positions(-1, 0, 1), observe=("level",), rebalance=True, episode_length=20
)
SMALL = {
    "PPO": {"n_steps": 32, "batch_size": 64, "n_epochs": 8, "learning_rate": 5e-3, "gamma": 0.0},
    "A2C": {"n_steps": 8, "learning_rate": 5e-3, "gamma": 0.0},
    "DQN": {
        "learning_starts": 100,
        "batch_size": 64,
        "gamma": 0.0,
        "learning_rate": 5e-3,
        "train_freq": 1,
        "gradient_steps": 2,
    },
}


def needs_theirs():
    pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed: pip install 'huracan[rl-compare]'")


@pytest.fixture(scope="module")
def market():
    """The next return is the feature."""
    move = np.random.default_rng(0).normal(0, 0.01, 1_201)
    return MarketTable.from_prices(100 * move[1:, None], np.exp(np.cumsum(move))[:-1])


@pytest.mark.parametrize("name", sorted(SMALL))
def test_each_algorithm_learns_what_is_shown_to_it(market, name):
    needs_theirs()
    streams = torch.random.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
    agent = train_stable_baselines(name, market, RULES, 3_000, n_envs=16, random_state=1, **SMALL[name])
    assert torch.equal(streams[0], torch.random.get_rng_state())
    assert (streams[1] == np.random.get_state()[1]).all() and streams[2] == random.getstate()  # noqa: NPY002
    flat = [0.0, 1.0, 0.0]
    assert [agent.predict([move, *flat])[0] for move in (-2.0, 2.0)] == [0, 2]
    played = play(agent, market, RULES)
    best = np.abs(np.diff(np.log(market.fill)))[:-1].sum()
    assert played.totals["net_log_return"] > 0.7 * best
    action, values = agent.predict(np.zeros((5, 4), np.float32))
    assert action.shape == (5,) and values.shape == (5, 3)


def test_the_same_seed_gives_the_same_agent(market):
    needs_theirs()
    states = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    made = [train_stable_baselines("A2C", market, RULES, 400, random_state=seed, **SMALL["A2C"]) for seed in (3, 3, 4)]
    first, same, other = (agent.predict(states)[1] for agent in made)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_a_vec_env_gives_the_steps_of_the_environment_and_says_where_to_bootstrap(market):
    needs_theirs()
    ruin = MarketTable.from_prices(np.zeros((8, 1)), [10.0, 10.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    rules = TradingRules(costs=FREE, actions=ActionLadder.positions(0, 2), episode_length=3)
    env, vec = BatchTradingEnv(ruin, 4, rules), as_vec_env(BatchTradingEnv(ruin, 4, rules), reward_scale=10.0)
    vec.seed(7)
    np.testing.assert_array_equal(vec.reset(), env.reset(seed=7)[0])
    drawn, ended = np.random.default_rng(0), {True: 0, False: 0}
    returns = np.zeros(4)
    for _ in range(30):
        actions = drawn.integers(0, 2, 4)
        seen, reward, terminated, truncated, told = env.step(actions)
        theirs, scaled, done, infos = vec.step(actions)
        returns += reward
        np.testing.assert_array_equal(theirs, seen)
        np.testing.assert_allclose(scaled, 10.0 * reward, rtol=1e-6)
        np.testing.assert_array_equal(done, terminated | truncated)
        for i, info in enumerate(infos):
            assert bool(info) == done[i]
            if done[i]:
                np.testing.assert_array_equal(info["terminal_observation"], told["final_obs"][i])
                assert info["TimeLimit.truncated"] == truncated[i]
                assert info["episode"]["r"] == pytest.approx(returns[i])
                assert 1 <= info["episode"]["l"] <= 3
                ended[bool(truncated[i])] += 1
                returns[i] = 0.0
    assert min(ended.values()) > 0
    np.testing.assert_array_equal(vec.env_method("action_masks"), env.action_masks())


def test_what_is_chosen_beside_the_mask_holds(market):
    needs_theirs()
    rules = TradingRules(costs=FREE, observe=("level",), rebalance=True, episode_length=20)
    agent = train_stable_baselines("A2C", market, rules, 400, n_envs=4, **SMALL["A2C"])
    states = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    free, _ = agent.predict(states)
    mask = np.ones((200, 3), bool)
    mask[:, 2] = False
    bound, _ = agent.predict(states, mask)
    np.testing.assert_array_equal(bound, np.where(free == 2, 1, free))
    assert play(agent, market, rules).bars.height == int(market.decidable.sum())


def test_what_does_not_fit_is_refused_in_a_sentence(market):
    needs_theirs()
    with pytest.raises(ModelError, match="no algorithm 'PPPO'"):
        train_stable_baselines("PPPO", market, RULES, 10)
    with pytest.raises(ModelError, match="PPO cannot be made so"):
        train_stable_baselines("PPO", market, RULES, 10, n_stepps=3)
    with pytest.raises(ModelError, match="a market and its rules"):
        train_stable_baselines("PPO", market, None, 10)
    with pytest.raises(ModelError, match="a BatchTradingEnv was expected"):
        StableBaselinesAgent("PPO").fit(market, 10)
    with pytest.raises(ModelError, match="call fit first"):
        StableBaselinesAgent("PPO").predict([0.0])


def test_without_the_package_it_says_what_to_install(market, monkeypatch):
    def refuses(name):
        raise ImportError(name)

    monkeypatch.setattr("huracan.reinforcement.stable_baselines.import_module", refuses)
    with pytest.raises(DependencyMissing, match=r"huracan\[rl-compare\]"):
        train_stable_baselines("PPO", market, RULES, 10)
