"""What every network is: a stem, blocks of one shape, and a head."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

__all__ = ["SequenceNetwork"]


class SequenceNetwork(nn.Module):
    """``head(blocks(stem(x)))`` and nothing else, so that a pipeline can be cut between any two blocks.

    Parameters
    ----------
    stem : window (batch, window, n_features), oldest bar first, to sequence (batch, length, hidden).
    blocks : each keeps the shape (batch, length, hidden).
    head : sequence to outputs (batch, n_outputs).

    Examples
    --------
    A network of one's own:

    >>> import torch
    >>> from huracan.models.networks import FeedForward, SequenceHead, SequenceStem
    >>> stem = SequenceStem(n_features=3, window=8, hidden=16, patch=2)
    >>> net = SequenceNetwork(stem, [FeedForward(16, 32)], SequenceHead(16, stem.length, n_outputs=1))
    >>> net(torch.zeros(5, 8, 3)).shape
    torch.Size([5, 1])
    """

    def __init__(self, stem: nn.Module, blocks: Iterable[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (batch, n_outputs) of windows (batch, window, n_features)."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)
