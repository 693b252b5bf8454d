"""A process that was started by another one does not outlive it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["end_with", "is_orphan"]

_PR_SET_PDEATHSIG = 1


def end_with(launcher: int) -> None:
    """From now on this process is killed when the one that started it dies, however that happens, where Linux can do so.

    Elsewhere :func:`is_orphan` has to be asked from time to time. Which of both was there first does not matter: a process
    whose launcher has died before ends at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if is_orphan(launcher):
        os._exit(1)


def is_orphan(launcher: int) -> bool:
    """Whether the process of this number, which started this one, is gone."""
    return os.getppid() != launcher
