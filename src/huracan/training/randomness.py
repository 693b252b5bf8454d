"""Random numbers of a training: drawn from the seed and the step, and never from, or into, anybody else's stream."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from huracan.training.phases import RowLosses
from huracan.training.windows import WindowTable

__all__ = ["built_with_seed", "depends_on_pieces", "draws_itself", "own_randomness", "seed_of_step"]

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
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Within, dropout and the like draw from PyTorch's own stream, begun at ``seed`` and put back afterwards.

    There is one stream for all threads, so those that draw from it wait for each other; it is held for one step at a time.
    Generators are handled one by one: ``fork_rng`` and ``manual_seed`` look for every kind of device first, which takes ten
    times as long.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        number = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[number])
    with _GLOBAL_STREAM:
        before = [generator.get_state() for generator in generators]
        for generator in generators:
            generator.manual_seed(seed)
        try:
            yield
        finally:
            for generator, state in zip(generators, before, strict=True):
                generator.set_state(state)


def draws_itself(network: nn.Module, losses: RowLosses, windows: WindowTable) -> bool:
    """Whether a network draws random numbers from PyTorch's own stream in a step: it is tried, on a copy.

    >>> from huracan.training.objectives import squared_error
    >>> from huracan.training.phases import Supervised
    >>> losses = Supervised(squared_error).phases[0].losses
    >>> rows = WindowTable(torch.ones(2, 1), torch.arange(2, dtype=torch.int32), 1, y=torch.ones(2, 1))
    >>> [draws_itself(nn.Sequential(nn.Flatten(), nn.Linear(1, 1), nn.Dropout(p)), losses, rows) for p in (0.0, 0.1)]
    [False, True]
    """
    return _tried(network, losses, windows)[0]


def depends_on_pieces(network: nn.Module, losses: RowLosses, windows: WindowTable) -> bool:
    """Whether the pieces that a batch is computed in decide more than rounding: it is tried, on a copy.

    They do where random numbers are drawn, a piece at a time, and where a module keeps running statistics of what it sees.

    >>> from huracan.training.objectives import squared_error
    >>> from huracan.training.phases import Supervised
    >>> losses = Supervised(squared_error).phases[0].losses
    >>> rows = WindowTable(torch.ones(2, 1), torch.arange(2, dtype=torch.int32), 1, y=torch.ones(2, 1))
    >>> layers = nn.Dropout(0.0), nn.Dropout(0.1), nn.LayerNorm(1), nn.BatchNorm1d(1)
    >>> [depends_on_pieces(nn.Sequential(nn.Flatten(), nn.Linear(1, 1), layer), losses, rows) for layer in layers]
    [False, True, False, True]
    """
    return any(_tried(network, losses, windows))


def _tried(network: nn.Module, losses: RowLosses, windows: WindowTable) -> tuple[bool, bool, bool]:
    """Whether a step draws from PyTorch's own stream, draws from the one it is given, and changes buffers."""
    some = windows.batch(torch.arange(min(2, len(windows)), device=windows.last.device))
    trial = copy.deepcopy(network).to(some.x.device, some.x.dtype).train()
    device = next((p.device for p in trial.parameters()), torch.device("cpu"))
    given = torch.Generator(some.x.device).manual_seed(0)
    stream = given.get_state()
    kept = {name: buffer.clone() for name, buffer in trial.named_buffers()}
    with _GLOBAL_STREAM, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        own = _streams(device)
        losses(trial, some, given)
        drawn = any(not torch.equal(old, new) for old, new in zip(own, _streams(device), strict=True))
    changed = any(not torch.equal(kept[name], buffer) for name, buffer in trial.named_buffers() if name in kept)
    return drawn, not torch.equal(stream, given.get_state()), changed


def _streams(device: torch.device) -> list[torch.Tensor]:
    streams = [torch.get_rng_state()]
    return [*streams, torch.cuda.get_rng_state(device)] if device.type == "cuda" else streams
