"""Dilated causal convolution over sequences of (batch, length, channels)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CausalConvolution"]


class CausalConvolution(nn.Module):
    """Step t is a linear map of steps t, t - dilation, ..., t - (kernel - 1) * dilation; what lies before the window is zero.

    Parameters
    ----------
    width_in, width_out : of the sequences, (batch, length, width).
    kernel, dilation : steps that are read, and how far apart they lie.

    Attributes
    ----------
    weight : (kernel, width_in, width_out); ``weight[k]`` maps the step ``k * dilation`` back.
    bias : (width_out,).

    Examples
    --------
    >>> CausalConvolution(4, 6, kernel=3, dilation=2)(torch.zeros(2, 10, 4)).shape
    torch.Size([2, 10, 6])
    """

    def __init__(self, width_in: int, width_out: int, *, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.kernel, self.dilation = kernel, dilation
        self.weight = nn.Parameter(torch.empty(kernel, width_in, width_out))
        self.bias = nn.Parameter(torch.empty(width_out))
        bound = 1 / math.sqrt(kernel * width_in)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Sequence (batch, length, width_out) of (batch, length, width_in)."""
        padded = F.pad(x.transpose(1, 2), ((self.kernel - 1) * self.dilation, 0))
        made = F.conv1d(padded, self.weight.flip(0).permute(2, 1, 0), self.bias, dilation=self.dilation)
        return made.transpose(1, 2).contiguous()
