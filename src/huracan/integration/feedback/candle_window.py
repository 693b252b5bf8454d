"""``CandleWindow``: the candles there are, as the parts of the feedback loop ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import polars as pl

__all__ = ["CandleWindow", "FrameWindow"]


class CandleWindow(Protocol):
    """Candles by time: a store, a folder, or a frame in a replay.

    It may give candles that close after the moment at which it is asked, as a replay does which knows them all: whoever asks
    looks at nothing past a moment of his own (see :class:`~huracan.integration.feedback.feature_feed.FeatureFeed`).

    Attributes
    ----------
    bar : length of a bar in milliseconds. revision : another number whenever the same question may have another answer:
        candles came, came late, or were revised. What was computed of an earlier revision is computed anew.
    """

    @property
    def bar(self) -> int: ...

    @property
    def revision(self) -> int: ...

    def bars(self, first: int, last: int, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """Canonical candles whose open lies in ``first <= ts <= last`` (milliseconds UTC), sorted by ``(symbol, ts)``.

        Parameters
        ----------
        symbols : only of these, those without a candle left out; of all where it is None.

        Returns
        -------
        ``[symbol, ts, open, high, low, close, volume]``; further columns may follow. Empty where there are none.
        """
        ...


class FrameWindow:
    """The candles of a frame in memory.

    Parameters
    ----------
    candles : canonical, sorted by ``(symbol, ts)``. bar : length of a bar in milliseconds.

    Examples
    --------
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=30, n_symbols=2, seed=0).candles
    >>> window = FrameWindow(candles, 3_600_000)
    >>> first = int(candles["ts"].dt.epoch("ms")[0])
    >>> window.bars(first, first + 3_600_000).height, window.bars(first, first, [candles["symbol"][0]]).height
    (4, 1)
    """

    def __init__(self, candles: pl.DataFrame, bar: int) -> None:
        self.bar, self.revision = bar, 0
        self._candles = candles
        runs = candles["symbol"].rle()
        lengths = runs.struct.field("len").to_numpy()
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
        names = runs.struct.field("value").to_list()
        self._rows = {str(name): (int(a), int(a + n)) for name, a, n in zip(names, starts, lengths)}
        self._ts = candles["ts"].dt.epoch("ms").to_numpy()

    @property
    def symbols(self) -> tuple[str, ...]:
        """Of which there are candles."""
        return tuple(self._rows)

    def bars(self, first: int, last: int, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """See :meth:`CandleWindow.bars`; slices of the frame, nothing is searched through."""
        wanted = self._rows if symbols is None else sorted(symbol for symbol in set(symbols) if symbol in self._rows)
        parts = []
        for symbol in wanted:
            a, b = self._rows[symbol]
            low, high = a + np.searchsorted(self._ts[a:b], [first, last + 1])
            if high > low:
                parts.append(self._candles.slice(int(low), int(high - low)))
        return pl.concat(parts) if parts else self._candles.clear()
