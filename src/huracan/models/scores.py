"""What a fitted model says of rows, as one number each: the same question to every learner, those that look back too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ModelError

if TYPE_CHECKING:
    from huracan.dataset import TrainingSet

__all__ = ["feature_importance", "predict_span", "score_rows", "score_span", "signal_score", "up_probability"]


def signal_score(model: Any, X: Any) -> NDArray[np.float64]:
    """One number a row, larger meaning "up": the learner's own scale, comparable only with itself.

    A regressor's forecast, of quantiles the middle one; a classifier's probability of up minus one half (with three and more
    classes the probability of the highest class minus that of the lowest); where there is no probability, the margin. The
    rules score 0 (majority), 1 (buy and hold) and the last return (last value).

    Parameters
    ----------
    model : a fitted model of this catalogue, or any fitted scikit-learn regressor or classifier.
    X : matrix, frame or ``TrainingSet`` of n rows; models that look back need the latter, with the rows before.

    Returns
    -------
    float64 (n,), finite.

    Raises
    ------
    ModelError : the model forecasts several values a row, none of which is "up" for all.

    See Also
    --------
    score_span, score_rows : scores of a span of rows, or of some rows, by a model that may look further back.
    predict_span : all that a model says of a span: several outputs, quantiles, probabilities.
    """
    from huracan.baselines.wrapper import TabularLearner

    if isinstance(model, TabularLearner) and model.spec.is_rule:
        return model.rule_score(X)
    if hasattr(model, "predict_proba"):
        probability = np.asarray(model.predict_proba(X), dtype=np.float64)
        return probability[:, 1] - 0.5 if probability.shape[1] == 2 else probability[:, -1] - probability[:, 0]
    if hasattr(model, "decision_function"):
        margin = np.asarray(model.decision_function(X), dtype=np.float64)
        return margin if margin.ndim == 1 else margin[:, -1] - margin[:, 0]
    forecast = np.asarray(model.predict(X), dtype=np.float64)
    if forecast.ndim > 1 and forecast.shape[1:] != (1,):
        several = " x ".join(map(str, forecast.shape[1:]))
        raise ModelError(
            f"the model forecasts {several} values a row, and a score is one; predict_span(model, rows, span) gives them all."
        )
    return forecast.reshape(-1)


def score_span(model: Any, rows: TrainingSet, span: slice) -> NDArray[np.float64]:
    """:func:`signal_score` of a span of ``rows``, by a model that may look at the bars before it.

    >>> from huracan.catalogue import build_model
    >>> from huracan.dataset import TrainingSet
    >>> rng = np.random.default_rng(0)
    >>> rows = TrainingSet.from_arrays(rng.standard_normal((300, 2)), rng.standard_normal(300))
    >>> model = build_model("linear_network", window=8, max_epochs=1).fit(rows.take(slice(0, 200)))
    >>> np.allclose(score_span(model, rows, slice(200, 300)), signal_score(model, rows)[200:], atol=1e-7)
    True
    """
    behind, earlier = rows.with_history(span, getattr(model, "history_bars", 0))
    return signal_score(model, behind)[earlier:]


def predict_span(
    model: Any,
    rows: TrainingSet,
    span: slice,
    *,
    method: Literal["predict", "predict_quantiles", "predict_proba", "decision_function"] = "predict",
) -> NDArray[Any]:
    """What a model says of a span of ``rows``, such as the newest, looking at the bars before it where it looks back.

    Parameters
    ----------
    model : as in :func:`signal_score`. rows : those of the span and before; they need no labels. span : row numbers.
    method : of the model, asked about each row.

    Returns
    -------
    (rows of the span, ...) as ``method`` gives it: (n,), (n, outputs), (n, quantiles), (n, classes).

    Raises
    ------
    ModelError : the model has no such method, as one of regression has no ``predict_proba``.

    Examples
    --------
    >>> from huracan.catalogue import build_model
    >>> from huracan.dataset import TrainingSet
    >>> rng = np.random.default_rng(0)
    >>> rows = TrainingSet.from_arrays(rng.standard_normal((300, 2)), rng.standard_normal(300))
    >>> model = build_model("linear_network", window=8, max_epochs=1, quantiles=(0.05, 0.5, 0.95)).fit(rows)
    >>> newest = predict_span(model, rows, slice(-1, None), method="predict_quantiles")
    >>> newest.shape, bool(np.all(np.diff(newest) >= 0))
    ((1, 3), True)
    """
    ask = getattr(model, method, None)
    if not callable(ask):
        raise ModelError(f"method is '{method}', which {_name_of(model)} does not have; another one, or model, was expected.")
    behind, earlier = rows.with_history(span, getattr(model, "history_bars", 0))
    return np.asarray(ask(behind))[earlier:]


def _name_of(model: Any) -> str:
    spec = getattr(model, "spec", None)
    return type(model).__name__ if spec is None else f"{spec.name} as it was built"


def score_rows(model: Any, rows: TrainingSet, which: NDArray[np.integer]) -> NDArray[np.float64]:
    """:func:`signal_score` of the rows of these numbers, by a model that may look at any bars before them.

    A network computes the windows that are asked for, and no others.

    >>> from huracan.catalogue import build_model
    >>> from huracan.dataset import TrainingSet
    >>> rng = np.random.default_rng(0)
    >>> rows = TrainingSet.from_arrays(rng.standard_normal((300, 2)), rng.standard_normal(300))
    >>> model = build_model("linear_network", window=8, max_epochs=1).fit(rows)
    >>> some = np.array([9, 70, 299])
    >>> np.allclose(score_rows(model, rows, some), signal_score(model, rows)[some], atol=1e-7)
    True
    """
    from huracan.models.neural_learner import NeuralLearner
    from huracan.models.windowed_rows import AskedRows

    if not getattr(model, "history_bars", 0):
        return signal_score(model, rows.take(which))
    if isinstance(model, NeuralLearner):
        return signal_score(model, AskedRows(rows, which))
    return signal_score(model, rows)[which]


def up_probability(model: Any, X: Any) -> NDArray[np.float64] | None:
    """Probability of the highest class (n,), or None for a model without probabilities."""
    if not hasattr(model, "predict_proba"):
        return None
    return np.asarray(model.predict_proba(X), dtype=np.float64)[:, -1]


def feature_importance(model: Any) -> dict[str, float] | None:
    """Feature -> importance as the fitted learner itself sees it, summing to 1; None where it has no such notion.

    Trees count impurity decrease, boosters gain, linear learners absolute coefficients of standardised inputs.
    """
    own = getattr(model, "feature_importance", None)
    return own() if callable(own) else None
