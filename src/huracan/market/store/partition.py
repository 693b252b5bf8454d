"""One partition file: every version of one series within a month or a year, with its own facts and checksums.

A partition is an ordinary zstd parquet file. Its footer says which series it holds, from when to when, and a CRC-32 of
every column, so what is asked of coverage needs no data, and a file that was damaged, renamed or put into another folder
is refused by name instead of believed.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from huracan.errors import ArtifactError, StorageError
from huracan.market.schema import written_time
from huracan.market.store.files import refusal
from huracan.market.store.versions import SEEN_AT, current

if TYPE_CHECKING:
    import pyarrow.parquet

__all__ = [
    "CANDLE_VALUES",
    "FUNDING",
    "FUNDING_VALUES",
    "PartitionFacts",
    "iso_time",
    "partition_bytes",
    "partition_facts",
    "read_partition",
    "schema_of",
]

CANDLE_VALUES = ("open", "high", "low", "close", "volume")
FUNDING_VALUES = ("funding_rate",)
FUNDING = "funding"
"""Folder of a symbol's funding rates, beside the folders of its bars."""

_KEY = b"huracan"
_FORMAT = 1


@dataclass(frozen=True)
class PartitionFacts:
    """What a partition's footer says.

    Attributes
    ----------
    symbol, series : whose and which: a bar length such as ``1m``, or ``funding``.
    times : different times. rows : versions of them. first, last : earliest and latest time, milliseconds since 1970.
    gaps : steps longer than one bar (0 for funding).
    sources : where the current rows came from. checksums : CRC-32 by column.
    """

    symbol: str
    series: str
    times: int
    rows: int
    first: int
    last: int
    gaps: int
    sources: tuple[str, ...]
    checksums: dict[str, int]


def iso_time(milliseconds: int) -> str:
    """A time as ISO text, whose beginning is the name of the partition it belongs to.

    >>> iso_time(1761967080000)
    '2025-11-01T03:18:00'
    """
    try:
        return (dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=milliseconds)).isoformat()
    except OverflowError:  # rounded up past the last moment there is
        return dt.datetime.max.isoformat()


def schema_of(series: str) -> pl.Schema:
    """Columns of a partition."""
    values = FUNDING_VALUES if series == FUNDING else CANDLE_VALUES
    return pl.Schema(
        {"ts": pl.Datetime("ms", "UTC"), **{name: pl.Float64() for name in values}, "seen_at": SEEN_AT, "source": pl.String()}
    )


def partition_bytes(frame: pl.DataFrame, *, symbol: str, series: str, bar_ms: int | None) -> bytes:
    """The file of a partition; ``frame`` holds its versions sorted by ``(ts, seen_at)``, one row at least."""
    import pyarrow.parquet

    now = current(frame)
    steps = now["ts"].diff().drop_nulls().dt.total_milliseconds()
    facts = PartitionFacts(
        symbol=symbol,
        series=series,
        times=now.height,
        rows=frame.height,
        first=int(frame["ts"].dt.epoch("ms")[0]),
        last=int(frame["ts"].dt.epoch("ms")[-1]),
        gaps=int((steps > bar_ms).sum()) if bar_ms else 0,
        sources=tuple(now["source"].unique().sort()),
        checksums={name: _checksum(frame[name]) for name in frame.columns},
    )
    said = json.dumps({"format": _FORMAT, **asdict(facts)}).encode()
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    table = table.replace_schema_metadata({_KEY: b"%08x%s" % (zlib.crc32(said), said)})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(
        table, buffer, compression="zstd", use_dictionary=["seen_at", "source"], write_page_checksum=True
    )
    return buffer.getvalue()


def partition_facts(path: Path, *, symbol: str, series: str) -> PartitionFacts:
    """What the footer of a partition says, without reading its rows.

    Raises
    ------
    ArtifactError : the file is damaged, or holds another series than its place says. StorageError : it cannot be read.
    """
    with _opened(path) as file:
        return _facts(file, path, symbol, series)


def read_partition(
    path: Path, *, symbol: str, series: str, columns: Sequence[str] | None = None
) -> tuple[pl.DataFrame, PartitionFacts]:
    """Read columns of a partition (all by default), every one checked against its checksum.

    Raises
    ------
    ArtifactError : the file is damaged, or holds another series than its place says. StorageError : it cannot be read.
    """
    schema = schema_of(series)
    names = list(columns or schema)
    with _opened(path) as file:
        facts = _facts(file, path, symbol, series)
        table = file.read(columns=names)
        for name in names:
            if table.schema.field(name).type != _arrow_type(schema[name]):
                raise _damaged(path, f"column '{name}' is {table.schema.field(name).type}")
        table.validate(full=True)
        frame = pl.DataFrame({name: pl.from_arrow(table.column(name)) for name in names})
    for name in names:
        column = frame[name]
        if column.len() != facts.rows or _checksum(column) != facts.checksums.get(name):
            raise _damaged(path, f"column '{name}' is not what was written")
    return frame, facts


def _arrow_type(kind: pl.DataType) -> pyarrow.DataType:
    """The type a column has in the file; another one is damage, and polars ends the process on some."""
    import pyarrow

    if isinstance(kind, pl.Datetime):
        return pyarrow.timestamp(kind.time_unit, kind.time_zone)
    return pyarrow.large_string() if kind == pl.String else pyarrow.float64()


def _checksum(column: pl.Series) -> int:
    if column.null_count():
        return -1
    if column.dtype == pl.String:
        runs = column.rle().struct.unnest()
        return zlib.crc32(repr(list(runs.select("value", "len").iter_rows())).encode())
    return zlib.crc32(np.ascontiguousarray(column.to_physical().to_numpy()).tobytes())


def _facts(file: pyarrow.parquet.ParquetFile, path: Path, symbol: str, series: str) -> PartitionFacts:
    kept = (file.metadata.metadata or {}).get(_KEY, b"")
    if len(kept) < 9 or b"%08x" % zlib.crc32(kept[8:]) != kept[:8]:
        raise _damaged(path, "its footer does not say what it holds")
    said = json.loads(kept[8:])
    if said.pop("format") > _FORMAT:
        raise StorageError(f"{path} was written by a newer Huracan; use that one.")
    facts = PartitionFacts(**{**said, "sources": tuple(said["sources"])})
    if (facts.symbol, facts.series) == (symbol, series):
        if {iso_time(facts.first)[: len(path.stem)], iso_time(facts.last)[: len(path.stem)]} == {path.stem}:
            return facts
        raise ArtifactError(f"{path} holds {series} since {written_time(facts.first)}; it was renamed, give it back its name.")
    raise ArtifactError(
        f"{path} holds {facts.series} of {facts.symbol}, its place says {series} of {symbol}; move it back where it was."
    )


@contextmanager
def _opened(path: Path) -> Iterator[pyarrow.parquet.ParquetFile]:
    """Open a partition; whatever pyarrow finds wrong with it becomes one sentence that names the file."""
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (
        *(pyarrow.ArrowException, PolarsError, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError),
    ) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise refusal(path, "read", error) from error
        lines = str(error).strip().splitlines()
        raise _damaged(path, (lines[0] if lines else type(error).__name__).rstrip(".")[:200]) from error


def _damaged(path: Path, why: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is damaged: {why}; restore it from a backup, or move it away and download that span again. "
        "Other symbols are not concerned."
    )
