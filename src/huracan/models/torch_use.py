"""PyTorch where it is needed: asked for by name, on so many threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from huracan.errors import DependencyMissing, ModelError

__all__ = ["require_torch", "torch_threads"]


def require_torch(what: str = "networks need") -> None:
    """Refuse in one sentence where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise DependencyMissing(f"{what} PyTorch; install it with: pip install 'huracan[neural]'.") from error


_guard = threading.Lock()
_within: list[_Scope] = []
_outside = 1


@dataclass(frozen=True, eq=False)
class _Scope:
    thread: int
    number: int


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """PyTorch on ``n`` threads within; -1 is as many as there are cores.

    PyTorch keeps the number twice: each Python thread has its own, and new threads take the one of the process, which is what
    was set last. Both are afterwards what they were, also after an error, and even where several threads were within at the
    same time and leave in another order than they came: as long as some are, the process's is that of the last to come, and
    what it was before the first of them came returns with the last that leaves.
    """
    import torch

    global _outside
    if n == 0:
        raise ModelError("n_jobs is 0; a whole number from 1, or -1 for all cores, was expected.")
    me = threading.get_ident()
    mine = _Scope(me, n if n > 0 else max(1, (os.cpu_count() or 1) + 1 + n))
    with _guard:
        here = torch.get_num_threads()  # asked always: a thread that was never asked takes the process's at its first tensor
        if not _within:
            _outside = here
        _within.append(mine)
        torch.set_num_threads(mine.number)
    try:
        yield
    finally:
        with _guard:
            _within[:] = [other for other in _within if other is not mine]
            torch.set_num_threads(next((scope.number for scope in reversed(_within) if scope.thread == me), _outside))
            if _within and _within[-1].thread != me:
                _set_for_the_process(_within[-1].number)


def _set_for_the_process(number: int) -> None:
    """From a thread of its own, so that the number of the calling one stays as it is."""
    import torch

    setting = threading.Thread(target=torch.set_num_threads, args=(number,))
    setting.start()
    setting.join()
