"""``FolderFeed``: files of candles that appear, or grow, in a folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from huracan.errors import CandleError, NotEnoughData
from huracan.integration.feedback.candle_intake import Intake
from huracan.integration.feedback.read_files import FileMark, ReadFiles
from huracan.integration.feedback.store_feed import StoreFeed
from huracan.integration.feedback.storing_candles import NOTHING_NEW, canonical_rows
from huracan.market.sources import named_as_table, named_as_text, open_tables, text_table
from huracan.market.store import CandleStore
from huracan.preprocessing.cleaning import CleaningPolicy

__all__ = ["FolderFeed"]

_STILL = 60.0
"""Seconds after which a text file that was not written to is whole, though its last line has no end."""


class FolderFeed(StoreFeed):
    """Files of candles that appear, or grow, in a folder; what is read goes into the store, once.

    What a file said is kept with the store, so that no restart reads it again: a row is stored where its file did not say it
    before. Where two files differ on a bar, the one that said it later holds; of files that are new together the one that was
    written later, and of those written together the last by name.

    The last line of a text file is left for the next look where it has no line end and the file was written within the last
    minute: somebody may be writing it. Write files aside and rename them into the folder, so that all of them is taken at once.

    Parameters
    ----------
    folder : it may be empty as yet, or be one file. store, bar, symbols, policy : of :class:`StoreFeed`.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=100, n_symbols=1, seed=0).candles
    >>> folder, store = Path(tempfile.mkdtemp()), tempfile.mkdtemp()
    >>> candles.write_parquet(folder / "history.parquet")
    >>> FolderFeed(folder, store).look()
    {}
    >>> candles.tail(1).with_columns(close=pl.col("low")).write_parquet(folder / "corrected.parquet")
    >>> for _ in range(2):  # two processes
    ...     feed = FolderFeed(folder, store)
    ...     last = feed.newest
    ...     print(feed.take(last + feed.bar).revised, feed.bars(last, last)["close"][0] == candles["low"][-1])
    {'SIM01-USD': 1} True
    {} True
    """

    def __init__(
        self,
        folder: Path,
        store: CandleStore | str | Path,
        bar: int | None = None,
        symbols: Sequence[str] = (),
        policy: CleaningPolicy | None = None,
    ) -> None:
        super().__init__(store, bar, symbols, policy)
        self.folder = folder
        self._files = ReadFiles(self.store.root)
        self._left: dict[Path, tuple[tuple[int, int], str]] = {}

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
        self._left.clear()  # what was left of files is looked at again, once a turn
        refused = self.look()
        taken = super().take(until)
        return Intake(taken.newest, taken.late, taken.revised, {**taken.refused, **refused})

    def look_up_to(self, until: int) -> dict[str, str]:
        """As :meth:`look`: files say what they say, whatever the time."""
        return self.look()

    def look(self) -> dict[str, str]:
        """Store what has changed since the last look; file -> why it could not be, ``*`` where there is no folder."""
        try:
            files = sorted(self.folder.iterdir()) if self.folder.is_dir() else [self.folder]
        except OSError as error:
            return {"*": f"{self.folder} cannot be read: {error.strerror}."}
        if files == [self.folder] and not self.folder.exists():
            return {"*": f"{self.folder} is not there; a folder of files of candles, or one file, was expected."}
        refused, there = {}, []
        for file in files:
            if not named_as_table(file) or file.name.startswith("."):
                continue
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

    def _taken(self, file: Path, size: int, written: int) -> str:
        """Why a file could not be taken, or not all of it."""
        try:
            return self._take_file(file, size, written)
        except (CandleError, NotEnoughData) as error:
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
            done = self.append_news(news, named=file.name) if news.height else NOTHING_NEW
        except (CandleError, NotEnoughData) as error:
            if news.height == rows.height:
                raise
            self._tell({", ".join(news["symbol"].unique().sort()): str(error)})  # the rest of the file was taken before
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
