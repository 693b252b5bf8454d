"""No feature looks ahead, none crosses a gap, and each warms up exactly as it says."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from huracan.preprocessing import FeatureRecipe, feature, get_indicator
from huracan.preprocessing.indicators import indicator, known_indicators, registry
from huracan.preprocessing.spec import STEPS
from huracan.validation import assert_causal

CANDLE = ("symbol", "ts", "open", "high", "low", "close", "volume")
REAL = ("BTC-USDT-USDT_1m", "LINK-USDT_1m", "DOGE-USDT_1m")


def everything() -> FeatureRecipe:
    """Every registered indicator at its defaults and at every choice it offers, and every step after one of them."""
    plain = [feature(name) for name in known_indicators()]
    plain += [
        feature(name, **{parameter.name: chosen})
        for name in known_indicators()
        for parameter in get_indicator(name).parameters
        for chosen in parameter.choices[1:]
    ]
    return FeatureRecipe([*plain, *(feature("rsi_scaled", window=7).followed_by(step) for step in STEPS)])


def walk(n: int, seed: int = 0, symbol: str = "A", flat: float = 0.0) -> pl.DataFrame:
    """A random walk of candles; a share ``flat`` of bars does not move and trades nothing."""
    rng = np.random.default_rng(seed)
    still = rng.random(n) < flat
    close = 50.0 * np.exp(np.cumsum(np.where(still, 0.0, rng.normal(0, 0.01, n))))
    open_ = np.r_[50.0, close[:-1]]
    stretch = np.where(still, 0.0, rng.exponential(0.004, n))
    return pl.DataFrame(
        {
            "symbol": [symbol] * n,
            "ts": pl.datetime_range(
                dt.datetime(2025, 1, 1), dt.datetime(2025, 1, 1) + dt.timedelta(hours=n - 1), "1h", time_unit="ms", eager=True
            ).dt.replace_time_zone("UTC"),
            "open": open_,
            "high": np.maximum(open_, close) * (1 + stretch),
            "low": np.minimum(open_, close) * (1 - stretch),
            "close": close,
            "volume": np.where(still, 0.0, rng.lognormal(3, 1, n)),
        }
    )


def same_bits(a: pl.DataFrame, b: pl.DataFrame) -> list[str]:
    """Names of columns that differ in any bit."""
    return [c for c in a.columns if a[c].dtype == pl.Float32 and _bits(a[c]).tobytes() != _bits(b[c]).tobytes()]


def _bits(column: pl.Series) -> np.ndarray:
    return column.fill_null(float("nan")).to_numpy().view(np.uint32)


def real_candles(folder: Path, name: str, hour: int, n: int) -> pl.DataFrame:
    found = sorted((folder / "candles").glob(f"*{name.split('-')[0]}*1m*.parquet"))
    assert found, f"no candles of {name} in {folder}"
    after = pl.col("ts") >= dt.datetime(2025, 10, 10, hour, tzinfo=dt.UTC)
    return pl.read_parquet(found[0]).filter(after).head(n).with_columns(pl.col("symbol").cast(pl.String)).select(CANDLE)


@pytest.mark.parametrize("name", [REAL[0], *(pytest.param(name, marks=pytest.mark.slow) for name in REAL[1:])])
def test_every_feature_is_prefix_bitwise_on_real_candles(market_data: Path, name: str) -> None:
    candles = real_candles(market_data, name, 8, 1_500)  # the flash crash of 21:16 is in here
    recipe = everything() + FeatureRecipe.default()
    whole = recipe.compute(candles)
    cuts = np.unique(np.r_[1, 2, 3, 30, np.random.default_rng(5).integers(4, candles.height, 46)])
    for cut in cuts:
        assert same_bits(recipe.compute(candles.head(int(cut))), whole.head(int(cut))) == [], f"differs when cut at {cut}"


def test_the_look_ahead_detector_finds_nothing(market_data: Path) -> None:
    names = ("DOGE-USDT_1m", "LINK-USDT_1m", "SOL-USDT_1m")
    candles = pl.concat([real_candles(market_data, name, 16, 600) for name in names])
    report = assert_causal(FeatureRecipe.default() + everything(), candles, cuts=50)
    assert set(FeatureRecipe.default().columns) <= set(report.columns)


def test_the_prefix_test_catches_a_look_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))

    @indicator(family="test", lookback=lambda: 0, formula="close[t+1] / close[t]")
    def tomorrow(bars):
        return np.r_[bars.close[1:] / bars.close[:-1], np.nan]

    recipe, candles = FeatureRecipe([feature("tomorrow")]), walk(50)
    assert same_bits(recipe.compute(candles.head(20)), recipe.compute(candles).head(20)) == ["tomorrow"]


def test_features_of_a_segment_depend_on_that_segment_only() -> None:
    candles = pl.concat([walk(400, 1, "A"), walk(300, 2, "B")])
    holed = pl.concat([candles[:250], candles[255:]])
    recipe = everything() + FeatureRecipe.default()
    features = recipe.compute(holed)
    assert features.select("symbol", "segment").unique(maintain_order=True).rows() == [("A", 0), ("A", 1), ("B", 0)]
    for (symbol, segment), part in features.group_by("symbol", "segment", maintain_order=True):
        rows = holed.join(part.select("symbol", "ts"), on=["symbol", "ts"], how="semi", maintain_order="left")
        assert same_bits(recipe.compute(rows), part) == [], (symbol, segment)


@pytest.mark.parametrize("name", [*known_indicators(), *(f"rsi_scaled:{step}" for step in STEPS)])
def test_warm_up_is_exact(name: str) -> None:
    spec = feature(name) if ":" not in name else feature("rsi_scaled", window=5).followed_by(name.split(":")[1])
    recipe = FeatureRecipe([spec])
    values = recipe.compute(walk(700, 3))
    for column in recipe.columns:
        known = values[column].is_not_null().to_numpy()
        assert int(np.argmax(known)) == recipe.lookback == recipe.lookbacks()[column], column
        assert known[recipe.lookback :].all(), f"{column} is undefined on a plain random walk"


@pytest.mark.parametrize("name", known_indicators())
def test_warm_up_is_exact_for_other_parameters(name: str) -> None:
    entry = get_indicator(name)
    short = {p.name: 9 for p in entry.parameters if p.name in ("window", "volatility_window")}
    long = {p.name: 131 for p in entry.parameters if p.name in ("window", "volatility_window")}
    for given in (short, long):
        wide = {p.name: 200 for p in entry.parameters if p.name in ("long_window", "slow")}
        recipe = FeatureRecipe([feature(name, **given, **wide)])
        values = recipe.compute(walk(recipe.lookback + 40, 4))
        for column in recipe.columns:
            assert int(np.argmax(values[column].is_not_null().to_numpy())) == recipe.lookback, (column, given)


@pytest.mark.parametrize("recipe", [FeatureRecipe.default(), FeatureRecipe.minimal(), FeatureRecipe.calendar()])
def test_recipe_warm_up_is_the_first_complete_row(recipe: FeatureRecipe) -> None:
    complete = recipe.compute(walk(600, 6)).with_row_index().drop_nulls()["index"]
    assert complete[0] == recipe.lookback
    assert len(complete) == 600 - recipe.lookback
    assert recipe.compute(walk(recipe.lookback + 1, 6)).drop_nulls().height == 1
    assert recipe.lookback == 0 or recipe.compute(walk(recipe.lookback, 6)).drop_nulls().height == 0


def test_no_default_feature_alone_predicts_a_random_walk() -> None:
    """Rank correlation with the next return is N(0, 1/n); the largest of 48 stays under 4 / sqrt(n) but once in 330."""
    candles = walk(20_000, 11)
    recipe = FeatureRecipe.default()
    coming = candles["close"].log().diff().shift(-1).alias("coming")
    rows = recipe.compute(candles).with_columns(coming).drop_nulls()
    ranks = rows.select(pl.col(*recipe.columns, "coming").rank())
    skill = ranks.select(pl.corr(c, "coming") for c in recipe.columns).row(0)
    assert np.abs(skill).max() < 4.0 / np.sqrt(rows.height)
