"""Whether the last bar was still open when the data was taken: what the clock proves, and what volume suggests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from huracan.preprocessing.quality.findings import QualityCheck, Severity, moment, none_found, said_time
from huracan.preprocessing.quality.series import CandleArrays

__all__ = ["last_bars"]

_TAIL, _LOCAL, _LEAST = 2_000, 30, 150
_RARE, _LOW = 0.01, 0.5


def last_bars(bars: CandleArrays, now: dt.datetime, files: Sequence[Path] = ()) -> Iterator[QualityCheck]:
    """Look at the last bar of every symbol.

    Certain: it ends after ``now``, or after the file was last written. Suspicious: the volume of all symbols that end
    together is lower against its neighbours than on 99 of 100 earlier bars (more where series end at several times), and
    under half of what is usual for them and for that time of day. By chance that is said of one data set in a hundred.
    A bar that was nearly over when it was taken looks like any other: values cannot tell.
    """
    clock, written = int(now.timestamp() * 1000), _written(files)
    said_any = False
    for symbol, rows, bar in bars.parts():
        last = int(bars.ts[rows.stop - 1])
        end = last + bar
        if not bar or last > clock:
            continue
        if end > clock or (written is not None and last <= written < end):
            said_any = True
            why = f"now ({_said(clock)})" if end > clock else f"the file was written ({_said(written or 0)})"
            said = f"{symbol}: its last bar, {_said(last)}, ends after {why}; it was still open when it was taken."
            yield QualityCheck(
                "partial last bar", symbol, 1, 1 / (rows.stop - rows.start), moment(last), moment(last), Severity.WARNING, said
            )
    if said_any:
        return
    low = list(_suspicious(bars))
    yield from low or [
        none_found(
            "partial last bar",
            "every last bar had ended by now and has usual volume; whether it had ended when taken, nothing shows.",
        )
    ]


def _suspicious(bars: CandleArrays) -> Iterator[QualityCheck]:
    groups: dict[tuple[int, int], list[int]] = {}
    for i, (_, rows, bar) in enumerate(bars.parts()):
        if bar and rows.stop - rows.start >= _LEAST:
            groups.setdefault((int(bars.ts[rows.stop - 1]), bar), []).append(i)
    for (last, bar), members in groups.items():
        volumes = [bars.volume[bars.start[i] : bars.start[i + 1]] for i in members]
        ratios = [r for v in volumes if (r := _against_neighbours(v)) is not None]
        if not ratios:
            continue
        length = min(map(len, ratios))
        level = np.mean([r[-length:] for r in ratios], axis=0)
        rank = (1 + np.count_nonzero(level[:-1] <= level[-1])) / length
        usual = float(np.exp(level[-1]))
        of_day = _against_time_of_day(volumes, bar)
        if rank > _RARE / len(groups) or usual >= _LOW or of_day >= _LOW:
            continue
        names = [bars.symbols[i] for i in members]
        who = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} others"
        said = (
            f"{who}: the last bar, {_said(last)}, has {usual:.0%} of the volume of the bars before it, less than "
            f"{1 - rank:.1%} of the last {length - 1} bars had; it may have been still open when it was taken."
        )
        symbol = names[0] if len(names) == 1 else None
        yield QualityCheck("partial last bar", symbol, len(names), 1 / length, moment(last), moment(last), Severity.NOTE, said)


def _against_neighbours(volume: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Log of each of the last volumes over the median of the thirty before it."""
    tail = volume[-_TAIL - _LOCAL :]
    usual = np.median(sliding_window_view(tail, _LOCAL), axis=1)[:-1]
    if len(usual) < _LEAST - _LOCAL or not np.all(usual > 0):
        return None
    ratio: NDArray[np.float64] = np.log(np.clip(tail[_LOCAL:] / usual, 0.01, 100.0))
    return ratio if np.isfinite(ratio).all() else None


def _against_time_of_day(volumes: list[NDArray[np.float64]], bar: int) -> float:
    """The last volume over the median at the same time of the twenty days before, the middle symbol's; 0 where unknown."""
    a_day = 86_400_000 // bar
    ratios = []
    for volume in volumes:
        same = volume[-1 - a_day :: -a_day][:20] if a_day > 1 else volume[-21:-1]
        if len(same) >= 5 and np.median(same) > 0:
            ratios.append(volume[-1] / np.median(same))
    return float(np.median(ratios)) if ratios else 0.0


def _written(files: Sequence[Path]) -> int | None:
    times = [path.stat().st_mtime for path in files if path.exists()]
    return int(1000 * min(times)) if times else None


def _said(milliseconds: int) -> str:
    return said_time(moment(milliseconds // 60_000 * 60_000))
