"""A recipe that compares symbols is streamed a moment at a time, like its batch; a new version catches up on such candles."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from huracan import ModelRegistry, TrainingSet
from huracan.catalogue import build_model
from huracan.model_info import FeatureSignature
from huracan.preprocessing import FeatureRecipe, feature
from huracan.serving import Predictor

RECIPE = FeatureRecipe([feature("log_return_scaled", horizon=6), feature("rsi_scaled", window=14).across("rank")])
OTHER = FeatureRecipe([feature("rsi_scaled", window=14).across("rank")])


def keep(registry: ModelRegistry, recipe: FeatureRecipe, candles: pl.DataFrame) -> int:
    features = recipe.compute(candles).drop_nulls().select(recipe.columns)
    y = np.random.default_rng(0).standard_normal(len(features))
    model = build_model("ridge").fit(TrainingSet.from_arrays(features, y))
    card = model.model_info().model_copy(update={"signature": FeatureSignature(columns=recipe.columns)})
    return registry.register(model, card, name="compared", extras={"recipe": recipe.to_json()})


def moments(later: list[dict[str, Any]], start: int, stop: int) -> list[list[dict[str, Any]]]:
    return [later[i : i + 2] for i in range(start, stop, 2)]


def test_moments_are_answered_like_a_batch_and_taken_over(
    registry: ModelRegistry, history: pl.DataFrame, candles: pl.DataFrame, later: list[dict[str, Any]]
) -> None:
    registry.promote("compared", keep(registry, RECIPE, history), reason="first")
    second = keep(registry, OTHER, history)
    how: dict[str, Any] = {"history": history, "refresh": None, "max_age": None, "stale_after": None}
    predictor = Predictor.from_registry(registry, "compared", **how)
    told = {(row["symbol"], row["ts"]): row["score"] for row in predictor.predict(candles).iter_rows(named=True)}
    for moment in moments(later, 0, 100):
        for signal in predictor.update_all(moment):
            np.testing.assert_allclose(signal.score, told[signal.symbol, signal.ts], rtol=1e-6)
    registry.promote("compared", second, reason="other features")
    assert predictor.refresh()
    told = {(row["symbol"], row["ts"]): row["score"] for row in predictor.predict(candles).iter_rows(named=True)}
    for moment in moments(later, 100, 200):
        for signal in predictor.update_all(moment):
            assert signal.model_id == f"compared/{second}"
            np.testing.assert_allclose(signal.score, told[signal.symbol, signal.ts], rtol=1e-3, atol=1e-5)
