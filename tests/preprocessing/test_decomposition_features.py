"""Decompositions as features: unit-free, settled when they say so, the same bar by bar; what looks ahead is refused."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from huracan.errors import FeatureError, LeakageError, UnknownName
from huracan.preprocessing import FeatureRecipe, FeatureSpec, decompose_for_viewing, feature, get_indicator
from huracan.preprocessing.decomposition import exponential_trend, fractional_weights, hodrick_prescott_trend
from huracan.preprocessing.indicators import Bars, decomposed, indicator, known_indicators, registry
from huracan.preprocessing.indicators.refused import REFUSED
from huracan.preprocessing.online import OnlineFeatures
from huracan.validation import assert_causal

FEATURES = (
    feature("ema_trend"),
    feature("ema_trend", window=150, volatility_window=20),
    feature("hodrick_prescott"),
    feature("hodrick_prescott", period=12),
    feature("hodrick_prescott", period=400),
    feature("local_level"),
    feature("local_level", q=1.0),
    feature("local_level", q=1e-3),
    feature("haar"),
    feature("haar", levels=7),
    feature("haar_detail"),
    feature("haar_detail", level=6),
    feature("fractional_difference"),
    feature("fractional_difference", window=300, order=0.7),
    feature("hodrick_prescott").followed_by("mad", window=48),
)
NAMES = [str(spec.columns[0]) for spec in FEATURES]
CANDLE = ("open", "high", "low", "close", "volume")


def candles(n: int, seed: int = 0, price: float = 50.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.standard_t(4, n) * 0.006))
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    hours = pl.datetime_range(start, start + dt.timedelta(hours=n - 1), "1h", time_unit="ms", eager=True)
    open_ = np.r_[price, close[:-1]]
    spread = np.exp(rng.exponential(0.003, n))
    return pl.DataFrame(
        {
            "symbol": "A",
            "ts": hours,
            "open": open_,
            "high": np.maximum(open_, close) * spread,
            "low": np.minimum(open_, close) / spread,
            "close": close,
            "volume": rng.lognormal(3, 1, n),
        }
    )


def bars_of(frame: pl.DataFrame) -> Bars:
    return Bars({name: frame[name].to_numpy() for name in CANDLE}, frame["ts"].dt.epoch("ms").to_numpy())


def test_every_decomposition_is_tried_here() -> None:
    family = {name for name in known_indicators() if get_indicator(name).family == "decomposition"}
    assert family == {spec.indicator for spec in FEATURES} == set(decomposed.__all__)


@pytest.mark.parametrize("spec", FEATURES, ids=NAMES)
def test_warm_up_is_exact(spec: FeatureSpec) -> None:
    values = FeatureRecipe([spec]).compute(candles(spec.lookback + 60))
    for column in spec.columns:
        known = values[column].is_not_null().to_numpy()
        assert int(np.argmax(known)) == spec.lookback
        assert known[spec.lookback :].all()


@pytest.mark.parametrize("spec", FEATURES, ids=NAMES)
def test_after_warm_up_the_beginning_is_forgotten(spec: FeatureSpec) -> None:
    frame = candles(spec.warmup + 4_000, 3)
    whole = FeatureRecipe([spec]).compute(frame, dtype=pl.Float64)
    for start in (1_000, 2_345):
        late = FeatureRecipe([spec]).compute(frame[start:], dtype=pl.Float64)
        for column in spec.columns:
            apart = (late[column] - whole[column][start:])[spec.warmup :].abs().max()
            assert apart < 1e-7 * whole[column].std(), column


@pytest.mark.parametrize("spec", FEATURES, ids=NAMES)
def test_the_unit_of_the_price_does_not_show(spec: FeatureSpec) -> None:
    """Nor where the series stands: a coin at 1e-7 and one at 1e6 that move alike have the same features."""
    one = FeatureRecipe([spec]).compute(candles(3_000, 4, price=3e-7), dtype=pl.Float64)
    other = FeatureRecipe([spec]).compute(candles(3_000, 4, price=1.7e6), dtype=pl.Float64)
    for column in spec.columns:
        assert (one[column] - other[column]).abs().max() < 1e-9 * one[column].std(), column


@pytest.mark.parametrize("spec", FEATURES, ids=NAMES)
def test_on_a_random_walk_values_are_of_order_one(spec: FeatureSpec) -> None:
    values = FeatureRecipe([spec]).compute(candles(20_000, 5))
    assert all(0.1 < values[column].std() < 3.0 for column in spec.columns)


@pytest.mark.parametrize("opened", [0, 1, 40, 1_000])
def test_bar_by_bar_equals_batch_over_five_thousand_bars(opened: int) -> None:
    frame, recipe = candles(opened + 5_000, 6), FeatureRecipe(FEATURES)
    batch = recipe.compute(frame, dtype=pl.Float64)
    online = OnlineFeatures.open(recipe, frame[:opened], bar="1h", dtype=pl.Float64, symbols=["A"])
    assert not online.recomputed
    rows = [online.update(row) for row in frame[opened:].iter_rows(named=True)]
    for column in recipe.columns:
        expected = batch[column].fill_null(np.nan).to_numpy()
        found = np.array([np.nan if row[column] is None else row[column] for row in rows])
        unit = np.nanstd(expected)
        np.testing.assert_allclose(found / unit, expected[opened:] / unit, rtol=0, atol=1e-9, err_msg=column)


def test_slope_and_cycle_are_the_formulas() -> None:
    frame = candles(2_000, 7)
    price = np.log(bars_of(frame).close)
    volatility = np.sqrt(pl.Series(np.diff(price, prepend=np.nan) ** 2).rolling_mean(48).to_numpy())
    trends = {"ema_trend": (exponential_trend(price, 48), 48, 48.0)}
    trends["hodrick_prescott"] = (hodrick_prescott_trend(price, (2 * np.sin(np.pi / 96)) ** -4), 1, 1 / 96)
    for name, (trend, span, unit) in trends.items():
        slope, cycle = feature(name).compute(bars_of(frame))
        moved = np.r_[np.full(span, np.nan), trend[span:] - trend[:-span]]
        known = slice(feature(name).lookback, None)
        np.testing.assert_allclose(slope[known], (moved / (volatility * np.sqrt(unit)))[known], rtol=1e-7, atol=1e-9)
        length = 96 if name == "hodrick_prescott" else 48
        expected = (price - trend) / (volatility * np.sqrt(length))
        np.testing.assert_allclose(cycle[known], expected[known], rtol=1e-7, atol=1e-9)


def test_fractional_difference_holds_the_price_before_its_window_still() -> None:
    frame = candles(400, 8)
    (values,) = feature("fractional_difference", window=30, order=0.4).compute(bars_of(frame))
    price = np.log(frame["close"].to_numpy())
    for t in (60, 200, 399):
        window = price[t - 30 : t + 1]
        still = np.r_[np.full(50_000, window[0]), window[1:]]  # what the window saw, and before it the oldest price for ever
        binomial = float(fractional_weights(0.4, len(still)) @ (still - window[0])[::-1])
        scale = np.sqrt(np.mean(np.diff(price)[t - 48 : t] ** 2) * np.sum(fractional_weights(-0.6, 30) ** 2))
        assert values[t] == pytest.approx(binomial / scale, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_smooths_with_later_values_is_refused_in_a_recipe(name: str) -> None:
    with pytest.raises(FeatureError, match=r"is refused: .* later ones.* know the future .* decompose_for_viewing") as refused:
        feature(name.upper(), period=24)
    assert "hodrick_prescott" in str(refused.value)
    assert str(refused.value).count(". ") == 0, "one sentence"


def test_refusal_takes_no_name_that_means_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not set(REFUSED) & {*known_indicators(), *registry._ALIASES}
    with pytest.raises(UnknownName, match="unknown indicator 'stls'"):
        feature("stls")
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))

    @indicator(family="mine", lookback=lambda: 0, formula="stochastic oscillator, lagged")
    def stl(bars):
        return bars.close

    assert feature("stl").indicator == "stl"


@pytest.mark.parametrize("method", ["stl", "hodrick_prescott"])
def test_a_view_used_as_features_is_caught(method: str) -> None:
    def recipe(frame: pl.DataFrame) -> pl.DataFrame:
        view = decompose_for_viewing(frame["close"].log(), method, period=24)
        return frame.select("symbol", "ts").hstack(view.frame.drop("observed"))

    with pytest.raises(LeakageError, match="column 'two_sided_trend' reads the future"):
        assert_causal(recipe, candles(400), cuts=10)
