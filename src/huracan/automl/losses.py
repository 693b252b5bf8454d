"""What is to be answered in a fold, and what the constant forecast that the same past would have made loses there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.spec import SupervisedTask
from huracan.dataset import TrainingSet
from huracan.validation.row_losses import Metric, row_losses

__all__ = ["METRICS", "FoldTarget"]

METRICS: Mapping[SupervisedTask, Metric] = {"regression": "squared_error", "classification": "log_loss"}
"""What a search makes small."""


@dataclass(frozen=True)
class FoldTarget:
    """The labels of a fold's test rows, and what the constant forecast loses there.

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
        return cls(y[test], constant, row_losses(METRICS[task], y[test], np.full(len(test), constant)))
