"""Windows merged from halves: equal to the definition in long double, and blind to everything outside the window."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from huracan.preprocessing.window_moments import window_correlation, window_moments, window_regression, window_sum

Array = NDArray[np.float64]
ROUNDINGS = 16 * np.finfo(float).eps
"""A few roundings of the window's own deviation, whatever the level of the price."""
WINDOWS = (3, 5, 10, 20, 31, 60, 64, 131)


def prices(kind: str, n: int = 700, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    if kind == "quiet":  # moves of a millionth of the price
        return 5e4 * (1.0 + 1e-6 * np.cumsum(rng.normal(size=n)))
    walk = 1e2 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n)))
    if kind == "spiked":  # a bad tick of a million times the price
        walk[300] *= 1e6
    return walk


def windows_of(x: Array, window: int) -> NDArray[np.longdouble]:
    return np.lib.stride_tricks.sliding_window_view(x, window).astype(np.longdouble)


def same_bits(a: Array, b: Array) -> bool:
    return a.tobytes() == b.tobytes()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", ["walk", "quiet", "spiked"])
def test_a_line_is_the_least_squares_line_in_long_double(kind: str, window: int) -> None:
    x = prices(kind)
    values = windows_of(x, window)
    values -= values[:, :1].copy()  # exact in long double; the first value goes back into the mean
    time = np.arange(window) - np.longdouble(window - 1) / 2
    centred = values - values.mean(axis=1, keepdims=True)
    squares = (centred**2).sum(axis=1)
    slope = (centred * time).sum(axis=1) / (time**2).sum()
    explained = slope**2 * (time**2).sum() / squares
    residual = centred[:, -1] - slope * (window - 1) / 2
    deviation = np.sqrt(squares / (window - 1))
    mean, spread, rise, share, last = (a[window - 1 :] for a in window_regression(x, window))
    np.testing.assert_allclose(mean, (values.mean(axis=1) + x[: len(values)]).astype(float), rtol=2e-14)
    for found, expected in ((spread, deviation), (rise, slope), (last, residual)):
        assert (np.abs(found - expected) <= ROUNDINGS * deviation).all()
    assert (np.abs(share - explained) <= ROUNDINGS).all()


@pytest.mark.parametrize("window", WINDOWS)
def test_a_correlation_is_the_definition_in_long_double(window: int) -> None:
    x, y = prices("quiet"), np.log1p(np.random.default_rng(1).lognormal(8, 2, 700))
    a, b = (v - v[:, :1] for v in (windows_of(x, window), windows_of(y, window)))
    a, b = (v - v.mean(axis=1, keepdims=True) for v in (a, b))
    expected = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    assert (np.abs(window_correlation(x, y, window)[window - 1 :] - expected) <= ROUNDINGS).all()


def every(x: Array, y: Array, window: int) -> list[Array]:
    total, moments, line = window_sum(x, window), window_moments(x, window), window_regression(x, window)
    return [total, *moments, *line, window_correlation(x, y, window)]


@pytest.mark.parametrize("window", WINDOWS)
def test_values_do_not_know_where_the_series_begins_or_ends(window: int) -> None:
    """Bit for bit: what came before the window, a bad tick included, has left nothing behind."""
    x, y = prices("spiked"), prices("walk", seed=2)
    whole = every(x, y, window)
    for start, end in ((1, 700), (137, 500), (301, 302 + window)):
        for part, full in zip(every(x[start:end], y[start:end], window), whole, strict=True):
            assert np.isnan(part[: window - 1]).all()
            assert same_bits(part[window - 1 :], full[start + window - 1 : end])


@pytest.mark.parametrize("window", [4, 10, 33])
def test_a_nan_is_felt_in_the_windows_that_hold_it_and_nowhere_else(window: int) -> None:
    x, y = prices("walk"), prices("walk", seed=2)
    holed = x.copy()
    holed[[0, 250, 251, 400]] = np.nan
    touched = np.ones(len(x), dtype=bool)
    touched[window - 1 :] = np.isnan(windows_of(holed, window)).any(axis=1)
    for clean, found in zip(every(x, y, window)[:-1], every(holed, y, window)[:-1], strict=True):
        assert np.isnan(found[touched]).all()
        assert same_bits(found[~touched], clean[~touched])
    correlation = window_correlation(holed, y, window)  # here the pair is left out, and the others count
    assert same_bits(correlation[~touched], window_correlation(x, y, window)[~touched])
    pairs = pd.Series(holed).rolling(window, min_periods=2).corr(pd.Series(y)).to_numpy()
    np.testing.assert_allclose(correlation[window - 1 :], pairs[window - 1 :], atol=1e-9)


@pytest.mark.parametrize("window", [3, 10, 60])
def test_what_does_not_move_has_no_deviation_no_line_and_no_correlation(window: int) -> None:
    x = np.concatenate([prices("spiked", 400), np.full(200, 7.3)])
    y = prices("walk", 600, seed=4)
    _, deviation, slope, explained, residual = (a[400 + window - 1 :] for a in window_regression(x, window))
    assert (deviation == 0.0).all() and (slope == 0.0).all() and (residual == 0.0).all()
    assert np.isnan(explained).all()
    assert np.isnan(window_correlation(x, y, window)[400 + window - 1 :]).all()
    assert np.isnan(window_correlation(y, x, window)[400 + window - 1 :]).all()
    assert (window_moments(x, window)[1][400 + window - 1 :] == 0.0).all()


def test_too_few_pairs_have_no_correlation() -> None:
    x = np.array([1.0, np.nan, np.nan, 4.0, np.nan, 6.0])
    np.testing.assert_array_equal(window_correlation(x, np.arange(6.0), 3), [np.nan] * 5 + [1.0])


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_a_window_longer_than_the_series_has_no_value(rows: int) -> None:
    x = np.arange(float(rows))
    assert all(len(found) == rows and np.isnan(found).all() for found in every(x, x, 5))


def test_the_unit_of_price_changes_no_bit() -> None:
    x, y = prices("walk"), prices("walk", seed=2)
    for window in (5, 60):
        _, deviation, slope, explained, residual = window_regression(x, window)
        _, deviation_2, slope_2, explained_2, residual_2 = window_regression(x * 2.0**-40, window)
        assert same_bits(deviation * 2.0**-40, deviation_2) and same_bits(slope * 2.0**-40, slope_2)
        assert same_bits(residual * 2.0**-40, residual_2) and same_bits(explained, explained_2)
        assert same_bits(window_correlation(x, y, window), window_correlation(x * 2.0**30, y, window))
