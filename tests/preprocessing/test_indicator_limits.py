"""Flat prices, no volume, crashes, cheap coins: sensible limits or null, never infinite, never an artefact."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huracan.errors import CandleError, FeatureError
from huracan.preprocessing import FeatureRecipe, feature, indicator
from huracan.preprocessing.indicators import known_indicators, registry
from huracan.preprocessing.online_program import record_program
from huracan.preprocessing.online_source import needed_nodes
from huracan.preprocessing.ta import ta

PRICES = ("open", "high", "low", "close")


def candles_of(close: np.ndarray, volume: np.ndarray | float = 1.0, spread: float = 0.0) -> pl.DataFrame:
    n = len(close)
    open_ = np.r_[close[0], close[:-1]]
    return pl.DataFrame(
        {
            "symbol": ["A"] * n,
            "ts": pl.Series([dt.datetime(2025, 1, 1) + dt.timedelta(minutes=i) for i in range(n)])
            .cast(pl.Datetime("ms"))
            .dt.replace_time_zone("UTC"),
            "open": open_,
            "high": np.maximum(open_, close) * (1 + spread),
            "low": np.minimum(open_, close) * (1 - spread),
            "close": close,
            "volume": np.broadcast_to(np.asarray(volume, float), n).copy(),
        }
    )


def everything() -> FeatureRecipe:
    return FeatureRecipe([feature(name) for name in known_indicators()]) + FeatureRecipe.default()


def walk(n: int, seed: int, start: float = 100.0, sigma: float = 0.01) -> np.ndarray:
    return start * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, sigma, n)))


def finite_or_null(features: pl.DataFrame) -> bool:
    values = features.select(pl.selectors.float())
    return bool(values.select(pl.all_horizontal((pl.all().is_finite() | pl.all().is_null()).all())).item())


def test_constant_prices_give_the_limits_that_are_documented() -> None:
    features = everything().compute(candles_of(np.full(500, 7.3), 2.0))
    assert finite_or_null(features)
    last = features.row(-1, named=True)
    limits = {
        "rsi_scaled_14": 0.0,
        "bollinger_scaled_20_position": 0.0,
        "stochastic_scaled_14_3_3_k": 0.0,
        "cci_scaled_20": 0.0,
        "range_position_48": 0.0,
        "candle_shape_body": 0.0,
        "efficiency_ratio_24": 0.0,
        "adx_scaled_14_strength": 0.0,
        "signed_volume_12": 0.0,
        "return_zscore_1_96": 0.0,
        "return_rank_1_96": 0.0,
        "return_skew_72": 0.0,
        "quiet_share_48": 1.0,
        "volume_zscore_48": 0.0,
        "log_return_scaled_1": None,
        "volatility_ratio_realised_24_168": None,
        "atr_ratio_14_96": None,
        "amihud_24_168": None,
    }
    assert {name: last[name] for name in limits} == limits


@pytest.mark.parametrize(
    "name", ["cci_scaled", "bollinger_scaled", "rsi_scaled", "stochastic_scaled", "return_zscore", "efficiency_ratio"]
)
def test_a_flat_stretch_after_movement_is_still(name: str) -> None:
    """Running sums keep rounding residue: TA-Lib's CCI of a flat stretch can be +-66, a rolling deviation 3e-8."""
    close = np.r_[walk(300, 1, 7.3), np.full(110, 7.3)]
    recipe = FeatureRecipe([feature(name)])
    last = recipe.compute(candles_of(close)).row(-1, named=True)
    for column in recipe.columns:
        if name == "rsi_scaled":
            assert -1.0 < last[column] < 1.0  # Wilder's average remembers the walk
        elif column == "bollinger_scaled_20_width":
            assert last[column] is None  # nothing moved for a whole volatility window: no unit
        else:
            assert last[column] == pytest.approx(0.0, abs=1e-9), column


def of_window_memory(*, by_talib: bool) -> FeatureRecipe:
    """Indicators whose values depend on a window: those that call TA-Lib, which keeps running sums, or those that do not."""
    specs = [feature(n) for n in known_indicators() if registry.get_indicator(n).memory == "window"]
    program = record_program(specs, ("ts", *PRICES, "volume"))
    assert not program.refused
    found, outputs = [], list(program.outputs)
    for spec in specs:
        own, outputs = outputs[: len(spec.columns)], outputs[len(spec.columns) :]
        calls = any(program.graph.nodes[i].what is ta for i in needed_nodes(program.graph, own))
        found += [spec] if calls == by_talib else []
    assert len(found) > 20
    return FeatureRecipe(found)


def with_and_without_a_spike(recipe: FeatureRecipe, size: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same quiet walk, with and without one bar of another price and volume long before."""
    calm, volume = walk(900, 3, sigma=1e-4), np.random.default_rng(1).lognormal(3, 1, 900)
    crash, traded = calm.copy(), volume.copy()
    crash[300] *= size
    traded[300] /= size
    return tuple(  # type: ignore[return-value]
        recipe.compute(candles_of(close, many, 1e-4), dtype=pl.Float64)[-20:]
        for close, many in ((calm, volume), (crash, traded))
    )


@pytest.mark.parametrize("size", [0.2, 1e-12, 1e12])
def test_nothing_at_all_is_left_of_a_spike_that_left_the_window(size: float) -> None:
    """To the bit, even of one of 1e16 deviations: windows are put together anew, not slid along."""
    recipe = of_window_memory(by_talib=False)
    quiet, spiked = with_and_without_a_spike(recipe, size)
    assert [c for c in recipe.columns if not quiet[c].equals(spiked[c])] == []


def test_talibs_running_sums_keep_little_of_a_crash() -> None:
    recipe = of_window_memory(by_talib=True)
    quiet, spiked = with_and_without_a_spike(recipe, 0.2)
    for column in recipe.columns:
        np.testing.assert_allclose(quiet[column], spiked[column], rtol=2e-4, atol=2e-4, err_msg=column)


def test_a_window_is_all_that_is_remembered() -> None:
    """Begun ``lookback`` bars before, anywhere: every bit is that of the whole series."""
    recipe = of_window_memory(by_talib=False)
    candles = candles_of(walk(700, 5), np.random.default_rng(1).lognormal(3, 1, 700), 0.002)
    whole = recipe.compute(candles, dtype=pl.Float64)
    for start in (1, 37, 300):
        part = recipe.compute(candles[start:], dtype=pl.Float64)
        for spec in recipe.features:
            first = FeatureRecipe([spec]).lookback
            for column in spec.columns:
                assert part[column][first:].equals(whole[column][start + first :]), (column, start)


@pytest.mark.parametrize("power", [-40, -13, 17])
def test_the_unit_of_price_changes_no_bit(power: int) -> None:
    """Price times a power of two, down to coins that cost 1e-11: TA-Lib's absolute thresholds must not bite.

    What is without unit stays; prices, their squares and their inverse go along, exactly.
    """
    close = walk(700, 5)
    base = everything().compute(candles_of(close, 3.0, 0.002))
    scaled = everything().compute(candles_of(close, 3.0, 0.002).with_columns(pl.col(PRICES) * 2.0**power))
    for column in base.columns[3:]:
        along = [unit for unit in (0, 1, 2, -1) if scaled[column].equals(base[column] * 2.0 ** (power * unit))]
        assert along, column
        assert along[0] == 0 or column not in FeatureRecipe.default().columns, column


def test_units_of_price_and_volume_do_not_matter() -> None:
    volume = np.random.default_rng(1).lognormal(3, 1, 700)
    base = candles_of(walk(700, 5), volume, 0.002)
    doubled = everything().compute(base.with_columns(pl.col(PRICES) * 4.0, pl.col("volume") * 2.0))
    other = base.with_columns(pl.col(PRICES) * 1.7e-7, pl.col("volume") * 3.3e9)
    a, b = (everything().compute(c) for c in (base, other))
    without_unit = [column for column in a.columns[3:] if a[column].equals(doubled[column])]
    assert set(FeatureRecipe.default().columns) <= set(without_unit)
    for column in without_unit:
        np.testing.assert_allclose(a[column].to_numpy(), b[column].to_numpy(), rtol=1e-4, atol=1e-5, err_msg=column)


def test_no_volume_at_all_takes_only_what_needs_volume() -> None:
    features = FeatureRecipe.default().compute(candles_of(walk(400, 2), 0.0, 0.001))
    assert finite_or_null(features)
    undefined = {c for c in features.columns if features[c][-1] is None}
    assert undefined == {"volume_zscore_48", "volume_ratio_6_48", "volume_ratio_24_168", "amihud_24_168"}


def test_flat_and_empty_bars_of_a_real_coin_cost_less_than_a_hundredth(market_data: Path) -> None:
    candles = pl.read_parquet(market_data / "candles" / "LINK-USDT_1m.parquet")
    recipe = FeatureRecipe.default()
    features = recipe.compute(candles)
    assert finite_or_null(features)
    complete = features.drop_nulls().height
    assert complete >= 0.99 * (candles.height - recipe.lookback)


def test_the_flash_crash_stays_finite_and_moderate(market_data: Path) -> None:
    candles = pl.read_parquet(market_data / "candles" / "DOGE-USDT_1m.parquet").filter(
        pl.col("ts").is_between(dt.datetime(2025, 10, 10, 12, tzinfo=dt.UTC), dt.datetime(2025, 10, 11, tzinfo=dt.UTC))
    )
    features = FeatureRecipe.default().compute(candles)
    assert finite_or_null(features)
    assert features.drop_nulls().height == candles.height - FeatureRecipe.default().lookback
    largest = features.select(pl.selectors.float().abs().max()).row(0)
    assert max(largest) < 60.0


moves = st.lists(st.sampled_from([0.0, 0.0, 1e-9, -1e-9, 0.01, -0.02, 0.5, -1.5]), min_size=1, max_size=260)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    moves=moves, start=st.sampled_from([1e-9, 0.3, 6e4]), volumes=st.lists(st.sampled_from([0.0, 1e-8, 5.0, 1e12]), min_size=1)
)
def test_any_market_gives_finite_values_within_bounds_or_null(moves: list[float], start: float, volumes: list[float]) -> None:
    close = start * np.exp(np.cumsum(np.clip(moves, -30, 30)) * 0.2)
    features = everything().compute(candles_of(close, np.resize(volumes, len(close)), 1e-6))
    assert finite_or_null(features)
    slack = 1.0 + 1e-5
    for column in features.columns[3:]:
        if column.split("_1")[0].split("_2")[0] in (
            "rsi_scaled",
            "stochastic_scaled",
            "adx_scaled",
            "candle_shape_body",
            "signed_volume",
            "aroon_scaled",
        ):
            assert (features[column].drop_nulls().abs() <= slack).all(), column


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("close", float("nan"), "'close' holds nan in row 3 .*a positive number"),
        ("high", float("inf"), "'high' holds inf in row 3"),
        ("low", 0.0, "'low' holds 0.0 in row 3"),
        ("open", -1.0, "'open' holds -1.0 in row 3"),
        ("volume", -1.0, "'volume' holds -1.0 in row 3 .*a number from 0"),
        ("volume", None, "'volume' holds None in row 3"),
    ],
)
def test_a_bad_value_is_named_with_its_row(column: str, value: float | None, said: str) -> None:
    bars = candles_of(walk(6, 0))
    bars = bars.with_columns(pl.when(pl.int_range(6) == 3).then(pl.lit(value, pl.Float64)).otherwise(column).alias(column))
    with pytest.raises(CandleError, match=said):
        FeatureRecipe.default().compute(bars)


def test_bad_frames_are_refused_in_a_sentence() -> None:
    bars, recipe = candles_of(walk(6, 0)), FeatureRecipe.default()
    with pytest.raises(CandleError, match="column 'volume' is missing; the recipe reads symbol, ts, open"):
        recipe.compute(bars.drop("volume"))
    with pytest.raises(CandleError, match=r"row 3 .* does not come after row 2"):
        recipe.compute(pl.concat([bars[:3], bars[2:]]))
    with pytest.raises(CandleError, match=r"row 6 .* does not come after"):
        recipe.compute(pl.concat([bars.with_columns(pl.lit("B").alias("symbol")), bars]))
    with pytest.raises(CandleError, match="column 'ts' is Int64"):
        recipe.compute(bars.with_columns(pl.col("ts").dt.epoch("ms")))
    with pytest.raises(CandleError, match=r"the source is a dict; .* a pandas or polars frame was expected"):
        recipe.compute(bars.to_dict())
    assert recipe.compute(bars.to_pandas()).equals(recipe.compute(bars))


def test_no_rows_and_one_row_give_no_values() -> None:
    bars, recipe = candles_of(walk(1, 0)), everything()
    assert recipe.compute(bars).height == 1
    empty = recipe.compute(bars.clear())
    assert empty.height == 0
    assert empty.columns == ["symbol", "ts", "segment", *recipe.columns]


def test_an_infinite_or_misshapen_indicator_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))

    @indicator(family="test", lookback=lambda: 0, formula="1 / 0")
    def broken(bars):
        return np.where(np.arange(len(bars)) == 2, np.inf, 0.0)

    @indicator(family="test", lookback=lambda: 0, formula="too short")
    def short(bars):
        return bars.close[1:]

    with pytest.raises(FeatureError, match=r"feature 'broken' is infinite in row 2 \(A, 2025-01-01 00:02"):
        FeatureRecipe([feature("broken")]).compute(candles_of(walk(5, 0)))
    with pytest.raises(FeatureError, match=r"'short' returned arrays of shape \(4,\); 1 of shape \(5,\)"):
        FeatureRecipe([feature("short")]).compute(candles_of(walk(5, 0)))
