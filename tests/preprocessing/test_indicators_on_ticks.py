"""What features are made of is prices in ticks: how a decimal is rounded to a float must decide nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib

from huracan.preprocessing import FeatureRecipe, feature

PRICES = ("open", "high", "low", "close")
TICKS_IN_ONE = {"LINK": 1_000, "TRX": 100_000, "NEAR": 1_000}
OURS = (
    *FeatureRecipe.default().features,
    feature("adx_scaled", window=2),
    feature("money_flow", window=14),
    feature("money_flow", window=2),
    feature("quiet_share"),
    feature("obv_change"),
    feature("vortex"),
    feature("aroon_scaled"),
    feature("linear_trend"),
    feature("vwap_distance"),
    feature("mfi"),
    feature("chaikin_money_flow"),
    feature("cci_scaled", window=3),
)


def decimals_and_ticks(folder: Path, coin: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same real minutes with prices as they are, and as whole numbers of ticks."""
    candles = pl.read_parquet(next((folder / "candles").glob(f"{coin}*_1m.parquet")))[20_000:40_000]
    ticks = candles.with_columns(pl.col(PRICES) * TICKS_IN_ONE[coin])
    assert ticks.select(((pl.col(PRICES) - pl.col(PRICES).round()).abs().max() < 1e-6).name.keep()).row(0) == (True,) * 4
    return candles, ticks.with_columns(pl.col(PRICES).round())


@pytest.mark.parametrize("coin", sorted(TICKS_IN_ONE))
def test_prices_in_whole_ticks_give_what_decimals_give(market_data: Path, coin: str) -> None:
    recipe = FeatureRecipe(dict.fromkeys(OURS))
    first, second = (recipe.compute(c, dtype=pl.Float64) for c in decimals_and_ticks(market_data, coin))
    for column in recipe.columns:
        assert first[column].is_null().equals(second[column].is_null()), column
        far = (first[column] - second[column]).abs().max() / second[column].std()  # type: ignore[operator]
        assert far < 1e-9, (column, far)


@pytest.mark.parametrize("coin", sorted(TICKS_IN_ONE))
def test_talibs_directional_movement_follows_the_rounding_as_is_said(market_data: Path, coin: str) -> None:
    """Why ``adx_scaled`` is not made of it: a hundredth of the rows and more are off by a tenth of the deviation."""
    recipe = FeatureRecipe([feature("adx")])
    first, second = (recipe.compute(c, dtype=pl.Float64)["adx_14"] for c in decimals_and_ticks(market_data, coin))
    assert ((first - second).abs() > 0.1 * second.std()).mean() > 0.01  # type: ignore[operator]


def test_equal_moves_up_and_down_are_no_direction() -> None:
    """Each bar reaches one tick farther up and one farther down than the last: in decimals the two differ by 2e-17."""
    steps = np.arange(60)
    high, low, close = (1_110 + steps) / 100, (1_100 - steps) / 100, np.full(60, 11.05)
    assert len(set(np.sign(np.diff(high) + np.diff(low)))) > 1, "floats tell them apart"
    candles = pl.DataFrame(
        {
            "symbol": ["A"] * 60,
            "ts": pl.datetime_range(pl.datetime(2025, 1, 1), pl.datetime(2025, 1, 1, 0, 59), "1m", eager=True)
            .cast(pl.Datetime("ms"))
            .dt.replace_time_zone("UTC"),
            "open": close,
            "high": high,
            "low": low,
            "close": close,
            "volume": np.ones(60),
        }
    )
    found = FeatureRecipe([feature("adx_scaled"), feature("adx")]).compute(candles, dtype=pl.Float64)[40:]
    assert (found["adx_scaled_14_strength"] == 0.0).all() and (found["adx_scaled_14_direction"] == 0.0).all()
    assert (found["adx_14"] > 5.0).all()


@pytest.mark.parametrize("coin", ["BTC", "LINK", "DOGE"])
def test_money_flow_is_the_money_flow_index_of_talib(market_data: Path, coin: str) -> None:
    candles = pl.read_parquet(next((market_data / "candles").glob(f"{coin}*_1m.parquet")))[:60_000]
    high, low, close, volume = (candles[c].to_numpy() for c in ("high", "low", "close", "volume"))
    for window in (2, 14, 100):
        ours = FeatureRecipe([feature("money_flow", window=window)]).compute(candles, dtype=pl.Float64).to_series(-1)
        theirs = talib.MFI(high, low, close, volume, window)
        traded = np.lib.stride_tricks.sliding_window_view(volume, window).sum(axis=1)[1:] > 0.0
        gap = np.abs(ours.to_numpy()[window:] - (theirs[window:] - 50.0) / 50.0)
        flowed = traded & (np.abs(ours.to_numpy()[window:]) > 0.0)
        assert gap[flowed].max() < 1e-9, window
