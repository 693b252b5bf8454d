"""Which setting is tried next: the queue first, then what an Optuna sampler makes of all results so far."""

from __future__ import annotations

import copy
import datetime
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from huracan.automl.feature_choice import ALL_FEATURES
from huracan.automl.trials import Trial, TrialState
from huracan.baselines.search_space import Between, Dimension, SearchSpace
from huracan.baselines.spec import LearnerSpec
from huracan.catalogue import find_learner
from huracan.errors import ModelError, nearest_name
from huracan.models.torch_use import require_torch

if TYPE_CHECKING:
    import optuna

__all__ = ["SAMPLERS", "Direction", "Proposals", "defaults_of", "inside", "sampler_of", "search_spaces", "to_optuna"]

SAMPLERS: Mapping[str, str] = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "cma_es": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsga_ii": "NSGAIISampler",
}
"""Name here -> Optuna's."""

_OF_ALL = ("tpe", "random")
"""Those that choose a learner and its settings together; the others look at one learner's settings, tpe at which learner."""

_WARN_OF_EACH = ("cma_es", "gp")
"""Hyperparameter that they cannot look at."""

Spaces = Mapping[str, Mapping[str, Dimension]]
"""Learner -> hyperparameter -> where to look."""

Direction = Literal["minimize", "maximize"]

_LEARNER = "learner"
_LARGE: tuple[Direction, ...] = ("maximize",)
_DRAWS = 24
"""Times a setting that has not been tried is asked for, the second half of them by chance, before one is tried again."""
_NOW = datetime.datetime(2000, 1, 1)  # Optuna wants a time; nothing depends on it


def sampler_of(name: str, seed: int, number: int = 0, *, place: int = 0) -> optuna.samplers.BaseSampler:
    """An Optuna sampler by name, which proposes one trial: a function of the seed, its number and what it is told.

    ``place`` is how many trials it knows, which is where a sequence of points goes on.

    Raises
    ------
    UnknownName : there is no sampler of this name. DependencyMissing : Gaussian processes need PyTorch.
    """
    import optuna

    if name not in SAMPLERS:
        raise nearest_name(name, SAMPLERS, kind="sampler")
    if name == "gp":
        require_torch("the sampler 'gp' needs")
    kind = getattr(optuna.samplers, SAMPLERS[name])
    drawn = int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0])
    with warnings.catch_warnings():  # some, and two options of TPE since 2020, are called experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return kind(seed=drawn, multivariate=True, group=True, constant_liar=True, n_startup_trials=0)
        if name == "qmc":
            independent = optuna.samplers.RandomSampler(seed=drawn)
            sampler = kind(seed=seed, independent_sampler=independent, warn_independent_sampling=False)
            sampler._find_sample_id = lambda *_: place  # its own count is of one process
            return sampler
        if name in _WARN_OF_EACH:
            return kind(seed=drawn, warn_independent_sampling=False)
        return kind(seed=drawn)


def search_spaces(learners: Sequence[str], given: Mapping[str, SearchSpace]) -> dict[str, dict[str, Dimension]]:
    """Learner -> hyperparameter -> where to look: what the learner declares, unless ``given`` says otherwise.

    Raises
    ------
    UnknownName : no such learner or hyperparameter. ModelError : what is given is no dimension, or of a learner that is not
        searched.
    """
    asked = {find_learner(name).name: space for name, space in given.items()}
    spaces: dict[str, dict[str, Dimension]] = {}
    for name in learners:
        spec = find_learner(name)
        spaces[spec.name] = {**spec.search_space, **_checked(spec, asked.get(spec.name, {}))}
    for name in asked:
        if name not in spaces:
            raise ModelError(f"search_space speaks of '{name}', which is not among the learners {', '.join(spaces)}.")
    return spaces


def _checked(spec: LearnerSpec, given: SearchSpace) -> dict[str, Dimension]:
    named = spec.canonical(given)
    for name, dimension in named.items():
        if not isinstance(dimension, Dimension):
            raise ModelError(f"search_space of {spec.name}.{name} is {dimension!r}; Between(...) or OneOf(...) was expected.")
    return named


class Proposals:
    """What is tried next. What a sampler proposes for a trial depends on the seed, the trial's number and the trials told.

    Parameters
    ----------
    spaces : of :func:`search_spaces`. queue : learner, settings and source of the first trials, by their number.
    sampler : one of :data:`SAMPLERS`. seed : of the study. directions : "maximize" or "minimize", of each objective.

    Examples
    --------
    >>> spaces = search_spaces(["ridge"], {})
    >>> one, two = (Proposals(spaces, [("ridge", {}, "portfolio")], seed=3) for _ in range(2))
    >>> one.next(0)
    ('ridge', {}, 'portfolio')
    >>> one.next(1) == two.next(1)
    True
    """

    def __init__(
        self,
        spaces: Spaces,
        queue: Sequence[tuple[str, Mapping[str, Any], str]] = (),
        *,
        sampler: str = "tpe",
        seed: int = 0,
        directions: Sequence[Direction] = _LARGE,
    ) -> None:
        self._spaces, self._queue, self._sampler, self._seed = spaces, queue, sampler, seed
        self._directions = directions
        self._known: dict[int, optuna.trial.FrozenTrial] = {}
        self._notes: dict[int, dict[str, Any]] = {}
        self._given_up: set[str] = set()

    def next(self, number: int) -> tuple[str, dict[str, Any], str]:
        """Learner, settings that differ from its defaults, and where they come from."""
        from optuna.trial import TrialState as OptunaState

        told = [self._known[n] for n in sorted(self._known) if n != number]
        together = self._sampler in _OF_ALL
        chooser = _study_of(told, sampler_of(self._sampler if together else "tpe", self._seed, number), self._directions)
        own: dict[str, optuna.Study] = {}
        source = "sampler"
        left = [name for name in self._spaces if name not in self._given_up]
        if number < len(self._queue) and self._queue[number][0] in left:
            learner, params, source = self._queue[number]
            whole = _whole(self._spaces, learner, params)
            chooser.enqueue_trial(whole if together else {_LEARNER: whole[_LEARNER]})
            if not together:
                own[learner] = self._study_of_one(learner, told, number)
                own[learner].enqueue_trial(_without_learner(whole))
        for draw in range(_DRAWS):
            if draw and (learner not in left or (self._given_up and draw == _DRAWS - 1)):
                chooser.enqueue_trial({_LEARNER: left[(number + draw) % len(left)]})
            choice = chooser.ask()
            learner = choice.suggest_categorical(_LEARNER, list(self._spaces))
            if together:
                study, trial = chooser, choice
            else:
                study = own[learner] = own.get(learner) or self._study_of_one(learner, told, number)
                trial = study.ask()
            found = {name: _suggested(trial, f"{learner}.{name}", where) for name, where in self._spaces[learner].items()}
            asked = {_LEARNER: learner, **trial.params}
            is_new = draw == _DRAWS - 1 or all(one.params != asked for one in told)
            if source != "sampler" or (learner in left and is_new):
                break
            chooser.tell(choice, state=OptunaState.FAIL)
            if not together:
                study.tell(trial, state=OptunaState.FAIL)
            if draw >= _DRAWS // 2:
                chooser.sampler = study.sampler = sampler_of("random", self._seed, number + draw)
        defaults = defaults_of(learner)
        self._notes[number] = {**study.get_trials(deepcopy=False)[trial.number].system_attrs}
        return learner, {name: value for name, value in found.items() if value != defaults[name]}, source

    def _study_of_one(self, learner: str, told: Sequence[optuna.trial.FrozenTrial], number: int) -> optuna.Study:
        """What the sampler needs to know of one learner's settings, as if there were no other."""
        its = []
        for one in told:
            if one.params[_LEARNER] == learner:
                one = copy.copy(one)
                one.params, one.distributions = _without_learner(one.params), _without_learner(one.distributions)
                its.append(one)
        return _study_of(its, sampler_of(self._sampler, self._seed, number, place=len(its)), self._directions)

    def give_up(self, learner: str) -> None:
        """Propose this learner no more, unless it is the only one that is left."""
        if len(self._given_up) + 1 < len(self._spaces):
            self._given_up.add(learner)

    def notes(self, number: int) -> dict[str, int]:
        """What the sampler wants to remember of a trial that it proposed, as far as it is plain numbers.

        CMA-ES keeps pickled objects; those stay in the process that made them.
        """
        noted = self._notes.get(number, {})
        return {key: value for key, value in noted.items() if key.startswith("NSGAII") and isinstance(value, int)}

    def told(self, trial: Trial) -> None:
        """That a trial runs, or what became of it."""
        self._known[trial.number] = _frozen(trial, self._spaces, self._notes.get(trial.number, trial.notes))


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


def _whole(spaces: Spaces, learner: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A setting as a sampler names it."""
    values = inside(spaces[learner], learner, params)
    return {_LEARNER: learner, **{f"{learner}.{name}": _named(spaces[learner][name], value) for name, value in values.items()}}


def _without_learner(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if name != _LEARNER}


def to_optuna(trials: Iterable[Trial], spaces: Spaces, *, directions: Sequence[Direction] = _LARGE) -> optuna.Study:
    """A study of Optuna, in memory, of all these trials: for its importances and pictures."""
    told = (_frozen(trial, spaces, {}) for trial in sorted(trials, key=lambda trial: trial.number))
    return _study_of(told, sampler_of("random", 0), directions)


def _study_of(
    told: Iterable[optuna.trial.FrozenTrial], sampler: optuna.samplers.BaseSampler, directions: Sequence[Direction]
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


def _frozen(trial: Trial, spaces: Spaces, notes: Mapping[str, Any]) -> optuna.trial.FrozenTrial:
    """A trial as Optuna knows it."""
    from optuna.trial import TrialState as OptunaState

    states = {None: OptunaState.RUNNING, TrialState.FINISHED: OptunaState.COMPLETE, TrialState.PRUNED: OptunaState.PRUNED}
    state = states.get(trial.state, OptunaState.FAIL)
    judged = trial.state is not None and state is not OptunaState.FAIL
    params = _whole(spaces, trial.learner, trial.params) if trial.learner else {}
    return _told_kind()(
        number=trial.number,
        trial_id=trial.number,
        state=state,
        value=None,
        values=list(trial.values or (trial.score,)) if judged else None,
        datetime_start=_NOW,
        datetime_complete=None if trial.state is None else _NOW,
        params=params,
        distributions={name: _distribution(name, spaces) for name in params},
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


def _distribution(name: str, spaces: Spaces) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if name == _LEARNER:
        return CategoricalDistribution(list(spaces))
    learner, _, parameter = name.partition(".")
    where = spaces[learner][parameter]
    if isinstance(where, Between):
        if where.whole:
            return IntDistribution(int(where.low), int(where.high), log=where.log)
        return FloatDistribution(where.low, where.high, log=where.log)
    return CategoricalDistribution(where.values if _is_plain(where) else range(len(where.values)))


def _suggested(trial: optuna.trial.Trial, name: str, where: Dimension) -> Any:
    if isinstance(where, Between):
        if where.whole:
            return trial.suggest_int(name, int(where.low), int(where.high), log=where.log)
        return trial.suggest_float(name, where.low, where.high, log=where.log)
    if _is_plain(where):
        return trial.suggest_categorical(name, where.values)
    return where.values[trial.suggest_categorical(name, range(len(where.values)))]


def _named(where: Dimension, value: Any) -> Any:
    """A value as a sampler names it: itself, or its place where it is none that Optuna can name."""
    if isinstance(where, Between) or _is_plain(where):
        return value
    return next(place for place, known in enumerate(where.values) if known == value)


def _is_plain(where: Any) -> bool:
    return all(value is None or isinstance(value, (bool, int, float, str)) for value in where.values)
