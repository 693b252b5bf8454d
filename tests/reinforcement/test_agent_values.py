"""What values can be: they stop learning where they explode, and every way to compute them says the same."""

import gymnasium
import numpy as np
import pytest
import torch

from huracan.errors import ModelError
from huracan.reinforcement import (
    ActionLadder,
    BatchTradingEnv,
    DQNAgent,
    MarketTable,
    TradingRules,
)
from huracan.reinforcement.agent_training import AgentTraining, values_of_chance
from huracan.reinforcement.counterfactual import counterfactuals
from huracan.reinforcement.experience import experience_of
from huracan.reinforcement.q_network import QNetwork, QNetworkSettings
from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market

EXOGENOUS = {"rebalance": True, "observe": ("level",), "episode_length": 50}


def market(n=1_500, seed=0):
    return ornstein_uhlenbeck_market(n_points=11).sample(n, seed=seed)[0]


def test_values_that_explode_before_anything_was_learned_leave_nothing(tmp_path):
    """Also where the same call is made again and again: an explosion is never a checkpoint to go on from."""
    env = BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS))
    settings = {"hidden": (32, 32), "learning_rate": 50.0, "clip_norm": 1e9, "gamma": 0.999, "tau": 1.0}
    for every, stop in ((500, None), (500, None), (10**9, 400)):
        agent = DQNAgent(**settings).fit(env, 8_000, checkpoint=tmp_path / str(every), checkpoint_every=every, stop_at=stop)
        assert "exploded" in agent.stopped_
        assert agent.steps_ <= 1_000
        with pytest.raises(ModelError, match="learned nothing"):
            agent.predict(np.zeros(4))
    assert not list(tmp_path.rglob("training.json"))


@pytest.mark.parametrize("settings", [{"loss": "huber"}, {"distribution": "qr", "n_atoms": 11}])
def test_values_beyond_any_possible_sum_of_rewards_stop_learning_whatever_the_loss(settings):
    env = BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS))
    agent = DQNAgent(hidden=(16,), gamma=0.9, clip_norm=1e-3, **settings)
    training = AgentTraining(agent, experience_of(env), 20_000)
    training.run(2_000, None, 10**9, None)
    assert agent.stopped_ == ""
    sound = training.learner.snapshot()
    with torch.no_grad():
        training.learner.online.advantage.bias.add_(1e3)  # losses that grow with errors only stay small
        training.learner.target.advantage.bias.add_(1e3)
    training.run(4_000, None, 10**9, None)
    assert "values exploded" in agent.stopped_
    assert torch.equal(training.learner.snapshot(), sound)


def test_c51_looks_where_rewards_can_lead():
    agent = DQNAgent(distribution="c51", hidden=(8,), learning_starts=200, gamma=0.99).fit(gymnasium.make("CartPole-v1"), 300)
    assert agent.value_range_ == pytest.approx((-100.0, 100.0))  # 1 a step, for ever
    walk = BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS))
    low, high = DQNAgent(distribution="c51", hidden=(8,), gamma=0.9).fit(walk, 100).value_range_
    assert 5.0 < high == -low < 15.0  # three standard deviations of sums of rewards of size 1, and what costs add up to


def test_values_of_chance_are_exact_for_a_discount_close_to_one():
    ladder = ActionLadder.positions(-1, 0, 1)
    cost = -0.002 * np.abs(np.array(ladder.weights) - np.array(ladder.weights)[:, None]) - 1e-4 * np.abs(ladder.weights)
    values = values_of_chance(cost, ladder, 0.999999)
    np.testing.assert_allclose(values, cost + 0.999999 * values.max(axis=1)[ladder.next_level], atol=1e-12)


def test_states_nobody_can_be_in_are_worth_nothing():
    price = np.array([100.0, 100.0, 250.0, 250.0, 250.0])  # a short would be ruined
    table = MarketTable.from_prices(np.zeros((5, 1)), price)
    known = counterfactuals(table, TradingRules(**EXOGENOUS, actions=ActionLadder.positions(-1, 0, 1)))
    assert known.reward[1, :, 0] == pytest.approx([np.log(1e-6)] * 3)
    assert (known.reward[2, 0] == 0.0).all() and known.ruined[2, 0].all()


@pytest.mark.parametrize("settings", [{}, {"encoder": "cnn"}, {"dueling": True, "level_columns": (0, 1, 2)}])
def test_a_window_beside_many_accounts_is_valued_as_each_observation_is(settings):
    torch.manual_seed(0)
    network = QNetwork(QNetworkSettings(window=8, n_features=2, account_size=3, n_actions=3, **settings))
    network.standardise(torch.zeros(2), torch.full((2,), 2.0))
    network.prior.normal_()
    window, account = torch.randn(5, 16), torch.eye(3)
    whole = torch.cat([window.repeat_interleave(3, 0), account.repeat(5, 1)], dim=1)
    torch.testing.assert_close(network.of_accounts(window, account), network(whole))


@pytest.mark.parametrize("settings", [{}, {"dueling": True}, {"hidden": ()}, {"distribution": "qr", "n_atoms": 5}])
def test_a_few_states_are_valued_as_many_are(settings):
    rules = TradingRules(**{**EXOGENOUS, "window": 3})
    agent = DQNAgent(hidden=settings.get("hidden", (16, 16)), **{k: v for k, v in settings.items() if k != "hidden"})
    agent.fit(BatchTradingEnv(market(), 4, rules), 800)
    states = np.random.default_rng(0).normal(size=(200, agent.layout_.width)).astype(np.float32)
    states[:, -3:] = np.eye(3)[np.arange(200) % 3]
    many = agent.predict(states)[1]
    few = np.concatenate([agent.predict(part)[1] for part in np.split(states, 50)])
    np.testing.assert_allclose(few, many, rtol=1e-4, atol=1e-5 * np.abs(many).max())
