"""What an append did."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

__all__ = ["AppendReport"]


@dataclass(frozen=True, eq=False)
class AppendReport:
    """What became of the rows that were appended.

    Attributes
    ----------
    what : the rows, for instance ``bars of BTC-USDT (1m)``.
    added : rows for times that were not stored. unchanged : rows equal to what is stored, or to another row appended.
    revised : rows whose values differ from what is stored; the old ones are kept.
    still_open : rows left out, because at ``fetched_at`` their bar had not closed, or the funding was not yet due.
    revisions : ``[symbol, bar, ts, old_open, ..., new_open, ..., seen_at, source, old_seen_at, old_source]`` of this append.
    """

    what: str
    added: int
    unchanged: int
    revised: int
    still_open: int
    revisions: pl.DataFrame

    def __repr__(self) -> str:
        return f"<AppendReport: {self.sentence}>"

    @property
    def sentence(self) -> str:
        """The report as one sentence."""
        said = f"{self.what}: {self.added:,} added, {self.unchanged:,} unchanged, {self.revised:,} revised"
        if self.revised:
            first = self.revisions.row(0, named=True)
            said += f" (the first at {first['ts']:%Y-%m-%d %H:%M} UTC; old values are kept)"
        return f"{said}, {self.still_open:,} still open and left out." if self.still_open else f"{said}."
