"""Checks of what a network is given, with the place and the moment of what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.given_rows import as_target
from huracan.baselines.inputs import require_finite
from huracan.dataset import RowKeys, TrainingSet, split_keys
from huracan.errors import DataError, ModelError

__all__ = ["given_target", "require_same_size", "require_window", "symbols_of"]


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


def symbols_of(X: Any, n: int) -> tuple[NDArray[np.integer], Sequence[str]]:
    """The number of each row's symbol, and the names; where nothing is known of symbols, one for all ``n`` rows.

    >>> import polars as pl
    >>> times = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 2), "1d", eager=True)
    >>> frame = pl.DataFrame({"ts": times.append(times), "symbol": ["SHIB"] * 2 + ["BTC"] * 2, "close": [1.0, 2.0, 3.0, 4.0]})
    >>> code, names = symbols_of(frame, 4)
    >>> [names[k] for k in code]
    ['SHIB', 'SHIB', 'BTC', 'BTC']
    """
    if isinstance(X, TrainingSet):
        return X.symbol_code, X.symbols
    given = split_keys(X)[1]
    if not given.found:
        return np.zeros(n, np.int32), ("",)
    keys = RowKeys.read(given, n)
    return keys.symbol_code, keys.symbols


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
