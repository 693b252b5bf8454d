"""Loops that numba compiles, where it is installed (extra ``fast``); their modules cannot be imported without it."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

__all__ = ["KERNELS", "compiled_loops"]

KERNELS = "huracan.statistics.two_sample_kernels"
"""Loops over two ascending samples."""


@cache
def compiled_loops(module: str) -> Any:
    """The module of this name, such as ``huracan.statistics.two_sample_kernels``; None without numba.

    >>> compiled_loops("huracan.statistics.no_such_kernels") is None
    True
    """
    try:
        return import_module(module)
    except ImportError:
        return None
