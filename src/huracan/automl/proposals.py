"""Which setting is tried next: the portfolio first, then what an Optuna sampler makes of all results so far."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from huracan.automl.feature_choice import ALL_FEATURES
from huracan.automl.trials import Trial, TrialState
from huracan.baselines.search_space import Between, Dimension, SearchSpace
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

_LEARNER = "learner"


def sampler_of(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """An Optuna sampler by name.

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
    with warnings.catch_warnings():  # some, and two options of TPE since 2020, are called experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return kind(seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=0)
        return kind(seed=seed)


def search_spaces(learners: Sequence[str], given: Mapping[str, SearchSpace]) -> dict[str, dict[str, Dimension]]:
    """Learner -> hyperparameter -> where to look: what the learner declares, unless ``given`` says otherwise.

    Raises
    ------
    UnknownName : no such learner or hyperparameter. ModelError : what is given is no dimension, or of a learner that is not
        searched.
    """
    spaces: dict[str, dict[str, Dimension]] = {}
    for name in learners:
        spec = find_learner(name)
        spaces[spec.name] = {**spec.search_space, **_checked(spec, given.get(name, given.get(spec.name, {})))}
    for name in given:
        if find_learner(name).name not in spaces:
            raise ModelError(f"search_space speaks of '{name}', which is not among the learners {', '.join(spaces)}.")
    return spaces


def _checked(spec: LearnerSpec, given: SearchSpace) -> dict[str, Dimension]:
    named = spec.canonical(given)
    for name, dimension in named.items():
        if not isinstance(dimension, Dimension):
            raise ModelError(f"search_space of {spec.name}.{name} is {dimension!r}; Between(...) or OneOf(...) was expected.")
    return named


class Proposals:
    """Asks and tells an Optuna study.

    Parameters
    ----------
    study : of Optuna. spaces : of :func:`search_spaces`. start : settings that come first.
    """

    def __init__(
        self, study: optuna.Study, spaces: Mapping[str, Mapping[str, Dimension]], start: Sequence[tuple[str, dict[str, Any]]]
    ) -> None:
        self._study, self._spaces = study, spaces
        self._asked: dict[int, optuna.trial.Trial] = {}
        if not study.get_trials(deepcopy=False):
            for learner, params in start:
                study.enqueue_trial(self._whole(learner, params), user_attrs={"source": "portfolio"})

    def next(self) -> tuple[int, str, dict[str, Any], str]:
        """Number, learner, settings that differ from its defaults, and where they come from."""
        trial = self._study.ask()
        self._asked[trial.number] = trial
        learner = trial.suggest_categorical(_LEARNER, list(self._spaces))
        params = {name: _suggested(trial, f"{learner}.{name}", where) for name, where in self._spaces[learner].items()}
        defaults = {**find_learner(learner).defaults, **ALL_FEATURES}
        changed = {name: value for name, value in params.items() if value != defaults[name]}
        return trial.number, learner, changed, trial.user_attrs.get("source", "sampler")

    def told(self, trial: Trial) -> None:
        """What became of a trial."""
        import optuna

        asked = self._asked.pop(trial.number)
        if trial.state is TrialState.FINISHED:
            self._study.tell(asked, trial.values or trial.score)
        elif trial.state is TrialState.PRUNED:
            asked.report(trial.score, len(trial.gains))
            self._study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(asked, state=optuna.trial.TrialState.FAIL)

    def _whole(self, learner: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Every dimension of a learner: what is given, else its default, brought into the space."""
        values: dict[str, Any] = {_LEARNER: learner}
        complete = {**ALL_FEATURES, **find_learner(learner).complete(params)}
        for name, where in self._spaces[learner].items():
            value = complete[name]
            if value in where:
                values[f"{learner}.{name}"] = value
            elif isinstance(where, Between) and isinstance(value, (int, float)):
                values[f"{learner}.{name}"] = type(value)(min(max(value, where.low), where.high))
        return values


def _suggested(trial: optuna.trial.Trial, name: str, where: Dimension) -> Any:
    if isinstance(where, Between):
        if where.whole:
            return trial.suggest_int(name, int(where.low), int(where.high), log=where.log)
        return trial.suggest_float(name, where.low, where.high, log=where.log)
    if all(value is None or isinstance(value, (bool, int, float, str)) for value in where.values):
        return trial.suggest_categorical(name, where.values)
    return where.values[trial.suggest_categorical(name, range(len(where.values)))]
