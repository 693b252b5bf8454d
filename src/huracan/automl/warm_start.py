"""What earlier studies found good, to begin another one with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from huracan.automl.optuna_terms import Spaces, defaults_of, inside
from huracan.storage import Database, StudyFacts, StudyLog, StudyStatus, to_json

__all__ = ["good_settings", "with_history"]

_MOST = 6
_OF_ONE = 2
_AFTER = 3
"""Of the portfolio, so many come first: the surest ones."""

Setting = tuple[str, Mapping[str, Any], str]


def with_history(portfolio: Sequence[Setting], history: Sequence[Setting], spaces: Spaces) -> list[Setting]:
    """The portfolio with what history knows after its first entries; what is in it already is not tried twice."""
    known = {_key(spaces, learner, params) for learner, params, _ in portfolio}
    new: list[Setting] = []
    for learner, params, source in history:
        key = _key(spaces, learner, params)
        if key not in known:
            known.add(key)
            new.append((learner, params, source))
    return [*portfolio[:_AFTER], *new[:_MOST], *portfolio[_AFTER:]]


def good_settings(
    database: Database, facts: StudyFacts, spaces: Spaces, *, searched_until: datetime | None = None
) -> list[Setting]:
    """The best settings of finished studies of the same task, of the most similar study first.

    Similar is what has about as many rows, features and symbols, and bars about as long. Only settings that beat the constant
    count; one is brought into the space, or left out where it has no place there or is of a learner that is not searched.
    Studies that searched later moments than ``searched_until``, or rows without times of their own, do not count: a setting
    found there may know what is to judge. None counts all.
    """
    log = StudyLog(database)
    past = log.find(task=facts.task, status=StudyStatus.FINISHED)
    found: list[Setting] = []
    for study in sorted(past, key=lambda study: (_distance(study.facts, facts), -study.id)):
        end = study.identity.get("searched until")
        if searched_until is not None and (end is None or datetime.fromisoformat(end) > searched_until):
            continue
        best: dict[str, Setting] = {}
        for learner, params in log.best_settings(study.id):
            fitting = _fitting(spaces, learner, params) if learner in spaces else None
            if fitting is not None:
                best.setdefault(_key(spaces, learner, fitting), (learner, fitting, "history"))
        found += list(best.values())[:_OF_ONE]
        if len(found) >= 2 * _MOST:
            break
    return found


def _distance(one: StudyFacts, other: StudyFacts) -> float:
    """How many times larger or smaller, in all four measures together, as a logarithm."""
    pairs = (
        (one.n_rows, other.n_rows),
        (one.n_features, other.n_features),
        (len(one.symbols), len(other.symbols)),
        (one.bar_seconds, other.bar_seconds),
    )
    return sum(abs(math.log(max(a, 1e-9) / max(b, 1e-9))) for a, b in pairs)


def _fitting(spaces: Spaces, learner: str, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """A setting brought into the space; None where a hyperparameter has no place there."""
    defaults, values = defaults_of(learner), inside(spaces[learner], learner, params)
    if any(name not in values for name in params):
        return None
    return {name: value for name, value in values.items() if value != defaults[name]}


def _key(spaces: Spaces, learner: str, params: Mapping[str, Any]) -> str:
    return to_json([learner, inside(spaces[learner], learner, params)])
