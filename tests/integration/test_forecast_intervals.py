"""Intervals around forecasts hold what they promise, by symbol and year, and know nothing that was not known yet."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from huracan import UnifiedMLPipeline
from huracan.dataset import TrainingSet
from huracan.integration.forecast_intervals import forecast_intervals

N = 1_500


def evidence_of(task: str = "regression") -> Any:
    """Two symbols of daily rows; the second's volatility triples on the way."""
    rng = np.random.default_rng(0)
    days = np.datetime64("2020-01-01") + np.arange(N)
    size = np.concatenate([np.full(N, 0.01), np.where(np.arange(N) < 700, 0.01, 0.03)])
    X = rng.standard_normal((2 * N, 1))
    rows = TrainingSet.from_arrays(
        X, 0.3 * size * X[:, 0] + size * rng.standard_normal(2 * N), ts=[*days, *days], symbol=["A"] * N + ["B"] * N
    )
    run = SimpleNamespace(task=task, score=0.003 * rows.X[:, 0].astype(np.float64))
    return SimpleNamespace(runs={"ridge": run}, plan=SimpleNamespace(rows=rows, judged=np.arange(400, 2 * N)))


def test_nine_of_ten_labels_lie_inside_in_every_symbol_and_year() -> None:
    found = forecast_intervals(evidence_of(), "ridge")
    assert found.columns == ["symbol", "year", "rows", "coverage", "mean_width"]
    whole = found.filter(pl.col("rows") > 300)
    assert set(whole["symbol"]) == {"A", "B"} and whole["coverage"].is_between(0.87, 0.93).all()
    width = {(symbol, year): w for symbol, year, _, _, w in whole.iter_rows()}
    assert width["B", 2023] > 2.0 * width["A", 2023], "they widen where the market does"


def test_a_learner_of_classes_forecasts_no_label() -> None:
    assert forecast_intervals(evidence_of("classification"), "ridge").is_empty()


def test_the_main_job_reports_them(tmp_path: Path, small_config: Any) -> None:
    tiny = {"n_splits": 3, "learners": {"majority": {}, "ridge": {}}}
    result = UnifiedMLPipeline(small_config(tmp_path, profiles={"tiny": tiny})).run()
    found = result["evaluation"]["forecast_intervals"]
    assert found["rows"].sum() > 0 and found["mean_width"].min() > 0.0
    assert result.report_path is not None and "How wide is a forecast?" in result.report_path.read_text()
