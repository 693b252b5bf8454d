"""A symbol whose clock is not that of the others: markets that move together do so at the same time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from huracan.market.segments import written_length
from huracan.preprocessing.quality.findings import QualityCheck, Severity, moment, none_found
from huracan.preprocessing.quality.series import CandleArrays

__all__ = ["clocks_agree"]

SLOTS, LEAST, REACH = 20_000, 500, 14 * 3_600_000
"""Bars at the end that are compared, the fewest for it, and the largest shift that is looked at."""
TOGETHER, ERRORS, TIMES = 0.15, 6.0, 3.0
"""A clock is off where after some shift the correlation with the others is at least this, so many standard errors of
chance above zero (there are up to 1,681 shifts to be lucky with), and so many times that before the shift."""


def clocks_agree(bars: CandleArrays) -> Iterator[QualityCheck]:
    """Correlate each symbol's returns with the mean of the others', at every shift up to fourteen hours.

    Bars of at most an hour, three symbols or more: of two it could not be said whose clock is wrong. Unrelated symbols are
    called wrong less than once in a hundred thousand.
    """
    lengths, counts = np.unique(bars.bar, return_counts=True)
    bar = int(lengths[counts.argmax()])
    end = int(bars.ts.max())
    members = [(i, rows) for i, (_, rows, b) in enumerate(bars.parts()) if b == bar]
    if not bar or bar > 3_600_000 or len(members) < 3:
        return
    n = SLOTS
    total, own = np.zeros(n), {}
    for i, rows in members:
        signal = _signal(bars, rows, bar, end, n)
        if signal is not None:
            own[i] = signal
            total += signal
    if len(own) < 3:
        return
    wrong = [check for i in own if (check := _compared(bars, i, own[i], total - own[i], bar)) is not None]
    yield from wrong or [none_found("clock against others", "all symbols move at the same times.")]


def _signal(bars: CandleArrays, rows: slice, bar: int, end: int, n: int) -> NDArray[np.float64] | None:
    """Signed returns on the common grid, limited to three deviations; 0 where there is none."""
    slot = (bars.ts[rows][-n:] - end) // bar + n - 1
    close = bars.close[rows][-n - 1 :]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log(close[1:] / close[:-1])
    change, slot = change[-len(slot) :], slot[-len(change) :]
    usable = np.isfinite(change) & bars.regular[rows][-len(change) :] & (slot >= 0)
    if usable.sum() < LEAST or not (scale := float(np.std(change[usable]))) > 0:
        return None
    signal = np.zeros(n)
    signal[slot[usable]] = np.clip(change[usable] / scale, -3.0, 3.0)
    return signal


def _compared(
    bars: CandleArrays, i: int, mine: NDArray[np.float64], others: NDArray[np.float64], bar: int
) -> QualityCheck | None:
    from scipy import fft

    size = fft.next_fast_len(2 * len(mine), real=True)
    product = fft.irfft(fft.rfft(mine, size) * np.conj(fft.rfft(others, size)), size)
    reach = min(REACH // bar, len(mine) // 2)
    norm = float(np.sqrt((mine**2).sum() * (others**2).sum()))
    shifts = np.arange(-reach, reach + 1)
    correlation = product[shifts] / norm if norm > 0 else np.zeros(len(shifts))
    best, here = int(np.argmax(correlation)), float(correlation[reach])
    least = max(TOGETHER, ERRORS / max(int(np.count_nonzero(mine)), 1) ** 0.5, TIMES * here)
    if not shifts[best] or correlation[best] < least:
        return None
    symbol, rows = bars.symbols[i], slice(int(bars.start[i]), int(bars.start[i + 1]))
    late = "later" if shifts[best] > 0 else "earlier"
    said = (
        f"{symbol}: it moves {written_length(abs(int(shifts[best])) * bar)} {late} than the other symbols (correlation "
        f"{correlation[best]:.2f} after that shift, {here:.2f} without); a time zone, or times of the bars' end."
    )
    first, last = moment(bars.ts[rows.start]), moment(bars.ts[rows.stop - 1])
    return QualityCheck("clock against others", symbol, rows.stop - rows.start, 1.0, first, last, Severity.WARNING, said)
