"""A model that is chosen already, as something that can be trained on other rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sklearn.base import clone

from huracan.dataset import TrainingSet
from huracan.model_info import ModelInfo

__all__ = ["GoingOn", "Refitting", "can_go_on"]


@dataclass(frozen=True)
class Refitting:
    """The settings, weights and seeds of a fitted model, to be learned anew from the rows given.

    Parameters
    ----------
    model : fitted; a learner of the catalogue, or an ensemble whose weights stay as they are.
    """

    name: str
    model: Any

    @property
    def max_train_rows(self) -> int | None:
        return self.model.model_info().max_train_rows

    def fit(self, rows: TrainingSet, *, seed: int) -> Any:
        return _unfitted(self.model).fit(rows)

    def card(self) -> ModelInfo:
        return self.model.model_info()


@dataclass(frozen=True)
class GoingOn:
    """A fitted network that goes on from its parameters over the rows given; its scaling of inputs and target stays.

    Parameters
    ----------
    model : fitted, one for which :func:`can_go_on` holds; it is changed by :meth:`fit`.
    """

    name: str
    model: Any

    @property
    def max_train_rows(self) -> int | None:
        return self.model.model_info().max_train_rows

    def fit(self, rows: TrainingSet, *, seed: int) -> Any:
        before = self.model.get_params()["warm_start"]
        self.model.set_params(warm_start=True)
        try:
            return self.model.fit(rows)
        finally:
            self.model.set_params(warm_start=before)

    def card(self) -> ModelInfo:
        return self.model.model_info()


def can_go_on(model: Any) -> bool:
    """Whether a fitted model can go on from its parameters: a network, not an ensemble of some."""
    return getattr(model, "members_", None) is None and "warm_start" in model.get_params()


def _unfitted(model: Any) -> Any:
    """A copy that knows the settings and the weights, and nothing of any row: features are selected anew, too."""
    members = getattr(model, "members_", None)
    if members is None:
        return clone(model)
    settings = model.get_params(deep=False)
    settings["members"] = {name: _unfitted(member) for name, member in members.items()}
    if "weights" in settings:
        settings["weights"] = model.weights_
    if "columns" in settings:
        settings["columns"] = None
    return type(model)(**settings)
