"""The agent is a learner like every other: in the catalogue by name, in the registry by version."""

import numpy as np

from huracan.catalogue import MODEL_CATALOGUE, build_model
from huracan.model_registry import ModelRegistry
from huracan.reinforcement import BatchTradingEnv, DQNAgent, TradingRules
from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market


def agent():
    market, _ = ornstein_uhlenbeck_market(n_points=11).sample(800, seed=0)
    env = BatchTradingEnv(market, 4, TradingRules(rebalance=True, observe=("level",), episode_length=50))
    return build_model("dqn", hidden=(16,), discount=0.9, random_state=2).fit(env, 600)


def test_the_catalogue_builds_it_under_its_own_and_well_known_names():
    assert MODEL_CATALOGUE["dqn"].preferred_task == "control"
    made = build_model("dqn", task="control", discount=0.5, n_jobs=1)
    assert isinstance(made, DQNAgent)
    assert made.settings.gamma == 0.5


def test_its_card_says_what_a_trader_asks_for():
    info = agent().model_info()
    assert (info.task, info.purpose) == ("control", "adaptive strategy optimisation")
    assert info.ideal_dataset_shape.startswith("(num_episodes, episode_length, state_dim)")
    assert "sell, hold, buy" in info.output_schema["action"]
    assert "q_values" in info.output_schema
    assert any("x0 of 1 bar(s), then level -1, level 0, level 1" in said for said in info.feature_requirements)
    assert info.hyperparameters["gamma"] == 0.9


def test_the_registry_gives_back_the_same_agent(tmp_path):
    registry = ModelRegistry(f"sqlite:///{tmp_path}/r.db", artifacts=tmp_path / "artifacts")
    mine = agent()
    version = registry.register(mine, mine.model_info(), name="trader", metrics={})
    theirs = registry.load("trader", version=version)
    states = np.random.default_rng(0).normal(size=(50, 4))
    for a, b in zip(mine.predict(states), theirs.predict(states), strict=True):
        np.testing.assert_array_equal(a, b)
    assert theirs.rules_ == mine.rules_
    assert theirs.history_ == mine.history_
