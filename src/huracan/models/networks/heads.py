"""The way out: from a sequence of hidden vectors to outputs that start near zero."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from huracan.errors import nearest_name
from huracan.models.networks.sizes import check_sizes

__all__ = ["Readout", "SequenceHead", "start_near_zero"]

Readout = Literal["last", "mean_last", "flatten"]

_FIRST_OUTPUT = 0.01
"""Size of the first outputs for hidden values of size one."""


class SequenceHead(nn.Module):
    """One linear map of what is read from the sequence.

    Its weights start small, so that training begins at the constant forecast. There is no norm before it: blocks add to
    the stem's output, so a straight linear way leads from the window to the outputs, and the size of a move is not lost.

    Parameters
    ----------
    hidden, length : shape of the sequence, (batch, length, hidden).
    n_outputs : outputs of a window.
    readout : "last" reads the last step: fewest weights, for blocks that carry what they saw forward. "mean_last" reads
        it beside the mean of all steps. "flatten" reads every step with weights of its own: for long forecasts from
        levels, where each bar has its own say.
    dropout : share of what is read that is set to zero in training.

    Examples
    --------
    >>> SequenceHead(hidden=16, length=4, n_outputs=2, readout="mean_last")(torch.zeros(5, 4, 16)).tolist()[0]
    [0.0, 0.0]
    """

    def __init__(self, hidden: int, length: int, n_outputs: int, *, readout: Readout = "last", dropout: float = 0.0) -> None:
        super().__init__()
        check_sizes(hidden=hidden, length=length, n_outputs=n_outputs)
        if readout not in get_args(Readout):
            raise nearest_name(str(readout), get_args(Readout), kind="readout")
        self.readout = readout
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(hidden * {"last": 1, "mean_last": 2, "flatten": length}[readout], n_outputs)
        start_near_zero(self.project)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (batch, n_outputs) of a sequence (batch, length, hidden)."""
        if self.readout == "flatten":
            x = x.flatten(1)
        elif self.readout == "last":
            x = x[:, -1]
        else:
            x = torch.cat([x[:, -1], x.mean(dim=1)], dim=-1)
        return self.project(self.dropout(x))


def start_near_zero(layer: nn.Linear) -> None:
    """Make the outputs of a layer small, whatever its width."""
    nn.init.normal_(layer.weight, std=_FIRST_OUTPUT / layer.in_features**0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
