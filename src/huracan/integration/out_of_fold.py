"""Every candidate trained on every fold's past and asked about its future.

Models answer on every row of a fold's span, also where no label will ever be known (before a gap, at the end), because
at that moment nobody knows it. How the scores are judged is in :mod:`huracan.integration.judging`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from huracan.catalogue import feature_importance, score_rows, score_span, signal_score
from huracan.dataset import TrainingSet
from huracan.errors import HuracanError, ModelError, NotEnoughData
from huracan.integration.candidates import Candidate
from huracan.integration.plan import Plan
from huracan.integration.run_folder import RunFolder
from huracan.logs import logger
from huracan.statistics.spread_rows import spread_rows

__all__ = ["FittedLearner", "LearnerRun", "Tick", "fit_learner", "run_out_of_fold", "training_level"]

_FEWEST_ROWS = 50
_LEVEL_ROWS = 20_000
_ROUNDING = 1e-9

Tick = Callable[[str, float], None]
"""Called after each finished fit with its description and its share of all the work."""


@dataclass
class LearnerRun:
    """One candidate's out-of-fold scores on the rows of a plan.

    Attributes
    ----------
    score : float64 (n,), less the model's mean score on its own training rows, so that a level that moves from refit to
        refit is no bet; NaN on rows no fold answers on. stance : int8 (n,), sign of the score before that.
    importance_by_fold : fold -> feature -> weight; empty where the learner has none.
    constant : whether it says the same about every row of each fold: a constant prediction, which is the baseline itself.
    unserved : symbols that had too little history in some fold; their rows score 0.
    left_out : of an ensemble, member -> why it was none in some fold.
    train_spread : fold -> standard deviation of its scores on its own training rows; empty for one model a symbol.
    failure : why it could not be trained, None when it could.
    """

    name: str
    task: str
    score: NDArray[np.float64]
    stance: NDArray[np.int8]
    importance_by_fold: dict[int, dict[str, float]] = field(default_factory=dict)
    constant: bool = True
    unserved: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    train_rows: int = 0
    fit_seconds: float = 0.0
    train_spread: dict[int, float] = field(default_factory=dict)
    failure: str | None = None

    @property
    def importance(self) -> dict[str, float]:
        """Mean importance over the folds, largest first."""
        folds = [self.importance_by_fold[k] for k in sorted(self.importance_by_fold)]
        mean = {f: float(np.mean([one.get(f, 0.0) for one in folds])) for f in (folds[0] if folds else ())}
        return dict(sorted(mean.items(), key=lambda item: -item[1]))


@dataclass(frozen=True)
class FittedLearner:
    """One fitted model for all symbols, or one for each.

    Attributes
    ----------
    models : symbol -> model; the one key None where a model serves all symbols. levels, spreads : the same keys -> mean and
        standard deviation of scores on training rows. unserved : symbols with too little history to fit.
    """

    models: Mapping[str | None, Any]
    levels: Mapping[str | None, float]
    unserved: tuple[str, ...] = ()
    spreads: Mapping[str | None, float] = field(default_factory=dict)

    @property
    def left_out(self) -> dict[str, str]:
        """Of ensembles, member -> why it could not be fitted."""
        return {name: why for model in self.models.values() for name, why in getattr(model, "left_out_", {}).items()}

    def score(self, rows: TrainingSet, span: slice) -> NDArray[np.float64]:
        """Scores of a span of rows less the level of their model; 0 for a symbol without a model."""
        return self.raw_score(rows, span) - self.level_of(rows.take(span))

    def raw_score(self, rows: TrainingSet, span: slice) -> NDArray[np.float64]:
        """Scores of a span of rows as the models give them; 0 for a symbol without a model."""
        if None in self.models:
            return score_span(self.models[None], rows, span)
        bars = max(getattr(model, "history_bars", 0) for model in self.models.values())
        behind, earlier = rows.with_history(span, bars)
        score = np.zeros(len(behind))
        for symbol, model in self.models.items():
            mine = np.flatnonzero(behind.symbol_code == behind.symbols.index(str(symbol)))
            if len(mine):
                score[mine] = signal_score(model, behind.take(mine))
        return score[earlier:]

    def level_of(self, rows: TrainingSet) -> NDArray[np.float64]:
        """Mean training score of the model that answers for each row."""
        if None in self.levels:
            return np.full(len(rows), self.levels[None])
        return np.array([self.levels.get(symbol, 0.0) for symbol in rows.symbols])[rows.symbol_code]

    def importance(self) -> dict[str, float]:
        """Mean importance over the models."""
        each = [feature_importance(model) or {} for model in self.models.values()]
        return {f: float(np.mean([one.get(f, 0.0) for one in each])) for f in each[0]}


def fit_learner(candidate: Candidate, rows: TrainingSet, *, seed: int, per_symbol: bool = False) -> FittedLearner:
    """Fit one candidate on the most recent rows its settings allow.

    With ``per_symbol`` each symbol with at least 50 rows gets its own model.
    """
    groups: dict[str | None, TrainingSet] = {None: rows}
    unserved: tuple[str, ...] = ()
    if per_symbol:
        counts = np.bincount(rows.symbol_code, minlength=len(rows.symbols))
        groups = {s: rows.of_symbol(s) for s, n in zip(rows.symbols, counts) if n >= _FEWEST_ROWS}
        unserved = tuple(s for s, n in zip(rows.symbols, counts) if n < _FEWEST_ROWS)
        if not groups:
            raise NotEnoughData(f"no symbol has {_FEWEST_ROWS} training rows; one model a symbol needs at least that.")
    models: dict[str | None, Any] = {}
    levels: dict[str | None, float] = {}
    spreads: dict[str | None, float] = {}
    for symbol, past in groups.items():
        models[symbol] = candidate.fit(past, seed=seed)
        scores = _training_scores(models[symbol], past)
        levels[symbol], spreads[symbol] = float(np.mean(scores)), float(np.std(scores))
    return FittedLearner(models, levels, unserved, spreads)


def training_level(model: Any, past: TrainingSet) -> float:
    """Mean score on training rows; of a long past on rows drawn from all of it, each with the bars before it."""
    return float(np.mean(_training_scores(model, past)))


def _training_scores(model: Any, past: TrainingSet) -> NDArray[np.float64]:
    sample = spread_rows(len(past), _LEVEL_ROWS)
    return signal_score(model, past) if sample is None else score_rows(model, past, sample)


def run_out_of_fold(
    plan: Plan,
    candidates: Mapping[str, Candidate],
    *,
    per_symbol: bool,
    seed: int,
    n_jobs: int,
    folder: RunFolder | None = None,
    tick: Tick | None = None,
) -> dict[str, LearnerRun]:
    """Train and score all candidates on all folds, several at a time; finished pieces are kept in ``folder``.

    Each fit runs on one core, so the result does not depend on ``n_jobs``. A candidate that cannot be trained on this
    data (one class only, say) is reported with its reason and leaves the others alone.
    """
    n = len(plan.rows)
    runs = {name: LearnerRun(name, "", np.full(n, np.nan), np.zeros(n, np.int8)) for name in candidates}
    jobs = [(k, name) for k in range(len(plan.folds)) for name in candidates]
    weight = {k: len(fold.train) for k, fold in enumerate(plan.folds)}
    total = float(sum(weight[k] for k, _ in jobs)) or 1.0

    def work(k: int, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        piece = f"folds/{k}/{name}"
        kept = folder.load(piece) if folder else None
        if kept is not None:
            return kept
        arrays, facts = _one_fold(candidates[name], plan, k, per_symbol=per_symbol, seed=seed)
        if folder and not facts["failure"]:
            folder.save(piece, arrays, facts)
        return arrays, facts

    # scikit-learn's forests change the warning filters from inside their threads; they are put back afterwards
    with warnings.catch_warnings(), threadpool_limits(limits=1), ThreadPoolExecutor(n_jobs) as pool:

        def submit(k: int, name: str) -> Future[Any]:
            context = copy_context()  # so that the logs of the worker carry the run and the stage
            return pool.submit(lambda: context.run(work, k, name))

        pending: dict[Future[Any], tuple[int, str]] = {}
        try:
            queue = iter(jobs)
            for k, name in _next(queue, n_jobs):
                pending[submit(k, name)] = (k, name)
            while pending:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    k, name = pending.pop(future)
                    _take_in(runs[name], k, plan.spans[k], *future.result())
                    if tick:
                        tick(f"{name}, fold {k + 1} of {len(plan.folds)}", weight[k] / total)
                    for job in _next(queue, 1):
                        pending[submit(*job)] = job
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return runs


def _one_fold(
    candidate: Candidate, plan: Plan, k: int, *, per_symbol: bool, seed: int
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    started, name = time.perf_counter(), candidate.name
    fold, ahead = plan.folds[k], plan.rows.take(plan.spans[k])
    try:
        fitted = fit_learner(candidate, plan.development.take(fold.train_rows), seed=seed, per_symbol=per_symbol)
        raw = fitted.raw_score(plan.rows, plan.spans[k])
        score = raw - fitted.level_of(ahead)
    except HuracanError as error:
        logger().info("a learner could not be trained", learner=name, fold=k, reason=str(error))
        return {}, {"failure": str(error)}
    if not np.isfinite(score).all():
        bad = int(np.flatnonzero(~np.isfinite(score))[0])
        raise ModelError(
            f"learner '{name}' predicts {score[bad]} at {ahead.ts[bad]} ({ahead.symbol[bad]}); finite was expected."
        )
    cap = candidate.max_train_rows
    facts = {
        "failure": None,
        "task": next(iter(fitted.models.values())).model_info().task,
        "train_rows": len(fold.train) if cap is None else min(len(fold.train), cap * len(fitted.models)),
        "seconds": time.perf_counter() - started,
        "importance": fitted.importance(),
        "constant": bool(np.ptp(score) <= _ROUNDING * np.abs(raw).max(initial=0.0)),
        "unserved": list(fitted.unserved),
        "left_out": fitted.left_out,
        "train_spread": fitted.spreads.get(None),
    }
    logger().debug(
        "learner scored a fold",
        learner=name,
        fold=k,
        symbols=list(map(str, plan.rows.symbols)) if per_symbol else "pooled",
        test_start=str(fold.test_start),
        **{fact: facts[fact] for fact in ("seconds", "train_rows", "unserved")},
    )
    return {"score": score, "stance": np.sign(raw).astype(np.int8)}, facts


def _take_in(run: LearnerRun, k: int, span: slice, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
    if facts["failure"]:
        run.failure = run.failure or facts["failure"]
        return
    run.score[span] = arrays["score"]
    run.stance[span] = arrays["stance"]
    run.task = facts["task"]
    run.constant &= facts["constant"]
    run.unserved |= set(facts["unserved"])
    run.left_out = {**facts["left_out"], **run.left_out}
    run.train_rows = max(run.train_rows, facts["train_rows"])
    run.fit_seconds += facts["seconds"]
    run.importance_by_fold[k] = facts["importance"]
    if facts["train_spread"] is not None:
        run.train_spread[k] = facts["train_spread"]


def _next(jobs: Iterator[tuple[int, str]], n: int) -> Iterator[tuple[int, str]]:
    for _ in range(n):
        job = next(jobs, None)
        if job is None:
            return
        yield job
