"""An autoencoder says of one window what it says of rows; columns that stood still included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from huracan.catalogue import build_model
from huracan.errors import ModelError
from huracan.market import simulate_market
from huracan.registry.exports import AnomalyScorer, anomaly

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (huracan[serve])")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2_500, 5)).astype(np.float32)
X[:, 4] = 1.5
WINDOWS = X[:2_400].reshape(-1, 8, 5)


@pytest.fixture(scope="module")
def model() -> Any:
    return build_model("autoencoder", window=8, latent=3, hidden=24, cross_hidden=12, max_epochs=2).fit(X)


def strange() -> np.ndarray:
    made = WINDOWS[:40].copy()
    made[:10, 3, 1] += 9.0
    made[10:20, 2:7, 0] *= 0.01
    made[20:25, 5, 4] = 1.6  # a column that never moved
    return made


def test_shares_are_the_models_own(model: Any) -> None:
    scorer = AnomalyScorer(model, WINDOWS)
    assert scorer.engine == "onnx", scorer.reason
    windows = np.concatenate([strange(), WINDOWS[100:160]])
    own = model.anomaly_share(windows)
    said = np.array([scorer.share(window) for window in windows])
    np.testing.assert_allclose(said, own, atol=0.005)  # a score on the edge of one of 512 steps may fall on either side
    assert np.mean(said == own) > 0.9
    assert said[20:25].max() == own.min() == model.shares_.least


def test_a_graph_that_differs_is_left_aside(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomaly, "_NEAR", 0.0)
    scorer = AnomalyScorer(model, WINDOWS)
    assert scorer.engine == "native" and scorer.reason is not None and "differs" in scorer.reason
    assert [scorer.share(window) for window in strange()] == model.anomaly_share(strange()).tolist()


def test_an_autoencoder_of_candles_is_refused(model: Any) -> None:
    candles = simulate_market(n_bars=900, n_symbols=1, seed=0).candles
    of_candles = build_model("autoencoder", window=8, latent=2, max_epochs=1, reference=24).fit(candles)
    with pytest.raises(ModelError, match="fitted on candles"):
        AnomalyScorer(of_candles, WINDOWS)
    with pytest.raises(ModelError, match="at least one"):
        AnomalyScorer(model, WINDOWS[:0])
