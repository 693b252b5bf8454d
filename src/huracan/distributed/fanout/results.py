"""What becomes of a task: its value, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from huracan.distributed.fanout.tasks import Key
from huracan.errors import FanoutError

__all__ = ["FailureKind", "FanoutFailure", "FanoutResult", "TasksFailed", "require_values"]

_MOST_NAMED = 5


class FailureKind(StrEnum):
    """How a task failed."""

    EXCEPTION = "exception"
    WORKER_DIED = "worker died"
    TIMEOUT = "timeout"
    NOT_SENDABLE = "not sendable"


@dataclass(frozen=True)
class FanoutFailure:
    """Why a task has no value.

    Attributes
    ----------
    kind : see :class:`FailureKind`. message : one sentence, without the task's name.
    error_type : name of the exception's class, with its module unless that is ``builtins``; "" where there was none.
    traceback : as text, from the worker; "" where there was none.
    exception : the exception itself; None where there was none or it cannot leave its process.
    """

    kind: FailureKind
    message: str
    error_type: str = ""
    traceback: str = ""
    exception: Exception | None = None


@dataclass(frozen=True)
class FanoutResult:
    """One finished task.

    Attributes
    ----------
    key : of the task. value : what the function returned; None where it failed.
    failure : None where it did not fail.
    attempts : how often it was begun. seconds : the last attempt took in its worker.
    worker : ``host:process id`` of the last attempt; "" where it never reached one.

    Examples
    --------
    >>> FanoutResult("BTC", value=3, attempts=1).get()
    3
    >>> FanoutResult("BTC", failure=FanoutFailure(FailureKind.TIMEOUT, "took longer than 2 s"), attempts=3).get()
    Traceback (most recent call last):
    ...
    huracan.errors.FanoutError: task 'BTC' took longer than 2 s.
    """

    key: Key
    value: Any = None
    failure: FanoutFailure | None = None
    attempts: int = 0
    seconds: float = 0.0
    worker: str = ""

    @property
    def failed(self) -> bool:
        """Whether there is no value."""
        return self.failure is not None

    def get(self) -> Any:
        """The value, or the failure raised: the task's own exception where there is one, else a ``FanoutError``."""
        if self.failure is None:
            return self.value
        if self.failure.exception is not None:
            raise self.failure.exception
        raise FanoutError(f"task {self.key!r} {self.failure.message}.")


class TasksFailed(FanoutError):
    """Some tasks have no value; ``results`` has what became of every task, by key in task order."""

    def __init__(self, message: str, results: Mapping[Key, FanoutResult]) -> None:
        super().__init__(message)
        self.results = results


def require_values(results: Iterable[FanoutResult]) -> dict[Key, Any]:
    """Key -> value; where tasks failed, one error that names the first of them and carries all results.

    Raises
    ------
    TasksFailed : its cause is the first exception.
    """
    known = {result.key: result for result in results}
    failed = [result for result in known.values() if result.failed]
    if not failed:
        return {key: result.value for key, result in known.items()}
    named = [f"{r.key!r} {r.failure.message}" for r in failed[:_MOST_NAMED] if r.failure is not None]
    more = f"; and {len(failed) - _MOST_NAMED} more" if len(failed) > _MOST_NAMED else ""
    cause = next((r.failure.exception for r in failed if r.failure and r.failure.exception), None)
    raise TasksFailed(f"{len(failed)} of {len(known)} tasks failed: {'; '.join(named)}{more}.", known) from cause
