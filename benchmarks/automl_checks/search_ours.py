"""One search of ours: ``given.npz taken.npz {"seconds": ..., "settings": {...}}``."""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings

import numpy as np

from huracan.automl import AutoMLEngine
from huracan.dataset import TrainingSet
from huracan.validation import PurgedWalkForward


def main(given: str, taken: str, words: str) -> None:
    """Search, fit, answer."""
    data, told = np.load(given), json.loads(words)
    task, y = str(data["task"]), data["y"].astype(np.float64)
    n, d = data["X"].shape
    rows = TrainingSet(
        X=data["X"],
        y=y if task == "regression" else 2.0 * y - 1.0,
        ts=data["decision_time"],
        decision_time=data["decision_time"],
        label_end=data["label_end"],
        feature_names=tuple(f"x{i}" for i in range(d)),
        symbol_code=np.zeros(n, np.int32),
        segment=np.zeros(n, np.int32),
        regime_code=np.full(n, -1, np.int8),
        weight=np.ones(n),
    )
    began = time.perf_counter()
    engine = AutoMLEngine(
        time_budget=told["seconds"],
        task=task,  # type: ignore[arg-type]
        splitter=PurgedWalkForward(4),
        **{"judged_share": 0.0, **told["settings"]},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        engine.fit(rows)
    wall = time.perf_counter() - began
    answer = engine.predict(data["test"]) if task == "regression" else engine.predict_proba(data["test"])[:, 1]
    np.savez(taken, answer=answer)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    board = engine.leaderboard_
    learner = dict(zip(board["trial"], board["learner"], strict=True))
    note = {
        "trials": len(engine.history_),
        "finished": int((board["state"] == "finished").sum()),
        "weights": {f"{name} {learner.get(int(name.split()[1]))}": round(w, 3) for name, w in engine.weights_.items()},
        "notes": engine.notes_,
        "best": board["learner"][0],
        "score": board["score"][0],
    }
    print(json.dumps({"wall": wall, "cpu": sum(one.ru_utime + one.ru_stime for one in used), "note": note}))


if __name__ == "__main__":
    main(*sys.argv[1:4])
