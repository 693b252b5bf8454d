"""Losses of forecasts, one value a row, so that weights, devices and pieces of a batch add up to the same mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn import functional

__all__ = ["FromConstant", "Pinball", "cross_entropy", "huber_loss", "loss_of_zero", "squared_error"]


def squared_error(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Squared error, mean over the outputs of a row: (batch, k) and (batch, k) give (batch,)."""
    return (output - y).square().mean(dim=1)


def huber_loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Huber's loss with its bend at one standard deviation of the target, mean over the outputs of a row."""
    return functional.huber_loss(output, y, reduction="none").mean(dim=1)


def cross_entropy(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Log loss of class scores: (batch, classes) and class codes (batch,) give (batch,)."""
    return functional.cross_entropy(output, y, reduction="none")


@dataclass(frozen=True)
class Pinball:
    """Loss whose minimum is a quantile (Koenker and Bassett, 1978), mean over targets and quantiles.

    Parameters
    ----------
    quantiles : between 0 and 1, ascending; ``output`` is (batch, targets * quantiles), the quantiles of a target together.

    Examples
    --------
    >>> loss = Pinball((0.5,))
    >>> loss(torch.tensor([[1.0]]), torch.tensor([[3.0]]))
    tensor([1.])
    """

    quantiles: Sequence[float]

    def __call__(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One loss a row."""
        level = torch.as_tensor(self.quantiles, dtype=y.dtype, device=y.device)  # in bfloat16 .999 would be 1
        error = y[:, :, None] - output.to(y.dtype).view(len(y), y.shape[1], len(self.quantiles))
        return torch.maximum(level * error, (level - 1.0) * error).mean(dim=(1, 2))


@dataclass(frozen=True)
class FromConstant:
    """A loss of outputs that say how far to go from a constant forecast, which is where a training then starts.

    Parameters
    ----------
    objective : the loss of constant and output together. constant : one number an output.

    Examples
    --------
    >>> rare = FromConstant(cross_entropy, (-0.01, -4.6))  # the logarithms of shares of 99 % and 1 %
    >>> [round(float(rare(torch.zeros(1, 2), torch.tensor([k]))[0]), 2) for k in (0, 1)]
    [0.01, 4.6]
    """

    objective: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    constant: tuple[float, ...]

    def __call__(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One loss a row."""
        precision = torch.promote_types(output.dtype, torch.float32)  # of bfloat16 a constant would lose its digits
        return self.objective(output.to(precision) + _on(self.constant, output.device, precision), y)


@lru_cache(maxsize=64)
def _on(constant: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    with torch.inference_mode(False):
        return torch.tensor(constant, device=device, dtype=dtype)


def loss_of_zero(objective: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], y: torch.Tensor) -> torch.Tensor:
    """The losses (batch,) of outputs that are all zero: of the mean of a standardised label, or of classes alike.

    >>> loss_of_zero(squared_error, torch.tensor([[3.0], [0.0]]))
    tensor([9., 0.])
    """
    if isinstance(objective, FromConstant):
        output = torch.zeros(len(y), len(objective.constant), device=y.device)
    elif not y.is_floating_point():
        output = torch.zeros(len(y), int(y.max()) + 1, device=y.device)
    elif isinstance(objective, Pinball):
        output = y.new_zeros(len(y), y[0].numel() * len(objective.quantiles))
    else:
        output = torch.zeros_like(y)
    return objective(output, y)
