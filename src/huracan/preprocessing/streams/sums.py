"""Running sums, means and deviations: the recursions bottleneck runs in C, step for step, so that no bit differs.

A running sum carries the rounding of every value it ever held. To go on where batch stands, a stream has to start from
exactly that sum; it is read from bottleneck's own result, or rebuilt with the same additions in the same order.
"""

from __future__ import annotations

import math
from typing import Any

import bottleneck as bn
import numpy as np

from huracan.preprocessing.rolling import (
    RESIDUE,
    Array,
    rolling_mean,
    rolling_std,
    rolling_sum,
    rolling_sum_of_sizes,
)
from huracan.preprocessing.streams.lines import Lines, LineStream
from huracan.preprocessing.streams.register import last_values, stream_for

__all__ = ["RollingMean", "RollingStd", "RollingSum", "RollingSumOfSizes"]

_NAN = float("nan")


def running_sum(history: Array, window: int) -> float:
    """The sum bottleneck holds after ``history``, rounding included, over the numbers among the last ``window``.

    >>> running_sum(np.array([1.0, 2.0, 3.0, np.nan]), 3)
    5.0
    """
    padded = np.concatenate([np.full(window, np.nan), history])
    if np.isnan(padded[-window:]).all():
        padded = np.append(padded, 0.0)  # adds nothing, and makes bottleneck say what is left of a sum of no numbers
    return float(bn.move_sum(padded, window, min_count=1)[-1])


def _summing(window: int, divisor: int) -> Lines:
    """A sum over a window; divided, as bottleneck does it, by a product with the inverse except in the first window."""
    share = f" * {1.0 / divisor!r}" if divisor > 1 else ""
    text = (
        "change = {x} - {old}\n"
        "if change == change:\n"
        "    {total} += change\n"
        f"    {{out}} = nan if {{missing}} else {{total}}{share}\n"
        "else:\n"
        "    {out}, {total}, {missing}, {seen} = "
        f"gapped_sum({{x}}, {{old}}, {{total}}, {{missing}}, {{seen}}, {window}, {divisor})"
    )
    return Lines(text, window, ("total", "missing", "seen"), {"gapped_sum": _gapped_sum})


def _gapped_sum(
    x: float, old: float, total: float, missing: int, seen: int, window: int, divisor: int
) -> tuple[float, float, int, int]:
    """One step of a sum where the value that comes or the one that goes is NaN, as all do that go in the first window."""
    seen += 1
    if x == x:
        total += x
        missing -= 1
    elif old == old:
        total -= old
        missing += 1
    if missing:
        return _NAN, total, missing, seen
    return (total / divisor if seen == window else total * (1.0 / divisor)), total, missing, seen


def _sum_state(x: Array, window: int) -> tuple[float, int, int]:
    return running_sum(x, window), sum(v != v for v in last_values(x, window)), len(x)


@stream_for(rolling_sum)
class RollingSum(LineStream):
    """Sum over a window: bottleneck's ``move_sum``."""

    @classmethod
    def lines(cls, window: int) -> Lines:
        """Add what comes, take off what goes."""
        return _summing(window, 1)

    def take_state(self, x: Array) -> tuple[Any, ...]:
        """The sum, and how many of the window are missing."""
        return _sum_state(x, self._lines.reach)


@stream_for(rolling_mean)
class RollingMean(LineStream):
    """Mean over a window: bottleneck's ``move_mean``."""

    @classmethod
    def lines(cls, window: int, min_count: int | None = None) -> Lines:
        """As a sum; with ``min_count`` over the numbers that are there."""
        if min_count is None or min_count == window:
            return _summing(window, window)
        text = (
            "change = {x} - {old}\n"
            f"if change == change and {{count}} == {window}:\n"
            "    {total} += change\n"
            f"    {{out}} = {{total}} * {1.0 / window!r}\n"
            "else:\n"
            "    {out}, {total}, {count}, {seen} = "
            f"counted_mean({{x}}, {{old}}, {{total}}, {{count}}, {{seen}}, {window}, {min_count})"
        )
        return Lines(text, window, ("total", "count", "seen"), {"counted_mean": _counted_mean})

    def take_state(self, x: Array) -> tuple[Any, ...]:
        """The sum, and how many of the window are missing or there."""
        total, missing, seen = _sum_state(x, self._lines.reach)
        return total, (missing if "missing" in self._lines.state else self._lines.reach - missing), seen


def _counted_mean(
    x: float, old: float, total: float, count: int, seen: int, window: int, min_count: int
) -> tuple[float, float, int, int]:
    seen += 1
    if x == x:
        if old == old:
            total += x - old
        else:
            total += x
            count += 1
    elif old == old:
        total -= old
        count -= 1
    if count < min_count:
        return _NAN, total, count, seen
    return (total / count if seen <= window else total * (1.0 / count)), total, count, seen


@stream_for(rolling_sum_of_sizes)
class RollingSumOfSizes(LineStream):
    """Sum of sizes over a window, with the rounding residue of large values read as 0."""

    @classmethod
    def lines(cls, window: int) -> Lines:
        """As a sum, held against the largest so far."""
        inner = _summing(window, 1)
        text = (
            f"{inner.text}\n"
            "if {out} > {largest}:\n"
            "    {largest} = {out}\n"
            f"elif not {{out}} > {RESIDUE!r} * {{largest}}:\n"
            "    {out}, {largest} = small_sum({out}, {largest})"
        )
        return Lines(text, window, (*inner.state, "largest"), {**inner.words, "small_sum": _small_sum})

    def take_state(self, x: Array) -> tuple[Any, ...]:
        """The sum and the largest there was."""
        window = self._lines.reach
        sums = bn.move_sum(x, window) if window <= len(x) else np.empty(0)
        known = sums[~np.isnan(sums)]
        return (*_sum_state(x, window), float(known.max()) if len(known) else _NAN)


def _small_sum(total: float, largest: float) -> tuple[float, float]:
    """A sum that is no more than residue: 0, unless it is NaN or the first of all."""
    if total != total:
        return total, largest
    if largest != largest:
        return (total if total > RESIDUE * total else 0.0), total
    return 0.0, largest


@stream_for(rolling_std)
class RollingStd(LineStream):
    """Standard deviation over a window: bottleneck's ``move_std``, a running mean and sum of squared deviations."""

    @classmethod
    def lines(cls, window: int, ddof: int = 1) -> Lines:
        """Welford's update for a value that comes and one that goes."""
        text = (
            "change = {x} - {old}\n"
            f"if change == change and {{count}} == {window}:\n"
            "    before = {old} - {mean}\n"
            f"    {{mean}} += change * {1.0 / window!r}\n"
            "    {squares} += ({x} - {mean} + before) * change\n"
            "    if {squares} < 0.0:\n"
            "        {squares} = 0.0\n"
            f"    {{out}} = sqrt({{squares}} * {1.0 / max(window - ddof, 1)!r})\n"
            "else:\n"
            "    {out}, {mean}, {squares}, {count}, {seen} = "
            f"gapped_deviation({{x}}, {{old}}, {{mean}}, {{squares}}, {{count}}, {{seen}}, {window}, {ddof})"
        )
        return Lines(text, window, ("mean", "squares", "count", "seen"), {"gapped_deviation": _gapped_deviation})

    def take_state(self, x: Array) -> tuple[Any, ...]:
        """Mean, squares, count of numbers in the window, bars so far."""
        return (*_deviations(x, self._lines.reach), len(x))


def _gapped_deviation(
    x: float, old: float, mean: float, squares: float, count: int, seen: int, window: int, ddof: int
) -> tuple[float, float, float, int, int]:
    mean, squares, count = _one_deviation(x, old, mean, squares, count, seen < window)
    seen += 1
    if count < window or window <= ddof:
        return _NAN, mean, squares, count, seen
    squares = max(squares, 0.0)
    freedom = window - ddof
    return math.sqrt(squares / freedom if seen <= window else squares * (1.0 / freedom)), mean, squares, count, seen


def _deviations(history: Array, window: int) -> tuple[float, float, int]:
    """What bottleneck's ``move_std`` holds after ``history``: mean, sum of squared deviations, count of numbers."""
    numbers = ~np.isnan(history)
    start = int(np.argmax(numbers)) if numbers.any() else len(history)
    whole = bool(numbers[start:].all())
    end = min(len(history), start + window) if whole else len(history)
    values: list[float] = history[start:end].tolist()
    mean, squares, count = 0.0, 0.0, 0
    for i, x in enumerate(values, start):
        old = float(history[i - window]) if i >= window else _NAN
        mean, squares, count = _one_deviation(x, old, mean, squares, count, i < window)
        if count == window and squares < 0.0:
            squares = 0.0
    if end == len(history):
        return mean, squares, count
    change = history[end:] - history[end - window : -window]
    means = np.cumsum(np.concatenate([[mean], change * (1.0 / window)]))
    steps = ((history[end:] - means[1:]) + (history[end - window : -window] - means[:-1])) * change
    return float(means[-1]), _floored_sum(squares, steps), count


def _floored_sum(start: float, steps: Array) -> float:
    """``start`` and all steps added one after the other, set to 0 wherever it falls below."""
    total = start
    while len(steps):
        sums = np.cumsum(np.concatenate([[total], steps]))[1:]
        below = sums < 0.0
        at = int(np.argmax(below))
        if not below[at]:
            return float(sums[-1])
        total, steps = 0.0, steps[at + 1 :]
        if below.sum() > 20:
            for step in steps.tolist():
                total += step
                total = max(total, 0.0)
            return total
    return total


def _one_deviation(x: float, old: float, mean: float, squares: float, count: int, filling: bool) -> tuple[float, float, int]:
    """One step of ``move_std`` with a window that is not whole: values are NaN, or the first window still fills."""
    if x == x:
        if old == old:
            change = x - old
            old -= mean
            mean += change * (1.0 / count)
            squares += (x - mean + old) * change
        else:
            count += 1
            change = x - mean
            mean += change / count if filling else change * (1.0 / count)
            squares += change * (x - mean)
    elif old == old:
        count -= 1
        if count:
            change = old - mean
            mean -= change * (1.0 / count)
            squares -= change * (old - mean)
        else:
            mean, squares = 0.0, 0.0
    return mean, squares, count
