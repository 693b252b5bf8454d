"""Bar by bar equals batch: regime and every measure, to the bit, through gaps, still hours and late starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.errors import CandleError, NotEnoughData, UnknownName
from huracan.market import read_candles
from huracan.model_info import MarketRegime
from huracan.regimes import OnlineRegime, RegimeClassifier

START = datetime(2025, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SMALL = RegimeClassifier(trend_window=8, volatility_window=6, lookback=40, minimum_duration=3)
MEASURES = ["trend_strength", "volatility_rank", "liquidity_rank"]


def made(seed: int, n: int, *, gaps: tuple[int, ...] = (), idle: float = 0.1, coarse: bool = False) -> pl.DataFrame:
    """Hourly candles of two symbols; ``coarse`` ones move in ticks, so that ranks have ties and windows stand still."""
    frames = []
    for k, symbol in enumerate(("A", "B")):
        rng = np.random.default_rng((seed, k))
        moves = rng.normal(0, 0.004, n) * np.exp(np.cumsum(rng.normal(0, 0.1, n)) / 3)
        close = 100 * np.exp(np.cumsum(np.round(moves, 3) if coarse else moves))
        before = np.concatenate(([100.0], close[:-1]))
        step = np.ones(n, int)
        step[[gap for gap in gaps if gap < n]] = 4
        volume = np.exp(rng.normal(5, 1, n)) * (rng.random(n) >= idle)
        wick = 1.0 if coarse else 1.001
        frames.append(
            pl.DataFrame(
                {
                    "symbol": symbol,
                    "ts": [START + HOUR * int(i) for i in np.cumsum(step)],
                    "open": before,
                    "high": np.maximum(before, close) * wick,
                    "low": np.minimum(before, close) / wick,
                    "close": close,
                    "volume": np.round(volume) if coarse else volume,
                },
                schema_overrides={"ts": pl.Datetime("ms", "UTC")},
            )
        )
    return pl.concat(frames)


def require_equal(classifier: RegimeClassifier, candles: pl.DataFrame, history: int) -> None:
    """Open on the first bars of each symbol, take the others, and compare every one with batch."""
    batch = classifier.classify(candles).with_columns(row=pl.int_range(pl.len()).over("symbol"))
    first = candles.filter(pl.int_range(pl.len()).over("symbol") < history)
    online = OnlineRegime.open(classifier, first, bar="1h", symbols=candles["symbol"].unique().to_list())
    for candle, said in zip(candles.iter_rows(named=True), batch.iter_rows(named=True)):
        if said["row"] < history:
            continue
        regime = online.update({**candle, "closed": True})
        assert regime == said["regime"], candle["ts"]
        of_symbol = online.measured[candle["symbol"]]
        assert [None if x != x else x for x in of_symbol] == [said[name] for name in MEASURES], candle["ts"]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1_000_000),
    gaps=st.lists(st.integers(1, 199), max_size=3),
    history=st.integers(0, 150),
    idle=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    coarse=st.booleans(),
)
def test_every_bar_equals_batch(seed: int, gaps: list[int], history: int, idle: float, coarse: bool) -> None:
    require_equal(SMALL, made(seed, 200, gaps=tuple(gaps), idle=idle, coarse=coarse), history)


@settings(max_examples=10, deadline=None)
@given(
    trend=st.integers(2, 12),
    volatility=st.integers(2, 12),
    lookback=st.sampled_from([8, 99, 100, 101, 130]),
    duration=st.integers(1, 5),
)
def test_windows_of_every_length(trend: int, volatility: int, lookback: int, duration: int) -> None:
    classifier = RegimeClassifier(
        trend_window=trend, volatility_window=volatility, lookback=lookback, minimum_duration=duration
    )
    require_equal(classifier, made(7, 160, gaps=(90,)), 60)


def test_equals_batch_on_real_minutes(market_data: Path) -> None:
    candles = read_candles(market_data / "candles" / "SOL-USDT_1m.parquet")[:14_000]
    batch = RegimeClassifier().classify(candles)[11_000:]
    online = OnlineRegime.open(RegimeClassifier(), candles[:11_000])
    said = [online.update(candle) for candle in candles[11_000:].iter_rows(named=True)]
    assert said == batch["regime"].to_list()
    assert {MarketRegime(regime) for regime in said if regime} >= {MarketRegime.TRENDING, MarketRegime.VOLATILE}


def test_what_is_refused_changes_nothing() -> None:
    candles = made(3, 120)
    online = OnlineRegime.open(SMALL, candles)
    before = online.last
    newest = candles.filter(pl.col("symbol") == "A").row(-1, named=True)
    following = {**newest, "ts": newest["ts"] + HOUR, "closed": True}
    for wrong in ({**newest, "closed": True}, {**following, "close": -1.0}, {**following, "closed": False}):
        with pytest.raises(CandleError):
            online.update(wrong)
    with pytest.raises(UnknownName, match="symbol"):
        online.update({**following, "symbol": "C"})
    with pytest.raises(UnknownName, match="symbol"):
        online.take("C", 0, 1.0, 1.0, 1.0, 1.0)
    assert online.last == before
    online.update(following)
    with pytest.raises(NotEnoughData):
        OnlineRegime.open(SMALL, candles[:1])
