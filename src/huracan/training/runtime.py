"""Where a training computes: the part of the loop that another room may replace.

:class:`Runtime` is one process on one device. A subclass may hold the same network on many devices: it says which rows of a
batch are its own, makes gradients equal everywhere, and adds numbers up; the loop stays the same, and the network knows
nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn

from huracan.errors import ModelError
from huracan.training.phases import RowLosses, TrainingTask
from huracan.training.settings import LoopSettings
from huracan.training.windows import Batch

__all__ = ["Runtime", "as_device"]

_ADDED_TO_NORM = 1e-6
"""What PyTorch adds to a gradient's norm before it divides by it."""

T = TypeVar("T")


def as_device(name: str) -> torch.device:
    """``"auto"`` is the first CUDA device where there is one, else the CPU.

    >>> as_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":") if isinstance(name, str) else ("", "", "")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise ModelError(f"device is {name!r}; 'auto', 'cpu', 'cuda' or 'cuda:0' and the like were expected.")
    device = torch.device(name)
    there = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= there:
        raise ModelError(f"device is {name!r}, but this machine has {there} CUDA device(s) that PyTorch can use.")
    return device


class Runtime:
    """One process on one device.

    Attributes
    ----------
    rank, world : number of this process among those that share a batch, and how many they are.
    stream : number of this process's stream of random numbers; those that compute the same thing share one.
    position, processes : number of this process among all, and how many they are.
    chief : whether this process reports and writes what is written once. alone : whether it is the only one.
    device : where tables and parameters live.
    network : the network as handed to :meth:`place`; parameters may have become shards of themselves.
    """

    rank = 0
    world = 1
    stream = 0
    position = 0
    processes = 1
    chief = True
    alone = True

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = device if isinstance(device, torch.device) else as_device(device)
        self.settings = LoopSettings()
        self.network: nn.Module = nn.Identity()

    def place(self, network: nn.Module, task: TrainingTask, settings: LoopSettings) -> None:
        """Take a network, the same on every process, to where it is trained."""
        self.settings = settings
        self.network = network.to(self.device, parameter_type(settings))
        if settings.compile:
            self.network.compile()

    def part(self, n_rows: int) -> slice:
        """Which of a batch's rows are computed here: parts differ by one row at most, and none is in two."""
        least, more = divmod(n_rows, self.world)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def gradients(
        self, losses: RowLosses, batch: Batch, *, scale: float, generator: torch.Generator, last: bool
    ) -> torch.Tensor:
        """Add the gradient of ``scale`` times the weighted losses of a batch; returns the sum of the losses here.

        ``last`` says that no further piece of the same batch follows, so that gradients may be made equal everywhere.
        """
        with self.precision():
            total = weighted_sum(losses(self.network, batch, generator), batch.weight)
        (total * scale).backward()
        return total.detach()

    def losses(self, losses: RowLosses, batch: Batch, *, generator: torch.Generator) -> torch.Tensor:
        """The sum of the weighted losses of a batch here, without gradients."""
        with self.precision():
            return weighted_sum(losses(self.network, batch, generator), batch.weight).detach()

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sums over all processes that share a batch, the same on each of them."""
        return values

    def clip(self, parameters: Sequence[nn.Parameter], norm: float | None) -> torch.Tensor:
        """Cut the gradient of all parameters together at a norm; returns the norm it had."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        length = nn.utils.get_total_norm(gradients)
        if norm is not None and not float(length) + _ADDED_TO_NORM <= norm:  # else the factor is 1: nothing to multiply
            nn.utils.clip_grads_with_norm_(parameters, norm, length)
        return length

    def optimizer(self, groups: Iterable[dict[str, Any]], *, betas: tuple[float, float]) -> torch.optim.Optimizer:
        """AdamW (Loshchilov and Hutter, 2019), fused into one kernel."""
        rate = self.settings.learning_rate
        return torch.optim.AdamW(list(groups), lr=rate, betas=betas, fused=True)

    def precision(self) -> AbstractContextManager[Any]:
        """The context that forward passes run in."""
        if self.settings.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def together(self, what: Callable[[], T]) -> T:
        """Do something once, on the chief; every process has what came of it, be it an error."""
        return what()

    def each(self, what: Callable[[], T]) -> list[T]:
        """Do something on every process, however long it takes one; all have what came of it on each, be it an error."""
        return [what()]

    def share_buffers(self) -> None:
        """Make what modules keep beside parameters, such as running statistics, the same on every process."""

    def whole_state(self) -> dict[str, torch.Tensor]:
        """The network's parameters and buffers by name, whole, on the CPU; empty on processes that are not the chief."""
        return {name: value.detach().cpu() for name, value in self.network.state_dict().items()}


def weighted_sum(losses: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """Sum of a batch's losses, each times its weight."""
    return losses.sum() if weight is None else torch.dot(losses, weight.to(losses.dtype))


def parameter_type(settings: LoopSettings) -> torch.dtype:
    """The type parameters and tables are kept in."""
    return torch.float64 if settings.precision == "float64" else torch.float32
