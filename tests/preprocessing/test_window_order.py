"""Quantiles, rank and places of extremes: pandas as the oracle, ties and NaN included."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from huracan.preprocessing.window_order import window_argmax, window_argmin, window_quantiles, window_rank

WINDOWS = (1, 2, 5, 10, 60, 100, 101, 250)


def on_ticks(holes: bool) -> NDArray[np.float64]:
    """A walk on coarse ticks: a third of the values have equals in the window."""
    x = np.round(np.cumsum(np.random.default_rng(1).normal(0, 1, 600)), 1)
    x[100:180] = x[100]
    if holes:
        x[[0, 5, 300, 301, 402]] = np.nan
    return x


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("holes", [False, True])
def test_equal_to_pandas(window: int, holes: bool) -> None:
    x = on_ticks(holes)
    rolling = pd.Series(x).rolling(window)
    for share, found in zip((0.2, 0.5, 0.8), window_quantiles(x, window, 0.2, 0.5, 0.8), strict=True):
        np.testing.assert_allclose(found, rolling.quantile(share).to_numpy(), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(window_rank(x, window), rolling.rank(pct=True).to_numpy(), rtol=1e-14)
    places = rolling.apply(lambda values: values.argmax() + 1, raw=True).to_numpy()
    np.testing.assert_array_equal(window_argmax(x, window), places)
    places = rolling.apply(lambda values: values.argmin() + 1, raw=True).to_numpy()
    np.testing.assert_array_equal(window_argmin(x, window), places)


@pytest.mark.parametrize("window", [5, 100, 101])
def test_values_depend_on_their_window_only(window: int) -> None:
    x = on_ticks(holes=False)
    for function in (window_rank, window_argmax, window_argmin):
        np.testing.assert_array_equal(function(x[77:400], window)[window - 1 :], function(x, window)[77 + window - 1 : 400])
    part, whole = window_quantiles(x[77:400], window, 0.3), window_quantiles(x, window, 0.3)
    np.testing.assert_array_equal(part[window - 1 :], whole[77 + window - 1 : 400])


def test_both_ways_to_a_rank_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    from huracan.preprocessing import rank_counting

    x = on_ticks(holes=True)
    compared = window_rank(x, 40)
    monkeypatch.setattr(rank_counting, "_COMPARED", 1)
    np.testing.assert_array_equal(window_rank(x, 40), compared)
    monkeypatch.undo()
    monkeypatch.setattr(rank_counting, "_BLOCK", 37)
    np.testing.assert_array_equal(window_rank(x, 40), compared)


def test_both_ways_to_a_quantile_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    from huracan.preprocessing import window_order

    x = on_ticks(holes=True)
    sorted_one_by_one = window_quantiles(x, 40, 0.2, 0.8)
    monkeypatch.setattr(window_order, "_SORTED", 1)
    for a, b in zip(sorted_one_by_one, window_quantiles(x, 40, 0.2, 0.8), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_many_rows_are_sorted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from huracan.preprocessing import window_order

    x = on_ticks(holes=True)
    at_once = window_quantiles(x, 7, 0.8)
    monkeypatch.setattr(window_order, "_AT_ONCE", 7 * 13)
    np.testing.assert_array_equal(window_quantiles(x, 7, 0.8), at_once)


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_a_window_longer_than_the_series_has_no_value(rows: int) -> None:
    x = np.arange(float(rows))
    for found in (window_rank(x, 5), window_argmax(x, 5), window_argmin(x, 5), *window_quantiles(x, 5, 0.2, 0.8)):
        assert len(found) == rows
        assert np.isnan(found).all()
