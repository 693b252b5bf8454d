"""The search: ask for a setting, fit it fold by fold, stop what is hopeless, tell what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from huracan.automl.budget import Budget
from huracan.automl.crew import Done, FoldCrew
from huracan.automl.fold_work import FoldTask
from huracan.automl.proposals import Proposals
from huracan.automl.study_rows import StudyRows
from huracan.automl.trials import LEAST_MOMENTS, Trial, TrialState, careful_score, mean_and_error
from huracan.baselines.spec import LearnerSpec
from huracan.errors import HuracanError
from huracan.logs import logger

__all__ = ["Search", "SearchProgress"]

SearchProgress = Callable[[Trial, Trial | None], None]
"""Called after each trial with it and the best one so far."""

_HOPELESS = 2.0


@dataclass
class Search:
    """One study on one machine.

    Parameters
    ----------
    study : rows and folds. proposals : what is tried. crew : who fits. budget : when it ends.
    seed : from which the seeds of trials are made. trial_timeout : seconds one trial may take; None for no limit of its own.
    pruning : stop trials that are worse than the best by two standard errors on the folds they have answered.
    members : models that are fitted on all rows in the end, at most.
    specs : learners that are not of the catalogue every worker has.
    valued : what the objectives of a finished trial are, where they are others than its gain.
    """

    study: StudyRows
    proposals: Proposals
    crew: FoldCrew
    budget: Budget
    seed: int = 0
    trial_timeout: float | None = None
    pruning: bool = True
    members: int = 12
    specs: dict[str, LearnerSpec] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    progress: SearchProgress | None = None
    valued: Callable[[Trial], tuple[float, ...]] | None = None

    def __post_init__(self) -> None:
        self._running: dict[int, Trial] = {}
        self._begun = len(self.trials)

    @property
    def finished(self) -> list[Trial]:
        """Trials that have answered all folds."""
        return [trial for trial in self.trials if trial.state is TrialState.FINISHED]

    @property
    def best(self) -> Trial | None:
        """The finished trial of the highest score; the earliest of equals."""
        return max(self.finished, key=lambda trial: trial.score, default=None)

    def run(self) -> list[Trial]:
        """Search until the budget is spent; all trials, those that failed included."""
        while self._may_begin() or self._running:
            while self._may_begin() and self.crew.idle > 0:
                self._begin()
            if not self._running:
                break
            for done in self.crew.wait(self._end()):
                self._book(done)
            end = self._end()
            if end is not None and time.monotonic() >= end:
                self._cut_short()
                break
        return self.trials

    def _end(self) -> float | None:
        return self.budget.end_of_search(self.final_fit_seconds())

    def final_fit_seconds(self) -> float | None:
        """How long fitting the best trials in the end will take, by the clock, from what their folds took; None: not known."""
        best = sorted(self.finished, key=lambda trial: -trial.score)[: self.members]
        if not best:  # at least the quickest of those that have begun
            begun = [trial for trial in (*self._running.values(), *self.trials) if trial.gains]
            if not begun:
                return None
            return min(self.cost_of(trial) for trial in begun)
        return sum(self.cost_of(trial) for trial in best)

    def cost_of(self, trial: Trial) -> float:
        """Seconds, by the clock, that fitting a trial's setting will take: on all rows, and for the span that judges."""
        study = self.study
        seen = sum(len(study.folds[fold].train) for fold in trial.gains)
        wanted = len(study.rows) + (0 if study.judged is None else len(study.judged.train))
        return trial.wall_seconds * wanted / max(seen, 1)

    def _may_begin(self) -> bool:
        if self.budget.trials is not None and self._begun >= self.budget.trials:
            return False
        end = self._end()
        return end is None or time.monotonic() < end

    def _begin(self) -> None:
        number, learner, params, source = self.proposals.next()
        seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
        self._running[number] = Trial(number, learner, params, seed, source)
        self._begun += 1
        self._next_fold(self._running[number])

    def _next_fold(self, trial: Trial) -> None:
        fold = len(trial.gains)
        task = FoldTask(trial.number, fold, trial.learner, trial.params, trial.seed, self.specs.get(trial.learner))
        limit = None if self.trial_timeout is None else self.trial_timeout - trial.wall_seconds
        self.crew.give(task, deadline=self._end(), limit=limit)

    def _book(self, done: Done) -> None:
        trial = self._running.get(done.task.trial)
        if trial is None:
            return
        if done.answer is None or done.answer.answer is None:
            end = self._end()
            over = end is not None and time.monotonic() >= end
            self._close(trial, TrialState.CUT_SHORT if over else TrialState.FAILED, done.reason)
            return
        trial.answers[done.task.fold] = done.answer.answer
        trial.gains[done.task.fold] = self.study.gains(done.task.fold, done.answer.answer)
        trial.seconds += done.answer.seconds
        trial.wall_seconds += done.answer.wall_seconds
        folds = sorted(trial.gains)
        trial.score = careful_score(trial.in_time_order(folds))
        if not np.isfinite(trial.score):
            self._close(trial, TrialState.FAILED, "its loss is no number")
        elif len(folds) == len(self.study.folds):
            self._finish(trial)
        elif self.pruning and self._hopeless(trial, folds):
            self._close(trial, TrialState.PRUNED, f"worse than trial {self.best.number} after {len(folds)} folds")  # type: ignore[union-attr]
        else:
            self._next_fold(trial)

    def _finish(self, trial: Trial) -> None:
        if self.valued is not None:
            try:
                trial.values = self.valued(trial)
            except HuracanError as error:
                self._close(trial, TrialState.FAILED, str(error))
                return
        self._close(trial, TrialState.FINISHED)

    def _hopeless(self, trial: Trial, folds: list[int]) -> bool:
        best = self.best
        if best is None:
            return False
        behind = trial.in_time_order(folds) - best.in_time_order(folds)
        mean, error = mean_and_error(behind)
        return len(behind) >= LEAST_MOMENTS and mean < -_HOPELESS * error and mean < 0.0

    def _close(self, trial: Trial, state: TrialState, reason: str = "") -> None:
        trial.state, trial.reason = state, reason
        if state is not TrialState.FINISHED and state is not TrialState.PRUNED:
            trial.score = float("nan")
        if trial.answers:
            trial.payoff = self.study.payoff(trial.answers)
        del self._running[trial.number]
        self.trials.append(trial)
        self.proposals.told(trial)
        logger().debug(
            "a trial ended", trial=trial.number, learner=trial.learner, state=str(state), score=trial.score, reason=reason
        )
        if self.progress is not None:
            self.progress(trial, self.best)

    def _cut_short(self) -> None:
        for trial in list(self._running.values()):
            self._close(trial, TrialState.CUT_SHORT, "the budget was spent")
