"""Trials a CPU second: our search of LightGBM against Optuna and scikit-learn's interface written as one would.

Twice: each as it comes, at equal scores (that is what the bar is about); and on equal settings, since how long a trial takes
depends on them: the same proposals, as many bins, as large leaves, all four folds.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import markdown_table
from benchmarks.automl_checks.sets import simulated
from huracan.automl import AutoMLEngine, Between, OneOf
from huracan.automl.study_rows import StudyRows
from huracan.automl.trials import TrialState, careful_score
from huracan.catalogue import find_learner
from huracan.dataset import TrainingSet

__all__ = ["throughput_table"]

TRIALS, SEEDS, STRENGTH, FASTER = 30, (1, 2, 3), 0.1, 2.0
SPACE = {
    "n_rounds": Between(40, 500, log=True, whole=True),
    "learning_rate": Between(0.01, 0.1, log=True),
    "num_leaves": Between(3, 48, log=True, whole=True),
    "leaf_fraction": Between(0.002, 0.05, log=True),
    "reg_lambda": Between(1.0, 10_000.0, log=True),
    "subsample": Between(0.3, 0.9),
    "colsample": Between(0.1, 0.9),
    "random_thresholds": OneOf((False,)),
}
FIXED = "random_thresholds"


def plain(rows: TrainingSet, seed: int, settings: Sequence[Mapping[str, Any]] = ()) -> tuple[float, float]:
    """Best score and CPU seconds of a loop over the same folds; it tries the same ``settings``, or proposals of its own with
    the library's number of bins."""
    import lightgbm
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = StudyRows.of(rows, "regression")
    began = time.process_time()

    def objective(trial: optuna.Trial) -> float:
        rounds = trial.suggest_int("n_rounds", 40, 500, log=True)
        rate = trial.suggest_float("learning_rate", 0.01, 0.1, log=True)
        leaves = trial.suggest_int("num_leaves", 3, 48, log=True)
        leaf = trial.suggest_float("leaf_fraction", 0.002, 0.05, log=True)
        ridge = trial.suggest_float("reg_lambda", 1.0, 10_000.0, log=True)
        share = trial.suggest_float("subsample", 0.3, 0.9)
        columns = trial.suggest_float("colsample", 0.1, 0.9)
        gains = []
        for number, fold in enumerate(study.folds):
            model = lightgbm.LGBMRegressor(
                n_estimators=rounds,
                learning_rate=rate,
                num_leaves=leaves,
                min_child_samples=max(1, round(max(20, math.ceil(leaf * len(fold.train))) * share)),
                max_bin=find_learner("lightgbm").defaults["max_bin"] if settings else 255,
                min_child_weight=0.0,
                reg_lambda=ridge,
                subsample=share,
                subsample_freq=1,
                colsample_bytree=columns,
                n_jobs=1,
                random_state=seed,
                verbosity=-1,
            )
            model.fit(rows.X[fold.train], rows.y[fold.train])
            gains.append(study.gains(number, model.predict(rows.X[fold.test])))
        return careful_score(np.concatenate(gains[::-1]))

    optuna_study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for setting in settings:
        optuna_study.enqueue_trial(dict(setting))
    optuna_study.optimize(objective, n_trials=TRIALS)
    return optuna_study.best_value, time.process_time() - began


def ours(rows: TrainingSet, seed: int, *, pruning: bool) -> tuple[float, float, list[dict[str, Any]]]:
    """Best score, CPU seconds and settings of our search; its final fit is left out."""
    told: dict[str, Any] = {"ended": 0.0}

    def progress(*_: object) -> None:
        told["ended"] = time.process_time()

    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = AutoMLEngine(
            max_trials=TRIALS,
            learners=["lightgbm"],
            search_space={"lightgbm": SPACE},
            portfolio=False,
            ensemble=False,
            judged_share=0.0,
            pruning=pruning,
            random_state=seed,
            progress=progress,
        ).fit(rows)
    best = max(trial.score for trial in found.history_ if trial.state is TrialState.FINISHED)
    defaults = find_learner("lightgbm").defaults
    in_turn = sorted(found.history_, key=lambda trial: trial.number)
    settings = [{name: trial.params.get(name, defaults[name]) for name in SPACE if name != FIXED} for trial in in_turn]
    return best, told["ended"] - began, settings


def throughput_table() -> tuple[str, list[str]]:
    """Both on three sets, both ways: a page, and what falls short."""
    rows, ratios, scores = [], [], []
    for way in ("as they come", "equal settings"):
        equal = way == "equal settings"
        for seed in SEEDS:
            data = simulated(500 + seed, STRENGTH)
            score, seconds, settings = ours(data, seed, pruning=not equal)
            other_score, other_seconds = plain(data, seed, settings if equal else ())
            ratio = other_seconds / seconds
            if not equal:
                ratios.append(ratio)
            scores.append(score - other_score)
            rates = [f"{TRIALS / seconds:.2f}", f"{TRIALS / other_seconds:.2f}", f"{ratio:.2f}"]
            rows.append([way, seed, *rates, f"{100 * score:.3f}", f"{100 * other_score:.3f}"])
    heads = ["", "set", "trials a CPU second", "plain loop", "ratio", "best score, %", "plain loop's"]
    median = float(np.median(ratios))
    short = [] if median >= FASTER else [f"trials a CPU second are {median:.2f} times the plain loop's, each as it comes"]
    if np.min(scores) < -0.001:
        short.append(f"the best score is {-100 * np.min(scores):.2f} % below the plain loop's")
    text = (
        f"{TRIALS} trials of LightGBM on 20,000 rows x 60, four purged folds, one thread. As they come: our search with its "
        "binning, shared between trials, and pruning; a loop of Optuna and scikit-learn's interface with the library's 255 "
        "bins and its own proposals. Equal settings: the loop tries the very settings of our search, and neither stops a trial "
        "early. The score is the mean gain less half its standard error."
    )
    return f"{text}\n\n{markdown_table(heads, rows)}", short
