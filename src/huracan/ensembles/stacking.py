"""Stacking under time order: what combines the members has only seen what they said of rows they had not learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin, clone, is_classifier

from huracan.dataset import TrainingSet
from huracan.ensembles.base import MemberEstimator
from huracan.ensembles.leak_check import require_known_origin
from huracan.ensembles.members import fit_member, seeded
from huracan.ensembles.out_of_fold import OutOfFold, out_of_fold_predictions
from huracan.errors import ModelError, NotEnoughData
from huracan.model_info import ModelInfo
from huracan.validation import PurgedWalkForward

__all__ = ["TimeOrderedStackingClassifier", "TimeOrderedStackingRegressor"]

_FEWEST_ROWS = 5


class _Stacking(MemberEstimator):
    _kind = "stacking"
    final: Any
    splitter: Any
    passthrough: bool
    random_state: int | None
    final_: Any
    out_of_fold_: OutOfFold

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit on a ``TrainingSet``, or on ``X`` (n, d) and ``y`` (n,) of one series in time order.

        Members are fitted on each fold's past and answer on what follows; the final estimator learns from these answers; then
        members are fitted again on all rows.

        Raises
        ------
        LeakageError : the splitter lets members learn from what was not known at the decision (a k-fold does).
        ModelError : a member or the final estimator cannot be fitted. NotEnoughData : fewer than 5 answered rows.
        """
        models = self._checked_members()
        splitter = PurgedWalkForward() if self.splitter is None else self.splitter
        final = self._unfitted_final()
        rows, target = self._training_rows(X, y, sample_weight, int(getattr(splitter, "label_horizon", 1)))
        n_classes = len(self.classes_) if self._task == "classification" else 0
        made = out_of_fold_predictions(
            models,
            rows,
            splitter,
            self.random_state,
            target=np.where(rows.labelled, target, np.nan),
            n_classes=max(n_classes, 2),
        )
        self._learn_final(final, made, target, rows.X)
        self.members_ = {
            name: fit_member(name, seeded(model, self.random_state, j), rows, target, n_classes)
            for j, (name, model) in enumerate(models.items())
        }
        return self

    @classmethod
    def of_fitted(cls, members: Mapping[str, Any], out_of_fold: OutOfFold, final: Any = None) -> Self:
        """A stack of models that are fitted already; its final estimator learns from what they said out of fold.

        Parameters
        ----------
        members : name -> fitted model, in the order of ``out_of_fold.names``; the final estimator sees their answers alone.
        final : as of the class; None for its default.

        Raises
        ------
        LeakageError : a prediction knew what its row had not yet seen. NotEnoughData : fewer than 5 answered rows.
        ModelError : members and predictions are not of the same models, or a member is not fitted.
        """
        made = cls(members) if final is None else cls(members, final)
        models = made._checked_members()
        if tuple(models) != out_of_fold.names or made._task != out_of_fold.task:
            raise ModelError(
                f"members {', '.join(models)} do {made._task}, and predictions are of {', '.join(out_of_fold.names)} "
                f"({out_of_fold.task}); the same models in the same order were expected."
            )
        made._take_fitted(models)
        target = out_of_fold.target if made._task == "regression" else np.nan_to_num(out_of_fold.target).astype(np.int64)
        made._learn_final(made._unfitted_final(), out_of_fold, target, None)
        return made

    def _learn_final(self, final: Any, made: OutOfFold, target: NDArray[Any], X: NDArray[np.float32] | None) -> None:
        """Fit the final estimator on what members said out of fold, and on the features where it is to see them."""
        require_known_origin(made)
        weight = made.rows.weight
        usable = made.usable & (weight > 0)
        if usable.sum() < _FEWEST_ROWS:
            raise NotEnoughData(
                f"stacking got {int(usable.sum())} rows answered out of fold; at least {_FEWEST_ROWS} are needed."
            )
        self.out_of_fold_ = made
        said = made.predictions[usable]
        inputs = said.reshape(len(said), -1) if X is None else self._inputs(said, X[usable])
        self.final_ = self._fit_final(final, inputs, target[usable], weight[usable])

    def _fit_final(self, final: Any, inputs: NDArray[np.float64], target: NDArray[Any], weight: NDArray[np.float64]) -> Any:
        from sklearn.utils.validation import has_fit_parameter

        if self._task == "classification" and len(np.unique(target)) < len(self.classes_):
            raise NotEnoughData(
                "a class is in no row that members answered on out of fold; the final estimator needs all classes."
            )
        weighs = np.ptp(weight) > 0 and has_fit_parameter(final, "sample_weight")
        try:
            return final.fit(inputs, target, **({"sample_weight": weight} if weighs else {}))
        except ValueError as error:
            raise ModelError(f"the final estimator cannot be fitted: {' '.join(str(error).split())}") from error

    def _unfitted_final(self) -> Any:
        if not isinstance(self.final, str):
            if not hasattr(self.final, "fit") or is_classifier(self.final) != (self._task == "classification"):
                raise ModelError(f"final is {self.final!r}; a name or an estimator that does {self._task} was expected.")
            return clone(self.final)
        from huracan.catalogue import build_model

        if self._task == "classification":
            if self.final == "logistic":
                return build_model("logistic_regression", expected_ic=_EXPECTED_IC, max_train_rows=None)
            raise ModelError(f"final is {self.final!r}; 'logistic' or a classifier was expected.")
        if self.final == "ridge":
            return build_model("ridge", expected_ic=_EXPECTED_IC, winsorize=0.0, max_train_rows=None)
        if self.final == "nnls":
            from sklearn.linear_model import LinearRegression

            return LinearRegression(positive=True)
        raise ModelError(f"final is {self.final!r}; 'ridge', 'nnls' or a regressor was expected.")

    def _inputs(self, said: NDArray[np.float64], X: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the final estimator sees: (n, members), with k > 2 classes (n, members * k), then the features if passed."""
        flat = said.reshape(len(said), -1)
        return np.concatenate([flat, X], axis=1) if self.passthrough else flat

    def _final_inputs(self, X: Any) -> NDArray[np.float64]:
        said = self._answers(X)
        return self._inputs(said, X.X if isinstance(X, TrainingSet) else self._given(X))

    def _more(self) -> dict[str, Any]:
        final = self.final if isinstance(self.final, str) else type(self.final).__name__
        return {"final": final, "splitter": repr(self.splitter or PurgedWalkForward()), "passthrough": self.passthrough}

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fitted stacker as plain JSON values, and its members and final estimator; ``out_of_fold_`` stays behind."""
        state = {**self._state(), "passthrough": self.passthrough}
        return state, {**{f"member {name}": model for name, model in self.members_.items()}, "final": self.final_}

    @classmethod
    def from_parts(cls, state: Mapping[str, Any], parts: Mapping[str, Any]) -> Self:
        """What :meth:`to_parts` took apart, put together again."""
        members = {str(name): parts[f"member {name}"] for name in state["members"]}
        made = cls(members, parts["final"], passthrough=state["passthrough"])
        made._restore(state, parts)
        made.final_ = parts["final"]
        return made


_EXPECTED_IC = 0.1
"""What a stacked forecast's correlation with the label may come to: hardly any shrinking from some thousand rows on."""


class TimeOrderedStackingRegressor(RegressorMixin, _Stacking):
    """A final regression on what members forecast out of fold, each forecast made from the past alone.

    scikit-learn's stacking learns its final estimator from k-fold predictions, whose models have seen the future of each row
    and, with overlapping labels, part of its answer; it takes no walk-forward splitter.

    Parameters
    ----------
    members : name -> estimator, unfitted; they are copied.
    final : ``"ridge"``; ``"nnls"``, non-negative least squares with an intercept; or any regressor.
    splitter : how out-of-fold predictions are made; ``PurgedWalkForward()`` by default. Look-ahead warning: a splitter whose
        members learn from later rows is refused.
    passthrough : whether the final estimator also sees the features.
    random_state : a number gives each member a seed of its own.

    Attributes
    ----------
    out_of_fold_ : :class:`~huracan.ensembles.out_of_fold.OutOfFold` that the final estimator learned from. members_ : refitted
        on all rows. final_ : the fitted final estimator. feature_names_, n_features_in_.

    References
    ----------
    Wolpert (1992), "Stacked Generalization", Neural Networks 5; Breiman (1996), "Stacked Regressions", Machine Learning 24
    (non-negative weights).

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> rng = np.random.default_rng(0)
    >>> rows = TrainingSet.from_arrays(X := rng.standard_normal((600, 3)), X[:, 0] + rng.standard_normal(600), label_horizon=5)
    >>> members = {"line": Ridge(), "tree": DecisionTreeRegressor(random_state=0)}
    >>> stack = TimeOrderedStackingRegressor(members, final="nnls").fit(rows)
    >>> int(stack.final_.coef_.argmax()), stack.predict(rows).shape
    (0, (600,))
    """

    _task = "regression"

    def __init__(
        self,
        members: Mapping[str, Any],
        final: Any = "ridge",
        *,
        splitter: Any = None,
        passthrough: bool = False,
        random_state: int | None = None,
    ) -> None:
        self.members = members
        self.final = final
        self.splitter = splitter
        self.passthrough = passthrough
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # the final estimator has a part of the rows only
        return tags

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Forecasts (n,), in the label's unit."""
        inputs = self._final_inputs(X)
        return np.asarray(self.final_.predict(inputs), dtype=np.float64).reshape(-1)

    def model_info(self) -> ModelInfo:
        """The stacker's card."""
        return self._info("A regression on what several models forecast out of fold.", self._more())


class TimeOrderedStackingClassifier(ClassifierMixin, _Stacking):
    """A final classifier on the probabilities that members gave out of fold, each made from the past alone.

    Parameters and attributes as in :class:`TimeOrderedStackingRegressor`, and ``classes_``; ``final`` is ``"logistic"`` or any
    classifier with ``predict_proba``; members need ``predict_proba``.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> rng = np.random.default_rng(0)
    >>> rows = TrainingSet.from_arrays(X := rng.standard_normal((600, 3)), X[:, 0] + rng.standard_normal(600), label_horizon=5)
    >>> stack = TimeOrderedStackingClassifier({"line": LogisticRegression(), "bayes": GaussianNB()}).fit(rows)
    >>> stack.predict_proba(rows).shape, stack.out_of_fold_.names
    ((600, 2), ('line', 'bayes'))
    """

    _task = "classification"

    def __init__(
        self,
        members: Mapping[str, Any],
        final: Any = "logistic",
        *,
        splitter: Any = None,
        passthrough: bool = False,
        random_state: int | None = None,
    ) -> None:
        self.members = members
        self.final = final
        self.splitter = splitter
        self.passthrough = passthrough
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class (n, k), columns as in ``classes_``."""
        inputs = self._final_inputs(X)
        return np.asarray(self.final_.predict_proba(inputs), dtype=np.float64)

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class (n,)."""
        probability = self.predict_proba(X)
        return self.classes_[np.argmax(probability, axis=1)]

    def model_info(self) -> ModelInfo:
        """The stacker's card."""
        return self._info("A classifier on the probabilities of several models out of fold.", self._more())
