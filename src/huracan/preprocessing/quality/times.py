"""Order, duplicates, grid, gaps, clocks and spans: the checks of when bars stand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.market.segments import written_length
from huracan.market.validity import lasting_step
from huracan.preprocessing.quality.findings import MOST_DRAWN, QualityCheck, Severity, found, moment, none_found, said_time
from huracan.preprocessing.quality.series import FIRST, CandleArrays

__all__ = ["clocks", "gaps", "grid", "order", "spans"]

_HOUR, _DAY = 3_600_000, 86_400_000


def order(back: pl.DataFrame, rows: dict[str, int]) -> Iterator[QualityCheck]:
    """Places where the time of a symbol goes back."""
    if back.is_empty():
        yield none_found("unsorted", "the rows of every symbol are in order of time.")
    for symbol, count, first, last in (
        back.group_by("symbol", maintain_order=True)
        .agg(pl.len(), pl.col("ts").first().alias("a"), pl.col("ts").last().alias("b"))
        .iter_rows()
    ):
        said = f"{symbol}: time goes back in {count:,} place{'s' if count > 1 else ''}, first to {said_time(first)}."
        yield QualityCheck("unsorted", symbol, count, count / rows[symbol], first, last, Severity.ERROR, said)


def grid(bars: CandleArrays) -> Iterator[QualityCheck]:
    """Duplicates, alike and contradicting, steps off the grid, and bars whose length changes."""
    for symbol, rows, _ in bars.parts():
        if rows.stop - rows.start == 1:
            at = moment(bars.ts[rows.start])
            said = f"{symbol}: there is one bar; two were expected."
            yield QualityCheck("single bar", symbol, 1, 1.0, at, at, Severity.ERROR, said)
    twice = np.flatnonzero(bars.step == 0)
    alike = np.ones(len(twice), bool)
    for values in (bars.open, bars.high, bars.low, bars.close, bars.volume):
        here, before = values[twice], values[twice - 1]
        alike &= (here == before) | (np.isnan(here) & np.isnan(before))
    said = "{thing} at the time of the one before, with the same values, first {first}"
    yield from found(bars, "duplicates", twice[alike], Severity.ERROR, said)
    said = "{thing} at the time of the one before, with other values, first {first}: which is true cannot be known"
    yield from found(bars, "conflicting duplicates", twice[~alike], Severity.ERROR, said)
    odd = _irregular(bars)
    off = odd[(bars.step[odd] > 0) & (bars.step[odd] % np.maximum(bars.row_bar[odd], 1) != 0)]
    said = "{thing} off the grid of the bar length, first {first}"
    yield from found(bars, "off-grid", off, Severity.ERROR, said)
    changes = [change for part in bars.parts() if (change := _change(bars, *part)) is not None]
    yield from changes or [none_found("bar length change", "no series changes its bar length.")]


def gaps(bars: CandleArrays) -> Iterator[QualityCheck]:
    """Bars that are missing between a symbol's first and last, and the share that is there."""
    odd = _irregular(bars)
    wide = odd[bars.step[odd] > bars.row_bar[odd]]
    missing = bars.step[wide] // np.maximum(bars.row_bar[wide], 1) - 1
    wide, missing = wide[missing > 0], missing[missing > 0]
    if not len(wide):
        yield none_found("gaps", "no bar is missing.")
        yield none_found("coverage", "every series is complete between its first and last time.")
        return
    cut = np.searchsorted(wide, bars.start)
    for i, (symbol, rows, bar) in enumerate(bars.parts()):
        mine, lost = wide[cut[i] : cut[i + 1]], missing[cut[i] : cut[i + 1]]
        if not len(mine):
            continue
        here, total = rows.stop - rows.start, int(lost.sum())
        share = total / (here + total)
        first, last = moment(bars.ts[mine[0]]), moment(bars.ts[mine[-1]])
        longest = mine[np.argmax(lost)]
        sessions = _sessions(bars.ts[rows], bar)
        severity = Severity.WARNING if share >= 0.01 and not sessions else Severity.NOTE
        said = (
            f"{symbol}: {total:,} bar{'s are' if total > 1 else ' is'} missing in {len(mine):,} "
            f"gap{'s' if len(mine) > 1 else ''}, the longest of {lost.max():,} before {said_time(moment(bars.ts[longest]))}; "
            f"first before {said_time(first)}."
        )
        drawn = tuple(bars.ts[mine[:: -(-len(mine) // MOST_DRAWN)]].tolist())
        yield QualityCheck("gaps", symbol, total, share, first, last, severity, said, drawn)
        said = f"{symbol}: {1 - share:.2%} of the bars between its first and last time are there."
        yield QualityCheck("coverage", symbol, here, 1 - share, first, last, severity, said)
        if sessions:
            said = f"{symbol}: {sessions}; a market that closes, and its gaps are no defect."
            yield QualityCheck("sessions", symbol, here, 1.0, first, last, Severity.NOTE, said)


def clocks(bars: CandleArrays, now: dt.datetime) -> Iterator[QualityCheck]:
    """Times that cannot be: January 1970, the future, daylight saving, bars that open off the UTC clock."""
    after_1970 = np.repeat(bars.ts[bars.start[:-1]] >= 0, np.diff(bars.start))  # stocks have had a real January 1970
    yield from found(
        bars,
        "epoch",
        after_1970 & (bars.ts >= 0) & (bars.ts < 31 * _DAY),
        Severity.ERROR,
        "{thing} in January 1970, first {first}: a unit mistake",
    )
    late = bars.ts > int(now.timestamp() * 1000) + _DAY
    yield from found(bars, "future", late, Severity.WARNING, "{thing} in the future, first {first}")
    yield from _daylight_saving(bars)
    clear = True
    for symbol, rows, bar in bars.parts():
        if not bar or _DAY % bar or not bars.ts[rows.start] % bar:
            continue
        clear = False
        first, last = moment(bars.ts[rows.start]), moment(bars.ts[rows.stop - 1])
        said = f"{symbol}: {written_length(bar)} bars open at {said_time(first)}, off the UTC clock; "
        if bar - bars.ts[rows.start] % bar in (1, 1000) and bar > 1000:
            said += "this looks like the end of each bar, and a bar is known by its open."
        else:
            said += "a time zone or a session may explain it."
        yield QualityCheck("clock", symbol, rows.stop - rows.start, 1.0, first, last, Severity.WARNING, said)
    if clear:
        yield none_found("clock", "bars open on the UTC clock.")


def spans(bars: CandleArrays) -> Iterator[QualityCheck]:
    """Bar lengths, and where the series start and end."""
    lengths = {int(bar): symbol for symbol, bar in zip(reversed(bars.symbols), reversed(bars.bar)) if bar}
    if len(lengths) > 1:
        listed = ", ".join(f"{symbol} {written_length(bar)}" for bar, symbol in sorted(lengths.items())[:4])
        said = f"bar lengths differ between symbols: {listed}."
        most = max(lengths, key=lambda bar: np.count_nonzero(bars.row_bar == bar))
        fewer = int(np.count_nonzero(bars.row_bar != most))
        yield QualityCheck("bar length", None, fewer, fewer / len(bars), None, None, Severity.ERROR, said)
    elif lengths:
        yield none_found("bar length", f"all bars last {written_length(next(iter(lengths)))}.")
    first, last = bars.ts[bars.start[:-1]], bars.ts[bars.start[1:] - 1]
    if len(set(first.tolist())) == 1 and len(set(last.tolist())) == 1:
        yield none_found("spans", "all series start and end together.")
        return
    begin, finish = int(first.max()), int(last.min())
    common = max((finish - begin) / (int(last.max()) - int(first.min())), 0.0)

    def at(times: NDArray[np.int64], which: int) -> str:
        return f"{said_time(moment(times[which]))} ({bars.symbols[which]})"

    said = (
        f"series start between {at(first, int(first.argmin()))} and {at(first, int(first.argmax()))} and end between "
        f"{at(last, int(last.argmin()))} and {at(last, int(last.argmax()))}; {common:.0%} of the time is common to all."
    )
    severity = Severity.NOTE if common >= 0.5 else Severity.WARNING
    apart = int(np.count_nonzero((bars.ts < begin) | (bars.ts > finish)))
    yield QualityCheck("spans", None, apart, apart / len(bars), moment(begin), moment(finish), severity, said)


def _irregular(bars: CandleArrays) -> NDArray[np.int64]:
    odd = np.flatnonzero(~bars.regular)
    return odd[(bars.step[odd] != FIRST) & (bars.row_bar[odd] > 0)]


def _change(bars: CandleArrays, symbol: str, rows: slice, bar: int) -> QualityCheck | None:
    """A lasting run of another step: two bar lengths in one series."""
    step = bars.step[rows][1:]
    if not bar or np.count_nonzero(step != bar) < 3:
        return None
    other = lasting_step(pl.Series(step[step > 0]), bar)
    if other is None:
        return None
    length, count, row = other
    at = moment(bars.ts[rows][1:][step > 0][row] - length)
    said = (
        f"{symbol}: bars of {written_length(bar)} become bars of {written_length(length)} at {said_time(at)} ({count:,} bars)."
    )
    return QualityCheck("bar length change", symbol, count, count / (len(step) + 1), at, at, Severity.ERROR, said)


def _sessions(ts: NDArray[np.int64], bar: int) -> str:
    """What a market that closes looks like, in words; empty for one that does not."""
    if not bar or ts[-1] - ts[0] < 21 * _DAY:
        return ""
    weekday = (ts // _DAY + 3) % 7  # 1970-01-01 was a Thursday
    days = np.bincount(weekday, minlength=7)
    closed = [name for name, n in zip(("Mon", "Tue", "Wed", "Thu", "Fri", "Satur", "Sun"), days) if n == 0]
    parts = [f"no bar on {' and '.join(f'{name}days' for name in closed)}"] if closed and bar < 7 * _DAY else []
    if bar < _HOUR * 12:
        slot = np.bincount(ts % _DAY // (slots := max(bar, 1_800_000)), minlength=_DAY // slots)
        open_slots = np.flatnonzero(slot > 0.02 * slot.max())
        if len(open_slots) < 0.9 * len(slot):
            begin, end = ((s * slots) % _DAY for s in (open_slots[0], open_slots[-1] + 1))
            parts.append(f"trades between {_of_day(begin)} and {_of_day(end)} UTC only")
    return " and ".join(parts)


def _of_day(milliseconds: int) -> str:
    return f"{milliseconds // _HOUR:02d}:{milliseconds % _HOUR // 60_000:02d}"


def _daylight_saving(bars: CandleArrays) -> Iterator[QualityCheck]:
    """Steps one hour too long in spring and too short in autumn: local time, or days of local midnight, taken for UTC."""
    odd = _irregular(bars)
    hour = np.abs(bars.step[odd] - bars.row_bar[odd]) == _HOUR
    odd = odd[hour & (bars.row_bar[odd] >= _HOUR)]
    day = (bars.ts[odd] // _DAY + 3) % 7
    month = bars.ts[odd].astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    turned = odd[np.isin(day, (5, 6, 0)) & np.isin(month, (3, 4, 9, 10, 11))]
    both = (bars.step[turned] > bars.row_bar[turned]).any() and (bars.step[turned] < bars.row_bar[turned]).any()
    said = (
        "{thing} an hour early or late on the days when clocks change, first {first}: local time with daylight saving, not UTC"
    )
    none = "no step of an hour where clocks change."
    yield from found(bars, "daylight saving", turned if both else turned[:0], Severity.WARNING, said, none=none)
