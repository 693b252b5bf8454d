"""PyTorch where it is needed: asked for by name, on so many threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from huracan.errors import DependencyMissing, ModelError

__all__ = ["require_torch", "torch_threads"]


def require_torch() -> None:
    """Refuse in one sentence where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise DependencyMissing("networks need PyTorch; install it with: pip install 'huracan[neural]'.") from error


_guard = threading.Lock()
_within: list[list[int]] = []
_outside = 1


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """PyTorch on ``n`` threads within; -1 is as many as there are cores.

    The number is one for the whole process. Afterwards, also after an error, it is what it was, even where several Python
    threads were within at the same time and leave in another order than they came: as long as some are, the number is that of
    the last to come, and what it was before the first of them came returns with the last that leaves.
    """
    import torch

    global _outside
    if n == 0:
        raise ModelError("n_jobs is 0; a whole number from 1, or -1 for all cores, was expected.")
    mine = [n if n > 0 else max(1, (os.cpu_count() or 1) + 1 + n)]  # a list, so that equal numbers are told apart
    with _guard:
        if not _within:
            _outside = torch.get_num_threads()
        _within.append(mine)
        torch.set_num_threads(mine[0])
    try:
        yield
    finally:
        with _guard:
            _within[:] = [other for other in _within if other is not mine]
            torch.set_num_threads(_within[-1][0] if _within else _outside)
