"""Scorers: what a fitted model says of one row, or of many, by the quickest way that says the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.chunked import standard_output
from huracan.baselines.rules import rule_score
from huracan.baselines.wrapper import TabularLearner
from huracan.ensembles.base import MemberEstimator
from huracan.errors import ArtifactError, DependencyMissing, ModelError
from huracan.models.neural_learner import NeuralLearner
from huracan.registry.exports.checked import TOLERANCE, Export, unit_of
from huracan.registry.exports.emitting import is_agent, window_of
from huracan.registry.exports.sessions import open_session

__all__ = ["NativeScorer", "OnnxScorer", "RuleScorer", "Scorer", "make_scorer", "native_scorer", "probability_of", "signal_of"]

Raw = NDArray[np.float64]


class Scorer(Protocol):
    """What serving asks of a model.

    Attributes
    ----------
    window : bars up to its own that an answer reads. n_outputs : numbers in an answer. engine : "onnx", "native" or "constant".
    reason : why it is not "onnx", else None. reads_regime : whether an answer depends on the row's regime.
    """

    window: int
    n_outputs: int
    engine: str
    reason: str | None
    reads_regime: bool

    def one(self, x: NDArray[np.float32], regime: int = -1) -> Raw:
        """Answer (outputs,) to raw features (d,), or (window, d) where ``window`` is above 1.

        ``regime`` is the code of the row's regime as in ``TrainingSet``, -1 for unknown.
        """

    def many(self, X: NDArray[np.float32], regime: NDArray[np.int64] | None = None) -> Raw:
        """Answers (n, outputs) to (n, d) or (n, window, d), with regime codes (n,)."""


class OnnxScorer:
    """By ONNX Runtime; see :class:`Scorer`."""

    engine = "onnx"
    reason: str | None = None

    def __init__(self, content: bytes) -> None:
        session = open_session(content)
        self._run = session.run
        inputs = {one.name: one.shape for one in session.get_inputs()}
        self.window = int(inputs["x"][1]) if len(inputs["x"]) == 3 else 1
        self.reads_regime = "regime" in inputs
        probe = np.zeros((1, *(int(size) for size in inputs["x"][1:])), np.float32)
        self.n_outputs = self.many(probe).shape[1]

    def one(self, x: NDArray[np.float32], regime: int = -1) -> Raw:
        feed: dict[str, Any] = {"x": x[None]}
        if self.reads_regime:
            feed["regime"] = np.array([regime])
        return self._run(_ANSWER, feed)[0][0].astype(np.float64)

    def many(self, X: NDArray[np.float32], regime: NDArray[np.int64] | None = None) -> Raw:
        feed: dict[str, Any] = {"x": X}
        if self.reads_regime:
            feed["regime"] = np.full(len(X), -1) if regime is None else np.asarray(regime, np.int64)
        return self._run(_ANSWER, feed)[0].astype(np.float64)


_ANSWER = ["y"]


class NativeScorer:
    """By the library that fitted the model, without the checks of its wrapper; see :class:`Scorer`."""

    engine = "native"

    def __init__(self, model: Any, reason: str | None = None) -> None:
        self.reason, self.window = reason, window_of(model)
        self._answer, self.reads_regime = _native_answer(model)
        width = int(getattr(model, "n_features_in_", 0) or getattr(model, "num_feature", lambda: 0)())
        probe = np.zeros((1, width) if self.window == 1 else (1, self.window, width), np.float32)
        self.n_outputs = self.many(probe).shape[1]

    def one(self, x: NDArray[np.float32], regime: int = -1) -> Raw:
        return self.many(x[None], np.array([regime]))[0]

    def many(self, X: NDArray[np.float32], regime: NDArray[np.int64] | None = None) -> Raw:
        codes = np.full(len(X), -1) if regime is None else regime
        return np.asarray(self._answer(X, codes), np.float64).reshape(len(X), -1)


class RuleScorer:
    """A rule of the catalogue: its answer, and behind it its score as the last number; see :class:`Scorer`."""

    engine = "constant"
    reason: str | None = "a rule is computed directly"
    window = 1
    reads_regime = False

    def __init__(self, model: TabularLearner) -> None:
        self._fitted, self._output = model.estimator_, model.spec.output
        self.n_outputs = self.many(np.zeros((1, model.n_features_in_), np.float32)).shape[1]

    def one(self, x: NDArray[np.float32], regime: int = -1) -> Raw:
        return self.many(x[None])[0]

    def many(self, X: NDArray[np.float32], regime: NDArray[np.int64] | None = None) -> Raw:
        said = np.asarray((self._output or standard_output)(self._fitted, X, 1)).reshape(len(X), -1)
        return np.column_stack([said, rule_score(self._fitted, X)])


def native_scorer(model: Any, reason: str | None = None) -> Scorer:
    """The scorer of a model that has no graph, or shall not use it.

    Raises
    ------
    ModelError : it gives no answer a row, as an autoencoder or a generator.
    """
    if isinstance(model, TabularLearner) and model.spec.is_rule:
        return RuleScorer(model)
    return NativeScorer(model, reason)


def make_scorer(model: Any, export: Export | None, onnx: bytes | None) -> Scorer:
    """The quickest scorer that says the same as ``model``.

    Parameters
    ----------
    model : fitted, as loaded from the registry. export : what was found out when it was registered, or None.
    onnx : its graph, or None. The few rows kept with the export are asked about again: a graph that answers otherwise here than
        where it was registered is left aside, and ``reason`` of the scorer says so.

    Examples
    --------
    >>> from huracan.catalogue import build_model
    >>> from huracan.registry.exports import export_checked
    >>> X = np.random.default_rng(0).standard_normal((300, 3)).astype(np.float32)
    >>> model = build_model("ridge").fit(X, X[:, 0])
    >>> export = export_checked(model, X)
    >>> scorer = make_scorer(model, export, export.onnx)
    >>> scorer.engine, bool(abs(scorer.one(X[0])[0] - model._raw(X[:1])[0]) < 1e-6)
    ('onnx', True)
    """
    if export is None or onnx is None or export.engine != "onnx":
        return native_scorer(model, None if export is None else export.reason)
    try:
        scorer = OnnxScorer(onnx)
        if len(export.probe):
            difference = float(np.abs(scorer.many(export.probe) - export.expected).max()) / unit_of(model, export.expected)
            if not difference <= TOLERANCE:
                return native_scorer(model, f"the graph answers otherwise here by {difference:.1e}")
    except (ArtifactError, DependencyMissing) as error:
        return native_scorer(model, str(error))
    return scorer


def signal_of(model: Any) -> Callable[[Raw], float]:
    """From a scorer's answer (outputs,) to the row's ``signal_score``: larger means "up".

    Examples
    --------
    >>> from huracan.catalogue import build_model
    >>> X = np.arange(40.0).reshape(20, 2); up = np.arange(20) % 2
    >>> signal_of(build_model("logistic_regression").fit(X, up))(np.array([0.25, 0.75]))
    0.25
    """
    if is_agent(model):
        raise ModelError("an agent says what each action is worth, and a signal is one number; a forecast was expected.")
    if isinstance(model, TabularLearner) and model.spec.is_rule:
        return lambda raw: float(raw[-1])
    if hasattr(model, "predict_proba"):
        if len(model.classes_) == 2:
            return lambda raw: float(raw[1]) - 0.5
        return lambda raw: float(raw[-1] - raw[0])
    if hasattr(model, "decision_function"):
        return lambda raw: float(raw[0]) if len(raw) == 1 else float(raw[-1] - raw[0])
    if isinstance(model, NeuralLearner):
        return _network_forecast(model)
    if hasattr(model, "target_scale_"):
        scale, center = float(model.target_scale_), float(model.target_center_)
        return lambda raw: float(raw[0]) * scale + center
    return lambda raw: float(raw[0])


def probability_of(model: Any) -> Callable[[Raw], float] | None:
    """From a scorer's answer to the probability of the highest class; None for a model without probabilities.

    >>> from huracan.catalogue import build_model
    >>> X = np.arange(40.0).reshape(20, 2)
    >>> probability_of(build_model("ridge").fit(X, X[:, 0])) is None
    True
    """
    if not hasattr(model, "predict_proba"):
        return None
    place = len(model.classes_) - 1
    return lambda raw: float(raw[place])


def _network_forecast(model: Any) -> Callable[[Raw], float]:
    scale, center = float(model.target_scales_[0]), float(model.target_centers_[0])
    if model.n_outputs_ > 1:
        raise ArtifactError(f"{model.spec.name} forecasts {model.n_outputs_} values a row, and a signal is one.")
    if model._quantiles() is None:
        return lambda raw: float(raw[0]) * scale + center
    return lambda raw: float(model._median(raw[None])[0, 0]) * scale + center


def _native_answer(model: Any) -> tuple[Callable[[NDArray[np.float32], NDArray[np.int64]], Any], bool]:
    """A function of rows and regime codes, and whether it reads the latter."""
    if isinstance(model, NeuralLearner):
        return _of_network(model), False
    if isinstance(model, TabularLearner):
        return _of_learner(model), False
    if isinstance(model, MemberEstimator):
        from huracan.registry.exports.native_composites import composite_answer

        return composite_answer(model)
    if is_agent(model):
        return lambda X, _: model.predict(X, np.ones(len(model.layout_.action_names), bool))[1], False
    if callable(card := getattr(model, "model_info", None)):
        info = card()
        raise ModelError(f"{info.name} does {info.task}; a model that forecasts or classifies rows was expected.")
    if hasattr(model, "fit"):
        return lambda X, _: standard_output(model, X, 1), False
    return _of_booster(model), False


def _of_learner(model: TabularLearner) -> Callable[[NDArray[np.float32], NDArray[np.int64]], Any]:
    from threadpoolctl import ThreadpoolController

    output, inner, scaler = model.spec.output or standard_output, model.estimator_, model.scaler_
    one_thread = ThreadpoolController().limit  # looking for the libraries is what takes milliseconds, and is done once

    def answer(X: NDArray[np.float32], _: NDArray[np.int64]) -> Any:
        with one_thread(limits=1, user_api="blas"):
            return output(inner, X if scaler is None else scaler(X), 1)

    return answer


def _of_network(model: NeuralLearner) -> Callable[[NDArray[np.float32], NDArray[np.int64]], Any]:
    import torch

    from huracan.models.torch_use import torch_threads

    network, scaler, constant, window = model.estimator_, model.scaler_, model.constant_, window_of(model)

    def answer(X: NDArray[np.float32], _: NDArray[np.int64]) -> Any:
        rows = X if scaler is None else scaler(X.reshape(-1, X.shape[-1]))
        windows = torch.from_numpy(np.ascontiguousarray(rows.reshape(len(X), window, -1)))
        with torch.inference_mode(), torch_threads(1):
            return model._link(network(windows).double().numpy() + constant)

    return answer


def _of_booster(booster: Any) -> Callable[[NDArray[np.float32], NDArray[np.int64]], Any]:
    from huracan.models.boosting import _lightgbm_output, _xgboost_output

    output = _xgboost_output if hasattr(booster, "inplace_predict") else _lightgbm_output
    return lambda X, _: output(booster, X, 1)
