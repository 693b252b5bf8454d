"""Ensembles of a run's learners, trained in every fold like a learner: nothing in them has seen what comes after its rows.

All ensembles of a run combine the same members in different ways. The members are therefore trained once for all of them: out
of fold inside the rows given, which is what weights and stacks learn from, and then on all of these rows.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from huracan.automl.choosing import CONSTANT
from huracan.catalogue import build_model, find_learner
from huracan.config import HuracanConfig
from huracan.dataset import TrainingSet
from huracan.ensembles import (
    EnsembleClassifier,
    EnsembleRegressor,
    OutOfFold,
    RegimeWeights,
    TimeOrderedStackingClassifier,
    TimeOrderedStackingRegressor,
    equal_weights,
    greedy_weights,
    hedge_weights,
    inverse_loss_weights,
    out_of_fold_predictions,
)
from huracan.errors import ConfigError, HuracanError, ModelError
from huracan.integration.candidates import LearnerCandidate
from huracan.logs import logger
from huracan.model_info import ModelInfo
from huracan.validation import PurgedWalkForward

__all__ = ["EnsembleCandidate", "MemberPool", "TrainedMembers", "ensembles_of"]

_MOST_KEPT = 64
_PURPOSES = {
    "greedy": "Learners weighted by greedy selection on what they said out of fold, the constant among them.",
    "stacking": "A regression on what learners said out of fold.",
    "inverse_loss": "Learners weighted by the inverse of their loss out of fold.",
    "voting": "The plain mean of several learners.",
    "by_regime": "Learners weighted by their loss out of fold in each market regime.",
    "hedge": "Learners weighted by their losses out of fold as they arrived (Hedge).",
}

Task = Literal["regression", "classification"]


@dataclass(frozen=True)
class TrainedMembers:
    """Members on some rows.

    Attributes
    ----------
    models : name -> model fitted on all of the rows. out_of_fold : what they said of rows that they had not learned from.
    left_out : name -> why it could not be trained there.
    """

    models: Mapping[str, Any]
    out_of_fold: OutOfFold
    left_out: Mapping[str, str]


@dataclass(eq=False)
class MemberPool:
    """The members that all ensembles of a run share, each trained once for the same rows.

    Parameters
    ----------
    members : name -> learner. task : of all of them. splitter : inside the rows given. takers : ensembles that will ask for the
        same rows; what they all have taken is forgotten.
    """

    members: Mapping[str, LearnerCandidate]
    task: Task
    splitter: PurgedWalkForward
    takers: int = 1
    _shelf: OrderedDict[Any, _Shelved] = field(default_factory=OrderedDict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def trained(self, rows: TrainingSet, *, seed: int) -> TrainedMembers:
        """Members trained on these rows.

        Raises
        ------
        ModelError : none of them could be.
        """
        key = (rows.data_hash(), seed)
        with self._lock:
            shelved = self._shelf.setdefault(key, _Shelved())
            shelved.taken += 1
            if shelved.taken >= self.takers:
                del self._shelf[key]
            while len(self._shelf) > _MOST_KEPT:
                self._shelf.popitem(last=False)
        return shelved.get(lambda: self._train(rows, seed))

    def _train(self, rows: TrainingSet, seed: int) -> TrainedMembers:
        models: dict[str, Any] = {}
        said: list[OutOfFold] = []
        left_out: dict[str, str] = {}
        for name, learner in self.members.items():
            try:
                made = out_of_fold_predictions({name: learner.unfitted(seed, task=self.task)}, rows, self.splitter)
                models[name] = learner.unfitted(seed, task=self.task).fit(rows)
            except HuracanError as error:
                left_out[name] = str(error)
                logger().info("a member of the ensembles could not be trained", member=name, reason=str(error))
                continue
            said.append(made)
        if not said:
            name, reason = next(iter(left_out.items()))
            raise ModelError(f"none of {len(left_out)} members of the ensemble could be trained; {name}: {reason}")
        together = np.concatenate([made.predictions for made in said], axis=1)
        return TrainedMembers(models, replace(said[0], names=tuple(models), predictions=together), left_out)


@dataclass(eq=False)
class _Shelved:
    """Trained members, or why there are none; whoever asks first trains, others wait."""

    taken: int = 0
    _outcome: TrainedMembers | HuracanError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, train: Callable[[], TrainedMembers]) -> TrainedMembers:
        with self._lock:
            if self._outcome is None:
                try:
                    self._outcome = train()
                except HuracanError as error:
                    self._outcome = error
        if isinstance(self._outcome, HuracanError):
            raise self._outcome
        return self._outcome


@dataclass(frozen=True)
class EnsembleCandidate:
    """Members combined in one way."""

    name: str
    method: str
    pool: MemberPool

    @property
    def max_train_rows(self) -> int | None:
        return None

    def fit(self, rows: TrainingSet, *, seed: int) -> Any:
        """An ensemble or a stack, with ``left_out_``: member -> why it is none."""
        trained = self.pool.trained(rows, seed=seed)
        made = _combined(self.method, trained, rows, self.pool.task, seed)
        made.left_out_ = dict(trained.left_out)
        return made

    def card(self) -> ModelInfo:
        members = {name: learner.unfitted(task=self.pool.task) for name, learner in self.pool.members.items()}
        kind = _kind(self.method, self.pool.task)
        return kind(members).model_info().model_copy(update={"name": self.name, "purpose": _PURPOSES[self.method]})


def ensembles_of(config: HuracanConfig, *, task: Task | None = None) -> dict[str, EnsembleCandidate]:
    """The ensembles a configuration asks for, by name; ``task`` instead of the configured one.

    Raises
    ------
    ConfigError : a member cannot do the task, or no learner of the profile can.
    """
    wanted = config.ensemble
    if not wanted.methods:
        return {}
    task = task or wanted.task
    members = _members(config, task)
    splitter = PurgedWalkForward(
        wanted.n_splits, embargo=config.validation.embargo_bars, min_train_share=config.validation.min_train_share
    )
    pool = MemberPool(members, task, splitter, takers=len(wanted.methods))
    return {f"ensemble_{method}": EnsembleCandidate(f"ensemble_{method}", method, pool) for method in wanted.methods}


def _members(config: HuracanConfig, task: Task) -> dict[str, LearnerCandidate]:
    wanted, learners = config.ensemble, config.active_profile.learners
    members, reasons = {}, {}
    for name in wanted.members or learners:
        why_not = _unfit(name, learners[name].task, task)
        if why_not is None:
            members[name] = LearnerCandidate(name, learners[name])
        else:
            reasons[name] = why_not
    if wanted.members and reasons:
        name, reason = next(iter(reasons.items()))
        raise ConfigError(f"ensemble.members names '{name}', which {reason}; the members' task is {task}.")
    if not members:
        raise ConfigError(f"ensemble.methods asks for ensembles, but no learner of profile '{config.profile}' does {task}.")
    return members


def _unfit(name: str, configured: str, task: Task) -> str | None:
    """Why a learner is no member; None where it is one."""
    spec = find_learner(name)
    if spec.is_rule:
        return "is a rule"
    if task not in spec.tasks:
        return f"does not do {task}"
    if configured not in ("auto", task):
        return f"is configured for {configured}"
    if task == "classification" and spec.margin_only:
        return "has no probabilities"
    return None


def _kind(method: str, task: Task) -> Any:
    if method == "stacking":
        return TimeOrderedStackingRegressor if task == "regression" else TimeOrderedStackingClassifier
    return EnsembleRegressor if task == "regression" else EnsembleClassifier


def _combined(method: str, trained: TrainedMembers, rows: TrainingSet, task: Task, seed: int) -> Any:
    """The fitted ensemble."""
    kind, made = _kind(method, task), trained.out_of_fold
    if method == "stacking":
        return kind.of_fitted(trained.models, made)
    if method == "greedy":
        models = {**trained.models, CONSTANT: build_model("majority", task=task).fit(rows)}
        return kind.of_fitted(models, _greedy(made, seed))
    return kind.of_fitted(trained.models, _weights(method, made))


def _weights(method: str, made: OutOfFold) -> NDArray[np.float64] | RegimeWeights:
    if method == "voting":
        return equal_weights(len(made.names))
    losses = made.losses()
    if method == "inverse_loss":
        return inverse_loss_weights(losses)
    told = made.rows.take(made.usable)
    if method == "hedge":
        return hedge_weights(losses, told.decision_time, told.label_end)
    return RegimeWeights.fit(losses, told.regime_code, told.decision_time)


def _greedy(made: OutOfFold, seed: int) -> NDArray[np.float64]:
    """Weights of the members and, last, of the constant that each fold's past would have forecast."""
    constant = _constant(made)
    usable = made.usable & (made.rows.weight > 0) & np.isfinite(constant)
    table = np.column_stack([made.predictions, constant])[usable]
    loss: Literal["squared_error", "log_loss"] = "squared_error" if made.task == "regression" else "log_loss"
    return greedy_weights(table, made.target[usable], loss, sample_weight=made.rows.weight[usable], random_state=seed)


def _constant(made: OutOfFold) -> NDArray[np.float64]:
    """For each row the mean label known when the models behind its predictions learned; nan where none had a weight."""
    known = np.isfinite(made.target) & (made.rows.weight > 0)
    constant = np.full(len(made), np.nan)
    for moment in np.unique(made.known_until[made.fold >= 0]):
        past = known & (made.rows.label_end <= moment)
        if past.any():
            constant[made.known_until == moment] = np.average(made.target[past], weights=made.rows.weight[past])
    return constant
