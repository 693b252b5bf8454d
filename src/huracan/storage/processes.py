"""Which process is alive, and where it lives: a database outlives the processes that write into it."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

__all__ = ["is_alive", "this_host"]


def is_alive(process_id: int | None) -> bool:
    """Whether a process of this host runs.

    >>> is_alive(os.getpid()), is_alive(None)
    (True, False)
    """
    if process_id is None:
        return False
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@cache
def this_host() -> str:
    """Name of what process numbers of this process mean something in: host, its boot, and its numbering of processes.

    Two containers of one name, or one machine before and after a restart, are two.
    """
    parts = [socket.gethostname()]
    for read in (_boot, _numbering):
        try:
            parts.append(read())
        except OSError:  # not Linux: the host's name is all there is
            continue
    return " ".join(parts)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]


def _numbering() -> str:
    return os.readlink("/proc/self/ns/pid").removeprefix("pid:")
