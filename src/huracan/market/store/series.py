"""One series of a store, the bars of one length of one symbol or its funding: which partitions it has, reading, merging."""

from __future__ import annotations

import datetime as dt
import os
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from huracan.errors import CandleError
from huracan.market.bar_lengths import length_in_ms
from huracan.market.schema import written_time
from huracan.market.store.files import folder_of_symbol, locked, make_folder, put_file, refusal, remove_leftovers
from huracan.market.store.partition import (
    CANDLE_VALUES,
    FUNDING,
    FUNDING_VALUES,
    PartitionFacts,
    iso_time,
    partition_bytes,
    partition_facts,
    read_partition,
    schema_of,
)
from huracan.market.store.versions import current, known_at, merge, revisions_of

__all__ = ["Series", "SeriesAppend", "listed", "values_of"]

_HOUR = 3_600_000
_PARTITION = re.compile(r"(\d{4}(?:-\d{2})?)\.parquet")
_LABEL = re.compile(r"\d+(?:ms|s|m|h|d|w)|" + FUNDING)


@dataclass(frozen=True, eq=False)
class SeriesAppend:
    """What an append did to one series."""

    added: int
    unchanged: int
    revised: int
    revisions: pl.DataFrame


@dataclass(frozen=True)
class Series:
    """Where one series lies: ``root/symbols/<symbol>/<label>``; the label is a bar length or ``funding``."""

    root: Path
    symbol: str
    label: str

    @staticmethod
    def labels(root: Path, symbol: str) -> list[str]:
        """Labels of the series a symbol has."""
        return [name for name in listed(root / "symbols" / folder_of_symbol(symbol)) if _LABEL.fullmatch(name)]

    @staticmethod
    def no_revisions(label: str) -> pl.DataFrame:
        """The frame of revisions without rows."""
        return _named(revisions_of(pl.DataFrame(schema=schema_of(label)), values_of(label)), "", label)

    @property
    def folder(self) -> Path:
        """The folder of its partitions."""
        return self.root / "symbols" / folder_of_symbol(self.symbol) / self.label

    @property
    def values(self) -> tuple[str, ...]:
        """Names of the value columns."""
        return values_of(self.label)

    @property
    def bar_ms(self) -> int | None:
        """Length of a bar in milliseconds; None for funding."""
        return None if self.label == FUNDING else length_in_ms(self.label)

    def partitions(self) -> list[str]:
        """Names of the partitions there are, in order of time."""
        return sorted(found[1] for name in listed(self.folder) if (found := _PARTITION.fullmatch(name)))

    def first_facts(self) -> PartitionFacts | None:
        """Facts of the first partition, or None."""
        names = self.partitions()
        return self.facts(names[0]) if names else None

    def last_facts(self) -> PartitionFacts | None:
        """Facts of the last partition, or None."""
        names = self.partitions()
        return self.facts(names[-1]) if names else None

    def all_facts(self) -> list[PartitionFacts]:
        """Facts of every partition, in order of time."""
        return [self.facts(name) for name in self.partitions()]

    def require_grid_of(self, rows: pl.DataFrame) -> None:
        """Refuse rows that do not lie on the grid of the bars stored already."""
        bar_ms, facts = self.bar_ms, self.last_facts()  # the month in use: an old one that is damaged stops no append
        if bar_ms is None or facts is None:
            return
        first = int(rows["ts"].dt.epoch("ms")[0])
        if (first - facts.first) % bar_ms:
            raise CandleError(
                f"{self.symbol}: {written_time(first)} is off the grid of the {self.label} bars stored, "
                f"such as {written_time(facts.first)}; bars that open a whole number of bars apart were expected."
            )

    def append(self, rows: pl.DataFrame, *, source: str, seen_at: dt.datetime, by_clock: bool) -> SeriesAppend:
        """Merge rows ``[symbol, ts, value...]``, sorted and unique, into the partitions they belong to."""
        arrived = rows.select("ts", *self.values).with_columns(
            pl.lit(seen_at).cast(pl.Datetime("us", "UTC")).alias("seen_at"), pl.lit(source).alias("source")
        )
        added = unchanged = revised = 0
        revisions = []
        with locked(self.folder.parent):
            self.require_grid_of(rows)
            try:
                make_folder(self.folder)
                remove_leftovers(self.folder)
            except OSError as error:
                raise refusal(self.folder, "written", error) from error
            there = set(self.partitions())
            pattern = "%Y-%m" if self.bar_ms is not None and self.bar_ms < _HOUR else "%Y"
            for (name,), part in arrived.group_by(pl.col("ts").dt.strftime(pattern), maintain_order=True):
                stored = self.stored(str(name)) if name in there else part.clear()
                merged = merge(stored, part, self.values, by_clock=by_clock)
                if merged.changed:
                    content = partition_bytes(merged.frame, symbol=self.symbol, series=self.label, bar_ms=self.bar_ms)
                    put_file(self.folder / f"{name}.parquet", content)
                added += merged.added
                unchanged += merged.unchanged
                revised += merged.revised
                revisions.append(merged.revisions)
        return SeriesAppend(added, unchanged, revised, _named(pl.concat(revisions), self.symbol, self.label))

    def stored(self, name: str) -> pl.DataFrame:
        """All versions in one partition."""
        return read_partition(self._path(name), symbol=self.symbol, series=self.label)[0]

    def revisions(self) -> pl.DataFrame:
        """Every revision of the series; partitions without one are not read."""
        frames = [self.no_revisions(self.label)]
        for name in self.partitions():
            facts = self.facts(name)
            if facts.rows > facts.times:
                frames.append(_named(revisions_of(self.stored(name), self.values), self.symbol, self.label))
        return pl.concat(frames)

    def within(self, start: int | None, end: int | None) -> list[str]:
        """Names of the partitions that may hold times in ``[start, end)``, milliseconds since 1970."""
        low = "" if start is None else iso_time(start)
        high = "9999-12" if end is None else iso_time(end)
        return [name for name in self.partitions() if low[: len(name)] <= name <= high[: len(name)]]

    def read_one(self, name: str, known: dt.datetime | None) -> pl.DataFrame:
        """Values of one partition: current, or as known at a moment."""
        columns = ["ts", *self.values]
        path = self._path(name)
        if known is not None:
            versions, _ = read_partition(path, symbol=self.symbol, series=self.label, columns=[*columns, "seen_at"])
            return known_at(versions, known).select(columns)
        versions, facts = read_partition(path, symbol=self.symbol, series=self.label, columns=columns)
        return versions if facts.rows == facts.times else current(versions)

    def whole_runs(self, name: str) -> list[tuple[int, int]]:
        """First and last open of every stretch without a missing bar; the rows are read only where there are gaps."""
        facts, bar_ms = self.facts(name), self.bar_ms
        if facts.gaps == 0 or bar_ms is None:
            return [(facts.first, facts.last)]
        frame, _ = read_partition(self._path(name), symbol=self.symbol, series=self.label, columns=["ts"])
        times = frame["ts"].dt.epoch("ms").unique(maintain_order=True)
        begins = (times.diff() > bar_ms).fill_null(True)
        return list(zip(times.filter(begins).to_list(), times.filter(begins.shift(-1).fill_null(True)).to_list()))

    def facts(self, name: str) -> PartitionFacts:
        """Facts of one partition."""
        return partition_facts(self._path(name), symbol=self.symbol, series=self.label)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"


def values_of(label: str) -> tuple[str, ...]:
    """Names of the value columns of a series."""
    return FUNDING_VALUES if label == FUNDING else CANDLE_VALUES


def _named(revisions: pl.DataFrame, symbol: str, label: str) -> pl.DataFrame:
    return revisions.select(pl.lit(symbol).alias("symbol"), pl.lit(label).alias("bar"), pl.all())


def listed(folder: Path) -> list[str]:
    """Names in a folder, none where there is none."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise refusal(folder, "read", error) from error
