"""The loops of :class:`~huracan.reinforcement.sum_tree.SumTree`, compiled; importing this needs numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["find", "put"]

_CHILDREN = 16


@njit(cache=True)
def find(levels: Any, masses: Any) -> Any:
    """See :meth:`SumTree.find`."""
    found = np.empty(len(masses), np.int64)
    for i in range(len(masses)):
        left, at = masses[i], 0
        for level in range(len(levels) - 2, -1, -1):
            below = levels[level]
            left = min(left, np.nextafter(levels[level + 1][at], 0.0))  # what rounding put beyond the end
            at *= _CHILDREN
            before, last = 0.0, 0
            while last < _CHILDREN - 1:
                beyond = before + below[at + last]
                if left < beyond:
                    break
                before = beyond
                last += 1
            left -= before
            at += last
        found[i] = at
    return found


@njit(cache=True)
def put(levels: Any, entries: Any, priorities: Any) -> None:
    """See :meth:`SumTree.set`."""
    for i in range(len(entries)):
        at = entries[i]
        levels[0][at] = priorities[i]
        for level in range(1, len(levels)):
            at //= _CHILDREN
            below, total = levels[level - 1], 0.0
            for child in range(_CHILDREN):
                total += below[at * _CHILDREN + child]
            levels[level][at] = total
