"""Features on longer bars, laid out on the candles' own rows: each is known when its bar has closed, never sooner."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from huracan.market.bar_lengths import grid_phase
from huracan.preprocessing.indicators import Bars
from huracan.preprocessing.rolling import Array
from huracan.preprocessing.spec import FeatureSpec

__all__ = ["LongerBars", "first_whole_row"]


class LongerBars:
    """The complete longer bars of one segment, and the way back to its rows.

    Parameters
    ----------
    columns : candle columns of one unbroken segment, float64.
    ts : open times, milliseconds since 1970, UTC.
    bar : length of one of its bars in milliseconds.
    every : how many of them make a longer one.

    Examples
    --------
    >>> hours = np.arange(3, 13) * 3_600_000
    >>> four = LongerBars({"close": np.arange(3.0, 13.0)}, hours, 3_600_000, 4)
    >>> four.bars.ts // 3_600_000
    array([4, 8])
    >>> four.on_rows(np.array([7.0, 11.0]))
    array([nan, nan, nan, nan,  7.,  7.,  7.,  7., 11., 11.])
    """

    def __init__(self, columns: dict[str, Array], ts: NDArray[np.int64], bar: int, every: int) -> None:
        first = first_whole_row(int(ts[0]), bar, every) if len(ts) else 0
        count = max(0, (len(ts) - first) // every)
        self._rows = len(ts)
        self._first_known = first + every - 1
        self._every = every
        whole = slice(first, first + count * every)
        grouped = {name: values[whole].reshape(count, every) for name, values in columns.items()}
        made = {name: _REDUCE[name](values) for name, values in grouped.items()}
        self.bars = Bars(made, np.ascontiguousarray(ts[whole][::every])) if count else None

    def compute(self, spec: FeatureSpec) -> tuple[Array, ...]:
        """A feature on the longer bars, on the rows of the segment."""
        if self.bars is None:
            return tuple(np.full(self._rows, np.nan) for _ in spec.columns)
        return tuple(self.on_rows(values) for values in spec.compute(self.bars))

    def on_rows(self, values: Array) -> Array:
        """Hold each longer bar's value from the row that closes it to the row before the next does."""
        out = np.full(self._rows, np.nan)
        rest = out[self._first_known :]
        rest[:] = np.repeat(values, self._every)[: len(rest)]
        return out


def first_whole_row(ts: int, bar: int, every: int) -> int:
    """Rows of a segment that begins at ``ts`` before its first longer bar that can be complete.

    >>> first_whole_row(3 * 3_600_000, 3_600_000, 4), first_whole_row(8 * 3_600_000, 3_600_000, 4)
    (1, 0)
    """
    length = bar * every
    return -(-((grid_phase(length) - ts) % length) // bar)


_REDUCE = {
    "open": lambda x: x[:, 0],
    "high": lambda x: x.max(axis=1),
    "low": lambda x: x.min(axis=1),
    "close": lambda x: x[:, -1],
    "volume": lambda x: x.sum(axis=1),
}
