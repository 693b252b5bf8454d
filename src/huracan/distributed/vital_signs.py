"""What processes let each other know while they train, so that all end together and the missing one has a name."""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch.distributed as dist

from huracan import errors
from huracan.distributed.orphans import is_orphan
from huracan.distributed.placement import Placement
from huracan.distributed.run_home import RunHome, put_quickly, read_quickly
from huracan.errors import HuracanError, ModelError, StorageError, WorkerError
from huracan.training.out_of_memory import is_out_of_memory

__all__ = ["VitalSigns", "error_of"]

_BEAT = 0.5
_GRACE = 3.0


class VitalSigns:
    """A thread of each process that tells its step twice a second, and looks whether another process has failed.

    Parameters
    ----------
    home : folder that all processes share. placement : of this process.
    exit_code : of this process, where another one fails and this one hangs waiting for it.
    launcher : the process that started this one, has the folder and has begun the run; this one ends with it. None where there
        is none: nothing is written or heeded before :meth:`begin`, since the folder may be somebody else's.
    """

    def __init__(self, home: RunHome, placement: Placement, *, exit_code: int, launcher: int | None = None) -> None:
        self.home, self.placement, self.exit_code, self.launcher = home, placement, exit_code, launcher
        self.run: str | None = None
        self.step: Callable[[], int] = lambda: 0
        self.resumed_from: int | None = None
        self._waited_in_vain = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="vital signs", daemon=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within, this process is heard of, and what ends it is told to the others and raised as one sentence.

        Raises
        ------
        HuracanError : this process's own failure, or the one of another process that brought it down.
        """
        if self.launcher is not None:
            self.begin(self.home.run())
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise self._explained(error) from error
        finally:
            self._over.set()
            if self._thread.is_alive():
                self._thread.join(_GRACE)

    def begin(self, run: str | None) -> None:
        """From now on the folder is this run's: tell the other processes, and listen to those of the same run."""
        self.run = run
        self._thread.start()

    def _explained(self, error: BaseException) -> HuracanError:
        if isinstance(error, WorkerError):
            return self._noted(error, lasting=False)
        if _is_lost_contact(error):
            self._waited_in_vain = True
            if self.run is None:
                return WorkerError(self._lost_contact(error))
            self._tell()
            deadline = time.monotonic() + _GRACE
            while time.monotonic() < deadline:  # others may have said why they left, or find that they wait in vain too
                other = self.home.failure(self.run)
                if other is not None and other["lasting"]:
                    return error_of(other)
                time.sleep(0.1)
            sentence = self._who_is_missing(error)
            return self._noted(WorkerError(sentence), lasting=False)
        known = error if isinstance(error, HuracanError) else ModelError(self._sentence(error))
        return self._noted(known, lasting=True)

    def _sentence(self, error: BaseException) -> str:
        where = f"process {self.placement.rank} of {self.placement.world}"
        if is_out_of_memory(error):
            return f"{where} ran out of memory at step {self.step() + 1}: lower batch_size, or raise accumulate."
        said = " ".join(str(error).split())[:300]
        return f"{where} failed at step {self.step() + 1}: {type(error).__name__}: {said}"

    def _who_is_missing(self, error: BaseException) -> str:
        others = [rank for rank in range(self.placement.world) if rank != self.placement.rank]
        told = {rank: read_quickly(self.home.processes / f"{rank}.json") for rank in others}
        told = {rank: note if note is not None and note.get("run") == self.run else None for rank, note in told.items()}
        silent = {rank: note for rank, note in told.items() if note is None or not note["waited_in_vain"]}
        if not silent:
            return self._lost_contact(error)
        return "; ".join(self._last_words(rank, note) for rank, note in silent.items()) + f" ({_reason(error)})"

    def _lost_contact(self, error: BaseException) -> str:
        return f"processes lost contact with each other at step {self.step() + 1}: {_reason(error)}"

    def _last_words(self, rank: int, note: dict[str, Any] | None) -> str:
        name = f"process {rank} of {self.placement.world}"
        if note is None:
            return f"{name} was never heard of"
        ago, where = max(0.0, time.time() - note["time"]), f"{note['host']}, pid {note['pid']}"
        return f"{name} ({where}) does not answer at step {note['step'] + 1}, last heard of {ago:.0f} s ago"

    def _noted(self, error: HuracanError, *, lasting: bool) -> HuracanError:
        if self.run is not None:
            said = {"kind": type(error).__name__, "sentence": str(error), "lasting": lasting}
            self.home.note_failure(self.placement.rank, {"run": self.run, "time": time.time(), **said})
        return error

    def _beat(self) -> None:
        while not self._over.wait(_BEAT):
            if self.launcher is not None and is_orphan(self.launcher):
                os._exit(1)  # Linux has killed it before; elsewhere somebody has to look
            self._tell()
            if self.placement.world == 1:
                continue  # nobody else to fail, and this process may be the user's own
            failed = self.home.failure(self.run)
            if failed is None or not failed["lasting"] or self._over.wait(_GRACE):
                continue
            print(f"huracan: {failed['sentence']}", file=sys.stderr, flush=True)
            os._exit(self.exit_code)  # the main thread waits for a process that is gone

    def _tell(self) -> None:
        note = {
            "run": self.run,
            "step": self.step(),
            "resumed_from": self.resumed_from,
            "time": time.time(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "restarts": self.placement.restarts,
            "waited_in_vain": self._waited_in_vain,
        }
        with suppress(StorageError):  # on a full disk training goes on, until a checkpoint says so
            put_quickly(self.home.processes / f"{self.placement.rank}.json", note)


def error_of(note: Mapping[str, Any]) -> HuracanError:
    """The error that a process noted."""
    kind = getattr(errors, note["kind"], ModelError)
    return kind(note["sentence"])


def _reason(error: BaseException) -> str:
    """What PyTorch says, without the place in its source."""
    return re.sub(r"\[[^]]*\] ", "", " ".join(str(error).split()))[:160]


def _is_lost_contact(error: BaseException) -> bool:
    """Whether an exchange between processes failed, which a new start may cure."""
    reasons = [reason for reason, _ in getattr(error, "failures", {}).values()] or [error]
    lost = (dist.DistBackendError, dist.DistNetworkError, dist.DistStoreError)
    return any(isinstance(r, lost) or (isinstance(r, RuntimeError) and "gloo" in str(r)) for r in reasons)
