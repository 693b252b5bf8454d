"""Sampling in proportion to priorities, and changing them, in a few steps whatever their number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ModelError

__all__ = ["SumTree"]

_CHILDREN = 16  # two cache lines of numbers


class SumTree:
    """Priorities of ``capacity`` entries, with sums of sixteen, of sixteen sums, and so on.

    Sums are always made anew from what they are sums of, so rounding does not pile up. With numba (``huracan[fast]``) the same
    is done by compiled loops.

    Parameters
    ----------
    capacity : number of entries; all begin at 0, and an entry at 0 is never drawn.
    compiled : whether to use numba; None where it is installed.

    References
    ----------
    Schaul, Quan, Antonoglou and Silver (2016), "Prioritized Experience Replay", ICLR, appendix B.2.1.

    Examples
    --------
    >>> tree = SumTree(3, compiled=False)
    >>> tree.set(np.array([0, 2]), np.array([1.0, 3.0]))
    >>> tree.total, tree.find(np.array([0.5, 1.0, 3.9])).tolist()
    (4.0, [0, 2, 2])
    """

    def __init__(self, capacity: int, *, compiled: bool | None = None) -> None:
        if capacity < 1:
            raise ModelError(f"capacity is {capacity}; at least 1 entry was expected.")
        self.capacity = capacity
        self.levels: list[NDArray[np.float64]] = []
        size = capacity
        while True:
            size = -(-size // _CHILDREN) * _CHILDREN
            self.levels.append(np.zeros(size))
            size //= _CHILDREN
            if size == 1:
                break
        self.levels.append(np.zeros(1))
        self._kernels = _compiled_kernels() if compiled is None or compiled else None
        if compiled and self._kernels is None:
            raise ModelError("compiled=True, and numba is not installed; `pip install huracan[fast]` brings it.")

    @property
    def total(self) -> float:
        """Sum of all priorities."""
        return float(self.levels[-1][0])

    @property
    def priorities(self) -> NDArray[np.float64]:
        """(capacity,) a view; change it with :meth:`set`."""
        return self.levels[0][: self.capacity]

    def set(self, entries: NDArray[np.int64], priorities: NDArray[np.float64]) -> None:
        """Change priorities (n,) of entries (n,); of an entry named twice the last counts."""
        if self._kernels is not None:
            self._kernels[1](self.levels, entries, priorities)
            return
        self.levels[0][entries] = priorities
        at = entries
        for below, above in zip(self.levels, self.levels[1:]):
            at = at // _CHILDREN
            above[at] = below.reshape(-1, _CHILDREN)[at].sum(axis=1)

    def find(self, masses: NDArray[np.float64]) -> NDArray[np.int64]:
        """The entries (n,) in which cumulated priorities reach beyond ``masses`` (n,), each from 0 to below :attr:`total`."""
        if self._kernels is not None:
            return self._kernels[0](self.levels, masses)
        at = np.zeros(len(masses), np.int64)
        left = masses
        every = np.arange(len(masses))
        for level in self.levels[-2::-1]:
            sums = level.reshape(-1, _CHILDREN)[at].cumsum(axis=1)
            left = np.minimum(left, np.nextafter(sums[:, -1], 0.0))  # what rounding put beyond the end
            child = (sums <= left[:, None]).sum(axis=1)
            before = np.where(child > 0, sums[every, child - 1], 0.0)
            left = left - before
            at = at * _CHILDREN + child
        return at

    def fill(self, priorities: NDArray[np.float64]) -> None:
        """Set all priorities (capacity,) at once."""
        self.levels[0][: self.capacity] = priorities
        for below, above in zip(self.levels, self.levels[1:]):
            above[: len(below) // _CHILDREN] = below.reshape(-1, _CHILDREN).sum(axis=1)


_kernels: list[Any] = []


def _compiled_kernels() -> Any:
    """``find`` and ``set`` as compiled loops; None without numba."""
    if not _kernels:
        try:
            from huracan.reinforcement.sum_tree_kernels import find, put
        except ImportError:
            _kernels.append(None)
        else:
            _kernels.append((lambda levels, masses: find(tuple(levels), masses), lambda *a: put(tuple(a[0]), a[1], a[2])))
    return _kernels[0]
