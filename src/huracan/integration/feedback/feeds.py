"""Where candles come from: the store, files that appear in a folder, an exchange, or a frame whose future is hidden."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from huracan.errors import ArtifactError, CandleError, ExchangeError, HuracanError, NotEnoughData
from huracan.integration.feedback.arrivals import Arrivals
from huracan.integration.feedback.candle_intake import Intake, append_candles
from huracan.integration.feedback.candle_window import FrameWindow
from huracan.market import bar_length, written_length
from huracan.market.bar_lengths import length_in_ms
from huracan.market.fetching import fetch_candles
from huracan.market.sources import CandleSource
from huracan.market.store import CandleStore
from huracan.market.store.many import symbols_in
from huracan.market.store.partition import FUNDING

__all__ = ["FetchFeed", "FolderFeed", "FrameFeed", "StoreFeed"]

_FILES = (".parquet", ".pq", ".csv", ".csv.gz", ".feather", ".arrow", ".ipc")


class FrameFeed:
    """The candles of a frame, each from its close on: history as it would have been lived.

    Parameters
    ----------
    candles : canonical, sorted by ``(symbol, ts)``.

    Examples
    --------
    >>> from huracan.market import simulate_market
    >>> feed = FrameFeed(simulate_market(n_bars=100, n_symbols=1, seed=0).candles)
    >>> first = feed.newest - 99 * feed.bar
    >>> feed.take(first + 10 * feed.bar).newest["SIM01-USD"] == first + 9 * feed.bar
    True
    """

    def __init__(self, candles: pl.DataFrame) -> None:
        self.bar = int(bar_length(candles).total_seconds() * 1_000)
        self.revision = 0
        self._window = FrameWindow(candles, self.bar)
        self._opens = {
            str(symbol): rows["ts"].dt.epoch("ms").to_numpy()
            for (symbol,), rows in candles.select("symbol", "ts").group_by("symbol", maintain_order=True)
        }

    @property
    def newest(self) -> int | None:
        """Open of the newest bar of any symbol."""
        return max((int(opens[-1]) for opens in self._opens.values()), default=None)

    def take(self, until: int) -> Intake:
        """The newest bar of each symbol that is closed by ``until``."""
        newest = {}
        for symbol, opens in self._opens.items():
            count = int(opens.searchsorted(until - self.bar, side="right"))
            if count:
                newest[symbol] = int(opens[count - 1])
        return Intake(newest)

    def bars(self, first: int, last: int, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """See :class:`~huracan.integration.feedback.candle_window.CandleWindow`."""
        return self._window.bars(first, last, symbols)


class StoreFeed:
    """The candles of a store, which others fill, or :meth:`append`.

    Parameters
    ----------
    store : the store, or its folder. bar : length of a bar, milliseconds; None takes the one that is stored.
    symbols : those that are looked after; None takes all there are. One whose files are damaged is left out, with the reason in
        the next intake.

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

    def __init__(self, store: CandleStore | str | Path, bar: int | None = None, symbols: Sequence[str] = ()) -> None:
        self.store = store if isinstance(store, CandleStore) else CandleStore(store)
        self.symbols = tuple(symbols)
        self.revision = 0
        self._bar = bar
        self._told = Intake({})
        self._arrivals = Arrivals(self.store)

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
        """Open of the newest bar of any symbol."""
        if self._bar is None and not self.store.bars():
            return None
        return max(self._newest().values(), default=None)

    def append(self, candles: CandleSource, *, named: str = "tick") -> Intake:
        """Store candles in whatever order they come; what was late, revised or refused is told at the next take, too."""
        bar = self.bar if self._bar is not None or self.store.bars() else None
        done = append_candles(self.store, candles, bar, named=named)
        self.revision += 1
        self._told = done.with_earlier(self._told)
        return done

    def take(self, until: int) -> Intake:
        """What is stored and closed by ``until``."""
        last = until - self.bar
        newest = {symbol: ts if ts <= last else self._newest_before(symbol, last) for symbol, ts in self._newest().items()}
        told, self._told = self._told, Intake({})
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
                    self._told = Intake({}, refused={symbol: str(error)}).with_earlier(self._told)
            return pl.concat(parts) if parts else self._read([], first, last)

    def _read(self, symbols: Sequence[str], first: int, last: int) -> pl.DataFrame:
        span = {"start": _moment(first), "end": _moment(last + 1)}
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
                self._told = Intake({}, refused={symbol: str(error)}).with_earlier(self._told)
                continue
            if last is not None:
                newest[symbol] = round(last.timestamp() * 1_000)
        return newest

    def _newest_before(self, symbol: str, last: int) -> int | None:
        label = written_length(self.bar)
        try:
            opens = self.store.read([symbol], bar=label, end=_moment(last + 1))["ts"]
        except ArtifactError as error:
            self._told = Intake({}, refused={symbol: str(error)}).with_earlier(self._told)
            return None
        return int(opens.dt.epoch("ms")[-1]) if len(opens) else None


class FolderFeed(StoreFeed):
    """Files of candles that appear, or grow, in a folder; what is read goes into the store.

    Parameters
    ----------
    folder : it may be empty as yet, or be one file. store, bar, symbols : of :class:`StoreFeed`.
    """

    def __init__(
        self, folder: Path, store: CandleStore | str | Path, bar: int | None = None, symbols: Sequence[str] = ()
    ) -> None:
        super().__init__(store, bar, symbols)
        self.folder = folder
        self._seen: dict[Path, tuple[int, int]] = {}

    @property
    def bar(self) -> int:
        """Length of a bar, milliseconds; of the files there are where nothing is stored yet.

        Raises
        ------
        NotEnoughData : no candles are there yet, neither stored nor in files that can be read. CandleError : as
            :class:`StoreFeed`'s.
        """
        if self._bar is None and not self.store.bars():
            refused = self.look()
            if not self.store.bars():
                why = "".join(f" {name} was not taken: {reason}" for name, reason in refused.items())
                raise NotEnoughData(f"{self.folder} holds no candles yet; files of candles were expected there.{why}")
        return super().bar

    @property
    def newest(self) -> int | None:
        """Open of the newest bar of any symbol, files that have appeared since included."""
        self.look()
        return super().newest

    def take(self, until: int) -> Intake:
        """Store what is new in the folder, then what is closed by ``until``; a file that cannot be read is told by its name."""
        refused = self.look()
        taken = super().take(until)
        return Intake(taken.newest, taken.late, taken.revised, {**taken.refused, **refused})

    def look_up_to(self, until: int) -> dict[str, str]:
        """As :meth:`look`: files say what they say, whatever the time."""
        return self.look()

    def look(self) -> dict[str, str]:
        """Store what has changed since the last look; file -> why it could not be, ``*`` where there is no folder."""
        refused = {}
        try:
            files = sorted(self.folder.iterdir()) if self.folder.is_dir() else [self.folder]
        except OSError as error:
            return {"*": f"{self.folder} cannot be read: {error.strerror}."}
        if files == [self.folder] and not self.folder.exists():
            return {"*": f"{self.folder} is not there; a folder of files of candles, or one file, was expected."}
        for file in files:
            if not file.name.lower().endswith(_FILES) or file.name.startswith("."):
                continue
            if not file.is_file():
                refused[file.name] = f"{file} is no file that can be read; a file of candles was expected under such a name."
                continue
            try:
                facts = file.stat()
                mark = (facts.st_size, facts.st_mtime_ns)
                if self._seen.get(file) == mark:
                    continue
                self.append(file, named=file.name)
                self._seen[file] = mark
            except (CandleError, NotEnoughData) as error:
                refused[file.name] = str(error)
            except OSError as error:  # it went meanwhile, or may not be read
                refused[file.name] = f"{file} cannot be read: {error.strerror}."
        return refused


class FetchFeed(StoreFeed):
    """An exchange, asked for what is missing up to each turn; what it answers goes into the store.

    Parameters
    ----------
    exchange : ccxt's id. symbols : as they are stored, in ccxt's unified spelling. since : how far back a symbol is
        filled of which nothing is stored.
    fetch : for an exchange of one's own; takes what :func:`huracan.market.fetch_candles` takes.
    """

    def __init__(
        self,
        exchange: str,
        store: CandleStore | str | Path,
        bar: int,
        symbols: Sequence[str],
        *,
        since: dt.timedelta,
        fetch: Callable[..., Any] = fetch_candles,
    ) -> None:
        super().__init__(store, bar)
        self.exchange, self.written, self.since, self._fetch = exchange, tuple(symbols), since, fetch

    def take(self, until: int) -> Intake:
        """Fetch what is missing up to ``until``; an exchange that cannot be reached is told, and what is stored is taken."""
        refused = self.look_up_to(until)
        taken = super().take(until)
        return Intake(taken.newest, taken.late, taken.revised, {**taken.refused, **refused})

    def look_up_to(self, until: int) -> dict[str, str]:
        """Go on from what is stored; symbols of which nothing is are filled from ``since`` on. Symbol -> why it was not."""
        there = set(self.store.symbols(written_length(self.bar)))
        stored = [symbol for symbol in self.written if symbol in there]
        empty = [symbol for symbol in self.written if symbol not in there]
        since = _moment(until - round(self.since.total_seconds() * 1_000))
        refused: dict[str, str] = {}
        for symbols, start in ((stored, None), (empty, since)):
            if symbols:
                refused |= self._ask(symbols, start, until)
        return refused

    def _ask(self, symbols: Sequence[str], since: dt.datetime | None, until: int) -> dict[str, str]:
        """Fetch symbols together; where one of them stands against it, each by itself, so that the others go on."""
        try:
            self._fetch(self.store, self.exchange, symbols, written_length(self.bar), since=since, until=_moment(until))
        except ExchangeError as error:  # it cannot be reached, or refuses: asking again and again at once helps nobody
            return {"*" if len(symbols) == len(self.written) else ", ".join(symbols): str(error)}
        except HuracanError as error:
            if len(symbols) == 1:
                return {symbols[0]: str(error)}
            return {what: why for symbol in symbols for what, why in self._ask([symbol], since, until).items()}
        return {}


def _moment(milliseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds // 1_000, dt.UTC) + dt.timedelta(milliseconds=milliseconds % 1_000)
