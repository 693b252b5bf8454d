"""How many values of a moving window lie below its last one, ties counted half: what every rank is made of."""

from __future__ import annotations

import bottleneck as bn
import numpy as np

from huracan.preprocessing.window_merging import Array

__all__ = ["twice_below"]

_COMPARED = 512
"""Windows up to which comparing every pair is the quickest way to ranks."""
_BLOCK = 16_384
"""Rows at a time, so that what is compared stays in the processor's cache."""


def twice_below(x: Array, window: int) -> Array:
    """Twice the number of the ``window - 1`` values before each that it exceeds, and once the number of those it equals.

    NaN until the window is full and while it holds a NaN.

    >>> twice_below(np.array([1.0, 5.0, 3.0, 3.0]), 3)
    array([nan, nan,  2.,  1.])
    """
    if window > len(x):
        return np.full(len(x), np.nan)
    if window > _COMPARED:
        counted: Array = np.rint((bn.move_rank(x, window) + 1.0) * (window - 1))
        return counted
    twice = np.full(len(x), np.nan)
    for start in range(window - 1, len(x), _BLOCK):
        stop = min(len(x), start + _BLOCK)
        count, larger = np.zeros(stop - start, np.int16), np.empty(stop - start, np.bool_)
        for back in range(1, window):
            earlier = x[start - back : stop - back]
            for compare in (np.greater, np.greater_equal):
                compare(x[start:stop], earlier, out=larger)
                np.add(count, larger.view(np.int8), out=count)
        twice[start:stop] = count
    missing = np.isnan(x)
    if missing.any():
        twice[bn.move_max(missing.astype(np.float64), window, min_count=1) > 0.0] = np.nan
    return twice
