"""Fully sharded data parallel: each process keeps a part of every parameter, and gathers a block when it computes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard

from huracan.distributed.device_mesh import make_mesh
from huracan.distributed.group_runtime import GroupRuntime
from huracan.distributed.tensor_parallel import divide_matrices, grouped_by_layout
from huracan.training.phases import RowLosses, TrainingTask
from huracan.training.runtime import weighted_sum
from huracan.training.settings import LoopSettings
from huracan.training.windows import Batch

__all__ = ["FullySharded"]


class FullySharded(GroupRuntime):
    """PyTorch's ``fully_shard`` on each block and on the rest; with a tensor axis, matrices are divided before.

    References
    ----------
    Zhao et al. (2023), "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", VLDB;
    Rajbhandari et al. (2020), "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", SC.
    """

    def place(self, network: nn.Module, task: TrainingTask, settings: LoopSettings) -> None:
        """Shard the network in place; names of parameters stay."""
        super().place(network, task, settings)
        mesh = make_mesh(self.axes, self.device, self.timeout)
        if self.axes.strategy == "fsdp2_tp":
            divide_matrices(self.network, mesh["tensor"])
            mesh = mesh["data"]
            self.data_group = mesh.get_group()
        for block in getattr(self.network, "blocks", ()):
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
        # What stays gathered after validation would not see parameters that are swapped for their average.
        fully_shard(self.network, mesh=mesh, reshard_after_forward=True)

    def gradients(
        self, losses: RowLosses, batch: Batch, *, scale: float, generator: torch.Generator, last: bool
    ) -> torch.Tensor:
        """Add the gradient of this process's rows; each process's share is added up with the last piece of a batch."""
        assert isinstance(self.network, FSDPModule)
        self.network.set_requires_gradient_sync(last)
        with self.precision():
            total = weighted_sum(losses(self.network, batch, generator), batch.weight)
        (total * (scale * self.world)).backward()  # processes' gradients are averaged
        return total.detach()

    def optimizer(self, groups: Iterable[dict[str, Any]], *, betas: tuple[float, float]) -> torch.optim.Optimizer:
        """AdamW; parameters that are laid out alike are updated together."""
        return super().optimizer(grouped_by_layout(groups), betas=betas)
