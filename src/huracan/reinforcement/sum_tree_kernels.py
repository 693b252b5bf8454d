"""The loops of :class:`~huracan.reinforcement.sum_tree.SumTree`, compiled; importing this needs numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["find", "put"]

_CHILDREN = 16


@njit(cache=True)
def find(levels: Any, masses: Any) -> Any:
    """See :meth:`SumTree.find`.

    Level by level, and without a branch on what was read: so the memory of all entries is waited for together.
    """
    n = len(masses)
    found, left = np.zeros(n, np.int64), masses.copy()
    for level in range(len(levels) - 2, -1, -1):
        below, own = levels[level], levels[level + 1]
        for i in range(n):
            mass = min(left[i], np.nextafter(own[found[i]], 0.0))  # what rounding put beyond the end
            at = found[i] * _CHILDREN
            beyond, before, last = 0.0, 0.0, 0
            for child in range(_CHILDREN - 1):
                beyond += below[at + child]
                passed = mass >= beyond
                last += passed
                before = beyond if passed else before
            left[i] = mass - before
            found[i] = at + last
    return found


@njit(cache=True)
def put(levels: Any, entries: Any, priorities: Any) -> Any:
    """See :meth:`SumTree.set`; the highest of the priorities."""
    for i in range(len(entries)):
        at = entries[i]
        levels[0][at] = priorities[i]
        for level in range(1, len(levels)):
            at //= _CHILDREN
            below, total = levels[level - 1], 0.0
            for child in range(_CHILDREN):
                total += below[at * _CHILDREN + child]
            levels[level][at] = total
    return priorities.max()
