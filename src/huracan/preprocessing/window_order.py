"""Order within moving windows: quantiles, rank, and where the extremes stand. Compared, never summed, so exact.

Every function takes a float64 series in time order and gives one value per row, NaN until its window is full and while the
window holds a NaN. A value depends on its window only, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable

import bottleneck as bn
import numpy as np
import polars as pl

from huracan.preprocessing.rank_counting import twice_below
from huracan.preprocessing.rolling import Array
from huracan.preprocessing.tracing import operation

__all__ = ["quantile_place", "window_argmax", "window_argmin", "window_quantiles", "window_rank"]

_SORTED = 100
"""Windows up to this long are sorted one by one; longer ones are kept in order as they move."""
_AT_ONCE = 250_000
"""Values that are sorted in one go."""


@operation(outputs=lambda x, window, *shares: len(shares))
def window_quantiles(x: Array, window: int, *shares: float) -> Array | tuple[Array, ...]:
    """Quantiles of the last ``window`` values, between two values on the straight line from one to the other.

    >>> low, high = window_quantiles(np.array([4.0, 1.0, 3.0, 2.0]), 3, 0.25, 1.0)
    >>> low, high
    (array([nan, nan, 2. , 1.5]), array([nan, nan,  4.,  3.]))
    """
    if window > len(x):
        found = [np.full(len(x), np.nan) for _ in shares]
    elif window > _SORTED:
        series = pl.Series(x).fill_nan(None)
        found = [_kept_in_order(series, window, share) for share in shares]
    else:
        found = _sorted_quantiles(x, window, shares)
    return found[0] if len(shares) == 1 else tuple(found)


@operation
def window_rank(x: Array, window: int) -> Array:
    """Rank of each value among the last ``window``, as a share of them, equal values sharing the mean of their ranks.

    From ``1 / window`` (lowest) to 1 (highest); the middle of a window that does not move is ``(window + 1) / (2 window)``.

    >>> window_rank(np.array([1.0, 5.0, 3.0, 3.0]), 3).round(3)
    array([  nan,   nan, 0.667, 0.5  ])
    """
    return (0.5 * twice_below(x, window) + 1.0) / window


@operation
def window_argmax(x: Array, window: int) -> Array:
    """Place of the largest of the last ``window`` values, 1 for the oldest of them; of equal ones the oldest.

    >>> window_argmax(np.array([1.0, 5.0, 5.0, 2.0]), 3)
    array([nan, nan,  2.,  1.])
    """
    return _oldest(bn.move_argmax, x, window)


@operation
def window_argmin(x: Array, window: int) -> Array:
    """Place of the smallest of the last ``window`` values, 1 for the oldest of them; of equal ones the oldest.

    >>> window_argmin(np.array([1.0, 5.0, 5.0, 9.0]), 3)
    array([nan, nan,  1.,  1.])
    """
    return _oldest(bn.move_argmin, x, window)


def quantile_place(window: int, share: float) -> tuple[int, int, float]:
    """The two places, from 0, between which a quantile of ``window`` sorted values lies, and how far on from the first.

    >>> quantile_place(5, 0.5), quantile_place(10, 0.25)
    ((2, 3, 0.0), (2, 3, 0.25))
    """
    place = share * (window - 1)
    lower = int(place)
    return lower, min(lower + 1, window - 1), place - lower


def _sorted_quantiles(x: Array, window: int, shares: tuple[float, ...]) -> list[Array]:
    windows = np.lib.stride_tricks.sliding_window_view(x, window)
    places = [quantile_place(window, share) for share in shares]
    found = [np.full(len(x), np.nan) for _ in shares]
    step = max(1, _AT_ONCE // window)
    for start in range(0, len(windows), step):
        order = np.sort(windows[start : start + step], axis=1)
        order[np.isnan(order[:, -1])] = np.nan  # sorting puts NaN last
        rows = slice(start + window - 1, start + window - 1 + len(order))
        for values, (lower, upper, beyond) in zip(found, places, strict=True):
            values[rows] = order[:, lower] + (order[:, upper] - order[:, lower]) * beyond
    return found


def _kept_in_order(series: pl.Series, window: int, share: float) -> Array:
    return series.rolling_quantile(share, "linear", window, min_samples=window).fill_null(float("nan")).to_numpy()


def _oldest(newest: Callable[[Array, int], Array], x: Array, window: int) -> Array:
    """bottleneck finds the newest of equal values, counted from the end of the window: read backwards, the oldest."""
    places = np.full(len(x), np.nan)
    if window <= len(x):
        backwards = np.ascontiguousarray(x[::-1])
        places[window - 1 :] = newest(backwards, window)[window - 1 :][::-1] + 1.0
    return places
