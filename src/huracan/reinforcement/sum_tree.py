"""Sampling in proportion to priorities, and changing them, in a few steps whatever their number."""

from __future__ import annotations

from typing import Any

from huracan.errors import ModelError
from huracan.reinforcement.arrays import NUMPY, NumpyArrays
from huracan.reinforcement.compiled_loops import compiled_loops

__all__ = ["SumTree"]

_CHILDREN = 16  # two cache lines of numbers


class SumTree:
    """Priorities of ``capacity`` entries, with sums of sixteen, of sixteen sums, and so on.

    Sums are always made anew from what they are sums of, first to last, so rounding does not pile up. With numba
    (``huracan[fast]``) the same is done by compiled loops, in the same order: the same bits with and without it.

    Parameters
    ----------
    capacity : number of entries; all begin at 0, and an entry at 0 is never drawn.
    compiled : whether to use numba; None where it is installed.
    arrays : whose arithmetic, see :mod:`huracan.reinforcement.arrays`; of tensors nothing is compiled, sums may be added up in
        another order, and of an entry named twice on a GPU any may count.

    References
    ----------
    Schaul, Quan, Antonoglou and Silver (2016), "Prioritized Experience Replay", ICLR, appendix B.2.1.

    Examples
    --------
    >>> import numpy as np
    >>> tree = SumTree(3, compiled=False)
    >>> highest = tree.set(np.array([0, 2]), np.array([1.0, 3.0]))
    >>> tree.total, tree.find(np.array([0.5, 1.0, 3.9])).tolist()
    (4.0, [0, 2, 2])
    """

    def __init__(self, capacity: int, *, compiled: bool | None = None, arrays: Any = NUMPY) -> None:
        if capacity < 1:
            raise ModelError(f"capacity is {capacity}; at least 1 entry was expected.")
        self.capacity, self.xp = capacity, arrays
        self.levels: list[Any] = []
        size = capacity
        while True:
            size = -(-size // _CHILDREN) * _CHILDREN
            self.levels.append(arrays.table((size,), "float64"))
            size //= _CHILDREN
            if size == 1:
                break
        self.levels.append(arrays.table((1,), "float64"))
        plain = compiled is False or not isinstance(arrays, NumpyArrays)
        self._loops = None if plain else compiled_loops("huracan.reinforcement.sum_tree_kernels")
        if compiled and self._loops is None:
            raise ModelError("compiled=True, and numba is not installed; `pip install huracan[fast]` brings it.")

    @property
    def total(self) -> float:
        """Sum of all priorities."""
        return float(self.levels[-1][0])

    @property
    def priorities(self) -> Any:
        """(capacity,) a view; change it with :meth:`set`."""
        return self.levels[0][: self.capacity]

    def set(self, entries: Any, priorities: Any) -> Any:
        """Change priorities (n,) of entries (n,); of an entry named twice the last counts. The highest of them."""
        if self._loops is not None:
            return self._loops.put(tuple(self.levels), entries, priorities)
        self.levels[0][entries] = priorities
        at = entries
        for below, above in zip(self.levels, self.levels[1:]):
            at = at // _CHILDREN
            above[at] = _sums(below.reshape(-1, _CHILDREN)[at])
        return priorities.max()

    def find(self, masses: Any) -> Any:
        """The entries (n,) in which cumulated priorities reach beyond ``masses`` (n,), each from 0 to below :attr:`total`."""
        if self._loops is not None:
            return self._loops.find(tuple(self.levels), masses)
        xp = self.xp
        every = xp.count(len(masses))
        at, left = every * 0, masses
        for level in self.levels[-2::-1]:
            sums = level.reshape(-1, _CHILDREN)[at].cumsum(1)
            left = xp.minimum(left, xp.below(sums[:, -1]))  # what rounding put beyond the end
            child = xp.minimum((sums <= left[:, None]).sum(1), _CHILDREN - 1)
            left = left - xp.where(child > 0, sums[every, child - 1], 0.0)
            at = at * _CHILDREN + child
        return at

    def fill(self, priorities: Any) -> None:
        """Set all priorities (capacity,) at once."""
        self.levels[0][: self.capacity] = priorities
        for below, above in zip(self.levels, self.levels[1:]):
            above[: len(below) // _CHILDREN] = _sums(below.reshape(-1, _CHILDREN))


def _sums(children: Any) -> Any:
    """Sums of rows, added up from the first to the last as the compiled loops do; ``sum`` pairs them otherwise."""
    return children.cumsum(1)[:, -1]
