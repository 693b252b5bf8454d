"""Rows of one moment are one observation: symbols that move together do not multiply the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError

__all__ = ["Moments"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Which moment each row belongs to, in order of time.

    Attributes
    ----------
    n : moments. n_rows : rows. of_row : (n_rows,) number of the moment of each row, from 0, never falling; None where every row
        is a moment of its own.

    Examples
    --------
    >>> two = Moments.of([10, 10, 20, 30, 30])
    >>> two.n, two.weights().tolist()
    (3, [0.5, 0.5, 1.0, 0.5, 0.5])
    >>> two.kept(np.array([True, False, False, True, True])).of_row.tolist()
    [0, 1, 1]
    """

    n: int
    n_rows: int
    of_row: NDArray[np.intp] | None = None

    @classmethod
    def each_row(cls, n_rows: int) -> Moments:
        """Every row is a moment."""
        return cls(n_rows, n_rows)

    @classmethod
    def of(cls, times: ArrayLike) -> Moments:
        """From the time of each row, never falling.

        Raises
        ------
        DataError : a row is before the one above it.
        """
        time = np.asarray(times)
        if len(time) < 2:
            return cls.each_row(len(time))
        new = time[1:] != time[:-1]
        falls = time[1:] < time[:-1]
        if falls.any():
            row = int(np.argmax(falls)) + 1
            raise DataError(f"row {row} is of {time[row]}, before the row above it ({time[row - 1]}); rows go by time.")
        if new.all():
            return cls.each_row(len(time))
        of_row = np.concatenate([[0], np.cumsum(new)]).astype(np.intp)
        return cls(int(of_row[-1]) + 1, len(time), of_row)

    def kept(self, keep: NDArray[np.bool_]) -> Moments:
        """Of the rows kept; moments that keep none are left out and the others numbered anew."""
        if self.of_row is None:
            return Moments.each_row(int(np.count_nonzero(keep)))
        return Moments.of(self.of_row[keep])

    def weights(self) -> NDArray[np.float64] | None:
        """Share of its moment that each row is; None where every row is a whole one."""
        if self.of_row is None:
            return None
        return 1.0 / self._rows_of_each[self.of_row]

    @cached_property
    def even(self) -> bool:
        """Whether all moments have equally many rows, so that shares of rows are shares of moments."""
        return self.of_row is None or bool(np.all(self._rows_of_each == self._rows_of_each[0]))

    @cached_property
    def _rows_of_each(self) -> NDArray[np.intp]:
        assert self.of_row is not None
        return np.bincount(self.of_row, minlength=self.n)

    def newest(self, n: int) -> tuple[slice, Moments]:
        """The rows of the newest ``n`` moments, and their moments."""
        if self.of_row is None:
            first = max(0, self.n_rows - n)
            return slice(first, None), Moments.each_row(self.n_rows - first)
        first = int(np.searchsorted(self.of_row, self.n - n))
        return slice(first, None), Moments.of(self.of_row[first:])
