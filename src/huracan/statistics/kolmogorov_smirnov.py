"""The two-sample test of Kolmogorov and Smirnov for independent rows: the statistic and its exact probability."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, lcm
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics.compiled import KERNELS, compiled_loops
from huracan.statistics.kolmogorov_limits import limiting_p_value
from huracan.statistics.sample_checks import as_sample, never_zero

__all__ = ["KolmogorovSmirnov", "independent_p_value", "kolmogorov_smirnov", "largest_gap", "lattice_p_value"]

_EXACT_ROWS = 10_000
_EXACT_PRODUCT = 100_000_000
_TAIL = 1e-8
_COARSE = 8


@dataclass(frozen=True)
class KolmogorovSmirnov:
    """Result of :func:`kolmogorov_smirnov`.

    Attributes
    ----------
    statistic : largest distance of the two empirical distribution functions. at : a value of the second sample at which, or
        just before which, it is reached.
    p_value : two-sided, of independent rows without ties; with ties it errs on the safe side.
    exact : whether the p-value is exact, or that of the limiting distribution.
    """

    statistic: float
    p_value: float
    at: float
    exact: bool


def kolmogorov_smirnov(a: ArrayLike, b: ArrayLike, *, compiled: bool | None = None) -> KolmogorovSmirnov:
    """Compare the distributions of two independent samples.

    The p-value counts lattice paths (exact, equal to scipy's) where both samples have at most 10,000 rows, and takes the
    limiting distribution beyond. It supposes that **rows are independent**: on windows of a market it alarms nearly always
    (see :class:`huracan.mlops.DriftDetector`).

    Parameters
    ----------
    a, b : samples, finite.
    compiled : use numba; None where it is installed. The statistic is the same to the bit, the p-value to 1e-12.

    Raises
    ------
    DataError : a value is not finite, a sample is empty, or numba is asked for and not installed.

    References
    ----------
    Hodges (1958), "The significance probability of the Smirnov two-sample test", Arkiv för Matematik 3.

    Examples
    --------
    >>> found = kolmogorov_smirnov([1.0, 2.0, 3.0, 4.0], [3.5, 4.5, 5.5, 6.5])
    >>> found.statistic, found.at, round(found.p_value, 6), found.exact
    (0.75, 3.5, 0.228571, True)
    """
    first, second = (
        np.sort(as_sample(x, name, minimum=1, purpose="the test of two samples")) for x, name in ((a, "a"), (b, "b"))
    )
    kernels = _kernels(compiled)
    steps, at = largest_gap(first, second, kernels=kernels)
    p_value, exact = independent_p_value(steps, len(first), len(second), compiled=kernels is not None)
    return KolmogorovSmirnov(steps / lcm(len(first), len(second)), p_value, at, exact)


def independent_p_value(steps: int, m: int, n: int, *, compiled: bool | None = None) -> tuple[float, bool]:
    """That of a statistic of so many steps of 1 / lcm(m, n), were rows independent, and whether it is exact.

    Examples
    --------
    >>> independent_p_value(3, 4, 4)
    (0.2285714285714286, True)
    """
    exact = max(m, n) <= _EXACT_ROWS and m * n <= _EXACT_PRODUCT
    if exact:
        p_value = lattice_p_value(steps, m, n, kernels=_kernels(compiled))
    else:
        p_value = limiting_p_value(steps / lcm(m, n), m, n)
    return float(never_zero(p_value)), exact


def largest_gap(a: NDArray[np.floating], b: NDArray[np.floating], *, kernels: Any = None) -> tuple[int, float]:
    """The statistic of two ascending samples as a whole number of steps of 1 / lcm(m, n), and the value of b where it is.

    At that value, or just before it, the distance is reached.

    Examples
    --------
    >>> largest_gap(np.array([1.0, 2.0]), np.array([2.0, 3.0, 4.0]))
    (4, 2.0)
    """
    if kernels is not None:
        steps, place = kernels.largest_gap(a, b)
        return int(steps), float(b[place])
    n = len(b)
    if n < _COARSE * _COARSE:
        row = np.arange(n)
        apart = _around(a, b, row)[0]
    else:
        row, apart = _likely_rows(a, b)
    place = int(apart.argmax())
    return int(apart[place]), float(b[row[place]])


def _likely_rows(a: NDArray[np.floating], b: NDArray[np.floating]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The rows of b that can hold the largest distance, and the distance at each.

    Both distribution functions rise, so between two rows the distance is at most that from the upper end of one to the lower
    end of the other.
    """
    coarse = np.append(np.arange(0, len(b) - 1, _COARSE), len(b) - 1)
    apart, low_a, high_a, low_b, high_b = _around(a, b, coarse)
    most = np.maximum(high_a[1:] - low_b[:-1], high_b[1:] - low_a[:-1])
    between = np.flatnonzero(most >= apart.max())
    row = (coarse[between][:, None] + np.arange(_COARSE + 1)).ravel()
    row = np.unique(np.append(row[row < len(b)], coarse[apart.argmax()]))
    return row, _around(a, b, row)[0]


def _around(a: NDArray[np.floating], b: NDArray[np.floating], row: NDArray[np.intp]) -> tuple[NDArray[np.int64], ...]:
    """The distance at or just before rows of b, and both functions just before and at them, in steps of 1 / lcm(m, n)."""
    m, n = len(a), len(b)
    common = gcd(m, n)
    at = b[row]
    up_to = np.searchsorted(a, at, side="right")
    before = up_to.copy()
    touching = np.flatnonzero((up_to > 0) & (a[np.maximum(up_to, 1) - 1] == at))
    before[touching] = np.searchsorted(a, at[touching], side="left")
    first, last = row, row + 1
    if np.any(b[1:] == b[:-1]):
        first, last = np.searchsorted(b, at, side="left"), np.searchsorted(b, at, side="right")
    low_a, high_a = before * (n // common), up_to * (n // common)
    low_b, high_b = first * (m // common), last * (m // common)
    return np.maximum(np.abs(high_a - high_b), np.abs(low_a - low_b)), low_a, high_a, low_b, high_b


def lattice_p_value(steps: int, m: int, n: int, *, kernels: Any = None) -> float:
    """Probability that a path of m steps to the right and n up, all equally likely, leaves the band of the statistic.

    Parameters
    ----------
    steps : statistic in units of 1 / lcm(m, n).

    Examples
    --------
    >>> lattice_p_value(0, 3, 4), round(lattice_p_value(12, 3, 4), 6)  # both of the two extreme orders of 35
    (1.0, 0.057143)
    """
    if steps <= 0:
        return 1.0
    if kernels is not None:
        return min(1.0, float(kernels.leaving(steps, m, n)))
    p = 1.0 - _staying(steps, m, n)
    return min(1.0, p if p > _TAIL else _leaving(steps, m, n))


def _staying(steps: int, m: int, n: int) -> float:
    """Share of paths that stay strictly inside, row by row: the paths to a point are those to its left and below it.

    Counts at i are weighted by ``tilt**(i - m)``, which keeps those near the diagonal in reach of each other, and each row is
    divided by how the number of all paths grows, ``(m + j) / j``: at the end stands the share itself.
    """
    from scipy.signal import lfilter  # half a second to import

    if m < n:
        m, n = n, m
    common = gcd(m, n)
    rise, run = n // common, m // common
    parts = max(1, round(256 * m / (m + n)))
    tilt = parts / 256
    whole = parts**m  # exact, where a power of a float would lose digits
    shift = max(0, whole.bit_length() - 64)
    exponent = 8 * m - shift - 64
    low, high = 0, min(m, (steps - 1) // rise)
    ways = tilt ** np.arange(high - low + 1) * (2.0**64 / (whole >> shift))
    for j in range(1, n + 1):
        centre = j * run
        new_low, new_high = max(0, -(-(centre - steps + 1) // rise)), min(m, (centre + steps - 1) // rise)
        if new_low > new_high:
            return 0.0
        row = np.zeros(new_high - new_low + 1)
        shared = ways[new_low - low :]
        row[: len(shared)] = shared
        ways = lfilter([j / (m + j)], [1.0, -tilt], row)
        largest = ways.max()
        if largest == 0.0:
            return 0.0
        if not 1e-60 < largest < 1e60:
            move = int(np.frexp(largest)[1])
            ways, exponent = np.ldexp(ways, -move), exponent + move
        low, high = new_low, new_high
    return float(np.ldexp(ways[-1], exponent)) if high == m else 0.0


def _leaving(steps: int, m: int, n: int) -> float:
    """Share of paths that leave, where it is small: by diagonals, summing what leaves, so that no digit is lost."""
    common = gcd(m, n)
    rise, run = n // common, m // common
    i, mass, left = np.array([0]), np.array([1.0]), 0.0
    for done in range(m + n):
        ahead = m + n - done
        up = mass * ((n - (done - i)) / ahead)
        right = mass * ((m - i) / ahead)
        i = np.append(i, i[-1] + 1)
        mass = np.append(up, 0.0)
        mass[1:] += right
        outside = np.abs(i * rise - (done + 1 - i) * run) >= steps
        left += float(mass[outside].sum())
        inside = ~outside
        i, mass = i[inside], mass[inside]
        if not len(i):
            break
    return left


def _kernels(compiled: bool | None) -> Any:
    if compiled is False:
        return None
    kernels = compiled_loops(KERNELS)
    if kernels is None and compiled:
        raise DataError("compiled=True, and numba is not installed; `pip install huracan[fast]` brings it.")
    return kernels
