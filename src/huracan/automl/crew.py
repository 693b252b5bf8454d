"""Workers that fit folds: processes that can be ended at a deadline, or this process where nothing needs an end."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

from huracan.automl.fold_work import FoldAnswer, FoldTask, work
from huracan.automl.study_rows import StudyRows
from huracan.distributed.fanout.crew import Order, Seen
from huracan.distributed.fanout.processes import ProcessCrew
from huracan.distributed.fanout.work import job_bytes, pickled_function, read_reply
from huracan.errors import FanoutError, HuracanError
from huracan.logs import logger

__all__ = ["Done", "FoldCrew", "ProcessFolds", "SameProcess"]

_GLANCE = 0.2
_STARTS = 3


@dataclass(frozen=True)
class Done:
    """A task that ended: its answer, or why there is none.

    Attributes
    ----------
    overdue : what it ran into: its own "limit", or the "deadline" of all; "" where it ended by itself.
    """

    task: FoldTask
    answer: FoldAnswer | None
    reason: str = ""
    overdue: Literal["", "limit", "deadline"] = ""


class FoldCrew(Protocol):
    """Fits folds; tasks given wait until a worker is free."""

    @property
    def size(self) -> int:
        """Workers that fit at once."""

    @property
    def idle(self) -> int:
        """Workers with nothing to do."""

    def give(self, task: FoldTask, *, deadline: float | None = None, limit: float | None = None) -> None:
        """Give a task; it is ended where it is not done by ``deadline`` (monotonic seconds), or takes ``limit`` seconds."""

    def wait(self, until: float | None = None) -> list[Done]:
        """Tasks that ended; returns at the latest at ``until``."""

    def cancel(self) -> None:
        """End all tasks; nothing is heard of them any more."""

    def close(self) -> None:
        """End all workers."""


class SameProcess:
    """One task after the other, in this process; deadlines are not kept."""

    def __init__(self, study: StudyRows) -> None:
        self._study = study
        self._tasks: deque[FoldTask] = deque()

    @property
    def size(self) -> int:
        return 1

    @property
    def idle(self) -> int:
        return 1 - len(self._tasks)

    def give(self, task: FoldTask, *, deadline: float | None = None, limit: float | None = None) -> None:
        self._tasks.append(task)

    def wait(self, until: float | None = None) -> list[Done]:
        if not self._tasks:
            return []
        task = self._tasks.popleft()
        try:
            return [Done(task, work(task, self._study))]
        except HuracanError as error:
            return [Done(task, None, str(error))]
        except Exception as error:  # noqa: BLE001 - a learner of somebody else's may raise anything
            return [Done(task, None, f"{type(error).__name__}: {error}")]

    def cancel(self) -> None:
        self._tasks.clear()

    def close(self) -> None:
        self.cancel()


@dataclass
class _Worker:
    task: FoldTask | None = None
    deadline: float | None = None
    limited: bool = False
    ready: bool = False


class ProcessFolds:
    """Worker processes that share the study's rows; one that runs past its deadline is ended.

    One more than work at once is kept ready to take the place of one that was ended: a process takes seconds to start, and at
    the end of a search there are none left.
    """

    def __init__(self, study: StudyRows, n_workers: int, *, threads: int = 1) -> None:
        order = Order(pickled_function(work), frozenset({"shared"}), study, 0, threads)
        self._crew = ProcessCrew(order)
        self._most = n_workers
        self._waiting: deque[tuple[FoldTask, float | None, float | None]] = deque()
        self._workers: dict[int, _Worker] = {}
        self._failed_starts = 0
        for _ in range(n_workers):
            self._workers[self._crew.start()] = _Worker()

    @property
    def size(self) -> int:
        return self._most

    @property
    def idle(self) -> int:
        return self._most - len(self._waiting) - sum(worker.task is not None for worker in self._workers.values())

    def give(self, task: FoldTask, *, deadline: float | None = None, limit: float | None = None) -> None:
        self._waiting.append((task, deadline, limit))
        self._hand_out()

    def wait(self, until: float | None = None) -> list[Done]:
        done: list[Done] = []
        while not done and (self._waiting or any(worker.task for worker in self._workers.values())):
            now = time.monotonic()
            if until is not None and now >= until:
                break
            ends = [end for end in (until, *(worker.deadline for worker in self._workers.values())) if end is not None]
            for event in self._crew.wait(max(0.0, min([_GLANCE, *(end - now for end in ends)]))):
                done += self._book(event.worker, event.seen, event.data)
            done += self._end_overdue()
            self._hand_out()
        return done

    def cancel(self) -> None:
        self._waiting.clear()
        for number in [number for number, worker in self._workers.items() if worker.task is not None]:
            self._end(number)
        self._hand_out()

    def close(self) -> None:
        self._crew.close()

    def _end(self, number: int) -> None:
        self._crew.stop(number)
        del self._workers[number]

    def _hand_out(self) -> None:
        ready = sum(worker.ready for worker in self._workers.values())
        while len(self._workers) < self._most + (ready >= self._most):
            self._workers[self._crew.start()] = _Worker()
        busy = sum(worker.task is not None for worker in self._workers.values())
        for number, worker in self._workers.items():
            if worker.ready and worker.task is None and self._waiting and busy < self._most:
                busy += 1
                worker.task, deadline, limit = self._waiting.popleft()
                own = None if limit is None else time.monotonic() + limit
                worker.deadline = min((end for end in (deadline, own) if end is not None), default=None)
                worker.limited = own is not None and own == worker.deadline
                job = job_bytes(worker.task.trial, worker.task)
                if not isinstance(job, bytes):
                    raise FanoutError(f"a trial of {worker.task.learner} {job.message}.")
                self._crew.send(number, job)

    def _book(self, number: int, seen: Seen, data: object) -> list[Done]:
        worker = self._workers.get(number)
        if worker is None:
            return []
        if seen is Seen.UNUSABLE:
            raise FanoutError(f"workers of the search cannot start: {data}.")
        if seen is Seen.READY:
            worker.ready, self._failed_starts = True, 0
            return []
        task, worker.task, worker.deadline = worker.task, None, None
        if seen is Seen.DIED:
            del self._workers[number]
            logger().warning("a worker of the search died", why=data, learner=task.learner if task else None)
            if task is None:
                self._failed_starts += 1
                if self._failed_starts >= _STARTS:
                    raise FanoutError(f"{_STARTS} workers of the search in a row died before they were ready: {data}.")
                return []
            return [Done(task, None, f"its worker {data}")]
        assert task is not None
        assert isinstance(data, bytes)
        reply = read_reply(data)
        if reply.failure is None:
            return [Done(task, reply.value)]
        error = reply.failure.exception
        return [Done(task, None, str(error) if isinstance(error, HuracanError) else reply.failure.message)]

    def _end_overdue(self) -> list[Done]:
        now, ended = time.monotonic(), []
        for number, worker in list(self._workers.items()):
            if worker.task is not None and worker.deadline is not None and now >= worker.deadline:
                self._end(number)
                said = f"{worker.task.learner} took longer than its time and was ended"
                ended.append(Done(worker.task, None, said, "limit" if worker.limited else "deadline"))
        late = [task for task, deadline, _ in self._waiting if deadline is not None and now >= deadline]
        self._waiting = deque(item for item in self._waiting if item[0] not in late)
        return ended + [Done(task, None, "had no time left to begin", "deadline") for task in late]
