"""PyTorch where it is needed: asked for by name, on so many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huracan.errors import DependencyMissing

__all__ = ["require_torch", "torch_threads"]


def require_torch() -> None:
    """Refuse in one sentence where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise DependencyMissing("networks need PyTorch; install it with: pip install 'huracan[neural]'.") from error


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """PyTorch on ``n`` threads within."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
