"""A folder that one process at a time may use."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from huracan.errors import FolderInUse, StorageError
from huracan.storage.whole_files import make_folder, refusal

__all__ = ["PATIENCE", "held", "lock"]

PATIENCE = 5.0
"""Seconds to wait for a lock: a process that was just killed may not be gone yet."""


def lock(folder: Path, *, patience: float | None = None) -> IO[str]:
    """Take a folder; it is given back when what is returned is closed, or this process ends in whatever way.

    Parameters
    ----------
    patience : seconds to wait for another one that has it, :data:`PATIENCE` by default.

    Raises
    ------
    FolderInUse : another one has it. StorageError : it cannot be written, or this system has no locks of Unix.
    """
    try:
        import fcntl
    except ImportError:
        raise StorageError(
            f"{folder} cannot be locked: this system has no fcntl; Linux or macOS was expected for what goes on after a kill."
        ) from None
    try:
        make_folder(folder)
        handle = (folder / ".lock").open("a")
    except OSError as error:
        raise refusal(folder, "written", error) from error
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except OSError as error:
            if not isinstance(error, BlockingIOError | PermissionError):
                handle.close()
                raise refusal(folder, "locked", error) from error
            if time.monotonic() > deadline:
                handle.close()
                raise FolderInUse(f"{folder} is in use by another training; let it end, or take another folder.") from None
            time.sleep(0.1)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Within, no other process has the folder.

    Raises
    ------
    FolderInUse, StorageError : see :func:`lock`.
    """
    handle = lock(folder)
    try:
        yield
    finally:
        handle.close()
