"""Windows merged from halves: the definition in long double, blind to all outside the window, and the same bar by bar."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.online_program import RunningProgram, compiled_program
from huracan.preprocessing.rolling import (
    rolling_mean,
    rolling_moments,
    rolling_skew,
    rolling_std,
    rolling_sum,
    rolling_zscore,
    volatility_scale,
)
from huracan.preprocessing.tracing import Graph
from huracan.preprocessing.window_regression import window_correlation, window_regression

Array = NDArray[np.float64]
ROUNDINGS = 16 * np.finfo(float).eps
"""A few roundings of the window's own deviation, whatever the level of the price."""
WINDOWS = (2, 3, 5, 10, 20, 31, 60, 64, 131)
KINDS = ("walk", "quiet", "still at 1e5", "cheap", "spiked", "spiked by 1e12 deviations")


def prices(kind: str, n: int = 700, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    if kind == "quiet":  # moves of a millionth of the price
        return 5e4 * (1.0 + 1e-6 * np.cumsum(rng.normal(size=n)))
    if kind == "still at 1e5":
        return 1e5 + rng.normal(0.0, 1e-2, n)
    walk = 1e2 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n)))
    if kind == "cheap":
        return 1e-11 * walk
    if kind == "spiked":  # a bad tick of a million times the price
        walk[300] *= 1e6
    if kind == "spiked by 1e12 deviations":
        walk = rng.normal(size=n)
        walk[300] = 1e12
    return walk


def windows_of(x: Array, window: int) -> NDArray[np.longdouble]:
    return np.lib.stride_tricks.sliding_window_view(x, window).astype(np.longdouble)


def same_bits(a: Array, b: Array) -> bool:
    return a.tobytes() == b.tobytes()


def from_first(x: Array, window: int) -> NDArray[np.longdouble]:
    """Windows less their first values, which is exact in long double."""
    values = windows_of(x, window)
    return values - values[:, :1]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", KINDS)
def test_sums_and_deviations_are_the_definition_in_long_double(kind: str, window: int) -> None:
    x = prices(kind)
    values, away = windows_of(x, window), from_first(x, window)
    sizes = np.abs(values).sum(axis=1)
    assert (np.abs(rolling_sum(x, window)[window - 1 :] - values.sum(axis=1)) <= ROUNDINGS * sizes).all()
    assert (np.abs(rolling_mean(x, window)[window - 1 :] - values.mean(axis=1)) <= ROUNDINGS * sizes / window).all()
    centred = away - away.mean(axis=1, keepdims=True)
    squares = (centred**2).sum(axis=1)
    deviation = np.sqrt(squares / (window - 1))
    mean, spread = (a[window - 1 :] for a in rolling_moments(x, window))
    np.testing.assert_allclose(mean, values.mean(axis=1).astype(float), rtol=2e-14, atol=ROUNDINGS * float(deviation.max()))
    assert (np.abs(spread - deviation) <= ROUNDINGS * deviation).all()
    assert same_bits(rolling_std(x, window)[window - 1 :], spread)
    assert (np.abs(rolling_std(x, window, ddof=0)[window - 1 :] - np.sqrt(squares / window)) <= ROUNDINGS * deviation).all()
    assert (
        np.abs(rolling_zscore(x, window)[window - 1 :] - centred[:, -1] / deviation) <= 2 * ROUNDINGS * np.sqrt(window)
    ).all()
    of_sizes = values[:, -1] / np.sqrt((values**2).mean(axis=1))
    np.testing.assert_allclose(volatility_scale(x, window)[window - 1 :], of_sizes.astype(float), rtol=ROUNDINGS)


@pytest.mark.parametrize("window", WINDOWS[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_skewness_is_scipys_in_long_double(kind: str, window: int) -> None:
    x = prices(kind)
    expected = scipy.stats.skew(from_first(x, window), axis=1)
    assert (np.abs(rolling_skew(x, window)[window - 1 :] - expected) <= 4 * ROUNDINGS * np.sqrt(window)).all()


@pytest.mark.parametrize("window", WINDOWS[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_a_line_is_the_least_squares_line_in_long_double(kind: str, window: int) -> None:
    x = prices(kind)
    values = from_first(x, window)
    time = np.arange(window) - np.longdouble(window - 1) / 2
    centred = values - values.mean(axis=1, keepdims=True)
    squares = (centred**2).sum(axis=1)
    slope = (centred * time).sum(axis=1) / (time**2).sum()
    explained = slope**2 * (time**2).sum() / squares
    residual = centred[:, -1] - slope * (window - 1) / 2
    deviation = np.sqrt(squares / (window - 1))
    mean, spread, rise, share, last = window_regression(x, window)
    for found, moment in zip((mean, spread), rolling_moments(x, window), strict=True):
        assert same_bits(found, moment)
    for found, expected in ((rise, slope), (last, residual)):
        assert (np.abs(found[window - 1 :] - expected) <= ROUNDINGS * deviation).all()
    assert (np.abs(share[window - 1 :] - explained) <= ROUNDINGS).all()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_correlation_is_the_definition_in_long_double(kind: str, window: int) -> None:
    x, y = prices(kind), np.log1p(np.random.default_rng(1).lognormal(8, 2, 700))
    a, b = (from_first(v, window) for v in (x, y))
    a, b = (v - v.mean(axis=1, keepdims=True) for v in (a, b))
    expected = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    assert (np.abs(window_correlation(x, y, window)[window - 1 :] - expected) <= ROUNDINGS).all()


def test_a_million_rows_are_as_exact_as_the_first_hundred() -> None:
    x = 1e5 + np.random.default_rng(7).normal(0.0, 1e-2, 1_000_000)
    x[500_000] = 1e14
    deviation = rolling_std(x, 48)
    last = np.arange(1_000_000 - 5_000, 1_000_000)
    expected = from_first(x[last[0] - 47 :], 48).std(axis=1, ddof=1)
    assert (np.abs(deviation[last] - expected) <= ROUNDINGS * expected).all()
    assert same_bits(rolling_zscore(x, 48)[last], rolling_zscore(x[last[0] - 47 :], 48)[47:])
    assert same_bits(rolling_sum(x, 48)[last], rolling_sum(x[last[0] - 47 :], 48)[47:])


OF_ONE: list[tuple[str, Callable[..., Any]]] = [
    ("sum", rolling_sum),
    ("mean", rolling_mean),
    ("mean of known", lambda x, window: rolling_mean(x, window, min_count=1)),
    ("mean of many known", lambda x, window: rolling_mean(x, window, min_count=window)),
    ("moments", rolling_moments),
    ("deviation", rolling_std),
    ("deviation of n", lambda x, window: rolling_std(x, window, ddof=0)),
    ("zscore", rolling_zscore),
    ("scale", volatility_scale),
    ("skew", rolling_skew),
    ("line", window_regression),
]
OF_TWO: list[tuple[str, Callable[..., Any]]] = [
    ("correlation", window_correlation),
    ("correlation of known", lambda x, y, window: window_correlation(x, y, window, skip_missing=True)),
]
FORGIVING = ("mean of known", "correlation of known")
"""A NaN takes itself from the window, not the window."""


def outputs(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple) else [found]


def every(x: Array, y: Array, window: int) -> dict[str, list[Array]]:
    of_one = {name: outputs(function(x, window)) for name, function in OF_ONE}
    return of_one | {name: outputs(function(x, y, window)) for name, function in OF_TWO}


@pytest.mark.parametrize("window", WINDOWS)
def test_values_do_not_know_where_the_series_begins_or_ends(window: int) -> None:
    """Bit for bit: what came before the window, a bad tick included, has left nothing behind."""
    x, y = prices("spiked"), prices("walk", seed=2)
    whole = every(x, y, window)
    for start, end in ((1, 700), (137, 500), (301, 302 + window)):
        for name, found in every(x[start:end], y[start:end], window).items():
            for part, full in zip(found, whole[name], strict=True):
                assert name == "mean of known" or np.isnan(part[: window - 1]).all()
                assert same_bits(part[window - 1 :], full[start + window - 1 : end]), name


def test_blocks_of_rows_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    from huracan.preprocessing import window_merging

    x, y = prices("walk"), prices("walk", seed=2)
    x[[40, 333]] = np.nan
    at_once = every(x, y, 12)
    monkeypatch.setattr(window_merging, "_ROWS", 50)
    for name, found in every(x, y, 12).items():
        assert all(same_bits(a, b) for a, b in zip(found, at_once[name], strict=True)), name


@pytest.mark.parametrize("window", [2, 4, 10, 33])
def test_a_nan_is_felt_in_the_windows_that_hold_it_and_nowhere_else(window: int) -> None:
    x, y = prices("walk"), prices("walk", seed=2)
    holed = x.copy()
    holed[[0, 250, 251, 400]] = np.nan
    touched = np.ones(len(x), dtype=bool)
    touched[window - 1 :] = np.isnan(windows_of(holed, window)).any(axis=1)
    clean = every(x, y, window)
    for name, found in every(holed, y, window).items():
        for ours, without in zip(found, clean[name], strict=True):
            assert name in FORGIVING or np.isnan(ours[touched]).all(), name
            assert same_bits(ours[~touched], without[~touched]), name
    pairs = pd.Series(holed).rolling(window, min_periods=2).corr(pd.Series(y)).to_numpy()
    ours = window_correlation(holed, y, window, skip_missing=True)
    np.testing.assert_allclose(ours[window - 1 :], pairs[window - 1 :], atol=1e-9)


@pytest.mark.parametrize(("window", "least"), [(1, 1), (3, 1), (3, 2), (24, 1), (24, 24), (49, 7)])
def test_the_mean_of_known_values_is_pandas(window: int, least: int) -> None:
    x = prices("walk")
    x[[0, 5, 300, 301, 402]] = np.nan
    x[500:560] = np.nan
    expected = pd.Series(x).rolling(window, min_periods=least).mean().to_numpy()
    np.testing.assert_allclose(rolling_mean(x, window, min_count=least), expected, rtol=1e-12)
    np.testing.assert_allclose(rolling_mean(x[:2], window, min_count=least), expected[:2], rtol=1e-12)


@pytest.mark.parametrize("window", [2, 3, 10, 60])
def test_what_does_not_move_has_no_deviation_no_line_and_no_correlation(window: int) -> None:
    x = np.concatenate([prices("spiked", 400), np.full(200, 7.3)])
    y = prices("walk", 600, seed=4)
    still = slice(400 + window - 1, None)
    _, deviation, slope, explained, residual = (a[still] for a in window_regression(x, window))
    assert (deviation == 0.0).all() and (slope == 0.0).all() and (residual == 0.0).all()
    assert np.isnan(explained).all()
    for pair in ((x, y), (y, x)):
        for _, correlation in OF_TWO:
            assert np.isnan(correlation(*pair, window)[still]).all()
    mean, deviation = rolling_moments(x, window)
    assert (mean[still] == 7.3).all() and (deviation[still] == 0.0).all()
    assert (rolling_zscore(x, window)[still] == 0.0).all() and (rolling_skew(x, window)[still] == 0.0).all()


def test_windows_of_one_value() -> None:
    x = np.array([3.0, np.nan, -1.0])
    np.testing.assert_array_equal(rolling_sum(x, 1), x)
    np.testing.assert_array_equal(rolling_mean(x, 1), x)
    np.testing.assert_array_equal(rolling_std(x, 1, ddof=0), [0.0, np.nan, 0.0])
    assert np.isnan(rolling_std(x, 1)).all() and np.isnan(rolling_std(x, 3, ddof=3)).all()


def test_too_few_pairs_have_no_correlation() -> None:
    x = np.array([1.0, np.nan, np.nan, 4.0, np.nan, 6.0])
    found = window_correlation(x, np.arange(6.0), 3, skip_missing=True)
    np.testing.assert_array_equal(found, [np.nan] * 5 + [1.0])


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_a_window_longer_than_the_series_has_no_value(rows: int) -> None:
    x = np.arange(float(rows))
    for name, found in every(x, x, 5).items():
        assert all(len(a) == rows and (name == "mean of known" or np.isnan(a).all()) for a in found), name


def test_the_unit_of_price_changes_no_bit() -> None:
    x, y = prices("walk"), prices("walk", seed=2)
    for window in (5, 60):
        _, deviation, slope, explained, residual = window_regression(x, window)
        _, deviation_2, slope_2, explained_2, residual_2 = window_regression(x * 2.0**-40, window)
        assert same_bits(deviation * 2.0**-40, deviation_2) and same_bits(slope * 2.0**-40, slope_2)
        assert same_bits(residual * 2.0**-40, residual_2) and same_bits(explained, explained_2)
        assert same_bits(window_correlation(x, y, window), window_correlation(x * 2.0**30, y, window))


def bar_by_bar(function: Callable[..., Any], x: Array, y: Array, history: int) -> list[Array]:
    """Recorded, opened on some bars, and run over the rest: one array for each output."""
    graph = Graph()
    price = graph.input("close") / graph.input("scale")
    values = outputs(function(graph.input("volume"), price))
    program = compiled_program(graph, [value.number for value in values])
    bars = Bars({"volume": x[:history], "close": y[:history]} if history else {})
    running = RunningProgram(program, bars, bars.scale)
    feed = enumerate(zip(y[history:].tolist(), x[history:].tolist(), strict=True), history)
    rows = [running.step(row, 0, math.nan, math.nan, math.nan, *bar) for row, bar in feed]
    return list(np.array(rows, dtype=float).reshape(len(rows), len(values)).T)


def both_ways(x: Array, y: Array, window: int, history: int) -> Iterator[tuple[str, Array, Array]]:
    """Name, values bar by bar and batch's of every output of every function."""
    batch = every(x, y, window)
    recorded = bar_by_bar(lambda x, y: tuple(a for found in every(x, y, window).values() for a in found), x, y, history)
    names = [(name, whole[history:]) for name, found in batch.items() for whole in found]
    yield from ((name, ours, whole) for ours, (name, whole) in zip(recorded, names, strict=True))


def hostile(holes: bool) -> tuple[Array, Array]:
    """A price on ticks that stands still twice and once triples for a bar; log volume, of which some is missing."""
    rng = np.random.default_rng(3)
    price = np.round(1e5 * np.exp(np.cumsum(rng.normal(0, 0.001, 900))), 1)
    price[200:260], price[600:750] = price[200], price[600]
    price[400] *= 1e9
    volume = np.log1p(np.floor(rng.lognormal(1, 2, 900)))
    volume[500:530] = 0.0
    if holes:
        price[[0, 1, 300, 301, 800]] = np.nan
        volume[[5, 302, 603, 604, 650]] = np.nan
        price[810:870] = np.nan
    return price, volume


@pytest.mark.parametrize("history", [0, 1, 40, 601])
@pytest.mark.parametrize("window", [2, 3, 10, 41])
@pytest.mark.parametrize("holes", [False, True])
def test_bar_by_bar_is_batch_to_the_bit(holes: bool, window: int, history: int) -> None:
    price, volume = hostile(holes)
    for name, ours, batch in both_ways(price, volume, window, history):
        np.testing.assert_array_equal(ours, batch, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(
    x=st.lists(st.sampled_from([0.0, 0.0, 1.0, -1.0, 1e-8, 3.7, 1e9, float("nan")]), min_size=1, max_size=60),
    window=st.integers(2, 9),
    cut=st.floats(0, 1),
)
def test_any_series_any_window_any_cut(x: list[float], window: int, cut: float) -> None:
    values, at = np.array(x), int(cut * len(x))
    prices = values[::-1].copy()
    prices[0] = abs(prices[0]) or 1.0  # a segment begins with a price, or with a hole
    for name, ours, batch in both_ways(values, prices, window, at):
        np.testing.assert_array_equal(ours, batch, err_msg=name)
