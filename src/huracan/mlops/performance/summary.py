"""What there is of each version, ever: how many outcomes, their means, and those that did not come or came otherwise."""

from __future__ import annotations

from typing import Any

import polars as pl
import sqlalchemy as sa

from huracan.mlops.performance.ownership import versions_of
from huracan.mlops.performance.reading import LiveMetric, read_buckets, sum_and_count
from huracan.storage.feedback_tables import live_outcomes, live_predictions

__all__ = ["summary"]

_SCOPE = ("version_id", "symbol", "regime")
_MEANS = (LiveMetric.SKILL, LiveMetric.HIT_RATE, LiveMetric.NET, LiveMetric.COST)
_STATES = ("pending", "never", "revised")


def summary(connection: sa.Connection, name: str) -> pl.DataFrame:
    """One row a version, symbol and regime; see :meth:`huracan.mlops.PerformanceStore.summary`."""
    counts, sums = ("n", "answered", "vetoed"), {metric: sum_and_count(metric) for metric in _MEANS}
    needed = list(dict.fromkeys((*counts, *(column for pair in sums.values() for column in pair))))
    added = read_buckets(connection, name).group_by(_SCOPE).agg(pl.col(needed).sum())
    means = {str(metric): pl.col(total) / pl.when(pl.col(of) > 0).then(pl.col(of)) for metric, (total, of) in sums.items()}
    states = _by_state(connection, name)
    found = added.with_columns(**means).select(*_SCOPE, *counts, *means)
    found = found.join(states, on=_SCOPE, how="full", coalesce=True)
    return found.with_columns(pl.col(*counts, *_STATES).fill_null(0)).sort(_SCOPE)


def _by_state(connection: sa.Connection, name: str) -> pl.DataFrame:
    """How many predictions that are still kept are in each of three states."""
    said, came = live_predictions.c, live_outcomes.c
    same = sa.and_(*(said[key] == came[key] for key in ("version_id", "symbol", "ts")))
    state = sa.func.coalesce(came.state, "pending")
    counted = [sa.func.sum(sa.case((state == one, 1), else_=0)).label(one) for one in _STATES]
    scope = [said[key] for key in _SCOPE]
    rows = live_predictions.outerjoin(live_outcomes, same)
    asked = sa.select(*scope, *counted).select_from(rows).where(versions_of(said.version_id)).group_by(*scope)
    found = connection.execute(asked, {"name": name}).all()
    schema: dict[str, Any] = {
        "version_id": pl.Int64,
        "symbol": pl.String,
        "regime": pl.String,
        **dict.fromkeys(_STATES, pl.Int64),
    }
    return pl.DataFrame([tuple(row) for row in found], schema=schema, orient="row")
