"""Indicators that TA-Lib has: its values from the first valid bar on, bit for bit, or better for a reason that is stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib

from huracan.preprocessing.indicators import Bars, get_indicator
from huracan.preprocessing.indicators.from_talib import ORACLES, Oracle

Columns = dict[str, np.ndarray]

EXACT = sorted(name for name, oracle in ORACLES.items() if not oracle.difference)
EDGES: dict[str, tuple[dict[str, float], ...]] = {
    "macd": ({"fast": 2, "slow": 3, "signal": 1}, {"fast": 50, "slow": 400, "signal": 90}),
    "stochastic": ({"window": 2, "smooth": 1, "signal": 1}, {"window": 300, "smooth": 20, "signal": 7}),
    "stochastic_rsi": ({"window": 2, "range_window": 2, "signal": 1}, {"window": 100, "range_window": 300, "signal": 9}),
    "kdj": ({"window": 2, "smooth": 1, "signal": 1}, {"window": 200, "smooth": 20, "signal": 30}),
    "bollinger": ({"window": 2, "deviations": 1.0}, {"window": 500, "deviations": 2.5}),
    "keltner": ({"window": 2, "range_window": 1, "multiplier": 1.0}, {"window": 300, "range_window": 200, "multiplier": 0.5}),
    "ultimate_oscillator": ({"short": 2, "medium": 3, "long": 4}, {"short": 50, "medium": 100, "long": 400}),
    "t3": ({"window": 2, "volume_factor": 0.0}, {"window": 60, "volume_factor": 1.0}),
    "parabolic_sar": ({"acceleration": 0.001, "maximum": 0.5},),
    "supertrend": ({"window": 2, "multiplier": 0.1}, {"window": 200, "multiplier": 5.0}),
    "true_strength_index": ({"slow": 2, "fast": 2}, {"slow": 200, "fast": 100}),
    "coppock": ({"window": 2, "short": 1, "long": 2}, {"window": 100, "short": 50, "long": 200}),
    "stochastic_momentum_index": ({"window": 2, "fast": 2, "slow": 3, "signal": 2}, {"window": 99, "slow": 200, "signal": 30}),
}
"""Parameters at their bounds and far out; an indicator not listed is tried with windows 2 and 500 (fast 2, slow 500)."""


def walk(n: int = 3_000, seed: int = 0, start: float = 100.0, sigma: float = 0.004) -> Columns:
    """A random walk of candles with gaps between bars and fat tails."""
    rng = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(rng.standard_t(4, n) * sigma))
    open_ = np.r_[start, close[:-1]] * np.exp(rng.normal(0, sigma / 4, n))
    return {
        "open": open_,
        "high": np.maximum(open_, close) * np.exp(rng.exponential(sigma / 2, n)),
        "low": np.minimum(open_, close) * np.exp(-rng.exponential(sigma / 2, n)),
        "close": close,
        "volume": rng.lognormal(3, 1.5, n),
    }


def with_still_stretch(columns: Columns, start: int = 900, stop: int = 1_500) -> Columns:
    """The same with a stretch in which neither price nor volume moves."""
    held = {name: values.copy() for name, values in columns.items()}
    for name in ("open", "high", "low", "close"):
        held[name][start:stop] = columns["close"][start]
    held["volume"][start + 100 : stop - 100] = 0.0
    return held


def in_ticks(columns: Columns, tick: float) -> Columns:
    """The same rounded to ticks: many equal prices, as thin coins have."""
    return {name: v if name == "volume" else np.maximum(np.round(v / tick), 1.0) * tick for name, v in columns.items()}


MARKETS = {
    "bitcoin": walk(seed=1, start=1.1e5, sigma=4e-4),
    "a few cents in ticks": in_ticks(walk(seed=2, start=0.21), 1e-4),
    "a coin of 1e-8": walk(seed=3, start=1e-8, sigma=0.02),
    "a coin of 1e-8 in ticks": in_ticks(walk(seed=4, start=3e-8), 1e-10),
    "still for a while": with_still_stretch(walk(seed=5)),
    "wild": walk(seed=6, start=3.0, sigma=0.05),
}


def series_of(columns: Columns, names: tuple[str, ...]) -> list[np.ndarray]:
    typical = (columns["high"] + columns["low"] + columns["close"]) / 3.0
    return [typical if name == "typical" else columns[name] for name in names]


def by_talib(oracle: Oracle, columns: Columns, values: dict[str, float]) -> tuple[np.ndarray, ...]:
    """TA-Lib on the candles as they are: unscaled, one call."""
    found = getattr(talib, oracle.function)(*series_of(columns, oracle.columns), **oracle.arguments(**values))
    return tuple(np.asarray(x, np.float64) for x in (found if isinstance(found, tuple) else (found,)))


def ours_and_talibs(name: str, columns: Columns, given: dict[str, float]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """``(column, ours, TA-Lib's)`` from our first valid bar on, which is asserted to be TA-Lib's."""
    entry, oracle = get_indicator(name), ORACLES[name]
    values = dict(entry.values_for(given))
    ours, theirs = entry.compute(Bars(columns), values), by_talib(oracle, columns, values)
    first = entry.lookback(values)
    pairs = []
    for column, found, number in zip(entry.column_names(values), ours, oracle.outputs, strict=True):
        if number is None:
            continue
        if np.isnan(theirs[number]).any():  # functions of whole numbers begin with zeros instead
            assert int(np.argmin(np.isnan(theirs[number]))) == first, f"{column} begins elsewhere than TA-Lib"
        assert np.isnan(found[:first]).all(), f"{column} has a value before TA-Lib has"
        pairs.append((column, found[first:], theirs[number][first:]))
    return pairs


def edges_of(name: str) -> list[dict[str, float]]:
    known = {p.name: p for p in get_indicator(name).parameters}
    usual = tuple(
        {key: value for key, value in sizes.items() if key in known}
        for sizes in ({"window": 2, "fast": 2, "slow": 3}, {"window": 500, "fast": 40, "slow": 500})
    )
    return [{}, *(given for given in EDGES.get(name, usual) if given)]


@pytest.mark.parametrize("name", EXACT)
def test_equal_to_talib_bit_for_bit(name: str) -> None:
    for market, columns in MARKETS.items():
        for given in edges_of(name):
            for column, ours, theirs in ours_and_talibs(name, columns, given):
                np.testing.assert_array_equal(ours, theirs, err_msg=f"{column}, {given}, {market}")


@pytest.mark.parametrize("coin", ["BTC", "DOGE", "LINK"])
def test_equal_to_talib_bit_for_bit_on_real_candles(market_data: Path, coin: str) -> None:
    candles = pl.read_parquet(next((market_data / "candles").glob(f"{coin}*_1m.parquet")))[150_000:170_000]
    columns = {name: candles[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    for name in EXACT:
        for given in edges_of(name):
            for column, ours, theirs in ours_and_talibs(name, columns, given):
                np.testing.assert_array_equal(ours, theirs, err_msg=f"{column}, {given}, {coin}")
