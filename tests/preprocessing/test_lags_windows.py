"""Lags and windows are views of what they look at, and never reach over a gap."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from huracan.errors import FeatureError, NotEnoughData
from huracan.preprocessing import FeatureRecipe, feature, windows, with_lags
from huracan.preprocessing.columns import MOST_VIEWS


def candles(n: int = 300, symbols: tuple[str, ...] = ("A",), holes: tuple[int, ...] = (), seed: int = 1) -> pl.DataFrame:
    """Hourly random walks; bars at ``holes`` are missing."""
    rng = np.random.default_rng(seed)
    parts = []
    for symbol in symbols:
        close = 20.0 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
        start = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
        part = pl.DataFrame(
            {
                "symbol": symbol,
                "ts": pl.Series([start + dt.timedelta(hours=i) for i in range(n)], dtype=pl.Datetime("ms", "UTC")),
                "open": close,
                "high": close * 1.01,
                "low": close * 0.99,
                "close": close,
                "volume": rng.lognormal(2, 1, n),
            }
        )
        parts.append(part[[i for i in range(n) if i not in holes]])
    return pl.concat(parts)


def address(column: pl.Series) -> int:
    """Where row 100 of a one-piece column, and what follows it, lies in memory."""
    return column[100:].to_numpy(allow_copy=False).__array_interface__["data"][0]


BASE = FeatureRecipe([feature("efficiency_ratio", window=5), feature("return_skew", window=12)])


def test_a_lag_is_the_same_memory_read_further_left() -> None:
    frame = BASE.with_lags([1, 7]).compute(candles())
    for name in BASE.columns:
        for k in (1, 7):
            lagged = frame[f"{name}__lag_{k}"]
            assert address(lagged) == address(frame[name]) - 4 * k, "float32 values, k rows earlier"
    copies = BASE.with_lags([1, 7]).compute(candles(), materialise=True)
    places = [address(copies[c]) for c in copies.columns[3:]]
    assert len({place // (4 * 300) for place in places}) == len(places), "each has memory of its own"


@pytest.mark.parametrize("holes", [(), (40, 41, 150), tuple(range(3, 290, 11))])
def test_views_copies_and_shifts_agree(holes: tuple[int, ...]) -> None:
    given = candles(symbols=("A", "B", "C"), holes=holes)
    recipe = BASE.with_lags([1, 3, 60])
    views, copies = recipe.compute(given), recipe.compute(given, materialise=True)
    shifted = with_lags(BASE.compute(given), [1, 3, 60]).select(views.columns)
    assert views.equals(copies)
    assert views.equals(shifted)


def test_with_more_segments_than_views_are_worth_lags_are_copied() -> None:
    n = 3 * (MOST_VIEWS + 5)
    given = candles(n, holes=tuple(range(0, n, 3)))
    frame = FeatureRecipe([feature("candle_shape")]).with_lags([1]).compute(given)
    assert frame["segment"].n_unique() > MOST_VIEWS
    assert frame["candle_shape_body__lag_1"].n_chunks() == 1


def test_the_number_of_threads_changes_no_bit() -> None:
    given = candles(25_000, symbols=("A", "B"))
    recipe = FeatureRecipe.default().with_lags([1, 2])
    assert recipe.compute(given, threads=1).equals(recipe.compute(given, threads=2))


def test_float64_is_what_float32_is_rounded_from() -> None:
    given = candles()
    wide, narrow = (FeatureRecipe.minimal().compute(given, dtype=kind) for kind in (pl.Float64, pl.Float32))
    assert set(wide.schema.values()) >= {pl.Float64}
    assert wide.with_columns(pl.col(pl.Float64).cast(pl.Float32)).equals(narrow)
    with pytest.raises(FeatureError, match=r"pl\.Float32 or pl\.Float64 was expected"):
        FeatureRecipe.minimal().compute(given, dtype=pl.Int64)


def test_windows_are_a_view_and_hold_whole_stretches_only() -> None:
    given = candles(symbols=("A", "B"), holes=(100,))
    features = BASE.compute(given)
    made = windows(features, 16)
    assert made.values.base is not None and made.values.strides[0] == made.values.strides[1], "rows overlap in memory"
    keys = features.select("symbol", "segment").rows()
    values = features.select(BASE.columns).fill_null(np.nan).to_numpy()
    expected = [
        t
        for t in range(15, features.height)
        if len(set(keys[t - 15 : t + 1])) == 1 and not np.isnan(values[t - 15 : t + 1]).any()
    ]
    assert made.rows.tolist() == expected
    some = np.array([0, 5, len(made) - 1])
    np.testing.assert_array_equal(made.take(some), np.stack([values[t - 15 : t + 1] for t in made.rows[some]]))


def test_what_no_window_fits_into_is_said() -> None:
    with pytest.raises(NotEnoughData, match="no window of 400 complete rows; the longest segment has 300 rows"):
        windows(BASE.compute(candles()), 400)
    with pytest.raises(FeatureError, match="a whole number of bars from 1"):
        windows(BASE.compute(candles()), 0)
    with pytest.raises(FeatureError, match="column 'x' is not among"):
        windows(BASE.compute(candles()), 3, ["x"])


def test_lags_of_a_ready_frame_are_its_own_memory() -> None:
    features = BASE.compute(candles())
    views, copies = with_lags(features, [1, 7]), with_lags(features, [1, 7], materialise=True)
    assert views.equals(copies)
    for name in BASE.columns:
        ready = features[name][100:].to_numpy(allow_copy=False)
        for k in (1, 7):
            lagged = views[f"{name}__lag_{k}"][100:].to_numpy(allow_copy=False)
            assert np.shares_memory(lagged, ready)
            copy = copies[f"{name}__lag_{k}"]
            assert copy.n_chunks() == 1 and not np.shares_memory(copy[100:].to_numpy(allow_copy=False), ready)


def test_lags_of_a_ready_frame_in_many_segments_are_copied_and_the_same() -> None:
    n = 3 * MOST_VIEWS
    features = BASE.compute(candles(n, holes=tuple(range(0, n, 3))))
    lagged = with_lags(features, [1])["efficiency_ratio_5__lag_1"]
    assert lagged.n_chunks() == 1
    assert lagged.equals(features.select(pl.col("efficiency_ratio_5").shift(1).over("symbol", "segment")).to_series())


def test_lags_and_windows_keep_the_type_of_a_column_and_take_numpys_numbers() -> None:
    frame = pl.DataFrame({"symbol": ["A"] * 3 + ["B"], "segment": [0] * 4, "n": [1, 2, 3, 4], "word": ["a", "b", "c", "d"]})
    lagged = with_lags(frame, np.array([1, 5]))
    assert lagged["n__lag_1"].to_list() == [None, 1, 2, None] and lagged.schema["n__lag_1"] == pl.Int64
    assert lagged["word__lag_1"].to_list() == [None, "a", "b", None]
    assert lagged["n__lag_5"].null_count() == 4
    assert with_lags(frame.clear(), [1]).height == 0


@pytest.mark.parametrize("reach", [lambda frame: with_lags(frame, [1]), lambda frame: windows(frame, 3)])
def test_a_frame_out_of_order_would_look_ahead_and_is_refused(reach) -> None:
    features = BASE.compute(candles(60, symbols=("A", "B")))
    with pytest.raises(FeatureError, match=r"row 1 \(B, .*\) does not come after the row before it; a frame sorted by symbol"):
        reach(features.reverse())
    with pytest.raises(FeatureError, match=r"row 2 \(A, segment 0\) stands apart from the rows of its symbol and segment"):
        reach(features.sort("ts", "symbol"))
    with pytest.raises(FeatureError, match="does not come after the row before it"):
        reach(features[[*range(30), 29, *range(30, 60)]])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda frame: with_lags(frame, 3), r"bars is 3; a list of lags was expected, such as \[1, 2, 3\]"),
        (lambda frame: BASE.with_lags(3), r"bars is 3; a list of lags was expected, such as \[1, 2, 3\]"),
        (lambda frame: with_lags(frame, [0]), "lag 0 was given; a whole number of bars from 1"),
        (lambda frame: with_lags(frame.to_pandas(), [1]), "a DataFrame was given; a polars frame of features"),
        (lambda frame: windows(frame.to_pandas(), 3), "a DataFrame was given; a polars frame of features"),
        (lambda frame: windows(frame, 3, columns="return_skew_12"), "columns is the text 'return_skew_12'; a list of names"),
        (lambda frame: windows(frame.drop("segment"), 3), "column 'segment' is missing; windows are taken within"),
        (lambda frame: FeatureRecipe.minimal().compute(candles(), threads=0), "threads is 0; a whole number from 1"),
    ],
)
def test_what_is_no_lag_window_or_frame_is_said(wrong, said: str) -> None:
    with pytest.raises(FeatureError, match=said):
        wrong(BASE.compute(candles(60)))
