"""The folder of one run: what was finished stays finished, whenever the process dies.

Every result file is written aside and renamed, so a file that exists is whole. A run is known by its *key*, the hash of
data, configuration, code version and seed; a run with the key of an unfinished one takes over its folder and goes on there.
"""

from __future__ import annotations

import fcntl
import io
import json
import secrets
import shutil
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import StorageError
from huracan.logs import logger
from huracan.storage.whole_files import put_file

__all__ = ["RunFolder"]

_STATE = "state.json"


class RunFolder:
    """One run's folder under ``home/runs``; make it with :meth:`open`.

    Attributes
    ----------
    path : the folder. run_id : its name. resumed : whether an unfinished run of the same key was found.
    """

    def __init__(self, path: Path, lock: IO[str], *, resumed: bool) -> None:
        self.path = path
        self.run_id = path.name
        self.resumed = resumed
        self._lock = lock

    @classmethod
    def open(cls, home: Path, key: str) -> RunFolder:
        """Take over the unfinished run of ``key``, or begin a new one. Two processes never share a folder."""
        runs = home / "runs"
        try:
            runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{runs} cannot be made: {error.strerror}; HURACAN_HOME must be a writable folder.") from error
        for path in sorted(runs.glob(f"*-{key[:12]}-*"), reverse=True):
            state = _read_json(path / _STATE)
            if state is None or state.get("key") != key or state.get("status") == "finished":
                continue
            lock = _try_lock(path)
            if lock is not None:
                return cls(path, lock, resumed=True)
        started = datetime.now(UTC)
        path = runs / f"{started:%Y%m%dT%H%M%S}-{key[:12]}-{secrets.token_hex(2)}"
        path.mkdir()
        lock = _try_lock(path)  # before the state is written: without a state nobody else looks at this folder
        if lock is None:
            raise StorageError(f"{path} is used by another process although it was just made; try again.")
        put_file(path / _STATE, _json({"key": key, "status": "running", "started_at": started.isoformat()}))
        return cls(path, lock, resumed=False)

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Keep one finished piece of work: arrays and a few facts."""
        buffer = io.BytesIO()
        content: dict[str, Any] = {**arrays, "facts": np.frombuffer(_json(facts), dtype=np.uint8)}
        np.savez(buffer, **content)
        put_file(self.path / f"{name}.npz", buffer.getvalue())

    def load(self, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """What :meth:`save` kept under ``name``, or None; a damaged file counts as not there, and is logged."""
        file = self.path / f"{name}.npz"
        if not file.exists():
            return None
        try:
            with np.load(file, allow_pickle=False) as stored:
                arrays = {k: stored[k] for k in stored.files if k != "facts"}
                return arrays, json.loads(stored["facts"].tobytes())
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            logger().warning("a saved piece of the run is damaged and is computed again", file=str(file), error=str(error))
            return None

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Mark the run finished; its intermediate pieces are no longer needed and go."""
        state = _read_json(self.path / _STATE) or {}
        put_file(self.path / _STATE, _json({**state, **summary, "status": "finished"}))
        shutil.rmtree(self.path / "folds", ignore_errors=True)

    def fail(self, reason: str, *, keep: bool = False) -> None:
        """Write down that the run ended before its time; without a finished piece the folder goes, unless ``keep``."""
        if keep or any(self.path.glob("folds/*/*.npz")):
            state = _read_json(self.path / _STATE) or {}
            put_file(self.path / _STATE, _json({**state, "status": "stopped", "reason": reason}))
        else:
            shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Give the folder back."""
        self._lock.close()


def _try_lock(path: Path) -> IO[str] | None:
    lock = (path / ".lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True, default=str).encode()


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
