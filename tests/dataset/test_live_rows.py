"""Rows to forecast: the newest bars, whose labels nobody knows, with the features of any other time."""

from __future__ import annotations

from contextlib import nullcontext as _nothing

import numpy as np
import polars as pl
import pytest

from huracan.dataset import TrainingSet
from huracan.errors import DataError, NotEnoughData
from huracan.labels import forward_return_labels
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe

RECIPE = FeatureRecipe.minimal()
CANDLES = simulate_market(n_bars=500, n_symbols=2, seed=0).candles
ONE = CANDLES.filter(pl.col("symbol") == CANDLES["symbol"][0])


def test_live_rows_end_with_the_newest_bar_and_are_the_rows_that_training_has() -> None:
    live = TrainingSet.from_candles(CANDLES, recipe=RECIPE)
    kept = TrainingSet.from_candles(CANDLES, recipe=RECIPE, labels=forward_return_labels(CANDLES), keep_unlabelled=True)
    newest = CANDLES["ts"].max().replace(tzinfo=None)  # type: ignore[union-attr]
    assert (live.ts[-2:] == np.datetime64(newest)).all()
    assert not live.labelled.any() and np.isnat(live.label_end).all()
    for name in ("X", "ts", "decision_time", "symbol_code", "segment", "weight"):
        np.testing.assert_array_equal(getattr(live, name), getattr(kept, name))


def test_candles_of_pandas_are_the_same_rows() -> None:
    frame = CANDLES.to_pandas()
    assert (
        TrainingSet.from_candles(frame, recipe=RECIPE).data_hash()
        == TrainingSet.from_candles(CANDLES, recipe=RECIPE).data_hash()
    )


@pytest.mark.parametrize("bars", [48, 49, 50, 51])
def test_the_first_bar_with_features_is_a_live_row_and_the_refusal_before_it_is_true(bars: int) -> None:
    """The recipe's first value is at bar 49; a label of the next bar needs two more."""
    assert RECIPE.lookback == 48
    few, labels = ONE.head(bars), forward_return_labels(ONE.head(bars))
    for given, wanted in (({"labels": None}, 49), ({"labels": labels, "keep_unlabelled": True}, 49), ({"labels": labels}, 51)):
        if bars >= wanted:
            with pytest.warns() if given["labels"] is None else _nothing():  # type: ignore[attr-defined]
                assert len(TrainingSet.from_candles(few, recipe=RECIPE, **given)) == bars - wanted + 1
            continue
        with pytest.raises(NotEnoughData) as refused:
            TrainingSet.from_candles(few, recipe=RECIPE, **given)
        said = str(refused.value)
        if bars == 48:
            assert "the recipe needs more than 48 bars in one segment, the longest segment has 48." in said
        else:
            assert (
                f"none of {bars} candles gives a training row: {bars - 48} have all features, and none of these a label" in said
            )


def test_a_history_too_short_to_be_forgotten_is_said() -> None:
    """From ``warmup`` bars on the newest features are those of all the history there is."""
    whole = TrainingSet.from_candles(ONE, recipe=RECIPE).X[-1]
    enough = TrainingSet.from_candles(ONE.tail(RECIPE.warmup), recipe=RECIPE).X[-1]
    np.testing.assert_allclose(enough, whole, rtol=1e-4, atol=1e-6)
    with pytest.warns(UserWarning, match=rf"newest bar of .* has an unbroken history of {RECIPE.warmup - 1} bars, where"):
        TrainingSet.from_candles(ONE.tail(RECIPE.warmup - 1), recipe=RECIPE)
    with pytest.warns(UserWarning, match="history of 100 bars, as have 1 more symbol"):
        TrainingSet.from_candles(CANDLES.group_by("symbol", maintain_order=True).tail(100), recipe=RECIPE)


def test_arrays_without_labels_are_rows_to_forecast() -> None:
    from huracan.catalogue import build_model

    X, y = np.random.default_rng(0).standard_normal((100, 2)), np.arange(100.0)
    live = TrainingSet.from_arrays(X)
    assert not live.labelled.any() and np.isnat(live.label_end).all()
    model = build_model("linear_network", window=4, max_epochs=1).fit(X, y)
    np.testing.assert_array_equal(model.predict(live), model.predict(X))
    with pytest.raises(DataError):
        build_model("ridge").fit(live)
