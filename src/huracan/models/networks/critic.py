"""Critic of return windows: how real a window looks, for a distance between distributions."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from huracan.models.networks.sizes import check_sizes

__all__ = ["ReturnCritic"]

_LAGS = (1, 2, 4, 8, 16, 32)
_SOFT = 4.0
_LEAST = 0.01


class ReturnCritic(nn.Module):
    """One number a window, without bounds: larger for real ones.

    Strided convolutions look at shapes; beside them stands what markets are known by (averages of size, its logarithm,
    powers, and products of a return or its size with later sizes; and, free of the window's own volatility, the logarithms of
    kurtosis and largest sizes and the autocorrelation of size), so that clusters, tails and the leverage effect need not be
    found first. The regime enters by a projection (Miyato and Koyama, 2018).

    Parameters
    ----------
    window : bars, at least 8. n_regimes : conditions. hidden : channels.

    Examples
    --------
    >>> critic = ReturnCritic(window=16, n_regimes=2)
    >>> critic(critic.soften(torch.randn(5, 16)), torch.zeros(5, dtype=torch.long)).shape
    torch.Size([5])
    """

    def __init__(self, window: int, n_regimes: int, *, hidden: int = 32) -> None:
        check_sizes(window=window, n_regimes=n_regimes, hidden=hidden)
        super().__init__()
        self.lags = tuple(lag for lag in _LAGS if lag <= window // 2)
        widths = (4, hidden, hidden, hidden)
        self.steps = nn.ModuleList([nn.Conv1d(a, b, 5, stride=2, padding=2) for a, b in pairwise(widths)])
        self.join = nn.Linear(2 * hidden + 12 + 4 * len(self.lags), 2 * hidden)
        self.mix = nn.Linear(2 * hidden, 2 * hidden)
        self.score = nn.Linear(2 * hidden, 1)
        self.regime = nn.Embedding(n_regimes, 2 * hidden)

    @staticmethod
    def soften(x: Tensor) -> Tensor:
        """Returns on the scale the critic measures distance on: itself up to about 4 volatilities, logarithmic beyond."""
        return _SOFT * torch.asinh(x / _SOFT)

    def forward(self, y: Tensor, regime: Tensor) -> Tensor:
        """Scores (batch,) of softened windows (batch, window) under regimes (batch,)."""
        size = torch.sqrt(y.square() + 1e-4)
        log_size = torch.log(y.square() + 0.02)
        steps = torch.stack((y, size, log_size, y * size / 3.0), dim=1)
        for convolution in self.steps:
            steps = F.leaky_relu(convolution(steps), 0.2)
        joined = torch.cat((steps.mean(dim=2), steps.std(dim=2), self._known(y, size, log_size)), dim=1)
        joined = F.leaky_relu(self.join(joined), 0.2)
        joined = joined + F.leaky_relu(self.mix(joined), 0.2)
        return self.score(joined)[:, 0] + (self.regime(regime) * joined).mean(dim=1)

    def _known(self, y: Tensor, size: Tensor, log_size: Tensor) -> Tensor:
        """What markets are known by, (batch, 12 + 4 * lags), of about the same scale each."""
        excess = size - size.mean(dim=1, keepdim=True)
        square, fourth, variance = y.square().mean(1), y.pow(4).mean(1), excess.square().mean(1)
        known = [y.mean(1), size.mean(1), square, y.pow(3).mean(1) / 5.0, fourth / 40.0]
        known += [log_size.mean(1), log_size.std(1), excess.std(1)]
        for lag in self.lags:
            later = excess[:, lag:]
            product = 4.0 * (excess[:, :-lag] * later).mean(1)
            known += [product, product / (variance + _LEAST), 4.0 * (y[:, :-lag] * later).mean(1)]
            known += [4.0 * (y[:, :-lag] * y[:, lag:]).mean(1)]
        largest = size.topk(3, dim=1).values
        log_square = torch.log(square + _LEAST)
        known += [torch.log(fourth + _LEAST**2) - 2.0 * log_square, log_square]
        known += [torch.log(largest[:, 0]), torch.log(largest[:, 0] / largest[:, 2])]
        return torch.stack(known, dim=1)
