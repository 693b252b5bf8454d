"""Funding rates beside the bars they fall due in."""

from __future__ import annotations

import polars as pl

from huracan.errors import CandleError
from huracan.market.schema import written_time

__all__ = ["FUNDING_SCHEMA", "add_funding", "require_rates"]

FUNDING_SCHEMA = pl.Schema({"symbol": pl.String(), "ts": pl.Datetime("ms", "UTC"), "funding_rate": pl.Float64()})
"""Columns of funding rates; ``ts`` is when the rate falls due."""


def require_rates(rates: pl.DataFrame) -> None:
    """Refuse rates that are missing or not finite."""
    bad = rates.filter(~pl.col("funding_rate").is_finite().fill_null(False))
    if bad.height:
        symbol, ts, rate = bad.row(0)
        when = written_time(round(ts.timestamp() * 1000))
        said = "missing" if rate is None else rate
        raise CandleError(
            f"{symbol}: the funding rate at {when} is {said} ({bad.height} such rows); a finite rate was expected."
        )


def add_funding(candles: pl.DataFrame, rates: pl.DataFrame, bar_ms: int) -> pl.DataFrame:
    """Add ``funding_rate``: the sum of the rates due in ``[ts, ts + bar)``, null where none is."""
    bars = candles.select("symbol", pl.col("ts").alias("bar_open"))
    due = rates.sort("ts").join_asof(
        bars.sort("bar_open"), left_on="ts", right_on="bar_open", by="symbol", check_sortedness=False
    )
    due = due.filter(pl.col("ts") < pl.col("bar_open") + pl.duration(milliseconds=bar_ms))
    summed = due.group_by("symbol", pl.col("bar_open").alias("ts"), maintain_order=True).agg(pl.col("funding_rate").sum())
    return candles.join(summed, on=["symbol", "ts"], how="left", maintain_order="left")
