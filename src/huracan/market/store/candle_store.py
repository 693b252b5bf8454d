"""``CandleStore``: candles of many symbols on disk, each bar once, and what each was before it was revised."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from textwrap import shorten

import polars as pl

from huracan.errors import CandleError, StorageError, nearest_name
from huracan.logs import logger
from huracan.market.bar_lengths import length_in_ms, length_label
from huracan.market.schema import CANDLE_SCHEMA
from huracan.market.segments import bar_length, written_length
from huracan.market.store.arrivals import require_columns, require_grid, require_no_funding, require_source, unique_rows
from huracan.market.store.files import open_root
from huracan.market.store.funding import FUNDING_SCHEMA, add_funding, require_rates
from huracan.market.store.many import append_many, coverage_frame, missing_in, read_many, symbols_in
from huracan.market.store.moments import Moment, bound_in_ms, moment, seen_moment, span_in_ms, utc
from huracan.market.store.partition import CANDLE_VALUES, FUNDING, FUNDING_VALUES
from huracan.market.store.reports import AppendReport
from huracan.market.store.series import Series, SeriesAppend
from huracan.market.validity import require_possible, require_times

__all__ = ["CandleStore"]

Length = str | dt.timedelta
_ENOUGH_TO_TELL = 20


class CandleStore:
    """A folder of candles, partitioned by symbol, bar length and month.

    A bar is stored once. Rows that are appended again are recognised; where they say something else than before, the
    new values become current and the old ones stay, with the time each was seen, so ``read(as_of=...)`` gives what a
    trader could have known. What an interrupted append leaves is a valid store, and the same append completes it.

    On disk: ``symbols/<symbol>/<bar>/<month>.parquet`` (``<year>.parquet`` for bars of an hour and more), zstd, written
    aside, flushed and renamed. In a folder's name each byte of the symbol but letters, digits, ``_``, ``-`` and a later
    ``.`` is written ``%XX``: ``BTC/USDT:USDT`` lies in ``BTC%2FUSDT%3AUSDT``. Any parquet reader opens the files;
    ``seen_at`` tells versions of one ``ts`` apart, the last is current.

    Any number of processes may read; those that append to one symbol take turns.

    Parameters
    ----------
    root : the folder; made if missing. A folder that holds something else is refused.

    Raises
    ------
    StorageError : the folder is something else, damaged, or cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=300, n_symbols=1, seed=0).candles
    >>> store = CandleStore(tempfile.mkdtemp())
    >>> print(store.append(candles, source="simulated").sentence)
    bars of SIM01-USD (1h): 300 added, 0 unchanged, 0 revised.
    >>> print(store.append(candles.tail(20), source="simulated").sentence)
    bars of SIM01-USD (1h): 0 added, 20 unchanged, 0 revised.
    >>> store.read().equals(candles)
    True
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        open_root(self.root)

    def __repr__(self) -> str:
        try:
            held = f"{len(self.symbols())} symbols, bars of {', '.join(self.bars()) or 'no length yet'}"
        except StorageError as error:
            held = f"not to be read: {error}"
        return shorten(f"<CandleStore {str(self.root)!r}: {held}", 290, placeholder=" ...") + ">"

    def append(
        self, candles: pl.DataFrame, *, bar: Length | None = None, source: str = "unnamed", fetched_at: Moment | None = None
    ) -> AppendReport:
        """Store candles; rows may come in any order and any number of times.

        Everything is checked before anything is written. A bar still open at ``fetched_at`` is left out and counted: its
        values are not final.

        Parameters
        ----------
        candles : columns of ``CANDLE_SCHEMA``; others are not stored. Gaps, single bars and flat prices are fine.
        bar : bar length, such as ``"1m"``; read from the times by default, which needs two bars of a symbol.
        source : where the rows are from, kept with each.
        fetched_at : when the values were seen; the present by default. Of two values of a bar the one seen later is
            current, in whatever order they are appended.

        Raises
        ------
        CandleError : rows are not candles (see ``validate_candles``), contradict each other, are off the grid of the bar
            or of what is stored, carry funding rates (``append_funding`` takes those), or ``fetched_at`` is to come.
            Without ``bar``: a few rows look like bars of a length that the symbol does not have yet.
        NotEnoughData : ``bar`` is not given and no symbol has two bars.
        StorageError : a partition is damaged or cannot be written; the same append completes it later.
        """
        now = dt.datetime.now(dt.UTC)
        seen = seen_moment(fetched_at, now)
        given = None if bar is None else length_in_ms(bar)
        require_source(source)
        frame = require_columns(candles, CANDLE_SCHEMA, what="candles", now=now)
        require_no_funding(candles)
        if frame.is_empty():
            return _report("bars", frame, "" if given is None else written_length(given), 0, 0, [])
        require_possible(frame)
        frame, repeated = unique_rows(frame, CANDLE_VALUES)
        if given is None:
            require_times(frame)
            bar_ms = int(bar_length(frame).total_seconds() * 1000)
            self._require_no_doubt(frame, written_length(bar_ms))
        else:
            require_grid(frame, bar_ms := given)
        label = written_length(bar_ms)
        closed = frame.filter(pl.col("ts") + pl.duration(milliseconds=bar_ms) <= seen)
        parts = [(self._series(str(symbol), label), rows) for (symbol,), rows in _by_symbol(closed)]
        for series, rows in parts:
            with suppress(StorageError):  # a damaged partition is named once the other symbols are stored
                series.require_grid_of(rows)
        done = append_many(parts, source=source, seen_at=seen, by_clock=fetched_at is None)
        return _report("bars", frame, label, repeated, frame.height - closed.height, done)

    def read(
        self,
        symbols: str | Sequence[str] | None = None,
        *,
        bar: Length | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        as_of: Moment | None = None,
        funding: bool = False,
    ) -> pl.DataFrame:
        """Read candles: canonical, sorted by ``(symbol, ts)``, current values.

        Parameters
        ----------
        symbols : one or several; all that have this bar by default.
        bar : bar length; may be left out where the store holds one only.
        start, end : opens in ``[start, end)``, UTC.
        as_of : the values known at that moment; bars first seen later are absent.
        funding : add ``funding_rate``: the sum of the rates that fall due in ``[ts, ts + bar)``, a fraction of notional,
            null where none does. Rates due while bars are missing are in ``read_funding`` only.

        Raises
        ------
        UnknownName : a symbol is not stored. CandleError : the store holds several bar lengths and none is given, or
            not the one that is. StorageError : a partition is damaged; it is named, and other symbols can still be read.
        """
        names = self._symbols_of(symbols)
        if not names and symbols is not None:
            return read_many(self.root, [], "", (None, None), None)
        label = self._bar_of(names, bar)
        lacking = [name for name in names if label not in self._bars_of(name)]
        if lacking and symbols is not None:
            raise CandleError(f"{self.root} holds no bars of {label} of {', '.join(lacking)}.")
        names = [name for name in names if name not in lacking]
        span = span_in_ms(start, end)
        known = None if as_of is None else moment(as_of, what="as_of")
        frame = read_many(self.root, names, label, span, known)
        if not funding:
            return frame
        bar_ms, (begin, stop) = length_in_ms(label), span
        rates = read_many(self.root, names, FUNDING, (begin, None if stop is None else stop + bar_ms), known)
        return add_funding(frame, rates, bar_ms)

    def append_funding(self, rates: pl.DataFrame, *, source: str = "unnamed", fetched_at: Moment | None = None) -> AppendReport:
        """Store funding rates; versions are kept as for candles.

        Parameters
        ----------
        rates : ``[symbol: String, ts: Datetime("ms", "UTC"), funding_rate: Float64]``: the time at which the rate falls
            due, and the fraction of its notional that a long position then pays.

        Raises
        ------
        CandleError : a rate is missing or not finite, or rows contradict each other.
        """
        now = dt.datetime.now(dt.UTC)
        seen = seen_moment(fetched_at, now)
        require_source(source)
        frame = require_columns(rates, FUNDING_SCHEMA, what="funding rates", now=now)
        require_rates(frame)
        frame, repeated = unique_rows(frame, FUNDING_VALUES)
        due = frame.filter(pl.col("ts") <= seen)
        parts = [(self._series(str(symbol), FUNDING), rows) for (symbol,), rows in _by_symbol(due)]
        done = append_many(parts, source=source, seen_at=seen, by_clock=fetched_at is None)
        return _report("funding rates", frame, FUNDING, repeated, frame.height - due.height, done)

    def read_funding(
        self,
        symbols: str | Sequence[str] | None = None,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        as_of: Moment | None = None,
    ) -> pl.DataFrame:
        """Funding rates ``[symbol, ts, funding_rate]`` that fall due in ``[start, end)``, as known ``as_of``."""
        known = None if as_of is None else moment(as_of, what="as_of")
        names = symbols_in(self.root, FUNDING) if symbols is None else self._symbols_of(symbols)
        return read_many(self.root, names, FUNDING, span_in_ms(start, end), known)

    def symbols(self, bar: Length | None = None) -> list[str]:
        """Symbols that are stored, sorted; with ``bar``, those that have bars of that length."""
        return symbols_in(self.root, None if bar is None else length_label(bar))

    def bars(self) -> list[str]:
        """Bar lengths that are stored, shortest first."""
        labels = {label for symbol in symbols_in(self.root, None) for label in self._bars_of(symbol)}
        return sorted(labels, key=length_in_ms)

    def first_time(self, symbol: str, bar: Length) -> dt.datetime | None:
        """Open of the first bar stored, or None."""
        facts = self._series(symbol, length_label(bar)).first_facts()
        return None if facts is None else utc(facts.first)

    def last_time(self, symbol: str, bar: Length) -> dt.datetime | None:
        """Open of the last bar stored, or None: the next one is where a download goes on."""
        facts = self._series(symbol, length_label(bar)).last_facts()
        return None if facts is None else utc(facts.last)

    def missing_spans(self, symbol: str, bar: Length, start: Moment, end: Moment) -> list[tuple[dt.datetime, dt.datetime]]:
        """What is missing of the bars that open in ``[start, end)``: half-open spans of opens, in order.

        The grid is that of the stored bars; with none stored, that of 1970 (weeks from Monday).

        Examples
        --------
        >>> import tempfile
        >>> CandleStore(tempfile.mkdtemp()).missing_spans("BTC-USDT", "1h", "2025-01-01", "2025-01-02T00:30")
        [(datetime.datetime(2025, 1, 1, 0, 0, tzinfo=datetime.timezone.utc),
          datetime.datetime(2025, 1, 2, 1, 0, tzinfo=datetime.timezone.utc))]
        """
        begin, stop = bound_in_ms(start, what="start"), bound_in_ms(end, what="end")
        spans = missing_in(self._series(symbol, length_label(bar)), begin, stop)
        return [(utc(first), utc(last)) for first, last in spans]

    def coverage(self, symbols: str | Sequence[str] | None = None) -> pl.DataFrame:
        """What is stored: ``[symbol, bar, bars, first, last, missing, gaps, source]``, a row for each symbol and bar length.

        ``missing`` counts the bars that are not there between the first and the last, ``gaps`` the stretches they form.
        """
        stored = [(symbol, label) for symbol in self._symbols_of(symbols) for label in self._bars_of(symbol)]
        return coverage_frame([self._series(symbol, label) for symbol, label in stored])

    def revisions(self, symbol: str | None = None, bar: Length | None = None) -> pl.DataFrame:
        """Every revision of a bar, old values and new.

        Columns ``[symbol, bar, ts, old_open, ..., new_open, ..., seen_at, source, old_seen_at, old_source]``; ``seen_at`` is
        when the new values were seen, ``old_seen_at`` when the old ones were.
        """
        stored = [(name, label) for name in self._symbols_of(symbol) for label in self._bars_of(name)]
        wanted = None if bar is None else length_label(bar)
        logs = [self._series(name, label).revisions() for name, label in stored if wanted in (None, label)]
        return pl.concat([Series.no_revisions(""), *logs])

    def _require_no_doubt(self, frame: pl.DataFrame, label: str) -> None:
        """Refuse to begin another bar length of a symbol on a few rows: they may be bars with holes between them."""
        for symbol, rows in frame.group_by("symbol", maintain_order=True).len().iter_rows():
            stored = self._bars_of(symbol)
            if stored and label not in stored and rows < _ENOUGH_TO_TELL:
                raise CandleError(
                    f"{symbol}: {rows} rows look like bars of {label}, and bars of {', '.join(stored)} are stored; "
                    "bar= must say which they are."
                )

    def _series(self, symbol: str, label: str) -> Series:
        return Series(self.root, symbol, label)

    def _bars_of(self, symbol: str) -> list[str]:
        labels = (label for label in Series.labels(self.root, symbol) if label != FUNDING)
        return sorted((label for label in labels if self._series(symbol, label).partitions()), key=length_in_ms)

    def _bar_of(self, names: Sequence[str], bar: Length | None) -> str:
        """The bar length that is meant; it may be left out where these symbols have one only."""
        stored = sorted({label for name in names for label in self._bars_of(name)}, key=length_in_ms)
        if bar is None:
            if len(stored) == 1:
                return stored[0]
            if not stored:
                raise CandleError(f"{self.root} holds no candles yet; append some first.")
            raise CandleError(
                f"{self.root} holds bars of {' and '.join(stored)}; bar must say which, such as bar='{stored[0]}'."
            )
        label = length_label(bar)
        if label not in stored:
            whose = f" of {names[0]}" if len(names) == 1 else ""
            raise CandleError(f"{self.root} holds no bars of {label}{whose}; it holds {', '.join(stored) or 'none at all'}.")
        return label

    def _symbols_of(self, symbols: str | Sequence[str] | None) -> list[str]:
        stored = self.symbols()
        if symbols is None:
            return stored
        names = {symbols} if isinstance(symbols, str) else set(symbols)
        for name in sorted(names):
            if name not in stored:
                raise nearest_name(name, stored, kind="symbol")
        return sorted(names)


def _report(
    what: str, frame: pl.DataFrame, label: str, repeated: int, still_open: int, done: Sequence[SeriesAppend]
) -> AppendReport:
    names = frame["symbol"].unique(maintain_order=True)
    whose = str(names[0]) if names.len() == 1 else f"{names.len()} symbols"
    report = AppendReport(
        what=f"{what} of {whose}" + (f" ({label})" if label not in ("", FUNDING) else ""),
        added=sum(part.added for part in done),
        unchanged=sum(part.unchanged for part in done) + repeated,
        revised=sum(part.revised for part in done),
        still_open=still_open,
        revisions=pl.concat([Series.no_revisions(label), *(part.revisions for part in done)]),
    )
    logger().info("appended to the candle store", said=report.sentence)
    return report


def _by_symbol(frame: pl.DataFrame) -> Iterable[tuple[tuple[object, ...], pl.DataFrame]]:
    return frame.group_by("symbol", maintain_order=True)
