"""A champion of a small run on a simulated market with a strong edge, and the candles that came after."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import pytest

from huracan import ModelRegistry, UnifiedMLPipeline
from huracan.config import HuracanConfig
from huracan.market import simulate_market
from huracan.serving.served import Served, load_served

HOUR = 3_600_000
NAME = "champion.simulated"
TRAINED = 2_000


@dataclass(frozen=True)
class Champion:
    """What a small run left, and the market it ran on with 400 bars more."""

    config: HuracanConfig
    registry: ModelRegistry
    candles: pl.DataFrame

    @property
    def symbols(self) -> list[str]:
        return self.candles["symbol"].unique().sort().to_list()

    @property
    def end_of_training(self) -> int:
        """Close of the last bar that the run saw, milliseconds UTC."""
        return int(self.candles["ts"].dt.epoch("ms")[TRAINED - 1]) + HOUR

    @property
    def end(self) -> int:
        """Close of the last bar there is."""
        return int(self.candles["ts"].dt.epoch("ms").max()) + HOUR  # type: ignore[operator]

    def served(self) -> Served:
        version = self.registry.get(NAME, alias="champion")
        return load_served(self.registry, version, alias="champion", generation=1)


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Champion:
    candles = simulate_market(n_bars=TRAINED + 400, n_symbols=2, seed=0, signal_strength=2.0).candles
    pipeline = UnifiedMLPipeline(
        {
            "home": str(tmp_path_factory.mktemp("home")),
            "profile": "tiny",
            "profiles": {"tiny": {"n_splits": 3, "learners": {"majority": {}, "ridge": {}}}},
            "features": {"recipe": "minimal"},
            "labels": {"horizon": 2},
            "regimes": {"lookback": 200},
            "data": {"simulation": {"n_bars": TRAINED, "n_symbols": 2, "signal_strength": 2.0}},
        }
    )
    result = pipeline.run()
    assert result.champion == "ridge"
    return Champion(pipeline.config, pipeline.registry, candles)
