"""How often the autoencoder's alarm rings on windows like those it was fitted on, against the share that it tells."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.signal import lfilter

from huracan.catalogue import build_model

__all__ = ["CLAIMS", "PROCESSES", "by_span", "on_unchanged_rows"]

CLAIMS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
COLUMNS, FRESH, APART = 3, 20_000, 2_000


def _independent(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.standard_normal((n, COLUMNS))


def _volatile(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Returns of common stochastic volatility: its logarithm is an autoregression of .98 and standard deviation .5."""
    log_volatility = lfilter([0.5 * np.sqrt(1.0 - 0.98**2)], [1.0, -0.98], rng.standard_normal(n + 1_000))[1_000:]
    return rng.standard_normal((n, COLUMNS)) * np.exp(log_volatility)[:, None]


PROCESSES: Mapping[str, Callable[[int, np.random.Generator], NDArray[np.float64]]] = {
    "independent rows": _independent,
    "stochastic volatility": _volatile,
}


def on_unchanged_rows(process: str, n: int, fits: int) -> tuple[list[float], list[float], float]:
    """For each of :data:`CLAIMS` the share of fresh windows that are told it or less: mean of all fits, and of the worst fit;
    and the median of the least share that a fit tells.
    """
    rate, least = [], []
    for seed in range(fits):
        rows = PROCESSES[process](n + APART + FRESH, np.random.default_rng(seed)).astype(np.float32)
        model = build_model("autoencoder", random_state=seed).fit(rows[:n])
        told = model.anomaly_share(rows[n + APART :])[model.window - 1 :]
        rate.append([float((told <= claim).mean()) for claim in CLAIMS])
        least.append(model.shares_.least)
    found = np.array(rate)
    return found.mean(axis=0).tolist(), found.max(axis=0).tolist(), float(np.median(least))


def by_span(model: Any, candles: pl.DataFrame, spans: Mapping[str, tuple[dt.datetime, dt.datetime]]) -> dict[str, list[Any]]:
    """Span -> days, windows, for each of :data:`CLAIMS` the share of windows told it or less, and at the third the alarms a
    coin and week: windows that ring less than a window's length after another of their coin belong to its alarm.
    """
    judged = candles.select("symbol", "ts").with_columns(share=pl.Series(model.anomaly_share(candles)))
    step = judged.select(pl.col("ts").diff().over("symbol").mode().first()).item()
    found: dict[str, list[Any]] = {}
    for name, (start, stop) in spans.items():
        own = judged.filter(pl.col("ts").is_between(start, stop, closed="left") & pl.col("share").is_not_nan())
        told = own["share"].to_numpy()
        days = (own["ts"].max() - own["ts"].min()) / dt.timedelta(days=1)  # type: ignore[operator]
        ringing = own.filter(pl.col("share") <= CLAIMS[2])
        since = ringing.select(pl.col("ts").diff().over("symbol").fill_null(model.window * step) >= model.window * step)
        alarms = int(since.to_series().sum())
        weekly = 7.0 * alarms / days / own["symbol"].n_unique()
        found[name] = [round(days), len(told), [float((told <= claim).mean()) for claim in CLAIMS], weekly]
    return found
