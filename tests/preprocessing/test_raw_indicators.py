"""Raw indicators that TA-Lib lacks against pandas, polars and theory; and for all: settling, bounds, recording."""

from __future__ import annotations

import datetime as dt
import math
import runpy
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from huracan.preprocessing import FeatureRecipe, feature
from huracan.preprocessing.indicators import (
    Bars,
    get_indicator,
    known_indicators,
    plain_returns,
    price_volatility,
    price_volume,
    sessions,
)
from huracan.preprocessing.indicators.from_talib import ORACLES, cascade_time
from huracan.preprocessing.online_program import record_program

Columns = dict[str, np.ndarray]
N = 2_500

OWN = ["candle_pattern", *plain_returns.__all__, *price_volatility.__all__, *price_volume.__all__, *sessions.__all__]
RAW = [name for name in known_indicators() if name in {*ORACLES, *OWN}]
"""Every indicator in its own units."""


@pytest.fixture(scope="module")
def columns() -> Columns:
    return walk(N, 0)


def walk(n: int, seed: int, start: float = 31.0, sigma: float = 0.004) -> Columns:
    rng = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(rng.standard_t(4, n) * sigma))
    open_ = np.r_[start, close[:-1]] * np.exp(rng.normal(0, sigma / 3, n))
    return {
        "open": open_,
        "high": np.maximum(open_, close) * np.exp(rng.exponential(sigma / 2, n)),
        "low": np.minimum(open_, close) * np.exp(-rng.exponential(sigma / 2, n)),
        "close": close,
        "volume": rng.lognormal(3, 1.5, n),
    }


def hours(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int64) * 3_600_000 + 1_700_000_000_000 // 3_600_000 * 3_600_000


def raw(columns: Columns, name: str, **given: float) -> tuple[np.ndarray, ...]:
    entry = get_indicator(name)
    return entry.compute(Bars(columns, hours(len(columns["close"]))), dict(entry.values_for(given)))


def frame(columns: Columns) -> pd.DataFrame:
    return pd.DataFrame(columns)


@pytest.mark.parametrize("window", [1, 5, 60, 1_440])
def test_returns_are_the_formulas(columns: Columns, window: int) -> None:
    close = frame(columns).close
    np.testing.assert_allclose(raw(columns, "log_return", window=window)[0], np.log(close).diff(window), rtol=0, atol=1e-14)
    np.testing.assert_allclose(raw(columns, "simple_return", window=window)[0], close.pct_change(window), rtol=0, atol=1e-14)


@pytest.mark.parametrize("window", [2, 24, 200])
def test_volatilities_are_the_published_formulas_in_pandas(columns: Columns, window: int) -> None:
    c = np.log(frame(columns))
    r = c.close.diff()
    up, down, body, gap = c.high - c.open, c.low - c.open, c.close - c.open, c.open - c.close.shift()
    satchell = up * (up - body) + down * (down - body)
    per_bar = {
        "realised_volatility": r**2,
        "parkinson_volatility": (up - down) ** 2 / (4 * math.log(2)),
        "garman_klass_volatility": 0.5 * (up - down) ** 2 - (2 * math.log(2) - 1) * body**2,
        "rogers_satchell_volatility": satchell,
    }
    for name, variance in per_bar.items():
        np.testing.assert_allclose(raw(columns, name, window=window)[0], np.sqrt(variance.rolling(window).mean()), rtol=1e-8)
    np.testing.assert_allclose(raw(columns, "historical_volatility", window=window)[0], r.rolling(window).std(), rtol=1e-7)
    k = 0.34 / (1.34 + (window + 1) / (window - 1))
    zhang = gap.rolling(window).var() + k * body.rolling(window).var() + (1 - k) * satchell.rolling(window).mean()
    np.testing.assert_allclose(raw(columns, "yang_zhang_volatility", window=window)[0], np.sqrt(zhang), rtol=1e-7)


def test_volatilities_find_that_of_brownian_motion_and_only_some_mind_a_drift() -> None:
    """1 % a bar in 400 steps, which take some percent off the range; a drift as large adds its square to the squared return."""
    rng = np.random.default_rng(3)
    calm, drifting = ({name: _found(rng, drift, name) for name in price_volatility.__all__} for drift in (0.0, 0.01))
    for name, volatility in calm.items():
        assert volatility == pytest.approx(0.01, rel=0.06), name
    assert drifting["realised_volatility"] == pytest.approx(0.01 * math.sqrt(2.0), rel=0.03)
    assert drifting["parkinson_volatility"] > 0.011
    for name in ("historical_volatility", "rogers_satchell_volatility", "yang_zhang_volatility"):
        assert drifting[name] == pytest.approx(0.01, rel=0.06), name


def _found(rng: np.random.Generator, drift: float, name: str) -> float:
    path = np.cumsum(rng.normal(drift / 400, 0.01 / 20, (3_000, 400)), axis=1)
    start = np.r_[0.0, np.cumsum(path[:-1, -1])]
    bars = {
        "open": np.exp(start),
        "high": np.exp(start + np.maximum(path.max(axis=1), 0.0)),
        "low": np.exp(start + np.minimum(path.min(axis=1), 0.0)),
        "close": np.exp(start + path[:, -1]),
    }
    return float(raw(bars, name, window=2_999)[0][-1])


def test_bollingers_place_and_width(columns: Columns) -> None:
    close = frame(columns).close
    mean, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    upper, middle, lower, percent_b, width = raw(columns, "bollinger")
    np.testing.assert_allclose(percent_b, (close - (mean - 2 * deviation)) / (4 * deviation), rtol=0, atol=1e-8)
    np.testing.assert_allclose(width, 4 * deviation / mean, rtol=1e-8)
    np.testing.assert_allclose([upper - middle, middle - lower], [2 * deviation] * 2, rtol=0, atol=1e-9)


def test_amihud_is_the_mean_impact_over_the_bars_that_traded(columns: Columns) -> None:
    quiet = columns["volume"].copy()
    quiet[500:900:2] = 0.0
    quiet[1_000:1_100] = 0.0
    c = frame({**columns, "volume": quiet})
    impact = (np.log(c.close).diff().abs() / (c.close * c.volume)).replace(np.inf, np.nan)
    oracle = impact.rolling(24, min_periods=1).mean().where(np.arange(N) >= 24)
    ours = raw({**columns, "volume": quiet}, "amihud_illiquidity")[0]
    np.testing.assert_allclose(ours, oracle, rtol=1e-8)
    assert np.isnan(ours[1_024:1_100]).all()


def test_the_calendar_is_that_of_polars_over_four_centuries() -> None:
    days = np.arange(-20_000, 130_000, dtype=np.int64) * 86_400_000
    ts = days + np.random.default_rng(0).integers(0, 1_440, len(days)) * 60_000
    times = pl.Series(ts).cast(pl.Datetime("ms"))
    oracle = {
        "month": times.dt.month(),
        "day_of_month": times.dt.day(),
        "hour": times.dt.hour(),
        "weekday": times.dt.weekday() - 1,
        "weekend": times.dt.weekday() >= 6,
        "minutes_to_funding": 480 - (times.dt.hour().cast(pl.Int64) * 60 + times.dt.minute()) % 480,
    }
    for name, values in oracle.items():
        entry = get_indicator(name)
        np.testing.assert_array_equal(entry.compute(Bars({}, ts), {})[0], values.cast(pl.Float64).to_numpy(), err_msg=name)


def test_sessions_overlap_as_their_hours_do() -> None:
    ts = np.arange(24, dtype=np.int64) * 3_600_000
    asia, europe, us = get_indicator("session").compute(Bars({}, ts), {})
    assert np.flatnonzero(asia).tolist() == list(range(9))
    assert np.flatnonzero(europe).tolist() == list(range(7, 16))
    assert np.flatnonzero(us).tolist() == list(range(13, 22))


def test_calendar_columns_of_a_recipe_are_those_of_the_bars_open() -> None:
    start = dt.datetime(2024, 2, 28, 22, tzinfo=dt.UTC)
    times = [start + dt.timedelta(hours=i) for i in range(30)]
    candles = pl.DataFrame({"symbol": ["A"] * 30, "ts": pl.Series(times).dt.cast_time_unit("ms")})
    features = FeatureRecipe([feature("day_of_month"), feature("month"), feature("minutes_to_funding")]).compute(candles)
    assert features["day_of_month"].to_list() == [28.0] * 2 + [29.0] * 24 + [1.0] * 4
    assert features["month"].to_list() == [2.0] * 26 + [3.0] * 4
    assert features["minutes_to_funding"][:4].to_list() == [120.0, 60.0, 480.0, 420.0]


@pytest.mark.parametrize("name", RAW)
def test_it_can_be_recorded(name: str) -> None:
    """So that it runs bar by bar; that the values are the same is the business of the streams' own tests."""
    program = record_program([feature(name)], ("ts", "open", "high", "low", "close", "volume"))
    assert program.refused == {}


@pytest.mark.parametrize("name", [name for name in RAW if get_indicator(name).memory == "recursive"])
def test_it_settles_when_it_says(name: str) -> None:
    """After ``settle`` bars a series that began later is the same to 1e-7 of the standard deviation."""
    entry, columns = get_indicator(name), walk(6_500, 1)
    for chosen in ({}, {p.name: 60 for p in entry.parameters if p.name in ("window", "slow")}):
        values = dict(entry.values_for(chosen))
        whole = entry.compute(Bars(columns), values)
        for start in (100, 1_777):
            later = entry.compute(Bars({c: v[start:] for c, v in columns.items()}), values)
            for a, b in zip(whole, later, strict=True):
                apart = np.abs(a[start:] - b)[entry.settle(values) :]
                assert len(apart) > 100
                assert np.nanmax(apart) < 1e-7 * np.nanstd(a), (chosen, start)


def test_what_remains_of_a_beginning_is_the_tail_of_the_cascade() -> None:
    """An impulse through three averages in a row, summed: what has not come out yet is 1e-8 where the formula says so."""
    for window, stages in ((14, 1), (14, 2), (5, 3), (50, 6)):
        weight = 2.0 / (window + 1)
        passed = np.zeros(3_000)
        passed[0] = 1.0
        for _ in range(stages):
            passed = _averaged(passed, weight)
        remains = 1.0 - np.cumsum(passed)
        bars = cascade_time(weight, stages)
        assert remains[bars - 1] <= 1.0001e-8 < 1.001 * remains[bars - 2]


def _averaged(x: np.ndarray, weight: float) -> np.ndarray:
    average, averages = 0.0, []
    for value in x.tolist():
        average += weight * (value - average)
        averages.append(average)
    return np.array(averages)


RANGES = {
    **dict.fromkeys(("rsi", "mfi", "adx", "dx", "adxr", "plus_di", "minus_di"), (0.0, 100.0)),
    **dict.fromkeys(("stochastic", "stochastic_rsi", "ultimate_oscillator", "aroon", "percent_rank"), (0.0, 100.0)),
    **dict.fromkeys(("intraday_momentum", "relative_volatility_index"), (0.0, 100.0)),
    **dict.fromkeys(("cmo", "true_strength_index", "aroon_oscillator", "stochastic_momentum_index"), (-100.0, 100.0)),
    "williams_r": (-100.0, 0.0),
    **dict.fromkeys(("balance_of_power", "chaikin_money_flow", "price_volume_correlation"), (-1.0, 1.0)),
    **dict.fromkeys(price_volatility.__all__, (0.0, math.inf)),
    **dict.fromkeys(("atr", "natr", "true_range", "average_range", "standard_deviation", "variance"), (0.0, math.inf)),
}
"""Bounds that the formulas imply; rounding may pass them by a hair."""

MOVES = (0.0, 0.0, 0.0, 1e-9, -1e-9, 0.01, -0.02, 0.4, -1.0)
steps = hnp.arrays(np.float64, st.integers(60, 300), elements=st.sampled_from(MOVES))


@settings(max_examples=25, deadline=None)
@given(steps=steps, start=st.sampled_from([1e-9, 0.3, 6e4]), idle=st.floats(0.0, 1.0), seed=st.integers(0, 9))
def test_any_market_stays_within_bounds_without_a_warning(steps: np.ndarray, start: float, idle: float, seed: int) -> None:
    """Flat stretches, crashes to nothing, cheap coins, bars without trades: values, or NaN, never an infinity."""
    rng = np.random.default_rng(seed)
    close = start * np.exp(np.clip(np.cumsum(steps), -12, 12))
    open_ = np.r_[start, close[:-1]]
    spread = np.where(steps == 0.0, 0.0, rng.choice([0.0, 1e-4, 0.3], len(steps)))
    volume = np.where(rng.random(len(steps)) < idle, 0.0, rng.lognormal(0, 4, len(steps)))
    market = {
        "open": open_,
        "high": np.maximum(open_, close) * (1 + spread),
        "low": np.minimum(open_, close) * (1 - spread),
        "close": close,
        "volume": volume,
    }
    bars = Bars(market, hours(len(close)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in RAW:
            entry = get_indicator(name)
            values = dict(entry.values_for({}))
            low, high = RANGES.get(name, (-math.inf, math.inf))
            for column, found in zip(entry.column_names(values), entry.compute(bars, values), strict=True):
                assert not np.isinf(found).any(), column
                known = found[np.isfinite(found)]
                slack = 1e-6 * (1.0 if math.isinf(high) else high - low)
                assert len(known) == 0 or (known.min() >= low - slack and known.max() <= high + slack), column


def test_still_prices_give_what_the_register_says() -> None:
    """One price for ever, with trades and without: the limits are TA-Lib's where it has the indicator."""
    still = {name: np.full(400, 7.3) for name in ("open", "high", "low", "close")}
    limits = {
        **dict.fromkeys(("rsi", "cmo", "cci", "williams_r", "mfi", "adx", "true_strength_index", "balance_of_power"), 0.0),
        **dict.fromkeys(("intraday_momentum", "relative_volatility_index"), 50.0),
        **dict.fromkeys(price_volatility.__all__, 0.0),
        **dict.fromkeys(("sma", "ema", "wma", "kama", "midprice"), 7.3),
    }
    for name, limit in limits.items():
        for volume in (0.0, 5.0):
            found = raw({**still, "volume": np.full(400, volume)}, name)[0][-1]
            assert found == pytest.approx(limit, abs=1e-12), (name, volume)
    nothing = {**still, "volume": np.zeros(400)}
    assert [float(x[-1]) for x in raw(nothing, "bollinger")[3:]] == [0.5, 0.0]
    for name in ("vwap", "vwma", "amihud_illiquidity"):
        assert np.isnan(raw(nothing, name)[0]).all(), name
    assert raw(nothing, "chaikin_money_flow")[0][-1] == 0.0


UNITS = {"": (0, 0), "price": (1, 0), "price^2": (2, 0), "volume": (0, 1), "money": (1, 1), "1 / money": (-1, -1)}
"""Unit -> powers of price and of volume in it."""


PUBLISHED_SO = {"alpha158_corr"}
"""Takes log(volume + 1), which no change of unit leaves as it was."""


@pytest.mark.parametrize("name", sorted(set(known_indicators()) - PUBLISHED_SO))
def test_values_are_in_the_unit_they_are_registered_with(name: str, columns: Columns) -> None:
    """Prices 8192 times as high and volumes 32 times as large: every output goes along by the powers of its unit."""
    entry = get_indicator(name)
    values, ts = dict(entry.values_for({})), hours(1_000)
    columns = {c: v[:1_000] for c, v in columns.items()}
    larger = {c: v * (32.0 if c == "volume" else 8_192.0) for c, v in columns.items()}
    before, after = entry.compute(Bars(columns, ts), values), entry.compute(Bars(larger, ts), values)
    for unit, a, b in zip(entry.units, before, after, strict=True):
        price, volume = UNITS[unit]
        slack = 1e-9 * np.nanstd(b)
        np.testing.assert_allclose(
            a * 8_192.0**price * 32.0**volume, b, rtol=0, atol=slack, err_msg=f"{name}: {unit or 'none'}"
        )


def test_the_page_of_indicators_is_the_generated_one() -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    page = runpy.run_path(str(docs / "generate.py"))["indicators_page"]()
    assert (docs / "indicators.md").read_text() == page, "run `make docs`"
    for name in known_indicators():
        assert page.count(f"| `{name}`") == 1, name


def test_every_name_and_alias_leads_to_one_indicator_in_any_case() -> None:
    """``ROC`` from a recipe written elsewhere is what ``roc`` is here."""
    for name in known_indicators():
        for known_as in (name, *get_indicator(name).aliases):
            assert get_indicator(known_as.upper()).name == get_indicator(known_as).name, known_as
        assert get_indicator(name).name == name
    names = [alias for name in known_indicators() for alias in get_indicator(name).aliases]
    assert len(names) == len(set(names))
    assert not set(names) & set(known_indicators())
