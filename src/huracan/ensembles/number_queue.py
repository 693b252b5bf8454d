"""A queue of rows of numbers that costs eight bytes a number."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any

__all__ = ["NumberQueue"]

_FEW = 32
"""Rows whose place is not worth giving back."""


class NumberQueue:
    """Rows of ``width`` numbers each, put in at one end and taken out at the other.

    For what waits by the hundred thousand: a row of objects takes thirty bytes a number and more.

    >>> queue = NumberQueue(width=2)
    >>> queue.append((1.0, 0.5)), queue.append((3.0, 0.7))
    (1, 2)
    >>> queue.first, queue.popleft(), queue.first, len(queue), queue.holds(3.0), queue.holds(1.0)
    ((1.0, 0.5), (1.0, 0.5), (3.0, 0.7), 1, True, False)
    """

    __slots__ = ("_gone", "_numbers", "_pack", "_width")

    def __init__(self, width: int, rows: Iterable[Iterable[float]] = ()) -> None:
        self._width, self._pack = width, Struct(f"{width}d").pack
        self._numbers, self._gone = array("d"), 0
        for row in rows:
            self.append(row)

    def __reduce__(self) -> tuple[Any, ...]:
        return NumberQueue, (self._width, list(self))

    def __len__(self) -> int:
        return len(self._numbers) // self._width - self._gone

    def __iter__(self) -> Iterator[tuple[float, ...]]:
        for at in range(self._gone * self._width, len(self._numbers), self._width):
            yield tuple(self._numbers[at : at + self._width])

    @property
    def first(self) -> tuple[float, ...] | None:
        """The oldest row; None where there is none."""
        at = self._gone * self._width
        return tuple(self._numbers[at : at + self._width]) or None

    def append(self, row: Iterable[float]) -> int:
        """Put in a row; how many there are now."""
        numbers = self._numbers
        numbers.frombytes(self._pack(*row))  # a third of the time of extend
        return len(numbers) // self._width - self._gone

    def popleft(self) -> tuple[float, ...]:
        """Take out the oldest row.

        Raises
        ------
        IndexError : there is none.
        """
        width, gone = self._width, self._gone + 1
        row = tuple(self._numbers[(gone - 1) * width : gone * width])
        if not row:
            raise IndexError("a row was taken out of a queue that is empty.")
        if gone > _FEW and 4 * gone * width >= len(self._numbers):
            del self._numbers[: gone * width]
            gone = 0
        self._gone = gone
        return row

    def holds(self, first: float) -> bool:
        """Whether a row begins with this number, where first numbers rise from row to row."""
        numbers, width = self._numbers, self._width
        rows = range(self._gone, len(numbers) // width)
        at = self._gone + bisect_left(rows, first, key=lambda row: numbers[row * width])
        return at * width < len(numbers) and numbers[at * width] == first
