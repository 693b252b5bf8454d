"""``AutoMLEngine``: the best model, or ensemble of models, that a budget can find."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from huracan.automl.budget import Budget
from huracan.automl.choosing import CONSTANT, choose
from huracan.automl.crew import FoldCrew, ProcessFolds, SameProcess
from huracan.automl.fold_work import ALL_ROWS, FoldTask
from huracan.automl.open_book import open_book
from huracan.automl.portfolio import starting_settings
from huracan.automl.proposals import Proposals, sampler_of, search_spaces
from huracan.automl.search import Search, SearchProgress
from huracan.automl.study_rows import StudyRows
from huracan.automl.trial_book import TrialBook
from huracan.automl.trials import Trial, TrialState
from huracan.baselines.search_space import SearchSpace
from huracan.baselines.spec import LearnerSpec, SupervisedTask
from huracan.catalogue import MODEL_CATALOGUE, build_model, find_learner
from huracan.dataset import TrainingSet
from huracan.ensembles import EnsembleClassifier, EnsembleRegressor
from huracan.errors import ConfigError, ModelError
from huracan.logs import logger
from huracan.validation.folds import PurgedSplitter

if TYPE_CHECKING:
    import polars as pl

    from huracan.storage import Database

__all__ = ["DEFAULT_LEARNERS", "AutoMLEngine"]

DEFAULT_LEARNERS: Mapping[SupervisedTask, tuple[str, ...]] = {
    "regression": ("ridge", "extra_trees", "lightgbm", "xgboost", "random_forest"),
    "classification": ("logistic_regression", "extra_trees", "lightgbm", "xgboost", "random_forest"),
}
"""Learners that are searched where none are named."""


class AutoMLEngine:
    """Search models and their settings on purged folds, and fit the best of them together.

    Parameters
    ----------
    time_budget : seconds for everything, the final fit included; such a search is not reproducible.
    max_trials : settings tried; the same seed, rows and number give the same result, bit for bit. One of the two is needed.
    task : ``"regression"`` forecasts the label, ``"classification"`` the probability that it is above 0.
    learners : names of the catalogue; by default :data:`DEFAULT_LEARNERS`.
    search_space : learner -> hyperparameter -> ``Between`` or ``OneOf``, instead of what the learner declares.
    sampler : of Optuna: "tpe", "random", "cma_es", "gp", "qmc", "nsga_ii".
    splitter : purged; by default four walk-forward folds.
    ensemble : fit the best trials together, weighted by greedy selection; else the best one alone.
    max_members : most members of the ensemble.
    portfolio, shared_bins, pruning : begin with settings known to be good; bin rows for boosters once; stop hopeless trials.
    trial_timeout : seconds one trial may take. n_workers : processes that fit; None fits in this process where nothing has to
        be ended at a deadline.
    random_state : seed. progress : called after each trial with it and the best so far.
    database : URL or ``Database`` that keeps the study: after a kill the same call goes on, on several hosts together.
    study : its name, by default one made of data and settings. warm_start : begin with what earlier studies there found good.
    lost_after : seconds without a sign of life after which another host's process is taken for gone.

    Attributes
    ----------
    best_model_ : the fitted model or ensemble. leaderboard_ : a frame of all trials, best first. history_ : the trials, in the
        order they ended. weights_ : member -> weight, what is left to 1 being the constant's.
    reproducible_ : whether the same call gives the same bits. seconds_ : wall-clock time of the fit.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((1_500, 5)); y = 0.3 * X[:, 0] + rng.standard_normal(1_500)
    >>> engine = AutoMLEngine(max_trials=3, learners=["ridge", "lightgbm"], random_state=0).fit(X, y)
    >>> engine.predict(X).shape, len(engine.history_)
    ((1500,), 3)
    """

    def __init__(
        self,
        *,
        time_budget: float | None = None,
        max_trials: int | None = None,
        task: SupervisedTask = "regression",
        learners: Sequence[str] | None = None,
        search_space: Mapping[str, SearchSpace] | None = None,
        sampler: str = "tpe",
        splitter: PurgedSplitter | None = None,
        ensemble: bool = True,
        max_members: int = 12,
        portfolio: bool = True,
        shared_bins: bool = True,
        pruning: bool = True,
        trial_timeout: float | None = None,
        n_workers: int | None = None,
        random_state: int = 0,
        progress: SearchProgress | None = None,
        database: Database | str | None = None,
        study: str | None = None,
        warm_start: bool = False,
        lost_after: float = 60.0,
    ) -> None:
        if task not in DEFAULT_LEARNERS:
            raise ConfigError(f"task is {task!r}; 'regression' or 'classification' was expected.")
        Budget(time_budget, max_trials)
        self.time_budget, self.max_trials, self.task = time_budget, max_trials, task
        self.learners = tuple(DEFAULT_LEARNERS[task] if learners is None else learners)
        self.search_space, self.sampler, self.splitter = dict(search_space or {}), sampler, splitter
        self.ensemble, self.max_members = ensemble, max_members
        self.portfolio, self.shared_bins, self.pruning = portfolio, shared_bins, pruning
        self.trial_timeout, self.n_workers = trial_timeout, n_workers
        self.random_state, self.progress = random_state, progress
        self.database, self.study, self.warm_start, self.lost_after = database, study, warm_start, lost_after
        self._spaces = search_spaces(self._checked_learners(), self.search_space)
        sampler_of(sampler, random_state)

    def fit(self, X: TrainingSet | Any, y: Any = None, *, label_horizon: int = 1) -> Self:
        """Search on a ``TrainingSet``, or on ``X`` (n, d) and ``y`` (n,) in time order.

        Raises
        ------
        NotEnoughData : too few rows for the folds. ModelError : every trial failed; the first cause is told.
        """
        budget = Budget(self.time_budget, self.max_trials)
        rows = X if isinstance(X, TrainingSet) else TrainingSet.from_arrays(X, y, label_horizon=label_horizon)
        study = StudyRows.of(rows, self.task, self.splitter, shared_bins=self.shared_bins)
        book = self._book(study)
        crew = self._crew(study)
        try:
            search = self._search(study, crew, budget, book)
            self.history_ = search.run()
            if not search.finished:
                self._nothing_finished(study, budget)
            members, weights = choose(
                study, search.finished, most=self.max_members, ensemble=self.ensemble, random_state=self.random_state
            )
            fitted = self._final_fits(members, crew, budget)
        finally:
            crew.close()
            book.close()
        self._take(study, members, weights, fitted)
        book.finish({"weights": self.weights_, "trials": len(self.history_)})
        self.reproducible_ = self.time_budget is None and self.trial_timeout is None
        self.seconds_ = budget.spent
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Forecasts (n,), or for classification the likelier class."""
        return self.best_model_.predict(X)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of down and up (n, 2), for classification."""
        return self.best_model_.predict_proba(X)

    @property
    def leaderboard_(self) -> pl.DataFrame:
        """All trials, best first: learner, state, score, gain of each fold, weight, CPU seconds, settings, seed, source."""
        import polars as pl

        n_folds = max((len(trial.gains) for trial in self.history_), default=0)
        order = {state: place for place, state in enumerate(TrialState)}
        trials = sorted(self.history_, key=lambda t: (order[t.state or TrialState.FAILED], -np.nan_to_num(t.score), t.number))
        rows = []
        for trial in trials:
            means = trial.fold_means()
            rows.append(
                {
                    "trial": trial.number,
                    "learner": trial.learner,
                    "state": str(trial.state),
                    "score": trial.score,
                    **{f"fold_{k + 1}": means.get(k) for k in range(n_folds)},
                    "weight": self.weights_.get(f"trial {trial.number}", 0.0),
                    "seconds": trial.seconds,
                    "params": repr(dict(trial.params)),
                    "seed": trial.seed,
                    "source": trial.source,
                    "reason": trial.reason,
                }
            )
        return pl.DataFrame(rows, infer_schema_length=None)

    # --- pieces of a fit -------------------------------------------------------------------------------------------

    def _checked_learners(self) -> list[str]:
        names = []
        for name in self.learners:
            spec = find_learner(name)
            if not spec.is_supervised or self.task not in spec.tasks:
                raise ModelError(
                    f"learners holds {spec.name}, which does not do {self.task}; it does {' and '.join(spec.tasks)}."
                )
            if self.task == "classification" and spec.margin_only:
                raise ModelError(f"learners holds {spec.name}, which has no probabilities; a search by log loss needs them.")
            names.append(spec.name)
        if not names:
            raise ConfigError("learners is empty; at least one name of the catalogue was expected.")
        return names

    def _crew(self, study: StudyRows) -> FoldCrew:
        if self.n_workers is None and self.time_budget is None and self.trial_timeout is None:
            return SameProcess(study)
        return ProcessFolds(study, self.n_workers or 1)

    def _book(self, study: StudyRows) -> TrialBook:
        start = starting_settings(list(self._spaces), self.task) if self.portfolio else []
        return open_book(
            self.database,
            study,
            self._spaces,
            [(learner, params, "portfolio") for learner, params in start],
            name=self.study,
            warm_start=self.warm_start,
            lost_after=self.lost_after,
            seed=self.random_state,
            sampler=self.sampler,
            pruning=self.pruning,
            shared_bins=self.shared_bins,
            members=self.max_members,
        )

    def _search(self, study: StudyRows, crew: FoldCrew, budget: Budget, book: TrialBook) -> Search:
        return Search(
            study,
            Proposals(self._spaces, book.queue, sampler=self.sampler, seed=self.random_state),
            crew,
            budget,
            book=book,
            seed=self.random_state,
            trial_timeout=self.trial_timeout,
            pruning=self.pruning,
            members=self.max_members if self.ensemble else 1,
            specs={name: spec for name in self._spaces if (spec := _own_spec(name)) is not None},
            progress=self.progress,
        )

    def _final_fits(self, members: Sequence[Trial], crew: FoldCrew, budget: Budget) -> dict[int, Any]:
        """Trial -> model fitted on all rows; where time ends, those that are done."""
        waiting = {trial.number for trial in members}
        for trial in sorted(members, key=lambda trial: trial.wall_seconds):  # where time is short, as many as it allows
            task = FoldTask(trial.number, ALL_ROWS, trial.learner, trial.params, trial.seed, _own_spec(trial.learner))
            crew.give(task, deadline=budget.end)
        fitted: dict[int, Any] = {}
        while waiting:
            for done in crew.wait(budget.end):
                waiting.discard(done.task.trial)
                if done.answer is not None and done.answer.model is not None:
                    fitted[done.task.trial] = done.answer.model
                else:
                    logger().warning("a member could not be fitted on all rows", trial=done.task.trial, reason=done.reason)
            if budget.end is not None and time.monotonic() >= budget.end:
                break
        return fitted

    def _nothing_finished(self, study: StudyRows, budget: Budget) -> None:
        failed = next((trial for trial in self.history_ if trial.state is TrialState.FAILED), None)
        if failed is not None:
            raise ModelError(f"no trial could be finished; the first, {failed.learner}, failed: {failed.reason}")
        raise ModelError(
            f"no trial was finished within {budget.seconds:g} s; {len(study.rows):,} rows x {len(study.rows.feature_names)} "
            "features need more time, or fewer rows."
        )

    def _take(
        self, study: StudyRows, members: Sequence[Trial], weights: NDArray[np.float64], fitted: Mapping[int, Any]
    ) -> None:
        kept = [(trial, weight) for trial, weight in zip(members, weights, strict=True) if trial.number in fitted]
        if not kept:
            raise ModelError("none of the best settings could be fitted on all rows; see the log for each one's reason.")
        total = sum(weight for _, weight in kept) / max(float(weights.sum()), 1e-12)
        models = {f"trial {trial.number}": fitted[trial.number] for trial, _ in kept}
        self.weights_ = {f"trial {trial.number}": float(weight / total) for trial, weight in kept}
        rest = 1.0 - sum(self.weights_.values())
        values = list(self.weights_.values())
        if rest > 1e-9:
            models[CONSTANT] = _constant(study, self.task)
            values.append(rest)
        kind = EnsembleRegressor if self.task == "regression" else EnsembleClassifier
        self.best_model_ = models[next(iter(models))] if len(models) == 1 else kind.of_fitted(models, np.array(values))


_SHIPPED = frozenset(MODEL_CATALOGUE)
"""Learners that every process knows; the others travel with their tasks."""


def _own_spec(learner: str) -> LearnerSpec | None:
    """The learner itself, where workers do not know it."""
    return None if learner in _SHIPPED else find_learner(learner)


def _constant(study: StudyRows, task: SupervisedTask) -> Any:
    """A fitted model that answers the mean of the training labels."""
    return build_model("majority", task=task).fit(study.rows)
