"""Running sums, means and deviations: the recursions bottleneck runs in C, step for step, so that no bit differs.

A running sum carries the rounding of every value it ever held. To go on where batch stands, a stream has to start from
exactly that sum; it is read from bottleneck's own result, or rebuilt with the same additions in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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


@stream_for(rolling_sum)
class RollingSum:
    """Sum over a window."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Continue bottleneck's ``move_sum``."""
        self.update = _summing(x, self.window, 1)


@stream_for(rolling_mean)
class RollingMean:
    """Mean over a window."""

    def __init__(self, window: int, min_count: int | None = None) -> None:
        self.window = window
        self.min_count = min_count

    def open(self, x: Array) -> None:
        """Continue bottleneck's ``move_mean``."""
        if self.min_count is None or self.min_count == self.window:
            self.update = _summing(x, self.window, self.window)
        else:
            self.update = _counting_mean(x, self.window, self.min_count)


def _summing(history: Array, window: int, divisor: int) -> Callable[[float], float]:
    ring = last_values(history, window)
    total = running_sum(history, window)
    missing = sum(x != x for x in ring)
    last, at, seen = window - 1, 0, len(history)
    factor = 1.0 / divisor

    def update(x: float) -> float:
        nonlocal total, at, missing, seen
        old = ring[at]
        ring[at] = x
        at = at + 1 if at < last else 0
        change = x - old
        if change == change:
            total += change
            return _NAN if missing else total * factor
        seen += 1
        if x == x:
            total += x
            missing -= 1
        elif old == old:
            total -= old
            missing += 1
        if missing:
            return _NAN
        return total / divisor if seen == window else total * factor  # bottleneck divides in its first window only

    return update


def _counting_mean(history: Array, window: int, min_count: int) -> Callable[[float], float]:
    ring = last_values(history, window)
    total = running_sum(history, window)
    count = sum(x == x for x in ring)
    seen = len(history)
    last, at = window - 1, 0

    def update(x: float) -> float:
        nonlocal total, at, count, seen
        old = ring[at]
        ring[at] = x
        at = at + 1 if at < last else 0
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
            return _NAN
        return total / count if seen <= window else total * (1.0 / count)

    return update


@stream_for(rolling_sum_of_sizes)
class RollingSumOfSizes:
    """Sum of sizes over a window, with the rounding residue of large values read as 0."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Continue bottleneck's ``move_sum`` and the largest sum so far."""
        inner = _summing(x, self.window, 1)
        sums = bn.move_sum(x, self.window) if self.window <= len(x) else np.empty(0)
        known = sums[~np.isnan(sums)]
        floor = RESIDUE * float(known.max()) if len(known) else _NAN

        def update(x: float) -> float:
            nonlocal floor
            total = inner(x)
            if total > floor:
                if RESIDUE * total > floor:
                    floor = RESIDUE * total
                return total
            if total == total:
                if floor == floor:
                    return 0.0
                floor = RESIDUE * total
                return total if total > floor else 0.0
            return total

        self.update = update


@stream_for(rolling_std)
class RollingStd:
    """Standard deviation over a window."""

    def __init__(self, window: int, ddof: int = 1) -> None:
        self.window = window
        self.ddof = ddof

    def open(self, x: Array) -> None:
        """Continue bottleneck's ``move_std``: a running mean and sum of squared deviations."""
        window, ring = self.window, last_values(x, self.window)
        mean, squares, count = _deviations(x, window)
        share = 1.0 / window
        divisor = 1.0 / (window - self.ddof) if window > self.ddof else math.inf
        seen, last, at, sqrt = len(x), window - 1, 0, math.sqrt
        freedom = window - self.ddof

        def update(x: float) -> float:
            nonlocal mean, squares, count, at, seen
            old = ring[at]
            ring[at] = x
            at = at + 1 if at < last else 0
            change = x - old
            if change == change and count == window:
                old -= mean
                mean += change * share
                squares += (x - mean + old) * change
                if squares < 0.0:
                    squares = 0.0
                return sqrt(squares * divisor)
            mean, squares, count = _one_deviation(x, old, mean, squares, count, seen < window)
            seen += 1
            if count < window:
                return _NAN
            if squares < 0.0:
                squares = 0.0
            return sqrt(squares / freedom) if seen <= window else sqrt(squares * divisor)

        self.update = update


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
