"""Convolutional networks: products of matrices over the steps that the answer depends on, and no others.

A trace loses what :class:`~huracan.models.networks.causal_convolution.CausalConvolution` writes into slices of memory, without
a word: the graph then answers something else. So the network of the catalogue is written out here, and in networks of one's own
that layer is replaced before they are traced.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from huracan.models.networks.causal_convolution import CausalConvolution
from huracan.models.networks.convolution import ConvolutionBlock
from huracan.registry.exports.graph import Graph

__all__ = ["convolution_network", "traceable"]

Traced = Callable[[nn.Module, tuple[int, ...]], bytes]


def convolution_network(graph: Graph, windows: str, network: Any, n_features: int, traced: Traced) -> str:
    """Outputs (n, outputs) of scaled ``windows`` (n, window, n_features)."""
    stem, head = network.stem, network.head
    sequence = graph.take_in(traced(stem, (stem.window, n_features)), {"x": windows})
    steps = list(range(stem.length))
    for block, needed in zip(network.blocks, _needed_of_blocks(network)):
        sequence, steps = _block(graph, sequence, steps, block, needed), needed
    if head.readout != "last":
        return graph.take_in(traced(head, (len(steps), stem.project.out_features)), {"x": sequence})
    last = graph.node("Gather", sequence, graph.constant(-1, np.int64), axis=1)
    return graph.node("Gemm", last, graph.constant(_plain(head.project.weight).T), graph.constant(_plain(head.project.bias)))


def traceable(module: nn.Module) -> nn.Module:
    """A copy whose causal convolutions are ``conv1d``; the module itself where it holds none.

    >>> import torch
    >>> layer = nn.Sequential(CausalConvolution(3, 4, kernel=3, dilation=2))
    >>> x = torch.randn(10, 2, 3)
    >>> bool((traceable(layer)(x) - layer(x)).abs().max() < 1e-6)
    True
    """
    if not any(isinstance(part, CausalConvolution) for part in module.modules()):
        return module
    made = copy.deepcopy(module)
    _replace_convolutions(made)
    return made


def _needed_of_blocks(network: Any) -> list[list[int]]:
    """Numbers of the steps that each block has to give, for the head or for the block after it."""
    length = network.stem.length
    readout = network.head.readout
    needed: list[list[int]] = [[length - 1] if readout == "last" else list(range(length))]
    for block in reversed(list(network.blocks)[1:]):
        inside = _reached(block.second, needed[0])
        needed.insert(0, sorted({*needed[0], *_reached(block.first, inside)}))
    return needed


def _block(graph: Graph, sequence: str, steps: list[int], block: ConvolutionBlock, needed: list[int]) -> str:
    norm = block.norm
    scale, shift = graph.constant(_plain(norm.weight)), graph.constant(_plain(norm.bias))
    normed = graph.node("LayerNormalization", sequence, scale, shift, axis=-1, epsilon=norm.eps)
    inside = _reached(block.second, needed)
    first = _gelu(graph, _convolution(graph, normed, steps, block.first, inside))
    second = _convolution(graph, first, inside, block.second, needed)
    if needed != steps:
        kept = graph.constant([steps.index(step) for step in needed], np.int64)
        sequence = graph.node("Gather", sequence, kept, axis=1)
    return graph.node("Add", sequence, second)


def _reached(of: CausalConvolution, steps: Iterable[int]) -> list[int]:
    """Steps that a convolution reads to give these; there is none before the first."""
    shifts = [tap * of.dilation for tap in range(len(of.weight))]
    return sorted({step - shift for step in steps for shift in shifts if step >= shift})


def _convolution(graph: Graph, sequence: str, steps: list[int], of: CausalConvolution, needed: list[int]) -> str:
    """Steps ``needed`` (n, needed, width_out) of a convolution of (n, steps, width_in): one product of all taps."""
    taps, width_in, width_out = of.weight.shape
    place, zero = {step: i for i, step in enumerate(steps)}, len(steps)
    read = [place.get(step - tap * of.dilation, zero) for step in needed for tap in range(taps)]
    if zero in read:
        sequence = graph.node("Pad", sequence, graph.constant([0, 0, 0, 0, 1, 0], np.int64))
    gathered = graph.node("Gather", sequence, graph.constant(read, np.int64), axis=1)
    side_by_side = graph.node("Reshape", gathered, graph.constant([0, len(needed), taps * width_in], np.int64))
    product = graph.node("MatMul", side_by_side, graph.constant(_plain(of.weight).reshape(taps * width_in, width_out)))
    return graph.node("Add", product, graph.constant(_plain(of.bias)))


def _gelu(graph: Graph, x: str) -> str:
    error = graph.node("Erf", graph.node("Div", x, graph.constant(np.sqrt(2.0))))
    return graph.node("Mul", graph.node("Mul", x, graph.node("Add", error, graph.constant(1.0))), graph.constant(0.5))


def _plain(values: Tensor) -> Any:
    return values.detach().cpu().numpy()


def _replace_convolutions(module: nn.Module) -> None:
    for name, part in module.named_children():
        if isinstance(part, CausalConvolution):
            setattr(module, name, _Convolution(part))
        else:
            _replace_convolutions(part)


class _Convolution(nn.Module):
    """A :class:`CausalConvolution` by ``conv1d``."""

    def __init__(self, of: CausalConvolution) -> None:
        super().__init__()
        self.weight = nn.Parameter(of.weight.detach().flip(0).permute(2, 1, 0).contiguous())
        self.bias, self.dilation, self.before = of.bias, of.dilation, (len(of.weight) - 1) * of.dilation

    def forward(self, steps: Tensor) -> Tensor:
        padded = F.pad(steps.permute(1, 2, 0), (self.before, 0))
        return F.conv1d(padded, self.weight, self.bias, dilation=self.dilation).permute(2, 0, 1)
