"""Processes as PyTorch's device mesh, whose exchanges keep the time limit they were given."""

from __future__ import annotations

from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from huracan.distributed.axes import ParallelAxes

__all__ = ["make_mesh"]


def make_mesh(axes: ParallelAxes, device: torch.device, timeout: float) -> DeviceMesh:
    """A mesh of two dimensions, ``data`` and ``tensor``, for ``"fsdp2_tp"``, else of the one that there is."""
    if axes.strategy != "fsdp2_tp":
        everyone = dist.group.WORLD
        assert everyone is not None
        return DeviceMesh.from_group(everyone, device.type, mesh_dim_names=("tensor" if axes.strategy == "tp" else "data",))
    grid = torch.arange(axes.world).view(axes.data, axes.tensor)
    limit = timedelta(seconds=timeout)
    data, _ = dist.new_subgroups_by_enumeration(grid.T.tolist(), timeout=limit)
    tensor, _ = dist.new_subgroups_by_enumeration(grid.tolist(), timeout=limit)
    return DeviceMesh.from_group([data, tensor], device.type, mesh=grid, mesh_dim_names=("data", "tensor"))
