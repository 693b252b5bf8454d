"""Tensor parallel: matrices of attention and feed-forward blocks are divided, and so is the arithmetic in them.

A block class says which of its linear maps are divided by columns (their outputs are), and which by rows (their inputs
are): ``tensor_parallel = {"up": "columns", "down": "rows"}``. Between the two nothing is exchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from huracan.distributed.axes import declared_parts
from huracan.distributed.device_mesh import make_mesh
from huracan.distributed.group_runtime import GroupRuntime
from huracan.training.phases import TrainingTask
from huracan.training.settings import LoopSettings

__all__ = ["TensorParallel", "divide_matrices", "grouped_by_layout"]


class TensorParallel(GroupRuntime):
    """All processes see the same batch, and share the matrices.

    Dropout of whole vectors draws the same numbers on every process, as it must; dropout inside a divided block draws the
    same numbers for each part of it.

    References
    ----------
    Shoeybi et al. (2019), "Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism",
    arXiv:1909.08053, section 3.
    """

    def place(self, network: nn.Module, task: TrainingTask, settings: LoopSettings) -> None:
        """Divide the matrices."""
        super().place(network, task, settings)
        divide_matrices(self.network, make_mesh(self.axes, self.device, self.timeout))

    def optimizer(self, groups: Iterable[dict[str, Any]], *, betas: tuple[float, float]) -> torch.optim.Optimizer:
        """AdamW; parameters that are laid out alike are updated together."""
        return super().optimizer(grouped_by_layout(groups), betas=betas)


def divide_matrices(network: nn.Module, mesh: DeviceMesh) -> None:
    """Divide what blocks declare over a mesh of one dimension."""
    ways = {"columns": ColwiseParallel, "rows": RowwiseParallel}
    plan = {
        f"{path}.{layer}" if path else layer: ways[way]()
        for path, block in declared_parts(network).items()
        for layer, way in type(block).tensor_parallel.items()  # type: ignore[attr-defined]
    }
    parallelize_module(network, mesh, plan)


def grouped_by_layout(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups of an optimizer, split until the parameters of each lie on the same processes: one kernel takes no mixture."""
    split = []
    for group in groups:
        alike: dict[Any, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            alike.setdefault(getattr(parameter, "device_mesh", None), []).append(parameter)
        split += [{**group, "params": parameters} for parameters in alike.values()]
    return split
