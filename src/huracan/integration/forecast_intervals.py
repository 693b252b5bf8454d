"""How sure the forecasts of a run were: adaptive conformal intervals of what was said out of fold, and whether they held."""

from __future__ import annotations

import numpy as np
import polars as pl

from huracan.ensembles import AdaptiveConformal
from huracan.integration.evidence import Evidence

__all__ = ["LEVEL", "forecast_intervals"]

LEVEL = 0.9
"""Share of labels that shall lie in their interval."""
_MOST_ROWS = 200_000
"""Newest rows that are gone through, one after the other."""
_SCHEMA = {"symbol": pl.String, "year": pl.Int64, "rows": pl.Int64, "coverage": pl.Float64, "mean_width": pl.Float64}


def forecast_intervals(evidence: Evidence, name: str) -> pl.DataFrame:
    """``[symbol, year, rows, coverage, mean_width]`` of 90 % intervals around the out-of-fold forecasts of a learner.

    An interval knows the labels that ended before its decision, symbol by symbol; what is forecast is the label, less the level
    that a model forecast on its training rows. ``mean_width`` is in the unit of the label. No rows for a learner of classes,
    which forecasts no label. Of more than 200,000 rows the newest count.
    """
    run, at = evidence.runs[name], evidence.plan.judged[-_MOST_ROWS:]
    if run.task != "regression" or not len(at):
        return pl.DataFrame(schema=_SCHEMA)
    rows = evidence.plan.rows
    made = AdaptiveConformal(level=LEVEL).run(
        run.score[at], rows.y[at], rows.label_end[at], decision_time=rows.decision_time[at], group=rows.symbol_code[at]
    )
    frame = pl.DataFrame(
        {
            "symbol": np.array(rows.symbols)[rows.symbol_code[at]].astype(str),
            "year": rows.decision_time[at].astype("M8[Y]").astype(np.int64) + 1970,
            "covered": made.covered,
            "width": made.high - made.low,
        }
    ).filter(pl.Series(made.counted))
    grouped = frame.group_by("symbol", "year").agg(
        rows=pl.len().cast(pl.Int64), coverage=pl.col("covered").mean(), mean_width=pl.col("width").mean()
    )
    return grouped.sort("symbol", "year").select(list(_SCHEMA)).cast(_SCHEMA)  # type: ignore[arg-type]
