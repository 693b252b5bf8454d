"""Sums over known outcomes by stretches of time: small, and all that is left when the rows go."""

from __future__ import annotations

import polars as pl
import sqlalchemy as sa
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
    payoff = pl.col("payoff")
    cost, net = pl.col("cost").fill_null(0.0), pl.col("net_return").fill_null(0.0)
    return (
        known.group_by("version_id", "symbol", "regime", (pl.col("ts") // bucket * bucket).alias("bucket"), maintain_order=True)
        .agg(
            n=pl.len().cast(pl.Int64),
            hits=(payoff > 0.0).sum().cast(pl.Int64),
            answered=payoff.count().cast(pl.Int64),
            vetoed=(pl.col("vetoes") != 0).sum().cast(pl.Int64),
            payoff=payoff.sum(),
            payoff_squared=(payoff * payoff).sum(),
            squared=pl.col("squared").sum(),
            log_loss=pl.col("log_loss").sum(),
            gross=(net + cost).sum(),
            cost=cost.sum(),
            net=net.sum(),
        )
        .select(_COLUMNS)
        .sort(BUCKET_KEY)
    )


def add_to_buckets(connection: sa.Connection, known: pl.DataFrame, bucket: int) -> None:
    """Add outcomes that became known to their buckets; each outcome once in its life."""
    _GROWING[connection.dialect.name].write_rows(connection, sums_of(known, bucket).rows(), _COLUMNS)
