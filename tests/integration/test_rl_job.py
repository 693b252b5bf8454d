"""``huracan rl train``: from candles to a registered agent, the hold-out untouched."""

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from huracan import UnifiedMLPipeline
from huracan.cli import app
from huracan.config import load_config
from huracan.errors import ConfigError, ModelError
from huracan.integration import rl_training_page
from huracan.integration.preparation import read_source
from huracan.integration.rl_job import before_the_hold_out, market_of
from huracan.market import simulate_market
from huracan.registry.exports.scorers import OnnxScorer
from huracan.reinforcement import BatchTradingEnv
from huracan.reinforcement.action_maps import sampled_states


def settings(home, **rl):
    return {
        "home": str(home),
        "features": {"recipe": "minimal"},
        "data": {"simulation": {"n_bars": 1_200, "n_symbols": 2}},
        "rl": {"total_steps": 800, "n_envs": 4, "agent": {"hidden": [16]}, **rl},
    }


def test_an_agent_is_trained_before_the_hold_out_and_registered_once(tmp_path):
    pipeline = UnifiedMLPipeline(settings(tmp_path))
    trained = pipeline.train_agent()
    again = pipeline.train_agent()
    assert (again.name, again.version) == (trained.name, trained.version) == ("champion.simulated.trained.dqn", 1)
    agent = pipeline.registry.load(trained.name, version=1)
    states = np.zeros((3, agent.layout_.width))
    np.testing.assert_array_equal(agent.predict(states)[1], trained.agent.predict(states)[1])
    graph = tmp_path / "graph"
    command = ["models", "export", f"{trained.name}@1", str(graph), "--onnx", "--home", str(tmp_path)]
    assert "serving.onnx" in CliRunner().invoke(app, command).output
    seen = sampled_states(BatchTradingEnv(trained.market, 4, trained.rules), 40, seed=5)
    values = trained.agent.predict(seen)[1]
    np.testing.assert_allclose(
        OnnxScorer((graph / "serving.onnx").read_bytes()).many(seen), values, rtol=0, atol=1e-5 * values.std()
    )
    config = load_config(settings(tmp_path))
    whole = market_of(config, read_source(config))
    seen = before_the_hold_out(whole, config)
    share = seen.decidable.sum() / whole.decidable.sum()
    assert 1 - config.validation.hold_out_share - 0.02 < share < 1 - config.validation.hold_out_share
    assert trained.learned_from_all
    page = trained.report_path.read_text()
    assert "version 1 of" in page and "Nothing has judged it" in page and trained.market.recipe_hash in page


def test_an_agent_whose_values_exploded_is_not_registered(tmp_path):
    wild = {"hidden": [32, 32], "learning_rate": 50.0, "clip_norm": 1e9, "gamma": 0.999, "tau": 1.0}
    pipeline = UnifiedMLPipeline(settings(tmp_path, total_steps=8_000, agent=wild))
    with pytest.raises(ModelError, match="not registered: values exploded"):
        pipeline.train_agent()
    assert not pipeline.registry.names()


def test_rules_that_contradict_each_other_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="rl: max_leverage"):
        UnifiedMLPipeline(settings(tmp_path, max_leverage=0.5)).train_agent()
    with pytest.raises(ConfigError, match=r"rl\.agent: unknown"):
        UnifiedMLPipeline(settings(tmp_path, agent={"learning_rte": 1.0})).train_agent()
    with pytest.raises(ConfigError, match=r"rl\.agent holds 'n_jobs'"):
        UnifiedMLPipeline(settings(tmp_path, agent={"n_jobs": 2})).train_agent()


def test_the_command_says_what_was_done(tmp_path):
    told = tmp_path / "c.yaml"
    told.write_text(yaml.safe_dump(settings(tmp_path / "home", rebalance=False, observe=["position"])))
    result = CliRunner().invoke(app, ["rl", "train", "--config", str(told), "--steps", "1600"])
    assert result.exit_code == 0, result.output
    assert "1,600 steps" in result.output and "what it tried" in result.output
    assert "version 1 of 'champion.simulated.trained.dqn'" in result.output
    assert "registry.load('champion.simulated.trained.dqn', version=1)" in result.output
    version = UnifiedMLPipeline(told).registry.get("champion.simulated.trained.dqn", version=1)
    assert version.serving_digest is None  # states that show the position only do not say what is allowed
    assert "report.html" in result.output


def test_an_agent_that_sees_the_time_left_has_a_page_without_being_played(tmp_path):
    pipeline = UnifiedMLPipeline(settings(tmp_path, total_steps=1_200, observe=["level", "time_left"], episode_length=50))
    assert "so it was not played" in pipeline.train_agent().report_path.read_text()


def test_a_page_plays_the_latest_bars_of_a_market_that_is_too_long(tmp_path):
    config = load_config(settings(tmp_path))
    whole = market_of(config, read_source(config))
    short = rl_training_page._latest(whole, most=100)
    assert short.decidable.sum() == 100
    assert whole.ts[short.decidable].min() >= whole.ts[whole.decidable & ~short.decidable].max()
    assert rl_training_page._latest(whole) is whole


def test_what_candles_do_not_say_is_told(tmp_path):
    candles = simulate_market(n_bars=600, n_symbols=1, seed=0).candles
    hour = pl.int_range(pl.len())
    holes = candles.with_columns(funding_rate=pl.when(hour % 100 != 50).then(1e-5))
    trained = UnifiedMLPipeline(settings(tmp_path, total_steps=200)).train_agent(holes)
    assert trained.assumed == ("funding rate missing, taken as 0: 6 rows",)
    registry = UnifiedMLPipeline(settings(tmp_path)).registry
    assert registry.get(trained.name, version=1).extras["assumed"] == list(trained.assumed)
    holes.write_parquet(tmp_path / "holes.parquet")
    told = tmp_path / "c.yaml"
    told.write_text(yaml.safe_dump(settings(tmp_path, total_steps=200)))
    said = CliRunner().invoke(app, ["rl", "train", str(tmp_path / "holes.parquet"), "--config", str(told)]).output
    assert "Assumed: funding rate missing, taken as 0: 6 rows" in said
