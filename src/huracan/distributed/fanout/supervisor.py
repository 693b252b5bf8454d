"""The supervisor: hands tasks to workers, ends what takes too long, replaces what dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from huracan.distributed.fanout.crew import Crew, Event, Seen
from huracan.distributed.fanout.ledger import Entry, Ledger
from huracan.distributed.fanout.results import FanoutFailure, FanoutResult
from huracan.distributed.fanout.work import job_bytes, read_reply
from huracan.errors import FanoutError
from huracan.logs import logger

__all__ = ["Supervisor"]

_GLANCE = 0.5
"""Seconds between looks at deadlines while nothing happens."""

_STARTS = 3
"""Workers in a row that may die before they are ready."""


@dataclass
class _Worker:
    label: str = ""
    ready: bool = False
    entry: Entry | None = None
    since: float = 0.0


class Supervisor:
    """Runs the tasks of a ledger with a crew until all are finished.

    Parameters
    ----------
    workers : at most so many at once. timeout : seconds an attempt may take; None for no limit.
    start_timeout : seconds in which the first of the workers that are being started must be ready.
    """

    def __init__(self, crew: Crew, ledger: Ledger, *, workers: int, timeout: float | None, start_timeout: float) -> None:
        self._crew = crew
        self._ledger = ledger
        self._most = workers
        self._timeout = timeout
        self._start_timeout = start_timeout
        self._workers: dict[int, _Worker] = {}
        self._failed_starts = 0
        self._log = logger(stage="fanout")

    def results(self) -> Iterator[FanoutResult]:
        """Every task's result, once, as it comes. The crew is closed at the end, also where the caller stops early."""
        finished: list[FanoutResult] = []
        try:
            while finished or self._ledger.unfinished:
                while len(self._workers) < min(self._most, self._ledger.unfinished):
                    self._workers[self._crew.start()] = _Worker(since=time.monotonic())
                finished += self._hand_out()
                yield from finished  # after handing out: whoever takes results slowly does not hold up the workers
                finished = []
                if not self._ledger.unfinished:
                    break
                finished += filter(None, map(self._book, self._crew.wait(self._patience())))
                finished += self._end_overdue()
                self._require_a_worker()
        finally:
            self._crew.close()

    def _hand_out(self) -> Iterator[FanoutResult]:
        idle = [number for number, worker in self._workers.items() if worker.ready and worker.entry is None]
        for number in idle:
            worker = self._workers[number]
            while worker.entry is None and (entry := self._ledger.take(number)) is not None:
                job = job_bytes(entry.key, entry.task)
                if isinstance(job, FanoutFailure):
                    yield self._ledger.cannot_be_sent(entry, job)
                    continue
                worker.entry, worker.since = entry, time.monotonic()
                self._crew.send(number, job)
        starting = sum(not worker.ready for worker in self._workers.values())
        wanted = max(0, self._ledger.waiting - starting)  # what waits now has failed on every idle worker
        for number in [n for n in idle if self._workers[n].entry is None][:wanted]:
            self._drop(number)

    def _patience(self) -> float:
        if self._timeout is None:
            return _GLANCE
        now = time.monotonic()
        due = [worker.since + self._timeout - now for worker in self._workers.values() if worker.entry is not None]
        return max(0.0, min([_GLANCE, *due]))

    def _book(self, event: Event) -> FanoutResult | None:
        worker = self._workers.get(event.worker)
        if worker is None:
            return None
        if event.seen is Seen.UNUSABLE:
            raise FanoutError(f"workers cannot load the function: {event.data}; it must be importable where they run.")
        if event.seen is Seen.READY:
            worker.ready, worker.label = True, event.data
            self._failed_starts = 0
            return None
        entry, worker.entry = worker.entry, None
        if event.seen is Seen.DIED:
            del self._workers[event.worker]
            return self._bury(worker, entry, event.data)
        if entry is None:
            raise FanoutError(f"worker {worker.label} replied to no task.")
        result = self._ledger.replied(entry, event.worker, read_reply(event.data), worker.label)
        if result is None:
            self._log.warning("task is tried again", task=entry.key, attempts=entry.attempts, worker=worker.label)
        return result

    def _bury(self, worker: _Worker, entry: Entry | None, why: str) -> FanoutResult | None:
        self._log.warning("worker died", worker=worker.label, why=why, task=entry.key if entry else None)
        if entry is not None:
            return self._ledger.worker_died(entry, why, time.monotonic() - worker.since, worker.label)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _STARTS:
                raise FanoutError(f"{_STARTS} workers in a row died before they were ready; the last one {why}.")
        return None

    def _end_overdue(self) -> Iterator[FanoutResult]:
        if self._timeout is None:
            return
        now = time.monotonic()
        for number, worker in list(self._workers.items()):
            if worker.entry is not None and now - worker.since >= self._timeout:
                self._drop(number)
                self._log.warning("task took too long", task=worker.entry.key, limit=self._timeout, worker=worker.label)
                result = self._ledger.overdue(worker.entry, number, self._timeout, worker.label)
                if result is not None:
                    yield result

    def _drop(self, number: int) -> None:
        self._crew.stop(number)
        del self._workers[number]

    def _require_a_worker(self) -> None:
        workers = self._workers.values()
        newest = max((worker.since for worker in workers), default=time.monotonic())
        if not any(worker.ready for worker in workers) and time.monotonic() - newest > self._start_timeout:
            raise FanoutError(
                f"none of {len(workers)} workers was ready within {self._start_timeout:g} s; "
                "are there free cores and memory for them?"
            )
