"""Features on longer bars are known at their close and not sooner; features across symbols compare one moment only."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from huracan.errors import FeatureError, UnknownName
from huracan.preprocessing import FeatureRecipe, OnlineFeatures, feature
from huracan.validation import assert_causal


def candles(n: int = 240, symbols: tuple[str, ...] = ("A",), hour: int = 0, holes: tuple[int, ...] = ()) -> pl.DataFrame:
    """Hourly random walks from 2025-03-03 (a Monday) at ``hour``."""
    rng = np.random.default_rng(3)
    start = dt.datetime(2025, 3, 3, hour, tzinfo=dt.UTC)
    parts = []
    for symbol in symbols:
        close = 20.0 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
        part = pl.DataFrame(
            {
                "symbol": symbol,
                "ts": pl.Series([start + dt.timedelta(hours=i) for i in range(n)], dtype=pl.Datetime("ms", "UTC")),
                "open": close * 0.999,
                "high": close * 1.01,
                "low": close * 0.99,
                "close": close,
                "volume": rng.lognormal(2, 1, n),
            }
        )
        parts.append(part[[i for i in range(n) if i not in holes]])
    return pl.concat(parts)


def by_hand(given: pl.DataFrame, recipe: FeatureRecipe, every: int) -> list[float | None]:
    """For each row: the feature of the longer bars that polars builds from the rows known by then, last value."""
    out: list[float | None] = []
    for t in range(given.height):
        past = given.head(t + 1)
        now = past["ts"][-1] + dt.timedelta(hours=1)
        longer = (
            past.group_by_dynamic("ts", every=f"{every}h")
            .agg(
                pl.col("open").first(),
                pl.col("high").max(),
                pl.col("low").min(),
                pl.col("close").last(),
                pl.col("volume").sum(),
                pl.len().alias("bars"),
            )
            .filter((pl.col("bars") == every) & (pl.col("ts") + pl.duration(hours=every) <= now))
            .with_columns(symbol=pl.lit("A"))
        )
        out.append(recipe.compute(longer)[recipe.columns[0]][-1] if longer.height else None)
    return out


@pytest.mark.parametrize(("every", "hour"), [(4, 0), (4, 3), (24, 5)])
def test_the_value_on_longer_bars_is_that_of_the_last_closed_one(every: int, hour: int) -> None:
    given = candles(120, hour=hour)
    plain = feature("efficiency_ratio", window=2)
    ours = FeatureRecipe([plain.on(every)]).compute(given)[plain.on(every).columns[0]]
    assert ours.to_list() == by_hand(given, FeatureRecipe([plain]), every)


def test_a_longer_bar_with_a_hole_is_no_bar_and_a_new_segment_begins() -> None:
    given = candles(96, holes=(30,))
    spec = feature("candle_shape").on(4)
    values = FeatureRecipe([spec]).compute(given)[spec.columns[0]]
    known = values.is_not_null().to_list()
    hours = [ts.hour + 24 * (ts.day - 3) for ts in given["ts"]]
    first_after = hours.index(35)  # bars 32 to 35 are the first whole four after the hole
    assert known[: hours.index(3)] == [False] * 3
    assert not any(known[i] for i in range(hours.index(31), first_after))
    assert all(known[first_after:])


def test_weeks_begin_on_monday() -> None:
    given = candles(24 * 20)
    spec = feature("candle_shape").on("1w", of="1h")
    values = FeatureRecipe([spec]).compute(given)[spec.columns[0]]
    assert spec.every == 168
    assert int(np.argmax(values.is_not_null().to_numpy())) == 167, "the week from Monday closes with its last hour"


def test_longer_bars_and_symbols_pass_the_prefix_test() -> None:
    given = candles(200, symbols=("A", "B", "C"), hour=2, holes=(77,))
    specs = [feature("efficiency_ratio", window=3), feature("return_skew", window=5)]
    recipe = FeatureRecipe([s.on(4) for s in specs] + [s.across(how) for s in specs for how in ("rank", "zscore", "demean")])
    assert set(recipe.columns) <= set(assert_causal(recipe, given, cuts=60).columns)


def test_a_longer_bar_used_before_its_close_is_caught() -> None:
    given = candles(200)

    def early(past: pl.DataFrame) -> pl.DataFrame:
        days = past.group_by_dynamic("ts", every="1d", group_by="symbol").agg(pl.col("close").last().alias("day_close"))
        return past.select("symbol", "ts").join_asof(days, on="ts", by="symbol", check_sortedness=False)

    with pytest.raises(Exception, match="reads the future"):
        assert_causal(early, given, cuts=50)


def test_comparison_across_symbols_is_that_of_pandas() -> None:
    given = candles(60, symbols=("A", "B", "C", "D"))
    given = given.filter(~((pl.col("symbol") == "D") & (pl.col("ts") > dt.datetime(2025, 3, 4, tzinfo=dt.UTC))))
    plain = feature("efficiency_ratio", window=3)
    recipe = FeatureRecipe([plain, *(plain.across(how) for how in ("rank", "zscore", "demean"))])
    frame = recipe.compute(given, dtype=pl.Float64).to_pandas()
    x, groups = frame[recipe.columns[0]], frame.groupby("ts")[recipe.columns[0]]
    rank = (groups.rank() - 1) / (groups.transform("count") - 1) * 2 - 1
    np.testing.assert_allclose(frame[recipe.columns[1]], rank, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(frame[recipe.columns[2]], (x - groups.transform("mean")) / groups.transform("std"), rtol=1e-9)
    np.testing.assert_allclose(frame[recipe.columns[3]], x - groups.transform("mean"), rtol=1e-9, atol=1e-15)


def test_a_symbol_alone_has_nothing_to_be_compared_with() -> None:
    spec = feature("candle_shape").across("zscore")
    assert FeatureRecipe([spec]).compute(candles())[spec.columns[0]].is_null().all()


def test_what_makes_no_sense_is_refused() -> None:
    spec = feature("candle_shape")
    with pytest.raises(FeatureError, match="on\\('4h'\\) needs the bar of the candles too"):
        spec.on("4h")
    with pytest.raises(FeatureError, match="a bar of 4h is no whole number of bars of 3h"):
        spec.on("4h", of="3h")
    with pytest.raises(FeatureError, match="a whole number of bars from 1"):
        spec.on(0)
    with pytest.raises(UnknownName, match="did you mean 'rank'"):
        spec.across("ranks")
    with pytest.raises(FeatureError, match="compared across symbols already"):
        spec.across().across()


def test_recipes_with_longer_bars_and_symbols_are_stored_and_hashed() -> None:
    spec = feature("efficiency_ratio", window=3).followed_by("lag", bars=2)
    recipe = FeatureRecipe([spec, spec.on(4), spec.across("rank"), spec.on(4).across("rank")])
    assert FeatureRecipe.from_json(recipe.to_json()) == recipe
    assert len({FeatureRecipe([s]).hash for s in recipe.features}) == 4
    assert recipe.columns[3] == "efficiency_ratio_3__lag_2__on_4__cross_rank"
    assert (recipe.lookback, recipe.warmup) == ((5 + 2) * 4 - 2,) * 2
    with pytest.raises(FeatureError, match="is on longer bars, and the Engine computes every"):
        FeatureRecipe([feature("efficiency_ratio").on(4)]).to_engine_json()


def test_the_engine_computes_every_indicator_on_every_timeframe() -> None:
    specs = [feature("efficiency_ratio", window=3), feature("efficiency_ratio", window=9), feature("return_skew")]
    recipe = FeatureRecipe([*specs, *(s.on(4) for s in specs)]).for_engine(timeframes=["4h", "1h"])
    document = recipe.to_engine_json()
    assert FeatureRecipe.from_engine_json(document) == recipe
    assert FeatureRecipe.from_engine_json(document).engine_hash == recipe.engine_hash
    with pytest.raises(FeatureError, match="on one length of bars, and the Engine computes every"):
        FeatureRecipe(specs).for_engine(timeframes=["4h", "1h"]).to_engine_json()
    with pytest.raises(FeatureError, match="to be a whole number of the shortest"):
        FeatureRecipe(specs).for_engine(timeframes=["2h", "3h"])


def test_a_longer_bar_told_by_its_length_is_for_candles_of_one_bar_only() -> None:
    spec = feature("efficiency_ratio", window=3).on("4h", of="1h")
    recipe = FeatureRecipe([spec])
    assert FeatureRecipe.from_json(recipe.to_json()) == recipe != FeatureRecipe([feature("efficiency_ratio", window=3).on(4)])
    assert recipe.compute(candles()).height == 240
    minutes = candles().with_columns(ts=pl.col("ts").first() + pl.duration(minutes=pl.int_range(240)))
    for use in (recipe.compute, lambda given: OnlineFeatures.open(recipe, given)):
        with pytest.raises(FeatureError, match="is made for bars of 1h; the candles have bars of 1m"):
            use(minutes)


def test_whatever_holds_candles_can_be_computed_on() -> None:
    given = candles(60)
    recipe = FeatureRecipe([feature("efficiency_ratio", window=3)])
    assert recipe.compute(given.to_pandas()).equals(recipe.compute(given))
    assert recipe.compute(given.lazy()).equals(recipe.compute(given))
