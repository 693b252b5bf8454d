"""Earlier values of ready columns, never across a gap or from another symbol."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from huracan.errors import FeatureError

__all__ = ["with_lags"]

_KEYS = ("symbol", "ts", "segment")


def with_lags(features: pl.DataFrame, bars: Sequence[int], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Add to a feature frame each column (or each of ``columns``) as it was so many bars earlier.

    Parameters
    ----------
    features : ``[symbol, ts, segment, features...]``, sorted by ``(symbol, ts)``.
    bars : positive numbers of bars.
    columns : names; all features where None.

    Returns
    -------
    The frame with columns ``NAME__lag_K`` added; null where the earlier bar lies before the segment.

    Raises
    ------
    FeatureError : a column is not there, or a lag is not a positive whole number (a lead would look ahead).

    Examples
    --------
    >>> frame = pl.DataFrame({"symbol": ["A", "A", "B"], "ts": [1, 2, 1], "segment": [0, 0, 0], "x": [1.0, 2.0, 3.0]})
    >>> with_lags(frame, [1])["x__lag_1"].to_list()
    [None, 1.0, None]
    """
    for key in ("symbol", "segment"):
        if key not in features.columns:
            raise FeatureError(f"column '{key}' is missing; lags are taken within a symbol and segment.")
    names = [c for c in features.columns if c not in _KEYS] if columns is None else list(columns)
    unknown = [c for c in names if c not in features.columns]
    if unknown:
        raise FeatureError(f"column '{unknown[0]}' is not among {', '.join(features.columns)}.")
    for k in bars:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise FeatureError(f"lag {k!r} was given; a whole number of bars from 1 was expected.")
    return features.with_columns(
        pl.col(name).shift(k).over("symbol", "segment").alias(f"{name}__lag_{k}") for k in bars for name in names
    )
