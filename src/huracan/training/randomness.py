"""Random numbers of a training: drawn from the seed and the step, and never from, or into, anybody else's stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["built_with_seed", "draws_itself", "own_randomness", "seed_of_step"]

_GLOBAL_STREAM = threading.RLock()


def seed_of_step(seed: int, step: int, rank: int) -> int:
    """A seed for what one process draws in one step, by SplitMix64 (Steele, Lea and Flood, 2014).

    >>> len({seed_of_step(s, t, r) for s in range(5) for t in range(5) for r in range(5)})
    125
    """
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xD1B54A32D192ED03 + rank * 0x8CB92BA72F3D8DD7) & _WORD
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WORD
    return (mixed ^ (mixed >> 31)) >> 1


_WORD = (1 << 64) - 1


@contextmanager
def built_with_seed(seed: int) -> Iterator[None]:
    """Within, PyTorch's own stream starts at ``seed``; afterwards it is where it was. One thread at a time."""
    with _GLOBAL_STREAM, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Within, dropout may draw from PyTorch's own stream, which is put back afterwards.

    There is one stream for all threads, so trainings with dropout wait for each other; those without draw nothing from it
    and go side by side.
    """
    with _GLOBAL_STREAM, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def draws_itself(network: nn.Module) -> bool:
    """Whether a network draws random numbers in its forward pass: it has dropout above 0, as a module or as a number.

    >>> draws_itself(nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.1))), draws_itself(nn.LSTM(1, 1, dropout=0.0))
    (True, False)
    """
    for part in network.modules():
        share = part.p if isinstance(part, nn.Dropout) else getattr(part, "dropout", 0.0)
        if isinstance(share, float) and share > 0.0:
            return True
    return False
