"""What one check says, and how a condition on bars becomes one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl

from huracan.market.schema import written_time

__all__ = ["QualityCheck", "Severity", "found", "none_found", "said_time"]


class Severity(StrEnum):
    """How bad: nothing found, good to know, look at it, cannot be true."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class QualityCheck:
    """One finding, or the statement that there was none.

    Attributes
    ----------
    name : what was checked. symbol : of which symbol, ``None`` for all of them.
    count : bars concerned. share : of the symbol's bars, a fraction.
    first_time, last_time : open of the first and last bar concerned, UTC, ``None`` where nothing was found.
    severity : how bad it is. sentence : what, where and how much.
    """

    name: str
    symbol: str | None
    count: int
    share: float
    first_time: dt.datetime | None
    last_time: dt.datetime | None
    severity: Severity
    sentence: str


def found(
    frame: pl.DataFrame, name: str, bad: pl.Expr, severity: Severity, said: str, *, warn: float = 2.0
) -> Iterator[QualityCheck]:
    """Count where ``bad`` holds: one check a symbol, or one that says it holds nowhere.

    ``said`` is filled with ``count``, ``share`` and ``first``; from a share of ``warn`` on a note becomes a warning.
    """
    where = frame.select("symbol", "ts", bad.fill_null(False).alias("bad")).filter("bad")
    if where.is_empty():
        yield none_found(name, f"{name}: none.")
        return
    bars = dict(frame.group_by("symbol").len().iter_rows())
    counts = where.group_by("symbol", maintain_order=True).agg(
        pl.len(), pl.col("ts").first().alias("a"), pl.col("ts").last().alias("b")
    )
    for symbol, count, first, last in counts.iter_rows():
        share = count / bars[symbol]
        text = said.format(count=count, share=f"{share:.2%}", first=said_time(first))
        level = Severity.WARNING if severity is Severity.NOTE and share >= warn else severity
        yield QualityCheck(name, symbol, count, share, first, last, level, f"{symbol}: {text}.")


def none_found(name: str, sentence: str) -> QualityCheck:
    """The check that found nothing."""
    return QualityCheck(name, None, 0, 0.0, None, None, Severity.OK, sentence)


def said_time(moment: Any) -> str:
    """Write a UTC datetime as the messages of the market room do."""
    return written_time(round(moment.timestamp() * 1000))
