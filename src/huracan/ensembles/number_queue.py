"""A queue of rows of numbers that costs eight bytes a number."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

__all__ = ["NumberQueue"]

_FEW = 32
"""Rows whose place is not worth giving back."""


class NumberQueue:
    """Rows of ``width`` numbers each, put in at one end and taken out at the other.

    For what waits by the hundred thousand: a row of objects takes thirty bytes a number and more.

    >>> queue = NumberQueue(width=2)
    >>> queue.append((1.0, 0.5))
    >>> queue.append((3.0, 0.7))
    >>> len(queue), queue.popleft(), queue.first, queue.holds(3.0), queue.holds(1.0)
    (2, (1.0, 0.5), (3.0, 0.7), True, False)
    """

    __slots__ = ("_gone", "_numbers", "_width")

    def __init__(self, width: int, rows: Iterable[Iterable[float]] = ()) -> None:
        self._width, self._gone = width, 0
        self._numbers = array("d")
        for row in rows:
            self.append(row)

    def __len__(self) -> int:
        return len(self._numbers) // self._width - self._gone

    def __iter__(self) -> Iterator[tuple[float, ...]]:
        for i in range(self._gone * self._width, len(self._numbers), self._width):
            yield tuple(self._numbers[i : i + self._width])

    @property
    def first(self) -> tuple[float, ...]:
        """The oldest row.

        Raises
        ------
        IndexError : there is none.
        """
        at = self._gone * self._width
        if at == len(self._numbers):
            raise IndexError("the queue is empty.")
        return tuple(self._numbers[at : at + self._width])

    def append(self, row: Iterable[float]) -> None:
        self._numbers.extend(row)

    def popleft(self) -> tuple[float, ...]:
        """Take out the oldest row; raises as ``first``."""
        row = self.first
        self._gone += 1
        if self._gone > _FEW and 4 * self._gone * self._width >= len(self._numbers):
            del self._numbers[: self._gone * self._width]
            self._gone = 0
        return row

    def holds(self, first: float) -> bool:
        """Whether a row begins with this number, where first numbers rise from row to row."""
        numbers, width = self._numbers, self._width
        rows = range(self._gone, len(numbers) // width)
        at = self._gone + bisect_left(rows, first, key=lambda row: numbers[row * width])
        return at * width < len(numbers) and numbers[at * width] == first
