"""What of the candles a turn is about: those that came, late, revised or refused, and how new each symbol's newest is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from huracan.errors import CandleError, NotEnoughData
from huracan.integration.feedback.candle_window import CandleWindow
from huracan.market import written_length
from huracan.market.bar_lengths import length_in_ms
from huracan.market.interpretation import canonical_table
from huracan.market.schema import CANDLE_SCHEMA, written_time
from huracan.market.segments import steps_of
from huracan.market.sources import CandleSource, Table, open_tables
from huracan.market.store import AppendReport, CandleStore
from huracan.market.store.moments import utc

__all__ = [
    "FAR_BARS",
    "NOTHING_NEW",
    "Appended",
    "CandleFeed",
    "Intake",
    "append_candles",
    "canonical_rows",
]

FAR_BARS = 24
"""Bars beyond all candles after which a clock is not believed."""
_FAR_ALONE = 7 * 86_400_000
"""Milliseconds beyond all others after which one candle alone is not believed: markets are closed for shorter."""
_ENOUGH_STEPS = 3
_NONE = pl.DataFrame(schema={name: CANDLE_SCHEMA[name] for name in ("symbol", "ts")})


@dataclass(frozen=True)
class Intake:
    """What a feed has for a turn; times are opens, milliseconds UTC.

    Attributes
    ----------
    newest : symbol -> its newest bar that is closed. late : symbol -> bars that came after later ones were there; they are
        stored, and never predicted as if they had been known. revised : symbol -> bars whose values were changed.
    refused : symbol -> why its candles were not taken, in a sentence; ``*`` for all of them.
    """

    newest: Mapping[str, int]
    late: Mapping[str, int] = field(default_factory=dict)
    revised: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def quiet(self) -> bool:
        """Whether taking again tells the same: nothing was late, revised or refused, which a store tells once."""
        return not (self.late or self.revised or self.refused)

    def with_earlier(self, earlier: Intake) -> Intake:
        """What both tell, where the newest bars are these."""
        late, revised = ({**b, **{s: n + b.get(s, 0) for s, n in a.items()}} for a, b in self._counts(earlier))
        return Intake(self.newest, late, revised, {**earlier.refused, **self.refused})

    def _counts(self, earlier: Intake) -> tuple[tuple[Mapping[str, int], Mapping[str, int]], ...]:
        return (self.late, earlier.late), (self.revised, earlier.revised)


class CandleFeed(CandleWindow, Protocol):
    """Where the Mechanic's candles come from."""

    @property
    def newest(self) -> int | None:
        """Open of the newest bar of any symbol, milliseconds UTC; None where there is none."""
        ...

    def take(self, until: int) -> Intake:
        """Have every bar that is closed by ``until``; taking again changes nothing."""
        ...


@dataclass(frozen=True, eq=False)
class Appended:
    """What became of candles that were to be stored. ``stored`` : ``[symbol, ts]`` of those that are, closed when they came."""

    told: Intake
    stored: pl.DataFrame


NOTHING_NEW = Appended(Intake({}), _NONE)


def append_candles(store: CandleStore, source: CandleSource, bar: int | None, *, named: str) -> Appended:
    """Store candles in whatever order they come; a symbol whose candles cannot be is left out with the reason.

    Parameters
    ----------
    bar : length of a bar, milliseconds; None reads it from the times. named : source that is kept with each row.

    Raises
    ------
    CandleError, NotEnoughData : none of the candles can be taken.
    """
    try:
        return _appended(store, source, bar, named)
    except (CandleError, NotEnoughData) as error:
        parts = _by_symbol(source)
        if len(parts) < 2:
            raise
        taken, refused, stored = Intake({}), {}, [_NONE]
        for symbol, rows in parts.items():
            try:
                done = _appended(store, rows, bar, named)
                taken = done.told.with_earlier(taken)
                stored.append(done.stored)
            except (CandleError, NotEnoughData) as reason:
                refused[symbol] = str(reason)
        if len(refused) == len(parts):
            raise error
        told = Intake({}, taken.late, taken.revised, {**taken.refused, **refused})
        return Appended(told, pl.concat(stored))


def canonical_rows(tables: Iterable[Table]) -> pl.DataFrame:
    """Candles as the store takes them; a single bar is enough, and the store refuses what cannot be a candle.

    Raises
    ------
    CandleError, NotEnoughData : a table holds no candles.
    """
    now = dt.datetime.now(dt.UTC)
    parts = [canonical_table(table, symbol=None, now=now)[0] for table in tables]
    return pl.concat(parts, how="diagonal").select(CANDLE_SCHEMA.names()) if parts else pl.DataFrame(schema=CANDLE_SCHEMA)


def _appended(store: CandleStore, source: CandleSource, bar: int | None, named: str) -> Appended:
    label = None if bar is None else written_length(bar)
    now = dt.datetime.now(dt.UTC)
    candles = canonical_rows(open_tables(source))
    if bar is not None:
        _require_length(candles, bar)
    candles, refused = _without_those_to_come(candles)
    candles, strays = _without_a_stray(candles, store, label, bar)
    refused |= strays
    before = _newest_of(store, candles["symbol"].unique().to_list(), label)
    late = _behind(candles, before)
    known = _stored(store, late, label)
    report = store.append(candles, bar=label, source=named)
    told = Intake({}, _counts(late.join(known, on=["symbol", "ts"], how="anti").unique()), _revised(report), refused)
    held = [label] if label is not None else store.bars()
    length = length_in_ms(held[0]) if held else 0
    closed = candles.filter(pl.col("ts") + pl.duration(milliseconds=length) <= now) if held else candles.clear()
    return Appended(told, closed.select("symbol", "ts"))


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


def _without_a_stray(
    candles: pl.DataFrame, store: CandleStore, label: str | None, bar: int | None
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Candles but for one that lies alone far behind all others, stored and given, and long before the host's now.

    One wrong time would move the turns there, past everything that is still to come.

    Raises
    ------
    CandleError : it is the only one.
    """
    if bar is None or candles.is_empty():
        return candles, {}
    opens = candles["ts"].dt.epoch("ms")
    last, given = int(opens.max()), opens.unique().sort().to_list()  # type: ignore[arg-type]
    begun = round(dt.datetime.now(dt.UTC).timestamp() * 1_000) - last
    far = max(FAR_BARS * bar, _FAR_ALONE)
    near = (len(given) > 1 and last - given[-2] <= far) or int((opens == last).sum()) > 1
    if near or begun <= far:
        return candles, {}
    others = max([*_newest_of(store, store.symbols(), label).values(), *given[-2:-1]], default=last)
    if last - others <= far:
        return candles, {}
    symbol = str(candles.filter(opens == last)["symbol"][0])
    told = (
        f"{symbol}: one candle is dated {written_time(last)}, {(last - others) // bar} bars after every other; it is taken "
        "when another of that time, or of a bar beside it, comes with it."
    )
    if candles.height == 1:
        raise CandleError(told)
    return candles.filter(opens < last), {symbol: told}


def _require_length(candles: pl.DataFrame, bar: int) -> None:
    """Refuse bars of another length, as far as their times tell: on the grid of shorter ones they look like holes."""
    steps = steps_of(candles.sort("symbol", "ts")).filter(pl.col("step") > 0)
    told = steps.group_by("symbol", maintain_order=True).agg(pl.len().alias("n"), pl.col("step").min())
    for symbol, n, step in told.iter_rows():
        if n >= _ENOUGH_STEPS and step > bar:
            raise CandleError(
                f"{symbol}: these are bars of {written_length(step)}; bars of {written_length(bar)} were expected."
            )


def _newest_of(store: CandleStore, symbols: Sequence[str], label: str | None) -> dict[str, int]:
    newest: dict[str, int] = {}
    for symbol in set(symbols) & set(store.symbols()):
        for held in (label,) if label is not None else store.bars():
            last = store.last_time(symbol, held)
            if last is not None:
                newest[symbol] = max(newest.get(symbol, 0), round(last.timestamp() * 1_000))
    return newest


def _behind(candles: pl.DataFrame, newest: Mapping[str, int]) -> pl.DataFrame:
    last = pl.col("symbol").replace_strict(newest, default=None, return_dtype=pl.Int64)
    return candles.select("symbol", "ts").filter(pl.col("ts").dt.epoch("ms") < last)


def _stored(store: CandleStore, rows: pl.DataFrame, label: str | None) -> pl.DataFrame:
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
