"""Values that are missing, impossible, absurd or standing still."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from huracan.market.schema import LARGEST
from huracan.preprocessing.quality.findings import QualityCheck, Severity, found, moment, none_found
from huracan.preprocessing.quality.series import CandleArrays

__all__ = ["impossible", "missing_and_absurd", "trading"]

STALE_BARS = 10
"""Bars in a row without any change of price from which on a series counts as stale."""
ABSURD = 100_000.0
"""Volume this many times the symbol's median is not traded volume: an overflow, another unit, a total."""


def impossible(bars: CandleArrays) -> Iterator[QualityCheck]:
    """Values that are missing and values that no market makes, as :func:`huracan.market.validate_candles` refuses them."""
    for name in ("open", "high", "low", "close", "volume"):
        values = getattr(bars, name)
        least = 1 / LARGEST if name != "volume" else 0.0
        wrong = np.flatnonzero(~((values >= least) & (values <= LARGEST)))
        empty = np.isnan(values[wrong])
        expected = f"a price above 0, at most {LARGEST:g}," if name != "volume" else f"a volume from 0 to {LARGEST:g}"
        said = f"{name} is missing on {{thing}} ({{share}}), first {{first}}"
        yield from found(bars, f"missing {name}", wrong[empty], Severity.ERROR, said)
        said = f"impossible {name} on {{thing}}, first {{first}}; {expected} was expected"
        yield from found(bars, f"impossible {name}", wrong[~empty], Severity.ERROR, said)
    said = "high is below low on {thing}, first {first}"
    yield from found(bars, "high below low", bars.high < bars.low, Severity.ERROR, said)
    for name in ("open", "close"):
        values = getattr(bars, name)
        said = f"{name} lies outside [low, high] on {{thing}}, first {{first}}"
        yield from found(bars, f"{name} outside range", (values < bars.low) | (values > bars.high), Severity.ERROR, said)


def missing_and_absurd(bars: CandleArrays) -> Iterator[QualityCheck]:
    """Series that never move or never trade, volumes out of all proportion, and one series under two names."""
    fine = [True, True]
    absurd: list[NDArray[np.int64]] = []
    print_of: dict[tuple[float, ...], str] = {}
    twins: list[QualityCheck] = []
    for symbol, rows, _ in bars.parts():
        n = rows.stop - rows.start
        first, last = moment(bars.ts[rows.start]), moment(bars.ts[rows.stop - 1])
        volume, close = bars.volume[rows], bars.close[rows]
        positive = volume[volume > 0]
        if n > 1 and not len(positive) and not np.isnan(volume).all():
            fine[0] = False
            said = f"{symbol}: volume is 0 on all {n:,} bars."
            yield QualityCheck("no volume", symbol, n, 1.0, first, last, Severity.ERROR, said)
        if n > 1 and bars.flat[rows].all() and (close == close[0]).all():
            fine[1] = False
            said = f"{symbol}: the price is {close[0]:g} on all {n:,} bars."
            yield QualityCheck("constant price", symbol, n, 1.0, first, last, Severity.ERROR, said)
        if len(positive):
            few = positive[:: max(1, len(positive) // 5000)]
            absurd.append(rows.start + np.flatnonzero(volume > ABSURD * np.median(few)))
        if n >= 20 and len(positive):
            key = (n, float(bars.ts[rows.start]), float(close[n // 3]), float(np.nansum(close)), float(np.nansum(volume)))
            if key in print_of:
                said = f"{symbol}: the same bars as {print_of[key]}, under another name."
                twins.append(QualityCheck("identical series", symbol, n, 1.0, first, last, Severity.WARNING, said))
            print_of.setdefault(key, symbol)
    for well, name, said in zip(fine, ("no volume", "constant price"), ("every series trades.", "every price moves.")):
        if well:
            yield none_found(name, said)
    rows_found = np.concatenate(absurd) if absurd else np.empty(0, np.int64)
    said = f"volume is over {ABSURD:,.0f} times its median on {{thing}}, first {{first}}: an overflow or another unit"
    yield from found(bars, "absurd volume", rows_found, Severity.WARNING, said)
    yield from twins or [none_found("identical series", "no two series are the same.")]


def trading(bars: CandleArrays) -> Iterator[QualityCheck]:
    """Bars without trades, and prices that stand still."""
    said = "no volume on {thing} ({share}), first {first}"
    yield from found(bars, "zero volume", bars.volume == 0, Severity.NOTE, said, warn=0.05)
    said = "one price only on {thing} ({share}), first {first}"
    yield from found(bars, "flat bars", bars.flat, Severity.NOTE, said, warn=0.1)
    still = bars.flat.copy()
    still[1:] &= bars.close[1:] == bars.close[:-1]
    still[bars.start[:-1]] = False
    edge = np.flatnonzero(np.diff(still.view(np.int8), prepend=np.int8(0), append=np.int8(0)))
    begin, end = edge[::2], edge[1::2]
    long = end - begin >= STALE_BARS
    rows = np.concatenate([np.arange(a, b) for a, b in zip(begin[long], end[long])]) if long.any() else begin[:0]
    longest = int((end - begin).max()) if len(begin) else 0
    said = (
        f"the price stands still for {{thing}} ({{share}}) in runs of {STALE_BARS} or more, first {{first}}, longest {longest}"
    )
    yield from found(bars, "stale runs", rows, Severity.NOTE, said, warn=0.01)
