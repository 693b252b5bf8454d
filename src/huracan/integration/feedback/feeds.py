"""Where candles come from: the store, files that appear in a folder, an exchange, or a frame whose future is hidden."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from huracan.errors import ExchangeError, HuracanError
from huracan.integration.feedback.candle_intake import Intake
from huracan.integration.feedback.candle_window import FrameWindow
from huracan.integration.feedback.folder_feed import FolderFeed
from huracan.integration.feedback.store_feed import StoreFeed
from huracan.market import bar_length, written_length
from huracan.market.fetching import FetchReport, fetch_candles
from huracan.market.store import CandleStore
from huracan.market.store.moments import utc

__all__ = ["FetchFeed", "FolderFeed", "FrameFeed", "StoreFeed"]


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


class FetchFeed(StoreFeed):
    """An exchange, asked for what is missing up to each turn; what it answers goes into the store.

    Parameters
    ----------
    exchange : ccxt's id. symbols : as they are stored, in ccxt's unified spelling; of one that is spelled otherwise nothing is
        taken, and the spelling is told. since : how far back a symbol is filled of which nothing is stored.
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
        self._misspelled: dict[str, str] = {}

    def take(self, until: int) -> Intake:
        """Fetch what is missing up to ``until``; an exchange that cannot be reached is told, and what is stored is taken."""
        refused = self.look_up_to(until)
        taken = super().take(until)
        return Intake(taken.newest, taken.late, taken.revised, {**taken.refused, **refused})

    def look_up_to(self, until: int) -> dict[str, str]:
        """Go on from what is stored; symbols of which nothing is are filled from ``since`` on. Symbol -> why it was not."""
        there = set(self.store.symbols(written_length(self.bar)))
        stored = [symbol for symbol in self.written if symbol in there]
        empty = [symbol for symbol in self.written if symbol not in there and symbol not in self._misspelled]
        since = utc(until - round(self.since.total_seconds() * 1_000))
        refused: dict[str, str] = {}
        for symbols, start in ((stored, None), (empty, since)):
            if symbols:
                refused |= self._ask(symbols, start, until)
        return refused | self._misspelled

    def _ask(self, symbols: Sequence[str], since: dt.datetime | None, until: int) -> dict[str, str]:
        """Fetch symbols together; where one of them stands against it, each by itself, so that the others go on."""
        try:
            told = self._fetch(self.store, self.exchange, symbols, written_length(self.bar), since=since, until=utc(until))
        except ExchangeError as error:  # it cannot be reached, or refuses: asking again and again at once helps nobody
            return {"*" if len(symbols) == len(self.written) else ", ".join(symbols): str(error)}
        except HuracanError as error:
            if len(symbols) == 1:
                return {symbols[0]: str(error)}
            return {what: why for symbol in symbols for what, why in self._ask([symbol], since, until).items()}
        if isinstance(told, FetchReport):
            self._misspelled |= {
                symbol: f"{self.exchange} lists '{symbol}' as '{name}', and so its candles are stored; "
                f"mechanic.symbols has to name '{name}'."
                for symbol, name in told.stored_as.items()
                if symbol != name
            }
        return {}
