"""Planted leaks are caught, each of them; honest features pass."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from statsmodels.tsa.seasonal import STL

from huracan.errors import DataError, LeakageError, NotEnoughData
from huracan.validation import assert_causal

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    """Two symbols of hourly random-walk candles, the second beginning later and with a gap."""
    rng = np.random.default_rng(0)
    frames = []
    for symbol, hours in (("AAA", np.arange(500)), ("BBB", np.concatenate([np.arange(60, 300), np.arange(340, 500)]))):
        close = 100 * np.exp(rng.normal(0, 0.01, len(hours)).cumsum())
        frames.append(
            pl.DataFrame(
                {
                    "symbol": symbol,
                    "ts": [START + dt.timedelta(hours=int(h)) for h in hours],
                    "close": close,
                    "volume": rng.gamma(2, 1, len(hours)),
                }
            )
        )
    frame = pl.concat(frames).with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))
    gap = (pl.col("ts").diff() > pl.duration(hours=1)).fill_null(False)
    return frame.with_columns(segment=gap.cum_sum().over("symbol").cast(pl.Int32))


def by_symbol(**columns):
    """A recipe of polars expressions, each within symbol and segment."""

    def compute(candles: pl.DataFrame) -> pl.DataFrame:
        within = {name: column.over("symbol", "segment") for name, column in columns.items()}
        return candles.select("symbol", "ts", "segment", **within)

    return compute


CLOSE = pl.col("close")
RETURN = CLOSE / CLOSE.shift(1) - 1


def stl_trend(candles: pl.DataFrame) -> pl.DataFrame:
    def trend(group: pl.DataFrame) -> pl.DataFrame:
        return group.with_columns(trend=pl.Series(STL(group["close"].to_numpy(), period=24).fit().trend))

    return pl.concat(trend(group) for group in candles.partition_by("symbol")).select("symbol", "ts", "trend")


def daily_close(candles: pl.DataFrame, *, days_late: int) -> pl.DataFrame:
    """Each hour with the close of a day: of the day before (known), or of its own day (not known before midnight)."""
    day = candles.group_by("symbol", day=pl.col("ts").dt.truncate("1d")).agg(daily=CLOSE.last())
    day = day.with_columns(pl.col("day") + pl.duration(days=days_late))
    hour = candles.with_columns(day=pl.col("ts").dt.truncate("1d"))
    return hour.join(day, on=["symbol", "day"], how="left", maintain_order="left").select("symbol", "ts", "daily")


LEAKS = {
    "shift(-1)": by_symbol(leak=CLOSE.shift(-1) / CLOSE - 1),
    "shift(-1) filled": by_symbol(leak=RETURN.shift(-1).fill_null(0.0)),
    "centred rolling window": by_symbol(leak=CLOSE.rolling_mean(5, center=True)),
    "full-sample z-score": by_symbol(leak=(CLOSE - CLOSE.mean()) / CLOSE.std()),
    "full-sample rank": by_symbol(leak=CLOSE.rank() / CLOSE.count()),
    "backward fill": by_symbol(leak=pl.when(pl.col("volume") > 2).then(CLOSE).fill_null(strategy="backward")),
    "STL": stl_trend,
    "off-by-one higher timeframe": lambda candles: daily_close(candles, days_late=0),
    "dropped rows": lambda candles: by_symbol(leak=CLOSE.shift(-1))(candles).drop_nulls(),
    "weak smoothing of one part in a million": by_symbol(leak=RETURN + 1e-6 * RETURN.shift(-1).fill_null(0.0)),
}

HONEST = {
    "momentum": by_symbol(value=CLOSE / CLOSE.shift(24) - 1),
    "rolling": by_symbol(value=RETURN.rolling_std(20), other=CLOSE.ewm_mean(span=12)),
    "expanding z-score": by_symbol(value=(CLOSE - CLOSE.cum_sum() / CLOSE.cum_count()) / 1.0),
    "higher timeframe after its close": lambda candles: daily_close(candles, days_late=1),
    "nulls, NaN, text and flags": by_symbol(
        empty=pl.lit(None, dtype=pl.Float64),
        nan=pl.lit(float("nan")) * CLOSE,
        up=RETURN > 0,
        side=pl.lit("long").repeat_by(1).list.first(),
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_planted_leak_is_caught(name, candles):
    with pytest.raises(LeakageError, match="future"):
        assert_causal(LEAKS[name], candles, cuts=20)


@pytest.mark.parametrize("name", [name for name in LEAKS if name != "dropped rows"])
def test_planted_leak_is_caught_looking_at_the_last_three_rows_only(name, candles):
    with pytest.raises(LeakageError, match="future"):
        assert_causal(LEAKS[name], candles, cuts=20, last_rows=3)


@pytest.mark.parametrize("name", HONEST)
def test_honest_features_pass(name, candles):
    report = assert_causal(HONEST[name], candles, cuts=20)
    assert len(report.cut_times) == 20
    assert report.n_values > 0
    assert report.not_computable == ()


def test_the_message_names_column_symbol_time_and_both_values(candles):
    def leak(candles):
        return by_symbol(good=RETURN, bad=CLOSE.shift(-1))(candles)

    with pytest.raises(
        LeakageError, match=r"column 'bad' reads the future: for (AAA|BBB) at 2025.* it is None when .* and \d+"
    ):
        assert_causal(leak, candles)


def test_a_single_leaking_hour_of_the_day_is_found(candles):
    def leak(candles):
        at_noon = pl.when(pl.col("ts").dt.hour() == 12).then(CLOSE.shift(-1)).otherwise(CLOSE)
        return candles.select("symbol", "ts", leak=at_noon.over("symbol", "segment"))

    with pytest.raises(LeakageError):
        assert_causal(leak, candles, cuts=100, last_rows=3)


def test_columns_that_depend_on_the_future_are_caught(candles):
    def leak(candles):
        frame = by_symbol(a=CLOSE)(candles)
        return frame.with_columns(late=pl.lit(1.0)) if candles.height > 700 else frame

    with pytest.raises(LeakageError, match="which columns there are depends on the future: 'late'"):
        assert_causal(leak, candles)


def test_cuts_lie_after_warm_up_after_gaps_and_all_over(candles):
    class Recipe:
        warmup = 48

        def compute(self, candles):
            return by_symbol(value=CLOSE.rolling_mean(48))(candles)

    cut_times = assert_causal(Recipe(), candles, cuts=60).cut_times
    assert min(cut_times) >= START + dt.timedelta(hours=48)
    assert max(cut_times) < candles["ts"].max()
    spacing = np.array([(b - a) / dt.timedelta(hours=1) for a, b in pairwise(cut_times)])
    assert spacing.max() < 48
    gap_ends = START + dt.timedelta(hours=340)
    assert any(dt.timedelta(0) <= cut - gap_ends <= dt.timedelta(hours=60) for cut in cut_times)
    assert assert_causal(Recipe(), candles, cuts=60).cut_times == cut_times


def test_cost_can_be_bounded(candles):
    seen = []

    def recipe(candles):
        seen.append(candles.height)
        return by_symbol(value=CLOSE)(candles)

    assert_causal(recipe, candles, cuts=5, max_rows=100)
    assert seen[0] == 100
    assert max(seen[1:]) <= 100
    assert len(seen) == 6


def test_too_little_past_is_reported_not_hidden(candles):
    def recipe(candles):
        if candles.height < 200:
            raise NotEnoughData("200 candles are needed")
        return by_symbol(value=CLOSE)(candles)

    report = assert_causal(recipe, candles, cuts=30)
    assert report.not_computable
    assert report.not_computable[0][1] == "200 candles are needed"

    def never(candles_):
        if candles_.height < candles.height:
            raise NotEnoughData("all candles are needed")
        return by_symbol(value=CLOSE)(candles_)

    with pytest.raises(NotEnoughData, match="nothing could be compared at any of 30 cuts: all candles are needed"):
        assert_causal(never, candles, cuts=30)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (lambda c: c.select("symbol", "ts"), "no column beside symbol and ts"),
        (lambda c: c.select("ts", "close"), "no column 'symbol'"),
        (lambda c: c.to_pandas(), "gives a DataFrame"),
        (lambda c: pl.concat([c, c]), "several rows for AAA"),
    ],
)
def test_output_that_is_no_feature_frame_is_refused(recipe, message, candles):
    with pytest.raises(DataError, match=message):
        assert_causal(recipe, candles)


def test_errors_of_the_recipe_itself_are_not_swallowed(candles):
    def broken(candles):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        assert_causal(broken, candles)


def test_candles_that_cannot_be_cut_are_refused(candles):
    with pytest.raises(NotEnoughData, match="2 different times"):
        assert_causal(by_symbol(value=CLOSE), candles.head(2))
    with pytest.raises(DataError, match="cuts is 0"):
        assert_causal(by_symbol(value=CLOSE), candles, cuts=0)
    with pytest.raises(DataError, match="candles have no column 'ts'"):
        assert_causal(by_symbol(value=CLOSE), candles.drop("ts"))


def test_columns_without_a_value_are_named_for_nothing_was_shown_of_them(candles):
    report = assert_causal(by_symbol(value=CLOSE.pct_change(), nothing=pl.lit(None, pl.Float64)), candles, cuts=10)
    assert report.undefined == ("nothing",)
