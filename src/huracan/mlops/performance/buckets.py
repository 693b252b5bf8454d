"""Sums over known outcomes by stretches of time: small, and all that is left when the rows go."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.dialects import postgresql, sqlite

from huracan.registry.statements import Statement
from huracan.storage.feedback_tables import live_buckets

__all__ = ["BUCKET_KEY", "BUCKET_SUMS", "add_to_buckets", "sums_of"]

BUCKET_KEY: tuple[str, ...] = tuple(column.name for column in live_buckets.primary_key.columns)
BUCKET_SUMS: tuple[str, ...] = tuple(column.name for column in live_buckets.columns if column.name not in BUCKET_KEY)
_COLUMNS = (*BUCKET_KEY, *BUCKET_SUMS)


def _growing(dialect: str) -> Statement:
    made = (sqlite if dialect == "sqlite" else postgresql).insert(live_buckets)
    sums = {name: live_buckets.c[name] + made.excluded[name] for name in BUCKET_SUMS}
    return Statement(made.on_conflict_do_update(index_elements=list(BUCKET_KEY), set_=sums), _COLUMNS)


_GROWING = {dialect: _growing(dialect) for dialect in ("sqlite", "postgresql")}


def sums_of(known: pl.DataFrame, bucket: int) -> pl.DataFrame:
    """The sums of outcomes that became known, one row a version, symbol, regime and bucket.

    Parameters
    ----------
    known : outcomes with ``regime`` and ``vetoes`` of their predictions. bucket : length in milliseconds.

    Returns
    -------
    Columns of ``live_buckets``: ``n`` outcomes, of which ``answered`` have a payoff (the others count in what was earned
    alone), ``hits`` a positive one, and ``vetoed`` a veto; sums of payoff, its square, squared and log loss, and of what the
    position earned before (``gross``) and after (``net``) costs.
    """
    places: dict[tuple[object, ...], int] = {}
    starts = (known["ts"] // bucket * bucket).to_list()
    keys = zip(known["version_id"].to_list(), known["symbol"].to_list(), known["regime"].to_list(), starts)
    at = np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.intp)

    def added(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(
            np.bincount(at, values, len(places)), dtype=np.float64
        )  # one after the other: the same bits on every machine

    payoff = known["payoff"].to_numpy()
    answered = ~np.isnan(payoff)
    cost, net, squared, log_loss = (
        np.nan_to_num(known[name].to_numpy()) for name in ("cost", "net_return", "squared", "log_loss")
    )
    counts = {"n": np.ones(len(at)), "hits": payoff > 0.0, "answered": answered, "vetoed": known["vetoes"].to_numpy() != 0}
    payoff = np.where(answered, payoff, 0.0)
    sums = {"payoff": payoff, "payoff_squared": payoff * payoff, "squared": squared, "log_loss": log_loss}
    sums |= {"gross": net + cost, "cost": cost, "net": net}
    columns: dict[str, NDArray[Any]] = {
        name: added(values.astype(np.float64)).astype(np.int64) for name, values in counts.items()
    }
    columns |= {name: added(values) for name, values in sums.items()}
    frame = pl.DataFrame(list(places), schema=[(name, known.schema.get(name, pl.Int64)) for name in BUCKET_KEY], orient="row")
    return frame.hstack(pl.DataFrame(columns)).select(_COLUMNS).sort(BUCKET_KEY)


def add_to_buckets(connection: sa.Connection, known: pl.DataFrame, bucket: int) -> None:
    """Add outcomes that became known to their buckets; each outcome once in its life."""
    _GROWING[connection.dialect.name].write_rows(connection, sums_of(known, bucket).rows(), _COLUMNS)
