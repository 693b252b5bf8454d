"""Predictions and outcomes of hourly bars, as a Mechanic would write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

HOUR = 3_600_000


def predictions(n: int, *, version: int = 1, symbol: str = "BTC", first: int = 0, **columns: Any) -> pl.DataFrame:
    """What a version said of ``n`` bars from bar ``first`` on, each at the tick at which its bar closed."""
    ts = (first + np.arange(n)) * HOUR
    frame = pl.DataFrame({"ts": ts, "tick": ts + HOUR, "score": np.sin(ts / HOUR + version)})
    said: dict[str, Any] = {"version_id": version, "symbol": symbol, "role": "champion", "regime": "trending", "vetoes": 0}
    return frame.with_columns(**{name: _column(value) for name, value in {**said, **columns}.items()})


def outcomes(n: int, *, version: int = 1, symbol: str = "BTC", first: int = 0, **columns: Any) -> pl.DataFrame:
    """What came of these bars, known one bar after they closed."""
    ts = (first + np.arange(n)) * HOUR
    payoff, net = np.cos(ts / HOUR + version), np.sin(2 * ts / HOUR) / 100
    frame = pl.DataFrame({"ts": ts, "label_end": ts + 2 * HOUR, "tick": ts + 2 * HOUR, "label": np.sin(3 * ts / HOUR)})
    came: dict[str, Any] = {"version_id": version, "symbol": symbol, "state": "known", "execution_return": 0.01, "cost": 0.0005}
    came = {**came, "payoff": payoff, "net_return": net, "squared": payoff**2, **columns}
    return frame.with_columns(**{name: _column(value) for name, value in came.items()})


def _column(value: Any) -> pl.Expr | pl.Series:
    return pl.Series(value) if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) else pl.lit(value)
