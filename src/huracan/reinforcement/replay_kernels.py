"""Gathering drawn transitions of :class:`~huracan.reinforcement.replay.IndexReplay`, compiled; importing this needs numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from huracan.reinforcement.sum_tree_kernels import find

__all__ = ["drawn", "gathered"]


@njit(cache=True)
def drawn(levels: Any, uniform: Any, records: Any, numbers: Any, features: Any, window: int, account_size: int) -> Any:
    """Entries by their priorities from numbers of 0 to 1, how rare each is beside the rarest, and what is gathered of them."""
    n = len(uniform)
    mass = (uniform + np.arange(n)) * (levels[len(levels) - 1][0] / n)
    entry = find(levels, mass)
    priority = levels[0][entry]
    return entry, priority.min() / priority, gathered(records, numbers, features, window, account_size, entry, entry)


@njit(cache=True)
def gathered(records: Any, numbers: Any, features: Any, window: int, account_size: int, entry: Any, last: Any) -> Any:
    """What :meth:`IndexReplay._gathered` gives, in one pass over the entries."""
    n, first = len(entry), numbers.shape[1] - 2 * account_size
    shown = window * features.shape[1]
    seen = np.empty((2 * n, shown + account_size), np.float32)
    action, level, ending = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    reward = np.empty(n, np.float32)
    for i in range(n):
        before, after = entry[i], last[i]
        action[i], ending[i], reward[i] = records[before, 1], records[before, 3], numbers[before, first - 1]
        level[i] = records[after, 2]
        for j in range(account_size):
            seen[i, shown + j] = numbers[before, first + j]
            seen[n + i, shown + j] = numbers[after, first + account_size + j]
    if shown:
        back, width = window - 1, features.shape[1]
        for i in range(n):
            before, after = records[entry[i], 0] - back, records[last[i], 0] + 1 - back
            for bar in range(window):
                for j in range(width):
                    seen[i, bar * width + j] = features[before + bar, j]
                    seen[n + i, bar * width + j] = features[after + bar, j]
    return seen, action, level, reward, ending
