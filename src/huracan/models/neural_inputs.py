"""Checks of what a network is given, with the place and the moment of what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.given_rows import as_target
from huracan.baselines.inputs import require_finite
from huracan.errors import ModelError

__all__ = ["given_target", "require_window"]


def require_window(window: Any) -> None:
    """Refuse a length that is not a whole number of bars."""
    if not isinstance(window, int) or isinstance(window, bool) or window < 1:
        raise ModelError(f"window is {window!r}; a whole number of bars from 1 was expected.")


def given_target(y: Any, n: int, known: NDArray[np.bool_] | None) -> NDArray[Any]:
    """``y`` as an array, finite; where a row's label is not known nothing is asked of it, and it becomes zero."""
    target = as_target(y, n)
    if not np.issubdtype(target.dtype, np.floating):
        return target
    if known is not None and not known.all():
        target = np.where(known.reshape(-1, *[1] * (target.ndim - 1)), target, 0.0)
    flat = target.reshape(n, -1)
    columns = [str(c) for c in getattr(y, "columns", ())] or [f"y{i}" for i in range(flat.shape[1])]
    require_finite(flat, ("y",) if flat.shape[1] == 1 else tuple(columns), given=y)
    return target
