"""What a download did, symbol by symbol."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import shorten

import polars as pl

from huracan.errors import nearest_name

__all__ = ["FetchReport", "SymbolFetch"]

_TIME = pl.Datetime("ms", "UTC")
_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "added": pl.Int64(),
        "unchanged": pl.Int64(),
        "revised": pl.Int64(),
        "set_aside": pl.Int64(),
        "missing": pl.Int64(),
        "missing_spans": pl.Int64(),
        "first": _TIME,
        "last": _TIME,
        "funding_added": pl.Int64(),
        "funding_revised": pl.Int64(),
        "requests": pl.Int64(),
        "retries": pl.Int64(),
    }
)


@dataclass(frozen=True)
class SymbolFetch:
    """What became of one symbol.

    Attributes
    ----------
    symbol : ccxt's unified symbol, the name in the store.
    added, unchanged, revised : bars that are new, are as stored, say something else than stored (the old values are kept).
    revision : the earliest revised bar in words, with one value before and after; empty where none was revised.
        ``CandleStore.revisions`` has them all.
    set_aside : rows that cannot be true and were not stored, each in words.
    missing : half-open spans of opens within the span asked for that the store still lacks: the exchange has no bars
        there, or none that can be true. missing_bars : how many bars that makes.
    first, last : first and last bar stored within the span asked for.
    funding_added, funding_revised : funding rates.
    requests, retries : requests made for this symbol, and how many of them repeated a failed one.
    """

    symbol: str
    added: int
    unchanged: int
    revised: int
    revision: str
    set_aside: tuple[str, ...]
    missing: tuple[tuple[dt.datetime, dt.datetime], ...]
    missing_bars: int
    first: dt.datetime | None
    last: dt.datetime | None
    funding_added: int
    funding_revised: int
    requests: int
    retries: int

    def __repr__(self) -> str:
        return shorten(f"<SymbolFetch of {self.sentence}", 290, placeholder=" ...") + ">"

    @property
    def sentence(self) -> str:
        """What became of this symbol, as one sentence."""
        which = f" ({'' if self.revised == 1 else 'first '}{self.revision}; old values are kept)" if self.revision else ""
        said = [f"{self.added:,} bars added, {self.unchanged:,} unchanged, {self.revised:,} revised{which}"]
        if self.first and self.last:
            said.append(f"stored from {_written(self.first)} to {_written(self.last)}")
        if self.missing_bars:
            start = _written(self.missing[0][0])
            stretches = f"{len(self.missing):,} stretch{'es' if len(self.missing) > 1 else ''}"
            said.append(f"{self.missing_bars:,} bars are not to be had in {stretches}, the first from {start}")
        if self.set_aside:
            said.append(f"{len(self.set_aside):,} rows set aside ({self.set_aside[0]})")
        if self.funding_added or self.funding_revised:
            said.append(f"{self.funding_added:,} funding rates added, {self.funding_revised:,} revised")
        return f"{self.symbol}: {'; '.join(said)}."


@dataclass(frozen=True)
class FetchReport:
    """What a download did.

    Attributes
    ----------
    exchange, bar : where from, and the bar length.
    start, end : opens asked for, ``[start, end)``; ``end`` is no later than the bar that was still open.
    symbols : one entry a symbol, in the order asked for.
    requests, retries : of the whole download, the list of markets included.
    stored_as : symbol as it was asked for -> ccxt's unified symbol, under which it is stored.
    """

    exchange: str
    bar: str
    start: dt.datetime
    end: dt.datetime
    symbols: tuple[SymbolFetch, ...]
    requests: int
    retries: int
    stored_as: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return shorten(f"<FetchReport: {self.sentence}", 290, placeholder=" ...") + ">"

    def __getitem__(self, symbol: str) -> SymbolFetch:
        """The entry of one symbol."""
        entries = {entry.symbol: entry for entry in self.symbols}
        if symbol not in entries:
            raise nearest_name(symbol, entries, kind="symbol of this download")
        return entries[symbol]

    @property
    def added(self) -> int:
        """Bars added, all symbols together."""
        return sum(entry.added for entry in self.symbols)

    @property
    def revised(self) -> int:
        """Bars revised, all symbols together."""
        return sum(entry.revised for entry in self.symbols)

    @property
    def sentence(self) -> str:
        """The download as one sentence."""
        whose = self.symbols[0].symbol if len(self.symbols) == 1 else f"{len(self.symbols)} symbols"
        unchanged = sum(entry.unchanged for entry in self.symbols)
        said = f"{self.exchange}, {self.bar} bars of {whose} before {_written(self.end)}: {self.added:,} added, "
        said += f"{unchanged:,} unchanged, {self.revised:,} revised"
        for count, what in (
            (sum(entry.missing_bars for entry in self.symbols), "bars are not to be had"),
            (sum(len(entry.set_aside) for entry in self.symbols), "rows set aside as impossible"),
            (sum(entry.funding_added for entry in self.symbols), "funding rates added"),
        ):
            said += f"; {count:,} {what}" if count else ""
        return f"{said} ({self.requests:,} requests, {f'{self.retries:,} of them' if self.retries else 'none'} repeated)."

    def to_frame(self) -> pl.DataFrame:
        """One row a symbol; ``missing`` counts bars, ``missing_spans`` the stretches they form."""
        rows = [
            {
                **{name: getattr(entry, name) for name in _SCHEMA.names() if name != "missing_spans"},
                "set_aside": len(entry.set_aside),
                "missing": entry.missing_bars,
                "missing_spans": len(entry.missing),
            }
            for entry in self.symbols
        ]
        return pl.DataFrame(rows, schema=_SCHEMA)


def _written(when: dt.datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
