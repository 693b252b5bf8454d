"""Simple nonlinear learners: k nearest neighbours, support vector machines, naive Bayes, a decision tree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.chunked import neighbor_average, rbf_decision
from huracan.baselines.linear import EXPECTED_IC, absolute_coefficients, prior_penalty
from huracan.baselines.search_space import Between
from huracan.baselines.spec import FitContext, LearnerSpec
from huracan.model_info import MarketRegime

__all__ = ["LEAF_MEANINGS", "SIMPLE_LEARNERS", "split_importance"]

LEAF_MEANINGS = {
    "leaf_fraction": "share of the training rows that a leaf holds at least (and never under 50 rows)",
    "min_samples_leaf": "rows (a share, where below 1) that a leaf holds at least; none takes leaf_fraction",
}
"""Meanings of the two ways to say how large a leaf is, for scikit-learn's trees."""

_EPSILON = "regression: errors up to this many standard deviations of the label cost nothing"


def split_importance(estimator: Any, n_features: int) -> NDArray[np.float64] | None:
    """Impurity decrease by feature, as scikit-learn's trees count it."""
    return np.asarray(estimator.feature_importances_, dtype=np.float64)


def _neighbors(context: FitContext) -> Any:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    kind = KNeighborsClassifier if context.classifies else KNeighborsRegressor
    wanted = context.rows_given("n_neighbors") or context.rows_of("neighbor_fraction", at_least=25)
    return kind(n_neighbors=min(wanted, context.n_rows), algorithm="brute")


def _linear_machine(context: FitContext) -> Any:
    from sklearn.svm import LinearSVC, LinearSVR

    # both losses are squared beyond the margin; near 0 they are least squares on a target of variance 1
    given = context.params["C"]
    cost = 0.5 / prior_penalty(context.params["expected_ic"], context.n_features) if given is None else float(given)
    if context.classifies:
        return LinearSVC(C=cost, dual=False, max_iter=1_000, random_state=context.random_state)
    epsilon = float(context.params["epsilon"])
    return LinearSVR(C=cost, epsilon=epsilon, loss="squared_epsilon_insensitive", dual=False, max_iter=1_000)


def _kernel_machine(context: FitContext) -> Any:
    from sklearn.svm import SVC, SVR

    given = context.params["gamma"]
    gamma = float(context.params["gamma_times_features"]) / context.n_features if given is None else float(given)
    if context.classifies:
        return SVC(C=float(context.params["C"]), gamma=gamma, cache_size=200)
    return SVR(C=float(context.params["C"]), gamma=gamma, epsilon=float(context.params["epsilon"]), cache_size=200)


def _naive_bayes(context: FitContext) -> Any:
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB(var_smoothing=float(context.params["var_smoothing"]))


def _decision_tree(context: FitContext) -> Any:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeClassifier if context.classifies else DecisionTreeRegressor
    return kind(
        max_depth=context.params["max_depth"],
        min_samples_leaf=context.rows_given("min_samples_leaf") or context.rows_of("leaf_fraction", at_least=50),
        random_state=context.random_state,
    )


SIMPLE_LEARNERS: tuple[LearnerSpec, ...] = (
    LearnerSpec(
        name="k_nearest_neighbors",
        purpose="What happened after the hundreds of past moments that looked most like this one.",
        ideal_dataset_shape="(2_000-20_000 rows, 3-20 features)",
        tasks=("classification", "regression"),
        build=_neighbors,
        output=neighbor_average,
        defaults={"neighbor_fraction": 0.1, "n_neighbors": None},
        search_space={"neighbor_fraction": Between(0.01, 0.3, log=True)},
        meanings={
            "neighbor_fraction": "share of the training rows that counts as neighbours (and never under 25 rows)",
            "n_neighbors": "number of neighbours (a share of the rows, where below 1); none takes neighbor_fraction",
        },
        max_train_rows={"quick": 5_000, "standard": 10_000, "full": 50_000},
        supports_weight=False,
        threads=True,
        market_regimes={MarketRegime.RANGING: "the same states come back, so analogues exist"},
    ),
    LearnerSpec(
        name="linear_svm",
        purpose="Direction from a wide-margin linear boundary, with a squared hinge loss.",
        ideal_dataset_shape="(2_000-200_000 rows, 5-200 features)",
        tasks=("classification", "regression"),
        build=_linear_machine,
        importance=absolute_coefficients,
        defaults={"expected_ic": 0.05, "C": None, "epsilon": 0.1},
        search_space={"expected_ic": Between(0.003, 0.5, log=True)},
        meanings={
            "expected_ic": EXPECTED_IC,
            "C": "inverse penalty on coefficients of standardised features, as in scikit-learn; none takes it from expected_ic",
            "epsilon": _EPSILON,
        },
        max_train_rows={"quick": 50_000, "standard": 200_000, "full": 500_000},
        margin_only=True,
        market_regimes={MarketRegime.TRENDING: "direction follows past direction"},
    ),
    LearnerSpec(
        name="rbf_svm",
        purpose="Direction from a smooth curved boundary; small samples with interactions.",
        ideal_dataset_shape="(1_000-10_000 rows, 3-40 features)",
        tasks=("classification", "regression"),
        build=_kernel_machine,
        output=rbf_decision,
        defaults={"C": 0.05, "gamma_times_features": 0.3, "gamma": None, "epsilon": 0.1},
        search_space={"C": Between(0.001, 10.0, log=True), "gamma_times_features": Between(0.03, 3.0, log=True)},
        meanings={
            "C": "cost of a row on the wrong side; smaller is smoother",
            "gamma_times_features": "how fast likeness falls with distance, times the number of features",
            "gamma": "the same for one feature, as in scikit-learn; none takes gamma_times_features",
            "epsilon": _EPSILON,
        },
        max_train_rows={"quick": 2_000, "standard": 4_000, "full": 10_000},
        margin_only=True,
        threads=True,
        market_regimes={MarketRegime.RANGING: "curved boundaries mark the edges of a range"},
    ),
    LearnerSpec(
        name="naive_bayes",
        purpose="Probability of direction as if features were independent; learns from few rows, overstates its certainty.",
        ideal_dataset_shape="(500+ rows, 3-30 weakly correlated features)",
        tasks=("classification",),
        build=_naive_bayes,
        defaults={"var_smoothing": 0.3},
        search_space={"var_smoothing": Between(0.01, 10.0, log=True)},
        meanings={"var_smoothing": "share of the largest variance that is added to all; more is nearer to a constant"},
        max_train_rows={"quick": 200_000, "standard": 1_000_000},
        market_regimes={MarketRegime.VOLATILE: "class-wise variances tell calm from storm"},
    ),
    LearnerSpec(
        name="decision_tree",
        purpose="A few if-then rules one can read aloud; the sanity check of every forest.",
        ideal_dataset_shape="(5_000+ rows, 5-50 features)",
        tasks=("classification", "regression"),
        build=_decision_tree,
        importance=split_importance,
        defaults={"max_depth": 4, "leaf_fraction": 0.05, "min_samples_leaf": None},
        search_space={"max_depth": Between(1, 8, whole=True), "leaf_fraction": Between(0.005, 0.2, log=True)},
        meanings={"max_depth": "most questions from root to leaf; none is no limit", **LEAF_MEANINGS},
        max_train_rows={"quick": 100_000, "standard": 500_000},
        scale_inputs=False,
        market_regimes={MarketRegime.VOLATILE: "thresholds switch behaviour between calm and storm"},
    ),
)
