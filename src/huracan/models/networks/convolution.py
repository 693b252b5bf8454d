"""Convolutional network: dilated causal convolutions whose sight covers the window."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from huracan.models.networks.causal_convolution import CausalConvolution
from huracan.models.networks.heads import Readout, SequenceHead
from huracan.models.networks.network import SequenceNetwork
from huracan.models.networks.sizes import check_shares, check_sizes
from huracan.models.networks.stems import SequenceStem
from huracan.models.networks.window_scaling import Scaling

__all__ = ["ConvolutionBlock", "ConvolutionNetwork", "blocks_to_cover"]


class ConvolutionNetwork(SequenceNetwork):
    """Each block sees twice as far back as the one before it; no step sees a later one.

    Parameters
    ----------
    n_features, window : shape of the input, (batch, window, n_features), oldest bar first.
    n_outputs : outputs of a window.
    hidden : width of the sequence.
    kernel : steps that a convolution reads, at least 2.
    n_blocks : blocks of two convolutions, of dilation 1, 2, 4, ...; by default as many as make the last step see the whole
        window.
    dropout : share of the values set to zero in training, where blocks join the stream.
    patch, window_scaling : see :class:`SequenceStem`.
    readout, head_dropout : see :class:`SequenceHead`.

    References
    ----------
    Bai, Kolter and Koltun (2018), "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
    Modeling", arXiv:1803.01271.

    Examples
    --------
    >>> import torch
    >>> net = ConvolutionNetwork(n_features=5, window=64, n_outputs=1)
    >>> net(torch.randn(2, 64, 5)).shape, len(net.blocks)
    (torch.Size([2, 1]), 4)
    """

    def __init__(
        self,
        n_features: int,
        window: int,
        n_outputs: int,
        *,
        hidden: int = 64,
        kernel: int = 5,
        n_blocks: int | None = None,
        dropout: float = 0.1,
        patch: int = 1,
        window_scaling: Scaling = "none",
        readout: Readout = "last",
        head_dropout: float = 0.0,
    ) -> None:
        stem = SequenceStem(n_features, window, hidden, patch=patch, window_scaling=window_scaling)
        check_shares(dropout=dropout, head_dropout=head_dropout)
        check_sizes(kernel=kernel, at_least=2)
        n_blocks = blocks_to_cover(stem.length, kernel) if n_blocks is None else n_blocks
        check_sizes(n_blocks=n_blocks)
        super().__init__(
            stem,
            (ConvolutionBlock(hidden, kernel, 2**i, dropout) for i in range(n_blocks)),
            SequenceHead(hidden, stem.length, n_outputs, readout=readout, dropout=head_dropout),
        )


class ConvolutionBlock(nn.Module):
    """``x + second(gelu(first(norm(x))))``, where first and second are convolutions of one dilation.

    Steps lie before rows in memory, so that no convolution copies; what comes out is a transposed view.
    """

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = CausalConvolution(width, width, kernel=kernel, dilation=dilation)
        self.second = CausalConvolution(width, width, kernel=kernel, dilation=dilation)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Sequence of the same shape, (batch, length, width)."""
        steps = x.transpose(0, 1).contiguous()
        steps = steps + self.dropout(self.second(F.gelu(self.first(self.norm(steps)))))
        return steps.transpose(0, 1)


def blocks_to_cover(length: int, kernel: int) -> int:
    """Blocks of two convolutions, of dilation 1, 2, 4, ..., after which the last step sees ``length`` steps.

    >>> [blocks_to_cover(length, kernel=3) for length in (1, 5, 6, 13, 14)]
    [1, 1, 2, 2, 3]
    """
    blocks = 1
    while 1 + 2 * (kernel - 1) * (2**blocks - 1) < length:
        blocks += 1
    return blocks
