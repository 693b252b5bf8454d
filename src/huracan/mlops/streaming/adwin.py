"""ADWIN: a window that grows while its older and its newer part agree, kept as sums over stretches of doubling length."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.mlops.streaming.detector import Direction, StreamingDetector, check_number, check_whole
from huracan.mlops.streaming.run_length import calibrate, reference_series, without

__all__ = ["Adwin"]

_MOST_ROWS = 60
"""Rows of stretches: the last would hold 2^59 numbers each."""

_LARGEST_EXPONENT = 690.0
"""``delta`` is never below exp(-690): it stays a normal floating point number."""


_UNIT = 0.1
"""Scale of a calibrated detector in standard deviations: in such small units the second term of the bound hardly counts."""


class Adwin(StreamingDetector):
    """Alarm when some older part of the window has another mean than the newer rest.

    The window holds all numbers since the last alarm, as stretches of 1, 2, 4, ... numbers of which only count, sum and squared
    deviation are kept, at most ``max_buckets`` of a length. Every ``clock`` numbers it is cut at each border of stretches into
    ``n0`` older and ``n1`` newer numbers; the cut shows a change where the means differ by more than
    ``sqrt(2 m v d) + 2/3 d m``, with ``d = ln(2 ln(n) / delta)``, ``v`` the variance of the window and
    ``m = 1/(n0 - min_window_length + 1) + 1/(n1 - min_window_length + 1)``. Older stretches are then dropped until no cut shows
    one. ``changed_at`` is the length of what is kept. The number after an alarm begins a new window.

    Parameters
    ----------
    delta : confidence, above 0 and at most 1; smaller alarms later.
    clock : numbers from one check to the next. max_buckets : stretches of one length, at least 2.
    min_window_length : a part shorter than this is not looked at. grace_period : numbers before the first check.
    scale : what numbers are divided by. The second term of the bound is made for numbers between 0 and 1; where they are
        divided by little, it hardly counts.

    Raises
    ------
    DataError : a setting is out of bounds.

    References
    ----------
    Bifet and Gavaldà (2007), "Learning from Time-Changing Data with Adaptive Windowing", SIAM International Conference on Data
    Mining. In the form of the library River: the same alarms on the same settings.

    Examples
    --------
    >>> watch = Adwin()
    >>> for row, x in enumerate([0.0, 1.0] * 300 + [2.0, 3.0] * 100):
    ...     if watch.update(x).drift_detected:
    ...         print(row, watch.direction, watch.changed_at)
    639 up 56
    """

    _SETTINGS: ClassVar[tuple[str, ...]] = ("delta", "clock", "max_buckets", "min_window_length", "grace_period", "scale")

    def __init__(
        self,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
        scale: float = 1.0,
    ) -> None:
        self.delta = check_number(delta, "delta", above=0.0)
        if not math.exp(-_LARGEST_EXPONENT) <= self.delta <= 1.0:
            raise DataError(f"delta is {delta!r}; a number above 1e-299, at most 1, was expected.")
        self.clock = check_whole(clock, "clock", least=1)
        self.max_buckets = check_whole(max_buckets, "max_buckets", least=2)
        self.min_window_length = check_whole(min_window_length, "min_window_length", least=1)
        self.grace_period = check_whole(grace_period, "grace_period", least=1)
        self.scale = check_number(scale, "scale", above=0.0)
        super().__init__()

    @property
    def width(self) -> int:
        """Numbers in the window; after an alarm those that were kept."""
        return int(self._state[1])

    @property
    def mean(self) -> float:
        """Mean of the window, in the unit of the stream; 0 where it is empty."""
        return self._state[2] / self._state[1] * self.scale if self._state[1] else 0.0

    @classmethod
    def calibrated(cls, reference: ArrayLike, *, run_length: float, random_state: int = 0, **settings: Any) -> Self:
        """A detector that alarms once in ``run_length`` numbers on average while the stream is as in ``reference``.

        As :meth:`StreamingDetector.calibrated`; ``scale`` is by default a tenth of the standard deviation of the reference, and
        ``delta`` is what is found. It is no longer a confidence: the bound assumes independence, and dependence makes it tiny.

        Examples
        --------
        >>> reference = np.random.default_rng(0).standard_normal(5000)
        >>> 1e-4 < Adwin.calibrated(reference, run_length=2000).delta < 0.9
        True
        """
        series = reference_series(reference, run_length, cls.__name__)
        without("delta", settings, cls.__name__)
        settings.setdefault("scale", _UNIT * float(series.std()))
        trial = cls(**settings)
        exponent, calibration = calibrate(
            series, trial._exponents, run_length, random_state=random_state, lowest=0.0, highest=_LARGEST_EXPONENT
        )
        watch = cls(delta=math.exp(-exponent), **settings)
        watch.calibration = calibration
        return watch

    @staticmethod
    def _loop(x: Any, begin: int, state: tuple[Any, ...], terms: tuple[Any, ...]) -> tuple[int, bool, tuple[Any, ...]]:
        n, width, total, spread, moved, n_rows, counts, sums, spreads = state
        delta, clock, room, shortest, grace, scale = terms
        alarm, gap = False, 0.0
        for i in range(begin, len(x)):
            # the number comes in as a stretch of its own
            value = x[i] / scale
            n += 1.0
            width += 1.0
            if width > 1.0:
                away = value - total / (width - 1.0)
                spread += (width - 1.0) * away * away / width
            total += value
            sums[counts[0]] = value
            spreads[counts[0]] = 0.0
            counts[0] += 1
            # a row that is full gives its two oldest stretches to the next row, as one
            row = 0
            size = 1.0
            while counts[row] == room:
                first = row * room
                into = first + room + counts[row + 1]
                away = sums[first] / size - sums[first + 1] / size
                sums[into] = sums[first] + sums[first + 1]
                spreads[into] = spreads[first] + spreads[first + 1] + size * 0.5 * away * away
                counts[row + 1] += 1
                counts[row] -= 2
                for k in range(first, first + room - 2):
                    sums[k] = sums[k + 2]
                    spreads[k] = spreads[k + 2]
                row += 1
                size *= 2.0
                if row == n_rows:
                    n_rows += 1
            if n % clock != 0.0 or width <= grace:
                continue
            # cuts from the oldest stretch on; where one shows a change the oldest stretch goes, and all cuts are tried again
            shrinking = True
            while shrinking:
                shrinking = False
                older, older_total = 0.0, 0.0
                doubt = math.log(2.0 * math.log(width) / delta)
                twice_doubted = 2.0 * max(spread / width, 0.0) * doubt
                row = n_rows - 1
                size = 2.0**row
                while row >= 0 and not shrinking:
                    for k in range(row * room, row * room + counts[row]):
                        older += size
                        older_total += sums[k]
                        newer = width - older
                        if older >= shortest and newer >= shortest:
                            gap = older_total / older - (total - older_total) / newer
                            m = 1.0 / (older - shortest + 1.0) + 1.0 / (newer - shortest + 1.0)
                            if abs(gap) > math.sqrt(m * twice_doubted) + 2.0 / 3.0 * doubt * m:
                                shrinking = True
                                break
                    row -= 1
                    size *= 0.5
                if shrinking:
                    alarm = True
                    moved = gap
                    last = n_rows - 1
                    first, size = last * room, 2.0**last
                    width -= size
                    total -= sums[first]
                    away = sums[first] / size - total / width
                    spread -= spreads[first] + size * width * away * away / (size + width)
                    counts[last] -= 1
                    for k in range(first, first + counts[last]):
                        sums[k] = sums[k + 1]
                        spreads[k] = spreads[k + 1]
                    if counts[last] == 0:
                        n_rows -= 1
            if alarm:
                return i + 1, True, (n, width, total, spread, moved, n_rows, counts, sums, spreads)
        return len(x), False, (n, width, total, spread, moved, n_rows, counts, sums, spreads)

    @property
    def _terms(self) -> tuple[Any, ...]:
        return (
            self.delta,
            float(self.clock),
            self.max_buckets + 1,
            float(self.min_window_length),
            float(self.grace_period),
            self.scale,
        )

    def _opening(self) -> tuple[Any, ...]:
        places = _MOST_ROWS * (self.max_buckets + 1)
        return 0.0, 0.0, 0.0, 0.0, 0.0, 1, [0] * _MOST_ROWS, [0.0] * places, [0.0] * places

    def _tell(self) -> tuple[Direction, int]:
        return ("down" if self._state[4] > 0.0 else "up"), self.width

    def _as_arrays(self, state: tuple[Any, ...]) -> tuple[Any, ...]:
        counts, sums, spreads = state[6:]
        return *state[:6], np.array(counts, dtype=np.int64), np.array(sums), np.array(spreads)

    def _as_lists(self, state: tuple[Any, ...]) -> tuple[Any, ...]:
        return *state[:6], *(values.tolist() for values in state[6:])

    def _state_out(self) -> Any:
        *numbers, n_rows, counts, sums, spreads = self._state
        room = self.max_buckets + 1
        rows = [
            {name: values[row * room : row * room + counts[row]] for name, values in (("sums", sums), ("spreads", spreads))}
            for row in range(n_rows)
        ]
        return {"numbers": numbers, "rows": rows}

    def _state_in(self, state: Any) -> tuple[Any, ...]:
        numbers = [float(value) for value in state["numbers"]]
        rows, room = state["rows"], self.max_buckets + 1
        opening = self._opening()
        counts, sums, spreads = opening[6:]
        if len(numbers) != 5 or not 1 <= len(rows) < _MOST_ROWS:
            raise ValueError(f"it holds {len(numbers)} numbers and {len(rows)} rows")
        for row, held in enumerate(rows):
            count = counts[row] = len(held["sums"])
            if count >= room or len(held["spreads"]) != count:
                raise ValueError(f"row {row} holds {count} stretches")
            for values, given in ((sums, held["sums"]), (spreads, held["spreads"])):
                values[row * room : row * room + count] = [float(value) for value in given]
        width = sum(count * 2**row for row, count in enumerate(counts))
        finite = all(map(math.isfinite, [*numbers, *sums, *spreads]))
        if width != numbers[1] or not finite or not numbers[0] >= width:
            raise ValueError(f"its stretches hold {width} numbers, the window {numbers[1]:g} of {numbers[0]:g}")
        return *numbers, len(rows), counts, sums, spreads

    def _exponents(self, paths: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """``-ln(delta)`` below which each check of many new windows (paths, n) would alarm.

        Until the first alarm nothing is dropped, so the borders of the stretches depend on how many numbers came alone.
        """
        scaled = (paths - paths.mean()) / self.scale
        before = np.concatenate([np.zeros((len(paths), 1)), np.cumsum(scaled, axis=1)], axis=1)
        squares = np.cumsum(scaled**2, axis=1)
        times = np.arange(self.clock, paths.shape[1] + 1, self.clock)
        times = times[times > self.grace_period]
        found = np.full((len(paths), len(times)), -np.inf)
        for i, width in enumerate(times):
            older = _older_parts(int(width), self.max_buckets)
            fits = (older >= self.min_window_length) & (width - older >= self.min_window_length)
            if not fits.any():
                continue
            older = older[fits]
            newer, older_total, total = width - older, before[:, older], before[:, [width]]
            gap = np.abs(older_total / older - (total - older_total) / newer)
            m = 1.0 / (older - self.min_window_length + 1) + 1.0 / (newer - self.min_window_length + 1)
            variance = np.maximum(squares[:, [width - 1]] / width - (total / width) ** 2, 0.0)
            # gap = sqrt(2 m v d) + 2/3 m d, solved for sqrt(d)
            linear = np.sqrt(2.0 * m * variance)
            root = (np.sqrt(linear**2 + 8.0 / 3.0 * m * gap) - linear) / (4.0 / 3.0 * m)
            found[:, i] = (root**2).max(axis=1) - math.log(2.0 * math.log(width))
        return times, found


def _older_parts(width: int, most: int) -> NDArray[np.intp]:
    """Numbers before each border of stretches in a window of ``width`` numbers, but for its end; ascending."""
    counts = []
    while width > 0:
        # a row that reaches most + 1 hands two on as one, and again after every two more
        handed = max(0, (width - most + 1) // 2)
        counts.append(width - 2 * handed)
        width = handed
    sizes = [np.full(count, 2**row, dtype=np.intp) for row, count in reversed(list(enumerate(counts)))]
    return np.cumsum(np.concatenate(sizes))[:-1]
