"""What happens inside a worker: jobs come as bytes, replies go as bytes, whatever carries them."""

from __future__ import annotations

import pickle
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cloudpickle

from huracan.distributed.fanout.results import FailureKind, FanoutFailure
from huracan.distributed.fanout.tasks import Key, named, task_seed
from huracan.errors import FanoutError

__all__ = ["Reply", "Work", "call", "described", "job_bytes", "pickled_function", "read_reply"]


@dataclass(frozen=True)
class Reply:
    """What came of one attempt; ``again`` says whether another may go better."""

    value: Any
    failure: FanoutFailure | None
    seconds: float
    again: bool = False


class Work:
    """The function and what it shares, in a worker.

    Parameters
    ----------
    function : pickled. shared : already readable. asked : which of ``seed`` and ``shared`` the function takes.
    seed : of the executor.
    """

    def __init__(self, function: bytes, shared: Any, asked: frozenset[str], seed: int) -> None:
        self._function: Callable[..., Any] = pickle.loads(function)  # noqa: S301 - from the process that started this one
        self._shared = shared
        self._asked = asked
        self._seed = seed

    def perform(self, job: bytes) -> bytes:
        """Do one job; an exception becomes part of the reply."""
        started = time.perf_counter()
        key: Key | None = None
        try:
            key, task = pickle.loads(job)  # noqa: S301
            value = call(self._function, task, key=key, seed=self._seed, shared=self._shared, asked=self._asked)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a task must not end the worker
            failure = described(error)
            return pickle.dumps((b"", _sendable(failure), time.perf_counter() - started, True))
        seconds = time.perf_counter() - started
        try:
            return pickle.dumps((cloudpickle.dumps(value, protocol=5), None, seconds, False), protocol=5)
        except Exception as error:  # noqa: BLE001 - whatever a type's own pickling raises
            kind = type(value).__name__
            failure = FanoutFailure(
                FailureKind.NOT_SENDABLE,
                f"returned a '{kind}', which cannot be pickled and sent back ({error})",
                _type_name(error),
            )
            return pickle.dumps((b"", (failure, b""), seconds, False))


def call(function: Callable[..., Any], task: Any, *, key: Key, seed: int, shared: Any, asked: frozenset[str]) -> Any:
    """Call the function with the task and with what it asks for."""
    extra: dict[str, Any] = {}
    if "seed" in asked:
        extra["seed"] = task_seed(seed, key)
    if "shared" in asked:
        extra["shared"] = shared
    return function(task, **extra)


def described(error: BaseException) -> FanoutFailure:
    """An exception raised by a task as a failure, its traceback as text without this package's own frames."""
    inside = error.__traceback__
    while inside is not None and inside.tb_frame.f_globals.get("__name__", "").startswith("huracan.distributed.fanout."):
        inside = inside.tb_next
    text = "".join(traceback.format_exception(type(error), error, inside))
    said = f"raised {_type_name(error)}: {error}" if str(error) else f"raised {_type_name(error)}"
    own = error if isinstance(error, Exception) else None
    return FanoutFailure(FailureKind.EXCEPTION, said, _type_name(error), text, own)


def pickled_function(function: Callable[..., Any]) -> bytes:
    """The function as bytes; one of ``__main__``, a notebook or a module that cannot be imported travels whole.

    Raises
    ------
    FanoutError : it, or something it refers to, cannot be pickled.
    """
    try:
        with _whole_where_not_importable(getattr(function, "__module__", None)):
            return cloudpickle.dumps(function)
    except Exception as error:
        raise FanoutError(
            f"{named(function)} cannot be pickled and sent to a worker ({error}); open files, locks and connections inside it."
        ) from error


def job_bytes(key: Key, task: Any) -> bytes | FanoutFailure:
    """The job as bytes, or why it cannot be sent."""
    try:
        return cloudpickle.dumps((key, task), protocol=5)
    except Exception as error:  # noqa: BLE001 - whatever a type's own pickling raises
        said = f"is given a '{type(task).__name__}', which cannot be pickled and sent to a worker ({error})"
        return FanoutFailure(FailureKind.NOT_SENDABLE, said, _type_name(error))


def read_reply(reply: bytes) -> Reply:
    """What :meth:`Work.perform` wrote."""
    value, failed, seconds, again = pickle.loads(reply)  # noqa: S301 - from our own worker
    if failed is not None:
        return Reply(None, _with_exception(*failed), seconds, again)
    try:
        return Reply(pickle.loads(value), None, seconds)  # noqa: S301
    except Exception as error:  # noqa: BLE001 - whatever a type's own unpickling raises
        said = f"returned what cannot be unpickled here ({error})"
        return Reply(None, FanoutFailure(FailureKind.NOT_SENDABLE, said, _type_name(error)), seconds)


@contextmanager
def _whole_where_not_importable(module: str | None) -> Iterator[None]:
    """Let what a module defines travel whole, where a worker would look for the module in vain (it was loaded by its path)."""
    loaded = sys.modules.get(module or "__main__")
    top = (module or "__main__").partition(".")[0]
    if loaded is None or top == "__main__" or any(finder.find_spec(top, None) for finder in sys.meta_path):
        yield
        return
    cloudpickle.register_pickle_by_value(loaded)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(loaded)


def _sendable(failure: FanoutFailure) -> tuple[FanoutFailure, bytes]:
    """The failure and, apart from it, its exception as bytes: none where it does not survive the journey."""
    bare = FanoutFailure(failure.kind, failure.message, failure.error_type, failure.traceback)
    try:
        return bare, cloudpickle.dumps(failure.exception)
    except Exception:  # noqa: BLE001 - the failure then has type, message and traceback, but no exception object
        return bare, b""


def _with_exception(failure: FanoutFailure, exception: bytes) -> FanoutFailure:
    try:
        own = pickle.loads(exception) if exception else None  # noqa: S301
    except Exception:  # noqa: BLE001 - an exception whose constructor wants more than its message
        own = None
    if isinstance(own, Exception) and _type_name(own) == failure.error_type:
        own.add_note(f"in its worker:\n{failure.traceback}")
        return FanoutFailure(failure.kind, failure.message, failure.error_type, failure.traceback, own)
    return failure


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
