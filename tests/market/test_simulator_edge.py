"""The planted edge is fair: no ordinary feature holds it alone, ordinary learners on ordinary features find it."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
import talib
from numpy.typing import NDArray
from scipy.stats import rankdata

from huracan.market.simulator import SimulatedMarket, simulate_market

Floats = NDArray[np.float64]


def _features(bars: dict[str, Floats]) -> dict[str, Floats]:
    """Forty-odd causal features of the ordinary kind, for one symbol."""
    high, low, close, volume = (np.log(bars[c]) for c in ("high", "low", "close", "volume"))
    returns = np.diff(close, prepend=close[0])
    deviation = {n: talib.STDDEV(returns, n) + 1e-12 for n in (5, 20, 50, 100)}
    out = {f"return_{n}": talib.MOM(close, n) / deviation[50] / np.sqrt(n) for n in (1, 2, 3, 5, 8, 12, 24, 48, 96)}
    out |= {f"rsi_{n}": talib.RSI(close, n) for n in (7, 14, 28)}
    for fast, slow, signal in ((12, 26, 9), (24, 52, 18)):
        line, _, histogram = talib.MACD(close, fast, slow, signal)
        out |= {f"macd_{slow}": line / deviation[50], f"macd_histogram_{slow}": histogram / deviation[50]}
    for n in (10, 20, 50, 100):
        out[f"z_{n}"] = (close - talib.SMA(close, n)) / (talib.STDDEV(close, n) + 1e-12)
    out |= {f"ema_{n}": (close - talib.EMA(close, n)) / deviation[50] for n in (8, 21, 55)}
    true_range = {n: talib.ATR(high, low, close, n) for n in (14, 100)}
    out |= {"atr": true_range[14], "atr_ratio": np.log(true_range[14] / true_range[100])}
    out |= {"range_ratio": (high - low) / true_range[14], "volatility_20": deviation[20], "volatility_100": deviation[100]}
    out |= {f"volatility_{a}_{b}": np.log(deviation[a] / deviation[b]) for a, b in ((5, 50), (20, 100))}
    out |= {f"volume_z_{n}": (volume - talib.SMA(volume, n)) / talib.STDDEV(volume, n) for n in (20, 100)}
    out |= {
        f"volume_{a}_{b}": talib.SMA(volume, a) - talib.SMA(volume, b) for a, b in ((5, 20), (10, 50), (20, 100), (20, 200))
    }
    out |= {
        "adx": talib.ADX(high, low, close, 14),
        "mfi": talib.MFI(*(bars[c] for c in ("high", "low", "close", "volume")), 14),
    }
    out |= {f"efficiency_{n}": np.abs(talib.MOM(close, n)) / talib.SUM(np.abs(returns), n) for n in (10, 30)}
    body, spread = close - np.log(bars["open"]), high - low
    out |= {"stochastic": talib.STOCHF(high, low, close, 14, 3)[0], "body": body / spread}
    out |= {"wicks": (2.0 * close - body - high - low) / spread, "close_location": (2.0 * close - high - low) / spread}
    return out


def _table(market: SimulatedMarket) -> dict[str, Floats]:
    """Features, next return, its past volatility, the best score: rows pooled over symbols in order of time."""
    parts = []
    joined = market.candles.join(market.best_scores, on=["symbol", "ts"])
    for code, one in enumerate(joined.partition_by("symbol", maintain_order=True)):
        bars = {c: one[c].to_numpy() for c in ("open", "high", "low", "close", "volume")}
        future = np.append(np.log(bars["open"][2:] / bars["open"][1:-1]), [np.nan, np.nan])
        names = {"symbol": np.full(one.height, float(code)), "t": np.arange(one.height, dtype=float), "future": future}
        parts.append(pl.DataFrame(names | {"score": one["score"].to_numpy()} | _features(bars)))
    rows = pl.concat(parts).fill_nan(None).drop_nulls().sort("t", "symbol")
    return {name: rows[name].to_numpy() for name in rows.columns}


def _rank_correlation(rows: dict[str, Floats], forecast: Floats, where: NDArray[np.bool_] | None = None) -> float:
    """Within symbols over time, mean over symbols."""
    where = np.ones(len(forecast), bool) if where is None else where
    each = [where & (rows["symbol"] == s) for s in np.unique(rows["symbol"])]
    return float(np.mean([np.corrcoef(rankdata(forecast[k]), rankdata(rows["future"][k]))[0, 1] for k in each]))


_NOT_FEATURES = ("symbol", "t", "future", "score")


def test_no_ordinary_feature_carries_much_more_than_half_and_none_beats_the_filter() -> None:
    markets = [_table(simulate_market(5_000, 8, seed=s)) for s in range(3)]
    best = np.mean([_rank_correlation(rows, rows["score"]) for rows in markets])
    share = {
        name: abs(np.mean([_rank_correlation(rows, rows[name]) for rows in markets])) / best
        for name in markets[0]
        if name not in _NOT_FEATURES
    }
    assert len(share) >= 40
    assert max(share.values()) < 0.6, max(share, key=lambda name: share[name])
    assert sorted(share.values())[-5] > 0.25  # and several carry some of it


def test_without_an_edge_no_ordinary_feature_ranks_the_next_return() -> None:
    """The largest of forty-odd correlations; correlated symbols leave about 40,000 / 2 independent rows."""
    rows = _table(simulate_market(5_000, 8, seed=21, signal_strength=0))
    largest = max(abs(_rank_correlation(rows, rows[name])) for name in rows if name not in _NOT_FEATURES)
    assert largest < 4.0 / np.sqrt(len(rows["t"]) / 2.0)


@pytest.mark.slow
def test_ordinary_learners_find_three_quarters_of_the_edge_and_never_more_than_all() -> None:
    """Purged walk-forward, five folds, extra trees and ridge, three seeds of 40,000 rows."""
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learners = {
        "extra trees": ExtraTreesRegressor(60, max_depth=8, min_samples_leaf=100, max_features=0.5, random_state=0),
        "ridge": make_pipeline(StandardScaler(), Ridge(3_000.0)),
    }
    ratio: dict[str, list[float]] = {name: [] for name in learners}
    for seed in range(3):
        rows = _table(simulate_market(5_000, 8, seed=seed))
        X = np.column_stack([v for k, v in rows.items() if k not in _NOT_FEATURES]).astype(np.float32)
        limit = 1.5 * rows["future"].std()
        y = np.clip(rows["future"], -limit, limit)
        edges = np.linspace(rows["t"].min(), rows["t"].max() + 1, 7)
        tested = rows["t"] >= edges[1]
        for name, learner in learners.items():
            forecast = np.zeros(len(y))
            for begin, end in itertools.pairwise(edges[1:]):
                train, test = rows["t"] < begin - 3, (rows["t"] >= begin) & (rows["t"] < end)
                forecast[test] = learner.fit(X[train], y[train]).predict(X[test])
            best = _rank_correlation(rows, rows["score"], tested)
            ratio[name].append(_rank_correlation(rows, forecast, tested) / best)
    for name, values in ratio.items():
        assert 0.75 < np.mean(values) < 1.0, (name, values)
