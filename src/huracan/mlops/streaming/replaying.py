"""One loop a detector: Python runs its text over lists, numba compiles the same text over arrays; both give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ready_loop"]

_WORTH_COMPILING = 100_000
"""Compiling takes about as long as Python takes for so many numbers."""

_in_use: set[Callable[..., Any]] = set()


def ready_loop(loop: Callable[..., Any], x: NDArray[np.float64]) -> tuple[Callable[..., Any], Any, bool]:
    """The quickest way to run ``loop`` over ``x``.

    Returns
    -------
    loop : compiled where numba is installed (extra ``fast``) and ``x`` is long, or the loop has been compiled before.
    values : ``x`` as that loop wants it, an array or a list. compiled : which of the two it is.
    """
    if loop in _in_use or len(x) >= _WORTH_COMPILING:
        quick = _compiled(loop)
        if quick is not None:
            _in_use.add(loop)
            return quick, x, True
    return loop, x.tolist(), False


@lru_cache(maxsize=16)
def _compiled(loop: Callable[..., Any]) -> Callable[..., Any] | None:
    try:
        from numba import njit
    except ImportError:
        return None
    return njit(loop)
