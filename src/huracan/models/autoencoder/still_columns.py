"""Columns that stood still while everything was learned: no network can judge them, but that they move can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.inputs import InputScaler
from huracan.models.windowed_rows import WindowedRows

__all__ = ["IMPOSSIBLE", "StillColumns"]

IMPOSSIBLE = 1e9
"""Surprise of a column that moved though it never had, in nats: more than any residual can reach."""

_ROUNDING = 10 * np.finfo(np.float32).eps


@dataclass(frozen=True, eq=False)
class StillColumns:
    """Which columns stood still, and the values they may have: those they had, and what rounding errors may add.

    Attributes
    ----------
    columns : int64 (k,), numbers. low, high : float64 (k,).

    Examples
    --------
    >>> x = np.column_stack([np.arange(9.0), np.ones(9)]).astype(np.float32)
    >>> still = StillColumns.of(x, InputScaler.fit(x, clip=np.inf))
    >>> x[6, 1] = 1.5
    >>> still.columns.tolist(), still.surprise(WindowedRows.of(x), np.array([5, 6, 7, 8]), 2).ravel().tolist()
    ([1], [0.0, 1000000000.0, 1000000000.0, 0.0])
    """

    columns: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float32], scaler: InputScaler) -> Self:
        """Of the rows (n, features) that the scaler was fitted on."""
        columns = np.flatnonzero(~np.isfinite(scaler.scale))
        own = values[:, columns].astype(np.float64)
        room = np.ptp(own, axis=0) + _ROUNDING * np.abs(scaler.center[columns])
        return cls(columns, own.min(axis=0) - room, own.max(axis=0) + room)

    def names(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """``constant of column``, in the order of :meth:`surprise`."""
        return tuple(f"constant of {columns[i]}" for i in self.columns)

    def surprise(self, rows: WindowedRows, which: NDArray[np.int64], length: int) -> NDArray[np.float64]:
        """:data:`IMPOSSIBLE` where a bar of the window has left its column's values, else 0: (n, k).

        Parameters
        ----------
        which : (n,) numbers of given rows that have whole windows of ``length`` bars.
        """
        found = np.zeros((len(which), len(self.columns)))
        end = rows.place[which].astype(np.int64) + 1
        for k, column in enumerate(self.columns):
            value = rows.values[:, column] if rows.order is None else rows.values[rows.order, column]
            moved = np.concatenate(([0], np.cumsum((value < self.low[k]) | (value > self.high[k]))))
            found[:, k] = np.where(moved[end] > moved[end - length], IMPOSSIBLE, 0.0)
        return found
