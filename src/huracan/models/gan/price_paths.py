"""From windows of scaled returns to paths of prices, the gravest first where only some are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["price_paths"]


def price_paths(windows: NDArray[np.float64], *, price: float, volatility: float, keep: int) -> NDArray[np.float64]:
    """Paths (keep, window + 1) from ``price`` on; where there are more windows, those with the deepest drawdowns.

    Parameters
    ----------
    windows : log returns in units of ``volatility``, (n, window), n at least ``keep``.

    >>> price_paths(np.array([[1.0, 1.0], [1.0, -3.0]]), price=100.0, volatility=0.01, keep=1).round(1).tolist()
    [[100.0, 101.0, 98.0]]
    """
    path = np.concatenate((np.zeros((len(windows), 1)), np.cumsum(volatility * windows, axis=1)), axis=1)
    if len(path) > keep:
        drawdown = (path - np.maximum.accumulate(path, axis=1)).min(axis=1)
        path = path[np.argsort(drawdown, kind="stable")[:keep]]
    return price * np.exp(path)
