"""What an exchange said it does not have, so that a halt of last year is asked for once and not every night."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from huracan.errors import StorageError
from huracan.market.fetching.pages import DAY, Span
from huracan.market.store.files import folder_of_symbol, put_file, refusal

__all__ = ["Absences", "union", "without"]

SETTLED_AFTER = DAY
"""Milliseconds: exchanges fill in bars late, so what ended less than this before it was asked for is asked for again."""


class Absences:
    """Spans of opens for which one exchange has no bars of a symbol, kept beside the store.

    They lie in ``<store>/exchanges/<exchange>/<symbol>/<bar>.parquet``. Deleting that file is harmless: the exchange is
    asked again.

    Parameters
    ----------
    root : folder of the store. exchange, symbol, bar : whose.

    Raises
    ------
    StorageError : the file cannot be read or written.
    """

    def __init__(self, root: Path, exchange: str, symbol: str, bar: str) -> None:
        self.path = root / "exchanges" / exchange / folder_of_symbol(symbol) / f"{bar}.parquet"
        self._new: list[Span] = []
        self.spans = self._read()

    def add(self, spans: Iterable[Span], *, now: int) -> None:
        """Remember what was absent at ``now``, as far as it is settled."""
        self._new.extend((start, min(end, now - SETTLED_AFTER)) for start, end in spans if start < now - SETTLED_AFTER)

    def save(self) -> None:
        """Write what was added; a file that is there is replaced as a whole."""
        if not self._new:
            return
        self.spans = union([*self.spans, *self._new])
        self._new = []
        content = io.BytesIO()
        pl.DataFrame(self.spans, schema={"start": pl.Int64, "end": pl.Int64}, orient="row").write_parquet(content)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refusal(self.path.parent, "made", error) from error
        put_file(self.path, content.getvalue())

    def _read(self) -> list[Span]:
        if not self.path.exists():
            return []
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(self.path)
            return [*zip(table["start"].to_pylist(), table["end"].to_pylist())]
        except (pyarrow.ArrowException, KeyError, OSError) as error:
            raise StorageError(f"{self.path} is damaged; delete it, and what it held is asked for again.") from error


def union(spans: Iterable[Span], *, within: int = 0) -> list[Span]:
    """Spans in order without overlaps; those no further apart than ``within`` become one.

    >>> union([(5, 7), (1, 3), (3, 4)]), union([(1, 3), (5, 7)], within=2)
    ([(1, 4), (5, 7)], [(1, 7)])
    """
    ordered = np.array(sorted(span for span in spans if span[0] < span[1]), dtype=np.int64).reshape(-1, 2)
    if not len(ordered):
        return []
    reached = np.maximum.accumulate(ordered[:, 1])
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:, 0] > reached[:-1] + within]))
    ends = np.concatenate([begins[1:] - 1, [len(ordered) - 1]])
    return list(zip(ordered[begins, 0].tolist(), reached[ends].tolist()))


def without(spans: Sequence[Span], removed: Sequence[Span]) -> list[Span]:
    """What of ``spans`` is in none of ``removed``; both in order and without overlaps.

    >>> without([(0, 10), (20, 30)], [(2, 4), (8, 22)])
    [(0, 2), (4, 8), (22, 30)]
    """
    left: list[Span] = []
    at = 0
    for start, end in spans:
        while at < len(removed) and removed[at][1] <= start:
            at += 1
        here = at
        while here < len(removed) and removed[here][0] < end:
            if removed[here][0] > start:
                left.append((start, removed[here][0]))
            start = max(start, removed[here][1])
            here += 1
        if start < end:
            left.append((start, end))
    return left
