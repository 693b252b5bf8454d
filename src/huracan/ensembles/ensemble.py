"""Weighted ensembles: several models that answer as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from huracan.dataset import TrainingSet
from huracan.ensembles.base import MemberEstimator
from huracan.ensembles.calibration import Calibrator, calibrator_from_state
from huracan.ensembles.members import fit_member, seeded
from huracan.ensembles.weighting import RegimeWeights, checked_weights, equal_weights
from huracan.errors import ModelError
from huracan.model_info import ModelInfo

__all__ = ["EnsembleClassifier", "EnsembleRegressor"]

Weights = ArrayLike | Mapping[str, float] | RegimeWeights | None


class _Ensemble(MemberEstimator):
    _kind = "ensemble"
    weights: Weights

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit every member whose weight is above 0 on a ``TrainingSet``, or on ``X`` (n, d) and ``y`` (n,) in time order.

        Raises
        ------
        ModelError : a member cannot be fitted (it is named), or weights do not fit the members.
        DataError : a value is not finite; column and row are named.
        """
        models = self._checked_members()
        weights = _as_weights(self.weights, tuple(models))
        rows, target = self._training_rows(X, y, sample_weight)
        n_classes = len(self.classes_) if self._task == "classification" else 0
        self._check(n_classes)
        kept, self.weights_ = _above_zero(weights)
        names = [name for i, name in enumerate(models) if i in kept]
        seed = getattr(self, "random_state", None)
        self.members_ = {
            name: fit_member(name, seeded(models[name], seed, j), rows, target, n_classes) for j, name in zip(kept, names)
        }
        return self

    def _check(self, n_classes: int) -> None:
        """Refuse settings that cannot be, before members are fitted."""

    @classmethod
    def of_fitted(cls, members: Mapping[str, Any], weights: Weights = None, **settings: Any) -> Self:
        """An ensemble of models that are fitted already; nothing is fitted anew.

        Parameters
        ----------
        members : name -> fitted model, all on the same columns (and classes). weights, settings : as of the class.

        Raises
        ------
        ModelError : a member is not fitted, or was fitted on other columns or classes than the first.
        """
        made = cls(members, weights, **settings)
        models = made._checked_members()
        kept, made.weights_ = _above_zero(_as_weights(weights, tuple(models)))
        chosen = [name for i, name in enumerate(models) if i in kept]
        made._take_fitted({name: models[name] for name in chosen})
        return made

    def _row_weights(self, X: Any) -> NDArray[np.float64]:
        """Weights (m,), or by row (n, m) where they depend on a regime and rows have one."""
        if not isinstance(self.weights_, RegimeWeights):
            return self.weights_
        return self.weights_.of_rows(X.regime_code) if isinstance(X, TrainingSet) else self.weights_.pooled

    def _mean(self, said: NDArray[np.float64], X: Any) -> NDArray[np.float64]:
        """Weighted mean over members: (n,) or (n, classes)."""
        weight = self._row_weights(X)
        if weight.ndim == 1:
            return np.tensordot(said, weight, axes=(1, 0))
        return np.einsum("nm...,nm->n...", said, weight)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fitted ensemble as plain JSON values, and its members, each by itself a model to be stored.

        :func:`huracan.ensembles.ensemble_from_parts` puts them together again.
        """
        regimes = isinstance(self.weights_, RegimeWeights)
        weights = self.weights_.to_state() if isinstance(self.weights_, RegimeWeights) else self.weights_.tolist()
        state = {**self._state(), "regime_weights": regimes, "weights": weights}
        return state, {f"member {name}": model for name, model in self.members_.items()}

    @classmethod
    def from_parts(cls, state: Mapping[str, Any], parts: Mapping[str, Any]) -> Self:
        """What :meth:`to_parts` took apart, put together again."""
        stored = state["weights"]
        weights = RegimeWeights.from_state(stored) if state["regime_weights"] else np.asarray(stored, np.float64)
        made = cls({str(name): parts[f"member {name}"] for name in state["members"]}, weights)
        made._restore(state, parts)
        # checked, not divided by their sum again, so that they are the same bit for bit
        made.weights_ = weights
        checked_weights(weights.pooled if isinstance(weights, RegimeWeights) else weights, len(made.members_))
        return made

    def _hyperparameters(self) -> dict[str, Any]:
        fitted = getattr(self, "weights_", None)
        if fitted is None:
            return {}
        shown = fitted.to_state() if isinstance(fitted, RegimeWeights) else dict(zip(self.members_, map(float, fitted)))
        return {"weights": shown}


class EnsembleRegressor(RegressorMixin, _Ensemble):
    """The weighted mean of several forecasts; with equal weights, voting.

    Parameters
    ----------
    members : name -> estimator, unfitted; they are copied. For models that are fitted already see :meth:`of_fitted`.
    weights : (m,), or name -> weight, >= 0, made to sum to 1; or :class:`~huracan.ensembles.weighting.RegimeWeights`, which
        take the regime of each row of a ``TrainingSet`` (a matrix has none and gets the pooled weights). None for equal ones.
        Members of weight 0 are left out.
    random_state : a number gives each member a seed of its own; None leaves theirs as they are.

    Attributes
    ----------
    members_ : name -> fitted model. weights_ : (m,) or ``RegimeWeights`` of ``members_``. feature_names_, n_features_in_.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 3)); y = X[:, 0] + rng.standard_normal(200)
    >>> both = EnsembleRegressor({"line": Ridge(), "tree": DecisionTreeRegressor(max_depth=2)}, weights=[3, 1]).fit(X, y)
    >>> both.weights_.tolist(), both.predict(X).shape
    ([0.75, 0.25], (200,))
    """

    _task = "regression"

    def __init__(self, members: Mapping[str, Any], weights: Weights = None, *, random_state: int | None = None) -> None:
        self.members = members
        self.weights = weights
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # as good as its members, whose defaults are for faint signals
        return tags

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Forecasts (n,), in the label's unit, for a matrix, a frame or a ``TrainingSet``."""
        return self._mean(self._answers(X), X)

    def model_info(self) -> ModelInfo:
        """The ensemble's card."""
        return self._info("Weighted mean of several forecasts.", self._hyperparameters())


def _has_probability(model: Any) -> bool:
    if model.voting != "soft":
        raise AttributeError("an ensemble that votes by class has no probability; voting='soft' has.")
    return True


class EnsembleClassifier(ClassifierMixin, _Ensemble):
    """The weighted mean of several probabilities, calibrated if asked for; or a weighted vote.

    Parameters
    ----------
    members, weights, random_state : as in :class:`EnsembleRegressor`; members need ``predict_proba``.
    voting : ``"soft"`` averages probabilities, ``"hard"`` counts each member's likeliest class.
    calibrator : fitted :class:`~huracan.ensembles.calibration.SigmoidCalibrator` or ``IsotonicCalibrator`` for the averaged
        probability of the second of two classes.

    Attributes
    ----------
    members_, weights_, classes_, feature_names_, n_features_in_ : as in :class:`EnsembleRegressor`.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 3)); up = X[:, 0] + rng.standard_normal(200) > 0
    >>> both = EnsembleClassifier({"line": LogisticRegression(), "bayes": GaussianNB()}).fit(X, up)
    >>> both.predict_proba(X).shape, both.classes_.tolist()
    ((200, 2), [False, True])
    """

    _task = "classification"

    def __init__(
        self,
        members: Mapping[str, Any],
        weights: Weights = None,
        *,
        voting: Literal["soft", "hard"] = "soft",
        calibrator: Calibrator | None = None,
        random_state: int | None = None,
    ) -> None:
        self.members = members
        self.weights = weights
        self.voting = voting
        self.calibrator = calibrator
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags

    def predict(self, X: Any) -> NDArray[Any]:
        """The class (n,) of the highest probability, or of most weight."""
        share = self._votes(X) if self.voting == "hard" else self.predict_proba(X)
        return self.classes_[np.argmax(share, axis=1)]

    @available_if(_has_probability)
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class (n, k), columns as in ``classes_``."""
        mean = self._mean(self._answers(X), X)
        if mean.ndim == 2:
            return mean
        up = mean if self.calibrator is None else self.calibrator.transform(np.clip(mean, 0.0, 1.0))
        return np.stack([1.0 - up, up], axis=1)

    def _votes(self, X: Any) -> NDArray[np.float64]:
        said = self._answers(X)
        likeliest = np.argmax(said, axis=2) if said.ndim == 3 else (said > 0.5).astype(np.int64)
        return self._mean(np.eye(len(self.classes_))[likeliest], X)

    def _check(self, n_classes: int) -> None:
        if self.voting not in ("soft", "hard"):
            raise ModelError(f"voting is {self.voting!r}; 'soft' or 'hard' was expected.")
        if self.calibrator is not None and (self.voting == "hard" or n_classes > 2):
            what = "votes" if self.voting == "hard" else f"{n_classes} classes"
            raise ModelError(f"a calibrator was given for {what}; it takes the probability of the second of two classes.")

    def _take_fitted(self, models: dict[str, Any]) -> None:
        super()._take_fitted(models)
        self._check(len(self.classes_))

    def model_info(self) -> ModelInfo:
        """The ensemble's card."""
        calibrated = None if self.calibrator is None else self.calibrator.to_state()["kind"]
        more = {"voting": self.voting, "calibrator": calibrated}
        return self._info("Weighted mean of several probabilities.", {**self._hyperparameters(), **more})

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """As of :class:`EnsembleRegressor`, with the calibrator among the plain values."""
        state, parts = super().to_parts()
        calibrator = None if self.calibrator is None else self.calibrator.to_state()
        return {**state, "voting": self.voting, "calibrator": calibrator}, parts

    @classmethod
    def from_parts(cls, state: Mapping[str, Any], parts: Mapping[str, Any]) -> Self:
        """What :meth:`to_parts` took apart, put together again."""
        made = super().from_parts(state, parts)
        made.voting, made.calibrator = state["voting"], calibrator_from_state(state["calibrator"])
        made._check(len(made.classes_))
        return made


def _as_weights(weights: Weights, names: tuple[str, ...]) -> NDArray[np.float64] | RegimeWeights:
    if weights is None:
        return equal_weights(len(names))
    if isinstance(weights, RegimeWeights):
        if len(weights) != len(names):
            raise ModelError(f"regime weights are for {len(weights)} members; there are {len(names)}.")
        return weights
    if isinstance(weights, Mapping):
        other = sorted(set(weights) ^ set(names))
        if other:
            raise ModelError(f"'{other[0]}' has a weight or is a member, not both; a weight for each member was expected.")
        weights = [weights[name] for name in names]
    return checked_weights(weights, len(names))


def _above_zero(weights: NDArray[np.float64] | RegimeWeights) -> tuple[list[int], NDArray[np.float64] | RegimeWeights]:
    """Members that have any weight, and the weights of those."""
    if isinstance(weights, RegimeWeights):
        everywhere = np.stack([weights.pooled, *weights.by_regime.values()])
        kept = np.flatnonzero(everywhere.max(axis=0) > 0)
        return kept.tolist(), weights.take(kept)
    kept = np.flatnonzero(weights > 0)
    return kept.tolist(), weights[kept]
