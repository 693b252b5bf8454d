"""Moving windows put together from halves, for whole series at once and bar by bar: one text for both.

A window of 48 is two windows of 24, each of which is two of 12, and one of 3 is one of 2 and a row. So every window of a
series is merged from neighbours in few steps, at most two for each doubling. Nothing is ever subtracted from a running sum,
which buys four things that sliding sums do not have:

* a value depends on its window only, to the last bit, wherever the series begins and whatever happened before it;
* a NaN is felt in the windows that hold it and nowhere else;
* squares are summed about the means of the pieces (Chan, Golub & LeVeque, *Algorithms for computing the sample variance*,
  American Statistician 37, 1983), and a mean is kept as its distance from the first value of its piece, so that a deviation
  of a millionth of the price loses no digit either;
* what does not move has a deviation of exactly 0.

Batch cuts the neighbours out of arrays. Recorded (:mod:`~huracan.preprocessing.tracing`), a neighbour is the same statistic
some bars ago, so that online one bar takes the few additions of its own window, windows of one series share their pieces, and
every bit is batch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from huracan.preprocessing.tracing import Ref, Traced, operation

__all__ = [
    "Array",
    "Pieces",
    "lag",
    "last_row",
    "mean_step",
    "merge_moments",
    "merge_sums",
    "merged",
    "moments_of_both",
    "over_windows",
    "total",
    "without_last",
]

Array: TypeAlias = NDArray[np.float64]
Pieces: TypeAlias = tuple[Any, ...]
"""Statistics of all windows of one size, row by row; a plain number is one that all of them have."""
Merge: TypeAlias = Callable[[Pieces, int, Pieces, int], Pieces]
"""Statistics of two neighbours and how many rows each has; gives those of both together."""

_ROWS = 8_192
"""Rows at a time, so that what is merged stays in the processor's cache."""


@operation
def lag(x: Array, bars: int) -> Array:
    """The value ``bars`` rows earlier.

    >>> lag(np.array([1.0, 2.0, 3.0]), 1)
    array([nan,  1.,  2.])
    """
    moved = np.empty(len(x))
    moved[:bars] = np.nan
    moved[bars:] = x[: max(len(x) - bars, 0)]
    return moved


def over_windows(statistic: Callable[..., Pieces], window: int, *series: Array) -> tuple[Array, ...]:
    """A statistic of every window, at the row where the window ends; NaN before.

    ``statistic`` takes the series, or some of their rows, and gives one value for each window in them.

    >>> over_windows(lambda x: merged((x,), 3, merge_sums), 3, np.array([1.0, 2.0, 4.0, 8.0]))
    (array([nan, nan,  7., 14.]),)
    """
    if any(isinstance(x, Traced) for x in series):
        return statistic(*series)
    rows, step = len(series[0]), max(_ROWS, 4 * window)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if window > rows:
            return tuple(np.full(rows, np.nan) for _ in statistic(*(np.full(window, np.nan) for _ in series)))
        found: tuple[Array, ...] = ()
        for start in range(0, rows - window + 1, step):
            stop = min(rows, start + step + window - 1)
            part = statistic(*(x[start:stop] for x in series))
            found = found or tuple(np.empty(rows) for _ in part)
            for whole, values in zip(found, part, strict=True):
                whole[start + window - 1 : stop] = values
    for whole in found:
        whole[: window - 1] = np.nan
    return found


def merged(single: Pieces, window: int, merge: Merge) -> Pieces:
    """Statistics of every window of ``window`` rows, from those of single rows."""
    if window == 1:
        return single
    half = merged(single, window // 2, merge)
    whole = _both(half, window // 2, half, window // 2, merge)
    return _both(whole, window - 1, single, 1, merge) if window % 2 else whole


def last_row(x: Any, window: int) -> Any:
    """The last value of every window.

    >>> last_row(np.array([1.0, 2.0, 4.0, 8.0]), 3)
    array([4., 8.])
    """
    return _later(x, window - 1)


def merge_sums(earlier: Pieces, earlier_rows: int, later: Pieces, later_rows: int) -> Pieces:
    """Sums of any number of series."""
    return tuple(a + b for a, b in zip(earlier, later, strict=True))


def merge_moments(earlier: Pieces, earlier_rows: int, later: Pieces, later_rows: int) -> Pieces:
    """First value, mean less the first value, sum of squares about the mean; of one row ``(x, 0.0, 0.0)``."""
    return moments_of_both(earlier, earlier_rows, later, later_rows, mean_step(earlier, later))


def moments_of_both(earlier: Pieces, earlier_rows: int, later: Pieces, later_rows: int, step: Any) -> Pieces:
    """As :func:`merge_moments`, where the step from mean to mean is known already."""
    rows = earlier_rows + later_rows
    squares = total(step * (earlier_rows * later_rows / rows) * step, earlier[2], later[2])
    return earlier[0], total(step * (later_rows / rows), earlier[1]), squares


def mean_step(earlier: Pieces, later: Pieces) -> Any:
    """From the mean of one piece to that of the next."""
    step = total(later[0] - earlier[0], later[1])
    return step if isinstance(earlier[1], float) else step - earlier[1]


def total(first: Any, *others: Any) -> Any:
    """The sum of what is more than a number: the zeros of single rows add nothing."""
    for other in others:
        if not isinstance(other, float):
            first = first + other
    return first


def _both(first: Pieces, first_rows: int, second: Pieces, second_rows: int, merge: Merge) -> Pieces:
    earlier = tuple(without_last(a, second_rows) for a in first)
    return merge(earlier, first_rows, tuple(_later(a, first_rows) for a in second), second_rows)


def without_last(a: Any, rows: int) -> Any:
    """What is followed by another ``rows`` rows.

    >>> without_last(np.array([1.0, 2.0, 4.0]), 1)
    array([1., 2.])
    """
    if isinstance(a, float):
        return a
    if not isinstance(a, Traced):
        return a[: len(a) - rows]
    node = a.graph.nodes[a.number]
    if node.what is lag:  # an earlier value of an earlier value: looked up once, where all others of the series are kept
        source, bars = node.inputs
        assert isinstance(source, Ref)
        return lag(Traced(a.graph, source.number), bars + rows)
    return lag(a, rows)


def _later(a: Any, rows: int) -> Any:
    """What follows another ``rows`` rows; recorded, a value stands where its window ends anyway."""
    return a if isinstance(a, float | Traced) else a[rows:]
