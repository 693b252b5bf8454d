"""Fan-out: one function over many symbols or trials, on the cores of this machine or on a Ray cluster.

``executor`` is what users call. ``supervisor`` hands tasks to the workers of a ``crew`` (``processes`` or ``ray_cluster``)
and heals it, ``ledger`` knows what became of every task, ``work`` is what happens inside a worker. Names are loaded when
they are first used, so that a worker starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huracan.distributed.fanout.executor import FanoutExecutor
    from huracan.distributed.fanout.results import FailureKind, FanoutFailure, FanoutResult, TasksFailed

_HOME = {
    "FailureKind": "results",
    "FanoutExecutor": "executor",
    "FanoutFailure": "results",
    "FanoutResult": "results",
    "TasksFailed": "results",
}

__all__ = ["FailureKind", "FanoutExecutor", "FanoutFailure", "FanoutResult", "TasksFailed"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
