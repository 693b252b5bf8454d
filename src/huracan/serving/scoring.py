"""The scorer of a model: ONNX Runtime where its export was found exact at registration, else the model itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.catalogue import signal_score
from huracan.dataset import TrainingSet
from huracan.model_registry import ModelRegistry
from huracan.registry.records import ModelVersion

__all__ = ["NativeScorer", "Scorer", "open_scorer"]


class Scorer(Protocol):
    """What answers for a model, without checks: rows of features in, raw outputs out."""

    window: int
    engine: str

    def one(self, x: NDArray[np.float32]) -> NDArray[np.float64]: ...

    def many(self, X: NDArray[np.float32]) -> NDArray[np.float64]: ...


class NativeScorer:
    """The model itself, asked for its score."""

    engine = "native"

    def __init__(self, model: Any) -> None:
        self.model = model
        self.window = int(getattr(model, "history_bars", 0)) + 1

    def one(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.many(x[None])[0]

    def many(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        if X.ndim == 2:
            return signal_score(self.model, X)[:, None]
        return np.array([signal_score(self.model, _rows(x, self.model))[-1:] for x in X])


def _rows(x: NDArray[np.float32], model: Any) -> TrainingSet:
    names = getattr(model, "feature_names_", None)
    return TrainingSet.from_arrays(x if names is None else pl.DataFrame(x, schema=list(names)))


def open_scorer(
    registry: ModelRegistry, version: ModelVersion, model: Any, *, onnx: bool = True
) -> tuple[Scorer, Callable[[NDArray[np.float64]], float], str | None]:
    """The scorer of a version, what makes one score of its outputs, and why it is not ONNX Runtime's where it is not."""
    return NativeScorer(model), lambda raw: float(raw[0]), "ONNX is not there yet"
