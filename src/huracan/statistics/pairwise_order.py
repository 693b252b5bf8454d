"""Order statistics of all sums of pairs, as Hodges-Lehmann estimates need them, without holding all pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["ordered_differences", "ordered_walsh_averages"]

_HELD = 2_000_000
"""So many pairs are held at once (16 MB)."""


def ordered_differences(a: NDArray[np.float64], b: NDArray[np.float64], ranks: Sequence[int]) -> NDArray[np.float64]:
    """Return the differences ``a[i] - b[j]`` of the given ranks (0 is the smallest of n x m).

    Few pairs are written out; of many, the value is bracketed by counting in sorted samples, O((n + m) log m) a step.

    Examples
    --------
    >>> ordered_differences(np.array([1.0, 5.0]), np.array([0.0, 3.0]), [0, 3]).tolist()
    [-2.0, 5.0]
    """
    return _ordered_sums(np.sort(a), np.sort(-b), ranks, halved=False)


def ordered_walsh_averages(x: NDArray[np.float64], ranks: Sequence[int]) -> NDArray[np.float64]:
    """Return the averages ``(x[i] + x[j]) / 2``, i <= j, of the given ranks (0 is the smallest of n (n + 1) / 2).

    Examples
    --------
    >>> ordered_walsh_averages(np.array([4.0, 0.0]), [0, 1, 2]).tolist()
    [0.0, 2.0, 4.0]
    """
    values = np.sort(x)
    return _ordered_sums(values, values, ranks, halved=True) / 2.0


def _ordered_sums(x: NDArray[np.float64], y: NDArray[np.float64], ranks: Sequence[int], *, halved: bool) -> NDArray[np.float64]:
    """Sums ``x[i] + y[j]`` by rank, both sorted; with ``halved`` only those of i <= j."""
    first = np.arange(len(x)) if halved else np.zeros(len(x), dtype=np.int64)
    size = int((len(y) - first).sum())
    if size <= _HELD:
        sums = _between(x, y, first, np.full(len(x), len(y)))
        sums.partition(sorted(set(ranks)))
        return sums[np.asarray(ranks)]
    return np.array([_by_counting(x, y, first, rank) for rank in ranks])


def _by_counting(x: NDArray[np.float64], y: NDArray[np.float64], first: NDArray[np.int64], rank: int) -> float:
    def ends(value: float) -> NDArray[np.int64]:
        return np.maximum(np.searchsorted(y, value - x, side="right"), first)

    low, high = x[0] + y[0], x[-1] + y[-1]
    start, end = first, np.full(len(x), len(y))
    while int((end - start).sum()) > _HELD:
        middle = low + (high - low) / 2.0
        if not low < middle < high:
            return float(high)  # more than _HELD pairs share this very value
        split = ends(middle)
        if int((split - first).sum()) > rank:
            high, end = middle, np.minimum(split, end)
        else:
            low, start = middle, np.maximum(split, start)
    sums = _between(x, y, start, end)
    place = rank - int((start - first).sum())
    sums.partition(place)
    return float(sums[place])


def _between(
    x: NDArray[np.float64], y: NDArray[np.float64], start: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.float64]:
    length = end - start
    row = np.repeat(np.arange(len(x)), length)
    column = np.arange(len(row)) - np.repeat(np.cumsum(length) - length - start, length)
    sums: NDArray[np.float64] = x[row] + y[column]
    return sums
