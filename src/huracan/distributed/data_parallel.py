"""Data parallel: every process has the whole network and computes a part of each batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from huracan.distributed.group_runtime import GroupRuntime
from huracan.training.phases import RowLosses, TrainingTask
from huracan.training.runtime import Runtime, weighted_sum
from huracan.training.settings import LoopSettings
from huracan.training.windows import Batch

__all__ = ["DataParallel"]


class DataParallel(GroupRuntime):
    """PyTorch's ``DistributedDataParallel`` under the loop.

    The loop divides each loss by the weight of the whole batch, and DDP takes the mean over processes; losses are therefore
    taken times the number of processes, and the gradient is that of one process, however rows and weights are divided.

    References
    ----------
    Li et al. (2020), "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB.
    """

    def place(self, network: nn.Module, task: TrainingTask, settings: LoopSettings) -> None:
        """Wrap the network; parameters and their names stay those of the network itself."""
        super().place(network, task, settings)
        self._wrapped = DistributedDataParallel(
            self.network,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )
        self._settled = False

    def gradients(
        self, losses: RowLosses, batch: Batch, *, scale: float, generator: torch.Generator, last: bool
    ) -> torch.Tensor:
        """Add the gradient of this process's rows; with the last piece of a batch, make it the whole batch's everywhere."""
        if not self._settled:
            self._settle(losses, batch, generator)
        with nullcontext() if last else self._wrapped.no_sync():
            with self.precision():
                total = weighted_sum(losses(self._wrapped, batch, generator), batch.weight)
            (total * (scale * self.world)).backward()
        return total.detach()

    def clip(self, parameters: Sequence[nn.Parameter], norm: float | None) -> torch.Tensor:
        """Gradients are the same everywhere, so each process finds the same norm by itself."""
        return Runtime.clip(self, parameters, norm)

    def _settle(self, losses: RowLosses, batch: Batch, generator: torch.Generator) -> None:
        """DDP orders its buckets by what its first pass saw, and sums of floats depend on where in a bucket they stand.

        Passes of weight 0 (the second takes over the order seen in the first) leave nothing but that order, so that a
        training that goes on from a checkpoint adds up as one that was never stopped.
        """
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        stream = generator.get_state()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            for _ in range(2):
                weighted_sum(losses(self._wrapped, batch, generator) * 0.0, batch.weight).backward()
        self._settled = True
        generator.set_state(stream)
        for buffer, before in zip(self.network.buffers(), buffers, strict=True):
            buffer.copy_(before)
        for parameter in self.network.parameters():
            parameter.grad = None
