"""The account of a cleaning: every step writes what it did, so that nothing happens without a line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from huracan.preprocessing.cleaning.outcome import CHANGES
from huracan.preprocessing.cleaning.policy import CleaningPolicy

__all__ = ["Ledger"]


@dataclass
class Ledger:
    """Collects changes and rows set aside. ``columns`` are the numbers of a candle, in order."""

    policy: CleaningPolicy
    columns: list[str]
    counts: Counter[str] = field(default_factory=Counter)
    _changes: list[pl.DataFrame] = field(default_factory=list)
    _aside: list[pl.DataFrame] = field(default_factory=list)

    def record(
        self,
        rows: pl.DataFrame,
        kind: str,
        reason: str | pl.Expr,
        *,
        column: str | None = None,
        old: pl.Expr | None = None,
        new: pl.Expr | None = None,
        counted: bool = True,
    ) -> None:
        """List one change a row."""
        if rows.is_empty():
            return
        nothing = pl.lit(None, pl.Float64)
        values = {
            "column": pl.lit(column, pl.String),
            "kind": pl.lit(kind),
            "old": nothing if old is None else old,
            "new": nothing if new is None else new,
            "reason": pl.lit(reason) if isinstance(reason, str) else reason,
        }
        made = rows.select("symbol", "ts", **values)
        self._changes.append(made.select(pl.col(name).cast(kind_) for name, kind_ in CHANGES.items()))
        if counted and kind != "conflicting duplicate":
            self.counts[kind] += rows.height

    def set_aside(
        self,
        rows: pl.DataFrame,
        kind: str,
        reason: str | pl.Expr,
        *,
        column: str | None = None,
        old: pl.Expr | None = None,
        listed: bool = True,
    ) -> None:
        """Take rows out, keeping them; ``listed=False`` where the caller lists the change value by value."""
        if rows.is_empty():
            return
        why = pl.lit(reason) if isinstance(reason, str) else reason
        self._aside.append(rows.select("row", "symbol", "ts", *self.columns, pl.lit(kind).alias("kind"), why.alias("reason")))
        if listed:
            self.record(rows, kind, reason, column=column, old=old)
        else:
            self.counts[kind] += rows.height

    def changes(self) -> pl.DataFrame:
        """All changes, by symbol and time."""
        made = pl.concat(self._changes) if self._changes else pl.DataFrame(schema=CHANGES)
        return made.sort("symbol", "ts", maintain_order=True)

    def aside(self) -> pl.DataFrame:
        """All rows set aside, in the order of the source."""
        keys = {"row": pl.UInt32(), "symbol": CHANGES["symbol"], "ts": CHANGES["ts"]}
        schema = pl.Schema({**keys, **dict.fromkeys(self.columns, pl.Float64()), "kind": pl.String(), "reason": pl.String()})
        return pl.concat(self._aside).sort("row") if self._aside else pl.DataFrame(schema=schema)
