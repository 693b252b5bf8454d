"""What a search makes small: one loss a row, compared with the constant forecast that the same past would have made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.spec import SupervisedTask
from huracan.dataset import TrainingSet
from huracan.errors import ModelError

__all__ = ["FoldTarget", "Metric", "metric_of", "row_losses"]

Metric = Literal["squared_error", "log_loss"]
_LEAST_PROBABILITY = 1e-7


def metric_of(task: SupervisedTask, metric: str = "auto") -> Metric:
    """The metric of a task: squared error of forecasts, log loss of probabilities.

    >>> metric_of("classification")
    'log_loss'
    """
    known: dict[str, Metric] = {"regression": "squared_error", "classification": "log_loss"}
    if metric in ("auto", known[task]):
        return known[task]
    raise ModelError(f"metric is {metric!r}; of {task} 'auto' or '{known[task]}' was expected.")


def row_losses(metric: Metric, y: NDArray[np.float64], answer: NDArray[np.float64]) -> NDArray[np.float64]:
    """Loss of each row: squared error, or log loss where ``y`` is 1 for up and ``answer`` its probability.

    >>> row_losses("log_loss", np.array([1.0, 0.0]), np.array([0.5, 0.5])).round(3).tolist()
    [0.693, 0.693]
    """
    if metric == "squared_error":
        return np.square(y - answer)
    p = np.clip(answer, _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)
    return -np.where(y > 0.5, np.log(p), np.log1p(-p))


@dataclass(frozen=True)
class FoldTarget:
    """What is to be answered in a fold's test rows, and what the constant forecast loses there.

    Attributes
    ----------
    y : float64 (test rows,). constant : the weighted mean of the training labels. losses : of the constant, one a row.
    """

    y: NDArray[np.float64]
    constant: float
    losses: NDArray[np.float64]

    @classmethod
    def of(cls, rows: TrainingSet, task: SupervisedTask, train: NDArray[np.integer], test: NDArray[np.integer]) -> FoldTarget:
        """Of row numbers to learn from and to be judged on."""
        y = rows.y if task == "regression" else rows.direction().astype(np.float64)
        constant = float(np.average(y[train], weights=rows.weight[train]))
        return cls(y[test], constant, row_losses(metric_of(task), y[test], np.full(len(test), constant)))
