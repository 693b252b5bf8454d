"""Values against TA-Lib, pandas, published formulas and hand calculation."""

from __future__ import annotations

import math

import bottleneck as bn
import numpy as np
import pandas as pd
import polars as pl
import pytest
import talib

from huracan.preprocessing import FeatureRecipe, feature
from huracan.preprocessing.indicators import (
    Bars,
    garman_klass_variance,
    get_indicator,
    parkinson_variance,
    rogers_satchell_variance,
)
from huracan.preprocessing.rolling import rolling_rank

N = 900


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    rng = np.random.default_rng(7)
    close = 31.7 * np.exp(np.cumsum(rng.standard_t(4, N) * 0.006))
    open_ = close * np.exp(rng.normal(0, 0.003, N))
    hours = pl.datetime_range(pl.datetime(2025, 3, 1), pl.datetime(2025, 3, 1) + pl.duration(hours=N - 1), "1h", eager=True)
    return pl.DataFrame(
        {
            "symbol": "X",
            "ts": hours.dt.replace_time_zone("UTC").cast(pl.Datetime("ms", "UTC")),
            "open": open_,
            "high": np.maximum(open_, close) * np.exp(rng.exponential(0.003, N)),
            "low": np.minimum(open_, close) * np.exp(-rng.exponential(0.003, N)),
            "close": close,
            "volume": rng.lognormal(5, 1.3, N),
        }
    )


def columns_of(candles: pl.DataFrame) -> dict[str, np.ndarray]:
    return {c: candles[c].to_numpy() for c in ("open", "high", "low", "close", "volume")}


def raw(candles: pl.DataFrame, name: str, **parameters: float) -> tuple[np.ndarray, ...]:
    """An indicator's float64 values, before the cast."""
    entry = get_indicator(name)
    return entry.compute(Bars(columns_of(candles)), dict(entry.values_for(parameters)))


def frame(candles: pl.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(columns_of(candles))


def volatility(c: pd.DataFrame, window: int) -> pd.Series:
    r = np.log(c.close).diff()
    return np.sqrt((r**2).rolling(window).mean())


def assert_bitwise(ours: np.ndarray, oracle: np.ndarray) -> None:
    np.testing.assert_array_equal(ours, oracle)


@pytest.mark.parametrize("window", [2, 6, 14, 28, 200])
def test_rsi_is_talib_bit_for_bit(candles: pl.DataFrame, window: int) -> None:
    oracle = talib.RSI(candles["close"].to_numpy(), window)
    assert_bitwise(raw(candles, "rsi_scaled", window=window)[0], (oracle - 50.0) / 50.0)


def test_aroon_is_talib_bit_for_bit(candles: pl.DataFrame) -> None:
    c = columns_of(candles)
    assert_bitwise(raw(candles, "aroon_scaled", window=25)[0], talib.AROONOSC(c["high"], c["low"], 25) / 100.0)


@pytest.mark.parametrize("window", [2, 14, 20])
def test_adx_is_talib_once_its_beginning_is_forgotten(candles: pl.DataFrame, window: int) -> None:
    """Prices with all digits: no two moves are equal, and how they are compared does not matter."""
    c = columns_of(candles)
    hlc = (c["high"], c["low"], c["close"])
    strength, direction = raw(candles, "adx_scaled", window=window)
    settled = slice(get_indicator("adx_scaled").settle({"window": window}), None)
    assert len(strength[settled]) > 100
    np.testing.assert_allclose(strength[settled], talib.ADX(*hlc, window)[settled] / 100.0, atol=1e-9)
    oracle = (talib.PLUS_DI(*hlc, window) - talib.MINUS_DI(*hlc, window)) / 100.0
    np.testing.assert_allclose(direction[settled], oracle[settled], atol=1e-9)


def test_cci_is_talib_bit_for_bit(candles: pl.DataFrame) -> None:
    c = columns_of(candles)
    assert_bitwise(raw(candles, "cci_scaled", window=20)[0], talib.CCI(c["high"], c["low"], c["close"], 20) / 100.0)


@pytest.mark.parametrize(("window", "smooth", "signal"), [(14, 3, 3), (9, 1, 3), (30, 5, 1)])
def test_stochastic_is_talib_bit_for_bit(candles: pl.DataFrame, window: int, smooth: int, signal: int) -> None:
    c = columns_of(candles)
    k, d = talib.STOCH(c["high"], c["low"], c["close"], window, smooth, 0, signal, 0)
    ours = raw(candles, "stochastic_scaled", window=window, smooth=smooth, signal=signal)
    assert_bitwise(ours[0], (k - 50.0) / 50.0)
    assert_bitwise(ours[1], (d - 50.0) / 50.0)


def test_macd_atr_and_averages_are_talib_in_their_units(candles: pl.DataFrame) -> None:
    c = columns_of(candles)
    scale = volatility(frame(candles), 48).to_numpy()
    for ours, oracle in zip(raw(candles, "macd_scaled"), talib.MACD(c["close"], 12, 26, 9)):
        np.testing.assert_allclose(ours, oracle / (c["close"] * scale), rtol=1e-9)
    short, long = (talib.ATR(c["high"], c["low"], c["close"], n) for n in (14, 96))
    np.testing.assert_allclose(raw(candles, "atr_ratio")[0], np.log(0.01 + short / long), rtol=1e-12)
    for name, average in (("sma_distance", talib.SMA), ("ema_distance", talib.EMA)):
        oracle = np.log(c["close"] / average(c["close"], 30)) / (scale * math.sqrt(30))
        np.testing.assert_allclose(raw(candles, name, window=30)[0], oracle, rtol=1e-8, atol=1e-12)


def test_bollinger_is_talib(candles: pl.DataFrame) -> None:
    close = candles["close"].to_numpy()
    upper, middle, lower = talib.BBANDS(close, 20, 2.5, 2.5)
    scale = volatility(frame(candles), 48).to_numpy()
    position, width = raw(candles, "bollinger_scaled", deviations=2.5)
    np.testing.assert_allclose(position[48:], (2 * ((close - lower) / (upper - lower) - 0.5))[48:], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(width, (upper - lower) / (5.0 * middle * scale * math.sqrt(20)), rtol=1e-9)


def test_money_flow_is_talib(candles: pl.DataFrame) -> None:
    c = columns_of(candles)
    oracle = (talib.MFI(c["high"], c["low"], c["close"], c["volume"], 14) - 50.0) / 50.0
    np.testing.assert_allclose(raw(candles, "money_flow", window=14)[0], oracle, atol=1e-9)


def test_signed_volume_is_the_change_of_on_balance_volume(candles: pl.DataFrame) -> None:
    c = frame(candles)
    change = pd.Series(talib.OBV(c.close.to_numpy(), c.volume.to_numpy())).diff(12)
    np.testing.assert_allclose(raw(candles, "signed_volume", window=12)[0], change / c.volume.rolling(12).sum(), atol=1e-12)


def test_variance_estimators_are_the_published_formulas() -> None:
    """Parkinson 1980: (ln H/L)^2 / (4 ln 2); Garman & Klass 1980: .5 (ln H/L)^2 - (2 ln 2 - 1)(ln C/O)^2; by hand."""
    o, h, low, c = (np.array([v]) for v in (100.0, 110.0, 95.0, 104.0))
    u, d, x = math.log(1.10), math.log(0.95), math.log(1.04)
    assert parkinson_variance(h, low)[0] == pytest.approx((u - d) ** 2 / 2.772588722239781)
    assert garman_klass_variance(o, h, low, c)[0] == pytest.approx(0.5 * (u - d) ** 2 - 0.3862943611198906 * x**2)
    assert rogers_satchell_variance(o, h, low, c)[0] == pytest.approx(u * (u - x) + d * (d - x))


def test_variance_estimators_are_unbiased_and_sharper_on_brownian_motion() -> None:
    """Efficiency against the squared return: 4.9 (Parkinson), 7.4 (Garman-Klass); at finitely many ticks a little less."""
    rng = np.random.default_rng(2)
    path = np.cumsum(rng.normal(0, 1 / math.sqrt(2000), (4000, 2000)), axis=1)
    o, c = np.ones(4000), np.exp(path[:, -1])
    h, low = np.exp(np.maximum(path.max(1), 0.0)), np.exp(np.minimum(path.min(1), 0.0))
    squared = np.log(c / o) ** 2
    for values, efficiency in ((parkinson_variance(h, low), 4.9), (garman_klass_variance(o, h, low, c), 7.4)):
        assert values.mean() == pytest.approx(1.0, abs=0.06)
        assert squared.var() / values.var() == pytest.approx(efficiency, rel=0.2)
    assert rogers_satchell_variance(o, h, low, c).mean() == pytest.approx(1.0, abs=0.06)


def test_volatility_features_are_the_formulas_in_pandas(candles: pl.DataFrame) -> None:
    c = frame(candles)
    per_bar = {
        "realised": np.log(c.close).diff() ** 2,
        "parkinson": np.log(c.high / c.low) ** 2 / (4 * math.log(2)),
        "garman_klass": 0.5 * np.log(c.high / c.low) ** 2 - (2 * math.log(2) - 1) * np.log(c.close / c.open) ** 2,
        "rogers_satchell": np.log(c.high / c.close) * np.log(c.high / c.open)
        + np.log(c.low / c.close) * np.log(c.low / c.open),
    }
    for estimator, variance in per_bar.items():
        variance = variance.where(np.arange(N) > 0)
        short, long = (np.sqrt(variance.rolling(w).mean()) for w in (24, 168))
        ours = raw(candles, "volatility_ratio", estimator=estimator)[0]
        np.testing.assert_allclose(ours, np.log(0.01 + short / long), rtol=1e-9)
        np.testing.assert_allclose(raw(candles, "volatility_level", estimator=estimator)[0], np.log(short), rtol=1e-10)
        level = np.sqrt(short)
        oracle = (level - level.rolling(168).mean()) / level.rolling(168).std()
        np.testing.assert_allclose(
            raw(candles, "volatility_zscore", estimator=estimator, window=24)[0], oracle, rtol=1e-6, atol=1e-8
        )


def test_returns_are_the_formulas_in_pandas(candles: pl.DataFrame) -> None:
    c = frame(candles)
    r = np.log(c.close).diff()
    for h in (1, 6, 48, 100):
        oracle = np.log(c.close).diff(h) / (volatility(c, 48) * math.sqrt(h))
        np.testing.assert_allclose(
            raw(candles, "log_return_scaled", horizon=h)[0], oracle.where(np.arange(N) >= 48), rtol=1e-8, atol=1e-10
        )
    skew = r.rolling(72).apply(lambda x: np.mean((x - x.mean()) ** 3) / np.mean((x - x.mean()) ** 2) ** 1.5)
    np.testing.assert_allclose(raw(candles, "return_skew", window=72)[0], skew, rtol=1e-6, atol=1e-8)
    together = (r * r.shift()).rolling(48).sum() / np.maximum(r**2, r.shift() ** 2).rolling(48).sum()
    np.testing.assert_allclose(raw(candles, "return_autocorrelation", window=48)[0], together, rtol=1e-7, atol=1e-10)
    rank = r.rolling(96).rank()
    np.testing.assert_allclose(raw(candles, "return_rank", window=96)[0], 2 * (rank - 1) / 95 - 1, atol=1e-12)
    np.testing.assert_allclose(
        raw(candles, "return_zscore", window=96)[0], (r - r.rolling(96).mean()) / r.rolling(96).std(), rtol=1e-7, atol=1e-9
    )
    np.testing.assert_allclose(
        raw(candles, "open_gap")[0], np.log(c.open / c.close.shift()) / volatility(c, 48), rtol=1e-8, atol=1e-12
    )


def test_trend_features_are_the_formulas_in_pandas(candles: pl.DataFrame) -> None:
    c = frame(candles)
    r = np.log(c.close).diff()
    directional = np.log(c.close).diff(48) / r.abs().rolling(48).sum()
    np.testing.assert_allclose(raw(candles, "directional_efficiency", window=48)[0], directional, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(raw(candles, "efficiency_ratio", window=48)[0], directional.abs(), rtol=1e-8, atol=1e-12)
    slope = np.log(c.close).rolling(48).apply(lambda y: np.polyfit(np.arange(48), y, 1)[0])
    np.testing.assert_allclose(
        raw(candles, "linear_trend", window=48)[0], slope * math.sqrt(48) / volatility(c, 48), rtol=1e-6, atol=1e-9
    )
    cross = np.log(talib.EMA(c.close.to_numpy(), 12) / talib.EMA(c.close.to_numpy(), 48)) / (volatility(c, 48) * math.sqrt(48))
    np.testing.assert_allclose(raw(candles, "ema_cross")[0], cross, rtol=1e-8, atol=1e-10)


def test_volume_features_are_the_formulas_in_pandas(candles: pl.DataFrame) -> None:
    c = frame(candles)
    r, v, scale = np.log(c.close).diff(), c.volume, volatility(c, 48)
    mean = v.rolling(48).mean()
    np.testing.assert_allclose(raw(candles, "relative_volume", window=48)[0], np.log(0.01 + v / mean), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        raw(candles, "volume_ratio")[0], np.log(0.01 + v.rolling(6).mean() / mean), rtol=1e-8, atol=1e-11
    )
    padded = np.log(v + 0.01 * mean)
    oracle = (padded - padded.rolling(48).mean()) / padded.rolling(48).std()
    np.testing.assert_allclose(raw(candles, "volume_zscore", window=48)[0], oracle, rtol=1e-8, atol=1e-10)
    weighted = (r * v).rolling(24).sum() / v.where(r.notna()).rolling(24).sum() * math.sqrt(24) / scale
    np.testing.assert_allclose(raw(candles, "volume_weighted_return")[0], weighted, rtol=1e-7, atol=1e-10)
    money = (c.close * v).where(r.notna())
    short, long = (r.abs().rolling(w).sum() / money.rolling(w).sum() for w in (24, 168))
    np.testing.assert_allclose(raw(candles, "amihud")[0], np.log(0.01 + short / long), rtol=1e-8, atol=1e-11)
    paid = ((c.high + c.low + c.close) / 3 * v).rolling(24).sum() / v.rolling(24).sum()
    np.testing.assert_allclose(
        raw(candles, "vwap_distance")[0], np.log(c.close / paid) / (scale * math.sqrt(24)), rtol=1e-7, atol=1e-10
    )


def test_shape_features_are_the_formulas_in_pandas(candles: pl.DataFrame) -> None:
    c = frame(candles)
    span = c.high - c.low
    body, upper, lower = raw(candles, "candle_shape")
    np.testing.assert_allclose(body, (c.close - c.open) / span, atol=1e-12)
    np.testing.assert_allclose(np.abs(body) + upper + lower, 1.0, atol=1e-12)
    high, low = c.high.rolling(48).max(), c.low.rolling(48).min()
    np.testing.assert_allclose(raw(candles, "range_position")[0], 2 * (c.close - low) / (high - low) - 1, atol=1e-12)
    unit = volatility(c, 48) * math.sqrt(48)
    np.testing.assert_allclose(raw(candles, "high_distance")[0], np.log(c.close / high) / unit, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(raw(candles, "low_distance")[0], np.log(c.close / low) / unit, rtol=1e-8, atol=1e-12)
    place = (2 * c.close - c.high - c.low) / span
    np.testing.assert_allclose(raw(candles, "close_location", window=6)[0], place.rolling(6).mean(), atol=1e-12)


def test_calendar_is_a_circle_from_midnight_and_monday(candles: pl.DataFrame) -> None:
    features = FeatureRecipe.calendar().compute(candles)
    hour, day = candles["ts"].dt.hour().to_numpy(), candles["ts"].dt.weekday().to_numpy() - 1
    np.testing.assert_allclose(features["time_of_day_sin"], np.sin(2 * np.pi * hour / 24), atol=1e-6)
    np.testing.assert_allclose(features["time_of_day_cos"], np.cos(2 * np.pi * hour / 24), atol=1e-6)
    np.testing.assert_allclose(features["day_of_week_sin"], np.sin(2 * np.pi * (day + hour / 24) / 7), atol=1e-6)


def test_the_cast_to_float32_comes_last(candles: pl.DataFrame) -> None:
    ours = FeatureRecipe([feature("macd_scaled")]).compute(candles)
    for column, values in zip(ours.columns[3:], raw(candles, "macd_scaled")):
        assert ours[column].dtype == pl.Float32
        np.testing.assert_array_equal(ours[column].fill_null(float("nan")).to_numpy(), values.astype(np.float32))


@pytest.mark.parametrize("window", [2, 3, 13, 96, 512, 513])
def test_ranks_are_bottlenecks_bit_for_bit(window: int) -> None:
    rng = np.random.default_rng(window)
    for n in (window, 600, 20_000):
        x = np.round(rng.standard_normal(n), 1)  # many ties
        x[rng.random(n) < 0.002] = np.nan
        x[5:9] = np.inf
        np.testing.assert_array_equal(rolling_rank(x, window), bn.move_rank(x, window))
