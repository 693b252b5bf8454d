"""A champion of a small run on a simulated market with a strong edge, and the candles that came after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from huracan import ModelRegistry, UnifiedMLPipeline
from huracan.market import simulate_market
from huracan.serving import Predictor

NAME = "champion.simulated"
TRAINED = 3_000


@pytest.fixture(scope="session")
def candles() -> pl.DataFrame:
    """The market the champion was trained on, and 300 bars more."""
    return simulate_market(n_bars=TRAINED + 300, n_symbols=2, seed=0, signal_strength=2.0).candles


@pytest.fixture(scope="session")
def history(candles: pl.DataFrame) -> pl.DataFrame:
    return candles.filter(pl.int_range(pl.len()).over("symbol") < TRAINED)


@pytest.fixture(scope="session")
def later(candles: pl.DataFrame) -> list[dict[str, Any]]:
    """What came after the history, bar by bar."""
    after = candles.filter(pl.int_range(pl.len()).over("symbol") >= TRAINED).sort("ts", "symbol")
    return list(after.iter_rows(named=True))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    pipeline = UnifiedMLPipeline(
        {
            "home": str(tmp_path_factory.mktemp("home")),
            "profile": "tiny",
            "profiles": {"tiny": {"n_splits": 3, "learners": {"majority": {}, "ridge": {}}}},
            "features": {"recipe": "minimal"},
            "data": {"simulation": {"n_bars": TRAINED, "n_symbols": 2, "signal_strength": 2.0}},
        }
    )
    assert pipeline.run()["ab_testing"] is not None
    return pipeline.registry


@pytest.fixture
def opened(registry: ModelRegistry, history: pl.DataFrame) -> Callable[..., Predictor]:
    """``opened(**changes)``: a predictor of the champion that stands behind the history, for candles of the past."""

    def make(**changes: Any) -> Predictor:
        asked = {"history": history, "refresh": None, "max_age": None, "stale_after": None, **changes}
        return Predictor.from_registry(registry, NAME, **asked)

    return make
