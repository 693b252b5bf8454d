"""One search of FLAML on the same purged folds: ``given.npz taken.npz {"seconds": ...}``; runs in FLAML's environment."""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from flaml import AutoML

from huracan.validation import PurgedWalkForward


class Folds:
    """Our folds in scikit-learn's shape; refuses rows that were put in another order."""

    def __init__(self, X: Any, decision_time: Any, label_end: Any) -> None:
        self.X = X
        self.folds = list(PurgedWalkForward(4).folds(X, decision_time=decision_time, label_end=label_end))
        self.used = 0

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return len(self.folds)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Any, Any]]:
        assert np.array_equal(np.asarray(X), self.X), "FLAML has put the rows in another order"
        self.used += 1
        for fold in self.folds:
            yield fold.train, fold.test


def main(given: str, taken: str, words: str) -> None:
    """Search, fit, answer."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    data, told = np.load(given), json.loads(words)
    task, X, y = str(data["task"]), data["X"], data["y"]
    folds = Folds(X, data["decision_time"], data["label_end"])
    began = time.perf_counter()
    search = AutoML()
    search.fit(
        X,
        y,
        task=task,
        metric="mse" if task == "regression" else "log_loss",
        time_budget=told["seconds"],
        eval_method="cv",
        split_type=folds,
        n_jobs=1,
        seed=0,
        verbose=0,
    )
    wall = time.perf_counter() - began
    assert folds.used > 0, "FLAML did not use the folds"
    answer = search.predict(data["test"]) if task == "regression" else search.predict_proba(data["test"])[:, 1]
    np.savez(taken, answer=np.asarray(answer, np.float64))
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    note = {"best": search.best_estimator, "trials": folds.used, "score": float(search.best_loss)}
    print(json.dumps({"wall": wall, "cpu": sum(one.ru_utime + one.ru_stime for one in used), "note": note}))


if __name__ == "__main__":
    main(*sys.argv[1:4])
