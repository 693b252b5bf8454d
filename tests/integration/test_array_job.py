"""``run_complete_pipeline``: the same call and the same answer for numpy, pandas and polars, by both import paths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from huracan import UnifiedMLPipeline
from huracan.errors import DataError, HuracanError
from huracan.integration.results import STAGES

ROOT = Path(__file__).resolve().parents[2]
LEARNERS: dict[str, Any] = {"majority": {}, "ridge": {}, "logistic_regression": {}, "lightgbm": {}}


@pytest.fixture(scope="module")
def pipeline() -> UnifiedMLPipeline:
    return UnifiedMLPipeline({"profile": "tiny", "profiles": {"tiny": {"learners": LEARNERS}}})


def _data(n: int = 900, kind: str = "numpy", classes: bool = False, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    y = 0.5 * X[:, 0] + rng.normal(size=n)
    target = (y > 0).astype(int) if classes else y
    names = ["a", "b", "c", "d"]
    frames = {
        "numpy": lambda v: v,
        "pandas": lambda v: pd.DataFrame(v, columns=names),
        "polars": lambda v: pl.DataFrame(v, schema=names),
    }
    series = {"numpy": lambda v: v, "pandas": pd.Series, "polars": lambda v: pl.Series("y", v)}
    cuts = {"train": slice(0, n // 2), "val": slice(n // 2, 3 * n // 4), "test": slice(3 * n // 4, n)}
    return {f"X_{p}": frames[kind](X[c]) for p, c in cuts.items()} | {
        f"y_{p}": series[kind](target[c]) for p, c in cuts.items()
    }


@pytest.mark.parametrize("classes", [False, True])
def test_every_kind_of_input_gives_the_same_answer(pipeline: UnifiedMLPipeline, classes: bool) -> None:
    results = [pipeline.run_complete_pipeline(**_data(kind=kind, classes=classes)) for kind in ("numpy", "pandas", "polars")]
    assert len({r.result_hash for r in results}) == 1
    for result in results:
        assert tuple(result) == STAGES
        assert result.champion is not None
        assert len(result["predictions"]["forecast"]) == 225
        assert result["evaluation"]["net"]["status"] == "not_run"


def test_a_linear_truth_is_found_and_noise_is_not(pipeline: UnifiedMLPipeline) -> None:
    table = pipeline.run_complete_pipeline(**_data())["evaluation"]["metrics"]
    ridge = table.filter(pl.col("learner") == "ridge")
    assert ridge["r2"][0] == pytest.approx(0.2, abs=0.06), "theory: .25 / 1.25"
    crowned = 0
    for seed in range(20):
        data = _data(seed=seed)
        rng = np.random.default_rng(100 + seed)
        noise = {k: rng.normal(size=len(v)) for k, v in data.items() if k.startswith("y_")}
        crowned += pipeline.run_complete_pipeline(**{**data, **noise}).champion is not None
    assert crowned <= 3, "5 % of 20 is 1; more than 3 has probability below 2 %"


def test_rows_whose_label_reaches_into_the_next_part_are_left_out(pipeline: UnifiedMLPipeline) -> None:
    result = pipeline.run_complete_pipeline(**_data(), label_horizon=5)
    assert result["preprocessing"]["purged"] == {"train": 5, "val": 5}
    assert result["preprocessing"]["time_source"] == "row order"


def test_prices_give_a_net_result(pipeline: UnifiedMLPipeline) -> None:
    rng = np.random.default_rng(0)
    data = _data()
    prices = {p: 100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(data[f"X_{p}"])))) for p in ("train", "val", "test")}
    net = pipeline.run_complete_pipeline(**data, prices=prices)["evaluation"]["net"]
    assert {"learner", "total_return", "sharpe"} <= set(net.columns)


def test_missing_values_are_filled_by_the_training_part_alone(pipeline: UnifiedMLPipeline) -> None:
    data = _data()
    data["X_train"][3, 1] = np.nan
    data["X_test"][5, 2] = np.nan
    before = pipeline.run_complete_pipeline(**data)
    data["X_test"][:, 3] *= 1000
    after = pipeline.run_complete_pipeline(**data)
    assert np.array_equal(
        before["preprocessing"]["preprocessor"].transform(data["X_val"]),
        after["preprocessing"]["preprocessor"].transform(data["X_val"]),
    )


def test_classes_come_back_under_their_own_names(pipeline: UnifiedMLPipeline) -> None:
    data = _data(classes=True)
    named = {k: np.where(v == 1, "up", "down") if k.startswith("y_") else v for k, v in data.items()}
    predictions = pipeline.run_complete_pipeline(**named)["predictions"]
    assert set(predictions["predicted"]) <= {"up", "down"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y_train": np.zeros(450)}, "y_train holds only the value 0.0"),
        ({"y_val": np.zeros(3)}, "val: y has 3 rows where X has 225"),
        ({"X_test": np.zeros((225, 3))}, "X_test"),
        ({"y_test": np.full(225, np.nan)}, "test: column 'y' holds nan in row 0"),
        ({"X_val": np.zeros((0, 4)), "y_val": np.zeros(0)}, "X_val"),
        ({"ts": {"train": np.arange(3)}}, "ts lacks 'val'"),
    ],
)
def test_bad_parts_are_named(pipeline: UnifiedMLPipeline, change: dict[str, Any], said: str) -> None:
    with pytest.raises(HuracanError, match=said):
        pipeline.run_complete_pipeline(**{**_data(), **change})


def test_parts_must_follow_each_other(pipeline: UnifiedMLPipeline) -> None:
    days = np.datetime64("2024-01-01") + np.arange(900)
    with pytest.raises(DataError, match="must follow each other in time"):
        pipeline.run_complete_pipeline(**_data(), ts={"train": days[450:], "val": days[:225], "test": days[225:450]})


def test_documented_import_path_gives_the_very_same_objects() -> None:
    program = """
from src.cloud.training.ml_framework.integration.unified_pipeline import UnifiedMLPipeline
from src.cloud.training.ml_framework.model_registry import ModelRegistry
from src.cloud.training.ml_framework.preprocessing.enhanced_preprocessing import EnhancedPreprocessor
from src.cloud.training.ml_framework.baselines.ab_testing import compare_models
import huracan, huracan.preprocessing, huracan.baselines.ab_testing as ab
assert UnifiedMLPipeline is huracan.UnifiedMLPipeline and ModelRegistry is huracan.ModelRegistry
assert EnhancedPreprocessor is huracan.preprocessing.EnhancedPreprocessor and compare_models is ab.compare_models
assert ab.__spec__.name == "huracan.baselines.ab_testing"
pipeline = UnifiedMLPipeline("config/ml_framework.yaml")
try:
    import src.cloud.training.ml_framework.nothing
except ModuleNotFoundError:
    print("same")
"""
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "same\n", done.stderr
