"""What a version does live beside what it did out of fold, and whether the difference is more than luck."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from huracan.mlops.live_expectation import LiveExpectation, PromisedMean
from huracan.mlops.performance.reading import LEAST_BUCKETS, LiveMetric, mean_in_time, sum_and_count
from huracan.statistics.multiple_testing import adjust_p_values
from huracan.statistics.sample_checks import never_zero

__all__ = ["beside_backtest"]

_ENOUGH = 50
"""Independent buckets from which on cosines alone see how long a series remembers."""
_UPPER = 1.6448536269514722  # standard deviations to the upper end of 95 %
_MOST_ALIKE = 0.999
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
    buckets : of one version. Each moment counts once in the live figures, as it did out of fold: a week with two symbols weighs
        as much as one with fifty. Within a bucket the symbols weigh by how many outcomes they have.
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
    both = (pl.col(total).sum().cast(pl.Float64), pl.col(count).sum().cast(pl.Float64))
    by_symbol = buckets.group_by("bucket", "symbol").agg(*both)
    summed = by_symbol.group_by("bucket").agg(*both, pl.col(count).max().alias("moments"))
    summed = summed.filter(pl.col(count) > 0).sort("bucket")
    n = int(summed[count].sum())
    row: dict[str, Any] = {**dict.fromkeys(_SCHEMA), "figure": str(metric), "n": n, "note": ""}
    if promised is not None:
        row["promised"] = promised.mean
        row["promised_low"], row["promised_high"] = _ends(*promised.interval(confidence))
    if not n:
        return {**row, "note": "nothing is known live yet"}
    counts = summed["moments"].to_numpy()
    sums = summed[total].to_numpy() / summed[count].to_numpy() * counts
    row["live"] = float(sums.sum() / counts.sum())
    live = mean_in_time(sums, counts, confidence)
    if live is None:
        why = f"{len(summed)} of {LEAST_BUCKETS} buckets" if len(summed) < LEAST_BUCKETS else "a series that cannot be judged"
        return {**row, "note": f"not tested: live there are {why}"}
    remembered, worth = _as_remembered(sums, counts)
    if not live.decidable:
        return {
            **row,
            "note": f"not decidable: {len(summed)} buckets are worth {max(1, round(worth))} that do not hang together",
        }
    error, degrees = float(live.standard_error), float(live.degrees_of_freedom)
    if worth < _ENOUGH:
        error = max(error, remembered)
    known = promised is not None and math.isfinite(promised.error)
    if promised is not None and known:
        as_promised = promised.error * math.sqrt(promised.n / float(counts.sum()))
        if as_promised > error:
            error, degrees = as_promised, float(promised.degrees)
    half = float(stdtrit(degrees, 0.5 + confidence / 2)) * error
    row["live_low"], row["live_high"] = row["live"] - half, row["live"] + half
    if promised is None:
        return {**row, "note": "not tested: the version promised nothing"}
    row["difference"] = row["live"] - promised.mean
    if not known:
        return {**row, "note": "not tested: what was promised cannot be judged"}
    one, other = error**2, promised.error**2
    degrees = (one + other) ** 2 / (one**2 / degrees + other**2 / promised.degrees)  # Satterthwaite
    error = math.sqrt(one + other)
    half = float(stdtrit(degrees, 0.5 + confidence / 2)) * error
    row["low"], row["high"] = row["difference"] - half, row["difference"] + half
    row["p_value"] = float(never_zero(2.0 * stdtr(degrees, -abs(row["difference"]) / error)))
    return row


def _as_remembered(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[float, float]:
    """The error of the mean of few buckets that remember as long as they well may, and how many independent ones that is.

    A short series looks as if it forgot sooner than it does, and steadier than it is. So the first autocorrelation is set right
    for its bias (Kendall 1954), and its 95 % upper end taken; the variance is set right for what the mean takes along.
    """
    n = len(sums)
    series = (sums - sums.sum() / counts.sum() * counts) / counts.mean()
    series = series - series.mean()
    variance = float(series @ series) / n
    alike = float(series[1:] @ series[:-1]) / (n * variance)
    alike += (1.0 + 3.0 * alike) / n
    alike += _UPPER * math.sqrt(max(1.0 - alike * alike, 1.0 / n) / n)
    times = (1.0 + min(max(alike, 0.0), _MOST_ALIKE)) / (1.0 - min(max(alike, 0.0), _MOST_ALIKE))
    return math.sqrt(variance / (1.0 - min(0.8, times / n)) * times / n), n / times


def _ends(low: float, high: float) -> tuple[float | None, float | None]:
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)
