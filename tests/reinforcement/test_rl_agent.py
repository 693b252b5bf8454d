"""The agent learns: in the market and in plain environments, where the environment lies, within what is allowed."""

import copy
import pickle

import gymnasium
import numpy as np
import pytest
import torch

from huracan.accounting import CostModel
from huracan.errors import ModelError
from huracan.reinforcement import (
    ActionLadder,
    BatchTradingEnv,
    DQNAgent,
    MarketTable,
    TensorTradingEnv,
    TradingEnv,
    TradingRules,
)
from huracan.reinforcement.agent_training import AgentTraining
from huracan.reinforcement.experience import experience_of
from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market

EXOGENOUS = {"rebalance": True, "observe": ("level",), "episode_length": 50}


def market(n=1_500, seed=0):
    return ornstein_uhlenbeck_market(n_points=11).sample(n, seed=seed)[0]


def weights(agent):
    return agent.learner_.parameters.detach().numpy().copy()


def test_an_agent_that_was_shown_noise_stays_out_and_one_that_was_shown_something_does_not():
    rules = TradingRules(**{**EXOGENOUS, "episode_length": None}, actions=ActionLadder.positions(-1, 0, 1))
    random = np.random.default_rng(1)
    move, noise = random.normal(0, 0.01, 6_001), random.normal(size=(6_000, 2))
    price = np.exp(np.cumsum(move))[:-1]
    shown_noise = MarketTable.from_prices(noise, price)
    shown_something = MarketTable.from_prices(np.stack([noise[:, 0], move[1:]], axis=1), price)
    traded = []
    for seen in (shown_noise, shown_something):
        agent = DQNAgent(hidden=(32,), gamma=0.9).fit(BatchTradingEnv(seen, 8, rules), 12_000)
        flat = np.tile(np.eye(3, dtype=np.float32)[1], (2_000, 1))
        states = np.concatenate([random.normal(size=(2_000, 2)) * seen.features.std(axis=0), flat], axis=1)
        traded.append(float(np.mean(agent.predict(states)[0] != 1)))
    assert traded[0] < 0.01
    assert traded[1] > 0.5


def test_plain_environments_of_gymnasium_are_learned_in():
    agent = DQNAgent(hidden=(32,), learning_starts=200).fit(gymnasium.make("CartPole-v1"), 600)
    assert agent.predict(np.zeros(4))[1].shape == (2,)
    lake = gymnasium.make("FrozenLake-v1", is_slippery=False)
    agent = DQNAgent(hidden=(), gamma=0.9, learning_starts=500, learning_rate=0.01, epsilon_end=0.5, batch_size=32).fit(
        lake, 5_000
    )
    state, steps = 0, 0
    while state != 15 and steps < 10:
        state = lake.unwrapped.P[state][agent.predict(np.eye(16)[state])[0]][0][1]
        steps += 1
    assert (state, steps) == (15, 6)


def test_a_wrapper_that_changes_rewards_is_learned_through():
    env = TradingEnv(market(), TradingRules(**EXOGENOUS))
    changed = gymnasium.wrappers.TransformReward(env, lambda reward: 0.0 * reward + 1.0)
    agent = DQNAgent(hidden=(), gamma=0.0, learning_starts=100, learning_rate=0.05).fit(changed, 1_500)
    np.testing.assert_allclose(agent.predict([0.0, 0.0, 1.0, 0.0])[1], 1.0, atol=0.05)


def test_a_truncated_episode_is_bootstrapped_and_a_terminated_one_is_not():
    class Once(gymnasium.Env):
        """One state, one step of reward 1, ended in one way or the other."""

        observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
        action_space = gymnasium.spaces.Discrete(2)

        def __init__(self, truncates):
            self.truncates = truncates

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.ones(1, np.float32), {}

        def step(self, action):
            return np.ones(1, np.float32), 1.0, not self.truncates, self.truncates, {}

    settings = {"hidden": (), "gamma": 0.5, "learning_starts": 100, "learning_rate": 0.05, "tau": 0.1}
    ended = DQNAgent(**settings).fit(Once(False), 2_500).predict([1.0])[1]
    cut = DQNAgent(**settings).fit(Once(True), 2_500).predict([1.0])[1]
    np.testing.assert_allclose(ended, 1.0, atol=0.02)  # nothing follows
    np.testing.assert_allclose(cut, 2.0, atol=0.05)  # 1 + .5 + .25 + ...


@pytest.mark.parametrize("settings", [{}, {"counterfactual": False, "prioritised": True, "n_step": 2}])
def test_an_agent_learns_where_the_environment_lies(settings, tmp_path):
    rules = TradingRules(**EXOGENOUS, actions=ActionLadder.buy_hold_sell())
    makes = {"hidden": (16,), "learning_starts": 200, **settings}

    def env():
        return TensorTradingEnv(market(), 4, rules)

    through = DQNAgent(**makes).fit(env(), 2_000)
    DQNAgent(**makes).fit(env(), 2_000, checkpoint=tmp_path, checkpoint_every=400, stop_at=1_000)
    again = DQNAgent(**makes).fit(env(), 2_000, checkpoint=tmp_path)
    np.testing.assert_array_equal(weights(through), weights(again))
    assert through.history_ == again.history_
    if not settings:  # nothing is drawn but the bars, which are others
        shown = np.array([[-0.5, 0.0, 1.0, 0.0], [0.5, 0.0, 1.0, 0.0]], np.float32)
        other = DQNAgent(**makes).fit(BatchTradingEnv(market(), 4, rules), 2_000)
        assert np.sign(through.predict(shown)[1][:, 2]).tolist() == np.sign(other.predict(shown)[1][:, 2]).tolist()
    else:
        assert through.history_[0].episode_return is not None


def test_a_masked_action_is_neither_taken_nor_valued():
    rules = TradingRules(**EXOGENOUS, actions=ActionLadder.buy_hold_sell())
    agent = DQNAgent(hidden=(16,), learning_starts=100, counterfactual=False).fit(BatchTradingEnv(market(), 4, rules), 2_000)
    level, action = levels_and_actions(rules)
    assert rules.actions.allowed[level, action].all()
    state = np.zeros(4)
    assert agent.predict(state, mask=[False, True, False])[0] == 1
    with pytest.raises(ModelError, match="allows no action"):
        agent.predict(state, mask=[False, False, False])


def levels_and_actions(rules):
    """Levels and actions that a training goes through."""
    training = AgentTraining(
        DQNAgent(hidden=(16,), learning_starts=100, counterfactual=False),
        experience_of(BatchTradingEnv(market(), 4, rules)),
        2_000,
    )
    training.run(2_000, None, 10**9, None)
    kept = training.replay
    level = kept.account[: len(kept)].argmax(axis=1)
    return level, kept.action[: len(kept)]


def test_without_a_mask_the_standing_target_in_the_state_says_what_is_allowed():
    costs = CostModel(fee_bps=5)
    table = market()
    for observe in (("level",), ("target",)):
        rules = TradingRules(costs=costs, observe=observe, rebalance=True, episode_length=50)
        agent = DQNAgent(hidden=(8,)).fit(BatchTradingEnv(table, 4, rules), 200)
        ladder = rules.actions
        shown = np.eye(3) if observe == ("level",) else np.array(ladder.weights)[:, None]
        states = np.concatenate([np.zeros((3, 1)), shown], axis=1)
        action, values = agent.predict(states)
        assert action.tolist() == np.where(ladder.allowed, values, -np.inf).argmax(axis=1).tolist()
    rules = TradingRules(costs=costs, observe=("position",), episode_length=50)
    agent = DQNAgent(hidden=(8,), learning_starts=50).fit(BatchTradingEnv(table, 4, rules), 200)
    with pytest.raises(ModelError, match="show only position; a mask"):
        agent.predict([0.0, 1.0])
    assert agent.predict([0.0, 1.0], [True, True, False])[0] in (0, 1)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda agent: pickle.loads(pickle.dumps(agent))])  # noqa: S301
def test_a_copy_of_an_agent_learns_for_itself(copied):
    env = BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS))
    agent = DQNAgent(hidden=(8,)).fit(env, 1_000)
    other, before = copied(agent), agent.predict(np.zeros(4))[1]
    np.testing.assert_array_equal(other.predict(np.zeros(4))[1], before)
    other.learner_.go_back(other.learner_.snapshot() * 0.0)
    assert (other.predict(np.zeros(4))[1] != before).any()
    np.testing.assert_array_equal(agent.predict(np.zeros(4))[1], before)


def test_the_global_random_stream_of_torch_is_left_alone():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    DQNAgent(hidden=(8,), noisy=True, counterfactual=False, learning_starts=50).fit(
        BatchTradingEnv(market(), 2, TradingRules(**EXOGENOUS)), 200
    )
    assert torch.equal(torch.random.get_rng_state(), before)
