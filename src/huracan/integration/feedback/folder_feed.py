"""``FolderFeed``: files of candles that appear, or grow, in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huracan.errors import NotEnoughData
from huracan.integration.feedback.candle_files import CandleFiles
from huracan.integration.feedback.candle_intake import Intake
from huracan.integration.feedback.store_feed import StoreFeed
from huracan.market.store import CandleStore
from huracan.preprocessing.cleaning import CleaningPolicy

__all__ = ["FolderFeed"]


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
        self._files = CandleFiles(folder, self)

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
        refused = self._files.look(again=True)
        taken = super().take(until)
        return Intake(taken.newest, taken.late, taken.revised, {**taken.refused, **refused})

    def look_up_to(self, until: int) -> dict[str, str]:
        """As :meth:`look`: files say what they say, whatever the time."""
        return self.look()

    def look(self) -> dict[str, str]:
        """Store what has changed since the last look; file -> why it could not be, ``*`` where there is no folder."""
        return self._files.look()
