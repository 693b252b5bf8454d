"""Observations of many copies in one pass, compiled, the same bits as without; importing this needs numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["written"]


@njit(cache=True)
def written(
    standing: Any,
    close: Any,
    highest_seen: Any,
    features: Any,
    fields: Any,
    window: int,
    n_levels: int,
    length: int,
    least_worth: float,
    most: float,
    width: int,
) -> Any:
    """See :meth:`Observations.write`.

    ``fields`` are what is shown of the account, as places in ``AccountField``; ``close`` is of the rows, or None where
    nothing of it is shown; ``width`` is that of an observation.
    """
    row, level, cash, units, target, entry, left = standing
    n, n_features = len(row), features.shape[1]
    out = np.empty((n, width), np.float32)
    highest = highest_seen.copy()
    if n_features:  # rows of copies lie far apart: read first, many are on their way from memory at once
        for i in range(n):
            first = row[i] - (window - 1)
            out[i, 0], out[i, n_features - 1] = features[first, 0], features[first, n_features - 1]
    for i in range(n):
        at = 0
        for bar in range(row[i] - (window - 1), row[i] + 1):
            for j in range(n_features):
                out[i, at] = features[bar, j]
                at += 1
    for i in range(n):
        at = window * n_features
        held, worth = 0.0, 1.0
        if close is not None:
            held = units[i] * close[i]
            worth = np.maximum(cash[i] + held, least_worth)
        for field in fields:
            if field == 0:
                for one in range(n_levels):
                    out[i, at + one] = 1.0 if one == level[i] else 0.0
                at += n_levels
                continue
            if field == 1:
                value = target[i]
            elif field == 2:
                value = held / worth
            elif field == 3:
                value = (held - units[i] * entry[i]) / worth
            elif field == 4:
                highest[i] = np.maximum(highest[i], worth)  # at closes: the next open is not known
                value = 1.0 - worth / highest[i]
            else:
                value = left[i] / length
            out[i, at] = np.minimum(np.maximum(value, -most), most)
            at += 1
    return out, highest
