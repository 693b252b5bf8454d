"""Rows of any kind in the order of symbol and time, with what is known before each row, and tables cut from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.inputs import InputScaler
from huracan.dataset import RowKeys, TimeSource, TrainingSet, split_keys
from huracan.validation.row_times import RowTimes

__all__ = ["AskedRows", "TableSource", "WindowedRows"]

_BLOCK = 16_384


@dataclass(frozen=True, eq=False)
class AskedRows:
    """Rows of a ``TrainingSet`` that a model is asked about, by number; all others are only what they look back at."""

    rows: TrainingSet
    which: NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.which)


@dataclass(frozen=True, eq=False)
class WindowedRows:
    """Rows as given, and their order in which those of one symbol and segment lie together, oldest first.

    Attributes
    ----------
    values : float32 (rows, features), as given; no copy. order : int32 (rows,), the row of ``values`` at each place of that
        order, or None where they are in order.
    place : int32 (n,), place of each given row, or of the last bar of each given window. before : int32 (n,), unbroken bars
        before it.
    times : when each given row is decided and its label known.

    Examples
    --------
    >>> rows = WindowedRows.of(np.arange(12.0, dtype=np.float32).reshape(6, 2))
    >>> rows.before.tolist()
    [0, 1, 2, 3, 4, 5]
    >>> rows.table(np.array([2, 5]), 2)[0][:, 0].tolist()
    [2.0, 4.0, 8.0, 10.0]
    """

    values: NDArray[np.float32]
    order: NDArray[np.int32] | None
    place: NDArray[np.int32]
    before: NDArray[np.int32]
    times: RowTimes

    @classmethod
    def of(cls, X: Any, times: RowTimes | None = None, **more: Any) -> Self:
        """Sort a ``TrainingSet``; take a matrix (n, d) as one series in time order; take windows (n, length, d) as they are.

        Without ``times`` those of a matrix are its row numbers, and a label is known one row later. ``more`` is for fields of
        a class that has more of them.
        """
        if isinstance(X, TrainingSet):
            return cls._of_training_set(X, more)
        n = len(X)
        times = RowTimes.of(X) if times is None else times
        if X.ndim == 3:
            length = X.shape[1]
            place = np.arange(1, n + 1, dtype=np.int32) * np.int32(length) - np.int32(1)
            return cls(X.reshape(n * length, X.shape[2]), None, place, np.full(n, length - 1, np.int32), times, **more)
        row = np.arange(n, dtype=np.int32)
        return cls(X, None, row, row, times, **more)

    @classmethod
    def of_rows(cls, X: Any, values: NDArray[np.float32], *, label_horizon: int, **more: Any) -> Self:
        """Sort the rows of a matrix or frame by what is known of them; ``values`` are its features (n, d).

        See :func:`~huracan.dataset.split_keys` for what is read of a frame. A segment begins where a bar is missing.
        """
        given = split_keys(X)[1]
        if not given.found:
            return cls.of(values, RowTimes.of(values, label_horizon=label_horizon), **more)
        keys = RowKeys.read(given, len(values))
        if given.ts is None:
            times = RowTimes.of(values, label_horizon=label_horizon)
        else:
            decided, known = (at.astype(np.int64) for at in (keys.ts + keys.bar_length, keys.label_end(label_horizon)))
            times = RowTimes(decided, known, int(keys.bar_length / np.timedelta64(1, "ms")), clock=True)
        return cls._sorted(values, keys, None, times, more)

    @classmethod
    def _of_training_set(cls, rows: TrainingSet, more: dict[str, Any]) -> Self:
        unknown = np.isnat(rows.label_end)  # a row that may stand in windows, and is not learned from
        known = replace(rows, label_end=np.where(unknown, rows.decision_time, rows.label_end)) if unknown.any() else rows
        times = RowTimes.of(known)
        step = rows.bar_length if rows.time_source is TimeSource.CANDLES else None
        return cls._sorted(rows.X, rows, step, times, more)

    @classmethod
    def _sorted(
        cls,
        values: NDArray[np.float32],
        keys: TrainingSet | RowKeys,
        step: np.timedelta64 | None,
        times: RowTimes,
        more: dict[str, Any],
    ) -> Self:
        from huracan.training.windows import bars_before

        code, segment, ts = keys.symbol_code, keys.segment, keys.ts
        row = np.arange(len(values), dtype=np.int32)
        order = None if len(keys.symbols) == 1 else np.lexsort((ts, code)).astype(np.int32)
        if order is None or np.array_equal(order, row):  # by time is by symbol and time, or symbols follow each other
            return cls(values, None, row, bars_before(code, segment, ts, step).astype(np.int32), times, **more)
        place, before = np.empty_like(order), np.empty_like(order)
        place[order] = row
        before[order] = bars_before(code[order], segment[order], ts[order], step)
        return cls(values, order, place, before, times, **more)

    def complete(self, length: int) -> NDArray[np.bool_]:
        """Whether each given row has a whole window of ``length`` bars."""
        return self.before >= length - 1

    def numbers(self, which: NDArray[np.int64]) -> NDArray[np.int32]:
        """Rows of ``values`` that given rows, or the last bars of given windows, are at."""
        return self.place[which] if self.order is None else self.order[self.place[which]]

    def table(
        self, which: NDArray[np.int64], length: int, scaler: InputScaler | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """The bars that windows of these given rows reach, each once and scaled, and the row (n,) each window ends in.

        Each of ``which`` has a whole window, see :meth:`complete`. Of what is not reached nothing is copied.
        """
        return self.source(which).table(length, scaler)

    def source(self, which: NDArray[np.int64], *, own: bool = False) -> TableSource:
        """What :meth:`table` of these given rows is made from, without what else is known of them.

        ``own`` says that nobody else has ``values``: the table may then take their place.
        """
        ends, by_place = self.place[which], None
        if not np.all(ends[1:] >= ends[:-1]):
            by_place = np.argsort(ends, kind="stable").astype(np.int32)
            ends = ends[by_place]
        return TableSource(self.values, self.order, ends, by_place, own and self.order is None)


@dataclass(eq=False)
class TableSource:
    """What a table is cut from, once.

    Attributes
    ----------
    values, order : as of :class:`WindowedRows`.
    ends : int32 (n,), places of the last bars of windows, ascending. by_place : int32 (n,), which window each is of, or None
        where they are in order.
    own : whether the table may take the place of ``values``, whose order it has, so that there is no second copy of them; it
        does where it is more than half of them.
    """

    values: NDArray[np.float32]
    order: NDArray[np.int32] | None
    ends: NDArray[np.int32]
    by_place: NDArray[np.int32] | None
    own: bool

    def table(self, length: int, scaler: InputScaler | None) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """See :meth:`WindowedRows.table`; ``ends`` become rows of the table."""
        ends, size = self.ends, _reached(self.ends, length)
        in_place = self.own and 2 * size > len(self.values)
        table = self.values if in_place else np.empty((size, self.values.shape[1]), np.float32)
        stop, end = 0, int(ends[0]) - length if len(ends) else 0
        for first in range(0, len(ends), _BLOCK):
            block = ends[first : first + _BLOCK]
            new = _new_bars(block, end, length)
            stops = np.cumsum(new, dtype=np.int32) + np.int32(stop)
            rows = np.arange(stop, int(stops[-1])) + np.repeat(block + 1 - stops, new)
            part = table[stop : int(stops[-1])]
            if in_place:  # rows go up, and none of those still to be read is before the part
                part[...] = self.values[rows]
            else:
                np.take(self.values, rows if self.order is None else self.order[rows], axis=0, out=part, mode="clip")
            if scaler is not None:
                scaler(part, out=part)
            stop, end = int(stops[-1]), int(block[-1])
            np.subtract(stops, 1, out=block)
        if self.by_place is None:
            return table[:size], ends
        self.order = None
        last = np.empty_like(ends)
        last[self.by_place] = ends
        return table[:size], last


def _new_bars(ends: NDArray[np.int32], before: int, length: int) -> NDArray[np.int32]:
    """Bars of each window, by the place it ends in, that the window before does not hold."""
    return np.minimum(np.diff(ends, prepend=np.int32(before)), np.int32(length))


def _reached(ends: NDArray[np.int32], length: int) -> int:
    """Bars that windows ending in these places, in order, hold together."""
    if not len(ends):
        return 0
    return length + sum(
        int(_new_bars(ends[first + 1 : first + 1 + _BLOCK], int(ends[first]), length).sum())
        for first in range(0, len(ends) - 1, _BLOCK)
    )
