"""What came out of cleaning: the candles, every change, every row set aside, and the sentence that sums it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten

import polars as pl

from huracan.market.timestamps import ReadNote
from huracan.preprocessing.cleaning.policy import CleaningPolicy

__all__ = ["CHANGES", "OUTLIERS", "CleanedCandles", "summary"]

CHANGES = pl.Schema(
    {
        "symbol": pl.String(),
        "ts": pl.Datetime("ms", "UTC"),
        "column": pl.String(),
        "kind": pl.String(),
        "old": pl.Float64(),
        "new": pl.Float64(),
        "reason": pl.String(),
    }
)

OUTLIERS = pl.Schema(
    {
        "symbol": pl.String(),
        "ts": pl.Datetime("ms", "UTC"),
        "what": pl.String(),
        "value": pl.Float64(),
        "lower": pl.Float64(),
        "upper": pl.Float64(),
    }
)

_SAID = {
    "moved": "put in order of time",
    "duplicate": "set aside as copies",
    "conflicting duplicate": "set aside as contradicted by another row",
    "invalid": "set aside as impossible",
    "orphan": "filled bars set aside",
    "outlier": "set aside as outliers",
    "short segment": "set aside in short segments",
    "clipped": "values clipped",
    "winsorised": "values winsorised",
    "filled": "bars filled",
}


@dataclass(frozen=True, eq=False)
class CleanedCandles:
    """Cleaned candles and the account of what was done.

    No row is lost: rows given = bars in ``candles`` that were not filled in + rows in ``set_aside``.

    Attributes
    ----------
    candles : canonical candles with ``segment`` and, by policy, ``outlier``, ``repaired`` and ``filled`` (Boolean).
    changes : every change, ``[symbol, ts, column, kind, old, new, reason]``: one row a value, ``column`` null where it
        concerns the whole bar. A flag is no change.
    set_aside : rows removed, ``[row, candle columns, kind, reason]``; ``row`` counts from 0 in the source.
    outliers : what was judged outside in the candles as they are now, ``[symbol, ts, what, value, lower, upper]``; what is
        a return, an upper or lower shadow (in log returns), or a volume.
    counts : kind -> bars it concerns (values for ``"clipped"`` and ``"winsorised"``), and ``"flagged"``.
    notes : what a reader should know, a sentence each; first what looks ahead. read_notes : what reading recognised.
    """

    candles: pl.DataFrame
    changes: pl.DataFrame
    set_aside: pl.DataFrame
    outliers: pl.DataFrame
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    read_notes: tuple[ReadNote, ...]
    policy: CleaningPolicy
    sentence: str

    def __repr__(self) -> str:
        return shorten(f"<CleanedCandles: {self.sentence}", 290, placeholder=" ...") + ">"


def summary(rows: int, candles: pl.DataFrame, counts: Mapping[str, int], notes: Sequence[str]) -> str:
    """One sentence: rows in, bars out, and what was done in between.

    >>> summary(3, pl.DataFrame({"symbol": ["A", "A"]}), {"duplicate": 1}, [])
    '3 rows of 1 symbol became 2 bars: 1 set aside as copies.'
    >>> summary(1, pl.DataFrame({"symbol": ["A"]}), {}, [])
    '1 row of 1 symbol became 1 bar: nothing was changed.'
    """
    symbols = candles["symbol"].n_unique()
    done = [f"{counts[kind]:,} {said}" for kind, said in _SAID.items() if counts.get(kind)]
    if counts.get("flagged"):
        done.append(f"{counts['flagged']:,} bars flagged as outliers, as they are")
    plural = {True: "", False: "s"}
    what = f"{rows:,} row{plural[rows == 1]} of {symbols} symbol{plural[symbols == 1]} "
    what += f"became {candles.height:,} bar{plural[candles.height == 1]}"
    return " ".join([f"{what}: {', '.join(done) or 'nothing was changed'}.", *notes])
