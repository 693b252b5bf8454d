"""An agent goes on exactly where its training was stopped, and comes back from its files as it was."""

import gymnasium
import numpy as np
import pytest

from huracan.accounting import CostModel
from huracan.errors import ArtifactError, ModelError
from huracan.model_info import MarketRegime, RegimeSkill
from huracan.reinforcement import (
    BatchTradingEnv,
    DQNAgent,
    TensorTradingEnv,
    TradingRules,
)
from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market

EXOGENOUS = {"rebalance": True, "observe": ("level",), "episode_length": 50}

EVIDENCE = RegimeSkill(
    regime=MarketRegime.RANGING, skill=1e-5, ci_low=-1e-5, ci_high=3e-5, p_adjusted=0.4, n_effective=90.0, n_rows=500
)

SWITCHES = [
    {"counterfactual": False},
    {
        "counterfactual": False,
        "prioritised": True,
        "n_step": 3,
        "dueling": True,
        "noisy": True,
        "distribution": "c51",
        "n_atoms": 11,
    },
    {
        "counterfactual": False,
        "distribution": "qr",
        "n_atoms": 7,
        "target_every": 50,
        "encoder": "gru",
        "embedding": 8,
        "encoder_options": {"hidden": 16},
    },
    {"counterfactual": True, "dueling": True},
]


def market(n=1_500, seed=0):
    return ornstein_uhlenbeck_market(n_points=11).sample(n, seed=seed)[0]


def weights(agent):
    return agent.learner_.parameters.detach().numpy().copy()


@pytest.mark.parametrize("settings", SWITCHES)
def test_a_training_that_was_interrupted_goes_on_bit_for_bit(settings, tmp_path):
    rules = TradingRules(**EXOGENOUS, window=3, costs=CostModel(fee_bps=20))
    settings = {"hidden": (16,), "learning_starts": 200, "replay_capacity": 900, "random_state": 3, **settings}

    def env():
        return BatchTradingEnv(market(), 4, rules)

    whole = DQNAgent(**settings).fit(env(), 1_400)
    DQNAgent(**settings).fit(env(), 1_400, checkpoint=tmp_path, checkpoint_every=300, stop_at=800)
    resumed = DQNAgent(**settings).fit(env(), 1_400, checkpoint=tmp_path, checkpoint_every=300)
    np.testing.assert_array_equal(weights(whole), weights(resumed))
    assert whole.steps_ == resumed.steps_ == 1_400
    assert len(whole.history_) == 2 and str(whole.history_) == str(resumed.history_)
    other = DQNAgent(**{**settings, "gamma": 0.5})
    with pytest.raises(ModelError, match="its settings"):
        other.fit(env(), 1_400, checkpoint=tmp_path)


def test_a_checkpoint_of_another_market_or_number_of_copies_is_refused(tmp_path):
    rules = TradingRules(**EXOGENOUS)
    settings = {"hidden": (8,), "learning_starts": 100}
    DQNAgent(**settings).fit(BatchTradingEnv(market(), 4, rules), 400, checkpoint=tmp_path)
    with pytest.raises(ModelError, match="its market"):
        DQNAgent(**settings).fit(BatchTradingEnv(market(seed=1), 4, rules), 400, checkpoint=tmp_path)
    with pytest.raises(ModelError, match="its n_envs"):
        DQNAgent(**settings).fit(BatchTradingEnv(market(), 2, rules), 400, checkpoint=tmp_path)
    with pytest.raises(ModelError, match="cannot say where it stands"):
        DQNAgent(**settings).fit(gymnasium.make("CartPole-v1"), 400, checkpoint=tmp_path)


def test_a_checkpoint_that_does_not_fit_says_what_differs_and_no_more(tmp_path):
    env = BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS))
    DQNAgent(hidden=(8,)).fit(env, 400, checkpoint=tmp_path)
    with pytest.raises(ModelError, match=r"training: its settings: hidden is \[8\], and \[16\] was expected\. Remove"):
        DQNAgent(hidden=(16,)).fit(env, 400, checkpoint=tmp_path)
    other = BatchTradingEnv(market(seed=1), 4, TradingRules(**EXOGENOUS))
    with pytest.raises(ModelError, match="other bars, prices or features"):
        DQNAgent(hidden=(8,)).fit(other, 400, checkpoint=tmp_path)


def test_a_training_goes_on_only_in_the_arithmetic_it_began_in(tmp_path):
    settings = {"hidden": (8,), "counterfactual": False, "learning_starts": 100}
    DQNAgent(**settings).fit(BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS)), 2_000, checkpoint=tmp_path, stop_at=500)
    with pytest.raises(ModelError, match="arithmetic is NumPy, and tensors on cpu"):
        DQNAgent(**settings).fit(TensorTradingEnv(market(), 4, TradingRules(**EXOGENOUS)), 2_000, checkpoint=tmp_path)


def test_a_training_goes_on_only_with_the_reward_it_began_with(tmp_path):
    def of(times):
        return lambda outcome: times * outcome.log_return

    def fit(times, **options):
        rules = TradingRules(**EXOGENOUS, reward=of(times))
        agent = DQNAgent(hidden=(8,), learning_starts=100)
        return agent.fit(BatchTradingEnv(market(), 4, rules), 1_000, checkpoint=tmp_path, **options)

    fit(1.0, stop_at=500)
    with pytest.raises(ModelError, match="another training"):
        fit(-5.0)
    assert fit(1.0).steps_ == 1_000


def test_a_call_that_is_refused_leaves_what_was_learned(tmp_path):
    env = BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS))
    agent = DQNAgent(hidden=(8,)).fit(env, 2_000, checkpoint=tmp_path)
    before = agent.predict(np.zeros(4))[1]
    for other in (BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS, window=2)), BatchTradingEnv(market(), 8, env.rules)):
        with pytest.raises(ModelError, match="another training"):
            agent.fit(other, 2_000, checkpoint=tmp_path)
    np.testing.assert_array_equal(agent.predict(np.zeros(4))[1], before)
    assert agent.steps_ == 2_000


@pytest.mark.parametrize("settings", SWITCHES)
def test_what_is_loaded_says_what_was_saved(settings, tmp_path):
    rules = TradingRules(**EXOGENOUS, window=3)
    agent = DQNAgent(hidden=(16,), learning_starts=100, **settings).fit(BatchTradingEnv(market(), 4, rules), 600)
    agent.regime_evidence_ = (EVIDENCE,)
    agent.save(tmp_path)
    loaded = DQNAgent.load(tmp_path)
    states = np.random.default_rng(0).normal(size=(20, agent.layout_.width))
    for mine, theirs in zip(agent.predict(states), loaded.predict(states), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert loaded.rules_ == rules
    assert loaded.model_info() == agent.model_info()
    assert loaded.model_info().regime_evidence == (EVIDENCE,)
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(ArtifactError, match="SHA-256"):
        DQNAgent.load(tmp_path)


def test_an_agent_with_a_reward_of_one_s_own_is_stored_too(tmp_path):
    rules = TradingRules(**EXOGENOUS, reward=lambda outcome: outcome.log_return)
    DQNAgent(hidden=(8,), learning_starts=100).fit(BatchTradingEnv(market(), 4, rules), 400).save(tmp_path)
    assert DQNAgent.load(tmp_path).predict(np.zeros(4))[1].shape == (3,)
