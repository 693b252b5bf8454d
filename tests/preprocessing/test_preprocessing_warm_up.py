"""Given candles, nothing is invented for rows a recipe has no features for yet: they stay empty, are counted, or refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.decomposition import PCA

from huracan.errors import CandleError, FeatureError
from huracan.market import simulate_market
from huracan.preprocessing import EnhancedPreprocessor, FeatureRecipe, OnlineFeatures, feature

BARS = simulate_market(n_bars=420, n_symbols=2, seed=0).candles
ONE = BARS.filter(pl.col("symbol") == BARS["symbol"][0])
MINIMAL = FeatureRecipe.minimal()
STILL = FeatureRecipe(
    [feature("volume_ratio", window=6, long_window=48), feature("log_return_scaled", horizon=1), feature("rsi")]
)
MODES: list[dict[str, Any]] = [
    {},
    {"imputation": "forward_fill", "scaling": "robust"},
    {"imputation": "constant", "fill_value": 7.0, "scaling": "none"},
    {"imputation": "forward_fill", "outliers": "rolling", "outlier_window": 20},
    {"selection": "correlation_clusters"},
    {"components": 3},
    {"selection": "correlation_clusters", "components": 0.9, "outliers": "mad"},
]


def with_gap(at: int = 200, bars: int = 3) -> pl.DataFrame:
    """Each symbol with some bars missing in the middle: two segments."""
    row = pl.int_range(pl.len()).over("symbol")
    return BARS.filter(~row.is_between(at, at + bars - 1))


def without_trades() -> pl.DataFrame:
    """Sixty bars without a trade, long after the warm-up: relative volume and scaled returns are undefined there."""
    still = pl.int_range(pl.len()).is_between(250, 310)
    prices = [pl.when(still).then(100.0).otherwise(pl.col(c)).alias(c) for c in ("open", "high", "low", "close")]
    return ONE.with_columns(*prices, pl.when(still).then(0.0).otherwise(pl.col("volume")).alias("volume"))


def values(frame: pl.DataFrame | pd.DataFrame) -> np.ndarray:
    keys = [c for c in ("symbol", "ts", "segment") if c in frame.columns]
    return np.asarray(frame.drop(keys) if isinstance(frame, pl.DataFrame) else frame.drop(columns=keys), dtype=float)


def test_a_few_new_candles_are_refused_in_one_sentence() -> None:
    fitted = EnhancedPreprocessor().fit(ONE[:400])
    needed = FeatureRecipe.default().lookback + 1
    with pytest.raises(FeatureError) as refused:
        fitted.transform(ONE.tail(5))
    said = str(refused.value)
    assert f"symbol '{ONE['symbol'][0]}' has 5 bars " in said and f"takes {needed}:" in said
    assert "history" in said and "OnlineFeatures" in said and "\n" not in said
    with pytest.raises(FeatureError, match=f"has {needed - 1} bars where .* takes {needed}:"):
        fitted.transform(ONE.tail(needed - 1))
    assert values(fitted.transform(ONE.tail(needed))).shape == (needed, 48)
    with pytest.raises(FeatureError, match="has 1 bar where"):
        fitted.transform(ONE.tail(1))


@pytest.mark.parametrize("again", [EnhancedPreprocessor.fit, EnhancedPreprocessor.fit_transform])
def test_a_fit_on_too_few_candles_is_refused(again: Callable[..., Any]) -> None:
    with pytest.raises(FeatureError, match=r"has 100 bars where the first complete row of features takes 180:"):
        again(EnhancedPreprocessor(), ONE[:100])


def test_each_symbol_needs_enough_bars_without_a_gap() -> None:
    short = pl.concat([ONE, BARS.filter(pl.col("symbol") == BARS["symbol"][-1]).head(30)])
    with pytest.raises(FeatureError, match=f"symbol '{BARS['symbol'][-1]}' has 30 bars where"):
        EnhancedPreprocessor(MINIMAL).fit(short)
    broken = ONE.filter(pl.int_range(pl.len()) % 40 != 0)
    with pytest.raises(FeatureError, match=r"has \d+ bars, at most 39 of them without a gap, where .* takes 49:"):
        EnhancedPreprocessor(MINIMAL).fit(broken)
    with pytest.raises(FeatureError, match=r" \(and 1 more like it\) has 10 bars where"):
        EnhancedPreprocessor(MINIMAL).fit(BARS.group_by("symbol", maintain_order=True).head(10))


@pytest.mark.parametrize("options", MODES)
def test_new_candles_with_their_history_give_what_the_whole_gives(options: dict[str, Any]) -> None:
    fitted = EnhancedPreprocessor(MINIMAL, **options).fit(ONE[:300])
    whole = fitted.transform(ONE)
    for new in (1, 5, 60):
        made = fitted.transform(ONE[: 420 - 60 + new]).tail(new)
        assert made.equals(whole[360 : 360 + new])
        assert not np.isnan(values(made)).any()


@pytest.mark.parametrize("options", MODES)
def test_rows_that_warm_up_stay_empty_in_every_segment_and_no_others(options: dict[str, Any]) -> None:
    candles = with_gap()
    fitted = EnhancedPreprocessor(MINIMAL, **options).fit(candles)
    out, report = fitted.transform_with_report(candles)
    place = out.select(pl.int_range(pl.len()).over("symbol", "segment")).to_series().to_numpy()
    kept = {name: MINIMAL.lookbacks().get(name, MINIMAL.lookback) for name in fitted.get_feature_names_out()}
    if fitted.reduction_ is not None:
        used = [MINIMAL.columns[i] for i in fitted.selected_]
        kept = dict.fromkeys(kept, max(MINIMAL.lookbacks()[name] for name in used))
    for name, lookback in kept.items():
        np.testing.assert_array_equal(out[name].is_null().to_numpy(), place < lookback, err_msg=name)
        assert not out[name].is_nan().any(), "what is missing is null in polars"
    assert report == fitted.report_
    assert report.imputed == {}
    assert report.warming_up == {name: 4 * MINIMAL.lookbacks()[name] for name in (MINIMAL.columns[i] for i in fitted.selected_)}
    counted = dict(zip(*report.to_frame().select("feature", "warming_up").to_dict(as_series=False).values()))
    assert {name: counted[name] for name in report.warming_up} == report.warming_up


@pytest.mark.parametrize("options", [{}, {"imputation": "forward_fill"}, {"outliers": "rolling", "outlier_window": 20}])
def test_values_undefined_later_on_are_imputed_as_before(options: dict[str, Any]) -> None:
    candles = without_trades()
    ready = STILL.compute(candles)
    fitted = EnhancedPreprocessor(STILL, **options).fit(candles)
    out, report = fitted.transform_with_report(candles)
    undefined = {name: ready[name][lookback:].null_count() for name, lookback in STILL.lookbacks().items()}
    assert sum(count > 0 for count in undefined.values()) >= 2, "the market must leave something undefined"
    assert report.imputed == {name: count for name, count in undefined.items() if count}
    assert report.warming_up == STILL.lookbacks()
    late = out[STILL.lookback :]
    assert not np.isnan(values(late)).any()
    assert late.equals(fitted.transform(ready)[STILL.lookback :])


def test_ready_features_are_imputed_throughout_and_said_to_be() -> None:
    fitted = EnhancedPreprocessor(MINIMAL).fit(ONE)
    out, report = fitted.transform_with_report(MINIMAL.compute(ONE))
    assert not np.isnan(values(out)).any()
    assert report.imputed == MINIMAL.lookbacks()
    assert report.warming_up == {}


def test_components_are_learned_from_complete_rows_alone() -> None:
    fitted = EnhancedPreprocessor(MINIMAL, outliers="none", components=3).fit(ONE)
    scaled = values(EnhancedPreprocessor(MINIMAL, outliers="none").fit_transform(ONE))
    oracle = PCA(n_components=3, svd_solver="full").fit(scaled[MINIMAL.lookback :])
    np.testing.assert_allclose(fitted.reduction_.explained, oracle.explained_variance_ratio_, rtol=1e-4)
    made = values(fitted.transform(ONE))
    assert np.isnan(made[: MINIMAL.lookback]).all()
    np.testing.assert_allclose(
        np.abs(made[MINIMAL.lookback :]), np.abs(oracle.transform(scaled[MINIMAL.lookback :])), atol=1e-3
    )


def test_folds_of_candles_hold_no_invented_rows() -> None:
    """Every value of a test fold is that of the whole series or empty, wherever averages have forgotten their start."""
    recipe = FeatureRecipe([feature("log_return_scaled", horizon=6), feature("volume_zscore", window=48)])
    fitted = EnhancedPreprocessor(recipe, outliers="none").fit(ONE[:200])
    whole = values(fitted.transform(ONE))
    for begin, end in pairwise(range(200, 421, 110)):
        fold = values(fitted.transform(ONE[begin:end]))
        assert np.isnan(fold[: recipe.lookback]).any(axis=1).all()
        np.testing.assert_allclose(fold[recipe.lookback :], whole[begin:end][recipe.lookback :], rtol=1e-4, atol=1e-5)


def test_dropped_columns_need_no_history() -> None:
    """Of two columns that say the same, the one kept decides how many bars a row takes."""
    recipe = FeatureRecipe([feature("rsi", window=14), feature("rsi", window=15), feature("log_return_scaled", horizon=48)])
    fitted = EnhancedPreprocessor(recipe, selection="correlation_clusters", correlation_threshold=0.9).fit(ONE)
    kept = [recipe.columns[i] for i in fitted.selected_]
    assert len(kept) == 2
    needed = max(recipe.lookbacks()[name] for name in kept) + 1
    fitted.transform(ONE[:needed])
    with pytest.raises(FeatureError, match=f"takes {needed}:"):
        fitted.transform(ONE[: needed - 1])


def test_what_came_online_is_the_last_row_of_history_and_new_bars() -> None:
    fitted = EnhancedPreprocessor().fit(ONE[:400])
    live = OnlineFeatures.open(fitted.recipe_, ONE[:-1])
    row = pl.DataFrame([live.update(ONE[-1:])], schema=dict.fromkeys(fitted.recipe_.columns, pl.Float32))
    np.testing.assert_allclose(values(fitted.transform(row)), values(fitted.transform(ONE).tail(1)), rtol=1e-3, atol=1e-4)


def test_pandas_lazy_frames_and_json_do_the_same() -> None:
    fitted = EnhancedPreprocessor(MINIMAL).fit(ONE)
    out = fitted.transform(ONE)
    assert fitted.transform(ONE.lazy()).equals(out)
    assert EnhancedPreprocessor.from_json(fitted.to_json()).transform(ONE).equals(out)
    assert EnhancedPreprocessor.from_json(fitted.to_json()).report_ == fitted.report_
    table = ONE.to_pandas().set_index(pd.RangeIndex(1000, 1000 + len(ONE)))
    made = fitted.transform(table)
    assert made.index.equals(table.index)
    np.testing.assert_array_equal(values(made), values(out))
    assert list(made.isna().sum())[3:] == list(MINIMAL.lookbacks().values())
    only = EnhancedPreprocessor(MINIMAL).set_output(transform="polars").fit_transform(table)
    assert dict(zip(only.columns, only.null_count().row(0))) == MINIMAL.lookbacks()


def test_rows_are_never_put_in_another_order() -> None:
    """Rows of a panel sorted by time would come back sorted by symbol, and no longer be those of ``y``."""
    by_time = BARS.sort("ts", "symbol")
    for given in (by_time, by_time.lazy(), by_time.to_pandas()):
        with pytest.raises((FeatureError, CandleError), match="symbol and time"):
            EnhancedPreprocessor(MINIMAL).fit(given)


@pytest.mark.parametrize("kind", [lambda c: c, lambda c: c.to_pandas()], ids=["polars", "pandas"])
def test_candles_that_are_none_are_refused(kind: Callable[[pl.DataFrame], Any]) -> None:
    row = pl.int_range(pl.len()) == 300
    wrong = ONE.with_columns(high=pl.when(row).then(pl.col("low") * 0.9).otherwise(pl.col("high")))
    fitted = EnhancedPreprocessor().fit(ONE)
    for attempt in (EnhancedPreprocessor().fit, fitted.transform):
        with pytest.raises(CandleError, match="high") as refused:
            attempt(kind(wrong))
        assert "\n" not in str(refused.value)
