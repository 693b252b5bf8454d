"""A fitted network as plain values and parameters, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from huracan.baselines.wrapper import TabularLearner
from huracan.errors import ModelError
from huracan.model_info import ModelInfo
from huracan.models.neural_settings import network_arguments, of_the_model, window_scaling
from huracan.models.told_training import pace_of, plain_training, told_training, with_pace

if TYPE_CHECKING:
    from huracan.baselines.spec import LearnerSpec
    from huracan.training.history import TrainingResult
    from huracan.training.job import NetworkRecipe

__all__ = ["StoredNetwork"]


class StoredNetwork(TabularLearner):
    """What is kept of a :class:`~huracan.models.neural_learner.NeuralLearner`, and how its network is made again."""

    training_: TrainingResult
    fit_seconds_: float

    def model_info(self) -> ModelInfo:
        """The learner's card with the hyperparameters it was built with; classes that have weights are named as text."""
        info = super().model_info()
        params = of_the_model(self._params())
        if isinstance(params["class_weight"], Mapping):
            params["class_weight"] = {str(name): weight for name, weight in params["class_weight"].items()}
        return info.model_copy(update={"hyperparameters": params})

    def to_parts(self) -> tuple[dict[str, Any], Any]:
        """The fitted model as plain JSON values, and its network."""
        state, network = super().to_parts()
        told: dict[str, Any] = {"n_validation_rows": self.n_validation_rows_, "importance": self.importance_.tolist()}
        if hasattr(self, "training_"):
            told["training"] = plain_training(self.training_)
        params = of_the_model(self._params())
        if isinstance(params["class_weight"], Mapping):  # as pairs, since keys of JSON are text, and classes need not be
            params["class_weight"] = [list(pair) for pair in params["class_weight"].items()]
        return {**state, **told, "hyperparameters": params}, network

    @classmethod
    def from_state(cls, spec: LearnerSpec, state: Mapping[str, Any], inner: Any) -> Self:
        """Rebuild a fitted model from what :meth:`to_parts` gave; ``inner`` is its network or name -> tensor."""
        model = super().from_state(spec, state, None)
        try:
            if isinstance(pairs := spec.complete(model.hyperparameters)["class_weight"], list):
                model.set_params(class_weight=dict(map(tuple, pairs)))
            model.n_validation_rows_ = int(state["n_validation_rows"])
            model.importance_ = np.asarray(state["importance"], np.float64)
            if "training" in state:  # models of earlier versions were stored without
                model.training_, model.fit_seconds_ = told_training(state["training"]), math.nan
        except KeyError as error:
            raise ModelError(f"the stored state of {spec.name} lacks the key {error}.") from error
        except (TypeError, ValueError) as error:
            raise ModelError(f"the stored state of {spec.name} is damaged: {error}.") from error
        params = spec.complete(model.hyperparameters)
        if window_scaling(params) != "none" and model.scaler_ is not None:
            model.scaler_ = replace(model.scaler_, clip=np.inf)
        network = model._recipe(params).build().eval()
        weights = inner.state_dict() if hasattr(inner, "state_dict") else inner
        try:
            network.load_state_dict(weights)
        except (RuntimeError, TypeError, AttributeError) as error:
            said = " ".join(str(error).split())[:300]
            raise ModelError(f"the stored parameters do not fit the network of {spec.name}: {said}") from error
        model.estimator_ = network
        return model

    def beside(self) -> dict[str, Any]:
        """What a registry keeps beside the model's own files: how long its fit took, and the pace of its epochs."""
        if not hasattr(self, "training_"):
            return {}
        seconds = self.fit_seconds_ if math.isfinite(self.fit_seconds_) else None
        return {"training": {"seconds": seconds, **pace_of(self.training_)}}

    def take_beside(self, kept: Mapping[str, Any]) -> None:
        """Take in again what :meth:`beside` gave."""
        if "training" in kept and hasattr(self, "training_"):
            seconds = kept["training"]["seconds"]
            self.training_ = with_pace(self.training_, kept["training"])
            self.fit_seconds_ = math.nan if seconds is None else float(seconds)

    def _recipe(self, params: Mapping[str, Any]) -> NetworkRecipe:
        """How the network is made, once the numbers of inputs and outputs are known."""
        from huracan.training.job import NetworkRecipe

        assert self.spec.network is not None
        sizes = {"n_features": self.n_features_in_, "window": params["window"], "n_outputs": self._loss(params)[2]}
        return NetworkRecipe(self.spec.network, {**sizes, **network_arguments(params)}, seed=self._seed())

    def _params(self) -> dict[str, Any]:
        """All hyperparameters; numbers of NumPy, as a grid holds them, as plain ones."""
        given = self.spec.complete(self.hyperparameters)
        return {name: value.item() if _is_plain(value) else value for name, value in given.items()}

    def _loss(self, params: Mapping[str, Any]) -> tuple[str, tuple[float, ...], int]:
        """Name of the loss, quantiles, and outputs of the network."""
        raise NotImplementedError


def _is_plain(value: Any) -> bool:
    """Whether NumPy holds a number or word that Python has, too; a span of time is none, and may be an embargo."""
    return isinstance(value, np.generic) and not isinstance(value, np.timedelta64)
