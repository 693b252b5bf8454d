"""Loops that numba compiles, where it is installed; see :mod:`huracan.statistics.compiled`."""

from huracan.statistics.compiled import compiled_loops

__all__ = ["compiled_loops"]
