"""Windows over feature frames: the last so many rows of every row, as a view, never across a gap or from another symbol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import FeatureError, NotEnoughData
from huracan.preprocessing.lags import chosen_columns, ordered_bounds

__all__ = ["FeatureWindows", "windows"]


@dataclass(frozen=True, eq=False)
class FeatureWindows:
    """Every complete window of a feature frame.

    Attributes
    ----------
    values : float32 ``[rows of the frame - length + 1, length, features]``, a read-only view of one matrix; oldest bar first.
        Positions whose window would cross a gap or hold a missing value are in it too: read those at ``rows`` only.
    rows : row of the frame that each usable window ends in.
    columns : names of the features.
    length : bars in a window.
    """

    values: NDArray[np.float32]
    rows: NDArray[np.int64]
    columns: tuple[str, ...]
    length: int

    def __repr__(self) -> str:
        return f"<FeatureWindows: {len(self):,} windows of {self.length} bars x {len(self.columns)} features>"

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Copy some of the usable windows, by their position in ``rows``: ``[number, length, features]``.

        Only these are copied; a mini-batch costs its own size.
        """
        taken: NDArray[np.float32] = self.values[self.rows[which] - self.length + 1]
        return taken

    def materialise(self) -> NDArray[np.float32]:
        """Copy all usable windows; ``length`` times the memory of the frame."""
        return self.take(slice(None))


def windows(features: pl.DataFrame, length: int, columns: Sequence[str] | None = None) -> FeatureWindows:
    """Slide a window over a feature frame.

    Parameters
    ----------
    features : ``[symbol, ts, segment, features...]``, sorted by ``(symbol, ts)``.
    length : bars in a window, the row itself being the last.
    columns : names; all features where None.

    Raises
    ------
    FeatureError : a column is missing, ``length`` is not a whole number from 1, or rows of a symbol and segment are not
        together and in the order of time.
    NotEnoughData : no row has a complete window.

    Examples
    --------
    >>> frame = pl.DataFrame({"symbol": ["A"] * 4 + ["B"] * 2, "segment": [0] * 6, "x": [None, 1.0, 2.0, 3.0, 8.0, 9.0]})
    >>> made = windows(frame, 2)
    >>> made.rows, made.materialise()[:, :, 0]
    (array([2, 3, 5]), array([[1., 2.], [2., 3.], [8., 9.]], dtype=float32))
    """
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise FeatureError(f"window length is {length!r}; a whole number of bars from 1 was expected.")
    names = tuple(chosen_columns(features, columns, "windows are"))
    bounds = ordered_bounds(features)
    matrix = np.empty((features.height, len(names)), np.float32)
    for j, name in enumerate(names):
        matrix[:, j] = features[name].cast(pl.Float32).fill_null(np.nan).to_numpy()
    missing: NDArray[np.bool_] = np.asarray(np.isnan(matrix).any(axis=1))
    usable = _complete(missing, bounds, length)
    if not usable.any():
        longest = max((stop - start for start, stop in bounds), default=0)
        raise NotEnoughData(f"no window of {length} complete rows; the longest segment has {longest} rows.")
    view = np.lib.stride_tricks.sliding_window_view(matrix, length, axis=0).transpose(0, 2, 1)
    return FeatureWindows(view, np.flatnonzero(usable), names, length)


def _complete(missing: NDArray[np.bool_], bounds: Sequence[tuple[int, int]], length: int) -> NDArray[np.bool_]:
    """Rows whose last ``length`` rows lie in their segment and miss nothing."""
    count = len(missing)
    barrier = np.where(missing, np.arange(count), -1)
    first = np.zeros(count, np.int64)
    for start, stop in bounds:
        first[start:stop] = start
    last_bad = np.maximum(np.maximum.accumulate(barrier), first - 1)
    complete: NDArray[np.bool_] = np.arange(count) - last_bad >= length
    return complete
