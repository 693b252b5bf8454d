"""Which setting is tried next: the queue first, then what an Optuna sampler makes of all results so far."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from huracan.automl.optuna_terms import (
    LARGE,
    LEARNER,
    Direction,
    Spaces,
    defaults_of,
    frozen,
    study_of,
    suggested,
    whole,
    without_learner,
)
from huracan.automl.trials import Trial
from huracan.baselines.search_space import Dimension, SearchSpace
from huracan.baselines.spec import LearnerSpec
from huracan.catalogue import find_learner
from huracan.errors import ModelError, nearest_name
from huracan.models.torch_use import require_torch

if TYPE_CHECKING:
    import optuna

__all__ = ["SAMPLERS", "Proposals", "sampler_of", "search_spaces"]

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

_DRAWS = 24
"""Times a setting that has not been tried is asked for, the second half of them by chance, before one is tried again."""


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
        directions: Sequence[Direction] = LARGE,
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
        chooser = study_of(told, sampler_of(self._sampler if together else "tpe", self._seed, number), self._directions)
        own: dict[str, optuna.Study] = {}
        source = "sampler"
        left = [name for name in self._spaces if name not in self._given_up]
        if number < len(self._queue) and self._queue[number][0] in left:
            learner, params, source = self._queue[number]
            setting = whole(self._spaces, learner, params)
            chooser.enqueue_trial(setting if together else {LEARNER: learner})
            if not together:
                own[learner] = self._study_of_one(learner, told, number)
                own[learner].enqueue_trial(without_learner(setting))
        for draw in range(_DRAWS):
            if draw and (learner not in left or (self._given_up and draw == _DRAWS - 1)):
                chooser.enqueue_trial({LEARNER: left[(number + draw) % len(left)]})
            choice = chooser.ask()
            learner = choice.suggest_categorical(LEARNER, list(self._spaces))
            if together:
                study, trial = chooser, choice
            else:
                study = own[learner] = own.get(learner) or self._study_of_one(learner, told, number)
                trial = study.ask()
            found = {name: suggested(trial, f"{learner}.{name}", where) for name, where in self._spaces[learner].items()}
            asked = {LEARNER: learner, **trial.params}
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
            if one.params[LEARNER] == learner:
                one = copy.copy(one)
                one.params, one.distributions = without_learner(one.params), without_learner(one.distributions)
                its.append(one)
        return study_of(its, sampler_of(self._sampler, self._seed, number, place=len(its)), self._directions)

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
        """That a trial runs, or what became of it.

        Examples
        --------
        >>> proposals = Proposals(search_spaces(["linear_regression", "ridge"], {}), seed=3)
        >>> for number, learner in enumerate(["linear_regression", "ridge"]):
        ...     proposals.told(Trial(number, learner, {}, 0, "portfolio"))
        >>> proposals.next(2)[0]  # linear regression has no other setting
        'ridge'
        """
        self._known[trial.number] = frozen(trial, self._spaces, self._notes.get(trial.number, trial.notes))
