"""Self-attention over the steps of a window."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from huracan.errors import ModelError

__all__ = ["SelfAttention"]


class SelfAttention(nn.Module):
    """Every step looks at every step of its window; a window is past altogether, so nothing is masked.

    Heads are counted from the width of what the projections return, so that a layer that holds a share of the columns
    works on its own heads alone.

    Parameters
    ----------
    width : of the sequence, (batch, length, width).
    n_heads : must divide ``width``.

    References
    ----------
    Vaswani et al. (2017), "Attention Is All You Need", section 3.2.

    Examples
    --------
    >>> import torch
    >>> SelfAttention(32, 4)(torch.zeros(2, 10, 32)).shape
    torch.Size([2, 10, 32])
    """

    tensor_parallel: ClassVar[dict[str, str]] = {"query": "columns", "key": "columns", "value": "columns", "out": "rows"}

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        if width % n_heads:
            raise ModelError(f"n_heads must divide the width of {width}, not {n_heads}.")
        self.head_width = width // n_heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Sequence of the same shape, (batch, length, width)."""
        query, key, value = (self._heads(project(x)) for project in (self.query, self.key, self.value))
        seen = F.scaled_dot_product_attention(query, key, value)
        return self.out(seen.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], -1, self.head_width).transpose(1, 2)
