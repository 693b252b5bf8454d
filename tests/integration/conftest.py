"""A main job small enough for tests: a few quick learners, three folds, two simulated symbols."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from huracan import UnifiedMLPipeline
from huracan.automl import AutoMLEngine
from huracan.integration import PipelineResult

SmallConfig = Callable[..., dict[str, Any]]


def _small_config(home: Path, **changes: Any) -> dict[str, Any]:
    learners: dict[str, Any] = {"majority": {}, "ridge": {}, "logistic_regression": {}, "decision_tree": {}}
    return {
        "home": str(home),
        "profile": "tiny",
        "profiles": {"tiny": {"n_splits": 3, "learners": learners}},
        "features": {"recipe": "minimal"},
        "data": {"simulation": {"n_bars": 900, "n_symbols": 2}},
        **changes,
    }


@pytest.fixture(scope="session")
def small_config() -> SmallConfig:
    """``small_config(home, **changes)``: a configuration whose run takes a second or two."""
    return _small_config


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[UnifiedMLPipeline, PipelineResult]:
    """One finished small run, shared by the tests that only look at it."""
    pipeline = UnifiedMLPipeline(_small_config(tmp_path_factory.mktemp("home")))
    return pipeline, pipeline.run()


def _with_a_judging_engine(patch: pytest.MonkeyPatch) -> None:
    if not {"judged_share", "database"} <= set(signature(AutoMLEngine.__init__).parameters):
        from tests.integration.judging_engine import JudgingEngine

        patch.setattr("huracan.integration.automl_job.AutoMLEngine", JudgingEngine)


@pytest.fixture(scope="session")
def with_a_judging_engine() -> Callable[[pytest.MonkeyPatch], None]:
    """Give the job an engine that takes all that it is told, where the installed one does not yet."""
    return _with_a_judging_engine


@pytest.fixture
def judging_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, for one test."""
    _with_a_judging_engine(monkeypatch)
