"""What regressors and classifiers on tables share: checks, row cap, scaling, storage."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from huracan.baselines.chunked import one_blas_thread, standard_output
from huracan.baselines.given_rows import DataTypeError, as_rows, as_target
from huracan.baselines.inputs import InputScaler, checked_weight, other_columns, require_finite, weighted_rows
from huracan.baselines.rules import rule_score
from huracan.baselines.spec import FitContext, LearnerSpec, SupervisedTask
from huracan.dataset import TrainingSet, split_keys
from huracan.errors import DataError, HuracanError, ModelError, NotEnoughData
from huracan.model_info import ModelInfo

__all__ = ["MIN_TRAIN_ROWS", "TabularLearner", "labels_to_judge"]

MIN_TRAIN_ROWS = 10
_FORMAT = 1


class TabularLearner(BaseEstimator):
    """What :class:`~huracan.baselines.tabular.TabularRegressor` and ``TabularClassifier`` share; use one of those two."""

    _task: SupervisedTask
    _prepared: Any = None
    _prepared_rows = -1
    _reads_keys = False
    """Whether columns of a frame that say what its rows are of are read as that, see ``huracan.dataset.split_keys``."""

    def __init__(
        self,
        spec: LearnerSpec,
        *,
        hyperparameters: Mapping[str, Any] | None = None,
        random_state: int = 0,
        n_jobs: int = 1,
        max_train_rows: int | str | None = "standard",
        clip: float = 8.0,
        winsorize: float = 0.005,
    ) -> None:
        self.spec = spec
        self.hyperparameters = hyperparameters
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.max_train_rows = max_train_rows
        self.clip = clip
        self.winsorize = winsorize

    # --- scikit-learn parameters: hyperparameters also count one by one --------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the wrapper and, with ``deep``, each hyperparameter of the learner under its own name."""
        params = super().get_params(deep=False)
        return {**params, **self.spec.complete(self.hyperparameters)} if deep else params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the wrapper or hyperparameters of the learner; an unknown name is refused."""
        own = super().get_params(deep=False)
        for key in own.keys() & params.keys():
            setattr(self, key, params.pop(key))
        if params:
            self.hyperparameters = {**self.spec.canonical(self.hyperparameters), **self.spec.canonical(params)}
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = not self.spec.looks_at_inputs
        return tags

    def fit_prepared(self, rows: TrainingSet, prepared: Any) -> Self:
        """:meth:`fit` on rows of which a study has prepared what a booster makes of them first; the same model, sooner.

        Where the fit uses other rows (a cap, weights of 0), what was prepared is left aside.
        """
        self._prepared, self._prepared_rows = prepared, len(rows)
        try:
            return self.fit(rows)
        finally:
            del self._prepared, self._prepared_rows

    # --- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit on a :class:`~huracan.dataset.TrainingSet`, or on ``X`` (n, d) and ``y`` (n,) in time order.

        The last ``max_train_rows`` rows are used (see ``n_train_rows_``). A ``TrainingSet`` brings its label or, for
        a classifier, the label's sign (1 up, 0 down or flat), and its weights; rows of weight 0 are left out. A fit that
        fails or is interrupted leaves the model as it was.

        Raises
        ------
        DataError : not finite (column and row are named), of unequal length, or nothing but zero weights.
        NotEnoughData : fewer than 10 rows.
        ModelError : one class only.
        """
        cap = self._row_cap()
        if isinstance(X, TrainingSet):
            if y is not None:
                raise DataError("fit got a TrainingSet and y; a TrainingSet brings its own labels.")
            if sample_weight is not None and len(sample_weight) != len(X):
                raise DataError(f"sample_weight has {len(sample_weight)} rows where the TrainingSet has {len(X)}.")
            rows = X.most_recent(cap)
            weight = rows.weight if sample_weight is None else np.asarray(sample_weight)[len(X) - len(rows) :]
            target = rows.y if self._task == "regression" else rows.direction()
            return self._take(self._blank()._fit(rows, target, weight, cap=cap))
        return self._take(self._blank()._fit(X, y, sample_weight, cap=cap))

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, cap: int | None) -> Self:
        matrix = self._matrix(X, reset=True)
        target = self._target(y, len(matrix))
        weight = checked_weight(sample_weight, len(matrix))
        if cap is not None and len(matrix) > cap:
            matrix, target = matrix[-cap:], target[-cap:]
            weight = None if weight is None else weight[-cap:]
        if weight is not None:
            matrix, target, weight = weighted_rows(matrix, target, weight)
        params = self.spec.complete(self.hyperparameters)
        coded = self._encode(target)
        if len(matrix) < MIN_TRAIN_ROWS:
            raise NotEnoughData(
                f"{self.spec.name} got {len(matrix)} sample(s) to learn from; at least {MIN_TRAIN_ROWS} are needed."
            )
        self.scaler_ = InputScaler.fit(matrix, clip=self.clip) if self.spec.scale_inputs else None
        context = FitContext(
            task=self._task,
            params=params,
            n_rows=len(matrix),
            n_features=matrix.shape[1],
            n_classes=len(getattr(self, "classes_", ())),
            feature_names=self.feature_names_,
            random_state=self._seed(),
            n_jobs=self._threads(),
            prepared=self._prepared if len(matrix) == self._prepared_rows else None,
        )
        self.weight_used_ = weight is not None and self.spec.supports_weight
        self.n_train_rows_ = len(matrix)
        ready = matrix if self.scaler_ is None else self.scaler_(matrix)
        with one_blas_thread():
            self.estimator_ = _fit_inner(self.spec, context, ready, coded, weight if self.weight_used_ else None)
        return self

    def _snapshot(self) -> Self:
        """This model as it is now: what another thread fits meanwhile does not mix with it."""
        model = object.__new__(type(self))
        model.__dict__.update(self.__dict__)
        return model

    def _blank(self) -> Self:
        """The same parameters, and nothing fitted."""
        model = object.__new__(type(self))
        model.__dict__.update({name: value for name, value in self.__dict__.items() if not _is_fitted(name)})
        return model

    def _take(self, fitted: TabularLearner) -> Self:
        """Become what was fitted, in one assignment, so that nobody ever sees a part of it."""
        own = {name: value for name, value in self.__dict__.items() if not _is_fitted(name)}
        self.__dict__ = {**own, **fitted._fitted_state()}
        return self

    def _fitted_state(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if _is_fitted(name)}

    def _row_cap(self) -> int | None:
        if isinstance(self.max_train_rows, str):
            return self.spec.row_cap(self.max_train_rows)
        if self.max_train_rows is not None and self.max_train_rows < MIN_TRAIN_ROWS:
            raise ModelError(
                f"max_train_rows is {self.max_train_rows}; at least {MIN_TRAIN_ROWS}, a profile or None was expected."
            )
        return self.max_train_rows

    def _seed(self) -> int:
        if self.random_state is None:
            return 0
        if not isinstance(self.random_state, Integral):
            raise ModelError(
                f"random_state is {self.random_state!r}; a whole number was expected, so that a fit can be repeated."
            )
        return int(self.random_state)

    def _threads(self) -> int:
        if self.n_jobs is None:
            return 1
        if not isinstance(self.n_jobs, Integral) or self.n_jobs == 0:
            raise ModelError(f"n_jobs is {self.n_jobs!r}; a whole number from 1, or -1 for all cores, was expected.")
        return int(self.n_jobs)

    def _matrix(self, X: Any, *, reset: bool) -> NDArray[np.float32]:
        names = X.feature_names if isinstance(X, TrainingSet) else None
        plain = X if names is None else X.X
        if names is None and self._reads_keys:
            plain = split_keys(X)[0]
        matrix = as_rows(plain)
        try:
            validate_data(self, plain, reset=reset, skip_check_array=True)
        except (TypeError, ValueError) as error:
            kind: type[Exception] = DataError if isinstance(error, ValueError) else DataTypeError
            raise kind(str(error)) from error
        if reset and not len(matrix):
            raise NotEnoughData(f"{self.spec.name} got 0 sample(s) to learn from; at least {MIN_TRAIN_ROWS} are needed.")
        if reset:
            columns = getattr(self, "feature_names_in_", None) if names is None else names
            self.feature_names_ = (
                tuple(f"x{i}" for i in range(matrix.shape[1])) if columns is None else tuple(map(str, columns))
            )
        elif names is not None and names != self.feature_names_:
            raise other_columns(self.spec.name, names, self.feature_names_)
        if self.spec.looks_at_inputs:
            require_finite(matrix, self.feature_names_, given=plain if names is None else X, of=X)
        return matrix

    def _target(self, y: Any, n_rows: int) -> NDArray[Any]:
        given = as_target(y, n_rows)
        try:
            target = column_or_1d(given, warn=True)
        except ValueError as error:
            raise DataError(f"y has shape {given.shape}; one value a row was expected, y should be a 1d array.") from error
        if np.issubdtype(target.dtype, np.floating):
            require_finite(target[:, None], ("y",), given=y)
        return target

    def _encode(self, target: NDArray[Any]) -> NDArray[Any]:
        raise NotImplementedError

    def _raw(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self, "estimator_")
        matrix = self._matrix(X, reset=False)
        output = self.spec.output or standard_output
        if not len(matrix):
            probe = np.zeros((1, matrix.shape[1]), np.float32)
            return np.asarray(output(self.estimator_, probe, 1), np.float64)[:0]
        with one_blas_thread():
            return np.asarray(_scaled_output(output, self.estimator_, matrix, self.scaler_, self._threads()), np.float64)

    def rule_score(self, X: Any) -> NDArray[np.float64]:
        """The score (n,) of a rule; a ``ModelError`` for any other learner."""
        model = self._snapshot()
        check_is_fitted(model, "estimator_")
        if not self.spec.is_rule:
            raise ModelError(f"{self.spec.name} is no rule; use huracan.catalogue.signal_score.")
        return rule_score(model.estimator_, model._matrix(X, reset=False))

    # --- what it is, and storage -----------------------------------------------------------------------------------

    def model_info(self) -> ModelInfo:
        """The learner's card with the hyperparameters it was built with."""
        return self.spec.info(
            self._task,
            hyperparameters=self.hyperparameters,
            max_train_rows=self._row_cap(),
            feature_names=getattr(self, "feature_names_", None),
        )

    def feature_importance(self) -> dict[str, float] | None:
        """Importance of each feature as the learner itself sees it, summing to 1; None where it has no such notion."""
        check_is_fitted(self, "estimator_")
        if self.spec.importance is None:
            return None
        values = self.spec.importance(self.estimator_, self.n_features_in_)
        if values is None:
            return None
        total = float(np.sum(values))
        return {name: float(v) / total if total > 0 else 0.0 for name, v in zip(self.feature_names_, values, strict=True)}

    def to_parts(self) -> tuple[dict[str, Any], Any]:
        """The fitted model as plain JSON values and one inner object (an estimator, a booster, or None for a rule).

        ``huracan.catalogue.model_from_parts`` puts them together again.
        """
        check_is_fitted(self, "estimator_")
        plain_inner = isinstance(self.estimator_, dict)
        state: dict[str, Any] = {
            "format": _FORMAT,
            "name": self.spec.name,
            "task": self._task,
            "hyperparameters": self.spec.complete(self.hyperparameters),
            "random_state": None if self.random_state is None else self._seed(),
            "max_train_rows": self.max_train_rows,
            "clip": self.clip,
            "winsorize": self.winsorize,
            "feature_names": list(self.feature_names_),
            "named_columns": hasattr(self, "feature_names_in_"),
            "n_train_rows": self.n_train_rows_,
            "weight_used": self.weight_used_,
            "scaler": None if self.scaler_ is None else [self.scaler_.center.tolist(), _finite_list(self.scaler_.scale)],
            "fitted": self.estimator_ if plain_inner else None,
            **self._target_state(),
        }
        return state, None if plain_inner else self.estimator_

    def state_dict(self) -> dict[str, Any]:
        """The JSON part of :meth:`to_parts`."""
        return self.to_parts()[0]

    @property
    def inner(self) -> Any:
        """The fitted inner object; None for a rule."""
        return self.to_parts()[1]

    @classmethod
    def from_state(cls, spec: LearnerSpec, state: Mapping[str, Any], inner: Any) -> Self:
        """Rebuild a fitted model from what :meth:`to_parts` gave.

        Raises
        ------
        ModelError : the state is of another learner, task or format, lacks a key, or holds what cannot be there.
        """
        if (state.get("name"), state.get("task"), state.get("format")) != (spec.name, cls._task, _FORMAT):
            raise ModelError(
                f"the stored model is {state.get('name')}/{state.get('task')} in format {state.get('format')}; "
                f"{spec.name}/{cls._task} in format {_FORMAT} was expected."
            )
        try:
            model = cls(
                spec,
                hyperparameters=dict(state["hyperparameters"]),
                random_state=state["random_state"],
                max_train_rows=state["max_train_rows"],
                clip=state["clip"],
                winsorize=state["winsorize"],
            )
            model.feature_names_ = tuple(state["feature_names"])
            model.n_features_in_ = len(model.feature_names_)
            if state["named_columns"]:
                model.feature_names_in_ = np.asarray(model.feature_names_, dtype=object)
            model.n_train_rows_ = state["n_train_rows"]
            model.weight_used_ = state["weight_used"]
            model.scaler_ = None
            if state["scaler"] is not None:
                center, scale = state["scaler"]
                spread = np.asarray([np.inf if s is None else s for s in scale], np.float64)
                model.scaler_ = InputScaler(np.asarray(center, np.float64), spread, float(state["clip"]))
            model.estimator_ = inner if state["fitted"] is None else dict(state["fitted"])
            model._restore_target(state)
        except KeyError as error:
            raise ModelError(f"the stored state of {spec.name} lacks the key {error}.") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"the stored state of {spec.name} is damaged: {error}.") from error
        return model

    def _target_state(self) -> dict[str, Any]:
        raise NotImplementedError

    def _restore_target(self, state: Mapping[str, Any]) -> None:
        raise NotImplementedError


def labels_to_judge(
    rows: TrainingSet, own: NDArray[Any], y: Any, sample_weight: Any
) -> tuple[NDArray[np.bool_], NDArray[Any], NDArray[np.float64] | None]:
    """Which rows have a label, those labels (``own``, or ``y`` where more than one number is forecast), and given weights."""
    known = rows.labelled
    target, weight = own if y is None else as_target(y, len(rows)), checked_weight(sample_weight, len(rows))
    if not known.any():
        raise DataError(f"none of the {len(rows)} rows has a label; rows whose label is known were expected.")
    return known, target[known], None if weight is None else weight[known]


def _fit_inner(
    spec: LearnerSpec, context: FitContext, X: NDArray[np.float32], y: NDArray[Any], weight: NDArray[np.float64] | None
) -> Any:
    try:
        if spec.fit is not None:
            return spec.fit(context, X, y, weight)
        assert spec.build is not None
        estimator = spec.build(context)
        return estimator.fit(X, y) if weight is None else estimator.fit(X, y, sample_weight=weight)
    except HuracanError:
        raise
    except (TypeError, ValueError, ZeroDivisionError) as error:
        changed = {key: value for key, value in context.params.items() if value != spec.defaults[key]}
        if not changed:
            raise
        said = " ".join(str(error).split())
        raise ModelError(f"{spec.name} cannot be fitted with {changed}: {said}") from error


def _scaled_output(
    output: Any, inner: Any, X: NDArray[np.float32], scaler: InputScaler | None, n_jobs: int, block: int = 262_144
) -> NDArray[np.float64]:
    """Scale and evaluate in blocks, so that memory stays flat on millions of rows."""
    if scaler is None:
        return output(inner, X, n_jobs)
    parts = [output(inner, scaler(X[at : at + block]), n_jobs) for at in range(0, len(X), block)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _is_fitted(name: str) -> bool:
    """Whether an attribute of this name is learned by ``fit``, by scikit-learn's convention."""
    return name.endswith("_") and not name.startswith("_")


def _finite_list(values: NDArray[np.float64]) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]
