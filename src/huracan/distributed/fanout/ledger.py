"""The ledger: which tasks wait, what each has been through, and which of them are finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from huracan.distributed.fanout.results import FailureKind, FanoutFailure, FanoutResult
from huracan.distributed.fanout.tasks import Key
from huracan.distributed.fanout.work import Reply

__all__ = ["Entry", "Ledger"]


@dataclass(eq=False)
class Entry:
    """A task and its history: attempts begun, attempts that failed, workers that died of it, workers it failed on."""

    key: Key
    task: Any
    attempts: int = 0
    failures: int = 0
    deaths: int = 0
    failed_on: set[int] = field(default_factory=set)


class Ledger:
    """Every task is waiting, running or finished, and finishes once.

    A task that fails goes to the end of the queue and to another worker. A death is charged to the task that ran in the
    worker that died, and to no other. Before a task's last death it is set apart: it runs when all others are finished,
    with nothing beside it, so that memory that others took cannot be what ends it.

    Parameters
    ----------
    tasks : key -> task. retries : attempts after the first that failed. deaths : at which a task is given up.
    """

    def __init__(self, tasks: Mapping[Key, Any], *, retries: int, deaths: int) -> None:
        self.unfinished = len(tasks)
        self._waiting = deque(Entry(key, task) for key, task in tasks.items())
        self._set_apart: deque[Entry] = deque()
        self._running: set[Entry] = set()
        self._retries = retries
        self._deaths = deaths

    def take(self, worker: int) -> Entry | None:
        """The next task for this worker, now running; None where there is none for it."""
        queue = self._set_apart if self._alone_now else self._waiting
        entry = next((e for e in queue if worker not in e.failed_on), None)
        if entry is not None:
            queue.remove(entry)
            entry.attempts += 1
            self._running.add(entry)
        return entry

    @property
    def waiting(self) -> int:
        """Tasks that could begin now, in some worker."""
        return min(1, len(self._set_apart)) if self._alone_now else len(self._waiting)

    @property
    def _alone_now(self) -> bool:
        return not self._waiting and not self._running

    def replied(self, entry: Entry, worker: int, reply: Reply, label: str) -> FanoutResult | None:
        """Book the reply of an attempt; the result where the task is finished with it."""
        if reply.failure is None:
            return self._finish(entry, FanoutResult(entry.key, reply.value, None, entry.attempts, reply.seconds, label))
        return self._failed(entry, worker, reply.failure, reply.seconds, label, again=reply.again)

    def overdue(self, entry: Entry, worker: int, limit: float, label: str) -> FanoutResult | None:
        """Book an attempt that was ended because it took longer than ``limit`` seconds."""
        failure = FanoutFailure(FailureKind.TIMEOUT, f"took longer than {limit:g} s and was ended")
        return self._failed(entry, worker, failure, limit, label, again=True)

    def worker_died(self, entry: Entry, why: str, seconds: float, label: str) -> FanoutResult | None:
        """Book an attempt whose worker died."""
        entry.deaths += 1
        if entry.deaths < self._deaths:
            self._running.discard(entry)
            (self._set_apart if entry.deaths == self._deaths - 1 else self._waiting).append(entry)
            return None
        alone = ", the last time with no other task running" if self._deaths > 1 else ""
        often = f"{entry.deaths} times" if entry.deaths > 1 else "once"
        said = f"ended its worker {often}{alone}, and was given up (the worker {why})"
        failure = FanoutFailure(FailureKind.WORKER_DIED, said)
        return self._finish(entry, FanoutResult(entry.key, None, failure, entry.attempts, seconds, label))

    def cannot_be_sent(self, entry: Entry, failure: FanoutFailure) -> FanoutResult:
        """Book a task that no worker can be given."""
        return self._finish(entry, FanoutResult(entry.key, None, failure, entry.attempts - 1))

    def _failed(
        self, entry: Entry, worker: int, failure: FanoutFailure, seconds: float, label: str, *, again: bool
    ) -> FanoutResult | None:
        entry.failures += 1
        if again and entry.failures <= self._retries:
            entry.failed_on.add(worker)
            self._running.discard(entry)
            self._waiting.append(entry)
            return None
        return self._finish(entry, FanoutResult(entry.key, None, failure, entry.attempts, seconds, label))

    def _finish(self, entry: Entry, result: FanoutResult) -> FanoutResult:
        self._running.discard(entry)
        self.unfinished -= 1
        return result
