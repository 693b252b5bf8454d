"""A sample of rows that is the same every time and fair to everything that takes turns in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["spread_rows"]


def spread_rows(n: int, most: int) -> NDArray[np.intp] | None:
    """Row numbers of a sample of ``most`` out of ``n``, ascending, the same every time; None, for all, below twice as many.

    Drawn at random, because rows of several symbols are in turn: every k-th row may be a row of one symbol only.

    >>> spread_rows(7, 4) is None, int(np.bincount(spread_rows(8_000, 1_000) % 8).min()) > 90
    (True, True)
    """
    if n < 2 * most:
        return None
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False))
