"""The arithmetic of the step formula over single numbers, as numba compiles it; importing this needs numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["abs", "maximum", "minimum", "not_equal", "sign", "trunc", "where"]

abs, sign, trunc = np.abs, np.sign, np.trunc
maximum, minimum, not_equal = np.maximum, np.minimum, np.not_equal


@njit
def where(flag: Any, this: Any, other: Any) -> Any:
    """``this`` where the flag is set, else ``other``."""
    return this if flag else other
