"""Loops over two ascending samples, for Kolmogorov and Smirnov's test and for moved mass, compiled; this needs numba."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from numba import njit

__all__ = ["largest_gap", "leaving", "summed_moves"]


_STEP = 16


@njit(nogil=True, cache=True)
def _below(values: Any, value: float, low: int, high: int) -> int:
    """How many of the ascending values are less, known to be from ``low`` to ``high``."""
    while low < high:
        middle = (low + high) // 2
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True)
def _up_to(values: Any, value: float, low: int, high: int) -> int:
    """How many are less or equal."""
    while low < high:
        middle = (low + high) // 2
        if values[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True)
def _largest(a: Any, b: Any, rise_a: int, rise_b: int) -> tuple[int, int]:
    """By steps of 16 rows of b first; between two of them the distance is at most from one's upper to the other's lower end."""
    m, n = len(a), len(b)
    points = (n - 1) // _STEP + 2
    low_a, high_a = np.empty(points, np.int64), np.empty(points, np.int64)
    low_b, high_b = np.empty(points, np.int64), np.empty(points, np.int64)
    best = 0
    for k in range(points):
        row = min(k * _STEP, n - 1)
        value = b[row]
        low_a[k] = _below(a, value, 0 if k == 0 else low_a[k - 1], m)
        high_a[k] = _up_to(a, value, low_a[k], m) if low_a[k] < m and a[low_a[k]] == value else low_a[k]
        low_b[k] = _below(b, value, 0, row) if row > 0 and b[row - 1] == value else row
        high_b[k] = _up_to(b, value, row, n) if row + 1 < n and b[row + 1] == value else row + 1
        best = max(best, abs(high_a[k] * rise_a - high_b[k] * rise_b), abs(low_a[k] * rise_a - low_b[k] * rise_b))
    largest, place = best - 1, 0
    for k in range(points - 1):
        most = max(high_a[k + 1] * rise_a - low_b[k] * rise_b, high_b[k + 1] * rise_b - low_a[k] * rise_a)
        if most <= largest:
            continue
        i, j, end = low_a[k], low_b[k], min((k + 1) * _STEP, n - 1)
        while j <= end:
            value = b[j]
            while i < m and a[i] < value:
                i += 1
            first = j
            gap = abs(i * rise_a - j * rise_b)
            while i < m and a[i] == value:
                i += 1
            while j < n and b[j] == value:
                j += 1
            gap = max(gap, abs(i * rise_a - j * rise_b))
            if gap > largest:
                largest, place = gap, first
    return largest, place


def largest_gap(a: Any, b: Any) -> tuple[int, int]:
    """In steps of 1 / lcm(m, n), and the row of ``b`` at or just before which it is reached."""
    common = gcd(len(a), len(b))
    return _largest(a, b, len(b) // common, len(a) // common)


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


@njit(nogil=True, cache=True, fastmath={"reassoc", "nsz"})
def summed_moves(a: Any, b: Any) -> float:
    """Sum of the distances of each value of ``a`` to the value of ``b`` at its place; ``a`` is a multiple as long."""
    each = len(a) // len(b)
    total = 0.0
    for j in range(len(b)):
        value, moved, start = b[j], a.dtype.type(0.0), j * each
        for i in range(each):
            moved += abs(a[start + i] - value)
        total += moved
    return total
