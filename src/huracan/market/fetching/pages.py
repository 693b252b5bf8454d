"""Paging: from one stretch of time to the bars an exchange has in it, whatever the manners of its pages.

Pages may be short, overlap, begin before what was asked, hold the newest bars of a window instead of the oldest, or be
empty because of a halt or because the market was listed later. What counts is only which bars are named: the cursor goes
to the bar after the last one, and what was passed over is absent only when the page before it says so too. A few holes
inside a page are asked for once more: they may be the fault of one answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from huracan.errors import CandleError
from huracan.market.columns import shown
from huracan.market.schema import CANDLE_SCHEMA, written_time
from huracan.market.segments import written_length
from huracan.market.validity import impossible_values, require_possible

__all__ = ["DAY", "Page", "Piece", "Span", "read_page", "walk"]

Span = tuple[int, int]
"""Half-open, milliseconds since 1970."""

DAY = 86_400_000
_LATEST = 2**62
_SMALL_PAGE = 100
"""Bars that every exchange's page has room for."""
_FEW_HOLES = 10
"""Holes of a page that are looked at again; where there are more, few trade, and bars are missing as a rule."""
_VALUES = CANDLE_SCHEMA.names()[2:]


@dataclass(frozen=True, eq=False)
class Page:
    """One answer, read.

    Attributes
    ----------
    times : opens of all bars it names, int64 milliseconds, sorted, each once.
    bars : canonical candles of those that can be true.
    set_aside : ``(ts, sentence)`` of the others; a row without a readable time has ``ts`` -1.
    """

    times: np.ndarray
    bars: pl.DataFrame
    set_aside: tuple[tuple[int, str], ...]

    def within(self, start: int, end: int) -> Page:
        """The part that opens in ``[start, end)``."""
        ts = pl.col("ts").dt.epoch("ms")
        kept = tuple(row for row in self.set_aside if start <= row[0] < end or row[0] < 0)
        times = self.times[(self.times >= start) & (self.times < end)]
        return Page(times, self.bars.filter((ts >= start) & (ts < end)), kept)


@dataclass(frozen=True, eq=False)
class Piece:
    """What is settled about the bars that open in ``[start, end)``: here, absent, or set aside by :func:`read_page`.

    ``twice`` says that two different pages lack what is absent.
    """

    start: int
    end: int
    bars: pl.DataFrame
    absent: tuple[Span, ...]
    twice: bool = False


def read_page(answer: Sequence[Any], *, symbol: str, bar_ms: int, phase: int | None) -> Page:
    """Read rows ``[ts, open, high, low, close, volume]``; rows that cannot be true are set aside and named.

    Parameters
    ----------
    answer : rows as ccxt gives them, in any order.
    phase : where bars open on the clock, modulo ``bar_ms``; most rows decide where it is not known yet.

    Examples
    --------
    >>> rows = [[0, 1.0, 2.0, 1.0, 2.0, 5.0], [60_000, 1.0, 1.0, 2.0, 2.0, 5.0]]
    >>> page = read_page(rows, symbol="A/B", bar_ms=60_000, phase=0)
    >>> page.bars.height, page.set_aside[0][1]
    (1, 'A/B: high 1.0 is below low 2.0 at 1970-01-01 00:01 UTC')
    """
    aside: list[tuple[int, str]] = []
    rows: dict[int, tuple[float | None, ...]] = {}
    twice: set[int] = set()
    for row in answer:
        values = _numbers(row)
        if values is None:
            aside.append((-1, f"{symbol}: a row is {shown(row)}; a time and five numbers were expected"))
            continue
        ts, numbers = values
        if rows.setdefault(ts, numbers) != numbers:
            twice.add(ts)
    times = np.array(sorted(rows), dtype=np.int64)
    on_grid = times % bar_ms == (_usual_phase(times, bar_ms) if phase is None else phase)
    for ts in times[~on_grid].tolist():
        aside.append((ts, f"{symbol}: {written_time(ts)} is off the grid of {written_length(bar_ms)} bars"))
        del rows[ts]
    for ts in sorted(twice & rows.keys()):
        aside.append((ts, f"{symbol}: {written_time(ts)} is there more than once with different values"))
        del rows[ts]
    bars, impossible = _possible(rows, symbol)
    return Page(times[on_grid], bars, tuple(sorted(aside + impossible)))


def walk(
    ask: Callable[[int], Page],
    span: Span,
    *,
    bar_ms: int,
    page_bars: int,
    days: Callable[[int], Sequence[int]] | None = None,
    look_again: bool = True,
) -> Iterator[Piece]:
    """Page forward through a span until every bar of it is settled.

    Parameters
    ----------
    ask : gives the page that begins at a time. It may hold anything; only bars of the span count.
    span : opens ``[start, end)``; all of them closed.
    page_bars : how many bars an answer holds at most: an empty one says nothing beyond that many.
    days : opens of the daily bars from a time on. Where pages are empty they tell, hundreds of days at once, where
        trading begins or goes on.
    look_again : ask once more for a few holes inside a page.

    Yields
    ------
    pieces that do not overlap and together are the span, each time ending later than the last, but for bars found behind
    a jump, which come from the end of the jump to its start.
    """
    cursor, end = span
    window = page_bars * bar_ms
    known_day = cursor
    while cursor < end:
        page = ask(cursor).within(cursor, _LATEST)
        if page.times.size:
            far, asked = min(int(page.times[0]), end), False
        else:
            far, known_day = _after_silence(cursor, window, min(window, _SMALL_PAGE * bar_ms), known_day, end, days)
            asked = far <= cursor + window
        yield from _passed_over(ask, cursor, far, bar_ms, 0 if asked else window)
        cursor = far
        inside = page.within(cursor, end)
        if inside.times.size:
            if look_again:
                inside = _with_holes_filled(ask, inside, cursor, bar_ms)
            reached = end if page.times[-1] >= end else int(inside.times[-1]) + bar_ms
            yield _piece(inside, cursor, reached, bar_ms)
            cursor = reached


def _after_silence(
    cursor: int, window: int, careful: int, known_day: int, end: int, days: Callable[[int], Sequence[int]] | None
) -> tuple[int, int]:
    """Where to go on after an empty page, and up to when it is known that the market traded on that day.

    On a day of trading the steps are ``careful`` ones: the page may have covered less time than it was asked for.
    """
    if days is None:
        return min(cursor + window, end), known_day
    step = cursor + careful
    if step >= end or cursor < known_day:
        return min(step, end), known_day
    opens = [day for day in days(cursor - DAY + 1) if day > cursor - DAY]
    if not opens:
        return min(max(step, cursor + 100 * DAY), end), known_day
    if opens[0] <= cursor:
        return step, opens[0] + DAY
    return min(max(step, opens[0]), end), known_day


def _passed_over(ask: Callable[[int], Page], start: int, far: int, bar_ms: int, window: int) -> Iterator[Piece]:
    """Settle what a page passed over: absent when the page that ends there has none of it either.

    Exchanges that give the newest bars of a window, or only what is near the present, are caught by this: their bars
    are taken page by page, backwards. A window of 0 means that there is no doubt.
    """
    while window and far - start >= bar_ms:
        before = ask(max(0, far - window)).within(start, far)
        if not before.times.size:
            break
        first = int(before.times[0])
        yield _piece(before, first, far, bar_ms)
        far = first
    if far > start:
        yield Piece(start, far, pl.DataFrame(schema=CANDLE_SCHEMA), ((start, far),), twice=window > 0)


def _piece(page: Page, start: int, end: int, bar_ms: int) -> Piece:
    return Piece(start, end, page.bars, _holes(page, start, end, bar_ms))


def _holes(page: Page, start: int, end: int, bar_ms: int) -> tuple[Span, ...]:
    before = np.concatenate([[start], page.times + bar_ms])
    after = np.concatenate([page.times, [end]])
    hole = after - before >= bar_ms
    return tuple(zip(before[hole].tolist(), after[hole].tolist()))


def _with_holes_filled(ask: Callable[[int], Page], page: Page, start: int, bar_ms: int) -> Page:
    """The page with what a second answer has in its holes."""
    holes = _holes(page, start, int(page.times[-1]), bar_ms)
    if not 0 < len(holes) <= _FEW_HOLES:
        return page
    again = ask(holes[0][0]).within(holes[0][0], int(page.times[-1]))
    new = np.setdiff1d(again.times, page.times)
    if not new.size:
        return page
    found = again.bars.filter(pl.col("ts").dt.epoch("ms").is_in(new.tolist()))
    return Page(np.union1d(page.times, new), pl.concat([page.bars, found]).sort("ts"), page.set_aside)


def _numbers(row: Any) -> tuple[int, tuple[float | None, ...]] | None:
    """Time and five values of a row, a value that is no number as None; None where it is no row."""
    if not isinstance(row, list | tuple) or len(row) < 6 or isinstance(row[0], bool) or not isinstance(row[0], int | float):
        return None
    if not math.isfinite(row[0]) or not 0 <= row[0] < _LATEST or row[0] != int(row[0]):
        return None
    numbers = tuple(float(value) if isinstance(value, int | float) and math.isfinite(value) else None for value in row[1:6])
    return int(row[0]), numbers


def _usual_phase(times: np.ndarray, bar_ms: int) -> int:
    phases, counts = np.unique(times % bar_ms, return_counts=True)
    return int(phases[np.argmax(counts)]) if phases.size else 0


def _possible(rows: dict[int, tuple[float | None, ...]], symbol: str) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    columns = dict(zip(_VALUES, zip(*rows.values()))) if rows else dict.fromkeys(_VALUES, ())
    frame = pl.DataFrame({"ts": list(rows), **columns}, schema={"ts": pl.Int64, **dict.fromkeys(_VALUES, pl.Float64)})
    frame = frame.select(pl.lit(symbol).alias("symbol"), pl.col("ts").cast(pl.Datetime("ms", "UTC")), *_VALUES).sort("ts")
    impossible = frame.select(pl.any_horizontal(bad.fill_null(True) for _, bad, _ in impossible_values(_VALUES))).to_series()
    if not impossible.any():
        return frame, []
    aside = []
    for at in impossible.arg_true():
        row = frame[int(at)]
        aside.append((int(row["ts"].dt.epoch("ms")[0]), _why(row)))
    return frame.filter(~impossible), aside


def _why(row: pl.DataFrame) -> str:
    try:
        require_possible(row)
    except CandleError as error:
        return str(error).split(" (1 bar)")[0]
    raise AssertionError(f"{row.row(0)} was set aside and is possible")  # the two read the same rules
