"""Checks of what a network is given, with the place and the moment of what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.given_rows import as_target
from huracan.baselines.inputs import require_finite
from huracan.errors import DataError, ModelError

__all__ = ["given_target", "require_same_size", "require_series", "require_window"]

_PANEL = "Several symbols go into a TrainingSet."


def require_series(X: Any, y: Any) -> None:
    """Refuse frames whose index says that rows are no series in time order, or that ``y`` is of other rows.

    >>> import pandas as pd
    >>> days = pd.date_range("2024-01-01", periods=3)
    >>> require_series(pd.DataFrame({"x": [1, 2, 3]}, index=days[::-1]), None)
    Traceback (most recent call last):
    ...
    huracan.errors.DataError: row 1 of X is of 2024-01-02 00:00:00, not after the row above it ...
    """
    index = getattr(X, "index", None)
    if index is None or callable(index):
        return
    if getattr(index, "nlevels", 1) > 1:
        raise DataError(f"X has an index of {index.nlevels} levels; one series in time order was expected. {_PANEL}")
    if getattr(index.dtype, "kind", "") == "M":
        back = np.flatnonzero(index[1:] <= index[:-1])
        if len(back):
            row = int(back[0]) + 1
            raise DataError(
                f"row {row} of X is of {index[row]}, not after the row above it ({index[row - 1]}); one series, oldest row "
                f"first, was expected. {_PANEL}"
            )
    other = getattr(y, "index", None)
    if other is not None and not callable(other) and len(other) == len(index) and not index.equals(other):
        row = next(i for i, (a, b) in enumerate(zip(index, other, strict=True)) if a != b)
        raise DataError(f"row {row} of X is of {index[row]} and that of y of {other[row]}; the same index was expected.")


def require_window(window: Any, scaling: str) -> None:
    """Refuse a length that is not a whole number of bars; or of one bar, where that is what is taken out of a window.

    >>> require_window(1, "last")
    Traceback (most recent call last):
    ...
    huracan.errors.ModelError: window_scaling is 'last', and takes the last bar out of a window, which has 1 bar; ...
    """
    if not isinstance(window, int) or isinstance(window, bool) or window < 1:
        raise ModelError(f"window is {window!r}; a whole number of bars from 1 was expected.")
    if window == 1 and scaling != "none":
        raise ModelError(
            f"window_scaling is '{scaling}', and takes the last bar out of a window, which has 1 bar; a longer window, or "
            "'none', was expected."
        )


_FAR_APART = 100.0


def require_same_size(
    moves: NDArray[np.floating], symbol: NDArray[np.integer], symbols: Sequence[str], names: Sequence[str]
) -> None:
    """Refuse moves (n, features) of symbols that are so small beside those of others that a network could not see them.

    >>> moves = np.array([[500.0], [-400.0], [1e-7], [2e-7]])
    >>> require_same_size(moves, np.array([0, 0, 1, 1]), ("BTC", "SHIB"), ("close",))
    Traceback (most recent call last):
    ...
    huracan.errors.DataError: 'close' moves 3e+09 times as far for BTC as for SHIB, which window_scaling='last' cannot show ...
    """
    present = np.unique(symbol)
    rows = np.array([np.count_nonzero(symbol == code) for code in present])[:, None]
    size = np.stack([np.bincount(symbol, np.abs(column), minlength=len(symbols))[present] for column in moves.T], axis=1) / rows
    least = np.where(size > 0, size, np.inf)
    far = size.max(axis=0) / least.min(axis=0)
    if far.max() > _FAR_APART:
        j = int(np.argmax(far))
        one, other = (symbols[present[at]] for at in (np.argmax(size[:, j]), np.argmin(least[:, j])))
        raise DataError(
            f"'{names[j]}' moves {far[j]:.0e} times as far for {one} as for {other}, which window_scaling='last' cannot show "
            "to one network; its logarithm, or window_scaling='standard', was expected."
        )


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
