"""What all strategies share: a process group, and one answer for everybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from huracan.distributed.axes import ParallelAxes
from huracan.distributed.patience import PatientRound
from huracan.training.phases import TrainingTask
from huracan.training.runtime import Runtime
from huracan.training.settings import LoopSettings

__all__ = ["GroupRuntime"]

T = TypeVar("T")


class GroupRuntime(Runtime):
    """One of several processes; the process group must have been made.

    Parameters
    ----------
    axes : how the processes are laid out. device : of this process. timeout : seconds of one exchange between processes.

    Attributes
    ----------
    data_group : the processes that share a batch; None is all of them.
    """

    def __init__(self, axes: ParallelAxes, device: torch.device | str = "cpu", *, timeout: float = 60.0) -> None:
        super().__init__(device)
        self.axes, self.timeout = axes, timeout
        self.position, self.processes = dist.get_rank(), dist.get_world_size()
        self.rank, self.world = self.position // (axes.tensor * axes.stages), axes.data
        self.stream, self.chief, self.alone = self.rank, self.position == 0, False
        self.data_group: dist.ProcessGroup | None = None
        self._round = PatientRound(timeout)

    def place(self, network: nn.Module, task: TrainingTask, settings: LoopSettings) -> None:
        """Take a network, the same on every process, to this process's device."""
        self.axes.check_task(task)
        self.axes.check_network(network)
        super().place(self._mine(network), task, settings)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sums over all processes that share a batch, the same on each of them."""
        if self.world > 1:
            dist.all_reduce(values, group=self.data_group)
        if self.axes.tensor > 1:  # each found the same by itself; what is decided by it must be so to the last bit
            dist.broadcast(values, src=0)
        return values

    def together(self, what: Callable[[], T]) -> T:
        """Do something once, on the chief; every process has what came of it, be it an error."""
        return self._round(what if self.chief else _nothing)[0]

    def each(self, what: Callable[[], T]) -> list[T]:
        """Do something on every process, however long it takes one; all have what came of it on each, be it an error."""
        return self._round(what)

    def share_buffers(self) -> None:
        """Processes that share a batch take the buffers of the first of them: each has seen its own rows."""
        if self.world == 1:
            return
        source = 0 if self.data_group is None else dist.get_global_rank(self.data_group, 0)
        for buffer in self.network.buffers():
            here = buffer.to_local() if hasattr(buffer, "to_local") else buffer
            sent = here.detach().to(torch.uint8 if here.dtype == torch.bool else here.dtype).contiguous()
            dist.broadcast(sent, src=source, group=self.data_group)
            here.copy_(sent)

    def whole_state(self) -> dict[str, torch.Tensor]:
        """The network's parameters and buffers by name, whole, on the CPU; empty on processes that are not the chief."""
        whole: dict[str, torch.Tensor] = {}
        for name, value in self.network.state_dict().items():
            gathered = value.full_tensor() if hasattr(value, "full_tensor") else value
            if self.chief:
                whole[name] = gathered.detach().cpu()
        return whole

    def clip(self, parameters: Sequence[nn.Parameter], norm: float | None) -> torch.Tensor:
        """Cut the gradient of all parameters of all processes together at a norm; returns the norm it had."""
        squares = torch.zeros((), device=self.device, dtype=torch.float64)
        gradients = []
        for parameter in parameters:
            if parameter.grad is None:
                continue
            here, holders = self._held(parameter.grad)
            squares += here.square().sum(dtype=torch.float64) / holders
            gradients.append(here)
        dist.all_reduce(squares)
        length = squares.sqrt()
        if norm is not None and gradients:
            factor = torch.clamp(norm / (length + 1e-6), max=1.0).to(gradients[0].dtype)
            torch._foreach_mul_(gradients, factor)
        return length

    def _mine(self, network: nn.Module) -> nn.Module:
        """The part of a network that this process computes."""
        return network

    def _held(self, gradient: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The part of a gradient that is here, and how many processes hold this same part."""
        if not hasattr(gradient, "to_local"):
            return gradient, self.axes.data * self.axes.tensor
        mesh: Any = gradient.device_mesh  # type: ignore[attr-defined]
        same = self.axes.world // mesh.size()
        for dimension, placement in enumerate(gradient.placements):  # type: ignore[attr-defined]
            same *= mesh.size(dimension) if placement.is_replicate() else 1
        return gradient.to_local(), same


def _nothing() -> None:
    """What others do while the chief does something."""
