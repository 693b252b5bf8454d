"""Forests: random forest and extremely randomised trees, small and with large leaves, for faint signals."""

from __future__ import annotations

from typing import Any

from huracan.baselines.classifiers import LEAF_MEANINGS, split_importance
from huracan.baselines.search_space import Between
from huracan.baselines.spec import FitContext, LearnerSpec
from huracan.model_info import MarketRegime

__all__ = ["FORESTS"]


def _random_forest(context: FitContext) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if context.classifies else RandomForestRegressor
    # a share is of all rows, the leaf is counted on those that one tree sees
    share = 1.0 if context.params["max_samples"] is None else context.params["max_samples"]
    leaf = context.rows_given("min_samples_leaf") or max(1, round(context.rows_of("leaf_fraction", at_least=50) * share))
    return kind(
        n_estimators=context.params["n_estimators"],
        max_depth=context.params["max_depth"],
        min_samples_leaf=leaf,
        max_features=context.params["max_features"],
        max_samples=context.params["max_samples"],
        random_state=context.random_state,
        n_jobs=context.n_jobs,
    )


def _extra_trees(context: FitContext) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    kind = ExtraTreesClassifier if context.classifies else ExtraTreesRegressor
    return kind(
        n_estimators=context.params["n_estimators"],
        max_depth=context.params["max_depth"],
        min_samples_leaf=context.rows_given("min_samples_leaf") or context.rows_of("leaf_fraction", at_least=50),
        max_features=context.params["max_features"],
        random_state=context.random_state,
        n_jobs=context.n_jobs,
    )


_MEANINGS = {
    "n_estimators": "number of trees",
    "max_depth": "most questions from root to leaf; none is no limit",
    **LEAF_MEANINGS,
    "max_features": "share (or number, or 'sqrt', 'log2') of the features tried at each split",
}

FORESTS: tuple[LearnerSpec, ...] = (
    LearnerSpec(
        name="random_forest",
        purpose="Average of many deep-enough trees on resampled rows: interactions without tuning.",
        ideal_dataset_shape="(5_000-500_000 rows, 10-100 features)",
        tasks=("regression", "classification"),
        build=_random_forest,
        importance=split_importance,
        defaults={
            "n_estimators": 100,
            "max_depth": 6,
            "leaf_fraction": 0.05,
            "min_samples_leaf": None,
            "max_features": 0.15,
            "max_samples": 0.5,
        },
        search_space={
            "max_depth": Between(3, 12, whole=True),
            "leaf_fraction": Between(0.003, 0.1, log=True),
            "max_features": Between(0.05, 0.7, log=True),
            "max_samples": Between(0.2, 0.8),
        },
        meanings={**_MEANINGS, "max_samples": "share of the rows that a tree sees; none is as many as there are"},
        max_train_rows={"quick": 60_000, "standard": 200_000, "full": 1_000_000},
        scale_inputs=False,
        threads=True,
        market_regimes={
            MarketRegime.VOLATILE: "thresholds and averages are not moved by outliers",
            MarketRegime.RANGING: "interactions of level and speed mark reversals",
        },
    ),
    LearnerSpec(
        name="extra_trees",
        purpose="Forest with random thresholds: smoother, quicker and harder to overfit than a random forest.",
        ideal_dataset_shape="(5_000-500_000 rows, 10-100 features)",
        tasks=("regression", "classification"),
        build=_extra_trees,
        importance=split_importance,
        defaults={"n_estimators": 100, "max_depth": 8, "leaf_fraction": 0.01, "min_samples_leaf": None, "max_features": 0.2},
        search_space={
            "max_depth": Between(3, 16, whole=True),
            "leaf_fraction": Between(0.002, 0.05, log=True),
            "max_features": Between(0.05, 1.0, log=True),
        },
        meanings=_MEANINGS,
        max_train_rows={"quick": 100_000, "standard": 300_000, "full": 1_000_000},
        scale_inputs=False,
        threads=True,
        market_regimes={
            MarketRegime.VOLATILE: "random thresholds average noise away",
            MarketRegime.RANGING: "interactions of level and speed mark reversals",
        },
    ),
)
