"""What is learned: a task of one phase (a forecast) or of several in turn (a critic and a generator)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from huracan.training.objectives import loss_of_zero
from huracan.training.windows import Batch, WindowTable

__all__ = ["Objective", "Phase", "RowLosses", "Supervised", "TrainingTask", "all_parameters"]

Objective = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""``objective(output, y)``: one loss a row, (batch,)."""

RowLosses = Callable[[nn.Module, Batch, torch.Generator], torch.Tensor]
"""``losses(network, batch, generator)``: one loss a row, (batch,); what is random is drawn from the generator."""


def all_parameters(network: nn.Module) -> Iterable[nn.Parameter]:
    """Every parameter of a network."""
    return network.parameters()


@dataclass(frozen=True)
class Phase:
    """A kind of step: which loss, for which parameters, how many steps before the next phase has its turn.

    Parameters
    ----------
    name : for the history.
    losses : one loss a row of a batch.
    parameters : those that this phase changes.
    steps : optimizer steps in a row.
    learning_rate : of this phase; None is that of the settings.
    betas : decay of AdamW's two averages.
    """

    name: str
    losses: RowLosses
    parameters: Callable[[nn.Module], Iterable[nn.Parameter]] = all_parameters
    steps: int = 1
    learning_rate: float | None = None
    betas: tuple[float, float] = (0.9, 0.999)


class TrainingTask(Protocol):
    """What the loop needs to know of a task."""

    @property
    def phases(self) -> Sequence[Phase]:
        """The phases, in the order of their turns."""
        ...

    @property
    def validation(self) -> RowLosses | None:
        """Losses whose mean over validation windows decides when to stop; None where no number says so."""
        ...

    def constant_loss(self, windows: WindowTable) -> float | None:
        """Mean loss of what says the same of every window; None where nothing is comparable. Far above it, a loss explodes."""
        ...


@dataclass(frozen=True)
class Supervised:
    """Learn ``y`` from windows: one phase, whose loss is also the one that is validated.

    Examples
    --------
    >>> from huracan.training.objectives import squared_error
    >>> [phase.name for phase in Supervised(squared_error).phases]
    ['train']
    """

    objective: Objective

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase over all parameters."""
        return (Phase("train", self._losses),)

    @property
    def validation(self) -> RowLosses:
        """The objective itself."""
        return self._losses

    def constant_loss(self, windows: WindowTable) -> float:
        """The weighted mean loss of outputs that are all zero."""
        assert windows.y is not None
        losses = loss_of_zero(self.objective, windows.y).double()
        weight = torch.ones_like(losses) if windows.weight is None else windows.weight.double()
        return float((losses * weight).sum() / weight.sum().clamp(min=1e-300))

    def _losses(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        assert batch.y is not None
        return self.objective(network(batch.x), batch.y)
