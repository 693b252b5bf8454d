"""Features of several symbols compared with each other at one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["compared_across"]


def compared_across(values: Mapping[str, Sequence[float]], across: Sequence[tuple[int, str]]) -> dict[str, Sequence[float]]:
    """Put comparisons in place of the columns that are compared.

    Parameters
    ----------
    values : symbol -> its features. across : places of the columns to compare, and how (``CROSS_SECTIONS``).

    Examples
    --------
    >>> compared_across({"A": [1.0, 5.0], "B": [2.0, 7.0], "C": [float("nan"), 9.0]}, [(0, "demean"), (1, "rank")])
    {'A': [-0.5, -1.0], 'B': [0.5, 0.0], 'C': [nan, 1.0]}
    """
    rows = {symbol: list(row) for symbol, row in values.items()}
    for place, method in across:
        column = np.array([row[place] for row in rows.values()])
        known = ~np.isnan(column)
        compared = np.full(len(column), np.nan)
        if known.sum() > 1:
            compared[known] = _METHODS[method](column[known])
        for row, value in zip(rows.values(), compared.tolist(), strict=True):
            row[place] = value
    return dict(rows)


def _rank(x: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = np.sort(x)
    below, up_to = np.searchsorted(ordered, x, "left"), np.searchsorted(ordered, x, "right")
    return np.divide(below + up_to - 1.0, len(x) - 1.0, dtype=np.float64) - 1.0


def _zscore(x: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = float(x.std(ddof=1)) if x.max() > x.min() else np.inf
    scored: NDArray[np.float64] = (x - x.mean()) / spread
    return scored


_METHODS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "rank": _rank,
    "zscore": _zscore,
    "demean": lambda x: x - x.mean(),
}
