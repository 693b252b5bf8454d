"""Dilated causal convolution as products of matrices."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["CausalConvolution", "causal_convolution"]

_ROWS_AT_ONCE = 2048
"""Rows of a product: enough for its full rate, few enough to stay in a processor's cache."""


class CausalConvolution(nn.Module):
    """Step t is a linear map of steps t, t - dilation, ..., t - (kernel - 1) * dilation; what lies before the window is zero.

    Parameters
    ----------
    width_in, width_out : of the sequences, (length, batch, width): steps first, so that a shift is a slice of memory.
    kernel, dilation : steps that are read, and how far apart they lie.

    Attributes
    ----------
    weight : (kernel, width_in, width_out); ``weight[k]`` maps the step ``k * dilation`` back.
    bias : (width_out,).

    Examples
    --------
    >>> CausalConvolution(4, 6, kernel=3, dilation=2)(torch.zeros(10, 2, 4)).shape
    torch.Size([10, 2, 6])
    """

    def __init__(self, width_in: int, width_out: int, *, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.weight = nn.Parameter(torch.empty(kernel, width_in, width_out))
        self.bias = nn.Parameter(torch.empty(width_out))
        bound = 1 / math.sqrt(kernel * width_in)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, steps: Tensor) -> Tensor:
        """Sequence (length, batch, width_out) of (length, batch, width_in)."""
        return causal_convolution(steps, self.weight, self.bias, self.dilation)

    def extra_repr(self) -> str:
        kernel, width_in, width_out = self.weight.shape
        return f"{width_in}, {width_out}, kernel={kernel}, dilation={self.dilation}"


def causal_convolution(steps: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
    """What ``torch.nn.functional.conv1d`` makes of a sequence padded on the left, without padding or copying it.

    One product a tap, added into the steps it reaches; taps that lie wholly before the window cost nothing.

    Parameters
    ----------
    steps : (length, batch, width_in).
    weight, bias, dilation : see :class:`CausalConvolution`.

    Returns
    -------
    (length, batch, width_out).

    Examples
    --------
    >>> steps = torch.arange(1.0, 6.0).view(5, 1, 1)
    >>> causal_convolution(steps, torch.tensor([1.0, 10.0]).view(2, 1, 1), torch.zeros(1), dilation=2).flatten().tolist()
    [1.0, 2.0, 13.0, 24.0, 35.0]
    """
    if torch.is_autocast_enabled(steps.device.type):
        dtype = torch.get_autocast_dtype(steps.device.type)
        steps, weight, bias = steps.to(dtype), weight.to(dtype), bias.to(dtype)
    return _CausalConvolution.apply(steps, weight, bias, dilation)


class _CausalConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, steps: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
        steps = steps.contiguous()
        made = steps.new_empty(*steps.shape[:2], weight.shape[2])
        for first, last in _spans(steps):
            torch.addmm(bias, _rows(steps, first, last), weight[0], out=_rows(made, first, last))
            for tap, shift in _taps(weight, len(steps), dilation):
                start = max(first, shift)
                if start < last:
                    _rows(made, start, last).addmm_(_rows(steps, start - shift, last - shift), weight[tap])
        ctx.save_for_backward(steps, weight)
        ctx.dilation = dilation
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        steps, weight = ctx.saved_tensors
        grad, length, back = grad.contiguous(), len(steps), weight.transpose(1, 2)
        taps = _taps(weight, length, ctx.dilation)
        grad_steps = torch.empty_like(steps)
        for first, last in _spans(steps):
            torch.mm(_rows(grad, first, last), back[0], out=_rows(grad_steps, first, last))
            for tap, shift in taps:
                end = min(last, length - shift)
                if end > first:
                    _rows(grad_steps, first, end).addmm_(_rows(grad, first + shift, end + shift), back[tap])
        grad_weight = torch.zeros_like(weight)
        for tap, shift in [(0, 0), *taps]:
            torch.mm(_rows(steps, 0, length - shift).t(), _rows(grad, shift, length), out=grad_weight[tap])
        flat = _rows(grad, 0, length)
        return grad_steps, grad_weight, flat.t().mv(flat.new_ones(len(flat))), None


def _taps(weight: Tensor, length: int, dilation: int) -> list[tuple[int, int]]:
    """Taps after the first that reach into the window, with their shifts."""
    return [(tap, tap * dilation) for tap in range(1, len(weight)) if tap * dilation < length]


def _spans(steps: Tensor) -> list[tuple[int, int]]:
    """Spans of steps of which a processor's cache holds the sums while all taps are added."""
    length, batch, _ = steps.shape
    size = max(1, _ROWS_AT_ONCE // batch) if steps.device.type == "cpu" else length
    return [(first, min(first + size, length)) for first in range(0, length, size)]


def _rows(steps: Tensor, first: int, last: int) -> Tensor:
    return steps[first:last].flatten(0, 1)
