"""Which columns say the same thing: rank correlation that survives missing values, and the clusters it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bottleneck as bn
import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import FeatureError, NotEnoughData
from huracan.preprocessing.frames import read_feature_frame

__all__ = ["correlation_clusters", "correlation_order", "rank_correlation"]

MINIMUM_COMMON_ROWS = 20
"""Two columns with fewer common rows than this have no known correlation."""

_DIGITS = 12  # beyond them the number of BLAS threads speaks, and a tie would not be a tie


def rank_correlation(
    frame: Any, *, names: Sequence[str] | None = None, max_rows: int | None = 100_000
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Spearman's correlation of every pair of columns, on the rows where both are known.

    Each column is ranked once, among its own known values (ties share their mean rank, infinities stand at the ends);
    a pair is then correlated on its common rows. Without missing values this is Spearman's coefficient exactly; with
    them it differs from ranking each pair anew only by how unevenly the missing rows fall.

    Parameters
    ----------
    frame : polars or pandas frame (columns ``symbol``, ``ts``, ``segment`` are keys and left out) or a float matrix
        (rows, columns); NaN and null are missing.
    names : of a matrix's columns; ``x0``, ``x1``, ... without.
    max_rows : where there are more rows, this many are drawn at random with a fixed seed (a regular step could pick
        one symbol of a panel only); ``None`` takes all.

    Returns
    -------
    names, and a symmetric (columns, columns) matrix with 1 on its diagonal, NaN where a pair has fewer than 20 common
    rows or one of its columns is constant on them.

    Raises
    ------
    FeatureError : a column is not numeric, or ``names`` are not one a column. NotEnoughData : no columns, or no rows.

    Examples
    --------
    >>> x = np.arange(30.0)
    >>> columns, matrix = rank_correlation(pl.DataFrame({"a": x, "b": -(x**3), "c": [1.0] * 30}))
    >>> columns, matrix[0].tolist()
    (('a', 'b', 'c'), [1.0, -1.0, nan])
    """
    columns, values = _matrix(frame, names, max_rows)
    ranks = bn.nanrankdata(np.ascontiguousarray(values.T), axis=1).T
    known = ~np.isnan(ranks)
    ranks = np.where(known, ranks - (known.sum(axis=0) + 1) / 2, 0.0)
    mask = known.astype(np.float64)
    common = mask.T @ mask
    with np.errstate(divide="ignore", invalid="ignore"):
        total = ranks.T @ mask  # of column i over the rows it shares with j
        square = (ranks**2).T @ mask - total**2 / common
        product = ranks.T @ ranks - total * total.T / common
        scale = np.sqrt(square * square.T)
        matrix = np.where((common >= MINIMUM_COMMON_ROWS) & (scale > 1e-9 * common), product / scale, np.nan)
    matrix = np.clip(np.round((matrix + matrix.T) / 2, _DIGITS), -1.0, 1.0)
    np.fill_diagonal(matrix, 1.0)
    return columns, matrix


def correlation_clusters(
    frame: Any, threshold: float = 0.9, *, names: Sequence[str] | None = None, max_rows: int | None = 100_000
) -> pl.DataFrame:
    """Group columns that say the same thing: any two of a cluster have a rank correlation of at least ``threshold`` in size.

    Clusters are those of complete linkage on ``1 - |rho|``, so that no chain of neighbours joins columns that are far
    apart. A correlation that is not known (see :func:`rank_correlation`) counts as 0: what cannot be shown to be
    redundant is not.

    Parameters
    ----------
    frame, names, max_rows : as :func:`rank_correlation` takes them.
    threshold : above 0, at most 1.

    Returns
    -------
    One row a column, in the order of the columns: ``[feature: String, cluster: Int32, representative: String,
    max_abs_correlation: Float64]``. Clusters count from 0 in the order of their first column. ``representative`` names
    the column of the cluster that is closest to the others (the first of equals), its own name for a column alone.
    ``max_abs_correlation`` is the largest with any other column, in the cluster or not; null where none is known.

    Raises
    ------
    FeatureError : ``threshold`` is out of bounds; otherwise as :func:`rank_correlation`.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((500, 2))
    >>> frame = pl.DataFrame({"a": noise[:, 0], "b": noise[:, 1], "minus_a": -2 * noise[:, 0]})
    >>> correlation_clusters(frame).select("feature", "cluster", "representative").rows()
    [('a', 0, 'a'), ('b', 1, 'b'), ('minus_a', 0, 'a')]
    """
    if not 0.0 < threshold <= 1.0:
        raise FeatureError(f"threshold is {threshold}; a correlation above 0 and at most 1 was expected.")
    columns, matrix = rank_correlation(frame, names=names, max_rows=max_rows)
    size = np.abs(np.nan_to_num(matrix, nan=0.0))
    cluster = _clusters(size, threshold)
    representative = list(columns)
    for label in np.unique(cluster):
        members = np.flatnonzero(cluster == label)
        closest = members[np.argmax(np.round(size[np.ix_(members, members)].sum(axis=1), _DIGITS - 2))]
        for member in members:
            representative[member] = columns[closest]
    others = np.abs(matrix)
    np.fill_diagonal(others, np.nan)
    largest = [float(np.nanmax(row)) if np.isfinite(row).any() else None for row in others]
    schema = {"feature": pl.String, "cluster": pl.Int32, "representative": pl.String, "max_abs_correlation": pl.Float64}
    data = {"feature": columns, "cluster": cluster, "representative": representative, "max_abs_correlation": largest}
    return pl.DataFrame(data, schema=schema)


def correlation_order(matrix: NDArray[np.float64]) -> list[int]:
    """Order of columns in which neighbours are alike: leaves of average linkage on ``1 - |rho|``, turned for likeness.

    >>> correlation_order(np.array([[1.0, 0.1, 0.9], [0.1, 1.0, 0.0], [0.9, 0.0, 1.0]]))
    [1, 0, 2]
    """
    if len(matrix) < 3:
        return list(range(len(matrix)))
    from scipy.cluster.hierarchy import leaves_list, linkage

    distance = _condensed(np.abs(np.nan_to_num(matrix, nan=0.0)))
    return [int(i) for i in leaves_list(linkage(distance, "average", optimal_ordering=True))]


def _clusters(size: NDArray[np.float64], threshold: float) -> NDArray[np.int32]:
    if len(size) == 1:
        return np.zeros(1, np.int32)
    from scipy.cluster.hierarchy import fcluster, linkage

    found = fcluster(linkage(_condensed(size), "complete"), 1.0 - threshold + 1e-9, criterion="distance")
    _, first, label = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[label].astype(np.int32)


def _condensed(size: NDArray[np.float64]) -> NDArray[np.float64]:
    return (1.0 - size)[np.triu_indices(len(size), 1)]


def _matrix(frame: Any, names: Sequence[str] | None, max_rows: int | None) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    given = read_feature_frame(frame)
    values = np.asarray(given.matrix())
    if values.ndim != 2:
        raise FeatureError(f"the values have {values.ndim} dimensions; rows x columns were expected.")
    rows, width = values.shape
    if not rows or not width:
        raise NotEnoughData(f"there are {rows} rows and {width} columns to correlate; at least one of each was expected.")
    if not np.issubdtype(values.dtype, np.number) and values.dtype != bool:
        raise FeatureError(f"the values are {values.dtype}; numbers were expected.")
    known = names if names is not None else given.names
    columns = tuple(known) if known is not None else tuple(f"x{i}" for i in range(width))
    if len(columns) != width or len(set(columns)) != width:
        raise FeatureError(f"{len(columns)} names for {width} columns; one name a column, each once, was expected.")
    if max_rows is not None and rows > max_rows:
        values = values[np.sort(np.random.default_rng(0).choice(rows, max_rows, replace=False))]
    return columns, values.astype(np.float64)
