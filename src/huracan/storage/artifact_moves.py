"""Files that are written aside and renamed, and what is moved out of their way, told from what other processes put there."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from huracan.storage.anchored import NotPlain, flush_inside, opened_inside, remove_inside, write_inside

__all__ = ["INCOMING", "identity", "last_touched", "rename_unless_there", "set_aside", "written_aside"]

INCOMING = ".incoming"
"""Folder of what is being written."""
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


@contextmanager
def written_aside(root: int, digest: str, files: Mapping[str, bytes]) -> Iterator[tuple[int, str]]:
    """The files in a new folder that lasts, to be renamed; what is not renamed by then is removed."""
    aside = f"{digest[:8]}.{secrets.token_hex(8)}"
    with opened_inside(root, INCOMING, make=True) as incoming:
        os.mkdir(aside, dir_fd=incoming)
        try:
            with opened_inside(incoming, aside) as folder:
                for name, data in files.items():
                    write_inside(folder, name, data)
                flush_inside(folder, list(files))
            yield incoming, aside
        finally:
            remove_inside(incoming, aside)


def rename_unless_there(source: int, name: str, target: int, digest: str) -> bool:
    """Whether it has its name now; not where something is there under it."""
    try:
        os.rename(name, digest, src_dir_fd=source, dst_dir_fd=target)
    except OSError as error:
        if error.errno in _OCCUPIED:
            return False
        raise
    return True


def identity(place: int, name: str) -> tuple[int, int] | None:
    """Which thing stands under a name, so that it is told from what another process puts there."""
    try:
        facts = os.stat(name, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino


def set_aside(shelf: int, digest: str, proven: tuple[int, int] | None, grave: int) -> None:
    """Move what was proven damaged out of the way; what another process has put there since goes back."""
    name = f"{digest}.{secrets.token_hex(8)}"
    os.rename(digest, name, src_dir_fd=shelf, dst_dir_fd=grave)
    if identity(grave, name) == proven:
        with suppress(PermissionError):  # somebody else's
            os.utime(name, dir_fd=grave, follow_symlinks=False)  # it is kept for a while from now
    elif not rename_unless_there(grave, name, shelf, digest):
        remove_inside(grave, name)


def last_touched(place: int, name: str) -> float:
    """Seconds since 1970 of the last write to something half-written, or to a file in it."""
    try:
        touched = os.stat(name, dir_fd=place, follow_symlinks=False).st_mtime
        with opened_inside(place, name) as folder:
            files = [os.stat(file, dir_fd=folder, follow_symlinks=False).st_mtime for file in os.listdir(folder)]
        return max([touched, *files])
    except NotPlain:
        return touched
    except FileNotFoundError:
        return time.time()  # its process just finished with it
