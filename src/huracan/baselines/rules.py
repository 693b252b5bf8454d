"""Rules that learn next to nothing: majority, last value, buy and hold. Every learner is compared with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.spec import FitContext, LearnerSpec
from huracan.errors import ModelError, nearest_name
from huracan.model_info import MarketRegime

__all__ = ["RULES", "rule_score"]

_RETURN_NAMES = ("return_1", "log_return_1", "simple_return_1", "log_return_scaled_1", "ret_1", "returns_1", "return")


def _shares(y: NDArray[Any], weight: NDArray[np.float64] | None, n_classes: int) -> list[float]:
    counts = np.bincount(y, weights=weight, minlength=n_classes)
    return (counts / counts.sum()).tolist()


def _constant(fitted: dict[str, Any], X: NDArray[np.float32], n_jobs: int) -> NDArray[np.float64]:
    value = np.asarray(fitted["value"], dtype=np.float64)
    return np.full(len(X), float(value)) if value.ndim == 0 else np.tile(value, (len(X), 1))


def _majority(context: FitContext, X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None) -> Any:
    if context.classifies:
        return {"value": _shares(y, weight, context.n_classes), "score": 0.0}
    return {"value": float(np.average(y, weights=weight)), "score": 0.0}


def _always_up(context: FitContext, X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None) -> Any:
    if not context.classifies:
        return {"value": max(float(np.average(y, weights=weight)), 0.0), "score": 1.0}
    shares = np.asarray(_shares(y, weight, context.n_classes))
    rest = float(shares[:-1].sum())
    up = max(float(shares[-1]), 0.5 + 1e-9)
    down = shares[:-1] * ((1.0 - up) / rest) if rest > 0 else shares[:-1]
    return {"value": [*down.tolist(), up], "score": 1.0}


def _last_value(context: FitContext, X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None) -> Any:
    at = _return_column(context)
    if not context.classifies:
        return {"column": at, "hit_rate": None, "n_classes": 0}
    up = X[:, at] > 0
    right = np.where(up, y == context.n_classes - 1, y == 0)
    # with Laplace's correction; a rule that is mostly wrong is still the same rule, so never under one half
    hit_rate = (float(np.average(right, weights=weight)) * len(y) + 1.0) / (len(y) + 2.0)
    return {"column": at, "hit_rate": max(hit_rate, 0.5 + 1e-9), "n_classes": context.n_classes}


def _last_value_output(fitted: dict[str, Any], X: NDArray[np.float32], n_jobs: int) -> NDArray[np.float64]:
    value = X[:, fitted["column"]].astype(np.float64)
    if not fitted["n_classes"]:
        return value
    k, hit = fitted["n_classes"], fitted["hit_rate"]
    probability = np.full((len(X), k), 0.0 if k == 2 else (1.0 - hit) / (k - 1))
    up = value > 0
    probability[:, -1] = np.where(up, hit, (1.0 - hit) / (k - 1))
    probability[:, 0] = np.where(up, (1.0 - hit) / (k - 1), hit)
    return probability


def _return_column(context: FitContext) -> int:
    wanted = context.params["column"]
    names = context.feature_names
    if wanted is not None:
        if wanted not in names:
            raise nearest_name(wanted, names, kind="feature column for last_value")
        return names.index(wanted)
    found = next((names.index(name) for name in _RETURN_NAMES if name in names), None)
    if found is None:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise ModelError(
            f"last_value finds no column with the last return among {shown}; it looks for {', '.join(_RETURN_NAMES)}. "
            "Name another with column=."
        )
    return found


def rule_score(fitted: dict[str, Any], X: NDArray[np.float32]) -> NDArray[np.float64]:
    """The rule's own score: 0 for majority, 1 for buy and hold, the last return for last value."""
    if "score" in fitted:
        return np.full(len(X), float(fitted["score"]))
    if "column" in fitted:
        return X[:, fitted["column"]].astype(np.float64)
    raise ModelError(f"a rule with the fitted values {sorted(fitted)} has no score.")


_NO_NEEDS = ("any numbers: they are not looked at, and may be missing",)

RULES: tuple[LearnerSpec, ...] = (
    LearnerSpec(
        name="majority",
        purpose="The constant forecast: the commonest class, or the mean label. No position.",
        ideal_dataset_shape="(any rows, any features)",
        feature_requirements=_NO_NEEDS,
        tasks=("classification", "regression"),
        fit=_majority,
        output=_constant,
        scale_inputs=False,
        looks_at_inputs=False,
        is_rule=True,
        market_regimes=dict.fromkeys(MarketRegime, "loses nothing where nothing is predictable"),
    ),
    LearnerSpec(
        name="last_value",
        purpose="What went up goes on: the last one-bar return is the forecast.",
        ideal_dataset_shape="(any rows, 1+ features)",
        feature_requirements=(
            f"a column with the most recent one-bar return: the one named by column=, else {' or '.join(_RETURN_NAMES)}",
            "finite: no nulls, no infinities",
        ),
        tasks=("regression", "classification"),
        fit=_last_value,
        output=_last_value_output,
        defaults={"column": None},
        meanings={"column": f"name of the feature to repeat; none looks for {', '.join(_RETURN_NAMES)}"},
        scale_inputs=False,
        is_rule=True,
        market_regimes={MarketRegime.TRENDING: "a trend is the last move repeated"},
    ),
    LearnerSpec(
        name="buy_and_hold",
        purpose="Always long: what the market pays for waiting.",
        ideal_dataset_shape="(any rows, any features)",
        feature_requirements=_NO_NEEDS,
        tasks=("regression", "classification"),
        fit=_always_up,
        output=_constant,
        scale_inputs=False,
        looks_at_inputs=False,
        is_rule=True,
        market_regimes={MarketRegime.TRENDING: "pays in an upward drift"},
    ),
)
