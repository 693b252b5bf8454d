"""Anomalies of known size planted into real candles, before any feature is computed."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.models.autoencoder.rows import candle_recipe

__all__ = ["KINDS", "STRETCH", "UNSEEN", "planted_contexts"]

KINDS = ("bad tick", "volatility burst", "frozen price", "wrong order", "volume without range")
"""Those the detector was designed with."""
UNSEEN = ("straight line", "repeated candles")
"""Those that nobody looked at before the last run."""
STRETCH = 12
_TICK, _BURST, _VOLUME = 8.0, 5.0, 20.0
_BEFORE, _SPARE = 240, 8
_COLUMNS = ("open", "high", "low", "close", "volume")
_REAL_PER_PLANTED = 5

Bars = dict[str, NDArray[np.float64]]


def planted_contexts(
    candles: pl.DataFrame, start: dt.datetime, *, window: int, per_kind: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Windows of features after ``start``, real and planted, and the kind of each.

    Of every symbol, ``per_kind`` windows get each kind of anomaly and five times as many stay as they are; which windows and
    where in them is drawn. A window comes with the bars its features look back on, which are left alone.
    """
    rng = np.random.default_rng(seed)
    context = _BEFORE + _SPARE + window
    pieces: list[NDArray[np.float64]] = []
    kinds: list[str] = []
    for symbol in candles["symbol"].unique().sort():
        own = candles.filter(pl.col("symbol") == symbol)
        bars = {name: own[name].to_numpy() for name in _COLUMNS}
        last = np.flatnonzero((own["ts"] >= start).to_numpy())
        last = last[last >= context]
        for kind in ("real",) * _REAL_PER_PLANTED + KINDS + UNSEEN:
            for end in rng.choice(last, per_kind, replace=False):
                piece = {name: values[end - context + 1 : end + 1].copy() for name, values in bars.items()}
                if kind != "real":
                    _plant(kind, piece, window, rng)
                pieces.append(np.column_stack([piece[name] for name in _COLUMNS]))
                kinds.append(kind)
    return _features(np.stack(pieces), window), np.array(kinds)


def _plant(kind: str, bars: Bars, window: int, rng: np.random.Generator) -> None:
    close, begins = bars["close"], len(bars["close"]) - window
    sigma = np.diff(np.log(close[:begins])).std()
    if kind == "bad tick":
        at = begins + rng.integers(1, window - 1)
        factor = np.exp(_TICK * sigma * rng.choice([-1, 1]))
        close[at] *= factor
        bars["open"][at + 1] *= factor
        for where, price in ((at, close[at]), (at + 1, bars["open"][at + 1])):
            bars["high"][where] = max(bars["high"][where], price)
            bars["low"][where] = min(bars["low"][where], price)
        return
    first = begins + rng.integers(1, window - STRETCH + 1)
    stretch = slice(first, first + STRETCH)
    if kind == "volatility burst":
        _burst(bars, first, stretch)
    elif kind == "frozen price":
        for name in ("open", "high", "low", "close"):
            bars[name][stretch] = close[first - 1]
        bars["volume"][stretch] = bars["volume"][first - 1]
    elif kind == "wrong order":
        order = first + rng.permutation(STRETCH)
        for values in bars.values():
            values[stretch] = values[order]
    elif kind == "straight line":
        path = np.exp(np.linspace(np.log(close[first - 1]), np.log(close[stretch.stop - 1]), STRETCH + 1))
        bars["open"][stretch], close[stretch] = path[:-1], path[1:]
        bars["high"][stretch], bars["low"][stretch] = np.maximum(path[:-1], path[1:]), np.minimum(path[:-1], path[1:])
    elif kind == "repeated candles":
        for values in bars.values():
            values[stretch] = np.tile(values[first : first + STRETCH // 3], 3)
    else:
        bars["volume"][stretch] *= _VOLUME ** rng.choice([-1, 1])


def _burst(bars: Bars, first: int, stretch: slice) -> None:
    """Every log move of the stretch, within bars and between them, times a number; later prices keep their moves."""
    before = np.log(bars["close"][first - 1 : stretch.stop - 1])
    moves = {name: np.log(bars[name][stretch]) - before for name in ("open", "high", "low", "close")}
    ended = bars["close"][stretch.stop - 1]
    path = before[0] + np.concatenate(([0.0], np.cumsum(_BURST * moves["close"])))
    for name, move in moves.items():
        bars[name][stretch] = np.exp(path[:-1] + _BURST * move)
        bars[name][stretch.stop :] *= np.exp(path[-1]) / ended


def _features(pieces: NDArray[np.float64], window: int) -> NDArray[np.float32]:
    """Features of many contexts at once, each as a symbol of its own: (contexts, window, columns)."""
    n, context, _ = pieces.shape
    minutes = np.datetime64("2025-01-01", "ms") + np.arange(context) * np.timedelta64(60_000, "ms")
    flat = pieces.reshape(-1, len(_COLUMNS))
    frame = pl.DataFrame(
        {
            "symbol": np.repeat([f"context {i:06d}" for i in range(n)], context),
            "ts": np.tile(minutes, n),
            **{name: flat[:, i] for i, name in enumerate(_COLUMNS)},
        }
    ).with_columns(pl.col("ts").dt.replace_time_zone("UTC"))
    features = candle_recipe(_BEFORE).compute(frame)
    values = features.drop("symbol", "ts", "segment").to_numpy().reshape(n, context, -1)[:, -window:]
    assert np.isfinite(values).all()
    return values.astype(np.float32)
