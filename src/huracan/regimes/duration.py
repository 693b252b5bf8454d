"""From a condition that flickers to a state that stays: latches and minimum durations, without looking ahead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["confirmed", "latch"]


def latch(turn_on: NDArray[np.bool_], turn_off: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A switch with two thresholds: on from ``turn_on`` until ``turn_off``; starts off, on wins over off.

    >>> latch(np.array([0, 1, 0, 0, 0], bool), np.array([0, 0, 0, 1, 0], bool)).astype(int)
    array([0, 1, 1, 0, 0])
    """
    position = np.arange(1, len(turn_on) + 1)
    last = np.maximum.accumulate(np.where(turn_on | turn_off, position, 0)) if len(turn_on) else position
    return (last > 0) & np.append(False, turn_on)[last]


def confirmed(proposed: NDArray[np.int8], minimum_duration: int) -> NDArray[np.int8]:
    """The last code that was proposed ``minimum_duration`` times in a row; -1 before the first, and a -1 resets at once.

    >>> confirmed(np.array([0, 0, 1, 0, 1, 1, 1, -1, 1], np.int8), 2)
    array([-1,  0,  0,  0,  0,  1,  1, -1, -1], dtype=int8)
    """
    n = len(proposed)
    if not n:
        return proposed
    position = np.arange(n)
    changed = np.append(True, proposed[1:] != proposed[:-1])
    run_start = np.maximum.accumulate(np.where(changed, position, 0))
    settles = (position - run_start + 1 >= minimum_duration) | (proposed < 0)
    last = np.maximum.accumulate(np.where(settles, position + 1, 0))
    return np.append(np.int8(-1), proposed)[last]
