"""What concerns many partitions at once: reading and appending in threads, coverage, what is missing."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import polars as pl

from huracan.market.bar_lengths import first_open, grid_phase, length_in_ms
from huracan.market.store.files import symbol_of_folder
from huracan.market.store.moments import utc
from huracan.market.store.partition import schema_of
from huracan.market.store.series import Series, SeriesAppend, listed, values_of

__all__ = ["append_many", "coverage_frame", "missing_in", "read_many", "symbols_in"]

Job = TypeVar("Job")
Done = TypeVar("Done")


def symbols_in(root: Path, label: str | None) -> list[str]:
    """Symbols of a store that have the series ``label`` (any, where None), sorted."""
    found = [symbol for name in listed(root / "symbols") if (symbol := symbol_of_folder(name)) is not None]
    return sorted(
        symbol
        for symbol in found
        if any(Series(root, symbol, one).partitions() for one in ([label] if label else Series.labels(root, symbol)))
    )


def append_many(
    parts: Sequence[tuple[Series, pl.DataFrame]], *, source: str, seen_at: dt.datetime, by_clock: bool
) -> list[SeriesAppend]:
    """Append rows to several series; where one fails the others are stored all the same, and its error is raised."""
    return _in_threads(lambda part: part[0].append(part[1], source=source, seen_at=seen_at, by_clock=by_clock), parts)


def read_many(
    root: Path, symbols: Sequence[str], label: str, span: tuple[int | None, int | None], known: dt.datetime | None
) -> pl.DataFrame:
    """Read the series ``label`` of symbols, one after another: ``[symbol, ts, value...]`` sorted by ``(symbol, ts)``."""
    start, end = span
    jobs = [(one, name) for symbol in symbols for one in [Series(root, symbol, label)] for name in one.within(start, end)]
    frames = _in_threads(lambda job: job[0].read_one(job[1], known), jobs)
    empty = pl.DataFrame(schema=schema_of(label)).select(pl.lit("").alias("symbol"), "ts", *values_of(label)).clear()
    named = [frame.select(pl.lit(one.symbol).alias("symbol"), pl.all()) for (one, _), frame in zip(jobs, frames)]
    frame = pl.concat([empty, *named]).rechunk()
    since = pl.col("ts").dt.epoch("ms")
    if start is not None:
        frame = frame.filter(since >= start)
    return frame if end is None else frame.filter(since < end)


def coverage_frame(stored: Iterable[Series]) -> pl.DataFrame:
    """What is stored of series of bars, a row each, from the facts of their partitions."""
    rows = []
    for series in stored:
        facts, bar_ms = series.all_facts(), length_in_ms(series.label)
        bars, first, last = sum(part.times for part in facts), facts[0].first, facts[-1].last
        rows.append(
            {
                "symbol": series.symbol,
                "bar": series.label,
                "bars": bars,
                "first": utc(first),
                "last": utc(last),
                "missing": (last - first) // bar_ms + 1 - bars,
                "gaps": sum(part.gaps for part in facts) + sum(b.first - a.last > bar_ms for a, b in pairwise(facts)),
                "source": ", ".join(sorted({source for part in facts for source in part.sources})),
            }
        )
    time = pl.Datetime("ms", "UTC")
    counts = {"missing": pl.Int64(), "gaps": pl.Int64(), "source": pl.String()}
    schema = {"symbol": pl.String(), "bar": pl.String(), "bars": pl.Int64(), "first": time, "last": time, **counts}
    return pl.DataFrame(rows, schema=schema)


def missing_in(series: Series, start: int, end: int) -> list[tuple[int, int]]:
    """Half-open spans of opens in ``[start, end)`` that are not stored; all in milliseconds since 1970.

    The grid is that of the stored bars; partitions without gaps are not read.
    """
    bar_ms, stored = length_in_ms(series.label), series.last_facts()
    phase = grid_phase(bar_ms) if stored is None else stored.first % bar_ms
    expected, stop = first_open(start, bar_ms, phase), first_open(end, bar_ms, phase)
    spans = []
    for name in series.within(expected, stop):
        for first, last in series.whole_runs(name):
            if last < expected or first >= stop:
                continue
            if first > expected:
                spans.append((expected, first))
            expected = last + bar_ms
    return [*spans, (expected, stop)] if expected < stop else spans


def _in_threads(work: Callable[[Job], Done], jobs: Sequence[Job]) -> list[Done]:
    """All jobs, each to its end; then the first error there was, if any."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(work, job) for job in jobs]
    return [future.result() for future in futures]
