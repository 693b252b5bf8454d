"""The filters agree with their definition written out, look only backwards, and divide by nothing."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.errors import FeatureError
from huracan.preprocessing import hampel, winsorise


def rough_series(n: int = 3000, seed: int = 0) -> np.ndarray:
    """Heavy tails, ties, holes and a flat stretch."""
    rng = np.random.default_rng(seed)
    x = rng.standard_t(2, n).round(1)
    x[rng.random(n) < 0.05] = np.nan
    x[n // 6 : n // 3] = 0.0
    return x


def written_out(x: np.ndarray, window: int, k: float, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Hampel's filter row by row, straight from its definition."""
    values, flags = x.copy(), np.zeros(len(x), bool)
    for t in range(len(x)):
        past = x[:t][~np.isnan(x[:t])][-window:]
        if len(past) < window or np.isnan(x[t]):
            continue
        middle = np.median(past)
        deviations = np.abs(past - middle)
        scale = np.median(deviations) / 0.6744897501960817
        scale = max(scale if scale > 0 else deviations.mean() * np.sqrt(np.pi / 2), floor)
        if scale > 0 and abs(x[t] - middle) > k * scale:
            values[t], flags[t] = middle, True
    return values, flags


@pytest.mark.parametrize(("window", "k", "floor"), [(2, 3, 0.0), (21, 2, 0.0), (41, 1, 0.0), (50, 3, 0.3), (240, 1.5, 0.0)])
def test_hampel_is_its_definition(window: int, k: float, floor: float) -> None:
    x = rough_series()
    values, flags = hampel(x, window, k, floor=floor)
    expected_values, expected_flags = written_out(x, window, k, floor)
    assert flags.sum() > 20
    np.testing.assert_array_equal(flags, expected_flags)
    np.testing.assert_array_equal(values, expected_values)


def test_winsorise_is_the_quantile_of_the_values_before() -> None:
    x = rough_series()
    values, flags = winsorise(x, 200, (0.02, 0.9))
    known = np.flatnonzero(~np.isnan(x))
    for place in range(200, len(known), 37):
        low, high = np.quantile(x[known[place - 200 : place]], [0.02, 0.9])
        assert values[known[place]] == pytest.approx(np.clip(x[known[place]], low, high), abs=1e-12)
    np.testing.assert_array_equal(flags, (values != x) & ~np.isnan(x))
    assert np.isnan(values[np.isnan(x)]).all()
    np.testing.assert_array_equal(values[: known[200]], x[: known[200]])


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, 3000), seed=st.integers(0, 5))
def test_a_prefix_is_filtered_as_in_the_whole(cut: int, seed: int) -> None:
    x = rough_series(seed=seed)
    for whole, part in ((hampel(x, 60, 2.0), hampel(x[:cut], 60, 2.0)), (winsorise(x, 200), winsorise(x[:cut], 200))):
        np.testing.assert_array_equal(part.values, whole.values[:cut])
        np.testing.assert_array_equal(part.flags, whole.flags[:cut])


def test_share_of_a_normal_beyond_two_deviations() -> None:
    """4.55 % of a normal lie beyond two deviations; that the MAD of 1,000 values errs by 3.7 % adds 0.06 %."""
    x = np.random.default_rng(0).normal(5.0, 3.0, 300_000)
    assert hampel(x, 1000, 2.0).flags.mean() == pytest.approx(0.0461, rel=0.03)
    assert winsorise(x, 1000, (0.01, 0.95)).flags.mean() == pytest.approx(0.06, rel=0.05)


def test_what_never_moved_has_no_scale_and_a_floor_gives_one() -> None:
    x = np.ones(100)
    x[80] = 1.001
    with np.errstate(all="raise"):
        assert not hampel(x, 50, 3.0).flags.any()
        assert np.flatnonzero(hampel(x, 50, 3.0, floor=1e-4).flags).tolist() == [80]
        assert not hampel(np.full(100, 7.0), 50, 1.0).flags.any()
    x[79] = 2.0  # now the window has a mean deviation, though its MAD is 0
    assert hampel(x, 50, 3.0).flags[80] == (0.001 > 3 * 1.2533141373155 * 1.0 / 50)


def test_precision_is_kept_and_bad_input_is_named() -> None:
    assert hampel(rough_series().astype(np.float32)).values.dtype == np.float32
    assert hampel([], 20).values.shape == winsorise([], 200).values.shape == (0,)
    assert not hampel(np.full(300, np.nan)).flags.any()
    with pytest.raises(FeatureError, match=r"x holds inf in row 1; a finite or missing value"):
        hampel([1.0, np.inf])
    with pytest.raises(FeatureError, match="2 dimensions"):
        winsorise(np.ones((3, 3)))
    with pytest.raises(FeatureError, match="window is 1; a whole number of at least 2"):
        hampel([1.0], window=1)
    with pytest.raises(FeatureError, match="k is nan"):
        hampel([1.0], k=float("nan"))
    with pytest.raises(FeatureError, match="at least 1000 values"):
        winsorise([1.0], window=500, quantiles=(0.001, 0.999))
    with pytest.raises(FeatureError, match="low < high"):
        winsorise([1.0], quantiles=(0.9, 0.1))


def test_a_year_of_minutes_takes_a_moment(market_data: Path) -> None:
    close = pl.read_parquet(market_data / "candles" / "DOGE-USDT_1m.parquet")["close"].to_numpy()
    returns = np.diff(np.log(close))
    for run in (lambda: hampel(returns, 240, 10.0), lambda: winsorise(returns, 1000)):
        run()
        began = time.process_time()
        run()
        assert time.process_time() - began < 0.3
