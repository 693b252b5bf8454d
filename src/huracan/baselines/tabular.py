"""One wrapper for every learner on tables of features: a regressor and a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from huracan.baselines.given_rows import numeric_target
from huracan.baselines.inputs import winsor_bounds
from huracan.baselines.spec import SupervisedTask
from huracan.baselines.wrapper import TabularLearner, labels_to_judge
from huracan.dataset import TrainingSet
from huracan.errors import DataError, ModelError

__all__ = ["TabularClassifier", "TabularRegressor", "one_class_only"]


class TabularRegressor(RegressorMixin, TabularLearner):
    """Forecast the label's value with any learner of the catalogue.

    Inputs are checked, standardised (where the learner needs it) and clipped; the target is winsorised at two
    quantiles, because squared loss would otherwise be ruled by a few crashes, and standardised; forecasts come back
    in the label's unit.

    Parameters
    ----------
    spec : the learner, usually through :func:`huracan.catalogue.build_model`.
    hyperparameters : those that differ from ``spec.defaults``.
    random_state : seed; the same seed gives the same bits, with any ``n_jobs``.
    n_jobs : threads.
    max_train_rows : cap on training rows, the most recent are used: a number, a profile (``"quick"``,
        ``"standard"``, ``"full"``: the cap the learner declares for it), or None for all.
    clip : inputs beyond this many standard deviations are set to it.
    winsorize : share of the target cut at each end, 0 for none.

    Attributes
    ----------
    estimator_ : fitted scikit-learn estimator, booster, or a dict of numbers for a rule.
    feature_names_, n_features_in_, n_train_rows_, weight_used_, scaler_ : what the fit saw and learned.

    Examples
    --------
    >>> from huracan.catalogue import build_model
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((500, 3)); y = 0.01 * X[:, 0] + 0.02 * rng.standard_normal(500)
    >>> model = build_model("ridge", expected_ic=0.2).fit(X, y)
    >>> model.feature_importance()["x0"] > 0.5
    True
    """

    _task: SupervisedTask = "regression"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # defaults are for faint signals: strong shrinkage, few splits
        return tags

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Forecasts (n,), in the label's unit, for a matrix, a frame or a ``TrainingSet``."""
        model = self._snapshot()
        raw = model._raw(X)
        return raw if self.spec.is_rule else raw * model.target_scale_ + model.target_center_

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The coefficient of determination, as scikit-learn's; on a ``TrainingSet`` of its own labels, where they are known."""
        if not isinstance(X, TrainingSet):
            return super().score(X, y, sample_weight)
        known, target, weight = labels_to_judge(X, X.y, y, sample_weight)
        return float(r2_score(target, self.predict(X)[known], sample_weight=weight))

    def _encode(self, target: NDArray[Any]) -> NDArray[np.float64]:
        values = numeric_target(target)
        if self.spec.is_rule:
            self.target_center_, self.target_scale_ = 0.0, 1.0
            return values
        low, high = winsor_bounds(values, self.winsorize)
        if low < high:
            values = np.clip(values, low, high)
        self.target_center_, spread = float(values.mean()), float(values.std())
        self.target_scale_ = spread if spread > 1e-12 * abs(self.target_center_) else 1.0
        return (values - self.target_center_) / self.target_scale_

    def _target_state(self) -> dict[str, Any]:
        return {"target": [self.target_center_, self.target_scale_]}

    def _restore_target(self, state: Mapping[str, Any]) -> None:
        self.target_center_, self.target_scale_ = state["target"]


def _has_probability(model: Any) -> bool:
    if model.spec.margin_only:
        raise AttributeError(f"{model.spec.name} has a margin and no probability; use decision_function.")
    return True


def _has_margin(model: Any) -> bool:
    if not model.spec.margin_only:
        raise AttributeError(f"{model.spec.name} has probabilities and no margin; use predict_proba.")
    return True


class TabularClassifier(ClassifierMixin, TabularLearner):
    """Forecast the label's class with any learner of the catalogue.

    Parameters and attributes as in :class:`TabularRegressor`, and ``classes_``; ``winsorize`` has no effect. Support
    vector machines have ``decision_function`` only: a probability would need a second, purged fit.

    Examples
    --------
    >>> from huracan.catalogue import build_model
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((500, 3)); up = X[:, 0] + rng.standard_normal(500) > 0
    >>> model = build_model("logistic_regression", expected_ic=0.5).fit(X, up.astype(int))
    >>> model.predict_proba(X[:2]).shape, bool(model.score(X, up) > 0.6)
    ((2, 2), True)
    """

    _task: SupervisedTask = "classification"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # defaults are for faint signals: strong shrinkage, few splits
        return tags

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class (n,)."""
        model = self._snapshot()
        raw = model._raw(X)
        if raw.ndim == 1:
            return model.classes_[(raw > 0).astype(np.intp)]
        return model.classes_[np.argmax(raw, axis=1)]

    @available_if(_has_probability)
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class (n, k), columns as in ``classes_``."""
        return self._snapshot()._raw(X)

    @available_if(_has_margin)
    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Signed distance from the boundary: (n,) for two classes, larger for ``classes_[1]``; else (n, k)."""
        return self._snapshot()._raw(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The accuracy, as scikit-learn's; on a ``TrainingSet`` of the signs of its own labels, where they are known."""
        if not isinstance(X, TrainingSet):
            return super().score(X, y, sample_weight)
        known, target, weight = labels_to_judge(X, X.direction(), y, sample_weight)
        return float(accuracy_score(target, self.predict(X)[known], sample_weight=weight))

    def _encode(self, target: NDArray[Any]) -> NDArray[np.int64]:
        try:
            check_classification_targets(target)
            self.classes_, codes = np.unique(target, return_inverse=True)
        except TypeError as error:
            kinds = sorted({type(value).__name__ for value in target.tolist()})
            raise DataError(f"y holds values of types {', '.join(kinds)}; classes of one type were expected.") from error
        except ValueError as error:
            kind = type_of_target(target)
            said = f"Unknown label type: y is {kind}; classes were expected, or task='regression' for numbers."
            raise DataError(said) from error
        if len(self.classes_) < 2:
            raise one_class_only(target)
        return codes.astype(np.int64)

    def _target_state(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist()}

    def _restore_target(self, state: Mapping[str, Any]) -> None:
        self.classes_ = np.asarray(state["classes"])


def one_class_only(target: NDArray[Any]) -> ModelError:
    """The refusal of a target whose values are all the same class."""
    return ModelError(f"y holds one class only, {target.tolist()[0]!r}, in {len(target)} rows; at least two are needed.")
