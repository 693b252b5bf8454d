"""An exponential average of a network's parameters: steadier than the last step's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["ParameterAverage"]


class ParameterAverage:
    """Average of the parameters over the steps so far (Polyak and Juditsky, 1992; exponential, as in Kingma and Ba, 2015).

    Parameters
    ----------
    network : whose parameters are averaged.
    weight : of the past at each step; less in the first steps, so that the start is forgotten. 0 averages nothing.

    Examples
    --------
    >>> network = nn.Linear(1, 1, bias=False)
    >>> _ = network.weight.data.fill_(0.0)
    >>> average = ParameterAverage(network, 0.5)
    >>> _ = network.weight.data.fill_(1.0)
    >>> average.update(10_000)
    >>> with average.in_use():
    ...     print(network.weight.item())
    0.5
    >>> network.weight.item()
    1.0
    """

    def __init__(self, network: nn.Module, weight: float) -> None:
        self.weight = weight
        live = {name: p.detach() for name, p in network.named_parameters()} if weight else {}
        self._state = {name: p.clone() for name, p in live.items()}
        self._live = [_here(p) for p in live.values()]
        self._average = [_here(p) for p in self._state.values()]

    def update(self, step: int) -> None:
        """Take in the parameters after step ``step`` (from 0)."""
        if self.weight:
            torch._foreach_lerp_(self._average, self._live, 1.0 - min(self.weight, (1.0 + step) / (10.0 + step)))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within, the network holds the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state(self) -> dict[str, torch.Tensor]:
        """Name -> average; reading a checkpoint into it restores it."""
        return dict(self._state)

    def _swap(self) -> None:
        for live, average in zip(self._live, self._average, strict=True):
            kept = live.clone()
            live.copy_(average)
            average.copy_(kept)


def _here(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that this process holds, in the same memory; of a tensor that is not shared out, all of it."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
