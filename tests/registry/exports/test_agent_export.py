"""A graph of an agent says what each action is worth, as the agent does, on states of its own game."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from huracan.errors import DataError, ModelError
from huracan.model_registry import ModelRegistry
from huracan.registry.exports import export_checked, export_model, make_scorer, signal_of
from huracan.registry.exports.scorers import OnnxScorer
from huracan.reinforcement import BatchTradingEnv, DQNAgent, MarketTable, TradingRules
from huracan.reinforcement.action_maps import sampled_states
from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (huracan[serve])")

SHOWN = {"rebalance": True, "observe": ("level",), "episode_length": 50}
EXPLORES: dict[str, Any] = {"counterfactual": False, "learning_starts": 100, "batch_size": 16}


def market() -> MarketTable:
    return ornstein_uhlenbeck_market(n_points=11).sample(600, seed=0)[0]


def learned(window: int = 1, observe: tuple[str, ...] = ("level",), **settings: Any) -> tuple[DQNAgent, NDArray[np.float32]]:
    """An agent and states of its game."""
    env = BatchTradingEnv(market(), 4, TradingRules(**{**SHOWN, "observe": observe}, window=window))
    agent = DQNAgent(**{"hidden": (16, 8), "random_state": 1, **settings}).fit(env, 300)
    return agent, sampled_states(env, 300, seed=2)


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "window": {"window": 3, "observe": ("level", "target")},
    "dueling": {"dueling": True, "window": 3},
    "linear, not standardised": {"hidden": (), "standardise": False},
    "noisy": {"noisy": True, "dueling": True, **EXPLORES},
    "quantiles": {"distribution": "qr", "n_atoms": 5, "dueling": True},
    "quantiles, explored": {"distribution": "qr", "n_atoms": 5, **EXPLORES},
    "gru": {"encoder": "gru", "embedding": 4, "window": 5},
    "cnn": {"encoder": "cnn", "embedding": 4, "window": 8, "dueling": True},
}


@pytest.mark.parametrize("name", CASES)
def test_a_graph_says_what_each_action_is_worth(name: str) -> None:
    agent, states = learned(**CASES[name])
    export = export_checked(agent, states)
    assert export.engine == "onnx", export.reason
    assert export.n_checked == 300 and export.difference is not None and export.difference <= 1e-5
    scorer = make_scorer(agent, export, export.onnx)
    values = agent.predict(states)[1]
    np.testing.assert_allclose(scorer.many(states), values, rtol=0, atol=1e-5 * values.std())
    np.testing.assert_allclose(scorer.one(states[7]), values[7], rtol=0, atol=1e-5 * values.std())


def test_a_graph_of_atoms_expects_what_the_agent_does_to_float32() -> None:
    agent, states = learned(distribution="c51", n_atoms=11, dueling=True, **EXPLORES)
    values, reach = agent.predict(states)[1], agent.value_range_[1] / agent.reward_scale_
    np.testing.assert_allclose(OnnxScorer(export_model(agent)).many(states), values, rtol=0, atol=1e-6 * reach)


def test_a_graph_that_forgets_the_prior_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, states = learned()
    network = agent.to_parts()[1]
    assert network.believes
    monkeypatch.setattr(network, "believes", False)
    wrong = export_model(agent)
    monkeypatch.undo()
    export = export_checked(agent, states)
    scorer = make_scorer(agent, export, wrong)
    assert scorer.engine == "native" and scorer.reason is not None and "otherwise" in scorer.reason
    np.testing.assert_array_equal(scorer.many(states), agent.predict(states)[1])


def test_an_agent_gives_no_signal_and_takes_states_of_its_own_width() -> None:
    agent, states = learned()
    with pytest.raises(ModelError, match="a signal is one number"):
        signal_of(agent)
    with pytest.raises(DataError, match=r"\(n, 4\) was expected"):
        export_checked(agent, states[:, :3])
    with pytest.raises(ModelError, match="learned nothing"):
        export_model(DQNAgent())


def test_a_registered_agent_has_its_graph_and_its_answers_beside_it(tmp_path: Any) -> None:
    registry = ModelRegistry(f"sqlite:///{tmp_path}/r.db", artifacts=tmp_path / "artifacts")
    agent, states = learned(window=3)
    version = registry.get("trader", version=registry.register(agent, name="trader", metrics={}, probe=states))
    assert version.serving["engine"] == "onnx" and version.serving_digest is not None
    content = registry.artifacts.get(version.serving_digest)["serving.onnx"]
    values = agent.predict(states)[1]
    np.testing.assert_allclose(OnnxScorer(content).many(states), values, rtol=0, atol=1e-5 * values.std())
