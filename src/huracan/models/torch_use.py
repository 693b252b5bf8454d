"""PyTorch where it is needed: asked for by name, on so many threads."""

from __future__ import annotations

import os
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


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """PyTorch on ``n`` threads within; -1 is as many as there are cores."""
    import torch

    if n == 0:
        raise ModelError("n_jobs is 0; a whole number from 1, or -1 for all cores, was expected.")
    before = torch.get_num_threads()
    torch.set_num_threads(n if n > 0 else max(1, (os.cpu_count() or 1) + 1 + n))
    try:
        yield
    finally:
        torch.set_num_threads(before)
