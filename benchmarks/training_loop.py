"""What the training loop costs over a bare step written by hand, and against Lightning's Trainer.

Same network, same windows in the same order, same optimizer, rates, and gradient norm; the losses of every step are compared
before anything is timed. Time is CPU time on one thread and runs alternate. A shared machine's steps differ by more than the
loop can add, so that is measured where it is not drowned: on the same networks 8 wide, with all their parts and parameters,
best run of each way; it is then a share of the full step. The difference of full runs stands beside it, and so does that of
bare runs from bare runs, which says how much of it is the machine's. Against Lightning the median of the ratios of neighbours
counts.
Dropout is off where losses are compared, since the loop draws it from the seed of each step; the loop is timed with each
network's own dropout as well. Lightning runs with logging,
checkpoints, progress and checks off (``barebones``), in an environment laid over this one (:mod:`benchmarks.peers`), each way
in a process of its own; its ``DataLoader`` is taken as it is mostly written, one window an item, and at its best, a whole
batch of windows made beforehand an item.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

import huracan
from benchmarks import markdown_table
from benchmarks.peers import peer_python, run_peer
from huracan.training import LoopSettings, Supervised, TrainingLoop, WindowTable
from huracan.training.job import NetworkRecipe
from huracan.training.objectives import squared_error
from huracan.training.schedule import epoch_order, learning_rate_factor, total_steps

__all__ = ["NETWORKS", "Way", "against_lightning", "bare_steps", "looped", "main", "overheads", "recipe", "trained", "windows"]

WINDOW, FEATURES = 32, 8
NETWORKS = {
    "cnn": "huracan.models.networks.convolution:ConvolutionNetwork",
    "lstm": "huracan.models.networks.lstm:LSTMNetwork",
    "gru": "huracan.models.networks.gru:GRUNetwork",
    "transformer": "huracan.models.networks.transformer:TransformerNetwork",
}
ROUNDS = 5
STEPS, EPOCHS = 8, 2
NARROW, NARROW_STEPS, NARROW_ROUNDS = 8, 16, 12
OVERHEAD, FASTER = 0.03, 1.1
SAME = 1e-5
LIGHTNING = ["lightning==2.6.6"]

Way = Callable[[nn.Module, WindowTable, LoopSettings], list[float]]
"""Trains a network in place; gives the loss of every step."""


def recipe(name: str, *, dropout: bool = False, narrow: bool = False) -> NetworkRecipe:
    """A network of the catalogue at its default size or 8 wide, without dropout or with the one it has."""
    arguments = {"n_features": FEATURES, "window": WINDOW, "n_outputs": 1} | ({"hidden": NARROW} if narrow else {})
    return NetworkRecipe(NETWORKS[name], arguments if dropout else {**arguments, "dropout": 0.0})


def windows(n: int) -> WindowTable:
    """Windows of noise whose target is the product of two bars and noise."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n + WINDOW - 1, FEATURES, generator=generator)
    y = x[:, :1] * x.roll(3, dims=0)[:, :1] + torch.randn(len(x), 1, generator=generator)
    return WindowTable(x, torch.arange(WINDOW - 1, len(x), dtype=torch.int32), WINDOW, y=y[WINDOW - 1 :])


def optimizer_of(network: nn.Module, settings: LoopSettings) -> torch.optim.Optimizer:
    """AdamW, fused; matrices decay, biases and scales do not."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def bare_steps(network: nn.Module, data: WindowTable, settings: LoopSettings) -> list[float]:
    """The loop as one would write it for one network, with nothing that is not needed."""
    optimizer, parameters = optimizer_of(network, settings), list(network.parameters())
    total, losses, step = total_steps(settings, len(data)), [], 0
    network.train()
    for epoch in range(settings.max_epochs):
        for rows in epoch_order(len(data), settings.seed, epoch).long().split(settings.batch_size):
            batch = data.batch(rows)
            assert batch.y is not None
            optimizer.zero_grad()
            loss = squared_error(network(batch.x), batch.y).mean()
            loss.backward()
            assert settings.clip_norm is not None
            nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * learning_rate_factor(step, total, settings)
            optimizer.step()
            losses.append(loss.detach())
            step += 1
    return torch.stack(losses).tolist()


def looped(network: nn.Module, data: WindowTable, settings: LoopSettings) -> list[float]:
    """The training loop of this library."""
    return TrainingLoop(network, Supervised(squared_error), data, settings=settings).run().step_losses


def trained(name: str, way: Way, data: WindowTable, settings: LoopSettings, **how: bool) -> tuple[list[float], float]:
    """Losses of every step of a network (see :func:`recipe`) trained one way, and CPU seconds."""
    network = recipe(name, **how).build()
    began = time.process_time()
    return way(network, data, settings), time.process_time() - began


def compared(runs: dict[str, Callable[[], tuple[list[float], float]]], rounds: int) -> dict[str, Any]:
    """Run all ways in turns: the largest difference of a step's loss from the first way's, and seconds of each run."""
    losses: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {way: [] for way in runs}
    for turn in range(rounds + 1):
        for way in list(runs) if turn % 2 else list(runs)[::-1]:
            losses[way], took = runs[way]()
            if turn:  # the first round warms up
                seconds[way].append(took)
    first = next(iter(losses.values()))
    gap = max(abs(a - b) / abs(b) for other in losses.values() for a, b in zip(other, first, strict=True))
    return {"gap": gap, "final": first[-1], "seconds": seconds}


def ratio(found: dict[str, Any], way: str, to: str) -> float:
    """Median over rounds of one way's time to another's."""
    return median(a / b for a, b in zip(found["seconds"][way], found["seconds"][to], strict=True))


def overheads(name: str, batch_size: int, *, dropout: bool = False) -> dict[str, Any]:
    """The loop, bare steps and bare steps again, :func:`compared`, at full size."""
    settings = LoopSettings(max_epochs=EPOCHS, batch_size=batch_size)
    data = windows(STEPS * batch_size)
    ways: dict[str, Way] = {"bare": bare_steps, "loop": looped, "again": bare_steps}
    return compared({way: partial(trained, name, how, data, settings, dropout=dropout) for way, how in ways.items()}, ROUNDS)


def added_seconds(name: str, batch_size: int, *, dropout: bool = False) -> float:
    """CPU seconds that the loop adds to a step of a network 8 wide; batches as large, windows of as many bars."""
    settings = LoopSettings(max_epochs=EPOCHS, batch_size=batch_size)
    data = windows(NARROW_STEPS * batch_size)
    ways: dict[str, Way] = {"bare": bare_steps, "loop": looped}
    runs = {way: partial(trained, name, how, data, settings, dropout=dropout, narrow=True) for way, how in ways.items()}
    found = compared(runs, NARROW_ROUNDS)["seconds"]
    return (min(found["loop"]) - min(found["bare"])) / (NARROW_STEPS * EPOCHS)


def against_lightning() -> dict[str, dict[str, Any]]:
    """Network -> what :func:`compared` found in Lightning's environment, batches of 32."""
    python = peer_python("lightning", LIGHTNING, over_ours=True)
    home = Path(__file__).resolve().parent.parent
    ours = Path(huracan.__file__).resolve().parent.parent
    printed = run_peer(python, "lightning_training.py", environment={"PYTHONPATH": f"{home}:{ours}"})
    return json.loads(printed.strip().splitlines()[-1])


def main() -> str:
    """Check, then measure."""
    torch.set_num_threads(1)
    rows, worst = [], 0.0
    for batch_size in (256, 32):
        for name in NETWORKS:
            for dropout in (False, True):
                found = overheads(name, batch_size, dropout=dropout)
                if not dropout:
                    assert found["gap"] <= SAME, f"{name}, batch {batch_size}: losses differ by {found['gap']:.1e} of a loss"
                step = min(found["seconds"]["bare"]) / (STEPS * EPOCHS)
                added = added_seconds(name, batch_size, dropout=dropout)
                worst = max(worst, added / step) if batch_size == 256 else worst
                gap = "drawn" if dropout else f"{found['gap']:.0e}"
                whole, again = (100 * (ratio(found, way, "bare") - 1.0) for way in ("loop", "again"))
                told = [f"{1e3 * step:.2f}", f"{1e6 * added:.0f}", f"{100 * added / step:+.2f} %", f"{whole:+.1f} %"]
                rows.append([batch_size, name, gap, *told, f"{again:+.1f} %"])
    heads = ["batch", "network", "losses differ by", "bare step, ms", "added, us", "share", "full runs", "bare from bare"]
    parts = [
        "# Training loop",
        f"Windows of {WINDOW} bars x {FEATURES} features, networks at their default sizes, without dropout and with their own, "
        f"one thread, CPU time. Bar at batch 256: overhead at most {100 * OVERHEAD:g} % of the step. The last two columns are "
        f"medians of {ROUNDS} ratios.",
        markdown_table(heads, rows),
    ]
    faster = None
    try:
        peers = against_lightning()
    except FileNotFoundError as missing:
        print(f"training_loop: Lightning is skipped, {missing}")
        parts.append(f"Lightning: not measured, {missing}")
    else:
        told = []
        for name, found in peers.items():
            assert found["gap"] <= SAME, f"{name}: losses differ from Lightning's by {found['gap']:.1e} of a loss"
            told.append(
                [
                    name,
                    f"{found['final']:.6f}",
                    f"{found['gap']:.0e}",
                    f"{found['step_ms']:.2f}",
                    f"{ratio(found, 'Lightning', 'loop'):.2f}",
                    f"{ratio(found, 'Lightning, batches made beforehand', 'loop'):.2f}",
                ]
            )
        faster = {name: ratio(found, "Lightning", "loop") for name, found in peers.items()}
        parts += [
            f"Against Lightning ({LIGHTNING[0].partition('==')[2]}), batch 32, same network, windows, order, epochs and final "
            f"loss; in times of ours. Bar: {FASTER:g}.",
            markdown_table(
                [
                    "network",
                    "final loss",
                    "losses differ by",
                    "our step, ms",
                    "Lightning",
                    "Lightning, batches made beforehand",
                ],
                told,
            ),
        ]
    text = "\n\n".join(parts)
    assert worst <= OVERHEAD, text
    assert faster is None or min(faster.values()) >= FASTER, text
    return text
