"""All trials of a search as one frame, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from huracan.automl.objectives import worth
from huracan.automl.trials import Trial, TrialState

if TYPE_CHECKING:
    import polars as pl

__all__ = ["leaderboard"]


def leaderboard(trials: Sequence[Trial], weights: Mapping[str, float], objectives: Sequence[str] = ("gain",)) -> pl.DataFrame:
    """Finished trials by the first objective, then those that were pruned, failed or cut short.

    Parameters
    ----------
    weights : "trial 3" -> weight in the ensemble. objectives : names of ``Trial.values``.

    Returns
    -------
    ``[trial, learner, state, score, fold_1 ... , objectives..., weight, seconds, params, seed, source, reason]``; ``fold_1`` is
    the newest fold.
    """
    import polars as pl

    n_folds = max((len(trial.gains) for trial in trials), default=0)
    order = {state: place for place, state in enumerate(TrialState)}
    named = [objective for objective in objectives if objective != "gain"]

    def row(trial: Trial) -> dict[str, Any]:
        means = trial.fold_means()
        values = dict(zip(objectives, trial.values)) if trial.values else {}
        return {
            "trial": trial.number,
            "learner": trial.learner,
            "state": str(trial.state),
            "score": trial.score,
            **{f"fold_{k + 1}": means.get(k) for k in range(n_folds)},
            **{name: values.get(name) for name in named},
            "weight": weights.get(f"trial {trial.number}", 0.0),
            "seconds": trial.seconds,
            "params": repr(dict(trial.params)),
            "seed": trial.seed,
            "source": trial.source,
            "reason": trial.reason,
        }

    def place(trial: Trial) -> tuple[int, float, int]:
        first = next(iter(worth(trial, objectives)), trial.score)
        return order[trial.state or TrialState.FAILED], -float(np.nan_to_num(first)), trial.number

    return pl.DataFrame([row(trial) for trial in sorted(trials, key=place)], infer_schema_length=None)
