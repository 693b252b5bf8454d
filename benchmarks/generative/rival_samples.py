"""What a GAN has to be better than: windows drawn from the past, and a GARCH process."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

__all__ = ["block_bootstrap", "garch_windows"]

Windows = NDArray[np.float64]


def block_bootstrap(
    windows: Windows, regime: NDArray[np.int64], wanted: NDArray[np.int64], seed: int, block: int = 16
) -> Windows:
    """Windows made of blocks of training windows of the wanted regime: real within a block, strangers between blocks."""
    rng = np.random.default_rng(seed)
    length = windows.shape[1]
    made = np.empty((len(wanted), length))
    for code in np.unique(wanted):
        pool, places = np.flatnonzero(regime == code), np.flatnonzero(wanted == code)
        for start in range(0, length, block):
            from_window = rng.choice(pool, len(places))
            shift = rng.integers(0, length - block + 1, len(places))
            made[places, start : start + block] = windows[from_window[:, None], shift[:, None] + np.arange(block)]
    return made


def garch_windows(windows: Windows, n: int, seed: int, past: int = 200) -> Windows:
    """GARCH(1,1) with Student's t innovations, fitted to training windows by maximum likelihood, simulated.

    Bollerslev (1987). Variance starts at that of all windows; the simulation runs ``past`` bars before it counts.
    """
    variance = windows.var()
    start = np.log([2.0, 17.0, 3.0])  # alpha .1, beta .85, 5 degrees of freedom

    def parameters(theta: NDArray[np.float64]) -> tuple[float, float, float, float]:
        alpha, beta = np.exp(theta[0]), np.exp(theta[1])
        together = 1.0 + alpha + beta
        alpha, beta = alpha / together, beta / together
        return variance * (1.0 - alpha - beta), alpha, beta, 2.05 + np.exp(theta[2])

    def minus_likelihood(theta: NDArray[np.float64]) -> float:
        omega, alpha, beta, nu = parameters(theta)
        h = np.full(len(windows), variance)
        total = 0.0
        for t in range(windows.shape[1]):
            total += float(np.sum(0.5 * np.log(h) + 0.5 * (nu + 1) * np.log1p(windows[:, t] ** 2 / ((nu - 2) * h))))
            h = omega + alpha * windows[:, t] ** 2 + beta * h
        constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu - 2)
        return total - windows.size * float(constant)

    found = minimize(minus_likelihood, start, method="Nelder-Mead", options={"maxiter": 150})
    omega, alpha, beta, nu = parameters(found.x)
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(nu, (n, past + windows.shape[1])) * np.sqrt((nu - 2) / nu)
    h, made = np.full(n, variance), np.empty_like(shocks)
    for t in range(shocks.shape[1]):
        made[:, t] = np.sqrt(h) * shocks[:, t]
        h = omega + alpha * made[:, t] ** 2 + beta * h
    return made[:, past:]
