"""Candles or ready features: which of the two was given, and the features either way."""

from __future__ import annotations

from typing import Any

import polars as pl

from huracan.errors import FeatureError
from huracan.market import read_candles
from huracan.preprocessing.frames import FeatureFrame, read_feature_frame
from huracan.preprocessing.recipe import FeatureRecipe

__all__ = ["features_of", "recipe_that_is_needed", "recipe_to_fit"]

_CANDLE_NAMES = frozenset(
    {"symbol", "ts", "segment", "open", "high", "low", "close", "volume", "funding_rate", "outlier", "repaired", "filled"}
)


def recipe_to_fit(X: Any, recipe: FeatureRecipe | None) -> FeatureRecipe | None:
    """The recipe to compute before a fit on ``X``, None where ``X`` holds features.

    With a recipe, a frame that has all its columns holds features; without one, a frame that has ``ts``, ``close`` and no
    columns but a candle's holds candles, and the recipe is the default one.
    """
    names = _column_names(X)
    if recipe is not None:
        return None if not names or set(recipe.columns) <= names else recipe
    return FeatureRecipe.default() if {"ts", "close"} <= names <= _CANDLE_NAMES else None


def recipe_that_is_needed(X: Any, recipe: FeatureRecipe | None) -> FeatureRecipe | None:
    """The recipe of the fit, where ``X`` has none of its columns and so must be candles."""
    names = _column_names(X)
    if recipe is None or (hasattr(X, "shape") and not names) or names & set(recipe.columns):
        return None
    return recipe


def features_of(X: Any, recipe: FeatureRecipe | None) -> FeatureFrame:
    """Features of candles by the recipe, warming up as it does, or ``X`` itself where no recipe is needed.

    Raises
    ------
    CandleError : the candles are none. FeatureError : reading them changed the order of rows.
    """
    if recipe is None:
        return read_feature_frame(X)
    given = X.collect() if isinstance(X, pl.LazyFrame) else X
    if isinstance(given, pl.DataFrame):
        ready = set(recipe.required_columns) <= set(given.columns)
        features: Any = recipe.compute(given if ready else _read_in_order(given))
    else:
        features = recipe.compute(_read_in_order(given)).to_pandas()
        if hasattr(given, "index"):
            features.index = given.index
    return read_feature_frame(features).warming_up(recipe.lookbacks())


def _read_in_order(X: Any) -> pl.DataFrame:
    """Candles as read, refused where reading brought the symbols together: rows would no longer be those of ``y``."""
    candles = read_candles(X)
    if hasattr(X, "columns") and "symbol" in X.columns and list(X["symbol"]) != candles["symbol"].to_list():
        raise FeatureError("rows of several symbols take turns; candles sorted by symbol and time were expected.")
    return candles


def _column_names(X: Any) -> set[str]:
    if isinstance(X, pl.LazyFrame):
        return set(X.collect_schema().names())
    return {str(c) for c in X.columns} if hasattr(X, "columns") else set()
