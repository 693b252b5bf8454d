"""From sums to figures: means in moving windows with bands that hold under dependence, and what there is of each version."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray

from huracan.errors import DataError, nearest_name
from huracan.mlops.performance.ownership import versions_of
from huracan.mlops.performance.rows import schema_of
from huracan.registry.statements import Statement
from huracan.statistics.ewc import EwcTest, ewc_t_test
from huracan.storage.feedback_tables import live_buckets

__all__ = ["LEAST_BUCKETS", "LiveMetric", "mean_in_time", "read_buckets", "rolling", "sum_and_count"]

LEAST_BUCKETS = 20
"""Buckets that a window must have for a band."""

_SCOPE = ("version_id", "symbol", "regime")


class LiveMetric(StrEnum):
    """Means over outcomes: of those with an answer, or (``net``, ``gross``, ``cost``, ``answered``, ``vetoed``) of all.

    ``skill`` : payoff. ``hit_rate`` : share of positive payoffs. ``squared``, ``log_loss`` : losses. ``net``, ``gross`` : what
    the position earned in a bar after and before ``cost``. ``answered``, ``vetoed`` : shares.
    """

    SKILL = "skill"
    HIT_RATE = "hit_rate"
    SQUARED = "squared"
    LOG_LOSS = "log_loss"
    NET = "net"
    GROSS = "gross"
    COST = "cost"
    ANSWERED = "answered"
    VETOED = "vetoed"


_SUM_AND_COUNT: dict[LiveMetric, tuple[str, str]] = {
    LiveMetric.SKILL: ("payoff", "answered"),
    LiveMetric.HIT_RATE: ("hits", "answered"),
    LiveMetric.SQUARED: ("squared", "answered"),
    LiveMetric.LOG_LOSS: ("log_loss", "answered"),
    LiveMetric.NET: ("net", "n"),
    LiveMetric.GROSS: ("gross", "n"),
    LiveMetric.COST: ("cost", "n"),
    LiveMetric.ANSWERED: ("answered", "n"),
    LiveMetric.VETOED: ("vetoed", "n"),
}
_BUCKETS = Statement(
    sa.select(*live_buckets.columns)
    .where(versions_of(live_buckets.c.version_id))
    .where(live_buckets.c.bucket >= sa.bindparam("since", type_=sa.BigInteger))
    .where(live_buckets.c.bucket < sa.bindparam("until", type_=sa.BigInteger))
    .order_by(*live_buckets.primary_key.columns)
)
_EVER = 2**62


def read_buckets(connection: sa.Connection, name: str, *, since: int = 0, until: int = _EVER) -> pl.DataFrame:
    """Sums of the versions of a name; ``since`` and ``until`` are starts of buckets."""
    rows = _BUCKETS(connection, name=name, since=since, until=until)
    return pl.DataFrame(rows, schema=schema_of(live_buckets.columns), orient="row")


def sum_and_count(metric: LiveMetric | str) -> tuple[str, str]:
    """The columns of a bucket whose quotient is the metric."""
    if metric not in _SUM_AND_COUNT:
        raise nearest_name(str(metric), map(str, LiveMetric), kind="live metric")
    return _SUM_AND_COUNT[LiveMetric(metric)]


def rolling(
    buckets: pl.DataFrame,
    metric: LiveMetric | str,
    window: int,
    length: int,
    *,
    by: Sequence[str],
    confidence: float,
    every: int | None = None,
) -> pl.DataFrame:
    """A metric in moving windows that end with each bucket; see :meth:`huracan.mlops.PerformanceStore.rolling`.

    Parameters
    ----------
    buckets : of :func:`read_buckets`. window, length : of a window and of a bucket, milliseconds.
    """
    total, count = sum_and_count(metric)
    unknown = [name for name in by if name not in _SCOPE]
    if unknown:
        raise DataError(f"'{unknown[0]}' is no scope; some of {', '.join(_SCOPE)} were expected.")
    if window < length:
        raise DataError(f"the window is {window} ms long; at least one bucket of {length} ms was expected.")
    if every is not None and every < length:
        raise DataError(f"windows are to end every {every} ms; at least one bucket of {length} ms was expected.")
    if metric in (LiveMetric.SQUARED, LiveMetric.LOG_LOSS):
        buckets = buckets.filter(pl.col(total) > 0.0)  # a sum of 0 is that of a version without forecast or probability
    sums = (pl.col(total).sum().cast(pl.Float64).alias("sum"), pl.col(count).sum().alias("count"))
    summed = buckets.group_by(*by, "bucket").agg(sums).sort(*by, "bucket")
    groups = summed.partition_by(*by, maintain_order=True) if by else [summed]
    alone = 1.0 - (1.0 - confidence) / max(1, len(groups))  # Bonferroni: together at the level asked for
    parts = [_rolled(group, by, window, length, alone, every or length) for group in groups or [summed]]
    return pl.concat(parts)


def mean_in_time(sums: NDArray[np.float64], counts: NDArray[np.float64], confidence: float = 0.95) -> EwcTest | None:
    """The mean of what was summed, ``sum(sums) / sum(counts)``, tested as the mean of a dependent series.

    Buckets hold different numbers of outcomes, so the mean is a quotient; it varies as the mean of
    ``(sums - mean * counts) / mean(counts)`` does (linearised).

    Parameters
    ----------
    sums, counts : (n,) or (repetitions, n) in time order, with something counted.

    Returns
    -------
    ``None`` where there are fewer than 20 buckets, or they do not vary.
    """
    many = np.atleast_2d(sums)
    counted = np.broadcast_to(np.atleast_2d(counts), many.shape)
    if many.shape[1] < LEAST_BUCKETS:
        return None
    mean = many.sum(axis=1, keepdims=True) / counted.sum(axis=1, keepdims=True)
    series = (many - mean * counted) / counted.mean(axis=1, keepdims=True) + mean
    try:
        return ewc_t_test(series if np.ndim(sums) == 2 else series[0], confidence=confidence)
    except DataError:  # it does not vary, or not at low frequencies
        return None


def _rolled(group: pl.DataFrame, by: Sequence[str], window: int, length: int, confidence: float, every: int) -> pl.DataFrame:
    """One group's windows; of the buckets between two ends of ``every`` only the last has one, and the newest always."""
    starts = group["bucket"].to_numpy()
    sums, counts = group["sum"].to_numpy(), group["count"].to_numpy().astype(np.float64)
    last = np.flatnonzero(np.diff((starts + length - 1) // every, append=np.iinfo(np.int64).max))
    until = starts[last] + length
    first = np.searchsorted(starts, until - window, side="left")
    ends = last + 1
    over = ends - first
    total, count = (np.concatenate([[0.0], np.cumsum(values)]) for values in (sums, counts))
    n = count[ends] - count[first]
    value = np.divide(total[ends] - total[first], n, out=np.full(len(n), np.nan), where=n > 0)
    low, high = np.full(len(n), np.nan), np.full(len(n), np.nan)
    for size in np.unique(over[over >= LEAST_BUCKETS]):
        rows = np.flatnonzero((over == size) & (n > 0))
        taken = first[rows][:, None] + np.arange(size)
        for some, tested in _tested(sums[taken], counts[taken], rows, confidence):
            low[some], high[some] = tested.ci_low, tested.ci_high
    banded = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(banded, low, np.nan), np.where(banded, high, np.nan)
    columns = {"from": until - window, "until": until, "value": value, "low": low, "high": high, "n": n.astype(np.int64)}
    found = pl.DataFrame(columns).with_columns(pl.col("value", "low", "high").fill_nan(None))
    return pl.DataFrame([*group[last].select(by).get_columns(), *found.get_columns()])


def _tested(
    sums: NDArray[np.float64], counts: NDArray[np.float64], rows: NDArray[np.intp], confidence: float
) -> list[tuple[Any, EwcTest]]:
    """The test of every window at once; where one of them does not vary, one by one."""
    together = mean_in_time(sums, counts, confidence) if len(rows) else None
    if together is not None:
        return [(rows, together)]
    alone = [(row, mean_in_time(some, of, confidence)) for row, some, of in zip(rows, sums, counts)]
    return [(row, tested) for row, tested in alone if tested is not None]
