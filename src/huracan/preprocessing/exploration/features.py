"""What each feature column is like: missing values, spread, and which other column says the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.preprocessing.correlation import correlation_clusters
from huracan.preprocessing.frames import read_feature_frame

__all__ = ["CORRELATION_ROWS", "FEATURE_SCHEMA", "describe_features", "one_symbol"]

CORRELATION_ROWS = 50_000
"""Rows that correlations are computed on, drawn at random where there are more."""

FEATURE_SCHEMA = pl.Schema(
    {
        "feature": pl.String(),
        "missing": pl.Int64(),
        "missing_share": pl.Float64(),
        "first_known": pl.Int64(),
        "mean": pl.Float64(),
        "deviation": pl.Float64(),
        "smallest": pl.Float64(),
        "largest": pl.Float64(),
        "distinct_share": pl.Float64(),
        "cluster": pl.Int32(),
        "representative": pl.String(),
        "max_abs_correlation": pl.Float64(),
    }
)


def describe_features(features: Any) -> tuple[pl.DataFrame, tuple[str, ...], NDArray[np.float64]]:
    """A row a feature as :data:`FEATURE_SCHEMA` says, the names, and the values as (rows, columns).

    >>> describe_features(pl.DataFrame({"x": [1.0, None, 3.0]}))[0].select("feature", "missing", "mean").rows()
    [('x', 1, 2.0)]
    """
    given = read_feature_frame(features)
    values = np.asarray(given.matrix(), dtype=np.float64)
    names = tuple(given.names) if given.names is not None else tuple(f"x{i}" for i in range(values.shape[1]))
    clusters = correlation_clusters(values, names=names, max_rows=CORRELATION_ROWS)
    table = pl.DataFrame([_described(name, values[:, i]) for i, name in enumerate(names)])
    table = table.join(clusters, on="feature", how="left", maintain_order="left")
    return table.select(pl.col(name).cast(kind) for name, kind in FEATURE_SCHEMA.items()), names, values


def one_symbol(features: Any, rows: int) -> tuple[str, NDArray[np.bool_]]:
    """The symbol with the most rows, the first of equals; everything where none is named."""
    keys = read_feature_frame(features).keys
    if keys is None or "symbol" not in list(keys.columns):
        return "all rows", np.ones(rows, bool)
    symbols = np.asarray(keys["symbol"]).astype(str)
    names, counts = np.unique(symbols, return_counts=True)
    chosen = str(names[counts.argmax()])
    return chosen, symbols == chosen


def _described(name: str, values: NDArray[np.float64]) -> dict[str, Any]:
    known = np.isfinite(values)
    kept = values[known]
    some = len(kept) > 0
    return {
        "feature": name,
        "missing": int(len(values) - len(kept)),
        "missing_share": 1 - len(kept) / max(len(values), 1),
        "first_known": int(known.argmax()) if some else None,
        "mean": float(kept.mean()) if some else None,
        "deviation": float(kept.std()) if some else None,
        "smallest": float(kept.min()) if some else None,
        "largest": float(kept.max()) if some else None,
        "distinct_share": len(np.unique(kept)) / len(kept) if some else None,
    }
