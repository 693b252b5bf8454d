"""What a version does live beside what it did out of fold, and whether the difference is more than luck."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
from scipy.special import stdtr, stdtrit

from huracan.mlops.live_expectation import LiveExpectation, PromisedMean
from huracan.mlops.performance.reading import LEAST_BUCKETS, LiveMetric, mean_in_time, sum_and_count
from huracan.statistics.multiple_testing import adjust_p_values
from huracan.statistics.sample_checks import never_zero

__all__ = ["beside_backtest"]

_NUMBERS = ("live", "live_low", "live_high", "promised", "promised_low", "promised_high", "difference", "low", "high")
_SCHEMA: dict[str, Any] = {
    "figure": pl.String,
    **dict.fromkeys(_NUMBERS, pl.Float64),
    "p_value": pl.Float64,
    "p_adjusted": pl.Float64,
    "n": pl.Int64,
    "note": pl.String,
}


def beside_backtest(buckets: pl.DataFrame, promised: LiveExpectation | None, *, confidence: float = 0.95) -> pl.DataFrame:
    """Skill and net return a bar, live and promised; see :meth:`huracan.mlops.PerformanceStore.against_backtest`.

    Parameters
    ----------
    buckets : of one version.
    """
    skill, net = (None, None) if promised is None else (promised.skill, promised.net)
    figures = ((LiveMetric.SKILL, skill), (LiveMetric.NET, net))
    rows = [_row(buckets, metric, of, confidence) for metric, of in figures]
    tested = [row for row in rows if row["p_value"] is not None]
    if tested:
        for row, adjusted in zip(tested, adjust_p_values([row["p_value"] for row in tested], method="holm")):
            row["p_adjusted"] = float(adjusted)
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _row(buckets: pl.DataFrame, metric: LiveMetric, promised: PromisedMean | None, confidence: float) -> dict[str, Any]:
    total, count = sum_and_count(metric)
    summed = buckets.group_by("bucket").agg(pl.col(total).sum().cast(pl.Float64), pl.col(count).sum().cast(pl.Float64))
    summed = summed.filter(pl.col(count) > 0).sort("bucket")
    n = int(summed[count].sum())
    row: dict[str, Any] = {**dict.fromkeys(_SCHEMA), "figure": str(metric), "n": n, "note": ""}
    if promised is not None:
        row["promised"] = promised.mean
        row["promised_low"], row["promised_high"] = _ends(*promised.interval(confidence))
    if not n:
        return {**row, "note": "nothing is known live yet"}
    row["live"] = float(summed[total].sum()) / n
    live = mean_in_time(summed[total].to_numpy(), summed[count].to_numpy(), confidence)
    if live is None or not live.decidable:
        why = f"{len(summed)} of {LEAST_BUCKETS} buckets" if len(summed) < LEAST_BUCKETS else "a series that cannot be judged"
        return {**row, "note": f"not tested: live there are {why}"}
    row["live_low"], row["live_high"] = live.ci_low, live.ci_high
    if promised is None:
        return {**row, "note": "not tested: the version promised nothing"}
    row["difference"] = row["live"] - promised.mean
    if not math.isfinite(promised.error):
        return {**row, "note": "not tested: what was promised cannot be judged"}
    one, other = live.standard_error**2, promised.error**2
    degrees = (one + other) ** 2 / (one**2 / live.degrees_of_freedom + other**2 / promised.degrees)  # Satterthwaite
    error = math.sqrt(one + other)
    half = float(stdtrit(degrees, 0.5 + confidence / 2)) * error
    row["low"], row["high"] = row["difference"] - half, row["difference"] + half
    row["p_value"] = float(never_zero(2.0 * stdtr(degrees, -abs(row["difference"]) / error)))
    return row


def _ends(low: float, high: float) -> tuple[float | None, float | None]:
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)
