"""Losses and returns over time whose truth is known: how they remember, and that none is better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

__all__ = ["Process", "autoregression", "garch_returns", "overlapping", "panel"]

Process = Callable[[np.random.Generator, tuple[int, ...], int], NDArray[np.float64]]
"""From a generator, the shape of what is drawn and the length n to series (\\*shape, n) of variance 1."""


def autoregression(rho: float) -> Process:
    """AR(1), started from its stationary law; ``rho = 0`` is white noise."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], n: int) -> NDArray[np.float64]:
        shock = np.sqrt(1.0 - rho**2) * rng.standard_normal((*shape, n))
        before = rng.standard_normal((*shape, 1))
        return lfilter([1.0], [1.0, -rho], shock, axis=-1, zi=rho * before)[0]

    return draw


def overlapping(horizon: int) -> Process:
    """Labels of ``horizon`` bars decided on every bar: moving sums of independent shocks."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], n: int) -> NDArray[np.float64]:
        total = np.cumsum(rng.standard_normal((*shape, n + horizon)), axis=-1)
        return (total[..., horizon:] - total[..., :-horizon]) / np.sqrt(horizon)

    return draw


def panel(process: Process, symbols: int, correlation: float) -> Process:
    """The rows of many symbols, all of one time after another: (\\*shape, n * symbols), correlated at each time."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], n: int) -> NDArray[np.float64]:
        common = np.sqrt(correlation) * process(rng, (*shape, 1), n)
        own = np.sqrt(1.0 - correlation) * process(rng, (*shape, symbols), n)
        return np.swapaxes(common + own, -1, -2).reshape(*shape, n * symbols)

    return draw


def garch_returns(
    rng: np.random.Generator, repetitions: int, n: int, *, sharpe: float, correlation: float
) -> NDArray[np.float64]:
    """Returns of two strategies, (2, repetitions, n), GARCH(.08, .9) with t(5) shocks and Sharpe ratio ``sharpe`` a bar.

    Shocks have the bivariate t distribution, so that each is t(5) whatever the correlation; at correlation 0 the two are
    drawn independently. A thousand bars before the first let the start be forgotten (.98^1000 is 2e-9).
    """
    warm = 1000
    if correlation == 0.0:
        shock = rng.standard_t(5, (n + warm, 2, repetitions))
    else:
        normal = rng.standard_normal((n + warm, 2, repetitions))
        normal[:, 1] = correlation * normal[:, 0] + np.sqrt(1.0 - correlation**2) * normal[:, 1]
        shock = normal / np.sqrt(rng.chisquare(5, (n + warm, 1, repetitions)) / 5.0)
    shock *= np.sqrt(3.0 / 5.0)
    variance = np.ones((2, repetitions))
    for t, now in enumerate(shock):
        now *= np.sqrt(variance)
        variance = 0.02 + 0.08 * shock[t] ** 2 + 0.9 * variance
    return np.moveaxis(shock[warm:], 0, -1) + sharpe
