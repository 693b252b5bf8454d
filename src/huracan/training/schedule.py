"""When which window is seen, and how large a step is: functions of the seed and the step number, nothing else.

Because neither depends on what happened before, a training that is resumed, or divided over more devices, sees the same
batches at the same rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from huracan.training.phases import Phase
from huracan.training.settings import LoopSettings

__all__ = ["epoch_order", "learning_rate_factor", "phase_at", "steps_in_epoch", "total_steps"]

_EPOCH = 1_000_003


def epoch_order(n_windows: int, seed: int, epoch: int) -> torch.Tensor:
    """The order in which an epoch sees the windows: each once, int32 (n,), on the CPU.

    >>> sorted(epoch_order(4, 0, 1).tolist()), torch.equal(epoch_order(9, 0, 1), epoch_order(9, 0, 1))
    ([0, 1, 2, 3], True)
    """
    return torch.randperm(n_windows, generator=torch.Generator().manual_seed(seed * _EPOCH + epoch), dtype=torch.int32)


def steps_in_epoch(n_windows: int, batch_size: int) -> int:
    """Optimizer steps of one pass: the last batch may be smaller, no window is left out.

    >>> steps_in_epoch(10, 4)
    3
    """
    return -(-n_windows // batch_size)


def total_steps(settings: LoopSettings, n_windows: int) -> int:
    """Steps of a training that is not stopped early."""
    steps = settings.max_epochs * steps_in_epoch(n_windows, settings.batch_size)
    return steps if settings.max_steps is None else min(steps, settings.max_steps)


def learning_rate_factor(step: int, total: int, settings: LoopSettings) -> float:
    """Share of the learning rate that step ``step`` (from 0) of ``total`` uses.

    >>> settings = LoopSettings(warmup_share=0.1)
    >>> [round(learning_rate_factor(step, 100, settings), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm = math.ceil(settings.warmup_share * total)
    if step < warm:
        return (step + 1) / warm
    if settings.schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def phase_at(step: int, phases: Sequence[Phase]) -> int:
    """Which phase has its turn at a step.

    >>> critic, generator = Phase("critic", None, steps=2), Phase("generator", None)
    >>> [phase_at(step, (critic, generator)) for step in range(4)]
    [0, 0, 1, 0]
    """
    at = step % sum(phase.steps for phase in phases)
    for number, phase in enumerate(phases):
        if at < phase.steps:
            return number
        at -= phase.steps
    raise AssertionError("the turns of all phases make a cycle")
