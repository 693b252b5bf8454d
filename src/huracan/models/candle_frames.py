"""Candles of pandas, for models that read candles."""

from __future__ import annotations

from typing import Any

import polars as pl

__all__ = ["CANDLE_COLUMNS", "as_candles"]

CANDLE_COLUMNS = frozenset({"symbol", "ts", "open", "high", "low", "close", "volume"})


def as_candles(X: Any) -> Any:
    """A pandas frame of candles as a polars one, read and checked as everywhere; anything else as it is.

    >>> from huracan.market import simulate_market
    >>> as_candles(simulate_market(n_bars=300, n_symbols=1, seed=0).candles.to_pandas()).height
    300
    """
    if isinstance(X, pl.DataFrame) or not set(map(str, getattr(X, "columns", ()))) >= CANDLE_COLUMNS:
        return X
    from huracan.market import read_candles

    return read_candles(X)
