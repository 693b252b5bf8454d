"""Trees, forests and boosters as one ``TreeEnsembleRegressor``, whatever library grew them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.registry.exports.graph import ExportRefused, Graph, Rows

__all__ = ["forest", "lightgbm_booster", "xgboost_booster"]

_LEAF = -1


@dataclass(frozen=True)
class _Tree:
    """Nodes of one tree; where ``left`` is -1 it is a leaf, which adds ``value`` (nodes, k) to outputs ``targets``."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]
    targets: Sequence[int]


def forest(graph: Graph, rows: Rows, estimator: Any) -> str:
    """scikit-learn's trees and forests: forecasts (n, 1) or probabilities (n, classes)."""
    members = getattr(estimator, "estimators_", None) or [estimator]
    grown = [member.tree_ for member in members]
    if any(tree.value.shape[1] != 1 for tree in grown):
        raise ExportRefused("trees with several outputs are not exported")
    trees = []
    for tree in grown:
        value = tree.value[:, 0, :]
        if hasattr(estimator, "classes_"):
            value = value / value.sum(axis=1, keepdims=True)
        trees.append(
            _Tree(
                tree.feature,
                _rounded_down(tree.threshold),
                tree.children_left,
                tree.children_right,
                value / len(grown),
                range(value.shape[1]),
            )
        )
    return _sum_of_leaves(graph, rows, trees, "BRANCH_LEQ", len(trees[0].targets))


def lightgbm_booster(graph: Graph, rows: Rows, booster: Any) -> str:
    """A LightGBM booster of squared loss, of two classes or of more; its best iteration where it has one."""
    told = booster.dump_model()
    objective, _, settings = told["objective"].partition(" ")
    if objective not in ("regression", "binary", "multiclass") or "sqrt" in settings or told.get("average_output"):
        raise ExportRefused(f"a LightGBM booster of the objective '{told['objective']}' is not exported")
    if objective == "binary" and settings != "sigmoid:1":
        raise ExportRefused(f"LightGBM's {settings} is not exported; sigmoid:1 is")
    outputs = told["num_tree_per_iteration"]
    trees = [_of_lightgbm(one["tree_structure"], i % outputs) for i, one in enumerate(told["tree_info"])]
    score = _sum_of_leaves(graph, rows, trees, "BRANCH_LEQ", outputs)
    return _linked(graph, score, {"binary": "two", "multiclass": "many"}.get(objective))


def xgboost_booster(graph: Graph, rows: Rows, booster: Any) -> str:
    """An XGBoost booster of squared loss, of two classes or of more; all its trees, as ``inplace_predict`` takes them."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    kind, objective = learner["gradient_booster"]["name"], learner["objective"]["name"]
    if kind != "gbtree" or objective not in ("reg:squarederror", "binary:logistic", "multi:softprob"):
        raise ExportRefused(f"an XGBoost booster of kind '{kind}' and objective '{objective}' is not exported")
    grown = learner["gradient_booster"]["model"]
    trees = [_of_xgboost(tree, target) for tree, target in zip(grown["trees"], grown["tree_info"])]
    told = str(learner["learner_model_param"]["base_score"]).strip("[]").split(",")
    base = np.array([float(part) for part in told])
    if objective == "binary:logistic":
        base = np.log(base / (1.0 - base))
    outputs = max(1, int(learner["learner_model_param"]["num_class"]))
    score = _sum_of_leaves(graph, rows, trees, "BRANCH_LT", outputs, np.broadcast_to(base, (outputs,)))
    return _linked(graph, score, {"binary:logistic": "two", "multi:softprob": "many"}.get(objective))


def _of_lightgbm(root: dict[str, Any], target: int) -> _Tree:
    feature: list[int] = []
    threshold, value, left, right = [], [], [], []
    waiting: list[tuple[dict[str, Any], list[int] | None, int]] = [(root, None, 0)]  # and where its parent keeps its number
    while waiting:
        node, side, parent = waiting.pop()
        at, leaf = len(feature), "split_feature" not in node
        if side is not None:
            side[parent] = at
        if "leaf_coeff" in node or (not leaf and (node["decision_type"], node["missing_type"]) != ("<=", "None")):
            raise ExportRefused("LightGBM's linear leaves, splits by category and splits by missing values are not exported")
        feature.append(0 if leaf else node["split_feature"])
        threshold.append(0.0 if leaf else node["threshold"])
        value.append(node["leaf_value"] if leaf else 0.0)
        left.append(_LEAF)
        right.append(_LEAF)
        if not leaf:
            waiting += [(node["right_child"], right, at), (node["left_child"], left, at)]
    asked = _beside_zero(_rounded_down(threshold))
    return _Tree(np.array(feature), asked, np.array(left), np.array(right), np.array(value)[:, None], (target,))


def _of_xgboost(tree: dict[str, Any], target: int) -> _Tree:
    if any(tree["split_type"]) or int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise ExportRefused("XGBoost's splits by category and trees of several outputs are not exported")
    condition = np.array(tree["split_conditions"], np.float32)
    indices, left, right = (np.array(tree[key]) for key in ("split_indices", "left_children", "right_children"))
    return _Tree(indices, condition, left, right, condition.astype(np.float64)[:, None], (target,))


def _rounded_down(threshold: ArrayLike) -> NDArray[np.float32]:
    """The largest float32 up to each threshold: a float32 is at most the one exactly where it is at most the other."""
    exact = np.asarray(threshold, np.float64)
    with np.errstate(over="ignore"):  # beyond float32 all rows lie on one side
        rounded = exact.astype(np.float32)
    return np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def _beside_zero(threshold: NDArray[np.float32]) -> NDArray[np.float32]:
    """LightGBM takes values up to 1e-35 for zero; a threshold among them divides at the edge of them."""
    edge = np.float32(1e-35)
    low = np.nextafter(-edge, np.float32(-np.inf))
    return np.where(np.abs(threshold) > edge, threshold, np.where(threshold < 0, low, edge))


def _sum_of_leaves(
    graph: Graph,
    rows: Rows,
    trees: Iterable[_Tree],
    mode: Literal["BRANCH_LEQ", "BRANCH_LT"],
    outputs: int,
    base: NDArray[np.float64] | None = None,
) -> str:
    columns: dict[str, list[Any]] = {}

    def add(**more: Any) -> None:
        for name, values in more.items():
            columns.setdefault(name, []).append(np.asarray(values))

    for number, tree in enumerate(trees):
        leaf, node = tree.left == _LEAF, np.arange(len(tree.left))
        add(
            nodes_treeids=np.full(len(leaf), number),
            nodes_nodeids=node,
            nodes_featureids=np.where(leaf, 0, tree.feature),
            nodes_values=np.where(leaf, np.float32(0), tree.threshold),
            nodes_modes=np.where(leaf, "LEAF", mode),
            nodes_truenodeids=np.where(leaf, 0, tree.left),
            nodes_falsenodeids=np.where(leaf, 0, tree.right),
            target_treeids=np.full(leaf.sum() * len(tree.targets), number),
            target_nodeids=np.repeat(node[leaf], len(tree.targets)),
            target_ids=np.tile(tree.targets, leaf.sum()),
            target_weights=tree.value[leaf].reshape(-1),
        )
        for feature in np.unique(tree.feature[~leaf]):
            asked = tree.threshold[~leaf & (tree.feature == feature)]
            graph.splits.setdefault(int(rows.columns[feature]), []).append(asked)
    attributes: dict[str, Any] = {name: np.concatenate(values).tolist() for name, values in columns.items()}
    if base is not None:
        attributes["base_values"] = base.tolist()
    return graph.node(
        "TreeEnsembleRegressor",
        rows.name,
        domain="ai.onnx.ml",
        n_targets=outputs,
        aggregate_function="SUM",
        post_transform="NONE",
        **attributes,
    )


def _linked(graph: Graph, score: str, classes: str | None) -> str:
    if classes is None:
        return score
    if classes == "many":
        return graph.node("Softmax", score, axis=1)
    return graph.node("Sigmoid", graph.node("Mul", score, graph.constant([-1.0, 1.0])))
