"""What it looks like when memory ran out."""

from __future__ import annotations

import torch

__all__ = ["is_out_of_memory"]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory of the machine or of its GPU ran out.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("sizes do not match"))
    (True, False)
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
