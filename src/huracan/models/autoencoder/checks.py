"""From residuals to a score: what is checked of a window, and how rare each outcome is among training windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from huracan.models.autoencoder.task import hidden_columns
from huracan.models.networks.autoencoder import WindowAutoencoder
from huracan.training.windows import WindowTable

__all__ = ["CHECKS", "TailCalibration", "check_names", "network_checks", "window_checks"]

CHECKS: tuple[str, ...] = ("largest", "stretch", "shift", "shape")
"""What is looked at in each column: the largest cross-check residual (a bad tick); the mean square of the worst quarter of the
window (a burst); the mean of the worst quarter (a level that does not fit: frozen prices, volume without range); and the
largest residual of the bottleneck (an order of bars that does not occur)."""

_FLOOR, _LARGEST = 1e-8, 1e15
_LEVELS = 512
_TAIL = 0.01
_AT_ONCE = 1_024


def check_names(columns: Sequence[str]) -> tuple[str, ...]:
    """``check of column``, in the order of :func:`window_checks`.

    >>> check_names(["volume"])
    ('largest of volume', 'stretch of volume', 'shift of volume', 'shape of volume')
    """
    return tuple(f"{check} of {column}" for check in CHECKS for column in columns)


def window_checks(cross: Tensor, bottleneck: Tensor) -> Tensor:
    """Logarithms of what :data:`CHECKS` says, (n, 4 * columns), from residuals (n, window, columns)."""
    length = cross.shape[1]
    run = max(2, length // 4)
    cross, bottleneck = cross.clamp(-_LARGEST, _LARGEST), bottleneck.clamp(-_LARGEST, _LARGEST)  # whose squares are finite
    square = cross.square()
    found = (
        square.amax(dim=1),
        _running_mean(square, run).amax(dim=1),
        _running_mean(cross, run).square().amax(dim=1),
        bottleneck.square().amax(dim=1),
    )
    return torch.log(torch.cat(found, dim=1) + _FLOOR)


def network_checks(
    network: WindowAutoencoder, windows: WindowTable, views: Sequence[Sequence[int]], *, clip: float
) -> NDArray[np.float64]:
    """:func:`window_checks` of windows of scaled columns, (n, 4 * columns): the network sees them cut, residuals are whole.

    Parameters
    ----------
    views : groups of columns, each forecast from all others. clip : standard deviations at which the network's inputs are cut.
    """
    parts = []
    with torch.no_grad():
        for x in (batch.x for batch in windows.in_order(_AT_ONCE)):
            cut = x.clamp(-clip, clip)
            cross = torch.zeros_like(x)
            for hidden in hidden_columns(views, x.shape[2]):
                forecast, log_scale = network.cross_check(cut, hidden.expand(len(x), -1))
                cross[:, :, hidden] = ((x - forecast) * torch.exp(-log_scale))[:, :, hidden]
            parts.append(window_checks(cross, x - network(cut)))
    return torch.cat(parts).numpy().astype(np.float64)


def _running_mean(values: Tensor, run: int) -> Tensor:
    return values.unfold(1, min(run, values.shape[1]), 1).mean(dim=-1)


class TailCalibration(nn.Module):
    """How rare a value is among those of training windows, check by check: one scale for checks of any unit.

    Below the 99 % quantile the share of training windows at or above a value is read off; beyond it falls exponentially at
    the rate of the training windows' own excess, so that what was never seen is still told apart.

    Parameters
    ----------
    n_checks : columns of what is calibrated.

    Examples
    --------
    >>> calibration = TailCalibration(1)
    >>> calibration.learn(np.random.default_rng(0).exponential(size=(20_000, 1)))
    >>> calibration.surprise(np.array([[0.7], [9.0], [30.0]])).round(0).ravel().tolist()
    [1.0, 9.0, 29.0]
    """

    levels: Tensor
    rate: Tensor

    def __init__(self, n_checks: int) -> None:
        super().__init__()
        self.register_buffer("levels", torch.zeros(n_checks, _LEVELS, dtype=torch.float64))
        self.register_buffer("rate", torch.ones(n_checks, dtype=torch.float64))

    def learn(self, checks: NDArray[np.float64]) -> None:
        """Take in the checks (n, n_checks) of training windows."""
        levels = np.quantile(checks, _SHARES, axis=0).T
        edge = levels[:, -1]
        beyond = np.where(checks > edge, checks - edge, 0.0).sum(axis=0) / np.maximum((checks > edge).sum(axis=0), 1)
        self.levels.copy_(torch.from_numpy(np.ascontiguousarray(levels)))
        self.rate.copy_(torch.from_numpy(1.0 / np.maximum(beyond, 1e-6)))

    def surprise(self, checks: NDArray[np.float64]) -> NDArray[np.float64]:
        """Minus the logarithm of the share of training windows as large, for each check (n, n_checks)."""
        levels, rate = self.levels.numpy(), self.rate.numpy()
        found = np.empty_like(checks)
        for j, column in enumerate(checks.T):
            share = 1.0 - np.interp(column, levels[j], _SHARES)
            found[:, j] = -np.log(share) + np.maximum(column - levels[j, -1], 0.0) * rate[j]
        return found


_SHARES = np.linspace(0.0, 1.0 - _TAIL, _LEVELS)
