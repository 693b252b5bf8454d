"""A model on the features that tell most, chosen from its own training rows: what was chosen is part of the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin

from huracan.dataset import TrainingSet
from huracan.ensembles.base import MemberEstimator
from huracan.ensembles.feature_ranking import RANKINGS, Ranking, rank_features
from huracan.ensembles.members import answers, fit_member, seeded
from huracan.errors import ModelError
from huracan.model_info import ModelInfo

__all__ = ["SelectedFeaturesClassifier", "SelectedFeaturesRegressor", "kept_columns"]

_MODEL = "model"


def kept_columns(worth: NDArray[np.float64], share: float) -> list[int]:
    """Numbers of the best share of columns, at least one, in their own order; of equals the earlier.

    >>> kept_columns(np.array([0.1, 0.5, 0.5, 0.0]), 0.5)
    [1, 2]
    """
    count = max(1, round(share * len(worth)))
    return sorted(int(i) for i in np.argsort(-worth, kind="stable")[:count])


class _SelectedFeatures(MemberEstimator):
    _kind = "selected_features"
    columns_: tuple[str, ...]

    def __init__(
        self,
        members: Mapping[str, Any],
        *,
        by: Ranking = "mutual_information",
        share: float = 0.25,
        columns: Sequence[str] | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.members = members
        self.by = by
        self.share = share
        self.columns = columns
        self.random_state = random_state

    @classmethod
    def of(cls, model: Any, **settings: Any) -> Self:
        """Around one estimator, unfitted."""
        return cls({_MODEL: model}, **settings)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Choose columns of a ``TrainingSet``, or of ``X`` (n, d) and ``y`` (n,) in time order, and fit on them.

        Raises
        ------
        ModelError : settings that cannot be, more than two classes, or the model cannot be fitted.
        DataError : a value is not finite, or a column given is not there.
        """
        model = self._only_member()
        if self.by not in RANKINGS or not 0.0 < self.share <= 1.0:
            raise ModelError(
                f"by is {self.by!r} and share {self.share!r}; {' or '.join(RANKINGS)} and a share above 0, to 1, were expected."
            )
        rows, target = self._training_rows(X, y, sample_weight)
        n_classes = len(self.classes_) if self._task == "classification" else 0
        if n_classes > 2:
            raise ModelError(f"features are selected for two classes; y has {n_classes}.")
        columns = self.columns
        if columns is None:
            worth = rank_features(rows, self.by, task=self._task, random_state=self.random_state or 0)
            columns = [rows.feature_names[i] for i in kept_columns(worth, self.share)]
        fewer = rows.select(columns)
        fitted = fit_member(_MODEL, seeded(model, self.random_state, 0), fewer, target, n_classes)
        self.columns_, self.members_ = tuple(columns), {_MODEL: fitted}
        return self

    def _only_member(self) -> Any:
        models = self._checked_members()
        if list(models) != [_MODEL]:
            raise ModelError(f"members are {', '.join(models)}; one, named '{_MODEL}', was expected (see .of).")
        return models[_MODEL]

    def _answers(self, X: Any) -> NDArray[np.float64]:
        given = self._given(X)
        if isinstance(given, TrainingSet):
            fewer: Any = given.select(self.columns_)
        else:
            fewer = given[:, [self.feature_names_.index(name) for name in self.columns_]]
        n_classes = len(self.classes_) if self._task == "classification" else 0
        return answers(_MODEL, self.members_[_MODEL], fewer, n_classes)

    def model_info(self) -> ModelInfo:
        """Its card."""
        chosen = {"columns": list(getattr(self, "columns_", None) or self.columns or ()), "by": self.by, "share": self.share}
        return self._info("A model on the features that tell most of the label.", chosen)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Plain JSON values, and the fitted model; :func:`huracan.ensembles.ensemble_from_parts` puts them together again."""
        more = {"columns": list(self.columns_), "by": self.by, "share": self.share}
        return {**self._state(), **more}, {f"member {_MODEL}": self.members_[_MODEL]}

    @classmethod
    def from_parts(cls, state: Mapping[str, Any], parts: Mapping[str, Any]) -> Self:
        """What :meth:`to_parts` took apart, put together again."""
        made = cls({_MODEL: parts[f"member {_MODEL}"]}, by=state["by"], share=state["share"], columns=list(state["columns"]))
        made._restore(state, parts)
        made.columns_ = tuple(state["columns"])
        return made


class SelectedFeaturesRegressor(RegressorMixin, _SelectedFeatures):
    """A forecast from the features that tell most.

    Parameters
    ----------
    members : ``{"model": estimator}``; see :meth:`of`. by : how features are ranked, see
        :func:`huracan.ensembles.rank_features`. share : of the features that are kept, above 0. columns : names of the
        features to keep, where they are known already. random_state : of the ranking and the model; None leaves the model's.

    Attributes
    ----------
    columns_ : names of the features kept. members_ : the fitted model under "model". feature_names_, n_features_in_ : given.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((600, 8)); y = X[:, 3] + rng.standard_normal(600)
    >>> from sklearn.linear_model import Ridge
    >>> SelectedFeaturesRegressor.of(Ridge(), share=0.125).fit(X, y).columns_
    ('x3',)
    """

    _task = "regression"

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Forecasts (n,) for rows with all the features that were given to ``fit``."""
        return self._answers(X)


class SelectedFeaturesClassifier(ClassifierMixin, _SelectedFeatures):
    """A probability from the features that tell most; parameters and attributes of :class:`SelectedFeaturesRegressor`."""

    _task = "classification"

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of both classes (n, 2)."""
        up = self._answers(X)
        return np.stack([1.0 - up, up], axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """The likelier class (n,)."""
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]
