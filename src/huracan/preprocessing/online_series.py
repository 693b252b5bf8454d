"""One symbol online: its segments, the longer bars it makes, and the indicators that are computed anew each bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from huracan.errors import FeatureError
from huracan.market.schema import written_time
from huracan.preprocessing.indicators import Bars, get_indicator
from huracan.preprocessing.indicators.bars import PRICES, price_scale
from huracan.preprocessing.longer_bars import LongerBars, first_whole_row
from huracan.preprocessing.online_program import Program, RunningProgram, record_program
from huracan.preprocessing.rolling import Array
from huracan.preprocessing.spec import FeatureSpec

__all__ = ["CANDLE_VALUES", "FeaturePlan", "OnlineSeries", "plan_features"]

CANDLE_VALUES = ("open", "high", "low", "close", "volume")
"""The order in which a bar's values are handed on; what a recipe does not read is handed on as 0."""

Times: TypeAlias = NDArray[np.int64]
Values: TypeAlias = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class FeaturePlan:
    """How a recipe is computed bar by bar.

    Attributes
    ----------
    columns : candle columns that are read.
    programs : for each multiple of the bar that features are computed on, what one bar of it takes.
    pick : puts the values, program by program, into the recipe's order; None where they come in it.
    """

    columns: tuple[str, ...]
    programs: Mapping[int, Program]
    pick: Callable[[Sequence[float]], Sequence[float]] | None

    @property
    def recomputed(self) -> dict[FeatureSpec, str]:
        """Features without a bar-by-bar form, and why."""
        return {spec: why for program in self.programs.values() for spec, why in program.refused.items()}


def plan_features(features: Sequence[FeatureSpec], columns: Sequence[str]) -> FeaturePlan:
    """Record every feature, and see in what order its columns come."""
    read = tuple(c for c in columns if c != "symbol")
    multiples = sorted({spec.every for spec in features})
    programs = {n: record_program([spec for spec in features if spec.every == n], read) for n in multiples}
    made = [spec for program in programs.values() for spec in (*program.specs, *program.refused)]
    names = [column for spec in made for column in spec.columns]
    places = [names.index(column) for spec in features for column in spec.columns]
    pick: Any = None if places == list(range(len(names))) else itemgetter(*places)
    return FeaturePlan(read, programs, pick)


class OnlineSeries:
    """The features of one symbol, brought forward bar by bar.

    Attributes
    ----------
    ts : open of the last bar, milliseconds since 1970; None before the first.
    segment, rows : number of the current segment, counted from 0, and its bars so far.
    values : float64 features of the last bar in the recipe's order; None before the first.
    """

    def __init__(self, plan: FeaturePlan, bar: int, segment: int = 0) -> None:
        self._plan = plan
        self._bar = bar
        self.segment = segment
        self.ts: int | None = None
        self.rows = 0
        self.values: Sequence[float] | None = None
        self._broken_at: int | None = None

    def open(self, columns: dict[str, Array], ts: Times) -> None:
        """Take the state that the bars of one segment leave."""
        if not len(ts):
            return
        self._begin({name: x[:-1] for name, x in columns.items()}, ts[:-1], _scale_of({n: x[0] for n, x in columns.items()}))
        self.ts, self.rows = int(ts[-1]) - self._bar, len(ts) - 1
        self._step(int(ts[-1]), *_last_of(columns))

    def advance(self, ts: int, open: float, high: float, low: float, close: float, volume: float) -> Sequence[float]:
        """Take the next bar; one that does not follow the last begins a new segment.

        Raises
        ------
        FeatureError : an earlier bar was interrupted half-way (an indicator failed, Ctrl-C), so that the state is unknown.
        """
        if self._broken_at is not None:
            moment = written_time(self._broken_at)
            raise FeatureError(f"the bar of {moment} was interrupted half-way; open the features again on stored candles.")
        if ts - self._bar != self.ts:
            self.segment += self.ts is not None
            self.rows = 0
            values = dict(zip(CANDLE_VALUES, (open, high, low, close, volume)))
            self._begin(
                {}, np.empty(0, np.int64), _scale_of({name: values[name] for name in values if name in self._plan.columns})
            )
        try:
            return self._step(ts, open, high, low, close, volume)
        except BaseException:
            self.interrupt(ts)
            raise

    def interrupt(self, ts: int) -> None:
        """Remember that a bar was broken off half-way, after which nothing here is to be trusted."""
        self._broken_at = ts

    def _begin(self, columns: dict[str, Array], ts: Times, scale: float) -> None:
        self._parts = [
            OwnBars(program, self._plan.columns, columns, ts, scale)
            if every == 1
            else GatheredBars(program, self._plan.columns, columns, ts, self._bar, every)
            for every, program in self._plan.programs.items()
        ]
        first = self._parts[0]
        self._only = first if len(self._parts) == 1 and self._plan.pick is None else None

    def _step(self, ts: int, open: float, high: float, low: float, close: float, volume: float) -> Sequence[float]:
        row = self.rows
        if self._only is not None:
            values: Sequence[float] = self._only.next(row, ts, open, high, low, close, volume)
        else:
            values = [x for part in self._parts for x in part.next(row, ts, open, high, low, close, volume)]
            if self._plan.pick is not None:
                values = self._plan.pick(values)
        self.ts, self.rows, self.values = ts, row + 1, values
        return values


class OwnBars:
    """Features on bars of one length: those of a program, and those computed anew from recent bars."""

    def __init__(self, program: Program, names: tuple[str, ...], columns: dict[str, Array], ts: Times, scale: float) -> None:
        self._running = RunningProgram(program, Bars(columns, ts) if len(ts) else Bars({}), scale)
        self._anew = [RecentBars(spec, names, columns, ts) for spec in program.refused]
        self.next = self._running.step if not (self._running.warming or self._anew) else self._next

    def _next(self, row: int, ts: int, open: float, high: float, low: float, close: float, volume: float) -> list[float]:
        values = self._running.step(row, ts, open, high, low, close, volume)
        if self._running.warming:
            self._running.warm_up(row + 1)
            if not (self._running.warming or self._anew):
                self.next = self._running.step
        for recent in self._anew:
            values = [*values, *recent.next(ts, (open, high, low, close, volume))]
        return values


class GatheredBars:
    """Features on bars so many times as long, held from the bar that closes one to the next that does."""

    def __init__(
        self, program: Program, names: tuple[str, ...], columns: dict[str, Array], ts: Times, bar: int, every: int
    ) -> None:
        self._program, self._names, self._bar, self._every = program, names, bar, every
        self._inner: OwnBars | None = None
        self._count = 0
        self._held = [float("nan")] * sum(len(spec.columns) for spec in (*program.specs, *program.refused))
        self._first_row: int | None = None
        if len(ts):
            self._continue(columns, ts)

    def _continue(self, columns: dict[str, Array], ts: Times) -> None:
        self._first_row = first_whole_row(int(ts[0]), self._bar, self._every)
        longer = LongerBars(columns, ts, self._bar, self._every).bars
        if longer is not None:
            made = {name: x / longer.scale if name in PRICES else x for name, x in longer.columns.items()}
            before = {name: x[:-1] for name, x in made.items()}
            self._inner = OwnBars(self._program, self._names, before, longer.ts[:-1], longer.scale)
            self._count = len(longer)
            self._held = self._inner.next(self._count - 1, int(longer.ts[-1]), *_last_of(made))
        for row in range(max(0, self._first_row + self._count * self._every), len(ts)):
            self.next(row, int(ts[row]), *(float(columns[n][row]) if n in columns else 0.0 for n in CANDLE_VALUES))

    def next(self, row: int, ts: int, open: float, high: float, low: float, close: float, volume: float) -> list[float]:
        """Take a bar of the candles, the ``row``-th of its segment."""
        if self._first_row is None:
            self._first_row = first_whole_row(ts, self._bar, self._every)
        place = (row - self._first_row) % self._every
        if row < self._first_row:
            return self._held
        if place == 0:
            self._ts, self._open, self._high, self._low, self._volume = ts, open, high, low, volume
        else:
            self._high = max(self._high, high)
            self._low = min(self._low, low)
            self._volume += volume
        if place == self._every - 1:
            values = (self._open, self._high, self._low, close, self._volume)
            if self._inner is None:
                scale = _scale_of({n: x for n, x in zip(CANDLE_VALUES, values) if n in self._names})
                self._inner = OwnBars(self._program, self._names, {}, np.empty(0, np.int64), scale)
            self._held = self._inner.next(self._count, self._ts, *values)
            self._count += 1
        return self._held


class RecentBars:
    """A feature without a bar-by-bar form: computed anew, each bar, from as many of the last bars as it depends on."""

    def __init__(self, spec: FeatureSpec, names: tuple[str, ...], columns: dict[str, Array], ts: Times) -> None:
        self._spec = replace(spec, every=1, cross_section="")
        endless = get_indicator(spec.indicator).memory == "cumulative"
        self._keep = None if endless else self._spec.warmup + 1
        kept = len(ts) if self._keep is None else min(len(ts), self._keep)
        size = 2 * max(64, kept, self._keep or 0)
        self._ts = np.empty(size, np.int64)
        self._columns = {name: np.empty(size) for name in names if name != "ts"}
        self._stop = kept
        self._ts[:kept] = ts[len(ts) - kept :]
        for name, place in self._columns.items():
            place[:kept] = columns[name][len(ts) - kept :] if kept else ()

    def next(self, ts: int, values: Values) -> list[float]:
        """Take a bar and compute the feature's columns for it."""
        at = self._stop
        if at == len(self._ts):
            at = self._make_room()
        self._ts[at] = ts
        for name, value in zip(CANDLE_VALUES, values):
            if name in self._columns:
                self._columns[name][at] = value
        self._stop = at + 1
        rows = slice(0 if self._keep is None else max(0, self._stop - self._keep), self._stop)
        bars = Bars({name: x[rows] for name, x in self._columns.items()}, self._ts[rows])
        return [float(x[-1]) for x in self._spec.compute(bars)]

    def _make_room(self) -> int:
        if self._keep is None:
            self._ts = np.resize(self._ts, 2 * self._stop)
            self._columns = {name: np.resize(x, 2 * self._stop) for name, x in self._columns.items()}
            return self._stop
        for x in (self._ts, *self._columns.values()):
            x[: self._keep] = x[self._stop - self._keep : self._stop].copy()
        return self._keep


def _last_of(columns: dict[str, Array]) -> Values:
    return tuple(float(columns[name][-1]) if name in columns else 0.0 for name in CANDLE_VALUES)  # type: ignore[return-value]


def _scale_of(first_bar: Mapping[str, Any]) -> float:
    """The power of two that :class:`Bars` would choose."""
    prices = [first_bar[name] for name in ("close", "open", "high", "low") if name in first_bar]
    return price_scale(float(prices[0])) if prices else 1.0
