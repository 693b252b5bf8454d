"""Two Mechanics started on one database: one works, one waits, and takes over when the first is killed or falls silent."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import Section, markdown_table
from benchmarks.automl_checks.own_postgresql import NoPostgreSQL, new_database, own_postgresql

__all__ = ["Succession", "check", "killed", "paused"]

LEASE, SHORT_LEASE = 60.0, 5.0
_PATIENCE = 90.0
_EPOCH = time.time()


@dataclass(frozen=True)
class Succession:
    """What became of two Mechanics.

    Attributes
    ----------
    place : kind of database. how : what happened to the first. lease : seconds.
    waited : whether the second said that it waits, and did nothing while the first worked. seconds : from the first's end to
        the second's first turn. silent : whether a first that was paused wrote nothing when it woke, and said that it lost.
    """

    place: str
    how: str
    lease: float
    waited: bool
    seconds: float
    silent: bool = True


def killed(place: str, url: str, home: Path) -> Succession:
    """The first is killed with SIGKILL."""
    with _worker(home, url, LEASE) as first, _later(first, home, url, LEASE) as second:
        waited = _waits(second)
        first.process.kill()
        ended = time.time()
        first.process.wait()  # else it would be a zombie, which looks alive
        return Succession(place, "killed", LEASE, waited, second.until("Mechanic '") - ended)


def paused(place: str, url: str, home: Path) -> Succession:
    """The first is stopped with SIGSTOP for longer than its lease, and goes on when the second works."""
    with _worker(home, url, SHORT_LEASE) as first, _later(first, home, url, SHORT_LEASE) as second:
        waited = _waits(second)
        first.process.send_signal(signal.SIGSTOP)
        ended = time.time()
        seconds = second.until("Mechanic '") - ended
        first.process.send_signal(signal.SIGCONT)
        said = first.until("this process is not Mechanic")
        return Succession(place, "paused", SHORT_LEASE, waited, seconds, silent=said > 0.0)


def check() -> Section:
    """Both ends on both kinds of database."""
    found: list[Succession] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {"SQLite": lambda name: f"sqlite:///{folder / name}.db"}
        with suppress(NoPostgreSQL):
            server = stack.enter_context(own_postgresql())
            urls["PostgreSQL"] = lambda name: new_database(server)
        for place, url in urls.items():
            for end in (killed, paused):
                name = f"{place}-{end.__name__}"
                found.append(end(place, url(name), folder / name))
    short = []
    for one in found:
        what = f"{one.place}, {one.how}"
        if not one.waited:
            short.append(f"{what}: the second did not wait")
        if not one.seconds <= one.lease + 2.0:  # its next look, a fifth of the lease later at most, and its first turn
            short.append(f"{what}: taken over after {one.seconds:.1f} s, the lease is {one.lease:g} s")
        if not one.silent:
            short.append(f"{what}: the first did not see that it had lost")
    said = {True: "yes", False: "no"}
    rows = [
        (one.place, one.how, f"{one.lease:g} s", said[one.waited], f"{one.seconds:.1f} s", said[one.silent]) for one in found
    ]
    header = ("database", "the first was", "lease", "the second waited", "took over after", "the first wrote nothing more")
    text = (
        "Both are processes of one host. Of one that is dead the other sees it at its next look, a fifth of a lease later; one "
        "that is only silent has the rest of its lease.\n\n"
    )
    return Section("Two Mechanics on one database", text + markdown_table(header, rows), tuple(short))


class _Worker:
    """A Mechanic as a process, and what it says."""

    def __init__(self, home: Path, url: str, lease: float) -> None:
        command = [sys.executable, "-m", "benchmarks.mechanic_checks.worker", str(home), url, str(lease), str(_EPOCH)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        self._said: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def until(self, begin: str) -> float:
        """Time of the first sentence that begins so."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            with suppress(queue.Empty):
                line = self._said.get(timeout=0.2)
                if line is None:
                    raise AssertionError(f"a Mechanic ended before it said '{begin}'.")
                at, _, sentence = line.partition(" ")
                if sentence.startswith(begin):
                    return float(at)
        raise AssertionError(f"no Mechanic said '{begin}' within {_PATIENCE:g} s.")

    def quiet_for(self, seconds: float) -> bool:
        """Whether nothing is said meanwhile."""
        time.sleep(seconds)
        return self._said.empty()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(line.rstrip("\n"))
        self._said.put(None)


@contextmanager
def _worker(home: Path, url: str, lease: float) -> Iterator[_Worker]:
    worker = _Worker(home, url, lease)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()


@contextmanager
def _later(first: _Worker, home: Path, url: str, lease: float) -> Iterator[_Worker]:
    """Another one, when the first works."""
    first.until("Mechanic '")
    with _worker(home, url, lease) as second:
        yield second


def _waits(second: _Worker) -> bool:
    second.until("waiting: process ")
    return second.quiet_for(2.0)
