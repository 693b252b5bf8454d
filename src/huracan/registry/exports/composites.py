"""Ensembles, stackers and selections of features: the graphs of their members, joined in one."""

from __future__ import annotations

from typing import Any

import numpy as np

from huracan.baselines.wrapper import TabularLearner
from huracan.dataset import REGIME_ORDER
from huracan.ensembles.calibration import SigmoidCalibrator
from huracan.ensembles.weighting import RegimeWeights
from huracan.registry.exports.emitting import emit
from huracan.registry.exports.graph import ExportRefused, Graph, Rows

__all__ = ["composite"]


def composite(graph: Graph, rows: Rows, model: Any) -> str:
    """Forecasts (n, 1) in the label's unit, or probabilities (n, classes)."""
    if model._kind == "selected_features":
        fewer = graph.select(rows, [model.feature_names_.index(name) for name in model.columns_])
        return _as_answer(graph, fewer, "model", model.members_["model"])
    said = [_answer(graph, rows, name, member, model) for name, member in model.members_.items()]
    if model._kind == "stacking":
        return _final(graph, rows, said, model)
    if model._kind == "ensemble":
        return _ensemble(graph, said, model)
    raise ExportRefused(f"there is no graph for a {type(model).__name__}")


def _as_answer(graph: Graph, rows: Rows, name: str, model: Any) -> str:
    """What a member says to the outside: forecasts (n, 1) in the label's unit, or the probability of each class."""
    raw = emit(graph, rows, model)
    if hasattr(model, "classes_"):
        if getattr(getattr(model, "spec", None), "margin_only", False) or not hasattr(model, "predict_proba"):
            raise ExportRefused(f"member '{name}' has no probability")
        return raw
    if not isinstance(model, TabularLearner):
        return raw
    if getattr(model, "n_outputs_", 1) > 1 or model.spec.complete(model.hyperparameters).get("quantiles") is not None:
        raise ExportRefused(f"member '{name}' forecasts several values or quantiles")
    fitted: Any = model
    several = hasattr(model, "target_scales_")
    scale = fitted.target_scales_ if several else fitted.target_scale_
    center = fitted.target_centers_ if several else fitted.target_center_
    return graph.node("Add", graph.node("Mul", raw, graph.constant(scale)), graph.constant(center))


def _answer(graph: Graph, rows: Rows, name: str, member: Any, model: Any) -> str:
    """What a composite reads of a member: (n, 1), with more than two classes (n, classes)."""
    if (classes := getattr(member, "classes_", None)) is None:
        return _as_answer(graph, rows, name, member)
    if np.asarray(classes).tolist() != list(range(len(model.classes_))):
        raise ExportRefused(f"member '{name}' does not know all {len(model.classes_)} classes")
    said = _as_answer(graph, rows, name, member)
    return graph.node("Gather", said, graph.constant([1], np.int64), axis=1) if len(classes) == 2 else said


def _ensemble(graph: Graph, said: list[str], model: Any) -> str:
    if getattr(model, "voting", "soft") == "hard":
        raise ExportRefused("an ensemble that votes counts classes, and rounding may turn a vote")
    mean = _mean(graph, said, model.weights_)
    if model._task == "regression" or len(model.classes_) > 2:
        return mean
    if model.calibrator is not None:
        mean = _calibrated(graph, mean, model.calibrator)
    return graph.node("Concat", graph.node("Sub", graph.constant(1.0), mean), mean, axis=1)


def _mean(graph: Graph, said: list[str], weights: Any) -> str:
    if not isinstance(weights, RegimeWeights):
        return graph.node("Sum", *(graph.node("Mul", one, graph.constant(w)) for one, w in zip(said, weights)))
    graph.reads_regime = True
    codes = [*range(len(REGIME_ORDER)), -1]  # where -1, unknown, is the last row, as Gather reads it
    by_row = graph.node("Gather", graph.constant(weights.of_rows(np.array(codes))), "regime", axis=0)
    columns = (graph.node("Gather", by_row, graph.constant([j], np.int64), axis=1) for j in range(len(said)))
    return graph.node("Sum", *(graph.node("Mul", one, weight) for one, weight in zip(said, columns)))


def _calibrated(graph: Graph, probability: str, calibrator: Any) -> str:
    if not isinstance(calibrator, SigmoidCalibrator):
        raise ExportRefused("an isotonic calibrator has steps, which rounding may cross")
    held = graph.node("Clip", probability, graph.constant(1e-6), graph.constant(1.0 - 1e-6))
    odds = graph.node("Log", graph.node("Div", held, graph.node("Sub", graph.constant(1.0), held)))
    slope, intercept = graph.constant(calibrator.slope_), graph.constant(calibrator.intercept_)
    return graph.node("Sigmoid", graph.node("Add", graph.node("Mul", odds, slope), intercept))


def _final(graph: Graph, rows: Rows, said: list[str], model: Any) -> str:
    inputs = [*said, *([graph.newest(rows, 1).name] if model.passthrough else [])]
    joined = graph.node("Concat", *inputs, axis=1) if len(inputs) > 1 else inputs[0]
    width = len(rows.columns) + len(said) * max(1, len(getattr(model, "classes_", ())))
    return _as_answer(graph, Rows(joined, np.full(width, -1)), "final", model.final_)  # none of these is a column of the input
