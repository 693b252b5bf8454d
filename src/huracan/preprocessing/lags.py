"""Earlier values of ready columns, as views of them, never across a gap or from another symbol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral

import polars as pl

from huracan.errors import FeatureError
from huracan.preprocessing.columns import MOST_VIEWS
from huracan.preprocessing.compute import segment_bounds
from huracan.preprocessing.frames import KEYS

__all__ = ["chosen_columns", "ordered_bounds", "with_lags"]


def with_lags(
    features: pl.DataFrame, bars: Sequence[int], columns: Sequence[str] | None = None, *, materialise: bool = False
) -> pl.DataFrame:
    """Add to a feature frame each column (or each of ``columns``) as it was so many bars earlier.

    Parameters
    ----------
    features : ``[symbol, ts, segment, features...]``, sorted by ``(symbol, ts)``; ``ts`` may be absent.
    bars : positive numbers of bars.
    columns : names; all features where None.
    materialise : copy each lag into one piece of memory of its own, for tools that need it. By default a lag is the column's
        own memory read further up, in two pieces a segment; in more than 128 segments it is a copy all the same.

    Returns
    -------
    The frame with columns ``NAME__lag_K`` added; null where the earlier bar lies before the segment.

    Raises
    ------
    FeatureError : a column is not there, a lag is not a positive whole number (a lead would look ahead), or rows of a symbol
        and segment are not together and in the order of time.

    Examples
    --------
    >>> frame = pl.DataFrame({"symbol": ["A", "A", "B"], "ts": [1, 2, 1], "segment": [0, 0, 0], "x": [1.0, 2.0, 3.0]})
    >>> with_lags(frame, [1])["x__lag_1"].to_list()
    [None, 1.0, None]
    """
    names = chosen_columns(features, columns, "lags are")
    if not isinstance(bars, Iterable):
        raise FeatureError(f"bars is {bars!r}; a list of lags was expected, such as [1, 2, 3].")
    lags = list(bars)
    for k in lags:
        if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
            raise FeatureError(f"lag {k!r} was given; a whole number of bars from 1 was expected.")
    bounds = ordered_bounds(features)
    copied = materialise or 2 * len(bounds) > MOST_VIEWS
    return features.with_columns(
        _earlier(features[name], int(k), bounds, copied).alias(f"{name}__lag_{k}") for k in lags for name in names
    )


def _earlier(column: pl.Series, bars: int, bounds: Sequence[tuple[int, int]], copied: bool) -> pl.Series:
    pieces = []
    for start, stop in bounds:
        empty = min(bars, stop - start)
        pieces += [column.clear(empty), column.slice(start, stop - start - empty)]
    return pl.concat(pieces, rechunk=copied) if pieces else column


def chosen_columns(features: pl.DataFrame, columns: Sequence[str] | None, what: str) -> list[str]:
    """Names of the features to work on; ``FeatureError`` where this is no feature frame or has no such column."""
    if not isinstance(features, pl.DataFrame):
        raise FeatureError(f"a {type(features).__name__} was given; a polars frame of features was expected.")
    for key in ("symbol", "segment"):
        if key not in features.columns:
            raise FeatureError(f"column '{key}' is missing; {what} taken within a symbol and segment.")
    if isinstance(columns, str):
        raise FeatureError(f"columns is the text '{columns}'; a list of names was expected.")
    names = [c for c in features.columns if c not in KEYS] if columns is None else list(columns)
    unknown = [c for c in names if c not in features.columns]
    if unknown:
        raise FeatureError(f"column '{unknown[0]}' is not among {', '.join(features.columns)}.")
    return names


def ordered_bounds(features: pl.DataFrame) -> list[tuple[int, int]]:
    """First row and end of every symbol and segment; ``FeatureError`` where one is torn apart or goes back in time."""
    bounds = segment_bounds(features)
    starts = [start for start, _ in bounds]
    heads = features.select("symbol", "segment")[starts]
    if heads.is_duplicated().any():
        row = starts[int(heads.select(~pl.struct(pl.all()).is_first_distinct()).to_series().arg_max() or 0)]
        raise FeatureError(
            f"row {row} ({features['symbol'][row]}, segment {features['segment'][row]}) stands apart from the rows of its "
            "symbol and segment; a frame sorted by symbol and time was expected."
        )
    if "ts" in features.columns:
        back = (features["ts"] <= features["ts"].shift(1)).fill_null(True).to_numpy().copy()
        back[starts] = False
        if back.any():
            row = int(back.argmax())
            raise FeatureError(
                f"row {row} ({features['symbol'][row]}, {features['ts'][row]}) does not come after the row before it; a frame "
                "sorted by symbol and time was expected."
            )
    return bounds
