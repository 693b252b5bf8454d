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
    depth = len(levels) - 1
    found = np.empty(len(masses), np.int64)
    for i in range(len(masses)):
        left, at = masses[i], 0
        for level in range(depth - 1, -1, -1):
            below = levels[level]
            at *= _CHILDREN
            last = 0
            for child in range(_CHILDREN):
                here = below[at + child]
                if here > 0.0:
                    last = child
                    if left < here:
                        break
                    if child < _CHILDREN - 1:
                        left -= here
            at += last
            left = min(left, below[at])
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
