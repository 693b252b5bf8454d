"""Every learner trained on every fold's past and asked about its future.

Fold 0 is there for tuning only: its scores set the scale of scores, the position policy and the calibration used in
fold 1, folds 0 and 1 those of fold 2, and so on. No row is ever judged with anything its own fold taught.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from huracan.catalogue import build_model, feature_importance, signal_score
from huracan.config import LearnerConfig
from huracan.dataset import TrainingSet
from huracan.errors import HuracanError, ModelError
from huracan.integration.run_folder import RunFolder
from huracan.logs import logger
from huracan.validation import Fold

__all__ = ["LearnerRun", "Tick", "fit_learner", "run_out_of_fold"]

Tick = Callable[[str, float], None]
"""Called after each finished fit with its description and its share of all the work."""


@dataclass
class LearnerRun:
    """One learner's out-of-fold scores on the development rows.

    Attributes
    ----------
    score : float64 (n,), NaN on rows no fold tested. fold : int8 (n,), -1 on those rows, else the fold.
    importance_by_fold : fold -> feature -> weight; empty where the learner has none.
    failure : why it could not be trained, None when it could.
    """

    name: str
    task: str
    score: NDArray[np.float64]
    fold: NDArray[np.int8]
    importance_by_fold: dict[int, dict[str, float]] = field(default_factory=dict)
    train_rows: int = 0
    fit_seconds: float = 0.0
    failure: str | None = None

    @property
    def importance(self) -> dict[str, float]:
        """Mean importance over the folds, largest first."""
        folds = [self.importance_by_fold[k] for k in sorted(self.importance_by_fold)]
        mean = {f: float(np.mean([one.get(f, 0.0) for one in folds])) for f in (folds[0] if folds else ())}
        return dict(sorted(mean.items(), key=lambda item: -item[1]))

    @property
    def is_constant(self) -> bool:
        """Whether it says the same about every row of a fold: a constant prediction, which is the baseline itself."""
        return all(np.ptp(self.score[self.fold == k]) == 0.0 for k in np.unique(self.fold[self.fold >= 0]))


def fit_learner(name: str, settings: LearnerConfig, rows: TrainingSet, *, seed: int) -> Any:
    """Build and fit one learner on the most recent rows its settings allow."""
    model = build_model(name, task=settings.task, random_state=seed, max_train_rows=settings.max_train_rows, **settings.params)
    return model.fit(rows)


def run_out_of_fold(
    rows: TrainingSet,
    folds: Sequence[Fold],
    learners: Mapping[str, LearnerConfig],
    *,
    per_symbol: bool,
    seed: int,
    n_jobs: int,
    folder: RunFolder | None = None,
    tick: Tick | None = None,
) -> dict[str, LearnerRun]:
    """Train and score all learners on all folds, several at a time; finished pieces are kept in ``folder``.

    Each fit runs on one core, so the result does not depend on ``n_jobs``. A learner that cannot be trained on this
    data (one class only, say) is reported with its reason and leaves the others alone.
    """
    runs = {name: LearnerRun(name, "", np.full(len(rows), np.nan), np.full(len(rows), -1, np.int8)) for name in learners}
    jobs = [(k, name) for k in range(len(folds)) for name in learners]
    weight = {k: len(fold.train) for k, fold in enumerate(folds)}
    total = float(sum(weight[k] for k, _ in jobs)) or 1.0

    def work(k: int, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        piece = f"folds/{k}/{name}"
        kept = folder.load(piece) if folder else None
        if kept is not None:
            return kept
        arrays, facts = _one_fold(name, learners[name], rows, folds[k], per_symbol=per_symbol, seed=seed)
        if folder:
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
                    _take_in(runs[name], k, folds[k], *future.result())
                    if tick:
                        tick(f"{name}, fold {k + 1} of {len(folds)}", weight[k] / total)
                    for job in _next(queue, 1):
                        pending[submit(*job)] = job
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return runs


def _one_fold(
    name: str, settings: LearnerConfig, rows: TrainingSet, fold: Fold, *, per_symbol: bool, seed: int
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    started = time.perf_counter()
    train, test = rows.take(fold.train), rows.take(fold.test)
    score = np.full(len(test), np.nan)
    importances: list[dict[str, float]] = []
    task, fitted_rows = settings.task, 0
    groups: list[int | None] = list(range(len(rows.symbols))) if per_symbol else [None]
    try:
        for group in groups:
            past = train if group is None else train.take(train.symbol_code == group)
            ahead = np.arange(len(test)) if group is None else np.flatnonzero(test.symbol_code == group)
            if not len(ahead):
                continue
            model = fit_learner(name, settings, past, seed=seed)
            score[ahead] = signal_score(model, test.take(ahead).X)
            importances.append(feature_importance(model) or {})
            task = model.model_info().task
            fitted_rows += min(len(past), settings.max_train_rows or len(past))
    except HuracanError as error:
        logger().info("a learner could not be trained", learner=name, reason=str(error))
        return {"score": score}, {"failure": str(error), "task": task, "train_rows": 0, "seconds": 0.0, "importance": {}}
    if not np.isfinite(score).all():
        bad = int(np.flatnonzero(~np.isfinite(score))[0])
        raise ModelError(f"learner '{name}' predicts {score[bad]} at {test.ts[bad]} ({test.symbol[bad]}); finite was expected.")
    mean = {f: float(np.mean([i.get(f, 0.0) for i in importances])) for f in importances[0]} if importances else {}
    facts = {
        "task": task,
        "train_rows": fitted_rows,
        "seconds": time.perf_counter() - started,
        "importance": mean,
        "failure": None,
    }
    logger().debug(
        "learner scored a fold",
        learner=name,
        test_start=str(fold.test_start),
        **{k: facts[k] for k in ("seconds", "train_rows")},
    )
    return {"score": score}, facts


def _take_in(run: LearnerRun, k: int, fold: Fold, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
    if facts["failure"]:
        run.failure = facts["failure"]
        return
    run.score[fold.test] = arrays["score"]
    run.fold[fold.test] = k
    run.task = facts["task"]
    run.train_rows = max(run.train_rows, facts["train_rows"])
    run.fit_seconds += facts["seconds"]
    run.importance_by_fold[k] = facts["importance"]


def _next(jobs: Iterator[tuple[int, str]], n: int) -> Iterator[tuple[int, str]]:
    for _ in range(n):
        job = next(jobs, None)
        if job is None:
            return
        yield job
