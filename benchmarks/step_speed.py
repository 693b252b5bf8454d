"""A whole training step of each network at batch 256, as a share of what this machine's own matrix product reaches.

A step is forward, backward, gradient clipping and fused AdamW. Operations are those of matrix products alone, two a
multiply-add: once forward, twice backward, less what nobody needs (the gradient of the data, products with the zero
state before the first step, taps that lie before the window). Step and ``torch.mm`` of two large matrices alternate on
one thread, in seconds of the processor, best of the rounds on both sides; freed memory is kept, as in every training
(:mod:`huracan.memory`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import markdown_table
from huracan.memory import keep_freed_memory
from huracan.models.networks import (
    CausalConvolution,
    ConvolutionNetwork,
    GRUNetwork,
    LSTMNetwork,
    SelfAttention,
    SequenceNetwork,
    TransformerNetwork,
)

__all__ = ["FEATURES", "WINDOW", "main", "networks", "operations"]

BATCH, WINDOW, FEATURES, HIDDEN = 256, 64, 32, 256
BARS = {"CNN": 0.75, "LSTM": 0.42, "GRU": 0.42, "Transformer": 0.42}
ROUNDS, LARGE = 5, 2048
PARITY = 1e-10


def main() -> str:
    """Check parity, then time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        _check_parity()
        rows, short = [], []
        for name, network in networks().items():
            milliseconds, gigaflops, share = _measured(network, 1e-9 * operations(network, BATCH))
            layers = f"{len(network.blocks)} blocks, {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M weights"
            rows.append([name, layers, f"{milliseconds:.0f}", f"{gigaflops:.0f}", f"{share:.2f}", f">= {BARS[name]:.2f}"])
            if share < BARS[name]:
                short.append(f"{name} reaches {share:.2f} of the matrix product's rate, below {BARS[name]:.2f}")
    finally:
        torch.set_num_threads(threads)
    table = markdown_table(["network", "size", "ms a step", "GFLOP/s", "share of sgemm", "bar"], rows)
    text = f"# Training step\n\n{' '.join(__doc__.split())}\n\n{_CAPTION}\n\n{table}\n"
    assert not short, f"{'; '.join(short)}\n{text}"
    return text


_CAPTION = (
    f"Batch {BATCH}, window {WINDOW}, {FEATURES} features, hidden {HIDDEN}, float32, no dropout, otherwise each network's "
    f"defaults. Parity first, in float64 within {PARITY:g}: convolution against `conv1d`, attention against "
    "`nn.MultiheadAttention`, outputs and gradients; the recurrent networks are `nn.LSTM` and `nn.GRU` themselves."
)


def networks() -> dict[str, SequenceNetwork]:
    """The networks that are measured, by name."""
    torch.manual_seed(0)
    kinds = {"CNN": ConvolutionNetwork, "LSTM": LSTMNetwork, "GRU": GRUNetwork, "Transformer": TransformerNetwork}
    return {name: kind(FEATURES, WINDOW, 1, hidden=HIDDEN, dropout=0.0) for name, kind in kinds.items()}


def operations(network: SequenceNetwork, batch: int) -> float:
    """Floating-point operations of a step's matrix products."""
    blocks = 0
    for layer in network.blocks.modules():
        if isinstance(layer, nn.Linear):
            blocks += WINDOW * layer.weight.numel()
        elif isinstance(layer, CausalConvolution):
            reached = sum(max(0, WINDOW - tap * layer.dilation) for tap in range(len(layer.weight)))
            blocks += reached * layer.weight[0].numel()
        elif isinstance(layer, nn.LSTM | nn.GRU):
            blocks += WINDOW * layer.weight_ih_l0.numel() + (WINDOW - 1) * layer.weight_hh_l0.numel()
        elif isinstance(layer, SelfAttention):
            blocks += 2 * WINDOW * WINDOW * layer.out.in_features
    stem, head = WINDOW * network.stem.project.weight.numel(), network.head.project.weight.numel()
    return 2.0 * batch * (2 * stem + 3 * blocks + 3 * head)


def _measured(network: SequenceNetwork, giga: float) -> tuple[float, float, float]:
    """Milliseconds of a step, its GFLOP/s, and the share of the large product's."""
    x, y = torch.randn(BATCH, WINDOW, FEATURES), torch.randn(BATCH, 1)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    left, right, product = torch.randn(LARGE, LARGE), torch.randn(LARGE, LARGE), torch.empty(LARGE, LARGE)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.mse_loss(network(x), y).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    step()
    steps, products = [], []
    for _ in range(ROUNDS):
        products += [_seconds(lambda: torch.mm(left, right, out=product)) for _ in range(3)]
        steps.append(_seconds(step))
    reached = giga / min(steps)
    return 1000 * min(steps), reached, reached / (2e-9 * LARGE**3 / min(products))


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _check_parity() -> None:
    torch.manual_seed(1)
    x = torch.randn(4, 11, 6, dtype=torch.float64, requires_grad=True)
    layer = CausalConvolution(6, 5, kernel=3, dilation=2).double()

    def by_torch(x: Tensor) -> Tensor:
        padded = F.pad(x.transpose(1, 2), (4, 0))
        return F.conv1d(padded, layer.weight.flip(0).permute(2, 1, 0), layer.bias, dilation=2).transpose(1, 2)

    _same("convolution", x, lambda x: layer(x.transpose(0, 1)).transpose(0, 1), by_torch, list(layer.parameters()))
    attention, oracle = SelfAttention(6, 2).double(), nn.MultiheadAttention(6, 2, batch_first=True).double()
    with torch.no_grad():
        parts = (attention.query, attention.key, attention.value)
        oracle.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        oracle.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        oracle.out_proj.load_state_dict(attention.out.state_dict())
    _same("attention", x, attention, lambda x: oracle(x, x, x, need_weights=False)[0], [])


def _same(what: str, x: Tensor, ours: Callable[[Tensor], Tensor], oracle: Callable[[Tensor], Tensor], weights: list) -> None:
    made, expected = ours(x), oracle(x)
    pull = torch.randn_like(expected)
    pairs = zip(torch.autograd.grad(made, [x, *weights], pull), torch.autograd.grad(expected, [x, *weights], pull))
    far = max((a - b).abs().max().item() for a, b in [(made, expected), *pairs])
    assert far <= PARITY, f"{what} differs from torch's own by {far:.1e}, more than {PARITY:g}"


if __name__ == "__main__":
    print(main())
