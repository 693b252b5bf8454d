"""What came late into a candle store, and what was revised, out of the store itself: whoever filled it or was killed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huracan.market.store import CandleStore
from huracan.market.store.series import Series

__all__ = ["Arrivals"]

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Part:
    """A partition: first and last arrival (microseconds), bars that came behind later ones of it, and revisions."""

    mark: tuple[int, int]
    first: int
    last: int
    late: int
    revised: int


class Arrivals:
    """Bars of each symbol that came after later ones had come, and revisions of bars, since the store began.

    A store keeps when each version of a bar was seen, so that both are functions of the store. Partitions that have not changed
    are not read again.

    Examples
    --------
    >>> import tempfile
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=100, n_symbols=1, seed=0).candles
    >>> store = CandleStore(tempfile.mkdtemp())
    >>> arrivals = Arrivals(store)
    >>> for part in (candles.head(50), candles.tail(40), candles.slice(50, 10), candles.tail(2)):
    ...     _ = store.append(part)
    >>> arrivals.counts("SIM01-USD", "1h")
    (10, 0)
    """

    def __init__(self, store: CandleStore) -> None:
        self.store = store
        self._parts: dict[tuple[str, str, str], _Part] = {}

    def counts(self, symbol: str, label: str) -> tuple[int, int]:
        """Late bars and revisions of one symbol, ever.

        Raises
        ------
        StorageError : a partition is damaged or cannot be read.
        """
        series, late, revised, after = Series(self.store.root, symbol, label), 0, 0, _NEVER
        for name in reversed(series.partitions()):
            part = self._part(series, name)
            late += part.late if part.last <= after else int(np.sum(_behind(_seen(series, name)[0], after)))
            revised += part.revised
            after = min(after, part.first)
        return late, revised

    def _part(self, series: Series, name: str) -> _Part:
        facts = (series.folder / f"{name}.parquet").stat()
        mark, key = (facts.st_size, facts.st_mtime_ns), (series.symbol, series.label, name)
        kept = self._parts.get(key)
        if kept is None or kept.mark != mark:
            seen, versions = _seen(series, name)
            late = int(np.sum(_behind(seen, _NEVER)))
            kept = self._parts[key] = _Part(mark, int(seen.min()), int(seen.max()), late, versions - len(seen))
        return kept


def _seen(series: Series, name: str) -> tuple[NDArray[np.int64], int]:
    """When each bar of a partition was first seen, in the order of bars; and how many versions there are."""
    versions = series.stored(name)
    seen = versions.group_by("ts", maintain_order=True).first()["seen_at"].dt.epoch("us").to_numpy()
    return seen, versions.height


def _behind(seen: NDArray[np.int64], after: int) -> NDArray[np.bool_]:
    """Whether each bar came after a later one; the first bar behind them came at ``after``."""
    first_from = np.minimum.accumulate(np.append(seen, after)[::-1])[::-1]
    return seen > first_from[1:]
