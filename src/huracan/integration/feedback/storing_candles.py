"""``append_candles``: candles that came, in whatever order and however many of them are none, into the store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import polars as pl

from huracan.errors import ArtifactError, CandleError, NotEnoughData
from huracan.integration.feedback.candle_intake import Intake
from huracan.integration.feedback.strays import far_of, stray_told, without_strays
from huracan.logs import logger
from huracan.market import bar_length, written_length
from huracan.market.bar_lengths import length_in_ms
from huracan.market.interpretation import canonical_table
from huracan.market.schema import CANDLE_SCHEMA, written_time
from huracan.market.segments import steps_of
from huracan.market.sources import CandleSource, Table, open_tables
from huracan.market.store import AppendReport, CandleStore
from huracan.market.store.moments import utc
from huracan.preprocessing.cleaning import CleaningPolicy
from huracan.preprocessing.cleaning.candles import rows_as_they_come
from huracan.preprocessing.cleaning.rows import Grid

__all__ = ["NOTHING_NEW", "Appended", "append_candles", "canonical_rows"]

T = TypeVar("T")

_ENOUGH_STEPS = 3
_NO_KEYS = pl.DataFrame(schema={name: CANDLE_SCHEMA[name] for name in ("symbol", "ts")})
_NO_CANDLES = pl.DataFrame(schema=CANDLE_SCHEMA)


@dataclass(frozen=True, eq=False)
class Appended:
    """What became of candles that were to be stored.

    Attributes
    ----------
    told : what was late, revised, refused. stored : ``[symbol, ts]`` of those that are, closed when they came.
    strays : candles that wait for others beside them; ``waits`` : symbol -> why, of those that came just now.
    """

    told: Intake
    stored: pl.DataFrame
    strays: pl.DataFrame = field(default_factory=lambda: _NO_CANDLES)
    waits: Mapping[str, str] = field(default_factory=dict)


NOTHING_NEW = Appended(Intake({}), _NO_KEYS)


def append_candles(
    store: CandleStore,
    source: CandleSource,
    bar: int | None,
    *,
    named: str,
    policy: CleaningPolicy | None = None,
    strays: pl.DataFrame = _NO_CANDLES,
) -> Appended:
    """Store candles in whatever order they come; a symbol whose candles cannot be is left out with the reason.

    Parameters
    ----------
    bar : length of a bar, milliseconds; None reads it from the times. named : source that is kept with each row.
    policy : what is done with rows that are there twice, or that no market makes; the store refuses them by default.
    strays : those that waited since the last time, and are stored where something is beside them by now.

    Raises
    ------
    CandleError, NotEnoughData : none of the candles can be taken.
    """
    held = store.bars() if bar is None else []
    if len(held) == 1:
        bar = length_in_ms(held[0])
    label = None if bar is None else written_length(bar)
    newest = _Newest(store, label)
    frames, refused = _each_symbol(source, lambda part: _given_rows(part, policy, bar, newest))
    given, to_come = _without_those_to_come(pl.concat(frames))
    again = strays.join(given, on=["symbol", "ts"], how="anti")
    candles, waiting, waits = _supported(given, again, newest, _length_of(given) if bar is None else bar)
    parts, unfit = [NOTHING_NEW], dict[str, str]()
    if candles.height:
        parts, unfit = _each_symbol(candles, lambda part: _stored_rows(store, part, newest, label, named))
    told = Intake({})
    for part in parts:
        told = part.told.with_earlier(told)
    told = Intake({}, told.late, told.revised, {**refused, **to_come, **unfit})
    return Appended(told, pl.concat([part.stored for part in parts]), waiting, waits)


def canonical_rows(tables: Iterable[Table]) -> pl.DataFrame:
    """Candles as the store takes them; a single bar is enough, and the store refuses what cannot be a candle.

    Raises
    ------
    CandleError, NotEnoughData : a table holds no candles.
    """
    parts = [canonical_table(table, symbol=None, now=_now())[0] for table in tables]
    return pl.concat(parts, how="diagonal").select(CANDLE_SCHEMA.names()) if parts else _NO_CANDLES


def _each_symbol(source: CandleSource, do: Callable[[CandleSource], T]) -> tuple[list[T], dict[str, str]]:
    """What comes of all candles at once, or, where they are refused, of each symbol by itself; symbol -> why it was refused.

    Raises
    ------
    CandleError, NotEnoughData : nothing comes of any symbol.
    """
    try:
        return [do(source)], {}
    except (CandleError, NotEnoughData):
        by_symbol = _by_symbol(source)
        if len(by_symbol) < 2:
            raise
        done, refused = [], {}
        for symbol, rows in by_symbol.items():
            try:
                done.append(do(rows))
            except (CandleError, NotEnoughData) as reason:
                refused[symbol] = str(reason)
        if not done:
            raise
        return done, refused


def _given_rows(source: CandleSource, policy: CleaningPolicy | None, bar: int | None, newest: _Newest) -> pl.DataFrame:
    candles = canonical_rows(open_tables(source))
    if policy is None or (policy.duplicates, policy.invalid) == ("refuse", "refuse"):
        return candles
    kept = rows_as_they_come(candles, policy, None if bar is None else Grid(bar, newest.among(candles)))
    if kept.height < candles.height:
        logger().info("rows were set aside as cleaning is configured", rows=candles.height - kept.height)
    return kept


def _supported(
    given: pl.DataFrame, again: pl.DataFrame, newest: _Newest, bar: int | None
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, str]]:
    """Candles that are to be stored; those that wait from now on; and of those that came just now, symbol -> why.

    Raises
    ------
    CandleError : none but such as lie further behind all others than markets are closed for.
    """
    if bar is None:
        return pl.concat([given, again]), _NO_CANDLES, {}
    if again.is_empty() and _follows(given, newest.among(given), bar):
        return given, _NO_CANDLES, {}
    stored = newest.of_all()
    now, before = round(_now().timestamp() * 1_000), max(stored.values(), default=-1)
    opens = pl.col("ts").dt.epoch("ms")
    candles, waiting = without_strays(given, stored, bar, now)
    front = max(before, _last(candles))
    if front > before:  # candles go on; what waits further on, and alone, was a stray
        candles = pl.concat([candles, again.filter(opens <= front)])
        waiting = pl.concat([waiting, again.filter((opens > front) & (opens <= front + bar))])
    else:
        candles, waiting = without_strays(pl.concat([given, again]), stored, bar, now)
        front = max(before, _last(candles))
    new = waiting.join(again, on=["symbol", "ts"], how="anti")
    waits = {
        str(symbol): stray_told(symbol, ts, front, bar)
        for symbol, ts in new.group_by("symbol").agg(pl.col("ts").max().dt.epoch("ms")).sort("symbol").iter_rows()
    }
    if 0 < new.height == given.height and any(ts - front > far_of(bar) for ts in new["ts"].dt.epoch("ms")):
        raise CandleError(" ".join(waits.values()))
    return candles, waiting, waits


def _stored_rows(store: CandleStore, candles: CandleSource, newest: _Newest, label: str | None, named: str) -> Appended:
    assert isinstance(candles, pl.DataFrame)
    now = _now()
    if label is not None:
        _require_length(candles, length_in_ms(label))
    late = _behind(candles, newest.among(candles))
    known = _those_stored(store, late, label)
    report = store.append(candles, bar=label, source=named)
    told = Intake({}, _counts(late.join(known, on=["symbol", "ts"], how="anti").unique()), _revised(report))
    held = [label] if label is not None else store.bars()
    if not held:
        return Appended(told, _NO_KEYS)
    length = length_in_ms(held[0])
    closed = candles.filter(pl.col("ts") + pl.duration(milliseconds=length) <= now)
    return Appended(told, closed.select("symbol", "ts"))


def _length_of(candles: pl.DataFrame) -> int | None:
    """Length of the bars, milliseconds, where they tell; what is wrong with them the store says."""
    with suppress(CandleError, NotEnoughData):
        return int(bar_length(candles.sort("symbol", "ts")).total_seconds() * 1_000)
    return None


def _without_those_to_come(candles: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """Candles that have begun by the host's clock, and of which symbols there are others.

    Raises
    ------
    CandleError : all of them are to come.
    """
    to_come = candles.filter(pl.col("ts") > dt.datetime.now(dt.UTC))
    if to_come.is_empty():
        return candles, {}
    found = to_come.group_by("symbol").agg(pl.len(), pl.col("ts").min().dt.epoch("ms")).sort("symbol")
    told = {
        str(symbol): f"{symbol}: {n} candles are dated after now, the first {written_time(first)}; they are not taken."
        for symbol, n, first in found.iter_rows()
    }
    if to_come.height == candles.height:
        raise CandleError(" ".join(told.values()))
    return candles.join(to_come.select("symbol", "ts"), on=["symbol", "ts"], how="anti", maintain_order="left"), told


def _require_length(candles: pl.DataFrame, bar: int) -> None:
    """Refuse bars of another length, as far as their times tell: on the grid of shorter ones they look like holes."""
    steps = steps_of(candles.sort("symbol", "ts")).filter(pl.col("step") > 0)
    told = steps.group_by("symbol", maintain_order=True).agg(pl.len().alias("n"), pl.col("step").min())
    for symbol, n, step in told.iter_rows():
        if n >= _ENOUGH_STEPS and step > bar:
            raise CandleError(
                f"{symbol}: these are bars of {written_length(step)}; bars of {written_length(bar)} were expected."
            )


class _Newest:
    """Open of the newest candle of symbols before others are stored, each looked up once; milliseconds UTC."""

    def __init__(self, store: CandleStore, label: str | None) -> None:
        self.store = store
        self._labels = store.bars() if label is None else [label]
        self._known: dict[str, int | None] = {}

    def among(self, candles: pl.DataFrame) -> dict[str, int]:
        """Of the symbols of some candles, as far as any of theirs are stored."""
        return self._of(candles["symbol"].unique().to_list())

    def of_all(self) -> dict[str, int]:
        """Of every symbol there is."""
        return self._of(self.store.symbols())

    def _of(self, symbols: Iterable[str]) -> dict[str, int]:
        found = {symbol: self._looked_up(symbol) for symbol in symbols}
        return {symbol: ts for symbol, ts in found.items() if ts is not None}

    def _looked_up(self, symbol: str) -> int | None:
        if symbol not in self._known:
            self._known[symbol] = None
            with suppress(ArtifactError):  # a damaged symbol is named where its candles are read
                times = [self.store.last_time(symbol, label) for label in self._labels]
                self._known[symbol] = max((round(one.timestamp() * 1_000) for one in times if one is not None), default=None)
        return self._known[symbol]


def _follows(candles: pl.DataFrame, stored: Mapping[str, int], bar: int) -> bool:
    """Whether the newest of some candles is that of two symbols, or a bar after another of its own at most."""
    opens = pl.col("ts").dt.epoch("ms")
    last = _last(candles)
    symbols = candles.filter(opens == last)["symbol"].unique().to_list()
    if len(symbols) != 1:
        return True
    own = max(_last(candles.filter(pl.col("symbol") == symbols[0], opens < last)), stored.get(symbols[0], -1))
    return own >= 0 and last - own <= bar


def _last(candles: pl.DataFrame) -> int:
    """The newest open of some candles, -1 where there are none."""
    return -1 if candles.is_empty() else int(candles["ts"].dt.epoch("ms").max())  # type: ignore[arg-type]


def _behind(candles: pl.DataFrame, newest: Mapping[str, int]) -> pl.DataFrame:
    last = pl.col("symbol").replace_strict(newest, default=None, return_dtype=pl.Int64)
    return candles.select("symbol", "ts").filter(pl.col("ts").dt.epoch("ms") < last)


def _those_stored(store: CandleStore, rows: pl.DataFrame, label: str | None) -> pl.DataFrame:
    """Which of ``rows`` are in the store."""
    if rows.is_empty():
        return rows
    opens = rows["ts"].dt.epoch("ms").to_numpy()
    first, end = utc(int(opens.min())), utc(int(opens.max()) + 1)
    there = store.read(rows["symbol"].unique().sort().to_list(), bar=label, start=first, end=end)
    return there.select("symbol", "ts")


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    return {str(symbol): int(n) for symbol, n in rows.group_by("symbol").len().sort("symbol").iter_rows()}


def _revised(report: AppendReport) -> dict[str, int]:
    return _counts(report.revisions.select("symbol", "ts")) if report.revised else {}


def _by_symbol(source: CandleSource) -> dict[str, pl.DataFrame]:
    """The rows of each symbol of a frame that has a column ``symbol``; nothing for any other source."""
    if not isinstance(source, pl.DataFrame) or "symbol" not in source.columns:
        return {}
    return {str(key[0]): rows for key, rows in source.group_by("symbol", maintain_order=True)}


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
