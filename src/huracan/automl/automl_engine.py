"""``AutoMLEngine``: the best model, or ensemble of models, that a budget can find."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from huracan.accounting import CostModel, PositionPolicy
from huracan.automl.budget import Budget
from huracan.automl.choosing import CONSTANT, choose, leaders
from huracan.automl.crew import FoldCrew, ProcessFolds, SameProcess
from huracan.automl.feature_choice import FEATURE_SPACE
from huracan.automl.final_fits import FinalFits
from huracan.automl.leaderboard import leaderboard
from huracan.automl.losses import METRICS
from huracan.automl.objectives import DIRECTIONS, Money, check_objectives, front
from huracan.automl.open_book import open_book
from huracan.automl.optuna_terms import Direction
from huracan.automl.portfolio import starting_settings
from huracan.automl.proposals import Proposals, sampler_of, search_spaces
from huracan.automl.search import BY_CHANCE, Search, SearchProgress
from huracan.automl.study_rows import ALL_ROWS, JUDGED, StudyRows, stance_payoff
from huracan.automl.trial_book import TrialBook
from huracan.automl.trials import Trial, TrialState
from huracan.automl.two_classes import TwoClasses
from huracan.automl.verdict import LuckOfTheSearch, Verdict, luck_of, verdict_on
from huracan.baselines.search_space import SearchSpace
from huracan.baselines.spec import SupervisedTask
from huracan.catalogue import build_model, find_learner, own_learner
from huracan.dataset import TimeSource, TrainingSet
from huracan.ensembles import EnsembleClassifier, EnsembleRegressor
from huracan.errors import ConfigError, DataError, ModelError
from huracan.statistics import average_by_time
from huracan.validation.folds import PurgedSplitter
from huracan.validation.row_losses import row_losses

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
    task : ``"regression"`` forecasts the label, ``"classification"`` the probability that it is above 0,
        or of two labels that are given as ``y``, whatever they are, the larger one (``classes_``).
    learners : names of the catalogue; by default :data:`DEFAULT_LEARNERS`.
    search_space : learner -> hyperparameter -> ``Between`` or ``OneOf``, instead of what the learner declares.
    sampler : of Optuna: "tpe", "random", "cma_es", "gp", "qmc", "nsga_ii".
    splitter : purged; by default four walk-forward folds.
    ensemble : fit the best trials together, weighted by greedy selection; else the best one alone.
    max_members : most members of the ensemble.
    judged_share : of the moments, the last ones, which the search never sees: what it chose is fitted on what was known before
        them and judged there (``verdict_``), before it is fitted on all rows. 0 keeps none.
    objectives : "gain" (less loss than the constant forecast), or some of "gain", "net_sharpe", "turnover": then the trial
        that is best in the first one is fitted alone, and ``front_`` has those that no other beats. The last two account for
        positions net of ``costs`` that ``policy``, tuned on earlier folds, makes of out-of-fold answers, and need prices.
    feature_selection : search which share of the features a learner sees, ranked on each fold's training rows.
    portfolio, shared_bins, pruning : begin with settings known to be good; bin rows for boosters once; stop hopeless trials.
    trial_timeout : seconds one trial may take; by default a fifth of a time budget.
    n_workers : processes that fit. None fits in this process where nothing has to be ended at a deadline: then a fit that hangs
        holds the search, and one that crashes ends it; 1 keeps them apart, with the same result.
    random_state : seed. progress : called after each trial with it and the best so far.
    database : URL or ``Database`` that keeps the study: after a kill the same call goes on, on several hosts together.
    study : its name, by default one made of data and settings. warm_start : begin with what earlier studies there found good,
        those that searched no later moments; rows need times of their own.
    lost_after : seconds without a sign of life after which another host's process is taken for gone.

    Attributes
    ----------
    spaces : learner -> hyperparameter -> where it is searched.
    verdict_ : what the choice was worth where the search never looked. luck_ : deflated Sharpe ratio and probability of
        overfitting over all trials. notes_ : what did not go as asked.
    best_model_ : the fitted model or ensemble: on all rows, or where that failed or time ran out the one ``verdict_`` judged.
    leaderboard_ : a frame of all trials, best first. history_ : the trials, in the
        order they ended. weights_ : member -> weight, what is left to 1 being the constant's.
    reproducible_ : whether the same call gives the same bits: every trial was made without a clock, one after the other.
    seconds_ : wall-clock time of the fit.

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
        judged_share: float = 0.2,
        objectives: Sequence[str] = ("gain",),
        costs: CostModel | None = None,
        policy: PositionPolicy | None = None,
        feature_selection: bool = False,
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
        if isinstance(learners, str):
            raise ConfigError(f"learners is {learners!r}; a list of names was expected, as [{learners!r}].")
        for name, value in {"n_workers": n_workers, "max_members": max_members}.items():
            if value is not None and (isinstance(value, bool) or value != int(value) or value < 1):
                raise ConfigError(f"{name} is {value!r}; a whole number of at least 1 was expected.")
        if isinstance(random_state, bool) or random_state != int(random_state) or random_state < 0:
            raise ConfigError(f"random_state is {random_state!r}; a whole number of at least 0 was expected.")
        if trial_timeout is not None and not trial_timeout > 0:
            raise ConfigError(f"trial_timeout is {trial_timeout!r}; seconds above 0 were expected.")
        self.time_budget, self.max_trials, self.task = time_budget, max_trials, task
        self.learners = tuple(DEFAULT_LEARNERS[task] if learners is None else learners)
        self.search_space, self.sampler, self.splitter = dict(search_space or {}), sampler, splitter
        self.ensemble, self.max_members, self.judged_share = ensemble, max_members, judged_share
        self.objectives = check_objectives(objectives)
        self.costs = CostModel() if costs is None else costs
        self.policy = PositionPolicy() if policy is None else policy
        self.feature_selection = feature_selection
        self.portfolio, self.shared_bins, self.pruning = portfolio, shared_bins, pruning
        self.trial_timeout, self.n_workers = trial_timeout, n_workers
        self.random_state, self.progress = random_state, progress
        self.database, self.study, self.warm_start, self.lost_after = database, study, warm_start, lost_after
        self.spaces = search_spaces(self._checked_learners(), self.search_space)
        if feature_selection:
            self.spaces = {name: {**space, **FEATURE_SPACE} for name, space in self.spaces.items()}
        if len(self.objectives) > 1 and sampler in ("cma_es", "gp"):
            raise ConfigError(
                f"sampler is {sampler!r}, which knows one objective; 'tpe', 'nsga_ii', 'qmc' or 'random' know several."
            )
        if not 0.0 <= judged_share < 1.0:
            raise ConfigError(f"judged_share is {judged_share!r}; a share from 0, below 1, was expected.")
        sampler_of(sampler, random_state)

    def fit(self, X: TrainingSet | Any, y: Any = None, *, label_horizon: int = 1) -> Self:
        """Search on a ``TrainingSet``, or on ``X`` (n, d) and ``y`` (n,) in time order.

        A fit that fails leaves the engine as it was. Where not one trial can be finished in ``time_budget``, the one that
        answered most folds is fitted, or the first setting of the portfolio of a learner that was not tried in vain, or where
        there is no time for that either, the constant forecast; ``notes_`` says so, and a warning.

        Raises
        ------
        NotEnoughData : too few rows for the folds. DataError : labels beside a ``TrainingSet``, or of more than two classes.
        ModelError : every trial failed, and the first cause is told; or no fold trains on both classes.
        AccountingError : an objective needs prices, and the rows have none.
        """
        before = dict(vars(self))
        try:
            with ExitStack() as opened:
                self._fit(self._rows(X, y, label_horizon), Budget(self.time_budget, self.max_trials), opened)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
        return self

    def judge(self, rows: TrainingSet) -> Verdict:
        """The verdict on ``best_model_`` from rows that are later than everything it learned from.

        Rows of weight 0 judge nothing.

        Raises
        ------
        DataError : a row is decided before, or when, the last label was known that the model learned from; or no row has a
            label and a weight above 0. ModelError : nothing is fitted yet.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> X = rng.standard_normal((1_500, 5)); y = X[:, 0] + rng.standard_normal(1_500)
        >>> rows = TrainingSet.from_arrays(X, y)
        >>> engine = AutoMLEngine(max_trials=1, learners=["ridge"], judged_share=0).fit(rows.take(slice(0, 1_000)))
        >>> engine.judge(rows.take(slice(1_010, None))).crowned
        True
        """
        model = self._fitted_model()
        later = rows.labelled_only()
        counts = later.weight > 0
        if not counts.any():
            raise DataError(
                f"none of the {len(rows)} rows has a label and a weight above 0; rows whose label is known were expected."
            )
        if later.decision_time[0] <= self.trained_until_:
            raise DataError(
                f"the first row is decided at {later.decision_time[0]}, not after {self.trained_until_}, when the last label "
                "was known that the model learned from; later rows were expected."
            )
        metric = METRICS[self.task]
        y = later.y[counts] if self.task == "regression" else (self._classes.signed(later.y[counts]) > 0).astype(np.float64)
        answer = model.predict(later) if self.task == "regression" else model.predict_proba(later)[:, -1]
        said, times = np.asarray(answer, np.float64)[counts], later.decision_time[counts]
        constant = row_losses(metric, y, np.full(len(y), self.constant_))
        gain = (constant - row_losses(metric, y, said)) / (float(constant.mean()) or 1.0)
        moments, gains = average_by_time(gain, times)
        payoff = average_by_time(stance_payoff(said, y, self.constant_), times)[1]
        return verdict_on(gains, payoff, moments, self.luck_)

    def predict(self, X: Any) -> NDArray[Any]:
        """Forecasts (n,), or for classification the likelier class, named as in ``classes_``."""
        said = self._fitted_model().predict(X)
        return said if self.task == "regression" else self.classes_[np.asarray(said, np.int64)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities (n, 2) of the ``classes_``, down and up, for classification."""
        return self._fitted_model().predict_proba(X)

    @property
    def classes_(self) -> NDArray[Any]:
        """Of classification: the two labels that were given, the smaller first; or 0 and 1, for a value above 0."""
        self._fitted_model()
        return self._classes.names

    @property
    def leaderboard_(self) -> pl.DataFrame:
        """All trials, best first: learner, state, score, gain of each fold, weight, CPU seconds, settings, seed, source."""
        return leaderboard(self.history_, self.weights_, self.objectives)

    @property
    def front_(self) -> list[Trial]:
        """Finished trials that no other beats in one objective without losing in another; the best in the first one first."""
        finished = [trial for trial in self.history_ if trial.state is TrialState.FINISHED]
        return front(finished, self.objectives) if self.objectives != ("gain",) else leaders(finished, 1)

    def _fitted_model(self) -> Any:
        model = getattr(self, "best_model_", None)
        if model is None:
            raise ModelError("nothing has been searched yet; call fit first.")
        return model

    # --- pieces of a fit -------------------------------------------------------------------------------------------

    def _rows(self, X: Any, y: Any, label_horizon: int) -> TrainingSet:
        self._classes = TwoClasses()
        if isinstance(X, TrainingSet):
            if y is not None:
                raise DataError("fit got a TrainingSet and y; a TrainingSet brings its own labels.")
            return X
        if self.task == "classification" and y is not None:
            self._classes = TwoClasses.of(y)
            y = self._classes.signed(y)
        return TrainingSet.from_arrays(X, y, label_horizon=label_horizon)

    def _fit(self, rows: TrainingSet, budget: Budget, opened: ExitStack) -> None:
        study = StudyRows.of(rows, self.task, self.splitter, judged_share=self.judged_share, shared_bins=self.shared_bins)
        check_objectives(self.objectives, study)
        self.notes_: list[str] = []
        book = self._book(study)
        opened.callback(book.close)
        crew = self._crew(study)
        opened.callback(crew.close)
        search = self._search(study, crew, budget, book)
        self.history_ = search.run()
        final = FinalFits(study, crew, budget, own_learner)
        members, weights = self._chosen(study, search, budget)
        self.luck_ = self._luck(search, book, members)
        self.verdict_ = self._verdict(study, members, weights, final, search) if search.best is not None else None
        fitted, learned = final.on_all_rows(members), ALL_ROWS
        if final.judged and len(fitted) < len(members):
            fitted, learned = final.judged, JUDGED
        self._take(study, members, weights, fitted, learned)
        book.finish({"weights": self.weights_, "trials": len(self.history_)})
        made_by_chance = any(BY_CHANCE in trial.notes or trial.state is TrialState.CUT_SHORT for trial in self.history_)
        forgets = self.database is not None and self.sampler == "cma_es"
        self.reproducible_ = not (self._leaves_to_chance or made_by_chance or forgets or book.shared())
        opened.close()
        self.seconds_ = budget.spent

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
        start = starting_settings(list(self.spaces), self.task) if self.portfolio else []
        book = open_book(
            self.database,
            study,
            self.spaces,
            [(learner, params, "portfolio") for learner, params in start],
            name=self.study,
            warm_start=self.warm_start,
            lost_after=self.lost_after,
            seed=self.random_state,
            sampler=self.sampler,
            pruning=self._prunes,
            shared_bins=self.shared_bins,
            members=self.max_members,
            objectives=list(self.objectives),
            directions=self._directions,
            **({} if self._money is None else self._money.identity(study.rows)),
        )
        if self.warm_start and study.rows.time_source is TimeSource.ROW_ORDER:
            self._note("nothing earlier is begun with: rows without times of their own cannot be shown to be later ones")
        return book

    def _search(self, study: StudyRows, crew: FoldCrew, budget: Budget, book: TrialBook) -> Search:
        return Search(
            study,
            Proposals(
                self.spaces,
                book.queue,
                sampler=self.sampler,
                seed=self.random_state,
                directions=self._directions,
            ),
            crew,
            budget,
            book=book,
            seed=self.random_state,
            trial_timeout=self.trial_timeout,
            pruning=self._prunes,
            members=self.max_members if self.ensemble and self.objectives == ("gain",) else 1,
            objectives=self.objectives,
            money=self._money,
            specs={name: spec for name in self.spaces if (spec := own_learner(name)) is not None},
            progress=self.progress,
            by_chance=self._leaves_to_chance,
        )

    @property
    def _leaves_to_chance(self) -> bool:
        """Whether the clock, or which worker is first, has a say in what is tried and what comes of it."""
        return self.time_budget is not None or self.trial_timeout is not None or (self.n_workers or 1) > 1

    @property
    def _prunes(self) -> bool:
        return self.pruning and self.objectives == ("gain",)

    @property
    def _directions(self) -> list[Direction]:
        return [DIRECTIONS[objective] for objective in self.objectives]

    @property
    def _money(self) -> Money | None:
        """What answers are accounted with, where an objective is earned."""
        return Money(self.costs, self.policy) if set(self.objectives) - {"gain"} else None

    def _luck(self, search: Search, book: TrialBook, members: Sequence[Trial]) -> LuckOfTheSearch | None:
        if search.best is None:
            return None
        best = search.best if self.objectives == ("gain",) else members[0]
        return luck_of(self.history_, best, n_earlier_trials=book.earlier_trials())

    def _chosen(self, study: StudyRows, search: Search, budget: Budget) -> tuple[list[Trial], NDArray[np.float64]]:
        """Members and their weights; where nothing was finished in time, one setting."""
        if not search.finished:
            return [self._in_place_of_a_trial(study, search, budget)], np.ones(1)
        if self.objectives != ("gain",):
            return [self._first_affordable(search)], np.ones(1)
        members, weights = choose(
            study, search.finished, most=self.max_members, ensemble=self.ensemble, random_state=self.random_state
        )
        return _affordable(members, weights, search.time_for, search.room)

    def _first_affordable(self, search: Search) -> Trial:
        """The first of the front that can be fitted in the time that is left; else the finished trial that takes least."""
        best, *others = self.front_
        room = search.room
        if search.cost_of(best) <= room:
            return best
        cheap = next((trial for trial in others if search.cost_of(trial) <= room), None)
        chosen = cheap or min(search.finished, key=search.cost_of)
        best_in = f"trial {best.number}, the best in {self.objectives[0]}"
        self._note(f"there was no time left to fit {best_in}; trial {chosen.number} ({chosen.learner}) is fitted instead")
        return chosen

    def _verdict(
        self, study: StudyRows, members: list[Trial], weights: NDArray[np.float64], final: FinalFits, search: Search
    ) -> Verdict | None:
        if study.judged is None:
            return None
        if final.budget.end is not None and search.time_for(members) > final.budget.end - time.monotonic():
            self._note("there was no time left for a verdict on the span that was kept for it")
            return None
        said = final.judged_answer(members, weights)
        if said is None:
            self._note("there is no verdict: a member could not be fitted before the span that judges")
            return None
        target, times = study.targets[JUDGED], study.rows.decision_time[study.judged.test]
        moments, payoff = average_by_time(stance_payoff(said, target.y, target.constant), times)
        return verdict_on(study.gains(JUDGED, said), payoff, moments, self.luck_)

    def _in_place_of_a_trial(self, study: StudyRows, search: Search, budget: Budget) -> Trial:
        """What got furthest; else the first setting of the portfolio of a learner that has not been tried in vain."""
        failed = next((trial for trial in self.history_ if trial.state is TrialState.FAILED), None)
        all_failed = all(trial.state is TrialState.FAILED for trial in self.history_) and not search.ran_out
        if failed is not None and (all_failed or budget.seconds is None):
            raise ModelError(f"no trial could be finished; the first, {failed.learner}, failed: {failed.reason}")
        begun = [trial for trial in self.history_ if trial.state is TrialState.CUT_SHORT and trial.gains]
        chosen = max(begun, key=lambda trial: (len(trial.gains), -trial.number), default=None)
        if chosen is None:
            start = starting_settings(list(self.spaces), self.task)
            stuck = {trial.learner for trial in self.history_}
            first = next((setting for setting in start if setting[0] not in stuck), start[0])
            proposals = Proposals(self.spaces, [(*first, "portfolio")], sampler="random", seed=self.random_state)
            learner, params, _ = proposals.next(0)  # brought into the space that is searched
            chosen = Trial(-1, learner, params, self.random_state, "portfolio")
        what = "which answered most folds" if chosen.gains else "a setting of the portfolio"
        self._note(
            f"no trial was finished within {budget.seconds:g} s; {chosen.learner}, {what}, is fitted "
            f"unjudged ({len(study.rows):,} rows x {len(study.rows.feature_names)} features need more time, or fewer rows)"
        )
        return chosen

    def _note(self, said: str) -> None:
        self.notes_.append(said)
        warnings.warn(f"AutoMLEngine: {said}.", stacklevel=4)

    def _take(
        self,
        study: StudyRows,
        members: Sequence[Trial],
        weights: NDArray[np.float64],
        fitted: Mapping[int, Any],
        learned: int,
    ) -> None:
        """Put the fitted members together; they learned from all rows, or from those before the span that judged them."""
        rows = study.rows.take(study.train_rows(learned))
        y = rows.y if self.task == "regression" else rows.direction().astype(np.float64)
        self.constant_ = float(np.average(y, weights=rows.weight))
        self.trained_until_ = rows.label_end.max()
        kept = [(trial, weight) for trial, weight in zip(members, weights, strict=True) if trial.number in fitted]
        within = "" if self.time_budget is None else " within the time"
        if learned == JUDGED:
            self._note(
                f"not everything could be fitted on all rows{within}: the model is the one that was judged, which knows labels "
                f"until {self.trained_until_}"
            )
        if not kept and self.time_budget is None:
            raise ModelError("none of the best settings could be fitted on all rows; see the log for each one's reason.")
        models = {f"trial {trial.number}": fitted[trial.number] for trial, _ in kept}
        if len(kept) < len(members):
            missing = ", ".join(f"trial {trial.number} ({trial.learner})" for trial in members if trial.number not in fitted)
            instead = "the others share their weight" if kept else "the constant forecast answers"
            self._note(f"not fitted on all rows{within}: {missing}; {instead}")
        total = sum(weight for _, weight in kept) / max(float(weights.sum()), 1e-12)
        self.weights_ = {f"trial {trial.number}": float(weight / total) for trial, weight in kept}
        rest = 1.0 - sum(self.weights_.values())
        values = list(self.weights_.values())
        if rest > 1e-9:
            models[CONSTANT] = build_model("majority", task=self.task).fit(rows)
            values.append(rest)
        kind = EnsembleRegressor if self.task == "regression" else EnsembleClassifier
        self.best_model_ = models[next(iter(models))] if len(models) == 1 else kind.of_fitted(models, np.array(values))


def _affordable(
    members: list[Trial], weights: NDArray[np.float64], time_for: Callable[[Sequence[Trial]], float], seconds: float
) -> tuple[list[Trial], NDArray[np.float64]]:
    """Those of most weight that can be fitted in so many seconds, with the weight of all; one at least."""
    order = np.argsort(-weights, kind="stable")
    most = len(order)
    while most > 1 and time_for([members[i] for i in order[:most]]) > seconds:
        most -= 1
    kept = np.sort(order[:most])
    return [members[i] for i in kept], weights[kept] * (weights.sum() / weights[kept].sum())
