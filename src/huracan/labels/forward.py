"""The return of the next h bars, and its sign."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from huracan.errors import DataError
from huracan.labels.grid import DEFAULT_VOLATILITY_SPAN, BarGrid, Weights, label_frame, require_horizon

__all__ = ["forward_return_labels"]


def forward_return_labels(
    candles: pl.DataFrame,
    *,
    horizon: int = 1,
    kind: Literal["log", "simple"] = "log",
    cost_bps: float = 0.0,
    volatility_scaled: bool = False,
    direction: bool = False,
    volatility_span: int = DEFAULT_VOLATILITY_SPAN,
    weights: Weights = "uniform",
) -> pl.DataFrame:
    """Label every bar with what holding from the next open for ``horizon`` bars returns.

    Parameters
    ----------
    candles : canonical candles, sorted by ``(symbol, ts)``.
    horizon : h, in bars; the label runs from ``open[t+1]`` to ``open[t+1+h]`` and ``label_end = ts[t+1+h]``.
    kind : ``"log"`` or ``"simple"`` return.
    cost_bps : cost of the round trip. The return shrinks towards zero by it, ``sign(r) * max(|r| - cost, 0)``: a
        move that does not pay for its costs is no move.
    volatility_scaled : divide by ``volatility * sqrt(h)``; no label where the volatility is not known or zero.
    direction : 1.0 where the (cost-adjusted) return is above zero, else 0.0. With costs, 1 means that buying earned
        money; moves too small to pay their costs are 0 and stay in the sample, for leaving them out would judge a
        model only on bars that are known afterwards to have moved.
    volatility_span : span of the exponentially weighted volatility, in bars; null for the first half span of a segment.
    weights : ``"uniform"`` (1.0) or ``"uniqueness"`` (see :func:`uniqueness_weights`).

    Returns
    -------
    ``[symbol, ts, label, label_end, execution_return, weight, volatility]``, one row for every candle. ``label``,
    ``label_end`` and ``execution_return`` (simple, before costs) are null together where the segment ends too soon.

    Raises
    ------
    CandleError : a price is not finite and positive, or rows are not sorted.
    DataError : a parameter is out of bounds.

    Examples
    --------
    >>> from datetime import datetime, timedelta, timezone
    >>> price = [100.0, 101.0, 102.0, 102.0, 99.96]
    >>> candles = pl.DataFrame({
    ...     "symbol": "A", "ts": [datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(hours=i) for i in range(5)],
    ...     "open": price, "high": price, "low": price, "close": price, "volume": 1.0,
    ... }, schema_overrides={"ts": pl.Datetime("ms", "UTC")})
    >>> labels = forward_return_labels(candles, horizon=1, kind="simple", cost_bps=50)
    >>> labels["execution_return"].round(4).to_list()
    [0.0099, 0.0, -0.02, None, None]
    >>> labels["label"].round(4).to_list()
    [0.0049, 0.0, -0.015, None, None]
    >>> labels["label_end"][0] == candles["ts"][2]
    True
    """
    h = require_horizon(horizon)
    if kind not in ("log", "simple"):
        raise DataError(f"kind is {kind!r}; 'log' or 'simple' was expected.")
    if not (np.isfinite(cost_bps) and cost_bps >= 0):
        raise DataError(f"cost_bps is {cost_bps!r}; a finite number of basis points, 0 or more, was expected.")
    grid = BarGrid.of(candles, volatility_span)
    n = len(grid)
    exit_at = np.arange(n) + 1 + h
    known = np.flatnonzero(exit_at < grid.segment_end)
    ratio = grid.open[known + 1 + h] / grid.open[known + 1]
    execution_return = np.full(n, np.nan)
    execution_return[known] = ratio - 1.0
    moved = np.log(ratio) if kind == "log" else ratio - 1.0
    if cost_bps:
        moved = np.sign(moved) * np.maximum(np.abs(moved) - cost_bps * 1e-4, 0.0)
    if volatility_scaled:
        unit = grid.volatility[known] * np.sqrt(h)
        moved = np.divide(moved, unit, out=np.full(len(known), np.nan), where=unit > 0)
    if direction:
        moved = np.where(np.isnan(moved), np.nan, (moved > 0).astype(np.float64))
    label = np.full(n, np.nan)
    label[known] = moved
    return label_frame(grid, label, exit_at, execution_return, weights)
