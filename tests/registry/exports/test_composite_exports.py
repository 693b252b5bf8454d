"""Ensembles, stackers and selections are one graph that says what they say, by regime where they weigh by regime."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB

from huracan.catalogue import build_model, signal_score
from huracan.dataset import TrainingSet
from huracan.ensembles import (
    EnsembleClassifier,
    EnsembleRegressor,
    IsotonicCalibrator,
    RegimeWeights,
    SelectedFeaturesClassifier,
    SelectedFeaturesRegressor,
    SigmoidCalibrator,
    TimeOrderedStackingClassifier,
    TimeOrderedStackingRegressor,
)
from huracan.registry.exports import export_checked, make_scorer, signal_of

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (huracan[serve])")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((700, 5)).astype(np.float32)
SIGNAL = 0.5 * X[:, 0] + 0.3 * X[:, 1] * X[:, 2] + RNG.standard_normal(700)
CODES = RNG.integers(-1, 4, 700).astype(np.int8)
FORECASTS, CLASSES = TrainingSet.from_arrays(X, 0.01 * SIGNAL), TrainingSet.from_arrays(X, np.sign(SIGNAL))
THREE = np.digitize(SIGNAL, [-0.5, 0.5])
DAY = np.datetime64("2020-01-01") + np.arange(700)


def regressors(**more: Any) -> dict[str, Any]:
    return {"line": build_model("ridge", expected_ic=0.5), "trees": build_model("extra_trees", n_estimators=8), **more}


def regime_weights() -> RegimeWeights:
    return RegimeWeights(np.array([0.5, 0.5]), {"trending": np.array([0.9, 0.1]), "volatile": np.array([0.2, 0.8])})  # type: ignore[dict-item]


def calibrated(kind: Any) -> Any:
    members = {"line": LogisticRegression(), "bayes": GaussianNB()}
    calibrator = kind().fit(
        np.clip(0.5 + 0.2 * X[:, 0], 0.01, 0.99), SIGNAL > 0, decision_time=DAY, known_until=DAY - np.timedelta64(1, "D")
    )
    return EnsembleClassifier(members, calibrator=calibrator).fit(X, (SIGNAL > 0).astype(int))


def boosted(task: Any) -> Any:
    return build_model("lightgbm", task=task, n_rounds=8)


MODELS = {
    "weighted forecasts": lambda: EnsembleRegressor(regressors(), [3, 1]).fit(FORECASTS),
    "a network among them": lambda: EnsembleRegressor(regressors(net=build_model("gru", window=6, hidden=8, max_epochs=1))).fit(
        FORECASTS
    ),
    "models from outside": lambda: EnsembleRegressor({"a": Ridge(), "b": Ridge(50.0)}).fit(X, SIGNAL),
    "weighted probabilities": lambda: EnsembleClassifier(
        {"line": build_model("logistic_regression"), "trees": build_model("extra_trees", task="classification", n_estimators=8)}
    ).fit(CLASSES),
    "three classes": lambda: EnsembleClassifier({"line": LogisticRegression(), "bayes": GaussianNB()}).fit(X, THREE),
    "calibrated": lambda: calibrated(SigmoidCalibrator),
    "weights by regime": lambda: EnsembleRegressor(regressors(), regime_weights()).fit(FORECASTS),
    "stacked forecasts": lambda: TimeOrderedStackingRegressor(regressors()).fit(FORECASTS),
    "stacked with features": lambda: TimeOrderedStackingRegressor(regressors(), final="nnls", passthrough=True).fit(FORECASTS),
    "stacked probabilities": lambda: TimeOrderedStackingClassifier(
        {"line": build_model("logistic_regression"), "boosted": boosted("classification")}
    ).fit(CLASSES),
    "selected features": lambda: SelectedFeaturesRegressor.of(boosted("regression"), share=0.4).fit(FORECASTS),
    "selected for a probability": lambda: SelectedFeaturesClassifier.of(boosted("classification"), share=0.4).fit(CLASSES),
    "an ensemble of selections": lambda: EnsembleRegressor(
        {"all": build_model("ridge"), "some": SelectedFeaturesRegressor.of(boosted("regression"), share=0.4)}
    ).fit(FORECASTS),
}


@pytest.mark.parametrize("kind", MODELS)
def test_composites_are_served_as_they_answer(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MODELS[kind]()
        export = export_checked(model, replace(FORECASTS, regime_code=CODES))
    assert export.engine == "onnx", export.reason
    scorer, signal = make_scorer(model, export, export.onnx), signal_of(model)
    assert scorer.engine == "onnx"
    rows: Any = replace(FORECASTS, regime_code=CODES) if hasattr(model, "columns_") or scorer.window > 1 else X
    if scorer.reads_regime:
        rows = replace(FORECASTS, regime_code=CODES)
    expected = signal_score(model, rows)[600:]
    asked = [X[i] if scorer.window == 1 else X[i - scorer.window + 1 : i + 1] for i in range(600, 700)]
    said = [signal(scorer.one(row, int(code))) for row, code in zip(asked, CODES[600:])]
    np.testing.assert_allclose(said, expected, atol=1e-5 * max(float(np.std(expected)), 1e-2))
    together = scorer.many(np.stack(asked), CODES[600:].astype(np.int64))
    np.testing.assert_allclose([signal(raw) for raw in together], said, atol=1e-7)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: calibrated(IsotonicCalibrator), "isotonic"),
        (lambda: EnsembleRegressor(regressors(near=build_model("knn", task="regression"))).fit(FORECASTS), "k-th distance"),
        (
            lambda: EnsembleClassifier({"a": LogisticRegression(), "b": GaussianNB()}, voting="hard").fit(X, THREE),
            "votes",
        ),
    ],
)
def test_what_has_no_graph_is_asked_itself(model: Any, reason: str) -> None:
    made = model()
    export = export_checked(made, FORECASTS)
    scorer, signal = make_scorer(made, export, export.onnx), signal_of(made)
    assert scorer.engine == "native" and reason in str(scorer.reason)
    np.testing.assert_allclose([signal(scorer.one(row)) for row in X[:20]], signal_score(made, X)[:20], atol=1e-9)


def test_windows_and_regimes_of_a_composite_without_a_graph() -> None:
    members = {"near": build_model("knn", task="regression"), "net": build_model("gru", window=6, hidden=8, max_epochs=1)}
    rows = replace(FORECASTS, regime_code=CODES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = EnsembleRegressor(members, regime_weights()).fit(rows)
    scorer = make_scorer(made, None, None)
    assert scorer.window == 6 and scorer.reads_regime
    said = [scorer.one(X[i - 5 : i + 1], int(CODES[i]))[0] for i in range(650, 660)]
    np.testing.assert_allclose(said, made.predict(rows)[650:660], atol=1e-8)
