"""Series whose law is known, many at once: (repetitions, n)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

__all__ = [
    "Process",
    "absolute",
    "autoregression",
    "garch",
    "independent",
    "return_of",
    "sharing",
    "two_volatilities",
    "volatility_of",
]

Process = Callable[[np.random.Generator, int, int], NDArray[np.float64]]

_WARM = 1_500


def independent(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    """Standard normal."""
    return rng.standard_normal((repetitions, n))


def autoregression(rho: float) -> Process:
    """AR(1) of variance 1."""

    def draw(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
        shocks = rng.standard_normal((repetitions, n + _WARM))
        return lfilter([np.sqrt(1.0 - rho**2)], [1.0, -rho], shocks, axis=1)[:, _WARM:]

    return draw


def garch(alpha: float, beta: float, *, degrees: float | None = None, correlation: float = 0.0) -> Process:
    """GARCH(1, 1) of variance 1, shocks normal or Student's t, those of a moment correlated over the series."""

    def shocks_of(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
        if degrees is None:
            return rng.standard_normal(size)
        return rng.standard_t(degrees, size) * np.sqrt(1.0 - 2.0 / degrees)

    def draw(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
        shocks = shocks_of(rng, (n + _WARM // 3, repetitions))
        if correlation:
            shocks = np.sqrt(1.0 - correlation) * shocks + np.sqrt(correlation) * shocks_of(rng, (len(shocks), 1))
        variance = np.ones(repetitions)
        values = np.empty_like(shocks)
        for t, shock in enumerate(shocks):
            values[t] = np.sqrt(variance) * shock
            variance = (1.0 - alpha - beta) + alpha * values[t] ** 2 + beta * variance
        return np.ascontiguousarray(values[_WARM // 3 :].T)

    return draw


def two_volatilities(calm: float, wild: float, bars: float) -> Process:
    """Normal numbers whose deviation is one of two, in spells of ``bars`` on average."""

    def draw(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
        turns = np.cumsum(rng.random((repetitions, n)) < 1.0 / bars, axis=1) + rng.integers(0, 2, (repetitions, 1))
        return np.where(turns % 2, wild, calm) * rng.standard_normal((repetitions, n))

    return draw


def absolute(process: Process) -> Process:
    """Absolute values."""
    return lambda rng, repetitions, n: np.abs(process(rng, repetitions, n))


def volatility_of(process: Process, bars: int) -> Process:
    """Root of the sum of squares over the last ``bars`` values."""

    def draw(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
        return np.sqrt(_summed(process(rng, repetitions, n + bars - 1) ** 2, bars))

    return draw


def return_of(process: Process, bars: int) -> Process:
    """Sum over the last ``bars`` values."""
    return lambda rng, repetitions, n: _summed(process(rng, repetitions, n + bars - 1), bars)


def sharing(process: Process) -> Process:
    """Half of each series' variance is of one that all share: correlation .5, of Gaussian processes the same process."""

    def draw(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
        drawn = process(rng, repetitions + 1, n)
        return np.sqrt(0.5) * (drawn[1:] + drawn[:1])

    return draw


def _summed(values: NDArray[np.float64], bars: int) -> NDArray[np.float64]:
    total = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    return total[:, bars:] - total[:, :-bars]
