"""Rolling normalisation against pandas and scipy, within symbol and segment, from the past only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import median_abs_deviation, norm

from huracan.errors import FeatureError, UnknownName
from huracan.preprocessing import FeatureRecipe, feature, normalize, rolling_median
from huracan.preprocessing.normalization import METHODS
from huracan.preprocessing.rolling_median import rolling_mad_score, rolling_median_and_spread
from huracan.preprocessing.spec import STEPS
from huracan.preprocessing.streams import open_stream

WINDOW = 24


def series(n: int = 1_200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(3, n)


KINDS = {
    "heavy tails": series(),
    "ties": np.round(series(seed=1)),
    "mostly zero": np.where(np.random.default_rng(2).random(1_200) < 0.7, 0.0, series(seed=2)),
    "flat stretches": np.repeat(series(40, seed=3), 30),
    "holes": np.where(np.random.default_rng(4).random(1_200) < 0.01, np.nan, series(seed=4)),
    "late": np.r_[np.full(50, np.nan), series(1_150, seed=5)],
}


def oracle(x: np.ndarray, method: str, window: int, past: bool) -> np.ndarray:
    """The textbook formulas in pandas and scipy, window by window."""
    s = pd.Series(x)
    seen = s.shift(1) if past else s
    rolling = seen.rolling(window)
    low, high = rolling.min(), rolling.max()
    if method == "zscore":
        score = (s - rolling.mean()) / rolling.std()
    elif method == "volatility":
        return (s / np.sqrt((seen**2).rolling(window).mean())).to_numpy()
    elif method == "minmax":
        score = 2.0 * (s - low) / (high - low) - 1.0
    elif method == "rank":
        size = window + 1 if past else window
        return (2.0 * (s.rolling(size).rank() - 1.0) / (size - 1.0) - 1.0).to_numpy()
    else:
        deviation = rolling.apply(lambda v: median_abs_deviation(v), raw=True)
        mean = rolling.apply(lambda v: np.mean(np.abs(v - np.median(v))), raw=True)
        score = (s - rolling.median()) / np.where(deviation > 0, deviation / norm.ppf(0.75), mean * np.sqrt(np.pi / 2))
    still = (low == high).to_numpy()
    return np.where(still, np.where(s == low, 0.0, np.nan), score.to_numpy())


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_values_are_the_textbook_formulas(method: str, kind: str, past: bool) -> None:
    x = KINDS[kind]
    expected = oracle(x, method, WINDOW, past)
    if method == "volatility":
        expected = np.where(np.isinf(expected), np.nan, expected)  # a move after a window of zeros
    found = METHODS[method][past](x, WINDOW)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    ours = normalize(x, method, WINDOW, exclude_current=past)
    np.testing.assert_array_equal(ours, found.astype(np.float32))


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_past_alone_decides_bit_for_bit(method: str, past: bool) -> None:
    score = METHODS[method][past]
    for x in KINDS.values():
        whole = score(x, WINDOW)
        for cut in [1, 23, 24, 25, 26, 75, *np.random.default_rng(6).integers(80, 1_200, 50)]:
            assert score(x[:cut].copy(), WINDOW).tobytes() == whole[:cut].tobytes(), cut


@pytest.mark.parametrize("method", METHODS)
def test_without_the_current_row_the_window_ends_before_it(method: str) -> None:
    """Statistics do not change with the value; so a past score goes up exactly as the value goes up."""
    x = series(300)
    score = METHODS[method][1]
    for t in (100, 250):
        values = []
        for moved in (x[t], x[t] + 1.0, x[t] + 1_000.0):
            y = x.copy()
            y[t] = moved
            values.append(score(y, WINDOW)[t])
        if method == "rank":
            assert values == sorted(values)
            assert values[2] == 1.0
        else:
            assert (values[2] - values[0]) / (values[1] - values[0]) == pytest.approx(1_000.0, rel=1e-6)


def test_a_score_within_its_own_window_is_bounded_and_one_of_the_past_is_not() -> None:
    """Shiffler (1988): |z| <= (n - 1) / sqrt(n)."""
    x = series(100)
    x[60] = 1e6
    bound = (WINDOW - 1) / np.sqrt(WINDOW)
    assert METHODS["zscore"][0](x, WINDOW)[60] == pytest.approx(bound, rel=1e-6)
    assert METHODS["zscore"][1](x, WINDOW)[60] > 1e5


# Median and MAD


@given(
    hnp.arrays(np.float64, st.integers(0, 90), elements=st.sampled_from([0.0, 1.0, -1.0, 2.5, 1e-9, 1e6, np.nan]))
    | hnp.arrays(np.float64, st.integers(0, 90), elements=st.floats(-1e3, 1e3)),
    st.integers(1, 33),
)
@settings(max_examples=150, deadline=None)
def test_median_and_spread_by_both_ways_are_numpy(x: np.ndarray, window: int) -> None:
    median, spread = rolling_median_and_spread(x, window)
    kept = open_stream(rolling_median_and_spread, (window,), {}, [x[:0]])
    online = np.array([kept.update(value) for value in x.tolist()]).reshape(-1, 2)
    np.testing.assert_array_equal(online[:, 0], median)
    np.testing.assert_allclose(online[:, 1], spread, rtol=1e-12, atol=0)
    for t in range(len(x)):
        part = x[max(0, t - window + 1) : t + 1]
        if len(part) < window or np.isnan(part).any():
            assert np.isnan(median[t]) and np.isnan(spread[t])
            continue
        away = np.abs(part - np.median(part))
        assert median[t] == np.median(part)
        scaled = np.median(away) / norm.ppf(0.75)
        if np.median(away) <= 1e-12 * np.ptp(part):
            scaled = away.mean() * np.sqrt(np.pi / 2)
        assert spread[t] == pytest.approx(scaled, rel=1e-12, abs=0)


def test_long_windows_are_kept_in_order_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    for x in (KINDS["heavy tails"], KINDS["ties"], KINDS["holes"], KINDS["mostly zero"]):
        for window in (2, 3, 40, 41):
            sorted_anew = rolling_median_and_spread(x, window)
            monkeypatch.setattr(rolling_median, "_SORTED_WHOLE", 1)
            kept = rolling_median_and_spread(x, window)
            monkeypatch.undo()
            np.testing.assert_array_equal(kept[0], sorted_anew[0])
            np.testing.assert_allclose(kept[1], sorted_anew[1], rtol=1e-13, atol=0)


@pytest.mark.parametrize("at", [0, 1, 23, 24, 25, 60, 700])
def test_the_stream_goes_on_where_batch_stands(at: int) -> None:
    for x in KINDS.values():
        holed = x.copy()
        holed[650] = np.inf
        median, spread = rolling_median_and_spread(holed, WINDOW)
        stream = open_stream(rolling_median_and_spread, (WINDOW,), {}, [holed[:at]])
        online = np.array([stream.update(value) for value in holed[at:].tolist()])
        np.testing.assert_array_equal(online[:, 0], median[at:])
        np.testing.assert_allclose(online[:, 1], spread[at:], rtol=1e-12, atol=0)


def test_an_outlier_moves_no_other_score() -> None:
    """Breakdown point one half: the flash crash leaves its neighbours' scores within a neighbouring order statistic."""
    x = series(400, seed=9)
    crashed = x.copy()
    crashed[200] = -1e9
    clean, hit = rolling_mad_score(x, 96), rolling_mad_score(crashed, 96)
    others = np.r_[150:200, 201:290]
    assert np.abs(hit - clean)[others].max() < 0.35
    assert hit[200] < -1e8
    distorted = METHODS["zscore"][0](crashed, 96) - METHODS["zscore"][0](x, 96)
    assert np.abs(distorted[201:290]).max() > 1.0


def test_of_a_normal_the_score_has_deviation_one() -> None:
    scores = rolling_mad_score(np.random.default_rng(3).normal(size=60_000), 500)[499:]
    assert scores.std() == pytest.approx(1.0, abs=0.02)


# Frames


def panel() -> pl.DataFrame:
    n = 120
    return pl.DataFrame(
        {
            "symbol": ["A"] * n + ["B"] * n,
            "ts": [*range(n), *range(n)],
            "segment": [0] * 50 + [1] * (n - 50) + [0] * n,
            "x": series(2 * n, seed=7),
            "y": pl.Series(series(2 * n, seed=8), dtype=pl.Float32),
            "z": range(2 * n),
        }
    )


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_no_window_crosses_a_symbol_or_a_gap(method: str, past: bool) -> None:
    frame = panel()
    whole = normalize(frame, method, 10, exclude_current=past)
    assert whole.columns == frame.columns
    assert [whole.schema[c] for c in "xyz"] == [pl.Float32] * 3
    assert whole.select("symbol", "ts", "segment").equals(frame.select("symbol", "ts", "segment"))
    for _, part in frame.group_by("symbol", "segment", maintain_order=True):
        rows = whole.join(part.select("symbol", "ts"), on=["symbol", "ts"], how="semi", maintain_order="left")
        for name in "xyz":
            alone = METHODS[method][past](part[name].cast(pl.Float64).to_numpy(), 10).astype(np.float32)
            np.testing.assert_array_equal(rows[name].fill_null(np.nan).to_numpy(), alone)
            assert rows[name].is_nan().sum() == 0, "null, not NaN"
            assert rows[name][: 10 - (not past)].null_count() == 10 - (not past)


def test_symbols_may_be_mixed_and_other_columns_stay() -> None:
    frame = panel()
    by_time = frame.sort("ts", "symbol")
    mixed = normalize(by_time, "mad", 10).sort("symbol", "ts")
    assert mixed.equals(normalize(frame, "mad", 10))
    only = normalize(frame, "rank", 10, columns=["y"])
    assert only.drop("y").equals(frame.drop("y"))
    assert normalize(frame.lazy(), "rank", 10, columns=["y"]).equals(only)


def test_pandas_and_numpy_come_back_as_they_went_in() -> None:
    frame = panel()
    polars = normalize(frame, "zscore", 12)
    pandas = frame.to_pandas().set_index(pd.Index(range(1_000, 1_240)))
    found = normalize(pandas, "zscore", 12)
    assert list(found.index) == list(pandas.index)
    assert list(found.columns) == list(pandas.columns)
    assert found["x"].dtype == np.float32
    np.testing.assert_array_equal(found["x"], polars["x"].fill_null(np.nan))
    zoned = pandas.assign(ts=pd.to_datetime(pandas["ts"], unit="h", utc=True)).rename(columns={"x": 7})
    np.testing.assert_array_equal(normalize(zoned, "zscore", 12)[7], found["x"])
    values = frame.select("x", "z").to_numpy()
    before = values.copy()
    array = normalize(values, "zscore", 12)
    assert (array.shape, array.dtype) == (values.shape, np.float32)
    np.testing.assert_array_equal(array[:, 1], normalize(values[:, 1], "zscore", 12))
    np.testing.assert_array_equal(values, before)
    assert normalize(np.empty((0, 3)), "mad").shape == (0, 3)
    assert normalize(frame.head(0), "mad").height == 0


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_step_of_a_recipe_is_the_method(method: str, past: bool) -> None:
    step = ("past_" if past else "") + ("scale" if method == "volatility" else method)
    hours = pl.datetime_range(pl.datetime(2025, 1, 1), pl.datetime(2025, 1, 20), "1h", time_zone="UTC", eager=True)
    close = 10.0 * np.exp(np.cumsum(0.01 * series(len(hours), seed=3)))
    candles = pl.DataFrame({"symbol": "A", "ts": hours.cast(pl.Datetime("ms", "UTC")), "close": close})
    plain = feature("rsi", window=14)
    raw = FeatureRecipe([plain]).compute(candles, dtype=pl.Float64)
    assert STEPS[step].lookback(30) == 30 - (not past)
    stepped = FeatureRecipe([plain.followed_by(step, window=30)]).compute(candles)
    ours = normalize(raw, method, 30, exclude_current=past)
    np.testing.assert_array_equal(stepped[:, -1].fill_null(np.nan), ours[:, -1].fill_null(np.nan))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"method": "zscor"}, UnknownName, "unknown normalisation method 'zscor'; did you mean 'zscore'"),
        ({"window": 1}, FeatureError, "window is 1; a whole number of rows of at least 2"),
        ({"window": 9.5}, FeatureError, "window is 9.5"),
        ({"columns": ["x", "w"]}, FeatureError, "column 'w' is not among symbol, ts"),
        ({"columns": "x"}, FeatureError, "columns is the text 'x'"),
        ({"columns": ["ts"]}, FeatureError, "column 'ts' is a key"),
        ({"features": panel().with_columns(x=pl.lit("up"))}, FeatureError, "column 'x' is String; numbers were expected"),
        ({"features": panel().to_pandas().assign(x="up")}, FeatureError, "column 'x' is .*numbers were expected"),
        ({"features": panel().with_columns(y=pl.lit(np.inf))}, FeatureError, r"column 'y' is infinite in row 0 \(A, 0\)"),
        ({"features": pd.DataFrame(np.ones((9, 2)), columns=["x", "x"])}, FeatureError, "column 'x' is there twice"),
        ({"features": np.array(["a"])}, FeatureError, "an array of <U1"),
        ({"features": np.ones((2, 2, 2))}, FeatureError, "3 dimensions"),
        ({"features": np.ones((9, 2)), "columns": ["x"]}, FeatureError, "an array has no column names"),
        ({"features": panel().reverse()}, FeatureError, r"row 1 \(B, 118\) does not come after the row before it"),
        ({"features": panel().drop("segment").with_columns(ts=7)}, FeatureError, r"row 1 \(A, 7\)"),
    ],
)
def test_bad_input_gets_one_sentence(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        normalize(**{"features": panel(), "window": 10, **given})


def test_a_score_beyond_float32_is_refused_by_name() -> None:
    x = np.r_[np.full(9, 1e-30), 2e-30, 1e30]
    with pytest.raises(FeatureError, match="column 'x' has no finite score in row 10"):
        normalize(pl.DataFrame({"x": x}), "zscore", 10, exclude_current=True)
