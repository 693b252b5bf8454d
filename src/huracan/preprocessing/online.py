"""``OnlineFeatures``: the features of a recipe one closed bar at a time, the same numbers as in batch."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from huracan.errors import CandleError, FeatureError, NotEnoughData, nearest_name
from huracan.market import CandleSource
from huracan.market.bar_lengths import length_in_ms
from huracan.market.schema import written_time
from huracan.market.segments import bar_length, written_length
from huracan.preprocessing.candle_checks import as_candles, candle_columns, candle_keys
from huracan.preprocessing.online_across import compared_across
from huracan.preprocessing.online_candles import CandleReader, candle_rows
from huracan.preprocessing.online_series import OnlineSeries, plan_features
from huracan.preprocessing.spec import require_bar

if TYPE_CHECKING:
    from huracan.preprocessing.recipe import FeatureRecipe

__all__ = ["OnlineFeatures", "OnlineStatus"]

Features = dict[str, float | None]
FrameLike = Any
"""A polars or pandas frame."""

_ENOUGH_BARS = 20
"""Bars of a symbol from which their distance is their length; fewer may lie in gaps."""


@dataclass(frozen=True)
class OnlineStatus:
    """Where one symbol stands.

    Attributes
    ----------
    ts : open of its last bar, None before the first.
    segment : counted from 0 as in ``FeatureRecipe.compute``; a gap begins the next.
    bars : of this segment. missing_to_lookback : bars until every feature has a value.
    missing_to_warmup : bars until no feature depends any more on where the segment began.
    """

    ts: dt.datetime | None
    segment: int
    bars: int
    missing_to_lookback: int
    missing_to_warmup: int


class OnlineFeatures:
    """Features brought forward bar by bar; made by :meth:`open`.

    It holds running state (TA-Lib's handles among it) in memory only. A restart opens it again on stored candles: the state
    after history and then bars is the state after history that holds those bars.

    A bar that does not follow the last one (bars are missing) begins a new segment, as in batch: every feature is None until
    it has warmed up again, and :meth:`status` says so. A bar is taken once; a later correction of it is refused.

    Attributes
    ----------
    symbols : those that are open.
    last : features of each symbol's last bar, None before the first.
    recomputed : features whose indicator has no bar-by-bar form, with the reason; they are computed anew from recent bars.

    Examples
    --------
    >>> import polars as pl
    >>> from huracan.preprocessing import FeatureRecipe, feature
    >>> hours = pl.datetime_range(pl.datetime(2025, 1, 1), pl.datetime(2025, 1, 1, 4), "1h", time_zone="UTC", eager=True)
    >>> candles = pl.DataFrame({"symbol": ["A"] * 5, "ts": hours, "close": [1.0, 2.0, 4.0, 4.0, 2.0]})
    >>> recipe = FeatureRecipe([feature("efficiency_ratio", window=2)])
    >>> online = OnlineFeatures.open(recipe, candles[:3])
    >>> online.last, online.update({"ts": hours[3], "close": 4.0}), online.update(candles[4:])
    ({'A': {'efficiency_ratio_2': 1.0}}, {'efficiency_ratio_2': 1.0}, {'efficiency_ratio_2': 1.0})
    >>> online.update(candles[4:])
    Traceback (most recent call last):
    huracan.errors.CandleError: A: the bar of 2025-01-01 04:00 UTC has been taken already; each bar is taken once, in order.
    """

    def __init__(self, recipe: FeatureRecipe, bar: int, reader: CandleReader, single: bool) -> None:
        """Use :meth:`open`."""
        self.recipe = recipe
        self._plan = plan_features(recipe.features, recipe.required_columns)
        self._bar = bar
        self._read = reader.read
        self._series: dict[str, OnlineSeries] = {}
        self._across = [
            (i, method)
            for i, (method, _) in enumerate((spec.cross_section, c) for spec in recipe.features for c in spec.columns)
            if method
        ]
        self._names = recipe.columns
        self._with_names = _named_by(recipe.columns)
        self._pack = Struct(f"{len(recipe)}f") if single else None
        self.last: dict[str, Features | None] = {}

    @classmethod
    def open(
        cls,
        recipe: FeatureRecipe,
        history: CandleSource,
        *,
        bar: str | dt.timedelta | None = None,
        clock: Callable[[], dt.datetime] | None = None,
        dtype: type[pl.Float32] | type[pl.Float64] | None = None,
        symbols: Iterable[str] = (),
    ) -> OnlineFeatures:
        """Go on from history.

        Parameters
        ----------
        recipe : what is computed.
        history : closed candles of one or more symbols, whatever ``FeatureRecipe.compute`` takes. Of each symbol the last
            unbroken stretch counts. With ``recipe.warmup`` bars of it the features agree with those of the whole past to 1e-6
            of their deviation; the longer it is, the closer. None at all is allowed.
        bar : length of a bar; needed only where the history has too few bars to tell.
        clock : gives the present, to see whether a bar has closed; the computer's clock by default. It is not asked about a
            candle that says itself whether it is closed (``closed`` or ``is_closed``).
        dtype : ``pl.Float32`` (the default, rounded as in batch) or ``pl.Float64``.
        symbols : symbols without history that may come too. Any other symbol is refused.

        Raises
        ------
        CandleError : the history is not in order, lacks a column, holds a price that is none, or ends in a bar that is open.
        NotEnoughData : neither history nor ``bar`` says how long a bar is.
        """
        if dtype not in (None, pl.Float32, pl.Float64):
            raise FeatureError(f"dtype is {dtype}; pl.Float32 or pl.Float64 was expected.")
        if not hasattr(recipe, "required_columns"):
            raise FeatureError(f"recipe is {recipe!r}; a FeatureRecipe, such as FeatureRecipe.default(), was expected.")
        if isinstance(symbols, str):
            raise FeatureError(f"symbols is the text '{symbols}'; a list of names was expected, such as ['{symbols}'].")
        history = as_candles(history)
        keys, bounds = candle_keys(history, recipe.required_columns)
        length = _bar_of(keys, bar)
        require_bar(recipe.features, length)
        if recipe.engine is not None:
            recipe.engine.require_bar(length)
        now = None if clock is None else lambda: clock().timestamp() * 1000.0
        reader = CandleReader(recipe.required_columns, length, now)
        online = cls(recipe, length, reader, dtype is not pl.Float64)
        values = candle_columns(history, recipe.required_columns)
        times = keys["ts"].dt.epoch("ms").to_numpy()
        for start, stop in bounds:
            symbol, segment = keys["symbol"][start], keys["segment"][start]
            if stop < keys.height and keys["symbol"][stop] == symbol:
                continue  # not its last stretch
            reader.require_closed(symbol, int(times[stop - 1]))
            series = online._series[symbol] = OnlineSeries(online._plan, length, segment)
            series.open({name: x[start:stop] for name, x in values.items()}, times[start:stop])
        for symbol in symbols:
            online._series.setdefault(symbol, OnlineSeries(online._plan, length))
        online._tell_last()
        return online

    def __repr__(self) -> str:
        stand = [self.status(symbol) for symbol in self._series]
        ready = sum(not status.missing_to_lookback for status in stand)
        settled = sum(not status.missing_to_warmup for status in stand)
        times = sorted(status.ts for status in stand if status.ts is not None)
        span = " to ".join(f"{ts:%Y-%m-%d %H:%M}" for ts in dict.fromkeys((times[0], times[-1]))) + " UTC" if times else "none"
        names = shorten(", ".join(self._series), 60, placeholder=" ...") or "none"
        return (
            f"<OnlineFeatures: {len(self.recipe)} columns on bars of {written_length(self._bar)}; {len(stand)} symbols "
            f"({names}), last bar {span}; complete: {ready}, warmed up: {settled}>"
        )

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols that are open."""
        return tuple(self._series)

    @property
    def bar_ms(self) -> int:
        """Length of a bar in milliseconds."""
        return self._bar

    @property
    def recomputed(self) -> dict[str, str]:
        """Column -> why it has no bar-by-bar form."""
        return {column: why for spec, why in self._plan.recomputed.items() for column in spec.columns}

    def update(self, candle: Mapping[str, Any] | FrameLike) -> Features:
        """Take the next closed bar of one symbol.

        Parameters
        ----------
        candle : a mapping, or a frame (polars or pandas) of one row, with ``ts`` (the bar's open: a time with its zone, or
            milliseconds since 1970), the columns the recipe reads, and ``symbol`` unless there is only one.

        Returns
        -------
        Column -> value, None where undefined: the row ``FeatureRecipe.compute`` gives for this bar.

        Raises
        ------
        CandleError : the bar is not closed, not after the last one, off the grid, or not a candle; nothing has changed.
        UnknownName : its symbol is not open; nothing has changed.
        FeatureError : the recipe compares symbols (see :meth:`update_all`); an indicator gave an infinite value (the bar is
            taken all the same); or an earlier bar of the symbol was interrupted half-way.
        """
        if self._across:
            column = self._names[self._across[0][0]]
            raise FeatureError(f"'{column}' compares symbols: give update_all the bars of all of them at once.")
        symbol, bar = self._read(candle, self._series)
        features = self.last[symbol] = self._named(self._series[symbol].advance(*bar), symbol)
        return features

    def update_all(self, candles: Iterable[Mapping[str, Any]] | FrameLike) -> dict[str, Features]:
        """Take the bars of several symbols that opened at the same moment; all of them or, if one is refused, none.

        Returns
        -------
        Symbol -> its features. Those that compare symbols compare the ones given.

        Raises
        ------
        As :meth:`update`; and ``CandleError`` where two bars are of one symbol or of different moments.
        """
        bars: dict[str, list[Any]] = {}
        for row in candle_rows(candles):
            symbol, bar = self._read(row, self._series)
            if symbol in bars:
                raise CandleError(f"{symbol}: two bars were given at once; one of each symbol was expected.")
            first = next(iter(bars.values()), bar)
            if bar[0] != first[0]:
                raise CandleError(f"{symbol}: its bar is of {written_time(bar[0])} and others of {written_time(first[0])}.")
            bars[symbol] = bar
        try:
            values = {symbol: self._series[symbol].advance(*bar) for symbol, bar in bars.items()}
        except BaseException:
            for symbol, bar in bars.items():
                self._series[symbol].interrupt(bar[0])
            raise
        return self._compared(values)

    def adopt(self, symbol: str, other: OnlineFeatures) -> None:
        """Go on with a symbol from where it stands in another one of this recipe, such as one opened on more of its history."""
        self._series[symbol], self.last[symbol] = other._series[symbol], other.last[symbol]

    def join(self, other: OnlineFeatures) -> None:
        """Take over the symbols of another one of this recipe; of those that stand at the same bar, one's own stay."""
        for symbol, series in other._series.items():
            mine = self._series.get(symbol)
            if mine is None or mine.ts != series.ts:
                self.adopt(symbol, other)

    def status(self, symbol: str | None = None) -> OnlineStatus:
        """Where a symbol stands; it may be left out where there is one."""
        if symbol is None and len(self._series) == 1:
            symbol = next(iter(self._series))
        if symbol not in self._series:
            raise nearest_name(str(symbol), self._series, kind="symbol")
        series = self._series[symbol]
        ts = None if series.ts is None else dt.datetime.fromtimestamp(series.ts / 1000.0, dt.UTC)
        missing = [max(0, bars + 1 - series.rows) for bars in (self.recipe.lookback, self.recipe.warmup)]
        return OnlineStatus(ts, series.segment, series.rows, *missing)

    def place(self, symbol: str) -> tuple[int | None, int, int]:
        """Open of the last bar (milliseconds since 1970), its segment, and bars of that: what :meth:`status` has ready."""
        series = self._series[symbol]
        return series.ts, series.segment, series.rows

    def _tell_last(self) -> None:
        """The features of each symbol's last bar of history; compared among symbols that stand at the same moment."""
        self.last = dict.fromkeys(self._series)
        moments: dict[int, dict[str, Sequence[float]]] = {}
        for symbol, series in self._series.items():
            if series.values is not None and series.ts is not None:
                moments.setdefault(series.ts, {})[symbol] = series.values
        for values in moments.values():
            self._compared(values)

    def _compared(self, values: dict[str, Sequence[float]]) -> dict[str, Features]:
        if self._across:
            values = compared_across(values, self._across)
        made = {symbol: self._named(row, symbol) for symbol, row in values.items()}
        self.last.update(made)
        return made

    def _named(self, values: Sequence[float], symbol: str) -> Features:
        if self._pack is not None:
            try:
                values = self._pack.unpack(self._pack.pack(*values))
            except (StructError, OverflowError):  # beyond float32: infinite, as in batch
                with np.errstate(over="ignore"):
                    values = np.array(values, np.float32).tolist()
        total = sum(values)
        if total - total == 0.0:
            return self._with_names(values)
        for name, x in zip(self._names, values):
            if math.isinf(x):
                self.last[symbol] = None
                moment = written_time(self._series[symbol].ts)
                raise FeatureError(f"feature '{name}' of {symbol} is infinite at {moment}; an indicator gives NaN there.")
        return {name: None if x != x else x for name, x in zip(self._names, values)}


def _named_by(names: Sequence[str]) -> Callable[[Sequence[float]], Features]:
    """``dict(zip(names, values))`` in half the time: a ready dictionary is copied, and each of its places filled.

    >>> _named_by(("a", "b"))([1.0, 2.0])
    {'a': 1.0, 'b': 2.0}
    """
    values = ", ".join(f"x{i}" for i in range(len(names)))
    filled = "".join(f"    made[{name!r}] = x{i}\n" for i, name in enumerate(names))
    words: dict[str, Any] = {"copy": dict.fromkeys(names).copy}
    exec(f"def named(values):\n    {values}, = values\n    made = copy()\n{filled}    return made", words)
    named: Callable[[Sequence[float]], Features] = words["named"]
    return named


def _bar_of(keys: pl.DataFrame, bar: str | dt.timedelta | None) -> int:
    """Length of a bar in milliseconds, as given or as the history has it."""
    given = None if bar is None else length_in_ms(bar)
    try:
        found = int(bar_length(keys).total_seconds() * 1000)
    except NotEnoughData as error:
        if given is None:
            raise NotEnoughData("the history has too few bars to tell how long one is; give bar='1m' or the like.") from error
        return given
    sure = given != found and int(keys["symbol"].rle().struct.field("len").max()) > _ENOUGH_BARS  # type: ignore[arg-type]
    if given is not None and (found % given or sure):
        raise CandleError(f"bar is {written_length(given)}, and the bars of the history are {written_length(found)} apart.")
    return given or found
