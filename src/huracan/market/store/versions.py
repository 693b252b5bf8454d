"""Versions of one series: what was known of each time, and since when.

A row is ``[ts, value..., seen_at, source]``: from ``seen_at`` on the value of ``ts`` was known to be this, until a later
row of the same ``ts`` says otherwise. Rows are sorted by ``(ts, seen_at)``, neighbours of one ``ts`` differ, and the last
of a ``ts`` is current. A download that arrives late takes its place by when it was seen, and one that says what is known
already leaves no trace, so any number of repetitions changes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

__all__ = ["SEEN_AT", "Merge", "current", "known_at", "merge", "revisions_of"]

SEEN_AT = pl.Datetime("us", "UTC")


@dataclass(frozen=True, eq=False)
class Merge:
    """What became of a series' partition when rows arrived.

    Attributes
    ----------
    frame : every version, in order. changed : whether it differs from what was stored.
    added, unchanged, revised : rows that arrived, by what they were.
    revisions : pairs of old and new values, as :func:`revisions_of` gives them, that arrived now.
    """

    frame: pl.DataFrame
    changed: bool
    added: int
    unchanged: int
    revised: int
    revisions: pl.DataFrame


def merge(stored: pl.DataFrame, arrived: pl.DataFrame, values: Sequence[str], *, by_clock: bool) -> Merge:
    """Bring rows that arrived into the versions stored.

    Parameters
    ----------
    stored, arrived : ``[ts, value..., seen_at, source]``; ``arrived`` has each ``ts`` once, both are sorted by ``ts``.
    values : names of the value columns.
    by_clock : ``seen_at`` of ``arrived`` is this machine's clock; where the clock went back, the moment of the stored
        version is taken, so that what arrives last is what is current.
    """
    none = revisions_of(stored.clear(), values)
    if stored.is_empty() or arrived["ts"][0] > stored["ts"][-1]:
        return Merge(pl.concat([stored, arrived]), True, arrived.height, 0, 0, none)
    new = arrived.join(stored, on="ts", how="anti", maintain_order="left")
    met = arrived.join(stored, on="ts", how="semi", maintain_order="left")
    if met.is_empty():
        return Merge(pl.concat([stored, new]).sort("ts", maintain_order=True), True, new.height, 0, 0, none)
    touched = stored.join(met, on="ts", how="semi", maintain_order="left")
    if by_clock:
        last = current(touched).select("ts", pl.col("seen_at").alias("__last"))
        met = met.join(last, on="ts", how="left", maintain_order="left").with_columns(
            seen_at=pl.max_horizontal("seen_at", "__last")
        )
        met = met.drop("__last")
    both = pl.concat([touched.with_columns(__new=False), met.with_columns(__new=True)]).sort(
        ["ts", "seen_at", "__new"], maintain_order=True
    )
    differs = pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in values)
    both = both.filter((pl.col("ts") != pl.col("ts").shift(1)).fill_null(True) | differs)
    revised = both.height - touched.height
    after = both.drop("__new")
    changed = new.height > 0 or not after.equals(touched)
    frame = stored
    if changed:
        untouched = (
            stored.join(met, on="ts", how="anti", maintain_order="left") if touched.height < stored.height else stored[:0]
        )
        frame = pl.concat([untouched, after, new]).sort("ts", maintain_order=True)
    grown = both.join(
        both.group_by("ts")
        .len("__after")
        .join(touched.group_by("ts").len("__before"), on="ts")
        .filter(pl.col("__after") > pl.col("__before")),
        on="ts",
        how="semi",
        maintain_order="left",
    )
    arrived_now = pl.col("__new") | pl.col("__new").shift(1)
    pairs = revisions_of(grown.drop("__new"), values, only=grown.select(arrived_now).to_series()) if grown.height else none
    return Merge(frame, changed, new.height, met.height - revised, revised, pairs)


def current(versions: pl.DataFrame) -> pl.DataFrame:
    """The last version of every time."""
    return versions.filter((pl.col("ts") != pl.col("ts").shift(-1)).fill_null(True))


def known_at(versions: pl.DataFrame, moment: dt.datetime) -> pl.DataFrame:
    """What was known at a moment: versions seen by then, the last of each time."""
    return current(versions.filter(pl.col("seen_at") <= moment))


def revisions_of(versions: pl.DataFrame, values: Sequence[str], *, only: pl.Series | None = None) -> pl.DataFrame:
    """Each change of a value: ``[ts, old_value..., new_value..., seen_at, source, old_seen_at, old_source]``."""
    again = (pl.col("ts") == pl.col("ts").shift(1)).fill_null(False)
    wanted = again if only is None else again & pl.lit(only).fill_null(False)
    return (
        versions.select(
            "ts",
            *(pl.col(name).shift(1).alias(f"old_{name}") for name in values),
            *(pl.col(name).alias(f"new_{name}") for name in values),
            "seen_at",
            "source",
            pl.col("seen_at").shift(1).alias("old_seen_at"),
            pl.col("source").shift(1).alias("old_source"),
            wanted.alias("__wanted"),
        )
        .filter(pl.col("__wanted"))
        .drop("__wanted")
    )
