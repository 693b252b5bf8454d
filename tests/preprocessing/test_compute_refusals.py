"""What the feature engine refuses: bars of several lengths, off the grid, without a zone, prices that are none."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from huracan.errors import CandleError
from huracan.preprocessing import FeatureRecipe
from huracan.preprocessing.ta import ta

HOUR, MINUTE, DAY = dt.timedelta(hours=1), dt.timedelta(minutes=1), dt.timedelta(days=1)


def candles(symbol: str, n: int, bar: dt.timedelta) -> pl.DataFrame:
    """A random walk of one symbol."""
    close = 50.0 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, n)))
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    return pl.DataFrame(
        {
            "symbol": symbol,
            "ts": pl.Series([start + i * bar for i in range(n)], dtype=pl.Datetime("ms", "UTC")),
            "open": close,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": np.ones(n),
        }
    )


@pytest.mark.parametrize(
    ("other", "said"), [(MINUTE, "A has bars of 1h, others of 1m"), (DAY, "B has bars of 1d, others of 1h")]
)
def test_symbols_with_bars_of_different_lengths(other: dt.timedelta, said: str) -> None:
    mixed = pl.concat([candles("A", 300, HOUR), candles("B", 400 if other == MINUTE else 200, other)])
    for frame in (mixed, mixed.with_columns(segment=pl.lit(0, pl.Int32))):
        with pytest.raises(CandleError, match=f"bar lengths are mixed: {said}"):
            FeatureRecipe.minimal().compute(frame)


def test_a_symbol_of_a_few_bars_far_apart_is_one_of_gaps() -> None:
    sparse = candles("B", 40, HOUR)[[0, 5, 11, 30]]
    frame = FeatureRecipe.minimal().compute(pl.concat([candles("A", 300, HOUR), sparse]))
    assert frame.filter(pl.col("symbol") == "B")["segment"].to_list() == [0, 1, 2, 3]


def test_a_bar_off_the_grid() -> None:
    half = pl.when(pl.int_range(300) == 100).then(pl.col("ts") + pl.duration(minutes=30)).otherwise("ts")
    with pytest.raises(CandleError, match=r"A: 2025-01-05 04:30.* is off the grid of its 1h bars \(2 such steps\)"):
        FeatureRecipe.minimal().compute(candles("A", 300, HOUR).with_columns(ts=half))


def test_times_without_a_zone() -> None:
    with pytest.raises(CandleError, match=r"column 'ts' is Datetime.*time_zone=None.*a UTC datetime was expected"):
        FeatureRecipe.minimal().compute(candles("A", 60, HOUR).with_columns(pl.col("ts").dt.replace_time_zone(None)))


@pytest.mark.parametrize("factor", [1e-310, 1e120, float("nan"), -1.0, 0.0])
def test_prices_that_are_none(factor: float) -> None:
    prices = ("open", "high", "low", "close")
    with pytest.raises(CandleError, match=r"column 'open' holds .* in row 0 .* a positive number"):
        FeatureRecipe.default().compute(candles("A", 60, HOUR).with_columns(pl.col(prices) * factor))


def test_a_high_below_the_close_and_a_symbol_that_is_missing() -> None:
    swapped = candles("A", 60, HOUR).rename({"high": "low", "low": "high"})
    with pytest.raises(CandleError, match=r"high .* is below open .* in row 0 .*; low <= open, close <= high was expected"):
        FeatureRecipe.default().compute(swapped)
    nameless = candles("A", 60, HOUR).with_columns(symbol=pl.when(pl.int_range(60) != 3).then(pl.col("symbol")))
    with pytest.raises(CandleError, match="column 'symbol' is empty in row 3"):
        FeatureRecipe.default().compute(nameless)


def test_a_volume_that_overflows() -> None:
    with pytest.raises(CandleError, match=r"column 'volume' holds 1e\+308 in row 7 .* a number from 0 to 1e\+100 was expected"):
        FeatureRecipe.default().compute(
            candles("A", 60, HOUR).with_columns(volume=pl.when(pl.int_range(60) == 7).then(1e308).otherwise("volume"))
        )


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_segment_given_with_a_gap_inside(unit: str) -> None:
    """Windows and longer bars are counted in rows: over a gap they would hold other times than they say."""
    whole = candles("A", 100, HOUR).with_columns(pl.col("ts").cast(pl.Datetime(unit, "UTC")))  # type: ignore[arg-type]
    broken = pl.concat([whole[:60], whole[70:]])
    with pytest.raises(
        CandleError, match=r"row 60 \(A, 2025-01-03 22:00.*\) is 11h after the row before it in the same 'segment'"
    ):
        FeatureRecipe.minimal().compute(broken.with_columns(segment=pl.lit(0)))
    own = broken.with_columns(segment=pl.int_range(pl.len()) // 30)
    frame = FeatureRecipe.minimal().compute(own)
    assert frame["segment"].to_list() == own["segment"].to_list(), "segments within the gaps are the user's to choose"


def test_columns_that_are_no_numbers() -> None:
    given = candles("A", 60, HOUR)
    with pytest.raises(CandleError, match="column 'close' is String and holds what is no number; numbers were expected"):
        FeatureRecipe.minimal().compute(given.with_columns(close=pl.lit("much")))
    with pytest.raises(CandleError, match="column 'segment' is String and holds what is no number"):
        FeatureRecipe.minimal().compute(given.with_columns(segment=pl.lit("first")))
    with pytest.raises(CandleError, match="column 'segment' is empty in row 0"):
        FeatureRecipe.minimal().compute(given.with_columns(segment=pl.lit(None, pl.Int32)))


def test_what_is_known_of_one_series_is_not_believed_of_another() -> None:
    """Finite series are remembered while they live and cannot be written to; one that holds a NaN is cut at it all the same."""
    x = np.arange(1.0, 9.0)
    x.flags.writeable = False
    whole = ta("SMA", x, timeperiod=2)
    np.testing.assert_array_equal(ta("SMA", x, timeperiod=2), whole)
    x.flags.writeable = True
    x[3] = np.nan
    cut = ta("SMA", x, timeperiod=2)
    assert np.isnan(cut[[0, 3, 4]]).all() and not np.isnan(cut[5:]).any()
    for _ in range(50):  # new series take the places of those that are gone
        y = np.arange(1.0, 9.0)
        y.flags.writeable = False
        ta("SMA", y, timeperiod=2)
        y = np.r_[1.0, np.nan, 3.0, 4.0, 5.0]
        y.flags.writeable = False
        assert ta("SMA", y, timeperiod=2)[4] == 4.5
