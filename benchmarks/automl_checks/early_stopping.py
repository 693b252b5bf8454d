"""Whether boosters gain from stopping early in a fold: LightGBM with fixed rounds, stopped by a purged tail, and refitted."""

from __future__ import annotations

import numpy as np

from benchmarks import markdown_table
from benchmarks.automl_checks.comparison import gains_of
from benchmarks.automl_checks.sets import STRENGTHS, SearchSet, simulated
from huracan.models.validation_tail import purged_tail
from huracan.validation import lock_hold_out
from huracan.validation.row_times import RowTimes

__all__ = ["early_stopping_table"]

SETS, FIRST_SEED = 15, 100
TAIL, PATIENCE, ROUNDS, MOST_ROUNDS = 0.15, 30, 200, 600


def _gains(one: SearchSet) -> tuple[float, float, float]:
    """Percent saved with fixed rounds; by the trees that the tail stopped; refitted on all rows with as many."""
    import lightgbm

    settings = {
        "objective": "regression",
        "learning_rate": 0.03,
        "num_leaves": 16,
        "lambda_l2": 1_000.0,
        "min_data_in_leaf": 75,
        "bagging_fraction": 0.5,
        "bagging_freq": 1,
        "feature_fraction": 0.5,
        "max_bin": 64,
        "extra_trees": True,
        "num_threads": 1,
        "seed": 0,
        "verbosity": -1,
    }
    X, y = one.train.X, one.train.y
    early, tail = purged_tail(RowTimes.of(one.train), np.arange(len(X)), share=TAIL, embargo=0)
    fixed = lightgbm.train(settings, lightgbm.Dataset(X, y), ROUNDS)
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    judge = lightgbm.Dataset(X[tail], y[tail])
    stopped = lightgbm.train(settings, lightgbm.Dataset(X[early], y[early]), MOST_ROUNDS, valid_sets=[judge], callbacks=[stop])
    rounds = max(1, stopped.best_iteration)
    refitted = lightgbm.train(settings, lightgbm.Dataset(X, y), rounds)
    first, second, third = (gains_of(one, model.predict(one.test.X)) for model in (fixed, stopped, refitted))
    return first, second, third


def early_stopping_table() -> str:
    """On simulated sets that no other table uses, regression."""
    found = []
    for i in range(SETS):
        train, test = lock_hold_out(simulated(FIRST_SEED + i, STRENGTHS[i % len(STRENGTHS)]), 0.25)
        found.append(_gains(SearchSet("", "regression", train, test.open("the comparison"))))
    gains = np.array(found)
    more = gains[:, 1:] - gains[:, :1]
    error = more.std(axis=0, ddof=1) / np.sqrt(SETS)
    rows = [[f"{ROUNDS} rounds", f"{gains[:, 0].mean():+.3f}", ""]]
    for k, name in enumerate((f"stopped by the last {100 * TAIL:.0f} %, purged", "refitted on all rows with as many rounds")):
        rows.append([name, f"{gains[:, k + 1].mean():+.3f}", f"{more[:, k].mean():+.3f} ({error[k]:.3f})"])
    return markdown_table(["LightGBM", "saved, %", "more than with fixed rounds (se)"], rows)
