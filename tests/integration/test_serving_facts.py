"""What a run keeps with its champion for serving is what its rows and scores out of fold say."""

from __future__ import annotations

import numpy as np
import pytest

from huracan import UnifiedMLPipeline
from huracan.integration import PipelineResult
from huracan.market import simulate_market
from huracan.serving import SKETCH_FILE, Predictor, TrainingSketch

NAME = "champion.simulated"
SmallRun = tuple[UnifiedMLPipeline, PipelineResult]


def test_every_run_leaves_a_model_that_can_be_asked(small_run: SmallRun) -> None:
    pipeline, _ = small_run
    version = pipeline.registry.get(NAME)
    signature = version.info.signature
    assert signature is not None
    assert signature.bar_length_ms == 3_600_000
    assert len(signature.low) == len(signature.high) == len(signature.columns)
    assert all(low < high for low, high in zip(signature.low, signature.high))
    sketch = TrainingSketch.from_bytes(pipeline.registry.attachments(NAME, version.version)[SKETCH_FILE])
    assert sketch.columns == signature.columns
    np.testing.assert_array_equal(sketch.low, np.array(signature.low, np.float32))
    predictor = Predictor.from_registry(pipeline.registry, NAME, refresh=None)
    assert predictor.model_id == version.model_id


@pytest.mark.parametrize("learner", ["ridge", "logistic_regression"])
def test_a_forecast_is_the_label_as_a_line_in_the_score(
    small_config, tmp_path_factory: pytest.TempPathFactory, learner: str
) -> None:
    """Known edge: the larger the score, the larger the label; the interval's scores are residuals of that line."""
    home = tmp_path_factory.mktemp(learner)
    changes = {
        "profiles": {"tiny": {"n_splits": 3, "learners": {learner: {}}}},
        "data": {"simulation": {"n_bars": 3_000, "n_symbols": 2, "signal_strength": 2.0}},
    }
    pipeline = UnifiedMLPipeline(small_config(home, **changes))
    result = pipeline.run()
    assert result.champion == learner
    extras = pipeline.registry.get(NAME).extras
    assert extras["forecast"]["slope"] > 0
    state = extras["intervals"]["state"]
    assert state["level"] == pipeline.config.serving.interval_level
    assert len(state["recent"]) == 250
    assert min(state["recent"]) >= 0
    latest = result["predictions"].sort("symbol")
    candles = simulate_market(n_bars=3_000, n_symbols=2, seed=pipeline.config.seed, signal_strength=2.0).candles
    served = Predictor.from_registry(pipeline.registry, NAME, refresh=None, max_age=None).predict(candles)
    last = served.group_by("symbol", maintain_order=True).last().sort("symbol")
    np.testing.assert_allclose(last["score"], latest["score"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last["probability"], latest["probability_up"], rtol=1e-5)
    assert last["regime"].to_list() == latest["regime"].to_list()
    unlike = last["vetoes"].list.len() > 0
    assert last.filter(~unlike)["position"].to_list() == latest.filter(~unlike)["position"].to_list()
    assert (last["low"] < last["forecast"]).all()
