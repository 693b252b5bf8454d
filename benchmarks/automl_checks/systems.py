"""What is compared: our search, FLAML's, and learners that nobody tuned; each in a process of its own, on one thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import huracan
from benchmarks.automl_checks.sets import SearchSet, write_set
from benchmarks.peers import KEEPS_FREED_MEMORY, peer_python
from huracan.catalogue import build_model

__all__ = ["FIXED", "FLAML", "Answered", "fixed", "flaml", "ours", "side_by_side"]

FLAML = ["flaml==2.7.0"]
_HOME = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, eq=False)
class Answered:
    """Answers on a set's test rows, and what they cost.

    Attributes
    ----------
    answer : forecasts, or probabilities of up. wall, cpu : seconds of search and refit, processes included. note : what it
        found.
    """

    answer: NDArray[np.float64]
    wall: float
    cpu: float
    note: Mapping[str, Any]


def ours(one: SearchSet, seconds: float | None, **settings: Any) -> Answered:
    """Our search in a fresh process."""
    words = {"seconds": seconds, "settings": settings}
    return _run(sys.executable, "benchmarks.automl_checks.search_ours", one, words)


def flaml(one: SearchSet, seconds: float | None) -> Answered:
    """FLAML's search on the same folds in a fresh process of its own environment.

    Raises
    ------
    FileNotFoundError : it cannot be installed.
    """
    return _run(
        str(peer_python("flaml", FLAML, over_ours=True)), "benchmarks.automl_checks.search_flaml", one, {"seconds": seconds}
    )


def side_by_side(runs: Mapping[str, Callable[[], Answered]]) -> dict[str, Answered]:
    """Runs that begin together, two at a time: what slows the machine slows all of them."""
    with ThreadPoolExecutor(2) as pool:
        begun = {name: pool.submit(run) for name, run in runs.items()}
        return {name: future.result() for name, future in begun.items()}


def _run(python: str, module: str, one: SearchSet, words: Mapping[str, Any]) -> Answered:
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder, "given.npz"), Path(folder, "taken.npz")
        write_set(one, given)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
        path = f"{_HOME}:{Path(huracan.__file__).resolve().parents[1]}"
        environment = {**os.environ, **threads, **KEEPS_FREED_MEMORY, "PYTHONPATH": path}
        found = subprocess.run(
            [python, "-m", module, str(given), str(taken), json.dumps(words)],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        if found.returncode != 0:
            raise AssertionError(f"{module} on {one.name} ended with {found.returncode}: {found.stderr[-2000:]}")
        told = json.loads(found.stdout.strip().splitlines()[-1])
        answer = np.load(taken)["answer"].astype(np.float64)
    assert answer.shape == (len(one.test),), f"{module} on {one.name} answers {answer.shape}"
    assert np.isfinite(answer).all(), f"{module} on {one.name} answers what is not finite"
    return Answered(answer, told["wall"], told["cpu"], told["note"])


def _linear(one: SearchSet) -> Any:
    return build_model("ridge" if one.task == "regression" else "logistic_regression", task=one.task)


def _extra_trees(one: SearchSet) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    kind = ExtraTreesRegressor if one.task == "regression" else ExtraTreesClassifier
    return kind(n_estimators=60, max_depth=8, min_samples_leaf=100, random_state=0)


def _lightgbm(one: SearchSet) -> Any:
    import lightgbm

    kind = lightgbm.LGBMRegressor if one.task == "regression" else lightgbm.LGBMClassifier
    return kind(
        n_estimators=150,
        learning_rate=0.02,
        num_leaves=8,
        min_child_samples=200,
        reg_lambda=10.0,
        subsample=0.5,
        subsample_freq=1,
        colsample_bytree=0.5,
        n_jobs=1,
        random_state=0,
        verbosity=-1,
    )


FIXED: Mapping[str, Callable[[SearchSet], Any]] = {
    "extra trees": _extra_trees,
    "ridge or logistic": _linear,
    "LightGBM": _lightgbm,
}
"""Learners that nobody tuned: 60 extra trees of depth 8 with leaves of 100; linear with our shrinkage; a careful LightGBM."""


def fixed(name: str, one: SearchSet) -> Answered:
    """One of :data:`FIXED`, here."""
    model = FIXED[name](one)
    wall, cpu = time.perf_counter(), time.process_time()
    y = one.train.y if one.task == "regression" else one.train.direction()
    model.fit(one.train.X, y)
    answer = model.predict(one.test.X) if one.task == "regression" else model.predict_proba(one.test.X)[:, 1]
    return Answered(np.asarray(answer, np.float64), time.perf_counter() - wall, time.process_time() - cpu, {})
