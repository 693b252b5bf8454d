"""How good predictions are: classification, regression, rank skill, and the payoff of acting on them."""

from __future__ import annotations

from typing import Any

import bottleneck as bn
import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.dataset import TrainingSet
from huracan.errors import DataError, NotEnoughData
from huracan.statistics import average_by_time, ewc_t_test
from huracan.statistics.series import MINIMUM_OBSERVATIONS

__all__ = [
    "classification_metrics",
    "directional_payoff",
    "information_coefficient_series",
    "rank_information_coefficient",
    "regression_metrics",
    "score_metrics",
]

_FEWEST_ROWS = 3


def classification_metrics(outcome: ArrayLike, probability: ArrayLike, *, threshold: float = 0.5) -> dict[str, float]:
    """Judge probabilities of class 1.

    Parameters
    ----------
    outcome : (n,) of 0 and 1. probability : (n,) between 0 and 1. threshold : at or above it the decision is 1.

    Returns
    -------
    accuracy, balanced_accuracy, auc (nan with one class only), log_loss, brier, matthews_correlation (0 where a class
    is never decided, as in scikit-learn).

    Examples
    --------
    >>> classification_metrics([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])["auc"]
    0.75
    """
    y, p = _outcome_and_probability(outcome, probability)
    decided = p >= threshold
    truth = y == 1.0
    tp, tn = float(np.sum(decided & truth)), float(np.sum(~decided & ~truth))
    fp, fn = float(np.sum(decided & ~truth)), float(np.sum(~decided & truth))
    recalls = [hit / total for hit, total in ((tp, tp + fn), (tn, tn + fp)) if total]
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    tiny = np.finfo(np.float64).eps
    bounded = np.clip(p, tiny, 1.0 - tiny)
    return {
        "accuracy": (tp + tn) / len(y),
        "balanced_accuracy": float(np.mean(recalls)),
        "auc": _auc(truth, p),
        "log_loss": float(-np.mean(np.where(truth, np.log(bounded), np.log1p(-bounded)))),
        "brier": float(np.mean((p - y) ** 2)),
        "matthews_correlation": (tp * tn - fp * fn) / float(np.sqrt(product)) if product else 0.0,
    }


def regression_metrics(y: ArrayLike, prediction: ArrayLike, *, constant: float | None = None) -> dict[str, float]:
    """Judge predictions in the unit of the label.

    Parameters
    ----------
    y, prediction : (n,) floats.
    constant : what R2 is measured against, e.g. the mean of the training labels; by default the mean of ``y``, which
        was not known beforehand.

    Returns
    -------
    mse, mae, r2 (nan where ``y`` never leaves the constant).

    Examples
    --------
    >>> regression_metrics([1.0, 2.0, 3.0], [1.0, 2.0, 2.0])["r2"]
    0.5
    """
    truth, guess = _pair(y, prediction, "y", "prediction")
    error = truth - guess
    total = float(np.sum((truth - (truth.mean() if constant is None else constant)) ** 2))
    return {
        "mse": float(np.mean(error**2)),
        "mae": float(np.mean(np.abs(error))),
        "r2": 1.0 - float(np.sum(error**2)) / total if total > 0 else float("nan"),
    }


def rank_information_coefficient(score: ArrayLike, y: ArrayLike, symbol_code: ArrayLike | None = None) -> float:
    """Spearman correlation of score and label over time, within each symbol, averaged with equal weights.

    Within symbols, because a pooled correlation rewards knowing which coin is volatile. A constant score has no skill
    and counts 0; symbols with fewer than 3 rows or a constant label do not count; nan where none is left.

    Parameters
    ----------
    score, y : (n,) floats. symbol_code : (n,) integers; by default one symbol.

    Examples
    --------
    >>> rank_information_coefficient([1, 2, 3, 4, 1, 2, 3, 4], [1, 2, 3, 9, 4, 3, 2, 1], [0, 0, 0, 0, 1, 1, 1, 1])
    0.0
    """
    series = information_coefficient_series(score, y, symbol_code)
    return float(np.mean(series)) if np.isfinite(series).any() else float("nan")


def information_coefficient_series(
    score: ArrayLike, y: ArrayLike, symbol_code: ArrayLike | None = None, *, ranks: bool = True
) -> NDArray[np.float64]:
    """What each row adds to the information coefficient; the mean over rows is the coefficient.

    The product of the two standardised ranks (values with ``ranks=False``, for Pearson), weighted so that every symbol
    counts the same. Average it by time and give it to :func:`huracan.statistics.ewc_t_test` to test whether there is
    any skill.

    Parameters
    ----------
    score, y, symbol_code : as for :func:`rank_information_coefficient`.

    Returns
    -------
    (n,) floats; 0 where the symbol's score is constant or its label does not count, all nan where no symbol counts.

    Examples
    --------
    >>> float(information_coefficient_series([1, 2, 3], [10, 30, 20]).mean().round(10))
    0.5
    """
    guess, truth = _pair(score, y, "score", "y")
    n = len(guess)
    code = np.zeros(n, np.int64) if symbol_code is None else np.asarray(symbol_code)
    if len(code) != n:
        raise DataError(f"symbol_code has {len(code)} rows where score has {n}.")
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.concatenate(([True], np.diff(code[order]) != 0))) if n else np.empty(0, np.intp)
    series = np.zeros(n)
    counted = 0
    for rows in np.split(order, starts[1:]):
        if len(rows) < _FEWEST_ROWS or np.ptp(truth[rows]) == 0.0:
            continue
        counted += 1
        if np.ptp(guess[rows]) > 0.0:
            series[rows] = _standardised(guess[rows], ranks) * _standardised(truth[rows], ranks) / len(rows)
    return series * (n / counted) if counted else np.full(n, np.nan)


def directional_payoff(
    score: ArrayLike, y: ArrayLike, center: ArrayLike, spread: ArrayLike, clip: float = 3.0
) -> NDArray[np.float64]:
    """Gross payoff of holding, on each row, a position as large as the standardised score.

    ``z * y`` with ``z = clip((score - center) / spread, -clip, clip)``. On a volatility-scaled label it is what a trader
    earns, before costs, per unit of risk; its mean is the skill of the learner and its negative the loss by which a
    champion is crowned. It asks for direction and conviction, not for the scale of the forecast, so that learners with
    scores of any unit compare; a constant prediction takes no position and earns exactly 0.

    Parameters
    ----------
    score, y : (n,) floats. center, spread : numbers or (n,), from earlier scores only; where ``spread`` is 0 the
        position is 0.
    clip : largest position.

    Examples
    --------
    >>> directional_payoff([0.2, 0.6, 9.0], [1.0, 2.0, -1.0], center=0.4, spread=0.2).round(6).tolist()
    [-1.0, 2.0, -3.0]
    >>> directional_payoff([0.4, 0.4], [1.0, 2.0], center=0.4, spread=0.0).tolist()
    [0.0, 0.0]
    """
    guess, truth = _pair(score, y, "score", "y")
    if not clip > 0.0:
        raise DataError(f"clip is {clip}; a number above 0 was expected.")
    middle = np.broadcast_to(np.asarray(center, np.float64), guess.shape)
    width = np.broadcast_to(np.asarray(spread, np.float64), guess.shape)
    bad = ~(np.isfinite(middle) & np.isfinite(width) & (width >= 0.0))
    if bad.any():
        where = int(np.argmax(bad))
        raise DataError(
            f"center {middle[where]} and spread {width[where]} in row {where}: finite, spread 0 or more, was expected."
        )
    known = width > 0.0
    z = np.zeros(len(guess))
    np.divide(guess - middle, width, out=z, where=known)
    return np.clip(z, -clip, clip) * truth


def score_metrics(rows: TrainingSet, score: ArrayLike, probability: ArrayLike | None = None) -> dict[str, float]:
    """Judge one learner's scores on rows it never saw.

    Parameters
    ----------
    rows : with labels, times and symbols.
    score : (n,) floats, larger meaning up, in any unit; so only its order and correlation are judged.
    probability : (n,) that the label is positive, where the learner gives one.

    Returns
    -------
    rank_information_coefficient, its p_value and interval (robust to overlap; nan on fewer than 20 times),
    information_coefficient (Pearson), auc; with ``probability`` also those of :func:`classification_metrics` and the
    expected_calibration_error.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = TrainingSet.from_arrays(rng.normal(size=(500, 1)), rng.normal(size=500))
    >>> result = score_metrics(rows, rows.y + rng.normal(size=500))
    >>> result["rank_information_coefficient"] > 0.6, result["rank_information_coefficient_p_value"] < 0.001
    (True, True)
    """
    from huracan.validation.calibration import calibration_table

    guess, truth = _pair(score, rows.y, "score", "label")
    ranked = information_coefficient_series(guess, truth, rows.symbol_code)
    linear = information_coefficient_series(guess, truth, rows.symbol_code, ranks=False)
    result = {
        "n_rows": float(len(rows)),
        "rank_information_coefficient": float(ranked.mean()),
        "information_coefficient": float(linear.mean()),
        "auc": _auc(truth > 0, guess),
    }
    by_time = average_by_time(ranked, rows.decision_time)[1]
    testable = len(by_time) >= MINIMUM_OBSERVATIONS and bool(np.isfinite(by_time).all()) and np.ptp(by_time) > 0.0
    test = ewc_t_test(by_time) if testable else None
    result["rank_information_coefficient_p_value"] = test.p_value if test else float("nan")
    result["rank_information_coefficient_ci_low"] = test.ci_low if test else float("nan")
    result["rank_information_coefficient_ci_high"] = test.ci_high if test else float("nan")
    if probability is not None:
        direction = rows.direction()
        result |= classification_metrics(direction, probability)
        result["expected_calibration_error"] = calibration_table(probability, direction).expected_calibration_error
    return result


def _auc(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return float("nan")
    return float((bn.rankdata(score)[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _standardised(values: NDArray[np.float64], ranks: bool) -> NDArray[np.float64]:
    number = bn.rankdata(values) if ranks else values
    centred = number - number.mean()
    return centred / np.sqrt(np.mean(centred**2))


def _pair(a: Any, b: Any, name_a: str, name_b: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = (np.asarray(x.to_numpy() if hasattr(x, "to_numpy") else x, dtype=np.float64) for x in (a, b))
    if first.ndim != 1 or second.ndim != 1 or len(first) != len(second):
        raise DataError(f"{name_a} {first.shape} and {name_b} {second.shape}: two lists of one length were expected.")
    if not len(first):
        raise NotEnoughData(f"{name_a} has 0 rows; at least 1 is needed.")
    for name, values in ((name_a, first), (name_b, second)):
        bad = ~np.isfinite(values)
        if bad.any():
            where = int(np.argmax(bad))
            raise DataError(f"{name} holds {values[where]} in row {where}; finite numbers were expected.")
    return first, second


def _outcome_and_probability(outcome: Any, probability: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, p = _pair(outcome, probability, "outcome", "probability")
    for name, bad, values, expected in (
        ("outcome", (y != 0.0) & (y != 1.0), y, "0 or 1"),
        ("probability", (p < 0.0) | (p > 1.0), p, "a number from 0 to 1"),
    ):
        if bad.any():
            where = int(np.argmax(bad))
            raise DataError(f"{name} holds {values[where]:g} in row {where}; {expected} was expected.")
    return y, p
