"""No workers: every task is done here, one after the other. For debugging, and as what the other backends must equal."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from threadpoolctl import threadpool_limits

from huracan.distributed.fanout.results import FanoutResult
from huracan.distributed.fanout.shared import read_only
from huracan.distributed.fanout.tasks import Key
from huracan.distributed.fanout.work import call, described

__all__ = ["inline_results"]


def inline_results(
    function: Callable[..., Any],
    tasks: Mapping[Key, Any],
    *,
    asked: frozenset[str],
    shared: Any,
    seed: int,
    retries: int,
    threads: int | None,
) -> Iterator[FanoutResult]:
    """The results in the order of the tasks. An exception that is no ``Exception`` (Ctrl-C) is not caught."""
    seen = None if shared is None else read_only(shared)
    label = f"{socket.gethostname()}:{os.getpid()}"
    for key, task in tasks.items():
        for attempt in range(1, retries + 2):
            started = time.perf_counter()
            value, failure = None, None
            try:
                with threadpool_limits(threads):
                    value = call(function, task, key=key, seed=seed, shared=seen, asked=asked)
            except Exception as error:  # noqa: BLE001 - what a task raises is its result
                failure = described(error)
            seconds = time.perf_counter() - started
            if failure is None or attempt > retries:
                yield FanoutResult(key, value, failure, attempt, seconds, label)
                break
