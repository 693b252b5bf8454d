"""Hampel's filter and winsorising that look only backwards: every value is judged by the ones before it.

A value at t is compared with the last ``window`` known values *before* t; it is not in its own reference, so a jump cannot
excuse itself. Missing values (NaN) are not judged and are in no reference. Each decision depends on the window's values
alone, not on where the series begins or ends: a prefix gives the same result bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import bottleneck as bn
import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from huracan.errors import FeatureError

__all__ = ["FilteredValues", "Limits", "hampel", "hampel_limits", "quantile_limits", "winsorise"]

Array: TypeAlias = NDArray[np.float64]

NORMAL_MAD = 1.482602218505602  # 1 / norm.ppf(.75): makes the median absolute deviation a standard deviation
NORMAL_MEAN = 1.2533141373155001  # sqrt(pi / 2): does the same for the mean absolute deviation
_BLOCK = 1 << 20  # values gathered at a time


class FilteredValues(NamedTuple):
    """``values`` after the filter, and ``flags`` where it changed one."""

    values: NDArray[np.floating]
    flags: NDArray[np.bool_]


class Limits(NamedTuple):
    """What is usual at each row: ``lower`` to ``upper``.

    Both are NaN where nothing can be said (the window is not full, or holds one value only) and may be NaN where all
    values given were found to be inside. ``judged`` tells the two apart.
    """

    lower: Array
    upper: Array
    center: Array
    judged: NDArray[np.bool_]


def hampel(x: ArrayLike, window: int = 240, k: float = 10.0, *, floor: float = 0.0) -> FilteredValues:
    """Replace values that are far from the median of those before them by that median.

    A value is far when it is more than ``k`` times the scale away. The scale is 1.4826 times the median absolute
    deviation (MAD) of the window, which is the standard deviation of a normal; where more than half of the window is
    equal and the MAD is 0, it is 1.2533 times the mean absolute deviation (Iglewicz and Hoaglin, 1993). It is never below
    ``floor``. A window of equal values has no scale: with ``floor=0`` what follows it is not judged.

    Parameters
    ----------
    x : one series in time order; NaN is missing. window : known values before t that t is compared with.
    k : width, in standard deviations of a normal. floor : least scale, in the unit of ``x``.

    Returns
    -------
    ``values`` (as many, same precision) and ``flags``. References are made of values as given, not of replaced ones.

    Raises
    ------
    FeatureError : ``x`` is not one series of finite or missing numbers, or a parameter is out of bounds.

    References
    ----------
    Hampel (1974), "The influence curve and its role in robust estimation", JASA 69; Davies and Gather (1993), JASA 88.

    Examples
    --------
    >>> values, flags = hampel([1.0, 2.0, 1.0, 2.0, 90.0, 1.0], window=4, k=5)
    >>> values.tolist(), flags.tolist()
    ([1.0, 2.0, 1.0, 2.0, 1.5, 1.0], [False, False, False, False, True, False])
    """
    series, dtype = _series(x)
    limits = hampel_limits(series, window, k, floor=floor)
    with np.errstate(invalid="ignore"):
        flags = (series < limits.lower) | (series > limits.upper)
    return FilteredValues(np.where(flags, limits.center, series).astype(dtype), flags)


def winsorise(x: ArrayLike, window: int = 1000, quantiles: tuple[float, float] = (0.005, 0.995)) -> FilteredValues:
    """Limit each value to two quantiles of the ``window`` known values before it.

    Parameters
    ----------
    x : one series in time order; NaN is missing. window : at least 1 / the smaller tail, for a quantile beyond it is the
        window's extreme. quantiles : lower and upper, interpolated linearly.

    Returns
    -------
    ``values`` (as many, same precision) and ``flags``. References are made of values as given, not of limited ones.

    Raises
    ------
    FeatureError : ``x`` is not one series of finite or missing numbers, or a parameter is out of bounds.

    Examples
    --------
    >>> values, flags = winsorise([1.0, 2.0, 3.0, 4.0, 5.0, 99.0, -9.0], window=5, quantiles=(0.25, 0.75))
    >>> values.tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0, 4.0, 3.0]
    """
    series, dtype = _series(x)
    limits = quantile_limits(series, window, quantiles)
    with np.errstate(invalid="ignore"):
        flags = (series < limits.lower) | (series > limits.upper)
    return FilteredValues(np.where(flags, np.clip(series, limits.lower, limits.upper), series).astype(dtype), flags)


def hampel_limits(x: Array, window: int, k: float, *, floor: float = 0.0, also: Sequence[Array] = ()) -> Limits:
    """Median -+ ``k`` scales of the window before each row; see :func:`hampel`.

    Exact limits are computed where a value of ``x`` or of ``also`` could be outside, and left NaN elsewhere. The screen is
    safe: with more than 20 values the MAD is at least the smaller distance from the median to the 30 and 70 % quantiles,
    since at most 40 % of the values and two more lie nearer.
    """
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 2:
        raise FeatureError(f"window is {window!r}; a whole number of at least 2 was expected.")
    if not (np.isfinite(k) and k >= 1.0):
        raise FeatureError(f"k is {k!r}; a finite width of at least 1 was expected.")
    if not (np.isfinite(floor) and floor >= 0.0):
        raise FeatureError(f"floor is {floor!r}; a finite scale of at least 0 was expected.")
    known, before, judged = _reference(x, window)
    lower, upper, center = (np.full(len(x), np.nan) for _ in range(3))
    at = np.flatnonzero(judged)
    if not len(at):
        return Limits(lower, upper, center, judged)
    if window > 40:
        at = at[_could_be_outside(known, before[at], window, k, floor, [values[at] for values in (x, *also)])]
    rows = max(1, _BLOCK // window)
    windows = np.lib.stride_tricks.sliding_window_view(known, window)
    for start in range(0, len(at), rows):
        some = at[start : start + rows]
        sample = windows[before[some] - window]
        middle = np.median(sample, axis=1)
        deviations = np.abs(sample - middle[:, None])
        scale = NORMAL_MAD * np.median(deviations, axis=1)
        flat = scale == 0.0
        scale[flat] = NORMAL_MEAN * deviations[flat].mean(axis=1)
        scale = np.maximum(scale, floor)
        scale[scale == 0.0] = np.nan
        center[some], lower[some], upper[some] = middle, middle - k * scale, middle + k * scale
    return Limits(lower, upper, center, judged)


def quantile_limits(x: Array, window: int, quantiles: tuple[float, float]) -> Limits:
    """Two quantiles of the window before each row; see :func:`winsorise`."""
    low, high = quantiles
    if not 0.0 < low < high < 1.0:
        raise FeatureError(f"quantiles are {quantiles}; 0 < low < high < 1 was expected.")
    needed = int(np.ceil(1.0 / min(low, 1.0 - high) - 1e-9))
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < needed:
        raise FeatureError(
            f"window is {window!r}; quantiles {low:g} and {high:g} need a whole number of at least {needed} values, "
            "for beyond that they are the window's extremes."
        )
    known, before, judged = _reference(x, window)
    found = []
    for quantile in (low, 0.5, high):
        values = np.full(len(x), np.nan)
        if judged.any():
            rolling = pl.Series(known).rolling_quantile(quantile, interpolation="linear", window_size=window).to_numpy()
            values[judged] = rolling[before[judged] - 1]
        found.append(values)
    return Limits(found[0], found[2], found[1], judged)


def _series(x: ArrayLike) -> tuple[Array, np.dtype]:
    array = np.asarray(x)
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise FeatureError(f"x has {array.ndim} dimensions of {array.dtype}; one series of numbers was expected.")
    infinite = np.isinf(array)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise FeatureError(f"x holds {array[row]} in row {row}; a finite or missing value was expected.")
    return array.astype(np.float64), array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)


def _reference(x: Array, window: int) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_]]:
    """Known values, how many of them come before each row, and where they fill the window."""
    known = ~np.isnan(x)
    before = np.cumsum(known) - known
    return x[known], before, before >= window


def _could_be_outside(
    known: Array, before: NDArray[np.int64], window: int, k: float, floor: float, tested: Sequence[Array]
) -> NDArray[np.bool_]:
    middle = bn.move_median(known, window)[before - 1]
    series = pl.Series(known)
    low, high = (series.rolling_quantile(q, window_size=window).to_numpy()[before - 1] for q in (0.3, 0.7))
    bound = k * np.maximum(floor, NORMAL_MAD * np.minimum(middle - low, high - middle)) * (1.0 - 1e-9)
    outside = np.zeros(len(before), bool)
    with np.errstate(invalid="ignore"):
        for values in tested:
            outside |= np.abs(values - middle) > bound
    return outside
