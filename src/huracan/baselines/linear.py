"""Linear learners: least squares, ridge, logistic regression.

How much a weak signal must be shrunk follows from how strong it can be. Give every coefficient of a standardised
feature a Gaussian prior with the variance at which the forecast's correlation with the label is a priori
``expected_ic``; the ridge penalty that is its posterior mode is then ``n_features / expected_ic**2``, and C of a
logistic regression is ``4 * expected_ic**2 / n_features`` (Hoerl & Kennard 1970; Bishop, *Pattern Recognition and
Machine Learning*, 3.3 and 4.5). It does not depend on the number of rows: more rows outvote the prior.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.search_space import Between
from huracan.baselines.spec import FitContext, LearnerSpec
from huracan.model_info import MarketRegime

__all__ = ["EXPECTED_IC", "LINEAR_LEARNERS", "absolute_coefficients", "prior_penalty"]


def prior_penalty(expected_ic: float, n_features: int) -> float:
    """Ridge penalty for standardised inputs and target, under the prior that the forecast's correlation is ``expected_ic``.

    >>> round(prior_penalty(0.05, 40))
    16000
    """
    return n_features / expected_ic**2


def absolute_coefficients(estimator: Any, n_features: int) -> NDArray[np.float64] | None:
    """Absolute coefficients of standardised inputs, averaged over classes."""
    coefficients = np.abs(np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64)))
    return coefficients.mean(axis=0)


def _fit_least_squares(context: FitContext, X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None) -> Any:
    from sklearn.linear_model import Ridge

    # a penalty of one millionth of a row: least squares that survives columns which are copies of each other
    return _fit_in_float64(Ridge(alpha=1e-6 * context.n_rows, solver="cholesky"), X, y, weight)


def _fit_ridge(context: FitContext, X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None) -> Any:
    from sklearn.linear_model import Ridge

    given = context.params["alpha"]
    penalty = prior_penalty(context.params["expected_ic"], context.n_features) if given is None else float(given)
    return _fit_in_float64(Ridge(alpha=penalty, solver="cholesky"), X, y, weight)


def _fit_logistic(context: FitContext, X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None) -> Any:
    from sklearn.linear_model import LogisticRegression

    given = context.params["C"]
    cost = 4.0 / prior_penalty(context.params["expected_ic"], context.n_features) if given is None else float(given)
    machine = LogisticRegression(C=cost, max_iter=int(context.params["max_iter"]), tol=1e-5)
    return _fit_in_float64(machine, X, y, weight)


def _fit_in_float64(estimator: Any, X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None) -> Any:
    """Fit in float64: normal equations of a million rows lose too much in float32."""
    return estimator.fit(X.astype(np.float64), y, sample_weight=weight)


EXPECTED_IC = "correlation with the label that a forecast is expected to reach; sets how hard coefficients are shrunk"
"""Meaning of ``expected_ic``, wherever it is a hyperparameter."""

_REQUIREMENTS = ("numeric", "finite: no nulls, no infinities", "effects roughly linear in the features")

LINEAR_LEARNERS: tuple[LearnerSpec, ...] = (
    LearnerSpec(
        name="linear_regression",
        purpose="Plain least-squares forecast of the label: the yardstick that shrinkage has to beat.",
        ideal_dataset_shape="(20_000+ rows, 5-50 features)",
        feature_requirements=_REQUIREMENTS,
        tasks=("regression",),
        fit=_fit_least_squares,
        importance=absolute_coefficients,
        max_train_rows={"quick": 200_000, "standard": 1_000_000},
        market_regimes={MarketRegime.TRENDING: "momentum is close to linear in past returns"},
    ),
    LearnerSpec(
        name="ridge",
        purpose="Shrunk linear forecast of the label: the safest first model on weak signals.",
        ideal_dataset_shape="(2_000+ rows, 5-500 features)",
        feature_requirements=_REQUIREMENTS,
        tasks=("regression",),
        fit=_fit_ridge,
        importance=absolute_coefficients,
        defaults={"expected_ic": 0.05, "alpha": None},
        search_space={"expected_ic": Between(0.003, 0.5, log=True)},
        meanings={
            "expected_ic": EXPECTED_IC,
            "alpha": "penalty on coefficients of standardised features, as in scikit-learn; none takes it from expected_ic",
        },
        max_train_rows={"quick": 200_000, "standard": 1_000_000},
        market_regimes={
            MarketRegime.TRENDING: "momentum is close to linear in past returns",
            MarketRegime.RANGING: "so is reversal to a mean",
        },
    ),
    LearnerSpec(
        name="logistic_regression",
        purpose="Probability that the label is positive, from a shrunk linear score; well calibrated by nature.",
        ideal_dataset_shape="(2_000+ rows, 5-200 features)",
        feature_requirements=_REQUIREMENTS,
        tasks=("classification",),
        fit=_fit_logistic,
        importance=absolute_coefficients,
        defaults={"expected_ic": 0.05, "C": None, "max_iter": 200},
        search_space={"expected_ic": Between(0.003, 0.5, log=True)},
        meanings={
            "expected_ic": EXPECTED_IC,
            "C": "inverse penalty on coefficients of standardised features, as in scikit-learn; none takes it from expected_ic",
            "max_iter": "most steps of the solver",
        },
        max_train_rows={"quick": 100_000, "standard": 500_000},
        market_regimes={
            MarketRegime.TRENDING: "direction follows past direction",
            MarketRegime.VOLATILE: "a sign is not moved by the size of outliers",
        },
    ),
)
