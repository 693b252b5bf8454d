"""Arrays of folds as bytes, and back bit for bit."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import StorageError

__all__ = ["pack", "unpack"]

_ENTRY = struct.Struct("<iq")


def pack(arrays: Mapping[int, NDArray[Any]]) -> bytes:
    """Fold -> float32 (n,) as bytes: number of folds, fold and length of each, then the numbers, compressed.

    >>> unpack(pack({0: np.float32([0.1, np.nan]), 2: np.float32([])}))
    {0: array([0.1, nan], dtype=float32), 2: array([], dtype=float32)}
    """
    heads = b"".join(_ENTRY.pack(fold, len(values)) for fold, values in arrays.items())
    numbers = b"".join(np.ascontiguousarray(values, "<f4").tobytes() for values in arrays.values())
    return zlib.compress(struct.pack("<i", len(arrays)) + heads + numbers, level=1)


def unpack(data: bytes, *, where: str = "a stored trial") -> dict[int, NDArray[Any]]:
    """What :func:`pack` made into bytes.

    Raises
    ------
    StorageError : the bytes are damaged.
    """
    try:
        raw = zlib.decompress(data)
        (count,) = struct.unpack_from("<i", raw)
        heads = [_ENTRY.unpack_from(raw, 4 + k * _ENTRY.size) for k in range(count)]
        numbers = np.frombuffer(raw, "<f4", offset=4 + count * _ENTRY.size).astype(np.float32)
    except (zlib.error, struct.error, ValueError) as error:
        raise StorageError(f"the numbers of {where} are damaged: {error}.") from error
    if sum(length for _, length in heads) != len(numbers):
        raise StorageError(f"the numbers of {where} are damaged: {len(numbers)} are there, not what their head says.")
    ends = np.cumsum([length for _, length in heads])
    return {fold: numbers[end - length : end] for (fold, length), end in zip(heads, ends, strict=True)}
