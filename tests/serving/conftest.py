"""A champion of a small run on a simulated market with a strong edge, and the candles that came after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from huracan import ModelRegistry, UnifiedMLPipeline
from huracan.market import simulate_market
from huracan.serving import SKETCH_FILE, Champions, Predictor, Signal

NAME = "champion.simulated"
TRAINED = 3_000
OVERLAP = {"holding": "overlap", "horizon": 4, "mode": "scaled", "scale": 0.5}
PAST: dict[str, Any] = {"refresh": None, "max_age": None, "stale_after": None}


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


def _register_copy(registry: ModelRegistry, name: str, level: float, **extras: Any) -> int:
    """The champion of the run once more, ``level`` lower; its position is made of its last four decisions."""
    first = registry.get("champion.simulated")
    policy = {**first.extras["policy"], **OVERLAP, "center": -level, "scale": 0.5 + 0.1 * level}
    return registry.register(
        registry.load(first.name),
        first.info,
        name=name,
        extras={**first.extras, "levels": {"all": level}, "policy": policy, **extras},
        provenance=first.provenance,
        attachments={SKETCH_FILE: registry.attachments(first.name, first.version)[SKETCH_FILE]},
    )


@pytest.fixture(scope="session")
def crowd(registry: ModelRegistry) -> str:
    """Name of five versions; version ``i`` has level ``i``."""
    for level in range(1, 6):
        _register_copy(registry, "crowd", float(level))
    return "crowd"


@pytest.fixture
def alias(request: pytest.FixtureRequest) -> str:
    """An alias for this test alone."""
    return request.node.name.replace("[", " ").replace("]", "")[:190]


@pytest.fixture
def follow(registry: ModelRegistry, crowd: str, history: pl.DataFrame, alias: str) -> Callable[..., Champions]:
    """``follow(**changes)``: the champions of the test's alias, behind the history, for candles of the past."""

    def make(**changes: Any) -> Champions:
        return Champions.from_registry(registry, crowd, **{**PAST, "alias": alias, "history": history, **changes})

    return make


@pytest.fixture
def move(registry: ModelRegistry, crowd: str, alias: str) -> Callable[..., None]:
    """``move(version, symbol=None, regime=None)``: point the test's alias there."""

    def make(version: int, **scope: str) -> None:
        registry.promote(crowd, version, alias=alias, reason="of the test", **scope)  # type: ignore[arg-type]

    return make


@pytest.fixture
def pinned(registry: ModelRegistry, crowd: str, history: pl.DataFrame) -> Callable[[int], Predictor]:
    """``pinned(version)``: a predictor that serves this version for good."""
    return lambda version: Predictor.from_registry(registry, crowd, version=version, **{**PAST, "history": history})


@pytest.fixture
def assert_same() -> Callable[..., None]:
    """``assert_same(mine, theirs, tolerance=1e-9)``: two signals are alike in all but the alias, by which they were found."""

    def check(mine: Signal, theirs: Signal, tolerance: float = 1e-9) -> None:
        assert (mine.symbol, mine.ts, mine.model_id, mine.regime) == (theirs.symbol, theirs.ts, theirs.model_id, theirs.regime)
        assert mine.vetoes == theirs.vetoes
        for number in ("score", "probability", "forecast", "low", "high", "level", "position"):
            one, other = getattr(mine, number), getattr(theirs, number)
            assert (one is None) == (other is None), number
            assert one is None or one == pytest.approx(other, abs=tolerance), number

    return check
