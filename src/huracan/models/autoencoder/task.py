"""What the autoencoder learns: to reconstruct usual windows, unmoved by the unusual ones among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from huracan.models.networks.autoencoder import WindowAutoencoder
from huracan.training.phases import Phase, RowLosses
from huracan.training.windows import Batch, WindowTable

__all__ = ["Reconstruction", "hidden_columns"]

_FREEDOM = 5.0


@dataclass(frozen=True)
class Reconstruction:
    """One phase: Huber's loss of the bottleneck, plus the log loss of a hidden group of columns under Student's t.

    Inputs and targets are cut at ``clip`` standard deviations and both losses grow slower than squares, so that flash crashes
    among the training windows hardly move what is learned; residuals are judged uncut.

    Parameters
    ----------
    views : groups of columns that are hidden together, see :class:`~huracan.models.networks.autoencoder.WindowAutoencoder`.
    clip : in standard deviations of a column.
    """

    views: Sequence[Sequence[int]]
    clip: float

    @property
    def phases(self) -> Sequence[Phase]:
        """One phase over all parameters."""
        return (Phase("reconstruct", self._losses),)

    @property
    def validation(self) -> RowLosses:
        """The same loss."""
        return self._losses

    def constant_loss(self, windows: WindowTable) -> None:
        """A surprise has no natural size."""
        return

    def _losses(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        assert isinstance(network, WindowAutoencoder)
        x = batch.x.clamp(-self.clip, self.clip)
        shape = F.huber_loss(network(x), x, reduction="none", delta=1.5).mean(dim=(1, 2))
        views = hidden_columns(self.views, x.shape[2]).to(x.device)
        chosen = torch.randint(len(views), (len(x),), generator=generator, device=x.device)
        hidden = views[chosen]
        forecast, log_scale = network.cross_check(x, hidden)
        z = (x - forecast) * torch.exp(-log_scale)
        surprise = 0.5 * (_FREEDOM + 1.0) * torch.log1p(z.square() / _FREEDOM) + log_scale
        looked_at = hidden[:, None, :].to(x.dtype)
        return shape + (surprise * looked_at).sum(dim=(1, 2)) / (looked_at.sum(dim=(1, 2)) * x.shape[1])


def hidden_columns(views: Sequence[Sequence[int]], n_columns: int) -> Tensor:
    """Bool (views, columns): which columns each view hides.

    >>> hidden_columns([(0, 2), (1,)], 3).int().tolist()
    [[1, 0, 1], [0, 1, 0]]
    """
    hidden = torch.zeros(len(views), n_columns, dtype=torch.bool)
    for number, view in enumerate(views):
        hidden[number, list(view)] = True
    return hidden
