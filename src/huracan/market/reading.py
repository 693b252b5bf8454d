"""``read_candles``: whatever a trader has goes in, canonical candles come out, or one sentence says why not."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from huracan.errors import CandleError
from huracan.market.bar_lengths import length_in_ms
from huracan.market.interpretation import canonical_table
from huracan.market.schema import candles_hash, written_time
from huracan.market.segments import bar_length, steps_of, written_length
from huracan.market.sources import CandleSource, Table, open_tables
from huracan.market.timestamps import NoteKind, ReadNote
from huracan.market.validity import validate_candles

__all__ = ["CandleIngest", "CandleSource", "ingest_candles", "read_candles"]


@dataclass(frozen=True, eq=False)
class CandleIngest:
    """Canonical candles and everything that was recognised on the way.

    Attributes
    ----------
    candles : canonical candles, validated.
    notes : what was recognised, converted, dropped or ignored, in the order it happened.
    files : the files read, empty for frames.
    bar_length : length of one bar.
    """

    candles: pl.DataFrame
    notes: tuple[ReadNote, ...]
    files: tuple[Path, ...]
    bar_length: dt.timedelta

    def __repr__(self) -> str:
        span = f"{_said(self.candles['ts'].min())} to {_said(self.candles['ts'].max())}"  # type: ignore[arg-type]
        bars = f"{self.candles.height:,} bars of {written_length(int(self.bar_length.total_seconds() * 1000))}"
        return f"<CandleIngest: {bars}, {len(self.symbols)} symbols, {span}; {len(self.files)} files, {len(self.notes)} notes>"

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols in order."""
        return tuple(self.candles["symbol"].unique(maintain_order=True))

    @property
    def hash(self) -> str:
        """``candles_hash`` of the candles."""
        return candles_hash(self.candles)


def read_candles(
    source: CandleSource,
    *,
    symbol: str | None = None,
    bar: str | dt.timedelta | None = None,
    on_unsorted: Literal["refuse", "sort"] = "refuse",
    on_duplicate: Literal["refuse", "drop_exact"] = "refuse",
    drop_open_bar: bool = False,
) -> pl.DataFrame:
    """Read candles from a file, a folder or a frame.

    The same as :func:`ingest_candles`, without the notes.

    Examples
    --------
    >>> frame = pl.DataFrame({"Open time": ["2025-11-01 03:18", "2025-11-01 03:19"], "Open": [187.0, 187.2],
    ...                       "High": [187.2, 187.4], "Low": [186.9, 187.2], "Close": [187.2, 187.3], "Vol": [302, 1181]})
    >>> read_candles(frame, symbol="SOL-USDT").columns
    ['symbol', 'ts', 'open', 'high', 'low', 'close', 'volume']
    """
    return ingest_candles(
        source, symbol=symbol, bar=bar, on_unsorted=on_unsorted, on_duplicate=on_duplicate, drop_open_bar=drop_open_bar
    ).candles


def ingest_candles(
    source: CandleSource,
    *,
    symbol: str | None = None,
    bar: str | dt.timedelta | None = None,
    on_unsorted: Literal["refuse", "sort"] = "refuse",
    on_duplicate: Literal["refuse", "drop_exact"] = "refuse",
    drop_open_bar: bool = False,
    now: dt.datetime | None = None,
) -> CandleIngest:
    """Read candles and say what had to be recognised.

    Parameters
    ----------
    source : path of a parquet, CSV (also gzipped) or Feather (Arrow IPC) file, a folder of them, a candle store, a pandas
        frame (times in a column or in the index) or a polars frame, lazy or not. Columns go by their usual names
        (``Open``, ``o``, ``open_time``, ``ticker``, ...); symbols come from a column, else from the file name
        (``SOL-USDT_1m.parquet``).
    symbol : names the series of a source without symbols; where the source has symbols, only this one is kept.
    bar : the bar length expected, such as ``"1h"``; of a candle store with several, the one that is read.
    on_unsorted : ``"refuse"`` times that go back, or ``"sort"`` them. Rows of several symbols may be interleaved either way.
    on_duplicate : ``"refuse"`` a bar that is there twice, or ``"drop_exact"`` to keep one of rows that agree in every
        value; rows that contradict each other are always refused.
    drop_open_bar : drop the last bar of every symbol, because it was still open when the data was taken. Whether it
        was is never guessed; a note says where the clock shows that it still is.
    now : the clock that times are judged by; the default is the present. Numbers later than a day after it are
        refused; datetimes ahead of it, as simulated markets have them, are noted.

    Raises
    ------
    CandleError : the source cannot be read, lacks a column, or holds what :func:`validate_candles` refuses.
    NotEnoughData : no rows, or a symbol with a single bar.

    Examples
    --------
    >>> frame = pl.DataFrame({"t": [1761967080000, 1761967140000], "o": [187.0, 187.2], "h": [187.2, 187.4],
    ...                       "l": [186.9, 187.2], "c": [187.2, 187.3], "v": [302, 1181]})
    >>> for note in ingest_candles(frame, symbol="SOL-USDT").notes:
    ...     print(note.sentence)
    column 't' holds numbers, recognised as milliseconds since 1970 (2025-11-01 03:18 UTC and later).
    columns are named 't' for ts, 'o' for open, 'h' for high, 'l' for low, 'c' for close, 'v' for volume.
    """
    if on_unsorted not in ("refuse", "sort"):
        raise CandleError(f"on_unsorted is {on_unsorted!r}; 'refuse' or 'sort' was expected.")
    if on_duplicate not in ("refuse", "drop_exact"):
        raise CandleError(f"on_duplicate is {on_duplicate!r}; 'refuse' or 'drop_exact' was expected.")
    expected = None if bar is None else length_in_ms(bar)
    clock = _clock(now)
    notes: list[ReadNote] = []
    parts: list[tuple[str, pl.DataFrame]] = []
    files: list[Path] = []
    for table in open_tables(source, bar=bar, symbol=symbol):
        part, said = canonical_table(table, symbol=symbol, now=clock)
        notes.extend(said)
        files.extend([Path(table.file)] if table.file else [])
        if part.is_empty() and symbol is not None and table.frame.height:
            continue
        part, said = _in_order(part, table, on_unsorted=on_unsorted)
        notes.extend(said)
        parts.append((table.where, part))
    if not parts:
        raise CandleError(f"symbol '{symbol}' is not in {', '.join(map(str, files)) or 'the frame'}.")
    candles, said = _joined(parts, sort=on_unsorted == "sort")
    notes.extend(said)
    candles, said = _without_duplicates(candles, drop=on_duplicate == "drop_exact")
    notes.extend(said)
    if drop_open_bar:
        last = (pl.col("symbol") != pl.col("symbol").shift(-1)).fill_null(True)
        at = written_time(candles["ts"].dt.epoch("ms").max()) if candles.height else "no time"
        notes.append(
            ReadNote(
                NoteKind.OPEN_BAR,
                f"the last bar of every symbol was dropped as still open (latest: {at}).",
                count=candles["symbol"].n_unique(),
            )
        )
        candles = candles.filter(~last)
    validate_candles(candles)
    length = bar_length(candles)
    if expected is not None and length != dt.timedelta(milliseconds=expected):
        found = written_length(int(length.total_seconds() * 1000))
        raise CandleError(f"the candles are bars of {found}; bars of {written_length(expected)} were expected.")
    still_open = candles.filter((pl.col("ts") <= clock) & (pl.col("ts") + length > clock))
    if still_open.height:
        first = still_open.row(0, named=True)
        notes.append(
            ReadNote(
                NoteKind.OPEN_BAR,
                f"{first['symbol']}: the bar of {_said(first['ts'])} is still open now and was kept ({still_open.height} such "
                "bars); drop_open_bar=True drops it.",
                count=still_open.height,
            )
        )
    return CandleIngest(candles, tuple(notes), tuple(files), length)


def _clock(now: dt.datetime | None) -> dt.datetime:
    if now is None:
        return dt.datetime.now(dt.UTC)
    return now.replace(tzinfo=dt.UTC) if now.tzinfo is None else now.astimezone(dt.UTC)


def _said(ts: dt.datetime) -> str:
    return written_time(round(ts.timestamp() * 1000))


def _in_order(frame: pl.DataFrame, table: Table, *, on_unsorted: str) -> tuple[pl.DataFrame, list[ReadNote]]:
    """Bring the rows of each symbol together; within a symbol, times must go forward already or be sorted on request."""
    if not frame["symbol"].is_sorted():
        frame = frame.sort("symbol", maintain_order=True)
    back = steps_of(frame).filter(pl.col("step") < 0)
    if back.is_empty():
        return frame, []
    symbol, ts = back.row(0)[:2]
    when = _said(ts)
    if on_unsorted == "refuse":
        raise CandleError(
            f"{table.where}: {symbol} is not in order of time, {when} comes after a later bar (time goes "
            f"back in {back.height} place{'s' if back.height > 1 else ''}); "
            "on_unsorted='sort' sorts them."
        )
    note = ReadNote(NoteKind.ORDER, f"{symbol} was not in order of time at {when} and was sorted.", table.file, back.height)
    return frame.sort("symbol", "ts", maintain_order=True), [note]


def _joined(parts: list[tuple[str, pl.DataFrame]], *, sort: bool) -> tuple[pl.DataFrame, list[ReadNote]]:
    """Join the tables of several files; the same symbol in two files must have one bar length and follow in time."""
    if len(parts) == 1:
        return parts[0][1].rechunk(), []
    lengths: dict[int, str] = {}
    for where, part in parts:
        if (steps_of(part)["step"] > 0).any():
            lengths.setdefault(int(bar_length(part).total_seconds() * 1000), where)
    if len(lengths) > 1:
        said = " and ".join(f"{where} has bars of {written_length(bar)}" for bar, where in sorted(lengths.items())[:3])
        raise CandleError(f"bar lengths are mixed: {said}; one bar length was expected, read them apart.")
    spans = pl.concat(
        [
            part.group_by("symbol")
            .agg(pl.col("ts").min().alias("first"), pl.col("ts").max().alias("last"))
            .with_columns(where=pl.lit(where))
            for where, part in parts
        ]
    ).sort("symbol", "first")
    same = (spans["symbol"] == spans["symbol"].shift(1)).fill_null(False)
    overlap = same & (spans["first"] < spans["last"].shift(1)).fill_null(False)
    if overlap.any() and not sort:
        row = int(overlap.arg_max() or 0)
        raise CandleError(
            f"{spans['symbol'][row]} is in {spans['where'][row - 1]} and in {spans['where'][row]} at overlapping times; "
            "one file a span was expected, or on_unsorted='sort'."
        )
    frame = pl.concat([part for _, part in parts], how="diagonal").sort("symbol", "ts", maintain_order=True)
    note = [ReadNote(NoteKind.FILES, f"{spans['symbol'].n_unique()} symbols were joined from {len(parts)} files.")]
    return frame, note


def _without_duplicates(frame: pl.DataFrame, *, drop: bool) -> tuple[pl.DataFrame, list[ReadNote]]:
    """Refuse or drop bars that are there twice; rows that contradict each other cannot be dropped."""
    twice = steps_of(frame).filter(pl.col("step") == 0)
    if twice.is_empty():
        return frame, []
    keys = twice.select("symbol", "ts").unique(maintain_order=True)
    exact = frame.join(keys, on=["symbol", "ts"], how="semi").unique()
    conflicting = exact.group_by("symbol", "ts").len().filter(pl.col("len") > 1).sort("symbol", "ts")
    shown = conflicting if conflicting.height else keys
    symbol, ts = shown.row(0)[:2]
    when = _said(ts)
    if conflicting.height:
        raise CandleError(
            f"{symbol}: {when} is there more than once with different values ({conflicting.height} such bars); one bar a "
            "time was expected."
        )
    if not drop:
        raise CandleError(
            f"{symbol}: {when} is there more than once with the same values ({twice.height} rows too many); one bar a time "
            "was expected, on_duplicate='drop_exact' keeps one of each."
        )
    said = f"{symbol}: {when} was there more than once with the same values and one was kept ({twice.height} rows dropped)."
    kept = frame.unique(["symbol", "ts"], keep="first", maintain_order=True)
    return kept, [ReadNote(NoteKind.DUPLICATE, said, count=twice.height)]
