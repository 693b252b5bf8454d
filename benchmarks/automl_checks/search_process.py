"""``python -m benchmarks.automl_checks.search_process SPEC``: one process of a search; prints what it found as JSON.

It says ``ready`` when all is imported and made, and begins when it is given a line: processes that are to begin together do.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from huracan.automl import AutoMLEngine, Between, OneOf
from huracan.dataset import TrainingSet

__all__ = ["SearchSpec", "engine_of", "outcome", "rows_of"]

SMALL = {"lightgbm": {"n_rounds": Between(5, 20, whole=True), "num_leaves": OneOf((2, 4, 8))}}


@dataclass(frozen=True)
class SearchSpec:
    """A search as plain data.

    Attributes
    ----------
    url, study : where it is kept; None for memory. rounds : of every booster; None leaves them to a
        search of small ones.
    """

    url: str | None
    study: str | None
    trials: int
    n_rows: int = 600
    n_features: int = 4
    sampler: str = "tpe"
    rounds: int | None = None
    pruning: bool = True
    lost_after: float = 60.0

    def text(self) -> str:
        """What the process reads."""
        return json.dumps(asdict(self))


def rows_of(spec: SearchSpec) -> TrainingSet:
    """A faint line in noise."""
    rng = np.random.default_rng(11)
    X = rng.standard_normal((spec.n_rows, spec.n_features)).astype(np.float32)
    return TrainingSet.from_arrays(X, 0.4 * X[:, 0] + rng.standard_normal(spec.n_rows), label_horizon=3)


def engine_of(spec: SearchSpec) -> AutoMLEngine:
    """The engine that the process runs."""
    space: dict[str, Any] = SMALL
    if spec.rounds is not None:
        space = {"lightgbm": {"n_rounds": Between(spec.rounds, spec.rounds, whole=True), "num_leaves": OneOf((8,))}}
    return AutoMLEngine(
        max_trials=spec.trials,
        learners=["ridge", "lightgbm"] if spec.rounds is None else ["lightgbm"],
        search_space=space,
        sampler=spec.sampler,
        portfolio=spec.rounds is None,
        pruning=spec.pruning,
        random_state=3,
        database=spec.url,
        study=spec.study,
        lost_after=spec.lost_after,
    )


def outcome(engine: AutoMLEngine, rows: TrainingSet) -> dict[str, Any]:
    """What must be the same, whatever befell the process."""
    forecast = np.ascontiguousarray(engine.predict(rows)).tobytes()
    return {"weights": engine.weights_, "forecast": hashlib.sha256(forecast).hexdigest(), "trials": len(engine.history_)}


def main() -> None:
    spec = SearchSpec(**json.loads(sys.argv[1]))
    rows, engine = rows_of(spec), engine_of(spec)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(outcome(engine.fit(rows), rows)), flush=True)


if __name__ == "__main__":
    main()
