"""How much of a label is its own: weights for labels that overlap in time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import DataError

__all__ = ["uniqueness_weights"]


def uniqueness_weights(labels: pl.DataFrame) -> pl.Series:
    """Weigh every label by its average uniqueness, so that overlapping labels do not count twice.

    A label occupies the bars from the one after its decision up to, not including, ``label_end``. The uniqueness of
    a label in a bar is one over the number of labels of its symbol that occupy the bar; its weight is the mean over
    the bars it occupies, scaled so that the labelled rows of each symbol have mean weight 1. Takes O(n) time.

    Parameters
    ----------
    labels : a label frame with one row for every candle, ``[symbol, ts, label_end, ...]``, times increasing within
        each symbol; rows without a label have a null ``label_end``.

    Returns
    -------
    Float64 series ``weight`` in the order of the rows; 0 where there is no label. The scale needs the whole sample:
    weights are for fitting and are never a feature.

    Raises
    ------
    DataError : the times of a symbol do not increase, or a label ends before it starts.

    References
    ----------
    Lopez de Prado, *Advances in Financial Machine Learning* (2018), sections 4.3 and 4.4.

    Examples
    --------
    >>> from datetime import datetime, timedelta, timezone
    >>> day = [datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(days=i) for i in range(6)]
    >>> labels = pl.DataFrame({"symbol": "A", "ts": day, "label_end": [day[3], day[3], None, day[5], None, None]})
    >>> uniqueness_weights(labels).round(3).to_list()
    [1.0, 0.667, 0.0, 1.333, 0.0, 0.0]
    """
    missing = [name for name in ("symbol", "ts", "label_end") if name not in labels.columns]
    if missing:
        raise DataError(f"labels lack the column(s) {', '.join(missing)}; symbol, ts and label_end were expected.")
    weight = np.zeros(labels.height)
    run = labels["symbol"].rle_id().to_numpy()
    edges = np.append(np.flatnonzero(np.diff(run, prepend=-1)), labels.height) if labels.height else np.zeros(1, np.int64)
    if len(edges) - 1 > labels["symbol"].n_unique():
        raise DataError("the rows of a symbol do not stand together; labels sorted by (symbol, ts) were expected.")
    ts = labels["ts"].cast(pl.Datetime("ms", "UTC")).to_physical().to_numpy()
    end = labels["label_end"].cast(pl.Datetime("ms", "UTC")).to_physical()
    known = end.is_not_null().to_numpy()
    end_ms = end.fill_null(0).to_numpy()
    for low, high in pairwise(edges):
        span = slice(int(low), int(high))
        if np.any(np.diff(ts[span]) <= 0):
            row = int(low) + 1 + int(np.argmax(np.diff(ts[span]) <= 0))
            raise DataError(
                f"row {row} of the labels ({labels['symbol'][row]}) is not after the row above it; times must increase."
            )
        weight[span] = _average_uniqueness(ts[span], end_ms[span], known[span], str(labels["symbol"][span.start]))
    return pl.Series("weight", weight)


def _average_uniqueness(
    ts: NDArray[np.int64], end: NDArray[np.int64], known: NDArray[np.bool_], symbol: str
) -> NDArray[np.float64]:
    rows = np.flatnonzero(known)
    start, stop = rows + 1, np.searchsorted(ts, end[rows])
    if np.any(stop <= start):
        row = int(rows[np.argmax(stop <= start)])
        raise DataError(
            f"the label of {symbol} in its row {row} ends before the bar after it has closed; it must occupy a bar."
        )
    n = len(ts)
    concurrency = np.cumsum(np.bincount(start, minlength=n + 1) - np.bincount(stop, minlength=n + 1))[:n]
    share = np.divide(1.0, concurrency, out=np.zeros(n), where=concurrency > 0)
    total = np.concatenate(([0.0], np.cumsum(share)))
    weight = np.zeros(n)
    if len(rows):
        average = (total[stop] - total[start]) / (stop - start)
        weight[rows] = average / average.mean()
    return weight
