"""Feature columns in one block of memory each, in which every lag of a column is a view.

A column holds its segments one after the other, each behind as many empty rows as its longest lag. The value ``k`` bars
earlier is then the same memory read ``k`` rows further left: a lag costs neither time nor space, and never reaches into
another segment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow
from numpy.typing import NDArray

__all__ = ["MOST_VIEWS", "FeatureColumn", "nullable"]

MOST_VIEWS = 256
"""Segments up to which lags are views; with more, a frame of so many pieces would cost more than copies do."""


class FeatureColumn:
    """One feature over all segments.

    Parameters
    ----------
    bounds : first row and end of every segment, in order.
    pad : the longest lag that is read as a view, in rows; 0 where lags are copies.
    dtype : of the values.

    Examples
    --------
    >>> column = FeatureColumn([(0, 3), (3, 5)], pad=1, dtype=np.float64)
    >>> column.write(0, np.array([1.0, 2.0, 3.0])); column.write(1, np.array([8.0, 9.0]))
    >>> column.series("x", lag=0).to_list(), column.series("x", lag=1).to_list()
    ([1.0, 2.0, 3.0, 8.0, 9.0], [None, 1.0, 2.0, None, 8.0])
    """

    def __init__(self, bounds: Sequence[tuple[int, int]], pad: int, dtype: type[np.floating]) -> None:
        self._bounds = bounds
        self._pad = pad
        self._starts = [start + pad * (i + 1) for i, (start, _) in enumerate(bounds)]
        rows = bounds[-1][1] if bounds else 0
        self.values: NDArray[np.floating] = np.empty(rows + pad * len(bounds), dtype)
        for start in self._starts:
            self.values[start - pad : start] = np.nan
        self._known = np.zeros(len(self.values), bool)
        self._whole: pl.Series | None = None

    def write(self, segment: int, values: NDArray[np.float64]) -> None:
        """Put the values of one segment in their place."""
        rows = slice(self._starts[segment], self._starts[segment] + len(values))
        self.values[rows] = values
        np.isfinite(self.values[rows], out=self._known[rows])  # here, while they are in the processor's cache

    def first_infinite(self) -> int | None:
        """The row of the frame in which it is infinite first."""
        missing = np.flatnonzero(~self._known)
        infinite = missing[np.isinf(self.values[missing])]
        if not len(infinite):
            return None
        segment = int(np.searchsorted(self._starts, infinite[0], "right")) - 1
        return int(infinite[0]) - self._starts[segment] + self._bounds[segment][0]

    def series(self, name: str, lag: int) -> pl.Series:
        """The column ``lag`` bars earlier, null where undefined.

        With a pad it is a view (one piece a segment); without, a lag is a copy.
        """
        if not self._pad and lag:
            return nullable(name, self._lagged(lag))
        if self._whole is None:
            self._whole = nullable(name, self.values, self._known)
        if not self._pad:
            return self._whole.alias(name)
        pieces = [
            self._whole.slice(at - lag, stop - start) for at, (start, stop) in zip(self._starts, self._bounds, strict=True)
        ]
        return (pieces[0] if len(pieces) == 1 else pl.concat(pieces, rechunk=False)).alias(name)

    def _lagged(self, lag: int) -> NDArray[np.floating]:
        moved = np.empty_like(self.values)
        moved[lag:] = self.values[:-lag]
        for start, stop in self._bounds:
            moved[start : min(start + lag, stop)] = np.nan
        return moved


def nullable(name: str, values: NDArray[np.floating], known: NDArray[np.bool_] | None = None) -> pl.Series:
    """A polars column around an array, without a copy; null where not ``known``, by default where NaN.

    >>> nullable("x", np.array([np.nan, 2.0])).to_list()
    [None, 2.0]
    """
    if known is None:
        known = ~np.isnan(values)
    missing = len(values) - int(np.count_nonzero(known))
    if not missing:
        return pl.Series(name, values)
    bits = pyarrow.py_buffer(np.packbits(known, bitorder="little"))
    kind = pyarrow.float32() if values.dtype == np.float32 else pyarrow.float64()
    array = pyarrow.Array.from_buffers(kind, len(values), [bits, pyarrow.py_buffer(values)], missing)
    return pl.Series(name, pl.from_arrow(array))
