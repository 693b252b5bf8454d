"""The loss of each row, on which averages, tests and weights of members rest."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_PROBABILITY", "Metric", "row_losses"]

Metric = Literal["squared_error", "log_loss"]

LEAST_PROBABILITY = 1e-15
"""Probabilities are kept this far from 0 and 1, so that a log loss is finite."""


def row_losses(metric: Metric, y: NDArray[np.float64], answer: NDArray[np.float64]) -> NDArray[np.float64]:
    """Loss of each row: squared error, or log loss where ``y`` is 1 for up and ``answer`` the probability of it.

    >>> row_losses("log_loss", np.array([1.0, 0.0]), np.array([0.5, 0.5])).round(3).tolist()
    [0.693, 0.693]
    """
    if metric == "squared_error":
        return np.square(y - answer)
    p = np.clip(answer, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return -np.where(y > 0.5, np.log(p), np.log1p(-p))
