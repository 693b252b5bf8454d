"""A crew of processes on this machine.

Every worker is a fresh interpreter with a socket of its own, so that it is always known which task a dead worker had, and a
dead worker breaks nothing but itself. The main module is not run again in it: functions of ``__main__`` travel as they are.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

from huracan.distributed.fanout import shared as shared_memory
from huracan.distributed.fanout.crew import Event, Order, Seen, worker_environment
from huracan.errors import FanoutError

__all__ = ["ProcessCrew"]

_PROGRAM = Path(__file__).with_name("worker.py")
_HOST = socket.gethostname()
_FAREWELL = 2.0
"""Seconds an idle worker has to leave by itself."""


class ProcessCrew:
    """See :class:`~huracan.distributed.fanout.crew.Crew`.

    One thread a worker sends it a job and waits for the reply, so that large ones do not hold up the others. The socket's end
    is how a death is seen: whatever the worker had sent before is read first.
    """

    def __init__(self, order: Order) -> None:
        self._environment = {**os.environ, **worker_environment(order.threads)}
        self._file: IO[bytes] | None = None
        layout = None
        if order.shared is not None:
            layout, self._file = shared_memory.place(order.shared)
        descriptor = self._file.fileno() if self._file is not None else None
        self._start = pickle.dumps((layout, descriptor, replace(order, shared=None)))
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._members: dict[int, _Member] = {}
        self._started = 0

    def start(self) -> int:
        self._started += 1
        inherited = [self._file.fileno()] if self._file is not None else []
        member = _Member(self._started, self._environment, inherited, self._events)
        self._members[self._started] = member
        member.begin(self._start)
        return self._started

    def send(self, worker: int, job: bytes) -> None:
        self._members[worker].give(job)

    def wait(self, seconds: float) -> list[Event]:
        events = []
        try:
            events.append(self._events.get(timeout=seconds))
            while True:
                events.append(self._events.get_nowait())
        except queue.Empty:
            pass
        for member in self._members.values():
            member.look()
        return [self._explained(event) for event in events if event.worker in self._members]

    def stop(self, worker: int) -> None:
        self._members.pop(worker).kill()

    def close(self) -> None:
        members = list(self._members.values())
        for member in members:
            member.dismiss()
        deadline = time.monotonic() + _FAREWELL
        for member in members:
            member.kill(after=deadline)
        self._members.clear()
        if self._file is not None:
            self._file.close()

    def _explained(self, event: Event) -> Event:
        if event.seen is not Seen.DIED:
            return event
        code = self._members.pop(event.worker).kill()
        return Event(event.worker, Seen.DIED, _what_happened(code))


class _Member:
    """One worker process, its socket and the thread that talks to it."""

    def __init__(
        self, number: int, environment: dict[str, str], inherited: list[int], events: queue.SimpleQueue[Event]
    ) -> None:
        self._jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._number = number
        self._events = events
        self._asked, self._answered = 1, 0  # each counted by one thread; the start is the first thing asked
        mine, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno(), *inherited],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C of a terminal reaches this process alone, which then ends the workers
            )
        except OSError as error:
            mine.close()
            raise FanoutError(f"a worker process could not be started: {error}") from error
        finally:
            theirs.close()
        self._connection = Connection(mine.detach())

    @property
    def _busy(self) -> bool:
        return self._asked > self._answered

    def give(self, job: bytes) -> None:
        self._asked += 1
        self._jobs.put(job)

    def begin(self, start: bytes) -> None:
        threading.Thread(target=self._talk, args=(start,), daemon=True, name=f"fanout worker {self._number}").start()

    def _talk(self, start: bytes) -> None:
        try:
            self._connection.send_bytes(pickle.dumps(sys.path))
            self._connection.send_bytes(start)
            problem = pickle.loads(self._connection.recv_bytes())  # noqa: S301 - from our own worker
            self._tell(Seen.UNUSABLE, problem) if problem else self._tell(Seen.READY, f"{_HOST}:{self._process.pid}")
            self._answered += 1
            while job := self._jobs.get():
                self._connection.send_bytes(job)
                del job
                reply = self._connection.recv_bytes()
                self._tell(Seen.REPLIED, reply)
                del reply
                self._answered += 1
            self._connection.send_bytes(b"")
        except (EOFError, OSError):
            self._tell(Seen.DIED)
        finally:
            self._connection.close()

    def _tell(self, seen: Seen, data: object = None) -> None:
        self._events.put(Event(self._number, seen, data))

    def dismiss(self) -> None:
        """Let an idle worker leave by itself, a busy one not."""
        if self._busy:
            self._kill_group()
        else:
            self._jobs.put(b"")

    def look(self) -> None:
        """See whether the process is dead. Children of it may hold its socket open: they are ended with it."""
        if self._process.poll() is not None:
            self._kill_group()
            if not self._busy:  # then nobody reads the socket
                self._tell(Seen.DIED)

    def kill(self, after: float = 0.0) -> int:
        """End the process and its children; its exit code. It may leave by itself until ``after`` (monotonic time)."""
        self._jobs.put(b"")
        patience = after - time.monotonic()
        if patience > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        self._kill_group()
        return self._process.wait()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _what_happened(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed by SIGKILL, as happens to processes when memory runs out"
    if code < 0:
        return f"was ended by signal {-code} ({signal.strsignal(-code)})"
    return f"exited with code {code}"
