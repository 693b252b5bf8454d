"""A training step of each network on a GPU: time, share of its own matrix product, against the CPU; the rate of sampling.

Steps are those of ``step_speed.py``, operations counted alike. Every network is first held against the CPU in float64.
Float32 is measured with TF32 off, as the loop leaves it; bfloat16 is mixed precision, parameters in float32, against a
bfloat16 product. One GPU shows nothing about several.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import markdown_table
from benchmarks.step_speed import FEATURES, WINDOW, networks, operations
from huracan.models.networks import SequenceNetwork
from huracan.training.windows import WindowTable

__all__ = ["main"]

BATCHES = (256, 1_024, 8_192)
STEPS, ROUNDS, LARGE = 10, 3, 8_192
PARITY = 1e-9
_ROWS = 1_000_000


def main() -> str:
    """Check parity with the CPU, then time; skipped aloud where there is no CUDA device."""
    if not torch.cuda.is_available():
        raise FileNotFoundError("there is no CUDA device here.")
    device = torch.device("cuda", 0)
    return report(device, BATCHES, compiled=(False, True))


def report(device: torch.device, batches: tuple[int, ...], *, compiled: tuple[bool, ...], large: int = LARGE) -> str:
    """The tables for one device."""
    rates = {kind: _product_rate(device, kind, large) for kind in (torch.float32, torch.bfloat16)}
    rows = []
    for name, network in networks().items():
        _check_parity(name, network, device)
        on_cpu = _seconds_a_step(copy.deepcopy(network), torch.device("cpu"), batches[0], torch.float32, steps=1)
        for batch in batches:
            for kind, rate in rates.items():
                for compile_it in compiled:
                    own = copy.deepcopy(network)
                    if compile_it:
                        own.compile()
                    seconds = _seconds_a_step(own, device, batch, kind, steps=STEPS)
                    reached = operations(network, batch) / seconds
                    faster = (
                        f"{on_cpu / seconds:.0f}x" if (batch, kind, compile_it) == (batches[0], torch.float32, False) else ""
                    )
                    told = [name, f"{batch:,}", str(kind).removeprefix("torch."), "yes" if compile_it else "no"]
                    rows.append([*told, f"{1e3 * seconds:.2f}", f"{1e-12 * reached:.1f}", f"{reached / rate:.2f}", faster])
    header = ["network", "batch", "precision", "compiled", "ms a step", "TFLOP/s", "share of product", "CPU, one thread"]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    products = ", ".join(f"{1e-12 * rate:.1f} TFLOP/s in {str(kind).removeprefix('torch.')}" for kind, rate in rates.items())
    return (
        f"# GPU\n\n{' '.join((__doc__ or '').split())}\n\n{name}: {products} for products of {large} x {large}. "
        f"Window {WINDOW}, {FEATURES} features; sampling batches of windows moves {_gather_rate(device, batches[-1]):.0f} "
        "GB/s.\n\n"
        f"{markdown_table(header, rows)}\n"
    )


def _seconds_a_step(network: SequenceNetwork, device: torch.device, batch: int, kind: torch.dtype, *, steps: int) -> float:
    network = network.to(device)
    x, y = torch.randn(batch, WINDOW, FEATURES, device=device), torch.randn(batch, 1, device=device)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=kind is torch.bfloat16):
            loss = F.mse_loss(network(x).float(), y)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    step()
    return min(_seconds(step, device, steps) for _ in range(ROUNDS))


def _seconds(work: Callable[[], object], device: torch.device, times: int) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(times):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - started) / times


def _product_rate(device: torch.device, kind: torch.dtype, large: int) -> float:
    left, right = (torch.randn(large, large, device=device, dtype=kind) for _ in range(2))
    torch.mm(left, right)
    return 2.0 * large**3 / min(_seconds(lambda: torch.mm(left, right), device, 3) for _ in range(ROUNDS))


def _gather_rate(device: torch.device, batch: int) -> float:
    """GB read and written a second when batches of windows are cut from a table."""
    table = torch.randn(_ROWS, FEATURES, device=device)
    last = torch.randint(WINDOW - 1, _ROWS, (batch,), dtype=torch.int32, device=device)
    windows, which = WindowTable(table, last, WINDOW), torch.arange(batch, device=device)
    windows.batch(which)
    seconds = min(_seconds(lambda: windows.batch(which), device, 5) for _ in range(ROUNDS))
    return 2e-9 * 4 * batch * WINDOW * FEATURES / seconds


def _check_parity(name: str, network: SequenceNetwork, device: torch.device) -> None:
    x = torch.randn(8, WINDOW, FEATURES, dtype=torch.float64)
    here, there = copy.deepcopy(network).double(), copy.deepcopy(network).double().to(device)
    far = (here(x) - there(x.to(device)).cpu()).abs().max().item()
    assert far <= PARITY, f"{name} on {device} differs from the CPU by {far:.1e}, more than {PARITY:g}"
