"""Many devices and many tasks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huracan.distributed.config import DistributedConfig
    from huracan.distributed.distributed_trainer import DistributedTrainer

_HOMES = {
    "DistributedConfig": "config",
    "DistributedTrainer": "distributed_trainer",
}

__all__ = ["DistributedConfig", "DistributedTrainer"]


def __getattr__(name: str) -> Any:  # torch takes seconds to import; only who trains pays for it
    if name in _HOMES:
        return getattr(import_module(f"huracan.distributed.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'huracan.distributed' has no attribute '{name}'")
