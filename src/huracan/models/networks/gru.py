"""GRU network: residual blocks of one recurrent layer."""

from __future__ import annotations

from torch import Tensor, nn

from huracan.models.networks.heads import Readout, SequenceHead
from huracan.models.networks.network import SequenceNetwork
from huracan.models.networks.sizes import check_shares, check_sizes
from huracan.models.networks.stems import SequenceStem
from huracan.models.networks.window_scaling import Scaling

__all__ = ["GRUBlock", "GRUNetwork"]


class GRUNetwork(SequenceNetwork):
    """Blocks of one gated recurrent unit layer each, which read the window from its oldest step to its newest.

    Parameters
    ----------
    n_features, window : shape of the input, (batch, window, n_features), oldest bar first.
    n_outputs : outputs of a window.
    hidden, n_blocks : width of the sequence and of the recurrent state, and number of layers.
    dropout : share of the values set to zero in training, where blocks join the stream.
    patch, window_scaling : see :class:`SequenceStem`.
    readout, head_dropout : see :class:`SequenceHead`.

    References
    ----------
    Cho et al. (2014), "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP; the reset gate after the matrix
    product, as in cuDNN.

    Examples
    --------
    >>> import torch
    >>> GRUNetwork(n_features=5, window=32, n_outputs=1)(torch.randn(2, 32, 5)).shape
    torch.Size([2, 1])
    """

    def __init__(
        self,
        n_features: int,
        window: int,
        n_outputs: int,
        *,
        hidden: int = 64,
        n_blocks: int = 1,
        dropout: float = 0.1,
        patch: int = 1,
        window_scaling: Scaling = "none",
        readout: Readout = "last",
        head_dropout: float = 0.0,
    ) -> None:
        check_shares(dropout=dropout, head_dropout=head_dropout)
        check_sizes(n_blocks=n_blocks)
        stem = SequenceStem(n_features, window, hidden, patch=patch, window_scaling=window_scaling)
        super().__init__(
            stem,
            (GRUBlock(hidden, dropout) for _ in range(n_blocks)),
            SequenceHead(hidden, stem.length, n_outputs, readout=readout, dropout=head_dropout),
        )


class GRUBlock(nn.Module):
    """``x + recurrence(norm(x))``."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.recurrence = nn.GRU(width, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Sequence of the same shape, (batch, length, width), contiguous."""
        return (x + self.dropout(self.recurrence(self.norm(x))[0])).contiguous()
