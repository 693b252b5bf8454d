"""Large inputs, read by all workers and copied to none.

What is shared is pickled once, with the contents of its numpy arrays beside the pickle and not in it (protocol 5, PEP 574).
The contents lie in one file without a name, which every worker maps into its memory: the pages exist once a machine, and the
file is gone when the last process that has it open is. It lies in the folder for temporary files (``TMPDIR``).
"""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import cloudpickle

from huracan.errors import FanoutError

__all__ = ["Layout", "place", "read_back", "read_only"]

_ALIGNMENT = 64


@dataclass(frozen=True)
class Layout:
    """A pickle without its arrays, and where in the file each of them lies: (first byte, bytes)."""

    pickled: bytes
    spans: tuple[tuple[int, int], ...] = ()


def place(value: Any) -> tuple[Layout, IO[bytes]]:
    """Write the arrays of ``value`` to a nameless file.

    Raises
    ------
    FanoutError : it cannot be pickled, or the folder for temporary files is full.
    """
    pickled, buffers = _parts(value)
    spans = []
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the caller closes it when all workers have it
    end = 0
    try:
        for buffer in buffers:
            end = -(-end // _ALIGNMENT) * _ALIGNMENT
            file.seek(end)
            left = buffer
            while left:
                left = left[file.write(left) :]
            spans.append((end, buffer.nbytes))
            end += buffer.nbytes
    except OSError as error:
        file.close()
        size = sum(buffer.nbytes for buffer in buffers)
        raise FanoutError(
            f"what is shared needs {size:,} bytes in {tempfile.gettempdir()}, which could not be written ({error.strerror}); "
            "free some, or set TMPDIR to a larger folder."
        ) from error
    return Layout(pickled, tuple(spans)), file


def read_back(layout: Layout, descriptor: int) -> Any:
    """What was placed, its arrays read-only views of the file."""
    size = os.fstat(descriptor).st_size
    whole = memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)) if size else memoryview(b"")
    return pickle.loads(layout.pickled, buffers=[whole[a : a + n] for a, n in layout.spans])  # noqa: S301


def read_only(value: Any) -> Any:
    """The same value with arrays that are read-only views of the given ones: what a worker would see."""
    pickled, buffers = _parts(value)
    return pickle.loads(pickled, buffers=[buffer.toreadonly() for buffer in buffers])  # noqa: S301


def _parts(value: Any) -> tuple[bytes, Sequence[memoryview]]:
    found: list[pickle.PickleBuffer] = []
    try:
        pickled = cloudpickle.dumps(value, protocol=5, buffer_callback=found.append)
    except Exception as error:
        raise FanoutError(f"what is shared, a '{type(value).__name__}', cannot be pickled: {error}") from error
    return pickled, [buffer.raw() for buffer in found]
