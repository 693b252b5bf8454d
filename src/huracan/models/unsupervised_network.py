"""What the estimators that learn without a label share: seed, threads, card, and storage as state and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from huracan.baselines.spec import LearnerSpec
from huracan.errors import ModelError
from huracan.model_info import ModelInfo
from huracan.models.torch_use import require_torch, torch_threads

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["UnsupervisedNetwork"]


class UnsupervisedNetwork(BaseEstimator):
    """An estimator around a network that learns without a label.

    A child stores ``random_state`` and ``n_jobs`` beside the hyperparameters of its card, leaves its fitted network in
    ``network_``, and says with :meth:`_learned` and :meth:`_take_in` what it knows beside tensors. It learns in :meth:`_learn`.
    """

    card: ClassVar[LearnerSpec]
    format: ClassVar[int] = 1

    random_state: int
    n_jobs: int
    network_: Any

    @property
    def _seed(self) -> int:
        return int(self.random_state or 0)

    def _threads(self) -> AbstractContextManager[None]:
        return torch_threads(int(self.n_jobs or 1))

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ModelError(f"{name} is {getattr(self, name)!r}; {expected} expected.")

    def _fit(self, *given: Any) -> Self:
        """Become, all at once, what a copy has learned: a fit that fails or is interrupted leaves the model as it was."""
        fresh = clone(self)
        fresh._learn(*given)
        parameters = self.get_params()
        self.__dict__.update({name: value for name, value in vars(fresh).items() if name not in parameters})
        return self

    def _learn(self, *given: Any) -> None:
        """Learn from what ``fit`` was given."""
        raise NotImplementedError

    def model_info(self) -> ModelInfo:
        """The card, with the hyperparameters of this model and, once fitted on them, its columns."""
        params = {name: value for name, value in self.get_params().items() if name in self.card.defaults}
        columns = getattr(self, "feature_names_", None)
        return self.card.info(self.card.tasks[0], hyperparameters=params, feature_names=columns)

    def to_parts(self) -> tuple[dict[str, Any], nn.Module]:
        """State (plain JSON values) and a module that holds every tensor that was learned."""
        check_is_fitted(self, "network_")
        state = {"name": self.card.name, "task": self.card.tasks[0], "format": self.format, "params": self.get_params()}
        return {**state, **self._learned()}, self._module()

    @classmethod
    def from_parts(cls, state: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        """Put together what :meth:`to_parts` took apart.

        Raises
        ------
        ModelError : the parts do not fit each other or this version.
        """
        require_torch()
        kind = f"the stored {cls.card.name}"
        if state.get("format") != cls.format:
            raise ModelError(f"{kind} has format {state.get('format')!r}; format {cls.format} was expected.")
        try:
            model = cls(**state["params"])
            model._take_in(state)
            model._module().load_state_dict(dict(tensors))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"{kind}'s parts do not fit: {error}.") from error
        return model

    def _learned(self) -> dict[str, Any]:
        """What :meth:`to_parts` stores beside parameters and tensors."""
        raise NotImplementedError

    def _take_in(self, state: Mapping[str, Any]) -> None:
        """Set what :meth:`_learned` gave, and build ``network_`` for the tensors."""
        raise NotImplementedError

    def _module(self) -> nn.Module:
        """Everything with tensors."""
        return self.network_
