"""The search: ask for a setting, fit it fold by fold, stop what is hopeless, write down and tell what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from huracan.automl.budget import Budget
from huracan.automl.choosing import leaders, seconds_to_choose
from huracan.automl.crew import Done, FoldCrew
from huracan.automl.feature_choice import split_choice
from huracan.automl.final_fits import clock_time
from huracan.automl.fold_work import FoldTask
from huracan.automl.objectives import Money, NetResult, worth
from huracan.automl.proposals import Proposals
from huracan.automl.study_rows import VALUED, StudyRows
from huracan.automl.trial_book import LEADERS, OwnBook, TrialBook
from huracan.automl.trials import LEAST_MOMENTS, Trial, TrialState, careful_score, mean_and_error, rounded
from huracan.baselines.spec import LearnerSpec
from huracan.logs import logger

__all__ = ["BY_CHANCE", "Search", "SearchProgress"]

BY_CHANCE = "by chance"
"""Note of a trial that another run of the same search might not make."""

SearchProgress = Callable[[Trial, Trial | None], None]
"""Called after each trial of this process with it and the best one so far."""

_HOPELESS = 2.0
_SHARE_OF_A_TRIAL = 0.2
_MOST_ATTEMPTS = 4
"""Times a trial is begun; a setting that takes its process down would do so for ever."""
_TIMES_OVERDUE = 3
"""Trials of a learner that are ended at their time before it is given up: each costs a worker, and seconds to start another."""
_LEAST_LIMIT = 3.0
"""Seconds of the first fits: what a learner needs is imported in them."""
_SECONDS_OF_LUCK = 3e-3
"""To say how much of the best trial is luck, for each trial, at most."""
_GLANCE = 0.2
"""Seconds between two looks at what others do."""


@dataclass
class Search:
    """One study, as one process works on it.

    Parameters
    ----------
    study : rows and folds. proposals : what is tried. crew : who fits. budget : when it ends.
    book : who numbers trials and keeps them; where others work on the study too, this process waits for their last trials,
        so that all choose from the same ones.
    seed : from which the seeds of trials are made.
    trial_timeout : seconds one trial may take; None for a fifth of a time budget, else no limit.
    pruning : stop trials that are worse than the best by two standard errors on the folds they have answered.
    members : models that are fitted on all rows in the end, at most.
    specs : learners that are not of the catalogue every worker has.
    objectives : what is made large or small. money : what answers are accounted with, where one of them is earned.
    by_chance : the clock, or which worker is first, has a say: noted of each trial, for whoever goes on with the study.
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
    book: TrialBook = field(default_factory=OwnBook)
    progress: SearchProgress | None = None
    objectives: Sequence[str] = ("gain",)
    money: Money | None = None
    by_chance: bool = False

    def __post_init__(self) -> None:
        self._running: dict[int, Trial] = {}
        self._others: dict[int, Trial] = {}
        self._answered: dict[int, Trial] = {}
        self._overdue: dict[str, int] = {}
        self._all_begun = False
        self._prepared: dict[int, float] = {}
        self._preparing: dict[str, float] = {}

    @property
    def finished(self) -> list[Trial]:
        """Trials that have answered all folds."""
        return [trial for trial in self.trials if trial.state is TrialState.FINISHED]

    @property
    def ran_out(self) -> bool:
        """Whether this process ended a trial that took longer than its time."""
        return bool(self._overdue)

    @property
    def best(self) -> Trial | None:
        """The finished trial that is best in the first objective, of equals in the next one; the earliest of equals."""
        return max(self.finished, key=lambda trial: worth(trial, self.objectives), default=None)

    def run(self) -> list[Trial]:
        """Search until the budget is spent; all trials of the study, those that failed included."""
        self._read_news()
        while True:
            while self._has_time() and self.crew.idle > 0 and self._begin():
                pass
            if not self._running:
                if not self._waits_for_others():
                    break
                continue
            for done in self.crew.wait(self._end()):
                self._book(done)
            if not self._has_time():
                self._cut_short()
                break
        self._fetch_answers()
        return self.trials

    def _end(self) -> float | None:
        if self.budget.seconds is None:
            return None
        best = leaders(self.finished, self.members) if self.money is None else [one for one in [self.best] if one is not None]
        if best:
            choosing = seconds_to_choose(self.study, self.members) + self._seconds_of_luck
            return self.budget.end_of_search(self.cost_of(best[0]), self.time_for(best), choosing)
        begun = [trial for trial in (*self._running.values(), *self.trials) if trial.gains]
        return self.budget.end_of_search(min(map(self.cost_of, begun), default=None))

    @property
    def room(self) -> float:
        """Seconds that final fits may take, once the members are chosen, by estimate."""
        return self.budget.room - self._seconds_of_luck

    @property
    def _seconds_of_luck(self) -> float:
        return _SECONDS_OF_LUCK * len(self.trials)

    def time_for(self, trials: Sequence[Trial]) -> float:
        """Seconds, by the clock, that fitting all these settings will take with the workers there are."""
        return clock_time(map(self.cost_of, trials), self.crew.size)

    def cost_of(self, trial: Trial) -> float:
        """Seconds, by the clock, that fitting a trial's setting will take: on all rows, and for the span that judges."""
        study = self.study
        seen = sum(len(study.folds[fold].train) for fold in trial.gains)
        wanted = len(study.rows) + (0 if study.judged is None else len(study.judged.train))
        fitting = trial.wall_seconds - self._prepared.get(trial.number, 0.0)
        choice = split_choice(trial.params)[1]
        preparing = self._preparing.get(trial.learner if choice is None else choice.by, 0.0)  # each final fit prepares anew
        return fitting * wanted / max(seen, 1) + preparing * (1 if study.judged is None else 2)

    def _has_time(self) -> bool:
        end = self._end()
        return end is None or time.monotonic() < end

    def _begin(self) -> bool:
        """Begin a trial: one that its process left behind, else a new one; False where there is none."""
        trial = self.book.orphan()
        if trial is None:
            number = None if self._all_begun else self.book.reserve(self.budget.trials)
            if number is None:
                self._all_begun = True
                return False
            trial = Trial(number, "", {}, 0, "")
        self._others.pop(trial.number, None)
        self._read_news()
        if not trial.learner:
            trial.learner, trial.params, trial.source = self.proposals.next(trial.number)
            trial.seed = int(np.random.SeedSequence((self.seed, trial.number)).generate_state(1)[0])
            trial.notes = {**self.proposals.notes(trial.number), **({BY_CHANCE: 1} if self.by_chance else {})}
            if not self.book.settle(trial):
                return True
        self.proposals.told(trial)
        self._running[trial.number] = trial
        if trial.attempts < _MOST_ATTEMPTS:
            self._next_fold(trial)
        else:
            self._close(trial, TrialState.FAILED, f"it was begun {trial.attempts} times, and each time its process ended")
        return True

    def _read_news(self) -> None:
        """What others began and ended."""
        for trial in self.book.news():
            self.proposals.told(trial)
            if trial.state is None:
                self._others[trial.number] = trial
            else:
                self._others.pop(trial.number, None)
                self.trials.append(trial)
                if trial.state is TrialState.FINISHED:
                    self._answered[trial.number] = trial

    def _waits_for_others(self) -> bool:
        """Whether others still work on trials; after a moment, in which they may have ended."""
        self._read_news()
        if not self._others or not self._has_time():
            return False
        end = self._end()
        time.sleep(_GLANCE if end is None else max(0.0, min(_GLANCE, end - time.monotonic())))
        return True

    def _next_fold(self, trial: Trial) -> None:
        fold = len(trial.gains)
        task = FoldTask(trial.number, fold, trial.learner, trial.params, trial.seed, self.specs.get(trial.learner))
        self._give(trial, task)

    def _give(self, trial: Trial, task: FoldTask) -> None:
        self.crew.give(task, deadline=self._end(), limit=self._limit_of(trial))

    def _limit_of(self, trial: Trial) -> float | None:
        """Seconds the next task of a trial may take.

        Under a time budget a trial has a fifth of it, half as much after each of its learner that was ended there. Until a
        trial is finished each fold has as much: nobody knows yet what is slow.
        """
        if self.trial_timeout is not None:
            return self.trial_timeout - trial.wall_seconds
        if self.budget.seconds is None:
            return None
        share = _SHARE_OF_A_TRIAL * self.budget.seconds * 0.5 ** self._overdue.get(trial.learner, 0)
        return max(_LEAST_LIMIT, share) if self.best is None else share - trial.wall_seconds

    def _book(self, done: Done) -> None:
        trial = self._running.get(done.task.trial)
        if trial is None:
            return
        if done.answer is None:
            if done.overdue == "limit":
                self._overdue[trial.learner] = self._overdue.get(trial.learner, 0) + 1
                if self._overdue[trial.learner] == _TIMES_OVERDUE and self.trial_timeout is None:
                    self.proposals.give_up(trial.learner)
            self._close(trial, TrialState.CUT_SHORT if done.overdue == "deadline" else TrialState.FAILED, done.reason)
            return
        if done.answer.net is not None:
            trial.seconds += done.answer.seconds
            trial.values = self._values(trial, done.answer.net)
            self._close(trial, TrialState.FINISHED)
            return
        assert done.answer.answer is not None
        answer = trial.answers[done.task.fold] = rounded(done.answer.answer)
        trial.gains[done.task.fold] = rounded(self.study.gains(done.task.fold, answer.astype(np.float64)))
        trial.seconds += done.answer.seconds
        trial.wall_seconds += done.answer.wall_seconds
        for name, seconds in done.answer.prepared.items():
            self._prepared[trial.number] = self._prepared.get(trial.number, 0.0) + seconds
            self._preparing[name] = max(seconds, self._preparing.get(name, 0.0))
        folds = sorted(trial.gains)
        trial.score = careful_score(trial.in_time_order(folds))
        if not np.isfinite(trial.score):
            self._close(trial, TrialState.FAILED, "its loss is no number")
        elif len(folds) == len(self.study.folds):
            self._answered_all(trial)
        elif self.pruning and self._hopeless(trial, folds):
            self._close(trial, TrialState.PRUNED, f"worse than trial {self.best.number} after {len(folds)} folds")  # type: ignore[union-attr]
        else:
            self._next_fold(trial)

    def _answered_all(self, trial: Trial) -> None:
        if self.money is None:
            self._close(trial, TrialState.FINISHED)
            return
        answers = dict(trial.answers)
        self._give(trial, FoldTask(trial.number, VALUED, trial.learner, {}, 0, answers=answers, money=self.money))

    def _values(self, trial: Trial, net: NetResult) -> tuple[float, ...]:
        known = {"gain": trial.score, "net_sharpe": net.net_sharpe, "turnover": net.turnover}
        return tuple(known[objective] for objective in self.objectives)

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
            trial.payoff = rounded(self.study.payoff(trial.answers)).astype(np.float64)
        del self._running[trial.number]
        if not self.book.end(trial, self._forgotten(trial)):
            self._answered.pop(trial.number, None)
            logger().warning("a trial was taken over by another process", trial=trial.number, learner=trial.learner)
            return
        self.trials.append(trial)
        self.proposals.told(trial)
        logger().debug(
            "a trial ended", trial=trial.number, learner=trial.learner, state=str(state), score=trial.score, reason=reason
        )
        if self.progress is not None:
            self.progress(trial, self.best)

    def _cut_short(self) -> None:
        self.crew.cancel()  # workers are wanted for the final fits
        for trial in list(self._running.values()):
            self._close(trial, TrialState.CUT_SHORT, "the budget was spent")

    @property
    def _most_leaders(self) -> int:
        return max(LEADERS, self.members)

    def _forgotten(self, ended: Trial) -> list[int]:
        """Other trials whose answers are not needed any more, now that this one has ended; lets go of them."""
        if ended.state is TrialState.FINISHED:
            self._answered[ended.number] = ended
        else:
            ended.answers = {}
        kept = {trial.number for trial in leaders(list(self._answered.values()), self._most_leaders)}
        dropped = [trial for number, trial in self._answered.items() if number not in kept]
        for trial in dropped:
            trial.answers = {}
            del self._answered[trial.number]
        return [trial.number for trial in dropped if trial is not ended]

    def _fetch_answers(self) -> None:
        """Of the leaders, those that others answered."""
        best = leaders(self.finished, self._most_leaders)
        told = self.book.answers(trial.number for trial in best if not trial.answers)
        for trial in best:
            trial.answers = trial.answers or told.get(trial.number, {})
