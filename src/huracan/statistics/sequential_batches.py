"""A series of any length kept as at most 1,024 means of equally many neighbours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["CAPACITY", "BatchMeans", "batch_length_at"]

CAPACITY = 1024
"""Means kept; when one more is due, neighbours are merged and the batches become twice as long."""


def batch_length_at(n: int) -> int:
    """Observations in each batch once ``n`` have arrived: a power of two.

    Examples
    --------
    >>> batch_length_at(1024), batch_length_at(1025), batch_length_at(5000)
    (1, 2, 8)
    """
    length = 1
    while n > CAPACITY * length:
        length *= 2
    return length


class BatchMeans:
    """Means of consecutive batches of a growing series; memory does not grow with it.

    The low frequencies, on which the long-run variance rests, survive batching. Every mean is that of its two halves, so
    the stored bits do not depend on whether the series came one by one, in arrays, or with a restart in between.

    Examples
    --------
    >>> kept = BatchMeans()
    >>> kept.extend(np.arange(1500.0))
    >>> kept.n, kept.batch_length, len(kept.means), kept.means[:3].tolist()
    (1500, 2, 750, [0.5, 2.5, 4.5])
    """

    __slots__ = ("_buffer", "_filled", "_halves", "batch_length", "n")

    def __init__(self) -> None:
        self._buffer = np.empty(CAPACITY)
        self._filled = 0
        # mean of the last 2^level observations that still wait for as many more
        self._halves: list[float | None] = []
        self.batch_length = 1
        self.n = 0

    @property
    def means(self) -> NDArray[np.float64]:
        """The full batches, oldest first; observations of the batch that is not full are not in it."""
        return self._buffer[: self._filled]

    def add(self, value: float) -> None:
        """Take the next observation."""
        if self._filled == CAPACITY:
            self._merge()
        halves = self._halves
        for level, waiting in enumerate(halves):
            if waiting is None:
                halves[level] = value
                break
            halves[level] = None
            value = 0.5 * waiting + 0.5 * value
        else:
            self._buffer[self._filled] = value
            self._filled += 1
        self.n += 1

    def extend(self, values: NDArray[np.float64]) -> None:
        """Take the next observations, oldest first."""
        start = 0
        while start < len(values):
            if self._filled == CAPACITY:
                self._merge()
            length = self.batch_length
            full = min((len(values) - start) // length, CAPACITY - self._filled)
            if self.n % length or not full:
                until = start + length - self.n % length
                for value in values[start:until].tolist():
                    self.add(value)
                start = until
                continue
            block = values[start : start + full * length]
            while len(block) > full:
                block = 0.5 * block[0::2] + 0.5 * block[1::2]
            self._buffer[self._filled : self._filled + full] = block
            self._filled += full
            self.n += full * length
            start += full * length

    def state(self) -> dict[str, object]:
        """Everything, as plain numbers."""
        return {"n": self.n, "means": self.means.tolist(), "waiting": list(self._halves)}

    @classmethod
    def from_state(cls, n: int, means: list[float], waiting: list[float | None]) -> BatchMeans:
        """The store that :meth:`state` described; ``ValueError`` where the numbers do not fit together."""
        kept = cls()
        kept.n, kept.batch_length, kept._filled = n, batch_length_at(n), len(means)
        pending = [value for value in waiting if value is not None]
        more = sum(2**level for level, value in enumerate(waiting) if value is not None)
        if 2 ** len(waiting) != kept.batch_length or len(means) * kept.batch_length + more != n:
            raise ValueError(f"{len(means)} batches of {kept.batch_length} and {more} more do not make {n} observations")
        if not all(type(value) is float and math.isfinite(value) for value in [*means, *pending]):
            raise ValueError("a batch is not a finite number")
        kept._buffer[: len(means)] = means
        kept._halves = list(waiting)
        return kept

    def _merge(self) -> None:
        half = CAPACITY // 2
        self._buffer[:half] = 0.5 * self._buffer[0::2] + 0.5 * self._buffer[1::2]
        self._filled = half
        self._halves.append(None)
        self.batch_length *= 2
