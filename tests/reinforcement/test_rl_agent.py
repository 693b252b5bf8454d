"""The agent: learns, goes on exactly, is stored whole, and refuses what it cannot use."""

import gymnasium
import numpy as np
import pytest
import torch

from huracan.accounting import CostModel
from huracan.errors import ArtifactError, ModelError, UnknownName
from huracan.model_info import MarketRegime, RegimeSkill
from huracan.reinforcement import (
    ActionLadder,
    BatchTradingEnv,
    DQNAgent,
    MarketTable,
    TensorTradingEnv,
    TradingEnv,
    TradingRules,
)
from huracan.reinforcement.agent_training import AgentTraining, values_of_chance
from huracan.reinforcement.counterfactual import counterfactuals
from huracan.reinforcement.experience import experience_of
from huracan.reinforcement.playing import play
from huracan.reinforcement.q_network import QNetwork, QNetworkSettings
from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market

EXOGENOUS = {"rebalance": True, "observe": ("level",), "episode_length": 50}

EVIDENCE = RegimeSkill(
    regime=MarketRegime.RANGING, skill=1e-5, ci_low=-1e-5, ci_high=3e-5, p_adjusted=0.4, n_effective=90.0, n_rows=500
)


def market(n=1_500, seed=0):
    return ornstein_uhlenbeck_market(n_points=11).sample(n, seed=seed)[0]


def weights(agent):
    return agent.learner_.parameters.detach().numpy().copy()


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
    {"counterfactual": False, "distribution": "qr", "n_atoms": 7, "target_every": 50, "encoder": "gru", "embedding": 8},
    {"counterfactual": True, "dueling": True},
]


@pytest.mark.parametrize("settings", SWITCHES)
def test_a_training_that_was_interrupted_goes_on_bit_for_bit(settings, tmp_path):
    rules = TradingRules(**EXOGENOUS, window=3, costs=CostModel(fee_bps=20))
    settings = {"hidden": (16,), "learning_starts": 200, "replay_capacity": 900, "random_state": 3, **settings}

    def env():
        return BatchTradingEnv(market(), 4, rules)

    whole = DQNAgent(**settings).fit(env(), 2_000)
    DQNAgent(**settings).fit(env(), 2_000, checkpoint=tmp_path, checkpoint_every=500, stop_at=1_000)
    resumed = DQNAgent(**settings).fit(env(), 2_000, checkpoint=tmp_path, checkpoint_every=500)
    np.testing.assert_array_equal(weights(whole), weights(resumed))
    assert whole.steps_ == resumed.steps_ == 2_000
    assert str(whole.history_) == str(resumed.history_)
    other = DQNAgent(**{**settings, "gamma": 0.5})
    with pytest.raises(ModelError, match="its settings"):
        other.fit(env(), 2_000, checkpoint=tmp_path)


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


def test_an_agent_with_a_reward_of_one_s_own_is_stored_too(tmp_path):
    rules = TradingRules(**EXOGENOUS, reward=lambda outcome: outcome.log_return)
    DQNAgent(hidden=(8,), learning_starts=100).fit(BatchTradingEnv(market(), 4, rules), 400).save(tmp_path)
    assert DQNAgent.load(tmp_path).predict(np.zeros(4))[1].shape == (3,)


def test_a_wrapper_that_changes_rewards_is_learned_through():
    env = TradingEnv(market(), TradingRules(**EXOGENOUS))
    changed = gymnasium.wrappers.TransformReward(env, lambda reward: 0.0 * reward + 1.0)
    agent = DQNAgent(hidden=(), gamma=0.0, learning_starts=100, learning_rate=0.05).fit(changed, 1_500)
    np.testing.assert_allclose(agent.predict([0.0, 0.0, 1.0, 0.0])[1], 1.0, atol=0.05)


def test_an_agent_is_not_played_where_states_or_actions_are_others():
    agent = DQNAgent(hidden=(8,)).fit(BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS)), 400)
    other = TradingRules(**EXOGENOUS, actions=ActionLadder.positions(-1, 0, 1))
    with pytest.raises(ModelError, match="action_names was"):
        play(agent, market(), other)


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


def test_plain_environments_of_gymnasium_are_learned_in():
    agent = DQNAgent(hidden=(32,), learning_starts=200).fit(gymnasium.make("CartPole-v1"), 600)
    assert agent.predict(np.zeros(4))[1].shape == (2,)
    lake = gymnasium.make("FrozenLake-v1", is_slippery=False)
    agent = DQNAgent(hidden=(), gamma=0.9, learning_starts=500, learning_rate=0.01, epsilon_end=0.5, batch_size=32).fit(
        lake, 8_000
    )
    state, steps = 0, 0
    while state != 15 and steps < 10:
        state = lake.unwrapped.P[state][agent.predict(np.eye(16)[state])[0]][0][1]
        steps += 1
    assert (state, steps) == (15, 6)


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
    ended = DQNAgent(**settings).fit(Once(False), 4_000).predict([1.0])[1]
    cut = DQNAgent(**settings).fit(Once(True), 4_000).predict([1.0])[1]
    np.testing.assert_allclose(ended, 1.0, atol=0.02)  # nothing follows
    np.testing.assert_allclose(cut, 2.0, atol=0.05)  # 1 + .5 + .25 + ...


def test_exploding_values_stop_learning_and_the_last_good_ones_are_kept():
    env = BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS))
    agent = DQNAgent(hidden=(32, 32), learning_rate=50.0, clip_norm=1e9, gamma=0.999, tau=1.0).fit(env, 20_000)
    assert "exploded" in agent.stopped_
    assert agent.steps_ < 20_000
    assert np.isfinite(agent.predict(np.zeros(4))[1]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 1.0}, "gamma is 1.0"),
        ({"n_step": 0}, "n_step is 0"),
        ({"epsilon_end": 2.0}, "epsilon_end is 2.0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings, message):
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


def test_c51_looks_where_rewards_can_lead():
    agent = DQNAgent(distribution="c51", hidden=(8,), learning_starts=200, gamma=0.99).fit(gymnasium.make("CartPole-v1"), 300)
    assert agent.value_range_ == pytest.approx((-100.0, 100.0))  # 1 a step, for ever
    walk = BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS))
    low, high = DQNAgent(distribution="c51", hidden=(8,), gamma=0.9).fit(walk, 100).value_range_
    assert 5.0 < high == -low < 15.0  # three standard deviations of sums of rewards of size 1, and what costs add up to


def test_an_encoder_with_dropout_is_refused():
    env = BatchTradingEnv(market(), 2, TradingRules(**{**EXOGENOUS, "window": 8}))
    with pytest.raises(ModelError, match="dropout"):
        DQNAgent(encoder="cnn", encoder_options={"dropout": 0.1}).fit(env, 100)


@pytest.mark.parametrize("settings", [{}, {"encoder": "cnn"}, {"dueling": True, "level_columns": (0, 1, 2)}])
def test_a_window_beside_many_accounts_is_valued_as_each_observation_is(settings):
    torch.manual_seed(0)
    network = QNetwork(QNetworkSettings(window=8, n_features=2, account_size=3, n_actions=3, **settings))
    network.standardise(torch.zeros(2), torch.full((2,), 2.0))
    network.prior.normal_()
    window, account = torch.randn(5, 16), torch.eye(3)
    whole = torch.cat([window.repeat_interleave(3, 0), account.repeat(5, 1)], dim=1)
    torch.testing.assert_close(network.of_accounts(window, account), network(whole))


def test_values_of_chance_are_exact_for_a_discount_close_to_one():
    ladder = ActionLadder.positions(-1, 0, 1)
    cost = -0.002 * np.abs(np.array(ladder.weights) - np.array(ladder.weights)[:, None]) - 1e-4 * np.abs(ladder.weights)
    values = values_of_chance(cost, ladder, 0.999999)
    np.testing.assert_allclose(values, cost + 0.999999 * values.max(axis=1)[ladder.next_level], atol=1e-12)


def test_the_global_random_stream_of_torch_is_left_alone():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    DQNAgent(hidden=(8,), noisy=True, counterfactual=False, learning_starts=50).fit(
        BatchTradingEnv(market(), 2, TradingRules(**EXOGENOUS)), 200
    )
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_market_without_times_has_no_spans():
    with pytest.raises(ModelError, match="cannot begin on row"):
        BatchTradingEnv(market(), 1, TradingRules(**EXOGENOUS)).reset(options={"rows": [1_499]})
    assert isinstance(market(), MarketTable)


def test_an_agent_that_was_shown_noise_stays_out_and_one_that_was_shown_something_does_not():
    rules = TradingRules(**{**EXOGENOUS, "episode_length": None}, actions=ActionLadder.positions(-1, 0, 1))
    random = np.random.default_rng(1)
    move, noise = random.normal(0, 0.01, 6_001), random.normal(size=(6_000, 2))
    price = np.exp(np.cumsum(move))[:-1]
    shown_noise = MarketTable.from_prices(noise, price)
    shown_something = MarketTable.from_prices(np.stack([noise[:, 0], move[1:]], axis=1), price)
    traded = []
    for seen in (shown_noise, shown_something):
        agent = DQNAgent(hidden=(32,), gamma=0.9).fit(BatchTradingEnv(seen, 8, rules), 20_000)
        flat = np.tile(np.eye(3, dtype=np.float32)[1], (2_000, 1))
        states = np.concatenate([random.normal(size=(2_000, 2)) * seen.features.std(axis=0), flat], axis=1)
        traded.append(float(np.mean(agent.predict(states)[0] != 1)))
    assert traded[0] < 0.01
    assert traded[1] > 0.5


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


def test_an_agent_on_another_device_than_its_environment_is_refused():
    env = TensorTradingEnv(market(), 4, TradingRules(**EXOGENOUS), device="meta")
    with pytest.raises(ModelError, match="the same device"):
        DQNAgent().fit(env, 1_000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
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
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        DQNAgent(**settings)


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


def test_a_checkpoint_that_does_not_fit_says_what_differs_and_no_more(tmp_path):
    env = BatchTradingEnv(market(), 4, TradingRules(**EXOGENOUS))
    DQNAgent(hidden=(8,)).fit(env, 400, checkpoint=tmp_path)
    with pytest.raises(ModelError, match=r"training: its settings: hidden is \[8\], and \[16\] was expected\. Remove"):
        DQNAgent(hidden=(16,)).fit(env, 400, checkpoint=tmp_path)
    other = BatchTradingEnv(market(seed=1), 4, TradingRules(**EXOGENOUS))
    with pytest.raises(ModelError, match="other bars, prices or features"):
        DQNAgent(hidden=(8,)).fit(other, 400, checkpoint=tmp_path)


def test_states_nobody_can_be_in_are_worth_nothing():
    price = np.array([100.0, 100.0, 250.0, 250.0, 250.0])  # a short would be ruined
    table = MarketTable.from_prices(np.zeros((5, 1)), price)
    known = counterfactuals(table, TradingRules(**EXOGENOUS, actions=ActionLadder.positions(-1, 0, 1)))
    assert known.reward[1, :, 0] == pytest.approx([np.log(1e-6)] * 3)
    assert (known.reward[2, 0] == 0.0).all() and known.ruined[2, 0].all()


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
