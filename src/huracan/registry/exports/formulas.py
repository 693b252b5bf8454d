"""Learners that are a formula: linear ones, naive Bayes, support vector machines with an RBF kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.inputs import InputScaler
from huracan.registry.exports.graph import ExportRefused, Graph

__all__ = ["kernel_machine", "linear", "naive_bayes", "scaled"]


def scaled(graph: Graph, rows: str, scaler: InputScaler | None) -> str:
    """Rows as an :class:`~huracan.baselines.inputs.InputScaler` gives them: in float32, in its own order of steps."""
    if scaler is None:
        return rows
    centred = graph.node("Sub", rows, graph.constant(scaler.center))
    made = graph.node("Mul", centred, graph.constant(1.0 / scaler.scale))
    if not np.isfinite(scaler.clip):
        return made
    return graph.node("Clip", made, graph.constant(-scaler.clip), graph.constant(scaler.clip))


def linear(graph: Graph, rows: str, estimator: Any) -> str:
    """Ridge, least squares, logistic regression, linear support vector machines: (n, outputs), probabilities of classes."""
    weight = np.atleast_2d(np.asarray(estimator.coef_, np.float64))
    bias = np.broadcast_to(np.asarray(estimator.intercept_, np.float64).reshape(-1), (len(weight),))
    if not hasattr(estimator, "predict_proba"):
        return _affine(graph, rows, weight.T, bias)
    if len(estimator.classes_) == 2:  # the probability of both in one product
        return graph.node("Sigmoid", _affine(graph, rows, np.vstack([-weight, weight]).T, np.concatenate([-bias, bias])))
    return graph.node("Softmax", _affine(graph, rows, weight.T, bias), axis=1)


def naive_bayes(graph: Graph, rows: str, estimator: Any) -> str:
    """Gaussian naive Bayes: probabilities (n, classes).

    Log-likelihoods are taken relative to those of the first class before they are rounded to float32: each may be a thousand
    where their differences, which alone count, are about one.
    """
    precision, mean = 1.0 / estimator.var_, estimator.theta_
    square, slope = -0.5 * precision, mean * precision
    level = np.log(estimator.class_prior_) + 0.5 * np.sum(np.log(precision) - mean**2 * precision, axis=1)
    of_square = graph.node("MatMul", graph.node("Mul", rows, rows), graph.constant((square - square[0]).T))
    joint = graph.node("Add", of_square, _affine(graph, rows, (slope - slope[0]).T, level - level[0]))
    return graph.node("Softmax", joint, axis=1)


def kernel_machine(graph: Graph, rows: str, machine: Any) -> str:
    """``SVR`` and two-class ``SVC`` with an RBF kernel, by the steps of ``huracan.baselines.chunked.rbf_decision``: (n, 1)."""
    if len(getattr(machine, "classes_", ())) > 2:
        raise ExportRefused("a support vector machine of three and more classes votes over pairs")
    support = np.asarray(machine.support_vectors_, np.float32)
    products = graph.node("MatMul", rows, graph.constant(2.0 * support.T))
    less = graph.node("Sub", products, graph.constant(np.einsum("ij,ij->i", support, support)))
    own = graph.node("ReduceSumSquare", rows, axes=[1], keepdims=1)
    distance = graph.node("Min", graph.node("Sub", less, own), graph.constant(0.0))
    kernel = graph.node("Exp", graph.node("Mul", distance, graph.constant(machine._gamma)))
    return _affine(graph, kernel, np.ravel(machine.dual_coef_)[:, None], np.ravel(machine.intercept_)[:1])


def _affine(graph: Graph, rows: str, weight: NDArray[Any], bias: NDArray[Any]) -> str:
    return graph.node("Gemm", rows, graph.constant(weight), graph.constant(bias))
