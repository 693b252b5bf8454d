"""Feature columns in one block of memory each, in which every lag of a column is a view.

A column holds its segments one after the other, each behind as many empty rows as its longest lag. The value ``k`` bars
earlier is then the same memory read ``k`` rows further left: a lag costs neither time nor space, and never reaches into
another segment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["MOST_VIEWS", "FeatureColumn"]

MOST_VIEWS = 256
"""Segments up to which lags are views; with more, a frame of so many pieces would cost more than copies do."""


class FeatureColumn:
    """One feature over all segments.

    Parameters
    ----------
    bounds : first row and end of every segment, in order.
    pad : the longest lag that is asked for, in rows.
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
        self._padded: pl.Series | None = None

    def write(self, segment: int, values: NDArray[np.float64]) -> None:
        """Put the values of one segment in their place."""
        start = self._starts[segment]
        self.values[start : start + len(values)] = values

    def first_infinite(self) -> int | None:
        """The row of the frame in which it is infinite first."""
        infinite = np.isinf(self.values)
        if not infinite.any():
            return None
        at = int(np.argmax(infinite))
        segment = int(np.searchsorted(self._starts, at, "right")) - 1
        return at - self._starts[segment] + self._bounds[segment][0]

    def series(self, name: str, lag: int) -> pl.Series:
        """The column ``lag`` bars earlier, null where undefined; with lags, one piece a segment, all of them views."""
        if self._padded is None:
            self._padded = pl.Series(name, self.values).fill_nan(None)
        if not self._pad:
            return self._padded.alias(name)
        pieces = [
            self._padded.slice(at - lag, stop - start) for at, (start, stop) in zip(self._starts, self._bounds, strict=True)
        ]
        return (pieces[0] if len(pieces) == 1 else pl.concat(pieces, rechunk=False)).alias(name)
