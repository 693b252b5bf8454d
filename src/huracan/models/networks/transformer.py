"""Transformer over patches of a window."""

from __future__ import annotations

from torch import Tensor, nn

from huracan.models.networks.attention import SelfAttention
from huracan.models.networks.feed_forward import FeedForward
from huracan.models.networks.heads import Readout, SequenceHead
from huracan.models.networks.network import SequenceNetwork
from huracan.models.networks.sizes import check_shares, check_sizes
from huracan.models.networks.stems import SequenceStem
from huracan.models.networks.window_scaling import Scaling

__all__ = ["TransformerBlock", "TransformerNetwork"]


class TransformerNetwork(SequenceNetwork):
    """Steps, each a patch of bars, look at each other; order is told by learned positions.

    Parameters
    ----------
    n_features, window : shape of the input, (batch, window, n_features), oldest bar first.
    n_outputs : outputs of a window.
    hidden, n_blocks, n_heads : width, number of blocks, and heads of each; ``n_heads`` must divide ``hidden``.
    expansion : how much wider the feed-forward part is inside.
    dropout : share of the values set to zero in training, where parts join the stream.
    patch, window_scaling : see :class:`SequenceStem`.
    readout, head_dropout : see :class:`SequenceHead`.

    References
    ----------
    Nie, Nguyen, Sinthong and Kalagnanam (2023), "A Time Series is Worth 64 Words", ICLR (patches);
    Xiong et al. (2020), "On Layer Normalization in the Transformer Architecture", ICML (norm first).

    Examples
    --------
    >>> import torch
    >>> TransformerNetwork(n_features=5, window=64, n_outputs=1, patch=8)(torch.randn(2, 64, 5)).shape
    torch.Size([2, 1])
    """

    def __init__(
        self,
        n_features: int,
        window: int,
        n_outputs: int,
        *,
        hidden: int = 64,
        n_blocks: int = 2,
        n_heads: int = 4,
        expansion: int = 2,
        dropout: float = 0.1,
        patch: int = 1,
        window_scaling: Scaling = "none",
        readout: Readout = "mean_last",
        head_dropout: float = 0.0,
    ) -> None:
        check_shares(dropout=dropout, head_dropout=head_dropout)
        check_sizes(n_blocks=n_blocks, n_heads=n_heads, expansion=expansion)
        stem = SequenceStem(
            n_features, window, hidden, patch=patch, window_scaling=window_scaling, positions=True, dropout=dropout
        )
        super().__init__(
            stem,
            (TransformerBlock(hidden, n_heads, expansion * hidden, dropout) for _ in range(n_blocks)),
            SequenceHead(hidden, stem.length, n_outputs, readout=readout, dropout=head_dropout),
        )


class TransformerBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``."""

    def __init__(self, width: int, n_heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, n_heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, inner, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Sequence of the same shape, (batch, length, width)."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
