"""Networks as scikit-learn estimators over rows or windows."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from huracan.baselines.given_rows import numeric_target
from huracan.baselines.inputs import winsor_bounds
from huracan.baselines.tabular import TabularClassifier, TabularRegressor, one_class_only
from huracan.errors import DataError, ModelError
from huracan.models.neural_learner import NeuralLearner

if TYPE_CHECKING:
    import torch

__all__ = ["NeuralClassifier", "NeuralRegressor"]

_UNKNOWN = -1
_LEAST_SHARE = 1e-9
"""Of a class of weight 0, whose logarithm has to be a number."""


class NeuralRegressor(NeuralLearner, TabularRegressor):
    """Forecast the label's value, several values, or quantiles of it, with a network of the catalogue.

    Parameters and attributes as in :class:`~huracan.baselines.tabular.TabularRegressor`, and

    Attributes
    ----------
    training_ : :class:`~huracan.training.history.TrainingResult`, losses by epoch and why it ended; of a stored model, too,
        without the losses of single steps.
    fit_seconds_ : how long the fit took, by the clock; NaN of a model that was stored outside of a registry.
    n_validation_rows_ : windows that said when to stop, 0 where there were too few.
    constant_ : outputs of the constant forecast, of the standardised label: what rows without a whole window get, where
        training starts, and what the network's outputs are added to. Zeros; quantiles of the label; or, for classes, the
        logarithms of their shares. Like the scales it counts the weights that are learned with.

    Examples
    --------
    >>> from huracan.catalogue import build_model
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((600, 2)); y = 0.01 * (X[:, 0] + np.roll(X[:, 0], 3))  # what was three rows ago counts too
    >>> model = build_model("linear_network", window=4, max_epochs=30, learning_rate=0.01).fit(X, y)
    >>> bool(np.corrcoef(model.predict(X)[3:], y[3:])[0, 1] > 0.98)
    True
    """

    n_outputs_: int

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Forecasts in the label's unit, (n,) or (n, outputs); of quantiles the median.

        Where 0.5 is none of the quantiles the median is read from those on both sides of it, along a straight line.

        Raises
        ------
        ModelError : all quantiles lie on one side of the median.
        """
        model = self._snapshot()
        raw = model._raw(X) if model._quantiles() is None else model._median(model._raw(X))
        values = raw * model.target_scales_ + model.target_centers_
        return values[:, 0] if model.n_outputs_ == 1 else values

    @available_if(lambda model: model._quantiles() is not None)
    def predict_quantiles(self, X: Any) -> NDArray[np.float64]:
        """Forecast quantiles, ascending, (n, quantiles), or (n, outputs, quantiles) where there are several outputs.

        Where a network's quantiles cross they are put in order (Chernozhukov, Fernandez-Val and Galichon, 2010).
        """
        model = self._snapshot()
        raw = model._raw(X).reshape(-1, model.n_outputs_, len(model._quantiles() or ()))
        values = np.sort(raw, axis=2) * model.target_scales_[:, None] + model.target_centers_[:, None]
        return values[:, 0] if model.n_outputs_ == 1 else values

    def _quantiles(self) -> tuple[float, ...] | None:
        given = self.spec.complete(self.hyperparameters)["quantiles"]
        if given is None:
            return None
        try:
            levels = () if isinstance(given, str) else tuple(map(float, given))
        except (TypeError, ValueError):
            levels = ()
        if not levels or any(not 0.0 < level < 1.0 for level in levels) or list(levels) != sorted(set(levels)):
            raise ModelError(f"quantiles is {given!r}; levels between 0 and 1, ascending, were expected.")
        return levels

    def _median(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """From quantiles (n, outputs x quantiles) the median (n, outputs)."""
        levels = self._quantiles() or ()
        at = _weights_of_median(levels)
        if at is None:
            raise ModelError(
                f"quantiles is {levels}, and the forecast is their median: 0.5, or levels on both sides of it, were expected; "
                "predict_quantiles gives those that there are."
            )
        return np.sort(raw.reshape(len(raw), self.n_outputs_, -1), axis=2) @ at

    def _told(self, output: torch.Tensor) -> torch.Tensor:
        levels = self._quantiles()
        at = None if levels is None else _weights_of_median(levels)
        if levels is None or at is None:
            return output
        return output.view(len(output), -1, len(levels)) @ output.new_tensor(at)

    def _code(
        self, target: NDArray[Any], train: NDArray[np.int64], weight: NDArray[np.float64], keep: bool
    ) -> NDArray[np.float32]:
        values = numeric_target(target).reshape(len(target), -1)
        if keep and values.shape[1] != self.n_outputs_:
            raise DataError(
                f"y has {values.shape[1]} column(s), but the first fit had {self.n_outputs_}; warm_start needs as many."
            )
        moments = [self._cut(values[:, j], train, _uneven(weight[train])) for j in range(values.shape[1])]
        if not keep:
            self.n_outputs_ = values.shape[1]
            self.target_centers_, spread = np.array(moments).T
            self.target_scales_ = np.where(spread > 1e-12 * np.abs(self.target_centers_), spread, 1.0)
        coded = np.divide(np.subtract(values, self.target_centers_, out=values), self.target_scales_, out=values)
        return coded.astype(np.float32)

    def _cut(
        self, values: NDArray[np.float64], train: NDArray[np.int64], weight: NDArray[np.float64] | None
    ) -> tuple[float, float]:
        """Mean and deviation of a target's winsorised values; they take the place of ``values``, except where quantiles are
        asked for, which are those of what really happens.
        """
        known = values[train]
        low, high = winsor_bounds(known, self.winsorize)
        if low < high:
            np.clip(known, low, high, out=known)
            if self._quantiles() is None:
                np.clip(values, low, high, out=values)
        center = float(np.average(known, weights=weight))
        return center, float(np.sqrt(np.average((known - center) ** 2, weights=weight)))

    def _constant(self, coded: NDArray[Any], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        levels = self._quantiles()
        if levels is None:
            return np.zeros(self.n_outputs_)
        uneven = _uneven(weight)
        how: dict[str, Any] = {} if uneven is None else {"weights": uneven, "method": "inverted_cdf"}
        return np.concatenate([np.quantile(column, levels, **how) for column in coded.astype(np.float64).T])

    def _loss(self, params: Mapping[str, Any]) -> tuple[str, tuple[float, ...], int]:
        levels = self._quantiles()
        if levels is not None:
            return "pinball", levels, self.n_outputs_ * len(levels)
        loss = params["loss"] or "squared_error"
        if loss not in ("squared_error", "huber"):
            raise ModelError(f"loss is {loss!r}; 'squared_error' or 'huber' was expected for regression.")
        return loss, (), self.n_outputs_

    def _target_state(self) -> dict[str, Any]:
        return {
            "target": [self.target_centers_.tolist(), self.target_scales_.tolist()],
            "constant_outputs": self.constant_.tolist(),
        }

    def _restore_target(self, state: Mapping[str, Any]) -> None:
        self.target_centers_, self.target_scales_ = (np.asarray(part, np.float64) for part in state["target"])
        self.n_outputs_ = len(self.target_centers_)
        self.constant_ = np.asarray(state["constant_outputs"], np.float64)


class NeuralClassifier(NeuralLearner, TabularClassifier):
    """Forecast the label's class with a network of the catalogue.

    Parameters and attributes as in :class:`NeuralRegressor`, and ``classes_``.

    Examples
    --------
    >>> from huracan.catalogue import build_model
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((600, 2)); up = (X[:, 0] + np.roll(X[:, 0], 1) > 0).astype(int)
    >>> model = build_model("linear_network", task="classification", window=2, learning_rate=0.02).fit(X, up)
    >>> model.predict_proba(X).shape, bool(model.score(X, up) > 0.9)
    ((600, 2), True)
    """

    def _code(
        self, target: NDArray[Any], train: NDArray[np.int64], weight: NDArray[np.float64], keep: bool
    ) -> NDArray[np.int64]:
        labels = _as_column(target)
        if not keep:
            self._encode(labels[train])
        codes = self._codes(labels)
        if (codes[train] == _UNKNOWN).any():
            new = labels[train][codes[train] == _UNKNOWN].tolist()[0]
            known = ", ".join(map(repr, self.classes_.tolist()))
            raise ModelError(f"y holds the class {new!r}, which the first fit did not know; warm_start goes on with {known}.")
        if len(np.unique(codes[train])) < 2:
            raise one_class_only(labels[train])
        return codes

    def _constant(self, coded: NDArray[Any], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        shares = np.bincount(coded, weights=weight, minlength=len(self.classes_))
        return np.log(np.maximum(shares / shares.sum(), _LEAST_SHARE))

    def _codes(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """The number of each label's class."""
        try:
            at = np.minimum(np.searchsorted(self.classes_, labels), len(self.classes_) - 1)
            return np.where(self.classes_[at] == labels, at, _UNKNOWN)
        except TypeError:  # words where there were numbers
            return np.full(len(labels), _UNKNOWN)

    def _check_target(self, target: NDArray[Any], keep: bool) -> None:
        if not keep:
            self._encode(_as_column(target))

    def _loss(self, params: Mapping[str, Any]) -> tuple[str, tuple[float, ...], int]:
        if params["quantiles"] is not None or params["loss"] not in (None, "cross_entropy"):
            raise ModelError(f"{self.spec.name} was built for classification: its loss is cross_entropy, without quantiles.")
        return "cross_entropy", (), len(self.classes_)

    def _class_weight(
        self, coded: NDArray[Any], train: NDArray[np.int64], weight: NDArray[np.float64], params: Mapping[str, Any]
    ) -> NDArray[np.float64]:
        by_class = np.zeros(len(self.classes_) + 1)  # the last one for _UNKNOWN: of what cannot be learned nothing is judged
        by_class[:-1] = self._weight_of_classes(coded[train], weight[train], params["class_weight"])
        return weight * by_class[coded]

    def _weight_of_classes(self, coded: NDArray[Any], weight: NDArray[np.float64], given: Any) -> NDArray[np.float64]:
        n, classes = len(self.classes_), self.classes_.tolist()
        if given is None:
            return np.ones(n)
        if isinstance(given, str) and given == "balanced":
            totals = np.bincount(coded, weights=weight, minlength=n)
            return np.divide(totals.sum(), n * totals, out=np.zeros(n), where=totals > 0)
        if not isinstance(given, Mapping):
            raise ModelError(f"class_weight is {given!r}; 'balanced' or a mapping from class to weight was expected.")
        for name, value in given.items():
            if name not in classes:
                raise ModelError(f"class_weight names the class {name!r}; y holds {', '.join(map(repr, classes))}.")
            if not isinstance(value, Real) or isinstance(value, bool) or not 0.0 <= float(value) < np.inf:
                raise ModelError(f"class_weight of class {name!r} is {value!r}; a finite number from 0 was expected.")
        weights = np.array([float(given.get(c, 1.0)) for c in classes])
        if (weights > 0).sum() < 2:
            left = [c for c, w in zip(classes, weights) if w > 0]
            raise ModelError(f"class_weight is above 0 for {len(left)} class(es), {left}; at least two are needed.")
        return weights

    def _told(self, output: torch.Tensor) -> torch.Tensor:
        centred = output - output.mean(dim=1, keepdim=True)
        return centred[:, 1:] if output.shape[1] == 2 else centred  # of two the one is the other's negative

    def _link(self, output: NDArray[np.float64]) -> NDArray[np.float64]:
        """Class scores to probabilities."""
        shifted = np.exp(output - output.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    def _target_state(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist(), "constant_outputs": self.constant_.tolist()}

    def _restore_target(self, state: Mapping[str, Any]) -> None:
        self.classes_, self.constant_ = np.asarray(state["classes"]), np.asarray(state["constant_outputs"], np.float64)


def _weights_of_median(levels: tuple[float, ...]) -> NDArray[np.float64] | None:
    """What each quantile counts in the median; None where all are on one side of it.

    >>> [_weights_of_median(levels) for levels in ((0.1, 0.5, 0.9), (0.2, 0.6), (0.9,))]
    [array([0., 1., 0.]), array([0.25, 0.75]), None]
    """
    if not levels[0] <= 0.5 <= levels[-1]:
        return None
    return np.array([np.interp(0.5, levels, one) for one in np.eye(len(levels))])


def _uneven(weight: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Weights; None where all are the same, and plain moments are the same and cheaper."""
    return weight if np.ptp(weight) > 0 else None


def _as_column(target: NDArray[Any]) -> NDArray[Any]:
    try:
        return column_or_1d(target, warn=True)
    except ValueError as error:
        raise DataError(f"y has shape {target.shape}; one class a row was expected, y should be a 1d array.") from error
