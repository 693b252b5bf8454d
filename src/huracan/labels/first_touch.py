"""When does a path first leave a band? Found by halving, not by walking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["first_outside"]

_CHUNK = 65_536
"""Rows looked at together: their tables stay in the processor's cache."""


def first_outside(
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    start: NDArray[np.int64],
    upper: NDArray[np.float64],
    lower: NDArray[np.float64],
    horizon: int,
) -> NDArray[np.int64]:
    """Position of the first bar whose high reaches ``upper`` or whose low reaches ``lower``, row by row.

    Row i watches bars ``start[i]`` to ``start[i] + horizon - 1`` and gets ``start[i] + horizon`` where none reaches.
    Extremes of the next 1, 2, 4, ... bars are tabled, and each row takes the longest step that stays inside:
    O(log horizon) for every row instead of O(horizon).

    Parameters
    ----------
    high, low : float64 (n,), extremes of every bar.
    start : int64 (m,), increasing positions with ``start + horizon <= n``.
    upper, lower : float64 (m,), the band of each row.

    Examples
    --------
    >>> high, low = np.array([1.0, 2.0, 5.0, 1.0]), np.array([1.0, 1.0, 1.0, -9.0])
    >>> first_outside(high, low, np.array([0, 0, 1]), np.array([5.0, 9.0, 9.0]), np.array([-5.0, -5.0, -5.0]), horizon=3)
    array([2, 3, 3])
    """
    position = np.array(start, dtype=np.int64)
    for first in range(0, len(start), _CHUNK):
        rows = slice(first, first + _CHUNK)
        begin, end = int(start[rows][0]), int(start[rows][-1]) + horizon
        tables = _tables(high[begin:end], low[begin:end], horizon)
        at = start[rows] - begin
        limit = at + horizon
        for step, highest, lowest in reversed(tables):
            fits = np.flatnonzero(at + step <= limit)
            here = at[fits]
            at[fits[(highest[here] < upper[rows][fits]) & (lowest[here] > lower[rows][fits])]] += step
        position[rows] = at + begin
    return position


def _tables(
    high: NDArray[np.float64], low: NDArray[np.float64], horizon: int
) -> list[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Extremes of the next 1, 2, 4, ... bars from every position, as far as the horizon."""
    tables = [(1, high, low)]
    while 2 * tables[-1][0] <= horizon:
        step, highest, lowest = tables[-1]
        tables.append((2 * step, np.maximum(highest[:-step], highest[step:]), np.minimum(lowest[:-step], lowest[step:])))
    return tables
