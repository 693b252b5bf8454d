"""What recurrent networks share: residual blocks of one recurrent layer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from huracan.models.networks.heads import Readout, SequenceHead
from huracan.models.networks.network import SequenceNetwork
from huracan.models.networks.sizes import check_shares, check_sizes
from huracan.models.networks.stems import SequenceStem
from huracan.models.networks.window_scaling import Scaling

__all__ = ["RecurrentBlock", "RecurrentNetwork"]


class RecurrentNetwork(SequenceNetwork):
    """Blocks of one recurrent layer each, which read the window from its oldest step to its newest.

    Parameters
    ----------
    n_features, window : shape of the input, (batch, window, n_features), oldest bar first.
    n_outputs : outputs of a window.
    hidden, n_blocks : width of the sequence and of the recurrent state, and number of layers.
    dropout : share of the values set to zero in training, where blocks join the stream.
    patch, window_scaling : see :class:`SequenceStem`.
    readout, head_dropout : see :class:`SequenceHead`.
    """

    layer: ClassVar[type[nn.LSTM] | type[nn.GRU]]

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
            (RecurrentBlock(self.layer(hidden, hidden, batch_first=True), dropout) for _ in range(n_blocks)),
            SequenceHead(hidden, stem.length, n_outputs, readout=readout, dropout=head_dropout),
        )


class RecurrentBlock(nn.Module):
    """``x + recurrence(norm(x))``."""

    def __init__(self, recurrence: nn.LSTM | nn.GRU, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(recurrence.hidden_size)
        self.recurrence = recurrence
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Sequence of the same shape, (batch, length, width), contiguous."""
        return (x + self.dropout(self.recurrence(self.norm(x))[0])).contiguous()
