"""Many cores, GPUs and machines: one model on several of them, or many symbols and trials beside each other.

Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huracan.distributed.fanout import FanoutExecutor, FanoutFailure, FanoutResult, TasksFailed

_HOME = {
    "FanoutExecutor": "fanout",
    "FanoutFailure": "fanout",
    "FanoutResult": "fanout",
    "TasksFailed": "fanout",
}

__all__ = ["FanoutExecutor", "FanoutFailure", "FanoutResult", "TasksFailed"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
