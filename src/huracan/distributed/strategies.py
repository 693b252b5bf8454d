"""Name of a strategy -> the runtime that puts it under the loop."""

from __future__ import annotations

import torch

from huracan.distributed.axes import ParallelAxes
from huracan.distributed.config import DistributedConfig
from huracan.training.runtime import Runtime

__all__ = ["make_runtime"]


def make_runtime(config: DistributedConfig, axes: ParallelAxes, device: torch.device) -> Runtime:
    """The runtime of this process; a process group must have been made for all but ``"none"``."""
    if axes.strategy == "none":
        return Runtime(device)
    if axes.strategy == "ddp":
        from huracan.distributed.data_parallel import DataParallel

        return DataParallel(axes, device, timeout=config.timeout)
    if axes.strategy == "tp":
        from huracan.distributed.tensor_parallel import TensorParallel

        return TensorParallel(axes, device, timeout=config.timeout)
    if axes.strategy == "pp":
        from huracan.distributed.pipeline import Pipeline

        return Pipeline(axes, device, timeout=config.timeout, schedule=config.schedule)
    from huracan.distributed.fully_sharded import FullySharded

    return FullySharded(axes, device, timeout=config.timeout)
