"""What an agent or its environment cannot use is refused in a sentence that says what was expected."""

import gymnasium
import numpy as np
import pytest
import torch

from huracan.errors import ModelError, UnknownName
from huracan.reinforcement import (
    ActionLadder,
    BatchTradingEnv,
    DQNAgent,
    MarketTable,
    TensorTradingEnv,
    TradingEnv,
    TradingRules,
)
from huracan.reinforcement.playing import play
from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market

EXOGENOUS = {"rebalance": True, "observe": ("level",), "episode_length": 50}


def market(n=1_500, seed=0):
    return ornstein_uhlenbeck_market(n_points=11).sample(n, seed=seed)[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 1.0}, "gamma is 1.0"),
        ({"n_step": 0}, "n_step is 0"),
        ({"tau": 0.0}, "tau is 0.0"),
        ({"hidden": 5}, "hidden is 5"),
        ({"value_range": 5}, "value_range is 5"),
        ({"encoder_options": 5}, "encoder_options is 5"),
        ({"device": "gpu"}, "device is 'gpu'"),
        ({"epsilon_end": 2.0}, "epsilon_end is 2.0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"reward_scale": 0.0}, r"reward_scale is 0\.0"),
        ({"reward_scale": -1.0}, r"reward_scale is -1\.0"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"hidden": (0,)}, r"hidden is \(0,\)"),
        ({"n_step": 2.5}, r"n_step is 2\.5"),
        ({"learning_starts": -5}, "learning_starts is -5"),
        ({"value_range": (1, -1)}, r"value_range is \(1, -1\)"),
        ({"double": "no"}, "double is 'no'"),
        ({"gamma": "x"}, "gamma is 'x'"),
    ],
)
def test_settings_that_are_out_of_bounds_or_mean_nothing_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        DQNAgent(**settings)


def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(UnknownName, match="learning_rate"):
        DQNAgent(learning_rte=1.0)
    env = TradingEnv(market(), TradingRules())
    with pytest.raises(ModelError, match="drifts with the price"):
        DQNAgent(counterfactual=True).fit(env, 100)
    with pytest.raises(ModelError, match="no update"):
        DQNAgent(learning_starts=100).fit(env, 100)
    with pytest.raises(ModelError, match="no window to encode"):
        DQNAgent(encoder="gru", learning_starts=10).fit(gymnasium.make("CartPole-v1"), 100)
    with pytest.raises(ModelError, match="learned nothing"):
        DQNAgent().predict([0.0])
    agent = DQNAgent(learning_starts=50, hidden=(8,)).fit(env, 100)
    with pytest.raises(ModelError, match=r"shape \(2,\)"):
        agent.predict([0.0, 1.0])
    with pytest.raises(ModelError, match="is nan"):
        agent.predict([0.0, float("nan"), 0.0, 0.0, 0.0, 0.0])
    with pytest.raises(ModelError, match="Discrete actions"):
        DQNAgent().fit(gymnasium.make("Pendulum-v1"), 100)


def test_an_encoder_with_dropout_is_refused():
    env = BatchTradingEnv(market(), 2, TradingRules(**{**EXOGENOUS, "window": 8}))
    with pytest.raises(ModelError, match="dropout"):
        DQNAgent(encoder="cnn", encoder_options={"dropout": 0.1}).fit(env, 100)


@pytest.mark.parametrize(
    ("given", "message"), [(np.nan, "is nan for copy 0"), ("none", "NoneType"), ("wide", r"\(4, 2\)")], ids=str
)
def test_rewards_that_are_none_are_refused_where_they_come_from(given, message):
    def odd(outcome):
        if given == "none":
            return None
        return np.zeros((4, 2)) if given == "wide" else outcome.log_return * given

    env = BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS, reward=odd))
    with pytest.raises(ModelError, match=f"odd.*{message}"):
        DQNAgent(hidden=(8,)).fit(env, 2_000)


def test_an_agent_is_not_played_where_states_or_actions_are_others():
    agent = DQNAgent(hidden=(8,)).fit(BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS)), 400)
    other = TradingRules(**EXOGENOUS, actions=ActionLadder.positions(-1, 0, 1))
    with pytest.raises(ModelError, match="action_names was"):
        play(agent, market(), other)


def test_an_agent_on_another_device_than_its_environment_is_refused():
    env = TensorTradingEnv(market(), 4, TradingRules(**EXOGENOUS), device="meta")
    with pytest.raises(ModelError, match="the same device"):
        DQNAgent().fit(env, 1_000)


def test_actions_outside_the_space_are_refused_for_tensors_too():
    env = TensorTradingEnv(market(), 2, TradingRules(**EXOGENOUS))
    env.reset(seed=0)
    with pytest.raises(ModelError, match=r"\[5, -1\]; 0 to 2"):
        env.step(torch.tensor([5, -1]))
    with pytest.raises(ModelError, match="int64"):
        env.step(torch.tensor([1.0, 0.0]))


def test_the_state_of_another_market_is_refused():
    rules = TradingRules(**EXOGENOUS)
    env = BatchTradingEnv(market(), 4, rules)
    env.reset(seed=3)
    with pytest.raises(ModelError, match="another market"):
        BatchTradingEnv(market(60), 4, rules).load_state_dict(env.state_dict())


def test_a_market_without_times_has_no_spans():
    with pytest.raises(ModelError, match="cannot begin on row"):
        BatchTradingEnv(market(), 1, TradingRules(**EXOGENOUS)).reset(options={"rows": [1_499]})
    assert isinstance(market(), MarketTable)
