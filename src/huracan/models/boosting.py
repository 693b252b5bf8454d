"""Gradient boosting with XGBoost and LightGBM: small trees, slow learning, strong shrinkage.

With their own defaults both are worse than a constant on signals as faint as a market's; here a tree has few leaves,
a leaf holds at least a percent of the rows, and its value is shrunk hard. The fitted object is the library's raw
``Booster``, which has a native text form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.search_space import Between, OneOf
from huracan.baselines.spec import FitContext, LearnerSpec
from huracan.model_info import MarketRegime

__all__ = ["BOOSTERS"]


def _fit_xgboost(context: FitContext, X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None) -> Any:
    import xgboost

    hessian = 0.25 if context.n_classes == 2 else 1.0  # of the log loss at p = 1/2; of the squared loss
    settings = {
        "objective": _objective(context, "reg:squarederror", "binary:logistic", "multi:softprob"),
        "tree_method": "hist",
        "max_depth": context.params["max_depth"],
        "learning_rate": context.params["learning_rate"],
        "min_child_weight": _least_weight(context, hessian),
        "reg_lambda": context.params["reg_lambda"] * hessian,
        "subsample": context.params["subsample"],
        "colsample_bytree": context.params["colsample"],
        "max_bin": context.params["max_bin"],
        "seed": context.random_state,
        "nthread": context.n_jobs,
        "verbosity": 0,
        "base_score": _base_score(context, y, weight),
    }
    if context.n_classes > 2:
        settings |= {"num_class": context.n_classes}
    settings = {key: value for key, value in settings.items() if value is not None}
    given: dict[str, Any] = {"max_bin": context.params["max_bin"]}
    if context.prepared is None:
        rows = xgboost.QuantileDMatrix(X, label=y, weight=weight, nthread=context.n_jobs, **given)
    else:
        rows = context.prepared.xgboost(y, weight, n_jobs=context.n_jobs, **given)
    return xgboost.train(settings, rows, num_boost_round=context.params["n_rounds"])


def _least_weight(context: FitContext, hessian: float) -> float:
    given = context.params["min_child_weight"]
    if given is not None:
        return float(given)
    return context.rows_of("leaf_fraction", at_least=20) * hessian * context.params["subsample"]


def _xgboost_output(booster: Any, X: NDArray[np.float32], n_jobs: int) -> NDArray[np.float64]:
    booster.set_param({"nthread": n_jobs})
    return _columns(np.asarray(booster.inplace_predict(X), dtype=np.float64), _is_binary_xgboost(booster))


def _is_binary_xgboost(booster: Any) -> bool:
    import json

    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    return objective == "binary:logistic"


def _xgboost_gain(booster: Any, n_features: int) -> NDArray[np.float64]:
    gain = booster.get_score(importance_type="total_gain")
    return np.array([gain.get(f"f{i}", 0.0) for i in range(n_features)], dtype=np.float64)


def _fit_lightgbm(context: FitContext, X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None) -> Any:
    import lightgbm

    hessian = 0.25 if context.n_classes == 2 else 1.0
    settings = {
        "objective": _objective(context, "regression", "binary", "multiclass"),
        "num_leaves": context.params["num_leaves"],
        "learning_rate": context.params["learning_rate"],
        "max_depth": context.params["max_depth"],
        "min_data_in_leaf": _least_rows(context),
        "min_sum_hessian_in_leaf": 0.0,
        "lambda_l2": context.params["reg_lambda"] * hessian,
        "bagging_fraction": context.params["subsample"],
        "bagging_freq": 1,
        "feature_fraction": context.params["colsample"],
        "max_bin": context.params["max_bin"],
        "extra_trees": context.params["random_thresholds"],
        "seed": context.random_state,
        "num_threads": context.n_jobs,
        "deterministic": True,
        "force_col_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
    }
    if context.n_classes > 2:
        settings |= {"num_class": context.n_classes}
    if context.prepared is None:
        rows = lightgbm.Dataset(X, label=y, weight=weight, params=settings, free_raw_data=True)
    else:
        rows = context.prepared.lightgbm(settings, y, weight, max_bin=context.params["max_bin"], n_jobs=context.n_jobs)
    return lightgbm.train(settings, rows, num_boost_round=context.params["n_rounds"])


def _least_rows(context: FitContext) -> int:
    share = context.rows_of("leaf_fraction", at_least=20) * context.params["subsample"]
    return context.rows_given("min_samples_leaf") or max(1, round(share))


def _lightgbm_output(booster: Any, X: NDArray[np.float32], n_jobs: int) -> NDArray[np.float64]:
    raw = np.asarray(booster.predict(X, num_threads=n_jobs), dtype=np.float64)
    return _columns(raw, booster.dump_model(num_iteration=1)["objective"].startswith("binary"))


def _lightgbm_gain(booster: Any, n_features: int) -> NDArray[np.float64]:
    return np.asarray(booster.feature_importance(importance_type="gain"), dtype=np.float64)


def _objective(context: FitContext, regression: str, binary: str, multiclass: str) -> str:
    if not context.classifies:
        return regression
    return binary if context.n_classes == 2 else multiclass


def _base_score(context: FitContext, y: NDArray[Any], weight: NDArray[np.float64] | None) -> float | None:
    if context.n_classes > 2:
        return None
    mean = float(np.average(y, weights=weight))
    return min(max(mean, 1e-6), 1.0 - 1e-6) if context.classifies else mean


def _columns(raw: NDArray[np.float64], binary: bool) -> NDArray[np.float64]:
    return np.column_stack([1.0 - raw, raw]) if binary else raw


_REGIMES = {
    MarketRegime.TRENDING: "finds the few conditions under which momentum holds",
    MarketRegime.VOLATILE: "splits calm from storm and fits each",
}

_MEANINGS = {
    "n_rounds": "number of trees, one after the other",
    "learning_rate": "share of each tree that is added",
    "leaf_fraction": "share of the training rows that a leaf holds at least (and never under 20 rows)",
    "reg_lambda": "shrinkage of a leaf's value, in rows: a leaf of so many rows counts half; the library's own for regression",
    "subsample": "share of the rows that a tree sees",
    "colsample": "share of the features that a tree sees",
    "max_bin": "most different values of a feature that are told apart",
}
_SEARCH_SPACE = {
    "n_rounds": Between(40, 500, log=True, whole=True),
    "learning_rate": Between(0.01, 0.1, log=True),
    "leaf_fraction": Between(0.002, 0.05, log=True),
    "reg_lambda": Between(1.0, 10_000.0, log=True),
    "subsample": Between(0.3, 0.9),
    "colsample": Between(0.1, 1.0, log=True),
}
_ALIASES = {"n_estimators": "n_rounds", "num_boost_round": "n_rounds", "colsample_bytree": "colsample"}

BOOSTERS: tuple[LearnerSpec, ...] = (
    LearnerSpec(
        name="xgboost",
        purpose="Boosted shallow trees: the conditions under which a linear effect holds, turns or vanishes.",
        ideal_dataset_shape="(10_000+ rows, 10-200 features)",
        tasks=("regression", "classification"),
        fit=_fit_xgboost,
        output=_xgboost_output,
        importance=_xgboost_gain,
        defaults={
            "n_rounds": 150,
            "max_depth": 3,
            "learning_rate": 0.03,
            "leaf_fraction": 0.02,
            "min_child_weight": None,
            "reg_lambda": 300.0,
            "subsample": 0.5,
            "colsample": 0.3,
            "max_bin": 16,
        },
        search_space={
            **_SEARCH_SPACE,
            "max_depth": Between(1, 6, whole=True),
        },
        meanings={
            **_MEANINGS,
            "max_depth": "most questions from root to leaf",
            "min_child_weight": "sum of second derivatives a leaf holds at least, as in XGBoost; none takes leaf_fraction",
        },
        aliases={**_ALIASES, "eta": "learning_rate"},
        max_train_rows={"quick": 300_000, "standard": 1_000_000},
        scale_inputs=False,
        threads=True,
        market_regimes=_REGIMES,
    ),
    LearnerSpec(
        name="lightgbm",
        purpose="Boosted small trees with random thresholds, grown leaf by leaf: smoother than xgboost on faint signals.",
        ideal_dataset_shape="(10_000+ rows, 10-500 features)",
        tasks=("regression", "classification"),
        fit=_fit_lightgbm,
        output=_lightgbm_output,
        importance=_lightgbm_gain,
        defaults={
            "n_rounds": 200,
            "num_leaves": 16,
            "max_depth": -1,
            "learning_rate": 0.03,
            "leaf_fraction": 0.01,
            "min_samples_leaf": None,
            "reg_lambda": 1000.0,
            "subsample": 0.5,
            "colsample": 0.5,
            "max_bin": 64,
            "random_thresholds": True,
        },
        search_space={
            **_SEARCH_SPACE,
            "num_leaves": Between(3, 48, log=True, whole=True),
            "random_thresholds": OneOf((True, False)),
        },
        meanings={
            **_MEANINGS,
            "num_leaves": "most leaves of a tree",
            "max_depth": "most questions from root to leaf; -1 is no limit",
            "min_samples_leaf": "rows (a share, where below 1) that a leaf holds at least; none takes leaf_fraction",
            "random_thresholds": "try one random threshold a feature at each split instead of all",
        },
        aliases={
            **_ALIASES,
            "min_child_samples": "min_samples_leaf",
            "min_data_in_leaf": "min_samples_leaf",
            "bagging_fraction": "subsample",
            "feature_fraction": "colsample",
            "extra_trees": "random_thresholds",
        },
        max_train_rows={"quick": 300_000, "standard": 1_000_000},
        scale_inputs=False,
        threads=True,
        market_regimes=_REGIMES,
    ),
)
