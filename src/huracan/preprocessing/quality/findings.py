"""What one check says, and how a mask over bars becomes one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from huracan.market.schema import written_time
from huracan.preprocessing.quality.series import CandleArrays

__all__ = ["MOST_DRAWN", "QualityCheck", "Severity", "found", "moment", "none_found", "row_check", "said_time"]


MOST_DRAWN = 400
"""Bars of one finding that a chart marks, evenly chosen where there are more."""


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
    drawn : opens of at most :data:`MOST_DRAWN` of the bars concerned, milliseconds since 1970, for charts; no part of frame
        and JSON.
    """

    name: str
    symbol: str | None
    count: int
    share: float
    first_time: dt.datetime | None
    last_time: dt.datetime | None
    severity: Severity
    sentence: str
    drawn: tuple[int, ...] = field(default=(), repr=False, compare=False)


def found(
    bars: CandleArrays,
    name: str,
    bad: NDArray[np.bool_] | NDArray[np.int64],
    severity: Severity,
    said: str,
    *,
    warn: float = 2.0,
    none: str | None = None,
) -> Iterator[QualityCheck]:
    """Count where ``bad`` holds: one check a symbol, or one that says it holds nowhere.

    Parameters
    ----------
    bad : a mask over the rows of ``bars``, or the ascending numbers of the rows it holds on.
    said : filled with ``count``, ``thing`` ("1 bar", "7 bars"), ``share`` and ``first``.
    warn : share of bars from which on a note becomes a warning. none : what to say where nothing was found.
    """
    rows = np.flatnonzero(bad) if bad.dtype == np.bool_ else bad
    if not len(rows):
        yield none_found(name, none or f"{name}: none.")
        return
    cut = np.searchsorted(rows, bars.start)
    for i, symbol in enumerate(bars.symbols):
        mine = rows[cut[i] : cut[i + 1]]
        if not len(mine):
            continue
        share = len(mine) / (bars.start[i + 1] - bars.start[i])
        first, last = moment(bars.ts[mine[0]]), moment(bars.ts[mine[-1]])
        thing = f"{len(mine):,} bar{'' if len(mine) == 1 else 's'}"
        text = said.format(
            count=f"{len(mine):,}",
            thing=thing,
            share=f"{share:.2%}" if share >= 5e-5 else "under 0.01%",
            first=said_time(first),
        )
        level = Severity.WARNING if severity is Severity.NOTE and share >= warn else severity
        drawn = tuple(bars.ts[mine[:: -(-len(mine) // MOST_DRAWN)]].tolist())
        yield QualityCheck(name, symbol, len(mine), float(share), first, last, level, f"{symbol}: {text}.", drawn)


def none_found(name: str, sentence: str) -> QualityCheck:
    """The check that found nothing."""
    return QualityCheck(name, None, 0, 0.0, None, None, Severity.OK, sentence)


def row_check(name: str, severity: Severity, count: int, share: float, said: str) -> QualityCheck:
    """A finding about rows of a source, which need have no time and no symbol."""
    return QualityCheck(name, None, count, share, None, None, severity, said)


def moment(milliseconds: int | np.integer) -> dt.datetime:
    """The UTC datetime of milliseconds since 1970."""
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=int(milliseconds))


def said_time(time: dt.datetime) -> str:
    """Write a UTC datetime as the messages of the market room do."""
    return written_time(round(time.timestamp() * 1000))
