"""Every kind of learner of the catalogue can be searched, on one symbol or many."""

from __future__ import annotations

import numpy as np
import pytest

from huracan.automl import AutoMLEngine, Between, OneOf
from huracan.dataset import TrainingSet


def two_symbols(n: int = 400) -> TrainingSet:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2 * n, 3)).astype(np.float32)
    times = np.tile(np.datetime64("2020-01-01") + np.arange(n), 2)
    y = 0.8 * X[:, 0] + rng.standard_normal(2 * n)
    return TrainingSet.from_arrays(X, y, ts=times, symbol=["A"] * n + ["B"] * n, label_horizon=2)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_networks_that_look_back_are_searched_beside_linear_models(task: str) -> None:
    pytest.importorskip("torch")
    linear = "ridge" if task == "regression" else "logistic_regression"
    space = {"gru": {"window": OneOf((4, 8)), "hidden": OneOf((8, 16)), "max_epochs": Between(2, 4, whole=True)}}
    rows = two_symbols()
    found = AutoMLEngine(
        max_trials=4,
        task=task,
        learners=[linear, "gru"],
        search_space=space,
        pruning=False,
        n_workers=1,  # type: ignore[arg-type]
    ).fit(rows)
    networks = [trial for trial in found.history_ if trial.learner == "gru"]
    assert networks and all(str(trial.state) == "finished" for trial in networks)
    assert np.isfinite(found.predict(rows)).all() and found.verdict_ is not None and found.verdict_.n_moments == 80


@pytest.mark.parametrize("sampler", ["random", "qmc", "nsga_ii", "cma_es", "gp"])
def test_other_samplers_by_name(sampler: str) -> None:
    space = {"ridge": {"expected_ic": Between(0.01, 0.3, log=True)}}
    found = AutoMLEngine(max_trials=4, learners=["ridge"], search_space=space, sampler=sampler, portfolio=False).fit(
        two_symbols()
    )
    assert len({trial.params.get("expected_ic") for trial in found.history_}) > 2
