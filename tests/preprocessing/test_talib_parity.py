"""Indicators that TA-Lib has: its values from the first valid bar on, bit for bit, or better for a reason that is stated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from huracan.preprocessing.indicators import Bars, get_indicator
from huracan.preprocessing.indicators.from_talib import ORACLES, Oracle
from huracan.preprocessing.indicators.patterns import PATTERNS
from huracan.preprocessing.ta import ta_lookback

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
"""Parameters at their bounds and far out; an indicator not listed is tried with its shortest window and with 500."""


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


def untraded_after_a_rush(columns: Columns) -> Columns:
    """The same with one bar of a million times the volume, and then none for a while; prices are quoted and move on."""
    volume = columns["volume"].copy()
    volume[950] *= 1e6
    volume[1_000:1_400] = 0.0
    return {**columns, "volume": volume}


def in_ticks(columns: Columns, tick: float) -> Columns:
    """The same rounded to ticks: many equal prices, as thin coins have."""
    return {name: v if name == "volume" else np.maximum(np.round(v / tick), 1.0) * tick for name, v in columns.items()}


MARKETS = {
    "bitcoin": walk(seed=1, start=1.1e5, sigma=4e-4),
    "a few cents in ticks": in_ticks(walk(seed=2, start=0.21), 1e-4),
    "a coin of 1e-8": walk(seed=3, start=1e-8, sigma=0.02),
    "a coin of 1e-8 in ticks": in_ticks(walk(seed=4, start=3e-8), 1e-10),
    "still for a while": with_still_stretch(walk(seed=5)),
    "untraded for a while": untraded_after_a_rush(walk(seed=5)),
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
    lowest = {key: int(p.low) for key, p in known.items() if key in ("window", "fast")}
    usual = (lowest | {"slow": 3}, {"window": 500, "fast": 40, "slow": 500})
    chosen = ({key: value for key, value in sizes.items() if key in known} for sizes in EDGES.get(name, usual))
    return [{}, *(given for given in chosen if given)]


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, dict[str, float], str]:
    """An indicator, parameters anywhere within its bounds (windows short enough to warm up), and a market."""
    name = draw(st.sampled_from(EXACT))
    given: dict[str, float] = {}
    for p in get_indicator(name).parameters:
        whole = isinstance(p.default, int)
        given[p.name] = draw(st.integers(int(p.low), 250)) if whole else draw(st.floats(p.low, min(p.high, 5.0)))
    refusal = get_indicator(name).refusal_of
    assume(refusal is None or refusal(**given) is None)
    return name, given, draw(st.sampled_from(sorted(MARKETS)))


@settings(max_examples=300, deadline=None)
@given(call=calls())
def test_equal_to_talib_bit_for_bit_whatever_the_parameters(call: tuple[str, dict[str, float], str]) -> None:
    name, given, market = call
    for column, ours, theirs in ours_and_talibs(name, MARKETS[market], given):
        np.testing.assert_array_equal(ours, theirs, err_msg=column)


@pytest.mark.parametrize("name", EXACT)
def test_equal_to_talib_bit_for_bit(name: str) -> None:
    for market, columns in MARKETS.items():
        for chosen in edges_of(name):
            for column, ours, theirs in ours_and_talibs(name, columns, chosen):
                np.testing.assert_array_equal(ours, theirs, err_msg=f"{column}, {chosen}, {market}")


@pytest.mark.parametrize("coin", ["BTC", "DOGE", "LINK"])
def test_equal_to_talib_bit_for_bit_on_real_candles(market_data: Path, coin: str) -> None:
    candles = pl.read_parquet(next((market_data / "candles").glob(f"{coin}*_1m.parquet")))[150_000:170_000]
    columns = {name: candles[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    for name in EXACT:
        for chosen in edges_of(name):
            for column, ours, theirs in ours_and_talibs(name, columns, chosen):
                np.testing.assert_array_equal(ours, theirs, err_msg=f"{column}, {chosen}, {coin}")


@pytest.mark.parametrize("name", sorted(set(ORACLES) - set(EXACT)))
def test_those_that_differ_say_why_in_a_sentence(name: str) -> None:
    assert len(ORACLES[name].difference.split()) > 10


def in_long_double(name: str, columns: Columns, window: int) -> np.ndarray:
    """Sums over each window by themselves, in long double; NaN or 0 as the register says where nothing was traded."""
    high, low, close, volume = (columns[c].astype(np.longdouble) for c in ("high", "low", "close", "volume"))
    typical = (high + low + close) / 3
    weight, of, none = {
        "vwap": (volume, typical, np.nan),
        "vwma": (volume, close, np.nan),
        "chaikin_money_flow": (volume, signed_volume("ad_change", columns) / np.where(volume > 0, volume, 1), 0.0),
        "mfi": (typical * volume, np.where(np.diff(typical, prepend=typical[0]) > 0, np.longdouble(100), 0), 0.0),
    }[name]
    if name == "mfi":
        weight = np.where(np.abs(np.diff(typical, prepend=typical[0])) > 1e-9 * typical, weight, 0)
    above, below = (np.lib.stride_tricks.sliding_window_view(v, window).sum(axis=1) for v in (weight * of, weight))
    found = np.full(len(close), np.nan)
    found[window - 1 :] = np.where(below > 0, above / np.where(below > 0, below, 1), none)
    return found


SUMMED = ["vwap", "vwma", "chaikin_money_flow", "mfi"]


@pytest.mark.parametrize("name", SUMMED)
def test_what_sums_volume_is_talibs_and_holds_against_long_double(name: str) -> None:
    """Within 1e-9 of TA-Lib's wherever nothing has shaken its running sums; within 1e-11 of the truth everywhere."""
    for market, columns in MARKETS.items():
        calm = market not in ("untraded for a while", "still for a while", "a coin of 1e-8", "a coin of 1e-8 in ticks")
        for window in (2, 20, 400):
            values = {"window": window}
            first = get_indicator(name).lookback(values)
            ours, truth = get_indicator(name).compute(Bars(columns), values)[0], in_long_double(name, columns, window)
            unit = np.nanmean(np.abs(truth)) if name.startswith("vw") else np.nanmax(np.abs(truth))
            np.testing.assert_allclose(
                ours[first:] / unit, truth[first:] / unit, rtol=0, atol=1e-11, err_msg=f"{market} {window}"
            )
            if calm:
                (theirs,) = by_talib(ORACLES[name], columns, values)
                np.testing.assert_allclose(ours / unit, theirs / unit, rtol=0, atol=1e-9, err_msg=f"{market} {window}")


@pytest.mark.parametrize("name", SUMMED)
def test_one_bar_of_enormous_volume_stays_in_talibs_sums_and_not_in_ours(name: str) -> None:
    columns = walk(seed=8)
    struck = {**columns, "volume": columns["volume"].copy()}
    struck["volume"][500] = 1e16
    values, after = {"window": 20}, slice(521, None)
    ours, before = (get_indicator(name).compute(Bars(c), values)[0][after] for c in (struck, columns))
    np.testing.assert_array_equal(ours, before)
    theirs, usual = (by_talib(ORACLES[name], c, values)[0][after] for c in (struck, columns))
    assert np.nanmax(np.abs(theirs - usual)) > 1e-6 * np.nanstd(usual), "TA-Lib's sums are sound now: be bitwise"


LINES = [("obv_change", talib.OBV), ("ad_change", talib.AD)]


@pytest.mark.parametrize(("name", "line"), LINES)
def test_changes_of_a_running_line_are_talibs_and_hold_against_long_double(name: str, line: Callable[..., np.ndarray]) -> None:
    for market, columns in MARKETS.items():
        error, talibs, apart = errors_of_change(name, line, columns)
        assert error < 1e-13, market
        assert max(talibs, apart) < 1e-9, market


@pytest.mark.parametrize(("name", "line"), LINES)
def test_on_many_real_bars_the_line_has_lost_digits_that_the_window_keeps(
    market_data: Path, name: str, line: Callable[..., np.ndarray]
) -> None:
    for coin in ("BTC", "LINK"):
        candles = pl.read_parquet(next((market_data / "candles").glob(f"{coin}*_1m.parquet")))
        columns = {column: candles[column].to_numpy() for column in ("open", "high", "low", "close", "volume")}
        error, talibs, _ = errors_of_change(name, line, columns)
        assert error < 5e-14 < talibs < 1e-9, coin


def errors_of_change(name: str, line: Callable[..., np.ndarray], columns: Columns) -> tuple[float, float, float]:
    """Largest error of ours, of TA-Lib's and difference of both, in standard deviations of the change over 20 bars."""
    window = 20
    running = np.cumsum(signed_volume(name, columns))
    exact = running[window:] - running[:-window]
    theirs = line(*series_of(columns, ORACLES[name].columns))
    theirs = theirs[window:] - theirs[:-window]
    ours = get_indicator(name).compute(Bars(columns), {"window": window})[0][window:]
    gaps = (np.abs(ours - exact).max(), np.abs(theirs - exact).max(), np.abs(ours - theirs).max())
    return tuple(float(gap / exact.std()) for gap in gaps)  # type: ignore[return-value]


def signed_volume(name: str, columns: Columns) -> np.ndarray:
    """One bar's step of on-balance volume, or of accumulation and distribution, in long double."""
    high, low, close, volume = (columns[c].astype(np.longdouble) for c in ("high", "low", "close", "volume"))
    if name == "obv_change":
        return np.sign(np.diff(close, prepend=close[0])) * volume
    span = high - low
    return np.where(span > 0, ((close - low) - (high - close)) / np.where(span > 0, span, 1), 0) * volume


def test_deviations_of_talib_hold_against_long_double() -> None:
    """TA-Lib's Bollinger bands and variance are taken as they are: they do not cancel, nor move where the price does not."""
    for market, columns in MARKETS.items():
        close = columns["close"].astype(np.longdouble)
        for window in (2, 20, 200):
            views = np.lib.stride_tricks.sliding_window_view(close, window)
            variance = ((views - views.mean(axis=1, keepdims=True)) ** 2).mean(axis=1)
            entry = get_indicator("bollinger")
            upper, _, lower, percent_b, width = (
                x[window - 1 :] for x in entry.compute(Bars(columns), {"window": window, "deviations": 2.0})
            )
            highest = np.maximum.accumulate(columns["close"])[window - 1 :]
            error = np.abs((upper - lower) - 4 * np.sqrt(variance)) / highest
            assert error.max() < 1e-11, (market, window)
            moving = variance > 0
            np.testing.assert_array_equal(width > 0.0, moving, err_msg=f"{market}, {window}")
            assert (percent_b[~moving] == 0.5).all()


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_bounds_of_the_parameters_are_within_talibs(name: str) -> None:
    entry, oracle = get_indicator(name), ORACLES[name]
    usual = dict(entry.values_for({}))
    for parameter in entry.parameters:
        for bound in (parameter.low, parameter.high):
            values = {**usual, parameter.name: type(parameter.default)(bound)}
            assert ta_lookback(oracle.function, **oracle.arguments(**values)) >= 0, (parameter.name, bound)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_candle_patterns_are_talibs(pattern: str) -> None:
    entry, function = get_indicator("candle_pattern"), f"CDL{pattern.upper()}"
    for market, columns in MARKETS.items():
        ours = entry.compute(Bars(columns), {"pattern": pattern})[0]
        theirs = getattr(talib, function)(*(columns[name] for name in ("open", "high", "low", "close")))
        first = entry.lookback({"pattern": pattern})
        np.testing.assert_array_equal(ours[first:], theirs[first:], err_msg=market)


def test_every_candle_pattern_of_talib_is_there() -> None:
    assert {f"CDL{name.upper()}" for name in PATTERNS} == set(talib.get_function_groups()["Pattern Recognition"])
