"""Alpha158: the published names in their order, and every column equal to its definition written out in pandas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from huracan.errors import FeatureError
from huracan.preprocessing import FeatureRecipe, feature
from huracan.preprocessing.online import OnlineFeatures
from huracan.preprocessing.recipes_alpha158 import WINDOWS
from huracan.validation import assert_causal

CANDLE = ("KMID", "KLEN", "KMID2", "KUP", "KUP2", "KLOW", "KLOW2", "KSFT", "KSFT2", "OPEN0", "HIGH0", "LOW0", "VWAP0")
OPERATORS = (
    *("ROC", "MA", "STD", "BETA", "RSQR", "RESI", "MAX", "MIN", "QTLU", "QTLD", "RANK", "RSV", "IMAX", "IMIN", "IMXD"),
    *("CORR", "CORD", "CNTP", "CNTN", "CNTD", "SUMP", "SUMN", "SUMD", "VMA", "VSTD", "WVMA", "VSUMP", "VSUMN", "VSUMD"),
)
PUBLISHED = (*CANDLE, *(f"{operator}{n}" for operator in OPERATORS for n in (5, 10, 20, 30, 60)))
PRICES = ("open", "high", "low", "close")


def candles(n: int = 700, seed: int = 0, level: float = 100.0, flat: float = 0.0, thin: float = 0.0) -> pl.DataFrame:
    """A walk on ticks of a ten-thousandth; a share of bars neither moves (``flat``) nor trades (``thin``)."""
    rng = np.random.default_rng(seed)
    still = rng.random(n) < flat
    close = level * np.round(np.exp(np.cumsum(np.where(still, 0.0, rng.normal(0, 0.01, n)))), 4)
    open_ = np.r_[close[0], close[:-1]]
    stretch = np.where(still, 0.0, level * np.round(rng.exponential(0.004, n), 4))
    volume = np.where(rng.random(n) < thin, 0.0, rng.lognormal(6, 1, n))
    start = np.datetime64("2025-01-01", "ms")
    return pl.DataFrame(
        {
            "symbol": ["A"] * n,
            "ts": pl.Series(start + np.arange(n) * np.timedelta64(3_600_000, "ms")).dt.replace_time_zone("UTC"),
            "open": open_,
            "high": np.maximum(open_, close) + stretch,
            "low": np.minimum(open_, close) - stretch / 2,
            "close": close,
            "volume": volume,
        }
    )


def moving(x: pd.Series, n: int) -> pd.Series:
    """Whether anything moves in the window; pandas keeps a residue of what moved before."""
    return x.rolling(n, min_periods=2).max() > x.rolling(n, min_periods=2).min()


def by_definition(frame: pl.DataFrame) -> pd.DataFrame:
    """All columns by pandas, with the small number in denominators that the definition has."""
    o, h, low, c, v = (pd.Series(frame[name].to_numpy()) for name in (*PRICES, "volume"))
    small, top, bottom = 1e-12, np.maximum(o, c), np.minimum(o, c)
    out = {"KMID": (c - o) / o, "KLEN": (h - low) / o, "KMID2": (c - o) / (h - low + small), "KUP": (h - top) / o}
    out |= {"KUP2": (h - top) / (h - low + small), "KLOW": (bottom - low) / o, "KLOW2": (bottom - low) / (h - low + small)}
    out |= {"KSFT": (2 * c - h - low) / o, "KSFT2": (2 * c - h - low) / (h - low + small)}
    out |= {"OPEN0": o / c, "HIGH0": h / c, "LOW0": low / c, "VWAP0": (h + low + c) / 3 / c}
    change, traded = c.diff(), v.diff()
    moved = (c / c.shift(1) - 1).abs() * v
    change_of_volume = (v / v.shift(1)).replace(np.inf, np.nan)
    change_of_price = (c / c.shift(1)).where(change_of_volume.notna())
    for n in WINDOWS:
        time = np.arange(n, dtype=float)
        lines = [np.polyfit(time, values, 1) for values in np.lib.stride_tricks.sliding_window_view(c.to_numpy(), n)]
        slope, at_end = (
            pd.Series(np.r_[np.full(n - 1, np.nan), x])
            for x in ([line[0] for line in lines], [np.polyval(line, n - 1.0) for line in lines])
        )
        places = {
            "IMAX": h.rolling(n).apply(lambda x: x.argmax() + 1, raw=True),
            "IMIN": low.rolling(n).apply(lambda x: x.argmin() + 1, raw=True),
        }
        up, down = change.clip(lower=0).rolling(n).sum(), (-change).clip(lower=0).rolling(n).sum()
        more, less = traded.clip(lower=0).rolling(n).sum(), (-traded).clip(lower=0).rolling(n).sum()
        rising, falling = ((change > 0).astype(float), (change < 0).astype(float))
        of_window = {
            "ROC": c.shift(n) / c,
            "MA": c.rolling(n).mean() / c,
            "STD": c.rolling(n).std().where(moving(c, n), 0.0) / c,
            "BETA": slope / c,
            "RSQR": c.rolling(n).corr(pd.Series(np.arange(float(len(c))))).where(moving(c, n)) ** 2,
            "RESI": (c - at_end) / c,
            "MAX": h.rolling(n).max() / c,
            "MIN": low.rolling(n).min() / c,
            "QTLU": c.rolling(n).quantile(0.8) / c,
            "QTLD": c.rolling(n).quantile(0.2) / c,
            "RANK": c.rolling(n).rank(pct=True),
            "RSV": (c - low.rolling(n).min()) / (h.rolling(n).max() - low.rolling(n).min() + small),
            "IMAX": places["IMAX"] / n,
            "IMIN": places["IMIN"] / n,
            "IMXD": (places["IMAX"] - places["IMIN"]) / n,
            "CORR": c.rolling(n).corr(np.log(v + 1)).where(moving(c, n) & moving(v, n)),
            "CORD": change_of_price.rolling(n, min_periods=2)
            .corr(np.log(change_of_volume + 1))
            .where(moving(change_of_price, n) & moving(change_of_volume, n)),
            "CNTP": rising.rolling(n).mean(),
            "CNTN": falling.rolling(n).mean(),
            "CNTD": rising.rolling(n).mean() - falling.rolling(n).mean(),
            "SUMP": up / (up + down + small),
            "SUMN": down / (up + down + small),
            "SUMD": (up - down) / (up + down + small),
            "VMA": v.rolling(n).mean() / (v + small),
            "VSTD": v.rolling(n).std() / (v + small),
            "WVMA": moved.rolling(n).std().where(moving(moved, n), 0.0) / (moved.rolling(n).mean() + small),
            "VSUMP": more / (more + less + small),
            "VSUMN": less / (more + less + small),
            "VSUMD": (more - less) / (more + less + small),
        }
        out |= {f"{name}{n}": values for name, values in of_window.items()}
    return pd.DataFrame(out)


def values(frame: pl.DataFrame, column: str) -> np.ndarray:
    return frame[column].fill_null(float("nan")).to_numpy()


def test_the_names_are_the_published_ones_in_their_order() -> None:
    recipe = FeatureRecipe.alpha158()
    assert recipe.columns == PUBLISHED
    assert len(recipe) == 158
    assert recipe.lookback == recipe.warmup == 60
    assert FeatureRecipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(("flat", "thin"), [(0.0, 0.0), (0.3, 0.1)])
def test_every_column_is_its_definition(flat: float, thin: float) -> None:
    frame = candles(seed=1, flat=flat, thin=thin)
    recipe, expected = FeatureRecipe.alpha158(), by_definition(frame)
    found = recipe.compute(frame, dtype=pl.Float64)
    for column, lookback in recipe.lookbacks().items():
        a, b = values(found, column), expected[column].to_numpy().copy()
        assert np.isnan(a[:lookback]).all(), column
        a, b = a[lookback:], b[lookback:]
        if column.startswith(("VMA", "VSTD")):
            b[frame["volume"].to_numpy()[lookback:] == 0.0] = np.nan  # 1e12 times the mean, by the small number
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=column)
        assert np.nanmax(np.abs(a - b)) <= 2e-9 * np.nanstd(b), column


def test_the_first_value_is_where_the_window_is_full() -> None:
    recipe, frame = FeatureRecipe.alpha158(), candles(200, seed=2)
    found = recipe.compute(frame)
    for column, lookback in recipe.lookbacks().items():
        assert int(found[column].is_not_null().arg_max() or 0) == lookback, column
        n = int("".join(filter(str.isdigit, column)) or 0)
        reads_the_bar_before = column.startswith(("ROC", "CORD", "CNT", "SUM", "WVMA", "VSUM"))
        assert lookback == (0 if column in CANDLE else n if reads_the_bar_before else n - 1), column


def test_a_market_that_stands_still_has_the_documented_limits() -> None:
    moving = candles(150, seed=3)
    last = moving["close"][-1]
    still = candles(100, seed=4).with_columns(pl.lit(last).alias(name) for name in PRICES)
    frame = pl.concat([moving, still.with_columns(pl.col("ts") + pl.duration(hours=150), volume=pl.lit(5.0))])
    row = FeatureRecipe.alpha158().compute(frame, dtype=pl.Float64).row(-1, named=True)
    for name in CANDLE:
        assert row[name] == (1.0 if name.endswith("0") else 0.0), name
    for n in WINDOWS:
        for name in ("ROC", "MA", "MAX", "MIN", "QTLU", "QTLD", "VMA"):
            assert row[f"{name}{n}"] == 1.0, name
        for name in ("STD", "BETA", "RESI", "RSV", "IMXD", "CNTP", "CNTN", "CNTD", "SUMP", "SUMN", "SUMD", "VSTD", "WVMA"):
            assert row[f"{name}{n}"] == 0.0, name
        for name in ("RSQR", "CORR", "CORD"):
            assert row[f"{name}{n}"] is None, name
        assert row[f"IMAX{n}"] == row[f"IMIN{n}"] == 1 / n
        assert row[f"RANK{n}"] == (n + 1) / (2 * n)


def test_a_market_without_trades_has_no_volume_to_measure_in() -> None:
    features = FeatureRecipe.alpha158().compute(candles(200, seed=5, thin=1.0))
    row = features.row(-1, named=True)
    undefined = {name for name, value in row.items() if value is None}
    assert undefined == {f"{name}{n}" for name in ("VMA", "VSTD", "CORR", "CORD") for n in WINDOWS}
    assert all(row[f"{name}{n}"] == 0.0 for name in ("WVMA", "VSUMP", "VSUMN", "VSUMD") for n in WINDOWS)


@pytest.mark.parametrize("power", [-60, 20])
def test_a_price_may_be_counted_in_any_unit(power: int) -> None:
    """No small number in a denominator: the definition's 1e-12 would drown a coin that costs 1e-15."""
    frame, recipe = candles(300, seed=6, flat=0.2), FeatureRecipe.alpha158()
    other = frame.with_columns(pl.col(PRICES) * 2.0**power)
    assert recipe.compute(other, dtype=pl.Float64).equals(recipe.compute(frame, dtype=pl.Float64))


def test_only_corr_knows_the_unit_of_volume() -> None:
    frame, recipe = candles(300, seed=7), FeatureRecipe.alpha158()
    base = recipe.compute(frame, dtype=pl.Float64)
    other = recipe.compute(frame.with_columns(pl.col("volume") * 2.0**30), dtype=pl.Float64)
    assert {c for c in recipe.columns if not other[c].equals(base[c])} == {f"CORR{n}" for n in WINDOWS}


def test_a_bad_tick_is_forgotten_to_the_last_bit_once_it_left_the_window() -> None:
    frame, recipe = candles(400, seed=8), FeatureRecipe.alpha158()
    bad = frame.with_row_index().with_columns(
        [pl.when(pl.col("index") == 200).then(pl.col(name) * 1e6).otherwise(pl.col(name)).alias(name) for name in PRICES]
    )
    clean, spiked = (recipe.compute(f, dtype=pl.Float64) for f in (frame, bad.drop("index")))
    for column, lookback in recipe.lookbacks().items():
        assert clean[column][201 + lookback :].equals(spiked[column][201 + lookback :]), column
        assert clean[column][:200].equals(spiked[column][:200]), column


def test_no_column_looks_ahead_on_real_candles(market_data: Path) -> None:
    days = pl.read_parquet(market_data / "candles" / "daily_40.parquet").with_columns(pl.col("symbol").cast(pl.String))
    frame = days.sort("symbol", "ts").group_by("symbol", maintain_order=True).head(250).head(4 * 250)
    report = assert_causal(FeatureRecipe.alpha158(), frame, cuts=20)
    assert set(report.columns) >= set(PUBLISHED)


def test_real_days_are_finite_and_equal_to_the_definition(market_data: Path) -> None:
    days = pl.read_parquet(market_data / "candles" / "daily_40.parquet").with_columns(pl.col("symbol").cast(pl.String))
    symbol = days.group_by("symbol").agg(pl.col("close").median()).filter(pl.col("close") > 1.0)["symbol"].min()
    frame, recipe = days.filter(pl.col("symbol") == symbol).sort("ts"), FeatureRecipe.alpha158()
    found, expected = recipe.compute(frame, dtype=pl.Float64), by_definition(frame)
    for column, lookback in recipe.lookbacks().items():
        a, b = values(found, column)[lookback:], expected[column].to_numpy()[lookback:]
        assert np.isfinite(a).all(), column
        assert np.abs(a - b).max() <= 1e-8 * b.std(), column


def test_bar_by_bar_is_batch_through_flat_and_empty_bars(market_data: Path) -> None:
    minutes = pl.read_parquet(market_data / "candles" / "LINK-USDT_1m.parquet").with_columns(pl.col("symbol").cast(pl.String))
    around = int((minutes["volume"] == 0.0).arg_max() or 0)
    frame, recipe = minutes.slice(max(0, around - 700), 2_000), FeatureRecipe.alpha158()
    assert (frame["volume"] == 0.0).any() and (frame["high"] == frame["low"]).any()
    batch = recipe.compute(frame, dtype=pl.Float64)[500:]
    online = OnlineFeatures.open(recipe, frame[:500], dtype=pl.Float64)
    assert online.recomputed == {}
    rows = [online.update(row) for row in frame[500:].iter_rows(named=True)]
    found = pl.DataFrame(rows, schema=dict.fromkeys(recipe.columns, pl.Float64))
    for column in recipe.columns:
        a, b = values(found, column), values(batch, column)
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=column)
        assert np.nanmax(np.abs(a - b)) <= 1e-9 * np.nanstd(b), column


def test_any_other_window_has_its_own_name() -> None:
    assert feature("alpha158_beta", window=120).columns == ("BETA120",)
    assert feature("alpha158_beta", window=20).followed_by("zscore", window=50).columns == ("BETA20__zscore_50",)
    with pytest.raises(FeatureError, match="window is 2; a whole number from 3"):
        feature("alpha158_resi", window=2)
