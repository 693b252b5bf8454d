"""Sizes and power of the EWC t test with its defaults, on processes it was and was not built for: 10,000 repetitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from huracan.statistics import average_by_time, ewc_t_test

pytestmark = pytest.mark.slow

REPETITIONS = 10_000
CHUNK = 1000
# 10,000 repetitions measure 5 % with a standard error of .22 points, 18 % with .38; bounds below are given twice that
NOISE = 2.0

Process = Callable[[np.random.Generator, int, int], NDArray[np.float64]]


def filtered(numerator: list[float], denominator: list[float], warm: int = 500) -> Process:
    def draw(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
        return lfilter(numerator, denominator, rng.standard_normal((repetitions, n + warm)), axis=1)[:, warm:]

    return draw


def autoregression(rho: float) -> Process:
    return filtered([1.0], [1.0, -rho])


def overlapping(horizon: int) -> Process:
    return filtered([1.0] * horizon, [1.0], warm=horizon)


def under_noise(rho: float, times: float) -> Process:
    slow = autoregression(rho)

    def draw(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
        return slow(rng, repetitions, n) * np.sqrt(1 - rho**2) + np.sqrt(times) * rng.standard_normal((repetitions, n))

    return draw


def garch(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    shock = rng.standard_t(5, (n + 300, repetitions)) * np.sqrt(3 / 5)
    return _garch(shock)[:, 300:]


def squared_garch(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    first, second = (rng.standard_t(9, (n + 300, repetitions)) * np.sqrt(7 / 9) for _ in range(2))
    return _garch(first)[:, 300:] ** 2 - _garch(second)[:, 300:] ** 2


def _garch(shock: NDArray[np.float64]) -> NDArray[np.float64]:
    value, variance = np.empty_like(shock), np.ones(shock.shape[1])
    for t, row in enumerate(shock):
        value[t] = np.sqrt(variance) * row
        variance = 0.02 + 0.08 * value[t] ** 2 + 0.9 * variance
    return np.ascontiguousarray(value.T)


def regimes_of_fifty(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    switches = np.cumsum(rng.random((repetitions, n)) < 0.02, axis=1)
    level = np.where(rng.random((repetitions, 1)) < 0.5, 0.5, -0.5) * (-1.0) ** switches
    return level + rng.standard_normal((repetitions, n))


def heavy(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    return lfilter([1.0], [1.0, -0.3], rng.standard_t(3, (repetitions, n + 100)), axis=1)[:, 100:]


def panel(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    times = np.repeat(np.arange(n), 20)
    rows = np.empty((repetitions, n))
    for i in range(0, repetitions, 100):
        common = np.sqrt(0.6) * rng.standard_normal((n, 1, 100))
        loss = (common + np.sqrt(0.4) * rng.standard_normal((n, 20, 100))).reshape(20 * n, 100)
        rows[i : i + 100] = average_by_time(loss, times)[1].T
    return rows


BARS: list[tuple[str, Process, tuple[float, float], tuple[float, float]]] = [
    # what, process, percent at n = 1,000, percent at n = 250: the promised table
    ("independent", autoregression(0.0), (4.0, 6.5), (0.0, 7.0)),
    ("AR .3", autoregression(0.3), (4.0, 6.5), (0.0, 7.0)),
    ("AR .5", autoregression(0.5), (4.0, 6.5), (0.0, 7.0)),
    ("overlap 5", overlapping(5), (4.0, 6.5), (0.0, 7.0)),
    ("AR .9", autoregression(0.9), (0.0, 7.0), (0.0, 9.0)),
    ("overlap 20", overlapping(20), (0.0, 7.0), (0.0, 9.0)),
    ("panel of 20, correlation .6", panel, (4.0, 7.0), (4.0, 7.0)),
]

OTHERS: list[tuple[str, Process, float, float]] = [
    # what, process, percent at most at n = 1,000 and at n = 250: where it still holds, and how far it fails where it does not
    ("AR .7", autoregression(0.7), 6.5, 7.0),
    ("AR .97", autoregression(0.97), 7.0, 13.0),
    ("AR -.5", autoregression(-0.5), 6.5, 7.0),
    ("AR .3, t(3) shocks", heavy, 6.5, 7.0),
    ("stochastic cycle", filtered([1.0], [1.0, -1.2, 0.5]), 6.5, 7.0),
    ("ARMA .8, -.5", filtered([1.0, -0.5], [1.0, -0.8]), 6.5, 7.0),
    ("ARMA .9, -.7", filtered([1.0, -0.7], [1.0, -0.9]), 7.0, 9.0),
    ("ARMA .5, .5", filtered([1.0, 0.5], [1.0, -0.5]), 6.5, 7.0),
    ("MA(5)", filtered([1.0, 0.8, 0.6, 0.5, 0.4, 0.3], [1.0]), 6.5, 7.0),
    ("MA -.8", filtered([1.0, -0.8], [1.0]), 6.5, 7.0),
    ("day of 24 bars, .5", filtered([1.0], [1.0] + [0.0] * 23 + [-0.5], warm=1000), 7.0, 14.0),
    ("overlap 10", overlapping(10), 6.5, 7.0),
    ("overlap 48", overlapping(48), 7.0, 9.0),
    ("GARCH, t(5) shocks", garch, 6.5, 7.0),
    ("difference of squared GARCH", squared_garch, 8.0, 19.0),
    ("AR .9 under twice its noise", under_noise(0.9, 2), 7.0, 9.0),
    ("AR .97 under eleven times its noise", under_noise(0.97, 11), 12.0, 21.0),
    ("regimes of 50 bars", regimes_of_fifty, 9.0, 20.0),
]


def percent_rejected(process: Process, n: int, shift: float = 0.0, seed: int = 20) -> float:
    rng = np.random.default_rng([seed, n])
    parts = [np.mean(ewc_t_test(process(rng, CHUNK, n) + shift).p_value < 0.05) for _ in range(REPETITIONS // CHUNK)]
    return 100 * float(np.mean(parts))


def error_of(percent: float) -> float:
    return NOISE * np.sqrt(percent * (100 - percent) / REPETITIONS)


@pytest.mark.parametrize("n", [1000, 250])
@pytest.mark.parametrize("row", BARS, ids=[row[0] for row in BARS])
def test_promised_sizes(row, n):
    low, high = row[2] if n == 1000 else row[3]
    if n == 250 and row[0].startswith("panel"):
        low = 0.0
    measured = percent_rejected(row[1], n)
    assert low - error_of(5) <= measured <= high + error_of(5)


@pytest.mark.parametrize("n", [1000, 250])
@pytest.mark.parametrize("row", OTHERS, ids=[row[0] for row in OTHERS])
def test_sizes_on_processes_nobody_tuned_it_to(row, n):
    bound = row[2] if n == 1000 else row[3]
    assert percent_rejected(row[1], n) <= bound + error_of(bound)


def test_promised_power():
    # AR .3, .15 standard deviations; with the variance known it would be .936
    assert percent_rejected(autoregression(0.3), 1000, 0.15 / np.sqrt(1 - 0.3**2)) >= 91.0


def test_a_real_difference_is_not_called_undecidable():
    rng = np.random.default_rng(3)
    assert np.mean(ewc_t_test(overlapping(20)(rng, 2000, 1000)).decidable) > 0.99
    assert np.mean(ewc_t_test(overlapping(20)(rng, 2000, 250)).decidable) > 0.85
