"""Trends bar by bar: the recursions of the batch filters with their state kept, step for step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from huracan.preprocessing.decomposition import (
    exponential_trend,
    fractional_difference,
    fractional_weights,
    hodrick_prescott_trend,
    last_run,
    local_level_trend,
    second_difference,
)
from huracan.preprocessing.decomposition_gains import Gains, hodrick_prescott_gains, local_level_gains
from huracan.preprocessing.rolling import Array
from huracan.preprocessing.streams.register import last_values, stream_for

__all__ = ["ExponentialTrend", "FractionalDifference", "HodrickPrescottTrend", "LocalLevelTrend"]

_NAN = float("nan")


@stream_for(exponential_trend)
class ExponentialTrend:
    """Exponential average: a mean of the first window, then a share of each surprise."""

    def __init__(self, window: int) -> None:
        self.window = window

    def open(self, x: Array) -> None:
        """Continue the run at the end of the history."""
        run, window, weight = last_run(x), self.window, 2.0 / (self.window + 1)
        seen, total, level = len(run), 0.0, _NAN
        if seen >= window:
            level = float(exponential_trend(run, window)[-1])
        else:
            for value in run.tolist():
                total += value

        def update(value: float) -> float:
            nonlocal seen, total, level
            surprise = value - level
            if surprise - surprise == 0.0:
                level += surprise * weight
                return level
            if value - value != 0.0:
                seen, total, level = 0, 0.0, _NAN
                return _NAN
            seen += 1
            total += value
            if seen >= window:
                level = total / window
            return level

        self.update = update


@stream_for(hodrick_prescott_trend)
class HodrickPrescottTrend:
    """One-sided Hodrick-Prescott trend."""

    def __init__(self, smoothing: float) -> None:
        self.gains = hodrick_prescott_gains(float(smoothing))

    def open(self, x: Array) -> None:
        """Continue the run at the end of the history."""
        gains, run = self.gains, last_run(x)
        a, b, r, row, last = *_coefficients(gains, len(run)), len(run), len(gains.a) - 1
        coming, afterwards = gains.state_after(gains.surprises_of(second_difference(run)))
        before, older = last_values(run, 2)[::-1]
        step = before - older

        def update(value: float) -> float:
            nonlocal before, step, coming, afterwards, row, a, b, r
            moved = value - before
            surprise = moved - step + coming
            if surprise - surprise != 0.0:
                return begin(value)
            if row <= last:
                a, b, r = gains.a[row], gains.b[row], gains.r[row]
                row += 1
            before, step = value, moved
            coming, afterwards = afterwards + a * surprise, b * surprise
            return value - r * surprise

        def begin(value: float) -> float:
            """The first two values of a run are the trend themselves; what is no number ends a run."""
            nonlocal before, step, coming, afterwards, row
            if value - value != 0.0:
                before, step, row = _NAN, _NAN, 0
                return _NAN
            before, step, row = value, value - before, row + 1
            coming = afterwards = 0.0
            return value

        self.update = update


@stream_for(local_level_trend)
class LocalLevelTrend:
    """Level of the local-level model."""

    def __init__(self, signal_to_noise: float) -> None:
        self.gains = local_level_gains(float(signal_to_noise))

    def open(self, x: Array) -> None:
        """Continue the run at the end of the history."""
        gains, run = self.gains, last_run(x)
        a, _, r, row, last = *_coefficients(gains, len(run)), len(run), len(gains.a) - 1
        coming, _ = gains.state_after(gains.surprises_of(np.diff(run, prepend=run[:1])))
        before = last_values(run, 1)[0]

        def update(value: float) -> float:
            nonlocal before, coming, row, a, r
            surprise = value - before + coming
            if surprise - surprise != 0.0:
                before, coming, row = (value, 0.0, 1) if value - value == 0.0 else (_NAN, 0.0, 0)
                return before
            if row <= last:
                a, r = gains.a[row], gains.r[row]
                row += 1
            before, coming = value, a * surprise
            return value - r * surprise

        self.update = update


@stream_for(fractional_difference)
class FractionalDifference:
    """Difference of any order: one product of the weights with the last window, in C."""

    def __init__(self, order: float, window: int) -> None:
        self.order = order
        self.window = window

    def open(self, x: Array) -> None:
        """Lay the last values out twice, one behind the other, so that every window lies in one piece."""
        self.update = _weighted(fractional_weights(self.order, self.window)[::-1].copy(), last_values(x, self.window))


def _weighted(weights: Array, recent: list[float]) -> Callable[[float], float]:
    window = len(recent)
    twice = np.array(recent + recent)
    twice[np.isinf(twice)] = np.nan
    product, at = weights.dot, 0

    def update(value: float) -> float:
        nonlocal at
        twice[at] = twice[at + window] = value if value - value == 0.0 else _NAN
        at = at + 1 if at + 1 < window else 0
        return float(product(twice[at : at + window]))

    return update


def _coefficients(gains: Gains, row: int) -> tuple[float, float, float]:
    """Those of a row, the last where the filter stands still."""
    at = min(row, len(gains.a) - 1)
    return gains.a[at], gains.b[at], gains.r[at]
