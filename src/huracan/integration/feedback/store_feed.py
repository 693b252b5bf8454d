"""``StoreFeed``: the candles of a store, which others fill, or which are given turn by turn."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from huracan.errors import ArtifactError, CandleError, NotEnoughData
from huracan.integration.feedback.arrivals import Arrivals
from huracan.integration.feedback.candle_intake import Intake
from huracan.integration.feedback.storing_candles import NOTHING_NEW, Appended, append_candles
from huracan.integration.feedback.strays import is_supported, stray_told
from huracan.market import written_length
from huracan.market.bar_lengths import length_in_ms
from huracan.market.sources import CandleSource
from huracan.market.store import CandleStore
from huracan.market.store.many import symbols_in
from huracan.market.store.moments import utc
from huracan.market.store.partition import FUNDING
from huracan.preprocessing.cleaning import CleaningPolicy

__all__ = ["StoreFeed"]

_NEAR = 200
"""Bars before a moment among which the newest of a symbol is looked for first."""


class StoreFeed:
    """The candles of a store, which others fill, or :meth:`append`.

    Parameters
    ----------
    store : the store, or its folder. bar : length of a bar, milliseconds; None takes the one that is stored.
    symbols : those that are looked after; None takes all there are. One whose files are damaged is left out, with the reason in
        the next intake.
    policy : what is done, where candles are stored, with rows that are there twice or that no market makes; by default they are
        refused.

    Examples
    --------
    >>> import tempfile
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=100, n_symbols=1, seed=0).candles
    >>> feed = StoreFeed(tempfile.mkdtemp())
    >>> feed.append(candles.head(50)).late, feed.append(candles.tail(60)).late
    ({}, {})
    >>> feed.take(feed.newest + feed.bar).newest["SIM01-USD"] == feed.newest
    True
    """

    def __init__(
        self,
        store: CandleStore | str | Path,
        bar: int | None = None,
        symbols: Sequence[str] = (),
        policy: CleaningPolicy | None = None,
    ) -> None:
        self.store = store if isinstance(store, CandleStore) else CandleStore(store)
        self.symbols, self.policy = tuple(symbols), policy
        self.revision = 0
        self._bar = bar
        self._told = Intake({})
        self._arrivals = Arrivals(self.store)
        self._strays = NOTHING_NEW.strays
        self._waits: dict[str, str] = {}

    @property
    def bar(self) -> int:
        """Length of a bar, milliseconds.

        Raises
        ------
        NotEnoughData : nothing is stored yet. CandleError : bars of several lengths are.
        """
        if self._bar is None:
            held = self.store.bars()
            if not held:
                raise NotEnoughData(f"{self.store.root} holds no candles yet; candles, or a source of some, were expected.")
            if len(held) > 1:
                raise CandleError(
                    f"{self.store.root} holds bars of {' and '.join(held)}; a Mechanic looks after one length: "
                    "name it by mechanic.bar, or give it a store of its own."
                )
            self._bar = length_in_ms(held[0])
        return self._bar

    @property
    def newest(self) -> int | None:
        """Open of the newest bar that something beside it supports, of any symbol."""
        if self._bar is None and not self.store.bars():
            return None
        newest, now = self._newest(), time.time_ns() // 1_000_000
        while newest:
            symbol = max(newest, key=lambda each: newest[each])
            ts, others = newest[symbol], max((at for each, at in newest.items() if each != symbol), default=None)
            if others is not None and ts - others <= self.bar:
                break
            own = self._newest_before(symbol, ts - 1)
            if is_supported(ts, others=others, own=own, bar=self.bar, now=now):
                break
            beside = max(at for at in (own, others) if at is not None)
            self.tell({symbol: stray_told(symbol, ts, beside, self.bar)})
            newest = {each: at for each, at in {**newest, symbol: own}.items() if at is not None}
        return max(newest.values(), default=None)

    def append(self, candles: CandleSource, *, named: str = "tick") -> Intake:
        """Store candles in whatever order they come; what was late, revised or refused is told at the next take, too."""
        return self.append_news(candles, named=named).told

    def append_news(self, candles: CandleSource, *, named: str) -> Appended:
        """As :meth:`append`; with what of it is stored."""
        bar = self.bar if self._bar is not None or self.store.bars() else None
        done = append_candles(self.store, candles, bar, named=named, policy=self.policy, strays=self._strays)
        self.revision += 1
        self._told, self._strays = done.told.with_earlier(self._told), done.strays
        there = set(self._strays["symbol"])
        self._waits = {symbol: why for symbol, why in {**self._waits, **done.waits}.items() if symbol in there}
        return done

    @property
    def waits(self) -> Mapping[str, str]:
        """Symbol -> why a candle of it waits for others beside it, of those that are not told yet."""
        return dict(self._waits)

    def tell(self, refused: Mapping[str, str]) -> None:
        """Have the next take tell it, too."""
        self._told = Intake({}, refused=refused).with_earlier(self._told)

    def take(self, until: int) -> Intake:
        """What is stored and closed by ``until``."""
        last = until - self.bar
        newest = {symbol: ts if ts <= last else self._newest_before(symbol, last) for symbol, ts in self._newest().items()}
        self.tell(self._waits)
        told, self._told, self._waits = self._told, Intake({}), {}
        self.revision += 1  # others may have written into the store, too
        return Intake({symbol: ts for symbol, ts in newest.items() if ts is not None}).with_earlier(told)

    def arrived(self) -> dict[str, tuple[int, int]]:
        """Symbol -> bars that came late and bars that were revised since the store began, whoever filled it."""
        label, found = written_length(self.bar), {}
        for symbol in self._names():
            with suppress(ArtifactError):  # a damaged symbol is told where its candles are read
                found[symbol] = self._arrivals.counts(symbol, label)
        return found

    def look_up_to(self, until: int) -> dict[str, str]:
        """Store what the source has up to ``until``; file or symbol -> why it could not be. A store has no source."""
        return {}

    def bars(self, first: int, last: int, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """See :class:`~huracan.integration.feedback.candle_window.CandleWindow`."""
        there = self._names()
        wanted = there if symbols is None else sorted(set(symbols) & set(there))
        try:
            return self._read(wanted, first, last)
        except ArtifactError:
            parts = []
            for symbol in wanted:
                try:
                    parts.append(self._read([symbol], first, last))
                except ArtifactError as error:
                    self.tell({symbol: str(error)})
            return pl.concat(parts) if parts else self._read([], first, last)

    def _read(self, symbols: Sequence[str], first: int, last: int) -> pl.DataFrame:
        span = {"start": utc(first), "end": utc(last + 1)}
        rates = bool(symbols_in(self.store.root, FUNDING))
        return self.store.read(symbols, bar=written_length(self.bar), funding=rates, **span)

    def _names(self) -> list[str]:
        there = self.store.symbols(written_length(self.bar))
        return [symbol for symbol in there if not self.symbols or symbol in self.symbols]

    def _newest(self) -> dict[str, int]:
        label = written_length(self.bar)
        newest = {}
        for symbol in self._names():
            try:
                last = self.store.last_time(symbol, label)
            except ArtifactError as error:
                self.tell({symbol: str(error)})
                continue
            if last is not None:
                newest[symbol] = round(last.timestamp() * 1_000)
        return newest

    def _newest_before(self, symbol: str, last: int) -> int | None:
        label = written_length(self.bar)
        try:
            for start in (last - _NEAR * self.bar, None):  # of a long history the end is nearly always enough
                first = None if start is None else utc(start)
                opens = self.store.read([symbol], bar=label, start=first, end=utc(last + 1))["ts"]
                if len(opens):
                    return int(opens.dt.epoch("ms")[-1])
        except ArtifactError as error:
            self.tell({symbol: str(error)})
        return None
