"""Adam on parameters that lie in one tensor."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["FlatAdamW"]


class FlatAdamW:
    """Adam with decoupled weight decay, as ``torch.optim.AdamW``; on one small tensor that takes longer to call than to do.

    Parameters
    ----------
    parameters : (n,), changed in place. learning_rate, eps : positive. weight_decay : share, times the rate, taken off a step.

    References
    ----------
    Kingma and Ba (2015), "Adam", algorithm 1; Loshchilov and Hutter (2019), "Decoupled Weight Decay Regularization".

    Examples
    --------
    >>> parameters = torch.tensor([1.0, -1.0])
    >>> FlatAdamW(parameters, learning_rate=0.1, eps=1e-8, weight_decay=0.0).step(torch.tensor([3.0, -0.2]))
    >>> parameters
    tensor([ 0.9000, -0.9000])
    """

    BETAS = (0.9, 0.999)

    def __init__(self, parameters: Tensor, *, learning_rate: float, eps: float, weight_decay: float) -> None:
        self.parameters, self.learning_rate, self.eps, self.weight_decay = parameters, learning_rate, eps, weight_decay
        self.first_moment, self.second_moment = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self.steps = 0
        self._spread = torch.empty_like(parameters)

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """One step against this gradient (n,)."""
        self.steps += 1
        first, second = self.BETAS
        if self.weight_decay:
            self.parameters.mul_(1.0 - self.learning_rate * self.weight_decay)
        self.first_moment.lerp_(gradient, 1.0 - first)
        self.second_moment.mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
        torch.sqrt(self.second_moment, out=self._spread)
        unbiased = math.sqrt(1.0 - second**self.steps)
        self._spread.add_(self.eps * unbiased)
        self.parameters.addcdiv_(
            self.first_moment, self._spread, value=-self.learning_rate * unbiased / (1.0 - first**self.steps)
        )
