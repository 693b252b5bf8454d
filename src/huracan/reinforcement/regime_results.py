"""In which states of the market a strategy earned anything, with what time leaves uncertain."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import DataError, ModelError
from huracan.model_info import MarketRegime, RegimeSkill
from huracan.reinforcement.uncertain_means import adjusted_for_all
from huracan.statistics import block_bootstrap, ewc_t_test

__all__ = ["LEAST_MOMENTS", "evidence_of", "regime_table"]

LEAST_MOMENTS = 100
"""Of a regime that was seen at fewer moments nothing is said but its mean."""

_BASIS_POINTS = 10_000.0
_SCHEMA: dict[str, Any] = {
    "regime": pl.String,
    "bars": pl.Int64,
    "moments": pl.Int64,
    "share": pl.Float64,
    **dict.fromkeys(("mean_bps", "mean_low", "mean_high", "bootstrap_low", "bootstrap_high"), pl.Float64),
    **dict.fromkeys(("p_value", "p_adjusted", "n_effective", "exposure", "turnover"), pl.Float64),
}
_INTERVALS = ("mean_low", "mean_high", "bootstrap_low", "bootstrap_high", "p_value", "p_adjusted", "n_effective")


def regime_table(
    bars: pl.DataFrame,
    regimes: pl.DataFrame,
    *,
    tried: int = 1,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """One row a regime that was met, in the order of :class:`~huracan.model_info.MarketRegime`.

    Parameters
    ----------
    bars : ``[symbol, ts, log_return, position, turnover]`` of one strategy, all seeds. regimes : ``[symbol, ts, regime]``,
        known when the bar of ``ts`` has closed, which is when the strategy decides. Bars without a regime are left out.
    tried : evaluations of these data, by which adjusted p-values are multiplied.

    Returns
    -------
    ``[regime, bars, moments, share, mean_bps, mean_low, mean_high, bootstrap_low, bootstrap_high, p_value, p_adjusted,
    n_effective, exposure, turnover]``, see :meth:`huracan.reinforcement.WalkForwardEvaluation.by_regime`.

    Raises
    ------
    DataError : regimes lack a column, or say two things of a bar. ModelError : the bars have no times.
    """
    missing = [name for name in ("symbol", "ts", "regime") if name not in regimes.columns]
    if missing:
        raise DataError(f"regimes lack the column(s) {', '.join(missing)}; symbol, ts and regime were expected.")
    twice = regimes.filter(pl.struct("symbol", "ts").is_duplicated())
    if twice.height:
        raise DataError(f"{twice['symbol'][0]} has more than one regime at {twice['ts'][0]}; one a bar was expected.")
    if bars["ts"].null_count():
        raise ModelError("this market has no times, so its regimes are not known; candles were expected.")
    named = regimes.select("symbol", pl.col("ts").cast(bars.schema["ts"]), pl.col("regime").cast(pl.String))
    known = bars.join(named.drop_nulls(), on=["symbol", "ts"], how="inner", maintain_order="left")
    rows = []
    for regime in MarketRegime:
        own = known.filter(pl.col("regime") == str(regime))
        if own.is_empty():
            continue
        seen = own.select(pl.struct("symbol", "ts").n_unique()).item()
        path = own.group_by("ts").agg(pl.col("log_return").mean()).sort("ts")["log_return"].to_numpy()
        row: dict[str, Any] = {
            "regime": str(regime),
            "bars": seen,
            "moments": len(path),
            "share": own.height / known.height,
            "mean_bps": float(path.mean()) * _BASIS_POINTS,
            "exposure": float((own["position"] != 0).mean()),  # type: ignore[arg-type]
            "turnover": own["turnover"].mean(),
        }
        rows.append(row | _uncertain(path, confidence, resamples, seed))
    tested = [row for row in rows if row["p_value"] is not None]
    for row, adjusted in zip(tested, adjusted_for_all([row["p_value"] for row in tested], tried)):
        row["p_adjusted"] = float(adjusted)
    return pl.DataFrame(rows, schema=_SCHEMA)


def evidence_of(table: pl.DataFrame) -> tuple[RegimeSkill, ...]:
    """What a card says of the regimes of :func:`regime_table`: those that could be tested and in which anything was done.

    ``skill`` and its interval are net log return a bar.
    """
    told = table.filter(pl.col("p_adjusted").is_not_null() & (pl.col("n_effective") > 0))
    return tuple(
        RegimeSkill(
            regime=MarketRegime(row["regime"]),
            skill=row["mean_bps"] / _BASIS_POINTS,
            ci_low=row["mean_low"] / _BASIS_POINTS,
            ci_high=row["mean_high"] / _BASIS_POINTS,
            p_adjusted=row["p_adjusted"],
            n_effective=row["n_effective"],
            n_rows=row["bars"],
        )
        for row in told.iter_rows(named=True)
    )


def _uncertain(path: NDArray[np.float64], confidence: float, resamples: int, seed: int) -> dict[str, float | None]:
    """Intervals in basis points and the p-value of a mean of 0; none where that cannot be said."""
    if len(path) < LEAST_MOMENTS:
        return dict.fromkeys(_INTERVALS)
    if np.ptp(path) == 0.0:  # did nothing there, for sure
        mean = float(path[0]) * _BASIS_POINTS
        return {**dict.fromkeys(_INTERVALS[:4], mean), "p_value": 1.0, "p_adjusted": 1.0, "n_effective": 0.0}
    test = ewc_t_test(path, confidence=confidence)
    drawn = block_bootstrap(path, confidence=confidence, resamples=resamples, seed=seed)
    return {
        "mean_low": test.ci_low * _BASIS_POINTS,
        "mean_high": test.ci_high * _BASIS_POINTS,
        "bootstrap_low": drawn.ci_low * _BASIS_POINTS,
        "bootstrap_high": drawn.ci_high * _BASIS_POINTS,
        "p_value": float(test.p_value),
        "p_adjusted": None,
        "n_effective": float(test.n_effective),
    }
