"""Loops of the two-sample Kolmogorov-Smirnov test, compiled; importing this needs numba."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from numba import njit

__all__ = ["largest_gap", "leaving"]


@njit(nogil=True, cache=True)
def _merged(a: Any, b: Any, rise_a: int, rise_b: int) -> tuple[int, int]:
    m, n = len(a), len(b)
    i = j = gap = largest = place = 0
    while j < n:
        value = b[j]
        start = i
        while i + 8 < m and a[i + 8] < value:
            i += 8
        while i < m and a[i] < value:
            i += 1
        gap += (i - start) * rise_a
        if abs(gap) > largest:
            largest, place = abs(gap), j
        while i < m and a[i] == value:
            i += 1
            gap += rise_a
        while j < n and b[j] == value:
            j += 1
            gap -= rise_b
        if abs(gap) > largest:
            largest, place = abs(gap), j - 1
    return largest, place


def largest_gap(a: Any, b: Any) -> tuple[int, int]:
    """In steps of 1 / lcm(m, n), and the row of ``b`` at or just before which it is reached."""
    common = gcd(len(a), len(b))
    return _merged(a, b, len(b) // common, len(a) // common)


@njit(nogil=True, cache=True)
def _leaving(steps: int, m: int, n: int, rise: int, run: int) -> float:
    mass = np.zeros(m + 1)
    mass[0] = 1.0
    low = high = 0
    left = 0.0
    for done in range(m + n):
        ahead = m + n - done
        if high < m:
            high += 1
            mass[high] = 0.0
        for i in range(high, low - 1, -1):
            from_left = mass[i - 1] * (m - i + 1) if i > low else 0.0
            mass[i] = (mass[i] * (n - (done - i)) + from_left) / ahead
        while low <= high and abs(low * rise - (done + 1 - low) * run) >= steps:
            left += mass[low]
            low += 1
        while high >= low and abs(high * rise - (done + 1 - high) * run) >= steps:
            left += mass[high]
            high -= 1
        if low > high:
            break
    return left


def leaving(steps: int, m: int, n: int) -> float:
    """Share of paths that leave the band."""
    common = gcd(m, n)
    return _leaving(steps, m, n, n // common, m // common)
