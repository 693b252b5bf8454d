"""From finished trials to weights: greedy selection of members on their out-of-fold answers, the constant among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from huracan.automl.study_rows import StudyRows
from huracan.automl.trials import Trial
from huracan.ensembles.greedy import greedy_weights

__all__ = ["CONSTANT", "choose", "leaders", "seconds_to_choose", "table_of"]

CONSTANT = "constant"
"""The member that answers the mean of the training labels: as much of it as the data asks for."""

_LEAST_WEIGHT = 0.02
_MOST_ROWS = 50_000
"""Rows that a selection by log loss looks at, drawn at random from all: it goes over them a thousand times."""
_SECONDS = 3e-6
"""Of such a selection, for each row and member, at most: half of it on a core that is free."""
_OF_A_KIND = 3
"""Settings of one learner that come before those of others have had as many places: near copies of the best add little."""


def leaders(trials: Sequence[Trial], most: int) -> list[Trial]:
    """The best finished trials, best first: of each learner three at most, before more of any; no setting twice.

    >>> leaders([], 3)
    []
    """
    chosen: dict[str, Trial] = {}
    for trial in sorted(trials, key=_by_score):
        chosen.setdefault(repr((trial.learner, sorted(trial.params.items()))), trial)
    place: dict[str, int] = {}
    rounds: dict[int, list[Trial]] = {}
    for trial in chosen.values():
        place[trial.learner] = place.get(trial.learner, -1) + 1
        rounds.setdefault(place[trial.learner] // _OF_A_KIND, []).append(trial)
    in_turn = [trial for turn in sorted(rounds) for trial in rounds[turn]]
    return sorted(in_turn[:most], key=_by_score)


def _by_score(trial: Trial) -> tuple[float, int]:
    return -trial.score, trial.number


def table_of(
    study: StudyRows, trials: Sequence[Trial], folds: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Out-of-fold answers (rows, trials and the constant last) and labels, oldest fold first."""
    answers, labels = [], []
    for fold in sorted(folds, reverse=True):
        target = study.targets[fold]
        answers.append(np.column_stack([*(trial.answers[fold] for trial in trials), np.full(len(target.y), target.constant)]))
        labels.append(target.y)
    return np.concatenate(answers), np.concatenate(labels)


def seconds_to_choose(study: StudyRows, n_members: int) -> float:
    """How long :func:`choose` will take for so many members, by estimate."""
    if study.metric != "log_loss" or n_members < 2:
        return 0.0
    return _SECONDS * (n_members + 1) * min(_MOST_ROWS, sum(len(fold.test) for fold in study.folds))


def choose(
    study: StudyRows, trials: Sequence[Trial], *, most: int, ensemble: bool, random_state: int
) -> tuple[list[Trial], NDArray[np.float64]]:
    """Members and their weights, what is left to 1 being the constant's; the best trial alone where no ensemble is wanted."""
    best = leaders(trials, most if ensemble else 1)
    if not ensemble:
        return best, np.ones(1)
    answers, labels = table_of(study, best, range(len(study.folds)))
    if study.metric == "log_loss" and len(labels) > _MOST_ROWS:
        drawn = np.sort(np.random.default_rng(random_state).choice(len(labels), _MOST_ROWS, replace=False))
        answers, labels = answers[drawn], labels[drawn]
    weights = greedy_weights(answers, labels, study.metric, random_state=random_state)
    kept = [i for i in range(len(best)) if weights[i] >= _LEAST_WEIGHT]
    if not kept:
        return best[:1], np.array([max(_LEAST_WEIGHT, float(weights[:-1].sum()))])
    scale = weights[:-1].sum() / weights[kept].sum()
    return [best[i] for i in kept], weights[kept] * scale
