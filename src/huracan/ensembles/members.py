"""Members of an ensemble: what they are given to learn from, and what they answer, whatever kind of model they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils.validation import has_fit_parameter

from huracan.dataset import TrainingSet
from huracan.errors import HuracanError, ModelError

__all__ = ["Task", "answers", "answers_on", "checked_members", "fit_member", "seeded", "task_of"]

Task = Literal["regression", "classification"]

_ROUNDING = 1e-6
"""By which a probability may exceed 1: softmax in float32 does."""


def checked_members(members: Any, *, reserved: tuple[str, ...] = ()) -> dict[str, Any]:
    """The members as a plain dict; refused where there is none, a name is not usable, or one is no estimator."""
    if not isinstance(members, Mapping) or not members:
        raise ModelError(f"members is {members!r}; a mapping of name to estimator, with at least one, was expected.")
    for name, model in members.items():
        if not isinstance(name, str) or not name or "__" in name or name in reserved:
            raise ModelError(f"a member is named {name!r}; a text without '__' that is no parameter's name was expected.")
        if not hasattr(model, "fit") or not hasattr(model, "predict"):
            raise ModelError(f"member '{name}' is a {type(model).__name__}; an estimator with fit and predict was expected.")
    return dict(members)


def task_of(members: Mapping[str, Any]) -> Task:
    """What all members do; refused where they do different things, or a classifier has no probabilities."""
    kinds = {
        name: "classification" if is_classifier(m) else "regression" if is_regressor(m) else "?" for name, m in members.items()
    }
    first = next(iter(kinds.values()))
    for name, kind in kinds.items():
        if kind == "?":
            raise ModelError(f"member '{name}' is neither a regressor nor a classifier; one of them was expected.")
        if kind != first:
            raise ModelError(f"member '{name}' does {kind}, '{next(iter(kinds))}' {first}; members of one task were expected.")
        if kind == "classification" and not hasattr(members[name], "predict_proba"):
            raise ModelError(f"member '{name}' has no predict_proba; classifiers with probabilities were expected.")
    return "classification" if first == "classification" else "regression"


def seeded(model: Any, random_state: int | None, position: int) -> Any:
    """An unfitted copy; with ``random_state`` it gets a seed of its own, made from that and its position."""
    copy = clone(model)
    if random_state is not None:
        seed = int(np.random.SeedSequence([random_state, position]).generate_state(1)[0] >> 1)
        seeds = [key for key in copy.get_params(deep=True) if key == "random_state" or key.endswith("__random_state")]
        copy.set_params(**dict.fromkeys(seeds, seed))
    return copy


def fit_member(name: str, model: Any, rows: TrainingSet, target: NDArray[Any], n_classes: int = 0, *, where: str = "") -> Any:
    """Fit on rows whose label is known and whose weight is above 0; a learner of ours gets the whole set, any other the matrix.

    The matrix is float64 there: normal equations of many rows lose too much in float32.

    ``target`` (n,) holds values, or class codes. Rows without a label stay where a model looks back at them.

    Raises
    ------
    ModelError : it cannot be fitted; the message names the member and ``where``.
    """
    try:
        if takes_rows(model) and n_classes <= 2:
            return model.fit(rows if getattr(model, "history_bars", 0) else rows.labelled_only())
        known = rows.labelled & (rows.weight > 0)
        X, y, weight = rows.X[known].astype(np.float64), target[known], rows.weight[known]
        plain = np.all(weight == weight[:1]) or not has_fit_parameter(model, "sample_weight")
        return model.fit(X, y) if plain else model.fit(X, y, sample_weight=weight)
    except (HuracanError, ValueError) as error:
        raise ModelError(f"member '{name}' cannot be fitted{where}: {' '.join(str(error).split())}") from error


def takes_rows(model: Any) -> bool:
    """Whether a model understands a ``TrainingSet``: those of the catalogue and of this room do."""
    return callable(getattr(model, "model_info", None))


def answers(name: str, model: Any, X: Any, n_classes: int = 0) -> NDArray[np.float64]:
    """Forecasts (n,); for two classes the probability of the second (n,), for more the probability of each (n, classes).

    Parameters
    ----------
    X : matrix or ``TrainingSet``. n_classes : 0 for regression; classes are the codes 0, 1, ...

    Raises
    ------
    ModelError : an answer is not finite, or a probability not between 0 and 1; the row is named.
    """
    given = X if takes_rows(model) else np.asarray(X.X if isinstance(X, TrainingSet) else X, dtype=np.float64)
    if not n_classes:
        said = np.asarray(model.predict(given), dtype=np.float64).reshape(-1)
    else:
        codes = np.asarray(model.classes_, dtype=np.int64)
        said = np.zeros((len(given), n_classes))
        said[:, codes] = model.predict_proba(given)
        said = said[:, 1] if n_classes == 2 else said
    bad = ~np.isfinite(said if said.ndim == 1 else said.sum(axis=1))
    if bad.any():
        row = int(np.argmax(bad))
        raise ModelError(f"member '{name}' answers {said[row]} in row {row}; a finite number was expected.")
    if n_classes:
        beyond = (said < 0.0) | (said > 1.0 + _ROUNDING)
        if beyond.any():
            row = int(np.argmax(beyond if said.ndim == 1 else beyond.any(axis=1)))
            raise ModelError(f"member '{name}' answers {said[row]} in row {row}; probabilities from 0 to 1 were expected.")
        said = np.minimum(said, 1.0)
    return said


def answers_on(
    name: str, model: Any, rows: TrainingSet, which: slice | NDArray[np.intp], n_classes: int = 0
) -> NDArray[np.float64]:
    """:func:`answers` on some rows, by a model that may look at the bars before them."""
    bars = getattr(model, "history_bars", 0)
    if not bars:
        return answers(name, model, rows.take(which), n_classes)
    if isinstance(which, slice):
        behind, earlier = rows.with_history(which, bars)
        return answers(name, model, behind, n_classes)[earlier:]
    return answers(name, model, rows, n_classes)[which]
