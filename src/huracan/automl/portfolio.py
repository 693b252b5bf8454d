"""Where a search begins: settings that are good on faint signals, of different kinds, the cheapest and surest first.

Defaults of the catalogue are among them; a search that has time for these alone has an ensemble that is hard to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from huracan.baselines.spec import SupervisedTask

__all__ = ["STARTING_PORTFOLIO", "starting_settings"]

STARTING_PORTFOLIO: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ridge", {}),
    ("logistic_regression", {}),
    ("extra_trees", {}),
    ("lightgbm", {}),
    ("extra_trees", {"leaf_fraction": 0.005, "max_features": 0.6}),
    ("ridge", {"expected_ic": 0.015}),
    ("logistic_regression", {"expected_ic": 0.015}),
    ("xgboost", {}),
    ("random_forest", {}),
    ("lightgbm", {"num_leaves": 4, "n_rounds": 150, "reg_lambda": 3000.0}),
    ("lightgbm", {"num_leaves": 31, "n_rounds": 300, "reg_lambda": 100.0, "leaf_fraction": 0.005}),
    ("extra_trees", {"max_depth": 5, "leaf_fraction": 0.02, "max_features": 0.1}),
    ("ridge", {"expected_ic": 0.2}),
    ("logistic_regression", {"expected_ic": 0.2}),
    ("xgboost", {"max_depth": 2, "n_rounds": 300}),
)
"""(learner, settings that differ from its defaults), in the order they are tried."""


def starting_settings(learners: Sequence[str], task: SupervisedTask) -> list[tuple[str, dict[str, Any]]]:
    """Those of the portfolio that the searched learners and the task allow; defaults first of learners it does not name.

    >>> [name for name, _ in starting_settings(["ridge", "my_own"], "regression")]
    ['ridge', 'my_own', 'ridge', 'ridge']
    """
    known = [(name, dict(params)) for name, params in STARTING_PORTFOLIO if name in learners]
    named = {name for name, _ in known}
    others: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in learners if name not in named]
    return known[:1] + others + known[1:]
