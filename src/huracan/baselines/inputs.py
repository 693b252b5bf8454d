"""Checks and scaling of what goes into a tabular learner."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.given_rows import moment_of, value_at
from huracan.errors import DataError
from huracan.statistics.spread_rows import spread_rows

__all__ = [
    "InputScaler",
    "checked_weight",
    "other_columns",
    "require_finite",
    "weighted_rows",
    "winsor_bounds",
]

_SAMPLE = 100_000
_COLUMNS = 4


def require_finite(values: NDArray[Any], names: tuple[str, ...], *, given: Any = None, of: Any = None) -> None:
    """Refuse a matrix with NaN or infinity, naming the first bad column and row, and the moment where one is known.

    ``given`` is the array, frame or ``TrainingSet`` that ``values`` were made of; ``of`` is what knows the moments, where that
    is another.

    >>> require_finite(np.array([[1.0, np.nan]]), ("a", "b"))
    Traceback (most recent call last):
    ...
    huracan.errors.DataError: column 'b' holds NaN in row 0; finite numbers were expected.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):  # one pass without a mask; a bad value always spoils the sum
            return
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = map(int, np.argwhere(bad)[0])
        value = "NaN" if np.isnan(values[row, column]) else str(values[row, column])
        before = value_at(given, row, column)
        what = "finite numbers were expected"
        if before is not None and np.isfinite(before):
            value, what = f"{before:g}", f"numbers that float32 can hold, up to {np.finfo(np.float32).max:.1e}, were expected"
        raise DataError(
            f"column '{names[column]}' holds {value} in row {row}{moment_of(given if of is None else of, row)}; {what}."
        )


def winsor_bounds(y: NDArray[np.float64], tail: float) -> tuple[float, float]:
    """The values at quantiles ``tail`` and ``1 - tail``; no bounds where ``tail`` is 0.

    >>> winsor_bounds(np.arange(101.0), 0.05)
    (5.0, 95.0)
    """
    if tail <= 0.0:
        return -np.inf, np.inf
    low, high = np.quantile(y, [tail, 1.0 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class InputScaler:
    """Standardise columns with outlier-proof moments, then clip.

    Mean and standard deviation are taken after cutting each column at its 0.5 % and 99.5 % quantiles, so that one
    flash crash does not flatten all other days; what then lies beyond ``clip`` standard deviations is set to ``clip``.
    A constant column becomes zeros.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((1_000, 2)).astype(np.float32) * [1, 50] + [0, 9]
    >>> X[3, 1] = 1e6
    >>> Z = InputScaler.fit(X.astype(np.float32), clip=8.0)(X.astype(np.float32))
    >>> float(Z.max()), bool(np.all(np.abs(np.delete(Z, 3, axis=0).std(axis=0) - 1) < 0.05))
    (8.0, True)
    """

    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    clip: float

    @classmethod
    def fit(
        cls,
        X: NDArray[np.float32],
        *,
        clip: float,
        rows: NDArray[np.integer] | None = None,
        since: NDArray[np.integer] | None = None,
    ) -> InputScaler:
        """Learn the moments of all rows, or of ``rows``; from 200,000 on of 100,000 drawn at random (:func:`spread_rows`).

        With ``since``, a row for each of ``rows``, they are the moments of the moves from the one to the other.
        """
        sample = spread_rows(len(X) if rows is None else len(rows), _SAMPLE)
        if sample is not None:
            rows, since = sample if rows is None else rows[sample], None if since is None else since[sample]
        # few columns at a time, since their float64 copies could outweigh the table; never one alone, whose sum numpy rounds
        # in another way than that of several
        edges = np.linspace(0, X.shape[1], max(1, X.shape[1] // _COLUMNS) + 1).astype(int)
        some = (X[:, first:stop] for first, stop in pairwise(edges))
        center, scale = np.concatenate([_moments_of(part, rows, since) for part in some], axis=1)
        tiny = 10 * np.finfo(np.float32).eps * np.abs(center)
        return cls(center, np.where(scale > tiny, scale, np.inf), float(clip))

    def __call__(self, X: NDArray[np.float32], *, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Scaled copy, float32; or scaled into ``out``, which may be ``X`` itself."""
        Z = np.subtract(X, self.center.astype(np.float32), out=out)
        np.multiply(Z, (1.0 / self.scale).astype(np.float32), out=Z)
        return np.clip(Z, -self.clip, self.clip, out=Z)


def _moments_of(
    X: NDArray[np.float32], rows: NDArray[np.integer] | None, since: NDArray[np.integer] | None
) -> NDArray[np.float64]:
    now = X if rows is None else X[rows]
    return _moments((now if since is None else now - X[since]).astype(np.float64, order="C"))


def _moments(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean and standard deviation (2, columns) after cutting each column at its outer quantiles; ``sample`` is overwritten."""
    low, high = np.quantile(sample, [0.005, 0.995], axis=0)
    flat = low == high  # nearly constant column: the quantiles would hide what little moves
    np.clip(sample, np.where(flat, -np.inf, low), np.where(flat, np.inf, high), out=sample)
    return np.stack([sample.mean(axis=0), sample.std(axis=0)])


def checked_weight(sample_weight: Any, n_rows: int) -> NDArray[np.float64] | None:
    """Weights as float64, refused where negative, not finite or of another length."""
    if sample_weight is None:
        return None
    try:
        weight = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"sample_weight holds what is no number: {error}; one weight a row was expected.") from error
    if weight.ndim != 1:
        raise DataError(f"sample_weight has shape {weight.shape}; one weight a row, {n_rows}, was expected.")
    if len(weight) != n_rows:
        raise DataError(f"sample_weight has {len(weight)} rows where X has {n_rows}.")
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        raise DataError(f"sample_weight is {weight[bad][0]} in row {int(np.argmax(bad))}; finite numbers >= 0 were expected.")
    return weight


def weighted_rows(
    X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.float64] | None]:
    """Leave out rows of weight 0; weights get mean 1, and equal weights are none."""
    kept = weight > 0
    if not kept.any():
        raise DataError(f"sample_weight is zero in all {len(weight)} rows; at least one positive weight is needed.")
    if not kept.all():
        X, y, weight = X[kept], y[kept], weight[kept]
    if np.all(weight == weight[0]):
        return X, y, None
    return X, y, weight / weight.mean()


def other_columns(learner: str, got: tuple[str, ...], expected: tuple[str, ...]) -> DataError:
    """The error for the first column that is not the one a learner was fitted on."""
    for position, name in enumerate(expected):
        if position >= len(got) or got[position] != name:
            found = f"'{got[position]}'" if position < len(got) else "nothing"
            return DataError(f"{learner} expects the feature '{name}' at column {position} and got {found}.")
    return DataError(f"{learner} was fitted on {len(expected)} features and got {len(got)}; '{got[len(expected)]}' is new.")
