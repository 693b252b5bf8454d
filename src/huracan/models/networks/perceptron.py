"""Multi-layer perceptron for tables: a window, mostly of one bar, as one flat row."""

from __future__ import annotations

from torch import Tensor, nn

from huracan.models.networks.feed_forward import FeedForward
from huracan.models.networks.heads import SequenceHead
from huracan.models.networks.network import SequenceNetwork
from huracan.models.networks.sizes import check_shares, check_sizes
from huracan.models.networks.stems import SequenceStem
from huracan.models.networks.window_scaling import Scaling

__all__ = ["PerceptronBlock", "PerceptronNetwork"]


class PerceptronNetwork(SequenceNetwork):
    """Residual feed-forward blocks on the flattened window.

    Parameters
    ----------
    n_features, window : shape of the input, (batch, window, n_features), oldest bar first.
    n_outputs : outputs of a window.
    hidden, n_blocks, expansion : width, number of residual blocks, and how much wider each is inside.
    dropout : share of the values set to zero in training, within blocks and before the head.
    window_scaling : see :class:`WindowScaling`.

    References
    ----------
    Gorishniy, Rubachev, Khrulkov and Babenko (2021), "Revisiting Deep Learning Models for Tabular Data", NeurIPS.

    Examples
    --------
    >>> import torch
    >>> PerceptronNetwork(n_features=20, window=1, n_outputs=3)(torch.randn(5, 1, 20)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        n_features: int,
        window: int,
        n_outputs: int,
        *,
        hidden: int = 128,
        n_blocks: int = 2,
        expansion: int = 2,
        dropout: float = 0.1,
        window_scaling: Scaling = "none",
    ) -> None:
        check_shares(dropout=dropout)
        check_sizes(window=window, n_blocks=n_blocks, expansion=expansion)
        super().__init__(
            SequenceStem(n_features, window, hidden, patch=window, window_scaling=window_scaling),
            (PerceptronBlock(hidden, expansion * hidden, dropout) for _ in range(n_blocks)),
            SequenceHead(hidden, 1, n_outputs, dropout=dropout),
        )


class PerceptronBlock(nn.Module):
    """``x + feed_forward(norm(x))``."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, inner, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Sequence of the same shape, (batch, length, width)."""
        return x + self.feed_forward(self.norm(x))
