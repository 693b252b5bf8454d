"""What an exchange said it does not have, so that a halt of last year is not asked for every night.

One answer is not believed: a server that lags behind leaves bars out that are there a minute later. An absence counts once
two answers said so, of two runs or of two different pages, and even then not for ever: it is asked for again after a week,
and where it lasts after two more, four more, and so on.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from huracan.errors import StorageError
from huracan.market.fetching.pages import DAY, Span
from huracan.market.store.files import folder_of_symbol, put_file, refusal

__all__ = ["BELIEVED_FOR", "Absences", "union", "without"]

SETTLED_AFTER = DAY
"""Milliseconds: exchanges fill in bars late, so what ended less than this before it was asked for is asked for again."""
BELIEVED_FOR = 7 * DAY
"""Milliseconds for which an absence that two answers gave is believed; each further one doubles it."""

_SCHEMA = pl.Schema({"start": pl.Int64(), "end": pl.Int64(), "asked": pl.Int64(), "answers": pl.Int64()})


class Absences:
    """Spans of opens for which one exchange has no bars of a symbol, kept beside the store.

    They lie in ``<store>/exchanges/<exchange>/<symbol>/<bar>.parquet``. Deleting that file is harmless: the exchange is
    asked again.

    Parameters
    ----------
    root : folder of the store. exchange, symbol, bar : whose. now : the exchange's time, milliseconds since 1970.

    Attributes
    ----------
    spans : what need not be asked for now.

    Raises
    ------
    StorageError : the file cannot be read or written.
    """

    def __init__(self, root: Path, exchange: str, symbol: str, bar: str, *, now: int) -> None:
        self.path = root / "exchanges" / exchange / folder_of_symbol(symbol) / f"{bar}.parquet"
        self.now = now
        self._known = self._read()
        self._once: list[Span] = []
        self._twice: list[Span] = []
        believed = [spans for (asked, answers), spans in self._known.items() if now - asked < _believed_for(answers)]
        self.spans = union(span for spans in believed for span in spans)

    def add(self, spans: Iterable[Span], *, now: int, twice: bool) -> None:
        """Remember what was absent at ``now``, as far as it is settled; ``twice``: two pages say so."""
        settled = now - SETTLED_AFTER
        (self._twice if twice else self._once).extend((start, min(end, settled)) for start, end in spans if start < settled)

    def save(self) -> None:
        """Write what was added; a file that is there is replaced as a whole."""
        twice, fresh = union(self._twice), union([*self._once, *self._twice])
        if not fresh:
            return
        self._once, self._twice = [], []
        known: dict[tuple[int, int], list[Span]] = {}
        first = fresh
        for (asked, answers), spans in self._known.items():
            known.setdefault((asked, answers), []).extend(without(spans, fresh))
            known.setdefault((self.now, answers + 1), []).extend(_both(spans, fresh))
            first = without(first, spans)
        known.setdefault((self.now, 2), []).extend(_both(first, twice))
        known.setdefault((self.now, 1), []).extend(without(first, twice))
        self._known = {key: union(spans) for key, spans in known.items() if spans}
        rows = [(*span, *key) for key, spans in self._known.items() for span in spans]
        content = io.BytesIO()
        pl.DataFrame(rows, schema=_SCHEMA, orient="row").write_parquet(content)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refusal(self.path.parent, "made", error) from error
        put_file(self.path, content.getvalue())

    def _read(self) -> dict[tuple[int, int], list[Span]]:
        """Spans by when they were asked for last and by how many answers; none is in two of them."""
        if not self.path.exists():
            return {}
        import pyarrow.parquet

        known: dict[tuple[int, int], list[Span]] = {}
        try:
            table = pyarrow.parquet.read_table(self.path)
            for start, end, asked, answers in zip(*(table[name].to_pylist() for name in _SCHEMA.names())):
                known.setdefault((asked, answers), []).append((start, end))
        except (pyarrow.ArrowException, KeyError, OSError) as error:
            raise StorageError(f"{self.path} is damaged; delete it, and what it held is asked for again.") from error
        return {key: union(spans) for key, spans in known.items()}


def _believed_for(answers: int) -> int:
    return 0 if answers < 2 else BELIEVED_FOR << min(answers - 2, 20)


def _both(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    return without(spans, without(spans, others))


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
