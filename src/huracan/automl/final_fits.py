"""From the chosen settings to fitted models: on all rows, and before that on what was known when the judging span began."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.automl.budget import Budget
from huracan.automl.crew import FoldCrew
from huracan.automl.fold_work import FoldAnswer, FoldTask
from huracan.automl.study_rows import ALL_ROWS, JUDGED, StudyRows
from huracan.automl.trials import Trial
from huracan.baselines.spec import LearnerSpec
from huracan.logs import logger

__all__ = ["FinalFits", "clock_time"]


def clock_time(seconds: Iterable[float], n_workers: int) -> float:
    """Seconds until fits of these lengths are done by so many workers, the shortest first.

    >>> clock_time([3.0, 1.0, 2.0], 1), clock_time([3.0, 1.0, 2.0], 2)
    (6.0, 4.0)
    """
    free = [0.0] * n_workers
    for length in sorted(seconds):
        heapq.heapreplace(free, free[0] + length)
    return max(free)


@dataclass
class FinalFits:
    """Fits the members of an ensemble, as many as time allows.

    Parameters
    ----------
    study, crew, budget : of the search. spec_of : learner -> itself where workers do not know it, else None.

    Attributes
    ----------
    judged : trial -> the model that was judged, once all of them have been.
    """

    study: StudyRows
    crew: FoldCrew
    budget: Budget
    spec_of: Callable[[str], LearnerSpec | None]
    judged: dict[int, Any] = field(default_factory=dict)

    def on_all_rows(self, members: Sequence[Trial]) -> dict[int, Any]:
        """Trial -> fitted model; where time ends, of those that are done."""
        return {number: answer.model for number, answer in self._done(members, ALL_ROWS).items()}

    def judged_answer(self, members: Sequence[Trial], weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The ensemble's answers on the span that judges, with the rest of the weights on the constant; None if a fit fails."""
        done = self._done(members, JUDGED)
        if len(done) < len(members):
            return None
        said = np.full(len(self.study.fold(JUDGED).test), (1.0 - weights.sum()) * self.study.targets[JUDGED].constant)
        for trial, weight in zip(members, weights, strict=True):
            answer = done[trial.number].answer
            assert answer is not None
            said += weight * answer
        self.judged = {number: answer.model for number, answer in done.items()}
        return said

    def _done(self, members: Sequence[Trial], fold: int) -> Mapping[int, FoldAnswer]:
        waiting = {trial.number for trial in members}
        for trial in sorted(members, key=lambda trial: trial.wall_seconds):  # where time is short, as many as it allows
            task = FoldTask(trial.number, fold, trial.learner, trial.params, trial.seed, self.spec_of(trial.learner))
            self.crew.give(task, deadline=self.budget.end)
        done: dict[int, FoldAnswer] = {}
        while waiting:
            for one in self.crew.wait(self.budget.end):
                waiting.discard(one.task.trial)
                if one.task.fold == fold and one.answer is not None:
                    done[one.task.trial] = one.answer
                else:
                    logger().warning("a member could not be fitted", trial=one.task.trial, reason=one.reason)
            if self.budget.end is not None and time.monotonic() >= self.budget.end:
                break
        return done
