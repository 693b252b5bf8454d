"""Which choices of a search mattered: PED-ANOVA on its finished trials, held against what noise would show."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from huracan.automl.optuna_terms import Spaces, defaults_of, distribution, named, place_of
from huracan.automl.trials import Trial, TrialState
from huracan.baselines.search_space import Between, Dimension
from huracan.report import HyperparameterImportance, Slice

if TYPE_CHECKING:
    import optuna

__all__ = ["importances", "slices"]

_FEWEST = 20
"""Finished trials: the best quarter are five, the fewest that Optuna advises."""
_QUARTER = 0.25
_SHUFFLES = 39
"""The largest of 39 shuffles is exceeded by one in forty without an effect, the second largest by one in twenty."""
_MOST_SLICES, _A_LEARNER = 12, 4
_FEWEST_IN_SLICE = 5

_NONE = pl.DataFrame(schema={"name": pl.String, "importance": pl.Float64})


def importances(
    trials: Sequence[Trial], spaces: Spaces, *, seed: int, minimised: bool = False
) -> tuple[HyperparameterImportance, ...]:
    """The choice of the learner, then the hyperparameters of each learner, that of the best trial first.

    Importance is how much less evenly the best quarter of the trials lies in a hyperparameter than all of them do.

    References
    ----------
    Watanabe, Bansal and Hutter (2023), "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces",
    IJCAI.
    """
    finished = [trial for trial in trials if trial.state is TrialState.FINISHED]
    if minimised:
        finished = [replace(trial, score=-trial.score) for trial in finished]
    by_learner = _by_learner(finished)
    found = []
    if len({trial.learner for trial in trials}) > 1:
        found.append(_of_learners(finished, seed))
    for learner, mine in by_learner.items():
        space = spaces[learner]
        if space:
            found.append(_of_hyperparameters(learner, space, mine, seed))
    return tuple(found)


def slices(
    trials: Sequence[Trial], spaces: Spaces, mattered: Sequence[HyperparameterImportance], *, minimised: bool = False
) -> tuple[Slice, ...]:
    """Scores against the hyperparameters that matter most; of a learner with few trials, against its first ones."""
    drawn: list[Slice] = []
    for learner, mine in _by_learner([t for t in trials if np.isfinite(t.score)], minimised).items():
        space = spaces[learner]
        if len(mine) < _FEWEST_IN_SLICE or not space:
            continue
        ranked = next((one.importance["name"].to_list() for one in mattered if one.of == learner), [])
        names = [*ranked, *(name for name in space if name not in ranked)][:_A_LEARNER]
        drawn += [_slice(learner, name, space[name], mine) for name in names]
    return tuple(drawn[:_MOST_SLICES])


def _by_learner(trials: Sequence[Trial], minimised: bool = False) -> dict[str, list[Trial]]:
    """Trials of each learner, the learner with the best of them first."""
    found: dict[str, list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.score if minimised else -trial.score):
        found.setdefault(trial.learner, []).append(trial)
    return found


def _of_learners(finished: Sequence[Trial], seed: int) -> HyperparameterImportance:
    learners = sorted({trial.learner for trial in finished})
    if len(finished) < _FEWEST or len(learners) < 2:
        return HyperparameterImportance("", len(finished), _NONE, reason=_too_few(len(finished), len(learners) < 2))
    import optuna

    choice = {"learner": optuna.distributions.CategoricalDistribution(learners)}
    return _measured("", [{"learner": trial.learner} for trial in finished], finished, choice, seed)


def _of_hyperparameters(
    learner: str, space: Mapping[str, Dimension], mine: Sequence[Trial], seed: int
) -> HyperparameterImportance:
    if len(mine) < _FEWEST:
        return HyperparameterImportance(learner, len(mine), _NONE, reason=_too_few(len(mine), False))
    complete = [{**defaults_of(learner), **trial.params} for trial in mine]
    known = {
        name: where
        for name, where in space.items()
        if all(params[name] in where for params in complete) and len({repr(params[name]) for params in complete}) > 1
    }
    if not known:
        return HyperparameterImportance(learner, len(mine), _NONE, reason="No hyperparameter took more than one value.")
    distributions = {name: distribution(where) for name, where in known.items()}
    values = [{name: named(where, params[name]) for name, where in known.items()} for params in complete]
    return _measured(learner, values, mine, distributions, seed)


def _measured(
    of: str,
    values: Sequence[Mapping[str, Any]],
    trials: Sequence[Trial],
    distributions: Mapping[str, optuna.distributions.BaseDistribution],
    seed: int,
) -> HyperparameterImportance:
    """Importance of every choice, and what noise reaches: scores shuffled over the trials have nothing to do with them."""
    scores = np.array([trial.score for trial in trials])
    measured = _ped_anova(values, scores, distributions)
    shuffled = np.random.default_rng(seed)
    luck = sorted(
        max(_ped_anova(values, shuffled.permutation(scores), distributions).values(), default=0.0) for _ in range(_SHUFFLES)
    )
    ranked = sorted(measured.items(), key=lambda item: -item[1])
    table = pl.DataFrame(
        {"name": [name for name, _ in ranked], "importance": [value for _, value in ranked]}, schema=_NONE.schema
    )
    return HyperparameterImportance(of, len(trials), table, noise=luck[-2])


def _ped_anova(values: Sequence[Mapping[str, Any]], scores: np.ndarray, distributions: Mapping[str, Any]) -> dict[str, float]:
    import optuna

    logging.getLogger("optuna").setLevel(logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(params=dict(params), distributions=dict(distributions), value=float(score))
            for params, score in zip(values, scores)
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_QUARTER)
        return optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=False)


def _value(value: Any, where: Dimension) -> float:
    """A value as a picture has it: a number, or the place of a choice."""
    return float(value if isinstance(where, Between) else place_of(where, value))


def _slice(learner: str, name: str, where: Dimension, trials: Sequence[Trial]) -> Slice:
    rows = [(trial.number, {**defaults_of(learner), **trial.params}[name], trial.score, str(trial.state)) for trial in trials]
    inside = [(number, _value(value, where), score, state) for number, value, score, state in rows if value in where]
    frame = pl.DataFrame(
        inside, schema={"trial": pl.Int64, "value": pl.Float64, "score": pl.Float64, "state": pl.String}, orient="row"
    )
    if isinstance(where, Between):
        return Slice(learner, name, frame, log=where.log)
    return Slice(learner, name, frame, labels=tuple("none" if value is None else str(value) for value in where.values))


def _too_few(n: int, one_learner: bool) -> str:
    if one_learner and n >= _FEWEST:
        return "All finished trials are of one learner; there is nothing to compare."
    few = "1 finished trial is" if n == 1 else f"{n} finished trials are"
    return f"{few} too few to tell what mattered; from {_FEWEST} on it can be told."
