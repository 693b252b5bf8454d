"""The two-layer map that is applied to every step alone."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FeedForward"]


class FeedForward(nn.Module):
    """``down(gelu(up(x)))``.

    Parameters
    ----------
    width : of the sequence, (batch, length, width).
    inner : width between the two layers.
    dropout : share of the inner values set to zero in training.

    Examples
    --------
    >>> import torch
    >>> FeedForward(16, 64)(torch.zeros(2, 10, 16)).shape
    torch.Size([2, 10, 16])
    """

    tensor_parallel: ClassVar[dict[str, str]] = {"up": "columns", "down": "rows"}

    def __init__(self, width: int, inner: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Sequence of the same shape, (batch, length, width)."""
        return self.down(self.dropout(F.gelu(self.up(x))))
