"""Losses of several models on the same rows: one check, and which models are the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError, NotEnoughData
from huracan.statistics.sample_checks import LARGEST, SMALLEST, check_open_unit, plain
from huracan.statistics.series import MINIMUM_OBSERVATIONS

__all__ = ["as_loss_table", "check_level", "same_losses"]

_WITNESSES = 64
"""Rows on which most pairs of models show that they differ."""


def as_loss_table(losses: ArrayLike, names: Sequence[str] | None = None) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the losses as a finite float64 table and a name for every model, or say why not.

    Parameters
    ----------
    losses : (n, k), a row for each point in time, a column for each model.
    names : of the ``k`` models, for messages and results; by default "model 0", "model 1", ...

    Raises
    ------
    DataError : not a table, fewer than two models, names that do not fit or repeat, or a loss that is not finite (the
        model and row are named). NotEnoughData : fewer than 20 rows.

    Examples
    --------
    >>> as_loss_table(np.eye(20, 2))[1]
    ('model 0', 'model 1')
    """
    table = plain(losses)
    if table.dtype == object or not np.issubdtype(table.dtype, np.number) or np.issubdtype(table.dtype, np.complexfloating):
        raise DataError(f"losses are {table.dtype}; one real number for every row and model was expected.")
    if table.ndim != 2:
        raise DataError(f"losses have {table.ndim} dimension(s); a table of time x models was expected.")
    n, k = table.shape
    known = tuple(f"model {i}" for i in range(k)) if names is None else tuple(map(str, names))
    if k < 2:
        raise DataError(f"losses hold {k} model(s); at least two are needed for a comparison.")
    if len(known) != k or len(set(known)) != k:
        raise DataError(
            f"{len(known)} names ({len(set(known))} different) for {k} models; a name of its own for each was expected."
        )
    if n < MINIMUM_OBSERVATIONS:
        raise NotEnoughData(f"the losses cover {n} point(s) in time; at least {MINIMUM_OBSERVATIONS} are needed.")
    table = table.astype(np.float64, copy=False)
    bad = ~np.isfinite(table)
    if bad.any():
        row, column = map(int, np.argwhere(bad)[0])
        raise DataError(f"the loss of '{known[column]}' is {table[row, column]} in row {row}; finite numbers were expected.")
    largest = np.abs(table).max(axis=0)
    if largest.max() > LARGEST:
        column = int(largest.argmax())
        row = int(np.abs(table[:, column]).argmax())
        raise DataError(
            f"the loss of '{known[column]}' is {table[row, column]:g} in row {row}; its square overflows, rescale the losses."
        )
    if 0.0 < largest.max() < SMALLEST:
        raise DataError(f"no loss is larger than {largest.max():g}; its square vanishes, rescale the losses.")
    return table, known


def same_losses(
    table: NDArray[np.float64], names: Sequence[str], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Find the pairs of models whose losses are the same on every row, up to rounding.

    Parameters
    ----------
    table : (n, k) losses. names : of the models. first, second : (pairs,) columns.

    Raises
    ------
    DataError : the losses of a pair differ by one and the same number on every row, so that nothing varies.

    Examples
    --------
    >>> table = np.random.default_rng(0).standard_normal((30, 2))[:, [0, 0, 1]]
    >>> same_losses(table, "abc", np.array([0, 0]), np.array([1, 2])).tolist()
    [True, False]
    """
    rounding = 128 * np.finfo(np.float64).eps * np.maximum(table.max(axis=0), -table.min(axis=0))
    tolerance = np.maximum(rounding[first], rounding[second])
    # a pair that differs on some rows need not be looked at on all of them
    witness = np.unique(np.linspace(0, len(table) - 1, min(len(table), _WITNESSES)).astype(np.int64))
    few = table[witness][:, first] - table[witness][:, second]
    same = np.ptp(few, axis=0) <= tolerance
    for pair in np.flatnonzero(same):
        a, b = first[pair], second[pair]
        difference = table[:, a] - table[:, b]
        constant = np.ptp(difference) <= tolerance[pair]
        same[pair] = constant
        if constant and np.abs(difference).max() > tolerance[pair]:
            raise DataError(
                f"'{names[a]}' and '{names[b]}' differ by {difference[0]:g} on every one of {len(table)} rows; losses whose "
                "difference does not vary cannot be tested. Were they computed row by row?"
            )
    return same


def check_level(alpha: float, resamples: int, *, what: str = "alpha") -> None:
    """Refuse a level outside (0, 1), or so small that no p-value from ``resamples`` can reach it.

    Examples
    --------
    >>> check_level(0.05, 999)
    """
    check_open_unit(alpha, what)
    if isinstance(resamples, bool) or not isinstance(resamples, (int, np.integer)) or resamples < 1:
        raise DataError(f"resamples is {resamples}; a whole number from 1 on was expected.")
    if alpha * (resamples + 1) < 1.0:
        raise DataError(
            f"{resamples} resamples give no p-value below {1 / (resamples + 1):.3g}, {what} is {alpha}; "
            f"at least {int(np.ceil(1 / alpha)) - 1} are needed."
        )
