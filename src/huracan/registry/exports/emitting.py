"""Which exporter a fitted model goes to."""

from __future__ import annotations

import sys
from typing import Any

from huracan.baselines.wrapper import TabularLearner
from huracan.ensembles.base import MemberEstimator
from huracan.models.neural_learner import NeuralLearner
from huracan.registry.exports import formulas, trees
from huracan.registry.exports.graph import ExportRefused, Graph, Rows

__all__ = ["emit", "export_model", "graph_of", "is_agent", "window_of"]


def window_of(model: Any) -> int:
    """Bars up to its own that an answer of ``model`` reads."""
    return int(getattr(model, "history_bars", 0)) + 1


def is_agent(model: Any) -> bool:
    """Whether it answers states with what each action is worth."""
    module = sys.modules.get("huracan.reinforcement.rl_agent")  # which imports PyTorch
    return module is not None and isinstance(model, module.DQNAgent)


def export_model(model: Any, *, window: int | None = None) -> bytes:
    """The ONNX graph of a fitted model: "x", float32 (n, d) or (n, window, d), to "y", float32 (n, outputs).

    ``y`` is what the learner says before classes are named and forecasts get the label's unit: probabilities, margins,
    forecasts of the standardised label; of ensembles their answer itself; of agents, whose rows are states, what each action
    is worth. Nothing is checked here, see :func:`~huracan.registry.exports.checked.export_checked`.

    Parameters
    ----------
    model : a fitted learner of the catalogue, ensemble, stacker, selection of features or agent; or a scikit-learn linear
        model, tree or forest, or a booster. window : bars of the input; by default as many as the model looks at.

    Raises
    ------
    ExportRefused : there is no graph for it; the message says why. DependencyMissing : onnx is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from huracan.catalogue import build_model
    >>> X = np.random.default_rng(0).standard_normal((200, 3))
    >>> len(export_model(build_model("ridge").fit(X, X[:, 0]))) > 200
    True
    """
    graph, answer = graph_of(model, window=window)
    return graph.model(answer)


def graph_of(model: Any, *, window: int | None = None) -> tuple[Graph, str]:
    """The graph of a model before it is finished, and the tensor that holds its answer."""
    graph = Graph(_width(model), window_of(model) if window is None else window)
    return graph, emit(graph, graph.rows, model)


def emit(graph: Graph, rows: Rows, model: Any) -> str:
    """Add the nodes of a model that reads ``rows``; the tensor (n, outputs) of its answer."""
    if isinstance(model, MemberEstimator):
        from huracan.registry.exports.composites import composite

        return composite(graph, rows, model)
    if is_agent(model):
        from huracan.registry.exports.agent import action_values

        return action_values(graph, rows, model)
    rows = graph.newest(rows, window_of(model))
    if isinstance(model, NeuralLearner):
        from huracan.registry.exports.networks import network

        return network(graph, rows, model)
    if not isinstance(model, TabularLearner):
        return _inner(graph, rows, model)
    if model.spec.is_rule:
        raise ExportRefused("a rule is computed directly, which takes less than any graph")
    if model.spec.name == "k_nearest_neighbors":
        raise ExportRefused("all rows at the k-th distance count, which no operator of ONNX does")
    return _inner(graph, Rows(formulas.scaled(graph, rows.name, model.scaler_), rows.columns), model.estimator_)


def _inner(graph: Graph, rows: Rows, inner: Any) -> str:
    if (xgboost := sys.modules.get("xgboost")) is not None and isinstance(inner, xgboost.Booster):
        return trees.xgboost_booster(graph, rows, inner)
    if (lightgbm := sys.modules.get("lightgbm")) is not None and isinstance(inner, lightgbm.Booster):
        return trees.lightgbm_booster(graph, rows, inner)
    from sklearn import ensemble, linear_model, naive_bayes, svm, tree

    linear = linear_model.LinearRegression, linear_model.Ridge, linear_model.LogisticRegression, svm.LinearSVC, svm.LinearSVR
    grown = (
        *(tree.DecisionTreeClassifier, tree.DecisionTreeRegressor),
        *(ensemble.RandomForestClassifier, ensemble.RandomForestRegressor),
        *(ensemble.ExtraTreesClassifier, ensemble.ExtraTreesRegressor),
    )
    if isinstance(inner, grown):
        return trees.forest(graph, rows, inner)
    if isinstance(inner, linear):
        return formulas.linear(graph, rows.name, inner)
    if isinstance(inner, naive_bayes.GaussianNB):
        return formulas.naive_bayes(graph, rows.name, inner)
    if isinstance(inner, svm.SVC | svm.SVR) and inner.kernel == "rbf":
        return formulas.kernel_machine(graph, rows.name, inner)
    raise ExportRefused(f"there is no graph for a {type(inner).__module__}.{type(inner).__qualname__}")


def _width(model: Any) -> int:
    for name in ("n_features_in_", "num_feature"):
        if (found := getattr(model, name, None)) is not None:
            return int(found() if callable(found) else found)
    if (features := getattr(model, "num_features", None)) is not None:
        return int(features())
    raise ExportRefused(f"a {type(model).__name__} does not say how many features it takes")
