"""Champions on forty features of real one-minute bars, registered with all that serving needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from benchmarks.online import FORTY, candles_of
from huracan import ModelRegistry, TrainingSet
from huracan.accounting import PositionPolicy
from huracan.catalogue import build_model, signal_score
from huracan.config import HuracanConfig
from huracan.ensembles import AdaptiveConformal
from huracan.integration.serving_facts import attached_sketch, probe_rows, serving_signature
from huracan.labels import forward_return_labels

__all__ = ["HISTORY", "SEQUENCE", "TABULAR", "history_and_bars", "register", "training_rows"]

TRAINED, HISTORY, BARS = 6_000, 12_000, 2_000
HORIZON = 5
TABULAR: dict[str, dict[str, Any]] = {
    "ridge": {},
    "logistic_regression": {},
    "random_forest": {"n_estimators": 100},
    "lightgbm": {"n_estimators": 100},
    "xgboost": {"n_estimators": 100},
}
SEQUENCE: dict[str, dict[str, Any]] = {
    "lstm": {"window": 32, "hidden_size": 64, "n_layers": 2, "max_epochs": 1},
    "cnn": {"window": 32, "max_epochs": 1},
    "transformer": {"window": 32, "d_model": 32, "n_layers": 2, "max_epochs": 1},
}
_CLASSES = ("logistic_regression",)


def history_and_bars() -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """What a predictor goes on from, and what comes after it."""
    candles = candles_of("BTC-USDT", HISTORY + BARS)
    return candles[:HISTORY], list(candles[HISTORY:].iter_rows(named=True))


def training_rows(candles: pl.DataFrame) -> TrainingSet:
    """Rows of the first bars, with the return of the next five."""
    past = candles[:TRAINED]
    labels = forward_return_labels(past, horizon=HORIZON, volatility_scaled=True)
    return TrainingSet.from_candles(past, recipe=FORTY, labels=labels)


def register(
    registry: ModelRegistry, name: str, rows: TrainingSet, learner: str, settings: dict[str, Any], **extras: Any
) -> int:
    """Fit a learner and keep it as a run would, with a policy that holds decisions for five bars."""
    task = "classification" if learner in _CLASSES else "regression"
    model = build_model(learner, task=task, random_state=0, **settings).fit(rows)
    score = signal_score(model, rows)
    scale = {"center": float(score.mean()), "spread": float(score.std()), "intercept": 0.0, "slope": 0.1}
    policy = PositionPolicy(
        mode="scaled", scale=0.3, holding="overlap", horizon=HORIZON, center=scale["center"], spread=scale["spread"]
    )
    residuals = np.abs(rows.y[-250:]).tolist()
    config = HuracanConfig().model_dump(mode="json", exclude={"home"})
    kept = {
        "recipe": FORTY.to_json(),
        "config": config,
        "policy": policy.to_dict(),
        "scale": scale,
        "levels": {"all": float(score.mean())},
        "forecast": {"intercept": 0.0, "slope": 0.1},
        "intervals": {"scale": "none", "state": {**AdaptiveConformal().to_state(), "recent": residuals}},
    }
    signature = serving_signature(model, rows, FORTY.hash)
    return registry.register(
        model,
        model.model_info().model_copy(update={"signature": signature}),
        name=name,
        extras=kept,
        attachments=attached_sketch(model, rows, outside_share=0.001),
        probe=probe_rows(model, rows),
    )
