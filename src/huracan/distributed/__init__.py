"""Many cores, GPUs and machines: one model on several of them, or many symbols and trials beside each other.

Names are loaded when they are first used: torch takes seconds to import, and only who trains pays for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huracan.distributed.config import DistributedConfig
    from huracan.distributed.distributed_trainer import DistributedTrainer
    from huracan.distributed.fanout import FanoutExecutor, FanoutFailure, FanoutResult, TasksFailed

_HOMES = {
    "DistributedConfig": "config",
    "DistributedTrainer": "distributed_trainer",
    "FanoutExecutor": "fanout",
    "FanoutFailure": "fanout",
    "FanoutResult": "fanout",
    "TasksFailed": "fanout",
}

__all__ = ["DistributedConfig", "DistributedTrainer", "FanoutExecutor", "FanoutFailure", "FanoutResult", "TasksFailed"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
