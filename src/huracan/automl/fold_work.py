"""What a worker does: fit a setting on a fold and answer on its test rows, fit it on all rows, or account for its answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.automl.feature_choice import split_choice
from huracan.automl.objectives import Money, NetResult
from huracan.automl.study_rows import ALL_ROWS, JUDGED, VALUED, StudyRows
from huracan.baselines.spec import LearnerSpec
from huracan.baselines.wrapper import TabularLearner
from huracan.catalogue import MODEL_CATALOGUE, build_model, register_learner
from huracan.ensembles import SelectedFeaturesClassifier, SelectedFeaturesRegressor
from huracan.ensembles.members import answers_on
from huracan.ensembles.selected_features import kept_columns
from huracan.errors import ModelError

__all__ = ["FoldAnswer", "FoldTask", "fit_setting", "work"]


@dataclass(frozen=True)
class FoldTask:
    """One fit, or the account of all answers.

    Attributes
    ----------
    trial, fold : of which it is part. spec : the learner itself where it is not of the catalogue, else None.
    answers, money : of the trial to all folds, and what to account for them with, where ``fold`` is ``VALUED``.
    """

    trial: int
    fold: int
    learner: str
    params: Mapping[str, Any]
    seed: int
    spec: LearnerSpec | None = None
    answers: Mapping[int, NDArray[np.float32]] | None = None
    money: Money | None = None


@dataclass(frozen=True)
class FoldAnswer:
    """What came of it: answers on the test rows (float32), the model where it may be kept, or what answers earn net of costs;
    seconds of both fit and answers, of this process and of the clock; those of them, by the clock, that prepared what later
    fits of the fold share, see ``StudyRows.seconds``."""

    answer: NDArray[np.float32] | None
    model: Any
    seconds: float
    wall_seconds: float
    net: NetResult | None = None
    prepared: Mapping[str, float] = field(default_factory=dict)


def work(task: FoldTask, shared: StudyRows) -> FoldAnswer:
    """Do one task, in a worker.

    Raises
    ------
    ModelError : an answer is not finite, or it cannot be fitted. AccountingError : nothing can be earned with the answers.
    """
    if task.spec is not None and MODEL_CATALOGUE.get(task.spec.name) is not task.spec:
        register_learner(task.spec, replace=True)
    began, at, before = time.process_time(), time.perf_counter(), shared.seconds
    if task.fold == VALUED:
        assert task.money is not None
        assert task.answers is not None
        net = task.money.net_result(shared, task.answers)
        return FoldAnswer(None, None, time.process_time() - began, time.perf_counter() - at, net)
    model = fit_setting(task, shared)
    if task.fold == ALL_ROWS:
        return FoldAnswer(None, model, time.process_time() - began, time.perf_counter() - at)
    if shared.task == "classification" and not hasattr(model, "predict_proba"):
        raise ModelError(f"{task.learner} has no probabilities; a search by log loss needs them.")
    n_classes = 2 if shared.task == "classification" else 0
    said = answers_on(task.learner, model, shared.rows, shared.fold(task.fold).test_rows, n_classes)
    kept = model if task.fold == JUDGED else None  # it may have to stand in for one of all rows
    prepared = {name: spent - before.get(name, 0.0) for name, spent in shared.seconds.items() if spent != before.get(name)}
    return FoldAnswer(said.astype(np.float32), kept, time.process_time() - began, time.perf_counter() - at, prepared=prepared)


def fit_setting(task: FoldTask, study: StudyRows) -> Any:
    """A fitted model of the catalogue, on all features or on those its setting selects."""
    params, choice = split_choice(task.params)
    model = build_model(task.learner, task=study.task, random_state=task.seed, **params)
    train = study.rows if task.fold == ALL_ROWS else study.rows.take(study.fold(task.fold).train_rows)
    if choice is not None:
        kept = kept_columns(study.ranking(task.fold, choice.by), choice.share)
        kind = SelectedFeaturesRegressor if study.task == "regression" else SelectedFeaturesClassifier
        columns = [train.feature_names[i] for i in kept]
        return kind.of(model, by=choice.by, share=choice.share, columns=columns, random_state=None).fit(train)
    prepared = study.prepared(task.fold) if isinstance(model, TabularLearner) else None
    return model.fit(train) if prepared is None else model.fit_prepared(train, prepared)
