"""Fan-out: one function over many symbols or trials, on the cores of this machine or on a Ray cluster.

``executor`` is what users call. ``supervisor`` hands tasks to the workers of a ``crew`` (``processes`` or ``ray_cluster``)
and heals it, ``ledger`` knows what became of every task, ``work`` is what happens inside a worker.
"""

from huracan.distributed.fanout.executor import FanoutExecutor
from huracan.distributed.fanout.results import FailureKind, FanoutFailure, FanoutResult, TasksFailed

__all__ = ["FailureKind", "FanoutExecutor", "FanoutFailure", "FanoutResult", "TasksFailed"]
