"""``CandleFiles``: files of candles, each of which says a thing once, whoever reads it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from huracan.errors import ArtifactError, CandleError, NotEnoughData
from huracan.integration.feedback.read_files import FileMark, ReadFiles
from huracan.integration.feedback.store_feed import StoreFeed
from huracan.integration.feedback.storing_candles import NOTHING_NEW, canonical_rows
from huracan.market.sources import CandleSource, named_as_table, named_as_text, open_tables, text_table
from huracan.market.store import is_store

__all__ = ["CandleFiles", "store_given"]

_STILL = 60.0
"""Seconds after which a text file that was not written to is whole, though its last line has no end."""


def store_given(feed: StoreFeed, candles: CandleSource) -> Mapping[str, str]:
    """Store candles that somebody gives: of files what they did not say before. Symbol -> why it waits for others.

    Raises
    ------
    CandleError, NotEnoughData : none of the candles can be taken.
    """
    if not isinstance(candles, (str, os.PathLike)) or is_store(Path(candles)) or not Path(candles).exists():
        return feed.append_news(candles, named="tick").waits
    files = CandleFiles(Path(candles), feed)
    refused = files.look()
    if refused and not files.taken:
        raise CandleError(" ".join(refused.values()))
    if not files.taken:
        next(open_tables(candles), None)  # it says what it holds instead
    feed.tell(refused)
    return {**feed.waits, **refused}


class CandleFiles:
    """The files of a folder, or one, whose candles go into the store of a feed.

    Parameters
    ----------
    folder : it may be missing as yet, or be one file. feed : appends, and tells what of a file was not taken.

    Examples
    --------
    >>> import tempfile
    >>> from huracan.market import simulate_market
    >>> folder, feed = Path(tempfile.mkdtemp()), StoreFeed(tempfile.mkdtemp())
    >>> simulate_market(n_bars=30, n_symbols=1, seed=0).candles.write_parquet(folder / "a.parquet")
    >>> (folder / "b.csv").write_text("no,candles\\n1,2\\n") > 0
    True
    >>> files = CandleFiles(folder, feed)
    >>> list(files.look()), [file.name for file in files.taken]
    (['b.csv'], ['a.parquet'])
    """

    def __init__(self, folder: Path, feed: StoreFeed) -> None:
        self.folder, self.feed = folder, feed
        self._files = ReadFiles(feed.store.root)
        self._left: dict[Path, tuple[tuple[int, int], str]] = {}

    @property
    def taken(self) -> list[Path]:
        """Of the files there are, those of which candles are stored."""
        return [file for file in self._there() if self._files.is_any(file)]

    def look(self, *, again: bool = False) -> dict[str, str]:
        """Store what has changed since the last look; file -> why it could not be, ``*`` where there is no folder.

        Parameters
        ----------
        again : read what was left of files that have not changed since, too.
        """
        if again:
            self._left.clear()
        try:
            files = self._there()
        except OSError as error:
            return {"*": f"{self.folder} cannot be read: {error.strerror}."}
        if not self.folder.exists():
            return {"*": f"{self.folder} is not there; a folder of files of candles, or one file, was expected."}
        refused, there = {}, []
        for file in files:
            if not file.is_file():
                refused[file.name] = f"{file} is no file that can be read; a file of candles was expected under such a name."
                continue
            try:
                facts = file.stat()
                there.append((facts.st_mtime_ns, file.name, facts.st_size, file))
            except OSError as error:  # it went meanwhile, or may not be read
                refused[file.name] = f"{file} cannot be read: {error.strerror}."
        for written, name, size, file in sorted(there):
            if self._files.is_known(file, size, written):
                continue
            before = self._left.get(file)
            if before is None or before[0] != (size, written):
                before = self._left[file] = (size, written), self._taken(file, size, written)
            if before[1]:
                refused[name] = before[1]
        return refused

    def _there(self) -> list[Path]:
        files = sorted(self.folder.iterdir()) if self.folder.is_dir() else [self.folder]
        return [file for file in files if named_as_table(file) and not file.name.startswith(".")]

    def _taken(self, file: Path, size: int, written: int) -> str:
        """Why a file could not be taken, or not all of it."""
        try:
            return self._take_file(file, size, written)
        except (ArtifactError, CandleError, NotEnoughData) as error:  # a damaged symbol of the store stands against no other
            return str(error)
        except OSError as error:
            return f"{file} cannot be read: {error.strerror}."

    def _take_file(self, file: Path, size: int, written: int) -> str:
        """Store what a file says that it did not say before; why not all of it was, in sentences."""
        text, waits = _whole_lines(file, written) if named_as_text(file) else (None, "")
        if waits and not text:
            return waits
        mark = replace(FileMark.of(file, text), size=size, written=written)  # what it has grown to since comes at the next look
        if not waits and self._files.is_same(mark):
            return ""
        rows = canonical_rows(open_tables(file) if text is None else [text_table(file, text)])
        news = self._files.news(mark, rows)
        try:
            done = self.feed.append_news(news, named=file.name) if news.height else NOTHING_NEW
        except (CandleError, NotEnoughData) as error:
            if news.height == rows.height:
                raise
            self.feed.tell({", ".join(news["symbol"].unique().sort()): str(error)})  # the rest of the file was taken before
            return waits
        if waits or done.told.refused or done.waits:
            mark = replace(mark, size=-1, written=-1)  # it is looked at again
        if done.stored.height or not self._files.is_kept(mark):
            left = news.join(done.stored, on=["symbol", "ts"], how="anti")
            self._files.keep(mark, rows.join(left, on=["symbol", "ts"], how="anti"))
        return waits


def _is_still(written: int) -> bool:
    return time.time() - written / 1e9 >= _STILL


def _whole_lines(file: Path, written: int) -> tuple[bytes, str]:
    """What of a text file can be taken now, and why the rest has to wait."""
    content = file.read_bytes()
    if content.endswith(b"\n") or _is_still(written):
        return content, ""
    return content[: content.rfind(b"\n") + 1], (
        f"the last line of {file} has no line end, and somebody may be writing it; it is taken once it has one, or when the "
        "file was not written to for a minute. Files that are renamed into a folder are taken whole."
    )
