"""The one-sample distribution of Kolmogorov's distance, which large pairs of samples are judged by."""

from __future__ import annotations

from functools import lru_cache
from math import exp, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

__all__ = ["limiting_p_value"]

_FEW_ROWS = 140
_SERIES_FROM = 16
_TERMS = 3.6  # times z, and two: those that follow are less than exp(-63)


def limiting_p_value(distance: float, m: int, n: int) -> float:
    """Probability of a distance as large in one sample of ``m n / (m + n)`` rows, as scipy judges large pairs of samples too.

    The same cases as scipy's, in a tenth of the time where samples are large: the tail is summed in one pass, not term by term.

    References
    ----------
    Pelz and Good (1976), "Approximating the lower tail-areas of the Kolmogorov-Smirnov one-sample statistic", JRSS B 38(2);
    Simard and L'Ecuyer (2011), "Computing the two-sided Kolmogorov-Smirnov distribution", J. Statistical Software 39(11).

    Examples
    --------
    >>> round(limiting_p_value(0.02, 50_000, 5_000), 6), limiting_p_value(0.9, 50_000, 5_000)
    (0.052008, 0.0)
    """
    rows = round(m * n / (m + n))
    square = rows * distance * distance
    if rows <= _FEW_ROWS or rows * distance**1.5 <= 1.4:
        from scipy.stats import kstwo

        return float(min(max(kstwo.sf(distance, rows), 0.0), 1.0))
    if square >= 370.0:
        return 0.0
    p_value = 2.0 * _one_sided(rows, distance) if square >= 2.2 else 1.0 - _pelz_good(rows, distance)
    return min(max(p_value, 0.0), 1.0)


def _pelz_good(n: int, distance: float) -> float:
    """``P(D_n <= distance)`` by the four leading terms in powers of ``n ** -0.5``."""
    z2 = n * distance * distance
    z = sqrt(z2)
    z4, z6 = z2 * z2, z2**3
    first = second = third = fourth = beside_third = beside_fourth = 0.0
    for k in range(int(_TERMS * z) + 2, 0, -1):
        a, b = ((2 * k - 1) * pi / 2) ** 2, (k * pi) ** 2
        odd, even = exp(-a / (2 * z2)), b * exp(-b / (2 * z2))
        first += odd
        second += (a - z2) * odd
        third += (6 * z6 + 2 * z4 + (2 * z4 - 5 * z2) * a + (1 - 2 * z2) * a * a) * odd
        cubic = (5 - 30 * z2) * a * a + (212 * z4 - 60 * z2) * a + 135 * z4 - 96 * z6
        fourth += (cubic * a - 30 * z6 - 90 * z4 * z4) * odd
        beside_third += even
        beside_fourth += (3 * z2 - b) * even
    third = third / (72 * z6 * z) - beside_third / (36 * z2 * z)
    fourth = fourth / (6480 * z6 * z4) + beside_fourth / (216 * z6)
    return sqrt(2 * pi) * (first / z + second / (6 * z4) / sqrt(n) + third / n + fourth / n**1.5)


def _one_sided(n: int, distance: float) -> float:
    """``P(D_n^+ > distance)``: Birnbaum and Tingey's sum of binomial probabilities, each by its deviance (Loader 2000)."""
    j = np.arange(1, min(int(n * (1.0 - distance)), n - 1) + 1, dtype=np.float64)
    moved = n * distance
    j = j[n - j > moved]
    size = len(j)
    deviance = -j * np.log1p(moved / j) - (n - j) * np.log1p(-moved / (n - j))
    terms = np.exp(_binomial_scale(n)[:size] - deviance) * (distance / (distance + j / n))
    return float(terms.sum() + (1.0 - distance) ** n)


@lru_cache(maxsize=8)
def _binomial_scale(n: int) -> NDArray[np.float64]:
    """Log of the binomial probability of j of n at its own share, ``j = 1 .. n - 1``."""
    j = np.arange(1, n, dtype=np.float64)
    rest = n - j
    stirling = _stirling_error(np.array([float(n)]))[0] - _stirling_error(j) - _stirling_error(rest)
    scale: NDArray[np.float64] = stirling + 0.5 * np.log(n / (2 * np.pi * j * rest))
    return scale


def _stirling_error(j: NDArray[np.float64]) -> NDArray[np.float64]:
    """``log j!`` less Stirling's formula."""
    large = np.maximum(j, _SERIES_FROM)
    series = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / large**2) / large**2) / large**2) / large
    exact = gammaln(j + 1) - (j + 0.5) * np.log(j) + j - 0.5 * np.log(2 * np.pi)
    return np.where(j >= _SERIES_FROM, series, exact)
