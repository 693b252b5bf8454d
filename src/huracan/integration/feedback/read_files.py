"""``ReadFiles``: what was read of each file that candles come from, kept beside the store they went into."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow
import pyarrow.parquet

from huracan.market.store.partition import CANDLE_VALUES
from huracan.storage.whole_files import put_file

__all__ = ["FileMark", "ReadFiles"]

_FOLDER = "read"
_KEY = b"huracan"
_SAID = pl.Schema({"symbol": pl.String(), "ts": pl.Datetime("ms", "UTC"), "said": pl.UInt64()})
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class FileMark:
    """By what a file is known again.

    Attributes
    ----------
    path : absolute. size, written : bytes, and nanoseconds since 1970; -1 where it was not taken whole. content : SHA-256.
    """

    path: str
    size: int
    written: int
    content: str

    @classmethod
    def of(cls, file: Path, content: bytes | None = None) -> FileMark:
        """Of a file as it is now. ``content`` : what of it was read, where that is at hand."""
        facts = file.stat()
        if content is not None:
            return cls(str(file.absolute()), facts.st_size, facts.st_mtime_ns, hashlib.sha256(content).hexdigest())
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return cls(str(file.absolute()), facts.st_size, facts.st_mtime_ns, digest)


class ReadFiles:
    """The rows that each file said when it was last read, one small file each, whole or not there.

    A row is news where its file did not say it before: what a file says again, whoever reads it and however often, is no reason
    to undo what another file corrected since. A file that was moved or renamed is known by its content.

    Parameters
    ----------
    root : of the store.

    Examples
    --------
    >>> import tempfile
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=30, n_symbols=1, seed=0).candles
    >>> read, mark = ReadFiles(Path(tempfile.mkdtemp())), FileMark("/in/a.csv", 10, 5, "ab")
    >>> read.news(mark, candles).height, read.is_known(Path("/in/a.csv"), 10, 5)
    (30, False)
    >>> read.keep(mark, candles)
    >>> read.news(mark, candles).height, read.is_known(Path("/in/a.csv"), 10, 5)
    (0, True)
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / _FOLDER

    def is_known(self, file: Path, size: int, written: int) -> bool:
        """Whether all that the file says was taken, by its size and the time it was written."""
        mark = self._marks.get(str(file.absolute()))
        return mark is not None and (mark.size, mark.written) == (size, written)

    def is_any(self, file: Path) -> bool:
        """Whether anything of the file was ever taken."""
        return str(file.absolute()) in self._marks

    def is_kept(self, mark: FileMark) -> bool:
        """Whether just this is kept of the file."""
        return self._marks.get(mark.path) == mark

    def is_same(self, mark: FileMark) -> bool:
        """Whether the file has the content that was taken whole, as one that was only touched has; it is then known by this."""
        before = self._marks.get(mark.path)
        if before is None or before.written < 0 or before.content != mark.content:
            return False
        if not (said := self._rows(mark.path)).is_empty():
            self._put(mark, said)
        return not said.is_empty()

    def news(self, mark: FileMark, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of ``rows`` (canonical) that the file did not say when it was last read."""
        before = self._before(mark)
        if before.is_empty():
            return rows
        return _said(rows, keep=True).join(before, on=_SAID.names(), how="anti", maintain_order="left").select(rows.columns)

    def keep(self, mark: FileMark, rows: pl.DataFrame) -> None:
        """Keep that the file said ``rows``, all of which are in the store.

        Raises
        ------
        StorageError : the disk is full, or the folder cannot be written.
        """
        self._put(mark, _said(rows).unique(maintain_order=True))

    def _put(self, mark: FileMark, said: pl.DataFrame) -> None:
        table = said.to_arrow(compat_level=pl.CompatLevel.oldest())
        table = table.replace_schema_metadata({_KEY: json.dumps(vars(mark)).encode()})
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(table, buffer, compression="zstd", use_dictionary=["symbol"], write_page_checksum=True)
        put_file(self._path(mark.path), buffer.getvalue())
        self._marks[mark.path] = mark

    @cached_property
    def _marks(self) -> dict[str, FileMark]:
        """Of every file that was ever read, by its path; one whose mark is damaged is read anew."""
        return {mark.path: mark for mark in self._kept_marks()}

    def _kept_marks(self) -> Iterator[FileMark]:
        for kept in sorted(self.folder.glob("*.parquet")):
            with suppress(OSError, ValueError, TypeError, KeyError, pyarrow.ArrowException):
                yield FileMark(**json.loads(pyarrow.parquet.read_schema(kept).metadata[_KEY]))

    def _before(self, mark: FileMark) -> pl.DataFrame:
        """What the file said before; of one that is not known, what one of its content said, or of its name that is no more."""
        if mark.path in self._marks:
            return self._rows(mark.path)
        same = [path for path, kept in self._marks.items() if kept.content == mark.content and kept.written >= 0]
        name = Path(mark.path).name
        gone = [path for path in self._marks if Path(path).name == name and not Path(path).exists()]
        return self._rows([mark.path, *gone, *same][-1])

    def _rows(self, path: str) -> pl.DataFrame:
        """What was kept of a file; nothing where that is damaged, so that the file is read anew."""
        with suppress(OSError, pyarrow.ArrowException):
            table = pyarrow.parquet.read_table(self._path(path), page_checksum_verification=True)
            return pl.DataFrame(pl.from_arrow(table.replace_schema_metadata(None))).cast(_SAID)
        return pl.DataFrame(schema=_SAID)

    def _path(self, path: str) -> Path:
        return self.folder / f"{hashlib.sha256(path.encode()).hexdigest()[:32]}.parquet"


def _said(rows: pl.DataFrame, *, keep: bool = False) -> pl.DataFrame:
    """``[symbol, ts, said]``, and what ``rows`` have beside with ``keep``: a number for the values, the same on every host."""
    mixed = np.zeros(rows.height, np.uint64)
    for name in CANDLE_VALUES:
        mixed = (mixed ^ rows[name].cast(pl.Float64).to_numpy().view(np.uint64)) * _ODD
        mixed ^= mixed >> np.uint64(29)
    marked = rows.with_columns(pl.col("ts").cast(_SAID["ts"]), pl.Series("said", mixed, pl.UInt64))
    return marked if keep else marked.select(_SAID.names())
