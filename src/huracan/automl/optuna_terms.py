"""Spaces, settings and trials as Optuna knows them: hyperparameters are named after their learner, which is one more choice."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from huracan.automl.feature_choice import ALL_FEATURES
from huracan.automl.trials import Trial, TrialState
from huracan.baselines.search_space import Between, Dimension, OneOf
from huracan.catalogue import find_learner

if TYPE_CHECKING:
    import optuna

__all__ = [
    "LEARNER",
    "Direction",
    "Spaces",
    "defaults_of",
    "distribution",
    "frozen",
    "inside",
    "named",
    "place_of",
    "study_of",
    "suggested",
    "to_optuna",
    "whole",
    "without_learner",
]

Spaces = Mapping[str, Mapping[str, Dimension]]
"""Learner -> hyperparameter -> where to look."""

Direction = Literal["minimize", "maximize"]

LEARNER = "learner"
"""The choice of the learner, among hyperparameters."""

LARGE: tuple[Direction, ...] = ("maximize",)
_NOW = datetime.datetime(2000, 1, 1)  # Optuna wants a time; nothing depends on it


def defaults_of(learner: str) -> dict[str, Any]:
    """What a hyperparameter is where a setting does not name it."""
    return {**find_learner(learner).defaults, **ALL_FEATURES}


def inside(space: Mapping[str, Dimension], learner: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Every dimension's value: what is given, else the learner's default, brought into the space; some have no place there."""
    values: dict[str, Any] = {}
    complete = {**defaults_of(learner), **params}
    for name, where in space.items():
        value = complete[name]
        if isinstance(where, Between) and isinstance(value, (int, float)) and not isinstance(value, bool):
            value = min(max(value, where.low), where.high)
            value = round(value) if where.whole else value
        if value in where:
            values[name] = value
    return values


def whole(spaces: Spaces, learner: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A setting as a sampler names it."""
    values = inside(spaces[learner], learner, params)
    return {LEARNER: learner, **{f"{learner}.{name}": named(spaces[learner][name], value) for name, value in values.items()}}


def without_learner(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if name != LEARNER}


def to_optuna(trials: Iterable[Trial], spaces: Spaces, *, directions: Sequence[Direction] = LARGE) -> optuna.Study:
    """A study of Optuna, in memory, of all these trials: for its importances and pictures."""
    told = (frozen(trial, spaces, {}) for trial in sorted(trials, key=lambda trial: trial.number))
    return study_of(told, None, directions)


def study_of(
    told: Iterable[optuna.trial.FrozenTrial], sampler: optuna.samplers.BaseSampler | None, directions: Sequence[Direction]
) -> optuna.Study:
    import optuna

    loud = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study, also those in memory
    try:
        study = optuna.create_study(directions=list(directions), sampler=sampler)
    finally:
        optuna.logging.set_verbosity(loud)
    for trial in told:
        study.add_trial(trial)
    return study


def frozen(trial: Trial, spaces: Spaces, notes: Mapping[str, Any]) -> optuna.trial.FrozenTrial:
    """A trial as Optuna knows it."""
    from optuna.trial import TrialState as OptunaState

    states = {None: OptunaState.RUNNING, TrialState.FINISHED: OptunaState.COMPLETE, TrialState.PRUNED: OptunaState.PRUNED}
    state = states.get(trial.state, OptunaState.FAIL)
    judged = trial.state is not None and state is not OptunaState.FAIL
    params = whole(spaces, trial.learner, trial.params) if trial.learner else {}
    return _told_kind()(
        number=trial.number,
        trial_id=trial.number,
        state=state,
        value=None,
        values=list(trial.values or (trial.score,)) if judged else None,
        datetime_start=_NOW,
        datetime_complete=None if trial.state is None else _NOW,
        params=params,
        distributions={name: _distribution_of(name, spaces) for name in params},
        user_attrs={"source": trial.source},
        system_attrs=dict(notes),
        intermediate_values={len(trial.gains): trial.score} if state is OptunaState.PRUNED else {},
    )


@cache
def _told_kind() -> Any:
    """Optuna's kind of trial that is not copied to its depths each time it is told: nobody changes it."""
    from optuna.trial import FrozenTrial

    class Told(FrozenTrial):
        def __deepcopy__(self, memo: dict[int, Any]) -> Told:
            return copy.copy(self)

    return Told


def _distribution_of(name: str, spaces: Spaces) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution

    if name == LEARNER:
        return CategoricalDistribution(list(spaces))
    learner, _, parameter = name.partition(".")
    return distribution(spaces[learner][parameter])


def distribution(where: Dimension) -> optuna.distributions.BaseDistribution:
    """Where a value lies; of choices that Optuna cannot name, where their places do.

    >>> distribution(Between(1, 8, whole=True))
    IntDistribution(high=8, log=False, low=1, step=1)
    >>> distribution(OneOf(("all", (1, 2))))
    CategoricalDistribution(choices=(0, 1))
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(where, Between):
        if where.whole:
            return IntDistribution(int(where.low), int(where.high), log=where.log)
        return FloatDistribution(where.low, where.high, log=where.log)
    return CategoricalDistribution(where.values if _is_plain(where) else range(len(where.values)))


def suggested(trial: optuna.trial.Trial, name: str, where: Dimension) -> Any:
    if isinstance(where, Between):
        if where.whole:
            return trial.suggest_int(name, int(where.low), int(where.high), log=where.log)
        return trial.suggest_float(name, where.low, where.high, log=where.log)
    if _is_plain(where):
        return trial.suggest_categorical(name, where.values)
    return where.values[trial.suggest_categorical(name, range(len(where.values)))]


def named(where: Dimension, value: Any) -> Any:
    """A value as a sampler names it: itself, or its place where it is none that Optuna can name."""
    return value if isinstance(where, Between) or _is_plain(where) else place_of(where, value)


def place_of(where: OneOf, value: Any) -> int:
    """The place of a choice; true is not 1.

    >>> place_of(OneOf((1, True)), True)
    1
    """
    same = (isinstance(value, bool) == isinstance(known, bool) and value == known for known in where.values)
    return next(place for place, is_same in enumerate(same) if is_same)


def _is_plain(where: Any) -> bool:
    return all(value is None or isinstance(value, (bool, int, float, str)) for value in where.values)
