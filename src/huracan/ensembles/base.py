"""What estimators made of members share: parameters, checks of what is given, the card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from huracan.baselines.given_rows import DataTypeError, as_rows, as_target, numeric_target
from huracan.baselines.inputs import checked_weight, other_columns, require_finite
from huracan.dataset import TrainingSet
from huracan.ensembles.members import Task, answers, checked_members, takes_rows, task_of
from huracan.errors import DataError, ModelError, NotEnoughData
from huracan.model_info import FeatureSignature, ModelInfo

__all__ = ["MemberEstimator"]


class MemberEstimator(BaseEstimator):
    """Common part of ensembles and stackers; ``members`` is a parameter, and so is each member and each of its parameters."""

    _task: Task
    _kind: str
    members: Mapping[str, Any]
    members_: dict[str, Any]
    feature_names_: tuple[str, ...]

    # --- scikit-learn parameters: members count one by one ---------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters; with ``deep`` also each member under its name, and its parameters as ``name__parameter``."""
        params = super().get_params(deep=False)
        if deep and isinstance(self.members, Mapping):
            for name, model in self.members.items():
                own = model.get_params(deep=True) if hasattr(model, "get_params") else {}
                params |= {name: model, **{f"{name}__{key}": value for key, value in own.items()}}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, members by name, or parameters of members as ``name__parameter``."""
        own = super().get_params(deep=False)
        for key in own.keys() & params.keys():
            setattr(self, key, params.pop(key))
        for key, value in params.items():
            name, _, parameter = key.partition("__")
            if name not in self.members:
                raise ModelError(f"'{key}' is no parameter of {type(self).__name__} and no member; known: {', '.join(own)}.")
            if parameter:
                self.members[name].set_params(**{parameter: value})
            else:
                self.members = {**self.members, name: value}
        return self

    def _checked_members(self) -> dict[str, Any]:
        models = checked_members(self.members, reserved=tuple(super().get_params(deep=False)))
        if task_of(models) != self._task:
            raise ModelError(f"members of a {type(self).__name__} do {task_of(models)}; {self._task} was expected.")
        return models

    def _take_fitted(self, models: dict[str, Any]) -> None:
        """Take members that are fitted already: all on the same columns, classifiers on the codes of the same classes."""
        names = list(models)
        first = models[names[0]]
        for name, model in models.items():
            check_is_fitted(model)
            if _columns(model) != _columns(first):
                raise ModelError(
                    f"member '{name}' was fitted on other columns than '{names[0]}' ({len(_columns(model))} and "
                    f"{len(_columns(first))}); the same were expected."
                )
        self.members_ = models
        self.feature_names_ = _columns(first)
        self.n_features_in_ = len(self.feature_names_)
        if self._task == "regression":
            return
        # members answer with codes 0, 1, ...; models fitted elsewhere bring classes of their own, which must be those codes
        for name, model in models.items():
            own = np.asarray(model.classes_).tolist()
            if own != list(range(len(first.classes_))):
                raise ModelError(
                    f"fitted member '{name}' has the classes {own}; {list(range(len(first.classes_)))} were expected."
                )
        self.classes_ = np.asarray(first.classes_)

    # --- what is given ---------------------------------------------------------------------------------------------

    def _training_rows(self, X: Any, y: Any, sample_weight: Any, label_horizon: int = 1) -> tuple[TrainingSet, NDArray[Any]]:
        """Rows with times, and the target: values, or codes of ``classes_``."""
        if isinstance(X, TrainingSet):
            if y is not None:
                raise DataError("fit got a TrainingSet and y; a TrainingSet brings its own labels.")
            self.feature_names_ = X.feature_names
            self._check_columns(X.X, reset=True)
            require_finite(X.X, X.feature_names, given=X)
            rows = X if sample_weight is None else _with_weight(X, sample_weight)
            if self._task == "regression":
                return rows, rows.y
            return rows, self._of_direction(rows)
        matrix = as_rows(X)
        self._check_columns(X, reset=True)
        if len(matrix) < 2:
            raise NotEnoughData(f"{type(self).__name__} got {len(matrix)} sample(s) to learn from; at least 2 are needed.")
        names = getattr(self, "feature_names_in_", None)
        count = matrix.shape[1]
        self.feature_names_ = tuple(f"x{i}" for i in range(count)) if names is None else tuple(map(str, names))
        require_finite(matrix, self.feature_names_, given=X)
        target = self._encoded(_one_column(as_target(y, len(matrix))))
        rows = TrainingSet.from_arrays(
            matrix,
            target,
            label_horizon=label_horizon,
            ts=_increasing_index(X),
            weight=_some_weight(sample_weight, len(matrix)),
        )
        return _named(rows, self.feature_names_), target

    def _of_direction(self, rows: TrainingSet) -> NDArray[np.int64]:
        self.classes_ = np.array([0, 1])
        known = rows.direction()[rows.labelled]
        if len(known) and known.min() == known.max():
            raise ModelError(f"y holds one class only, {known[0]}, in {len(known)} rows; at least two are needed.")
        return rows.direction()

    def _encoded(self, target: NDArray[Any]) -> NDArray[Any]:
        if self._task == "regression":
            values = numeric_target(target)
            require_finite(values[:, None], ("y",))
            return values
        try:
            if np.issubdtype(target.dtype, np.floating):
                require_finite(target[:, None], ("y",))
            check_classification_targets(target)
            self.classes_, codes = np.unique(target, return_inverse=True)
        except TypeError as error:
            raise DataError(f"y is no set of classes: {' '.join(str(error).split())}") from error
        if len(self.classes_) < 2:
            raise ModelError(
                f"y holds one class only, {self.classes_.tolist()[0]!r}, in {len(target)} rows; at least two are needed."
            )
        return codes.astype(np.int64)

    def _given(self, X: Any) -> Any:
        """What members are asked about: a ``TrainingSet`` as it is, all else as a matrix."""
        check_is_fitted(self, "members_")
        if isinstance(X, TrainingSet):
            if X.feature_names != self.feature_names_:
                raise other_columns(self._kind, X.feature_names, self.feature_names_)
            return X
        matrix = as_rows(X)
        self._check_columns(X, reset=False)
        require_finite(matrix, self.feature_names_, given=X)
        return matrix

    def _check_columns(self, X: Any, *, reset: bool) -> None:
        try:
            validate_data(self, X, reset=reset, skip_check_array=True)
        except (TypeError, ValueError) as error:
            kind: type[Exception] = DataError if isinstance(error, ValueError) else DataTypeError
            raise kind(str(error)) from error

    def _answers(self, X: Any) -> NDArray[np.float64]:
        """(n, members), with more than two classes (n, members, classes)."""
        given = self._given(X)
        n_classes = len(self.classes_) if self._task == "classification" else 0
        said = [answers(name, model, given, n_classes) for name, model in self.members_.items()]
        return np.stack(said, axis=1)

    # --- what it is ------------------------------------------------------------------------------------------------

    @property
    def history_bars(self) -> int:
        """Bars before a row that the member which looks furthest back looks at."""
        models = getattr(self, "members_", None) or self.members
        return max((int(getattr(model, "history_bars", 0)) for model in models.values()), default=0)

    @property
    def n_classes_(self) -> int:
        """Number of classes of a classifier."""
        return len(self.classes_)

    def _info(self, purpose: str, hyperparameters: Mapping[str, Any]) -> ModelInfo:
        models = getattr(self, "members_", None) or self.members
        cards = {name: model.model_info() for name, model in models.items() if takes_rows(model)}
        schema = {"prediction": "forecast of the label, in the label's unit"}
        if self._task == "classification":
            schema = {"class": "the likeliest class of the label", "probability": "probability of each class, 0 to 1"}
        named = {name: cards[name].name if name in cards else type(model).__name__ for name, model in models.items()}
        regimes: dict[Any, str] = {}
        for card in cards.values():
            regimes = {**card.market_regimes, **regimes}
        columns = getattr(self, "feature_names_", None)
        return ModelInfo(
            name=self._kind,
            purpose=purpose,
            ideal_dataset_shape="(as its members, and enough rows for out-of-fold predictions: 2_000+)",
            feature_requirements=("numeric", "finite: no nulls, no infinities"),
            output_schema=schema,
            task=self._task,
            market_regimes=regimes,
            hyperparameters={"members": named, **hyperparameters},
            signature=None if columns is None else FeatureSignature(columns=columns),
        )

    def _state(self) -> dict[str, Any]:
        check_is_fitted(self, "members_")
        return {
            "format": 1,
            "name": self._kind,
            "task": self._task,
            "members": list(self.members_),
            "feature_names": list(self.feature_names_),
            "named_columns": hasattr(self, "feature_names_in_"),
            "classes": self.classes_.tolist() if self._task == "classification" else None,
        }

    def _restore(self, state: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
        self.members_ = {str(name): parts[f"member {name}"] for name in state["members"]}
        self.feature_names_ = tuple(state["feature_names"])
        self.n_features_in_ = len(self.feature_names_)
        if state["named_columns"]:
            self.feature_names_in_ = np.asarray(self.feature_names_, dtype=object)
        if self._task == "classification":
            self.classes_ = np.asarray(state["classes"])


def _with_weight(rows: TrainingSet, sample_weight: Any) -> TrainingSet:
    return replace(rows, weight=_some_weight(sample_weight, len(rows)))


def _some_weight(sample_weight: Any, n: int) -> NDArray[np.float64]:
    weight = checked_weight(sample_weight, n)
    if weight is not None and not (weight > 0).any():
        raise DataError(f"sample_weight is zero in all {n} rows; at least one positive weight is needed.")
    return np.ones(n) if weight is None else weight


def _named(rows: TrainingSet, names: tuple[str, ...]) -> TrainingSet:
    return replace(rows, feature_names=names)


def _one_column(target: NDArray[Any]) -> NDArray[Any]:
    try:
        return column_or_1d(target, warn=True)
    except ValueError as error:
        raise DataError(f"y has shape {target.shape}; one value a row was expected, y should be a 1d array.") from error


def _increasing_index(X: Any) -> Any:
    """The time index of a frame, where it has one."""
    index = getattr(X, "index", None)
    kind = getattr(getattr(index, "dtype", None), "kind", "")
    return index if kind == "M" else None


def _columns(model: Any) -> tuple[str, ...]:
    """Names of the columns a fitted model takes."""
    own = getattr(model, "feature_names_", None)
    if own is None:
        own = getattr(model, "feature_names_in_", None)
    return tuple(f"x{i}" for i in range(int(model.n_features_in_))) if own is None else tuple(map(str, own))
