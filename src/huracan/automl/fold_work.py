"""What a worker does: fit one setting on one fold and answer on its test rows, or fit it on all rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.automl.study_rows import StudyRows
from huracan.baselines.spec import LearnerSpec
from huracan.baselines.wrapper import TabularLearner
from huracan.catalogue import MODEL_CATALOGUE, build_model, register_learner
from huracan.errors import ModelError

__all__ = ["ALL_ROWS", "FoldAnswer", "FoldTask", "fit_setting", "work"]

ALL_ROWS = -1
"""The "fold" that trains on every row."""


@dataclass(frozen=True)
class FoldTask:
    """One fit.

    Attributes
    ----------
    trial, fold : of which it is part. spec : the learner itself where it is not of the catalogue, else None.
    """

    trial: int
    fold: int
    learner: str
    params: Mapping[str, Any]
    seed: int
    spec: LearnerSpec | None = None


@dataclass(frozen=True)
class FoldAnswer:
    """What came of it: answers on the test rows, or the model fitted on all rows; seconds of the fit and of answering, of
    this process and of the clock."""

    answer: NDArray[np.float64] | None
    model: Any
    seconds: float
    wall_seconds: float


def work(task: FoldTask, shared: StudyRows) -> FoldAnswer:
    """Do one fit, in a worker.

    Raises
    ------
    ModelError : an answer is not finite.
    """
    if task.spec is not None and MODEL_CATALOGUE.get(task.spec.name) is not task.spec:
        register_learner(task.spec, replace=True)
    began, at = time.process_time(), time.perf_counter()
    model = fit_setting(task, shared)
    if task.fold == ALL_ROWS:
        return FoldAnswer(None, model, time.process_time() - began, time.perf_counter() - at)
    answer = _answers(model, shared, task.fold)
    if not np.isfinite(answer).all():
        raise ModelError(f"{task.learner} answers {answer[~np.isfinite(answer)][0]} on rows it was not trained on.")
    return FoldAnswer(answer, None, time.process_time() - began, time.perf_counter() - at)


def fit_setting(task: FoldTask, study: StudyRows) -> Any:
    """A fitted model of the catalogue."""
    model = build_model(task.learner, task=study.task, random_state=task.seed, **task.params)
    if task.fold == ALL_ROWS:
        return model.fit(study.rows)
    train = study.rows.take(study.folds[task.fold].train_rows)
    prepared = study.prepared(task.fold) if isinstance(model, TabularLearner) else None
    return model.fit(train) if prepared is None else model.fit_prepared(train, prepared)


def _answers(model: Any, study: StudyRows, fold: int) -> NDArray[np.float64]:
    """Forecasts, or probabilities of up, on a fold's test rows; a model that looks back sees the bars before them."""
    rows = study.folds[fold].test_rows
    if not isinstance(rows, slice):
        behind, earlier = study.rows.take(rows), 0
    else:
        behind, earlier = study.rows.with_history(rows, getattr(model, "history_bars", 0))
    if study.task == "regression":
        return np.asarray(model.predict(behind), np.float64)[earlier:]
    if not hasattr(model, "predict_proba"):
        raise ModelError(f"{model.spec.name} has no probabilities; a search by log loss needs them.")
    return np.asarray(model.predict_proba(behind), np.float64)[earlier:, -1]
