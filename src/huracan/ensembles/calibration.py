"""Probabilities that come true as often as they say, learned from out-of-fold predictions only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from huracan.ensembles.leak_check import require_known_origin
from huracan.ensembles.out_of_fold import OutOfFold
from huracan.ensembles.weighting import checked_weights
from huracan.errors import DataError, LeakageError, ModelError, NotEnoughData

__all__ = ["Calibrator", "IsotonicCalibrator", "SigmoidCalibrator", "calibrator_from_state"]

_FEWEST_ROWS = 50
_LEAST = 1e-6
"""Probabilities are held this far from 0 and 1 before their logit is taken."""


class Calibrator(Protocol):
    """What an ensemble needs of a calibrator."""

    def transform(self, probability: ArrayLike) -> NDArray[np.float64]: ...

    def to_state(self) -> dict[str, Any]: ...


class SigmoidCalibrator:
    """Platt's scaling: the log-odds of a probability times a slope plus an intercept.

    Two numbers, so a few hundred rows are enough. A slope of 1 and an intercept of 0 change nothing; a slope below 1 takes back
    overconfidence. A slope below 0 would turn the model's order round, which calibration has no evidence for: then the
    probability is constant, the share of ones.

    Attributes
    ----------
    slope_, intercept_ : the two numbers. n_rows_ : rows they were learned from.

    References
    ----------
    Platt (1999), "Probabilistic Outputs for Support Vector Machines"; Lin, Lin and Weng (2007), Machine Learning 68 (the
    targets that keep the optimum finite).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = rng.uniform(0.2, 0.8, 50_000); y = rng.random(50_000) < true
    >>> bold = expit(3 * logit(true))  # three times too sure of itself
    >>> day = np.datetime64("1970-01-01") + np.arange(50_000)
    >>> sigmoid = SigmoidCalibrator().fit(bold, y, decision_time=day, known_until=day - 1)
    >>> round(sigmoid.slope_, 1), bool(np.abs(sigmoid.transform(bold) - true).max() < 0.03)
    (0.3, True)
    """

    slope_: float
    intercept_: float
    n_rows_: int

    def fit(
        self,
        probability: OutOfFold | ArrayLike,
        y: ArrayLike | None = None,
        *,
        weights: ArrayLike | None = None,
        decision_time: ArrayLike | None = None,
        known_until: ArrayLike | None = None,
    ) -> Self:
        """Learn from out-of-fold probabilities.

        Parameters
        ----------
        probability : an :class:`OutOfFold` of classifiers, or probabilities (n,) with ``y``, ``decision_time`` and
            ``known_until``.
        y : (n,) of 0 and 1. weights : (m,) of the members of an ``OutOfFold``; equal by default.
        decision_time, known_until : (n,) when each row is decided, and until when labels were known that the model behind its
            probability had learned from.

        Raises
        ------
        LeakageError : a model had learned from labels that were known at the decision or later, as in-sample predictions have,
            or nobody knows. NotEnoughData : fewer than 50 rows, or one class only. DataError : shapes or values.
        """
        p, true = _honest_rows(probability, y, weights, decision_time, known_until)
        ones = float(true.sum())
        self.n_rows_ = len(p)
        x = logit(np.clip(p, _LEAST, 1.0 - _LEAST))
        low, high = 1.0 / (len(p) - ones + 2.0), (ones + 1.0) / (ones + 2.0)
        target = np.where(true == 1.0, high, low)
        spread, middle = float(x.std()), float(x.mean())
        if spread > 1e-12:
            slope, intercept = _logistic((x - middle) / spread, target)
            self.slope_, self.intercept_ = slope / spread, intercept - slope / spread * middle
        if spread <= 1e-12 or self.slope_ <= 0.0:
            self.slope_, self.intercept_ = 0.0, float(logit(target.mean()))
        return self

    def transform(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities, of the shape given."""
        _require_fitted(self, "slope_")
        x = logit(np.clip(_probabilities(probability), _LEAST, 1.0 - _LEAST))
        return expit(self.slope_ * x + self.intercept_)

    def to_state(self) -> dict[str, Any]:
        """As plain JSON values."""
        _require_fitted(self, "slope_")
        return {"kind": "sigmoid", "slope": self.slope_, "intercept": self.intercept_, "n_rows": self.n_rows_}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """What :meth:`to_state` gave, put together again."""
        made = cls()
        made.slope_, made.intercept_ = float(state["slope"]), float(state["intercept"])
        made.n_rows_ = int(state["n_rows"])
        return made


class IsotonicCalibrator:
    """The non-decreasing step function that fits best: any shape, at the price of more rows (1,000 and more).

    Probabilities keep ``1 / (n + 2)`` away from 0 and 1, so that a first step without a single one never says "impossible".

    Attributes
    ----------
    thresholds_, values_ : corners of the function, linear between them, constant beyond. n_rows_ : rows it was learned from.

    References
    ----------
    Zadrozny and Elkan (2002), "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = rng.uniform(0.2, 0.8, 20_000); y = rng.random(20_000) < true
    >>> day = np.datetime64("1970-01-01") + np.arange(20_000)
    >>> isotonic = IsotonicCalibrator().fit(true**2, y, decision_time=day, known_until=day - 1)
    >>> bool(np.abs(isotonic.transform(true**2) - true).mean() < 0.02)
    True
    """

    thresholds_: NDArray[np.float64]
    values_: NDArray[np.float64]
    n_rows_: int

    def fit(
        self,
        probability: OutOfFold | ArrayLike,
        y: ArrayLike | None = None,
        *,
        weights: ArrayLike | None = None,
        decision_time: ArrayLike | None = None,
        known_until: ArrayLike | None = None,
    ) -> Self:
        """Learn from out-of-fold probabilities; parameters and errors as of :meth:`SigmoidCalibrator.fit`."""
        from sklearn.isotonic import IsotonicRegression

        p, true = _honest_rows(probability, y, weights, decision_time, known_until)
        fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(p, true)
        self.n_rows_ = len(p)
        self.thresholds_ = np.asarray(fitted.X_thresholds_, np.float64)
        self.values_ = np.asarray(fitted.y_thresholds_, np.float64)
        return self

    def transform(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities, of the shape given."""
        _require_fitted(self, "values_")
        edge = 1.0 / (self.n_rows_ + 2.0)
        return np.clip(np.interp(_probabilities(probability), self.thresholds_, self.values_), edge, 1.0 - edge)

    def to_state(self) -> dict[str, Any]:
        """As plain JSON values."""
        _require_fitted(self, "values_")
        corners = {"thresholds": self.thresholds_.tolist(), "values": self.values_.tolist()}
        return {"kind": "isotonic", **corners, "n_rows": self.n_rows_}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """What :meth:`to_state` gave, put together again."""
        made = cls()
        made.thresholds_ = np.asarray(state["thresholds"], np.float64)
        made.values_ = np.asarray(state["values"], np.float64)
        if made.thresholds_.shape != made.values_.shape or not len(made.values_):
            raise ValueError("corners of an isotonic calibrator do not fit each other")
        made.n_rows_ = int(state["n_rows"])
        return made


def calibrator_from_state(state: Mapping[str, Any] | None) -> SigmoidCalibrator | IsotonicCalibrator | None:
    """The calibrator that was stored, None for none."""
    if state is None:
        return None
    kinds: dict[str, type[SigmoidCalibrator] | type[IsotonicCalibrator]]
    kinds = {"sigmoid": SigmoidCalibrator, "isotonic": IsotonicCalibrator}
    if state.get("kind") not in kinds:
        raise ModelError(f"the stored calibrator is of kind {state.get('kind')!r}; {' or '.join(kinds)} was expected.")
    return kinds[state["kind"]].from_state(state)


def _logistic(x: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of least cross-entropy to soft targets; ``x`` is standardised."""

    def cost(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = parameters[0] * x + parameters[1]
        miss = expit(z) - target
        return float(np.mean(np.logaddexp(0.0, z) - target * z)), np.array([np.mean(miss * x), np.mean(miss)])

    found = minimize(cost, np.array([0.0, logit(target.mean())]), jac=True, method="BFGS", options={"gtol": 1e-9})
    return float(found.x[0]), float(found.x[1])


def _honest_rows(
    probability: OutOfFold | ArrayLike, y: Any, weights: Any, decision_time: Any, known_until: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if isinstance(probability, OutOfFold):
        return _of_out_of_fold(probability, y, weights, decision_time, known_until)
    if y is None or decision_time is None or known_until is None:
        raise DataError(
            "probabilities were given without y, decision_time and known_until; all three were expected, since a calibrator "
            "learns from out-of-fold probabilities only."
        )
    p, true = _probabilities(probability), np.asarray(y, dtype=np.float64)
    decided, known = np.asarray(decision_time, "datetime64[ms]"), np.asarray(known_until, "datetime64[ms]")
    if not p.ndim == 1 or not p.shape == true.shape == decided.shape == known.shape:
        raise DataError(
            f"probability {p.shape}, y {true.shape}, decision_time {decided.shape}, known_until {known.shape}: (n,) each was "
            "expected."
        )
    late = ~(known < decided)
    if late.any():
        row = int(np.argmax(late))
        raise LeakageError(
            f"the model behind row {row}, decided {decided[row]}, learned from labels known until {known[row]}; before the "
            f"decision was expected ({int(late.sum())} of {len(p)} rows are such)."
        )
    return _two_classes(p, true)


def _of_out_of_fold(
    made: OutOfFold, y: Any, weights: Any, decision_time: Any, known_until: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if any(given is not None for given in (y, decision_time, known_until)):
        raise DataError("an OutOfFold knows y and its times; they cannot be given beside it.")
    if made.task != "classification" or made.predictions.ndim != 2:
        shape = made.predictions.shape
        raise DataError(f"the out-of-fold predictions are of {made.task} {shape}; probabilities of two classes were expected.")
    require_known_origin(made)
    n_members = len(made.names)
    share = np.full(n_members, 1.0 / n_members) if weights is None else checked_weights(weights, n_members)
    usable = made.usable
    return _two_classes(_probabilities(made.predictions[usable] @ share), made.target[usable])


def _two_classes(p: NDArray[np.float64], true: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if len(p) < _FEWEST_ROWS:
        raise NotEnoughData(f"a calibrator got {len(p)} out-of-fold rows; at least {_FEWEST_ROWS} are needed.")
    bad = ~np.isin(true, (0.0, 1.0))
    if bad.any():
        raise DataError(f"y is {true[bad][0]} in row {int(np.argmax(bad))}; 0 or 1 was expected.")
    if not 0 < true.sum() < len(true):
        raise NotEnoughData(f"all {len(true)} out-of-fold rows are of class {int(true[0])}; both classes are needed.")
    return p, true


def _probabilities(values: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        bad = ~((p >= -1e-12) & (p <= 1.0 + 1e-12))
    if bad.any():
        at = tuple(map(int, np.argwhere(np.atleast_1d(bad))[0]))
        raise DataError(f"probability is {np.atleast_1d(p)[at]} in row {at[0]}; 0 to 1 was expected.")
    return np.clip(p, 0.0, 1.0)


def _require_fitted(calibrator: Any, attribute: str) -> None:
    if not hasattr(calibrator, attribute):
        raise ModelError(f"this {type(calibrator).__name__} is not fitted; call fit with out-of-fold predictions first.")
