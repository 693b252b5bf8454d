"""Rows of any kind as one table sorted by symbol and time, with what is known before each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.dataset import TimeSource, TrainingSet
from huracan.validation.row_times import RowTimes

__all__ = ["WindowedRows"]


@dataclass(frozen=True, eq=False)
class WindowedRows:
    """A matrix whose rows of one symbol and segment lie together, oldest first, and how rows as given map to it.

    Attributes
    ----------
    matrix : float32 (rows, features). place : int64 (n,), row of the matrix that each given row (or the last bar of each
        given window) is at. before : int64 (n,), unbroken bars of the matrix before that row.
    times : when each given row is decided and its label known.

    Examples
    --------
    >>> rows = WindowedRows.of(np.zeros((5, 2), np.float32))
    >>> rows.before.tolist()
    [0, 1, 2, 3, 4]
    """

    matrix: NDArray[np.float32]
    place: NDArray[np.int64]
    before: NDArray[np.int64]
    times: RowTimes

    @classmethod
    def of(cls, X: Any, times: RowTimes | None = None) -> WindowedRows:
        """Sort a ``TrainingSet``; take a matrix (n, d) as one series in time order; take windows (n, length, d) as they are.

        Without ``times`` those of a matrix are its row numbers, and a label is known one row later.
        """
        if isinstance(X, TrainingSet):
            return cls._of_training_set(X)
        n = len(X)
        times = RowTimes.of(X) if times is None else times
        if X.ndim == 3:
            length = X.shape[1]
            place = np.arange(1, n + 1, dtype=np.int64) * length - 1
            return cls(X.reshape(n * length, X.shape[2]), place, np.full(n, length - 1, np.int64), times)
        row = np.arange(n, dtype=np.int64)
        return cls(X, row, row, times)

    @classmethod
    def _of_training_set(cls, rows: TrainingSet) -> WindowedRows:
        from huracan.training.windows import bars_before

        unknown = np.isnat(rows.label_end)  # a row that may stand in windows, and is not learned from
        known = replace(rows, label_end=np.where(unknown, rows.decision_time, rows.label_end)) if unknown.any() else rows
        times = RowTimes.of(known)
        step = rows.bar_length if rows.time_source is TimeSource.CANDLES else None
        if len(rows.symbols) == 1:  # by time is by symbol and time
            before = bars_before(rows.symbol_code, rows.segment, rows.ts, step)
            return cls(rows.X, np.arange(len(rows), dtype=np.int64), before, times)
        order = np.lexsort((rows.ts, rows.symbol_code))
        before = bars_before(rows.symbol_code[order], rows.segment[order], rows.ts[order], step)
        place = np.empty(len(rows), np.int64)
        place[order] = np.arange(len(rows))
        return cls(rows.X[order], place, before[place], times)

    def complete(self, length: int) -> NDArray[np.bool_]:
        """Whether each given row has a whole window of ``length`` bars."""
        return self.before >= length - 1
