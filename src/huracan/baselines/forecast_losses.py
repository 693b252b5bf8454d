"""What a forecast loses on each row: the losses that models are compared by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.baselines.aligned_losses import plain_array, told_columns
from huracan.errors import DataError, nearest_name

__all__ = ["LOSSES", "forecast_losses"]

Floats = NDArray[np.float64]
Loss = Callable[[Any, Any], Any]


def forecast_losses(y_true: ArrayLike, predictions: Mapping[str, ArrayLike] | Any, loss: str | Loss) -> dict[str, Floats]:
    """Loss of every model on every row.

    Parameters
    ----------
    y_true : (n,) outcomes; 0 or 1 for "brier" and "log_loss", any labels for "zero_one".
    predictions : model -> (n,) forecasts, or a frame with a column for each model; the probability of 1 for "brier" and
        "log_loss". Pandas series with an index are put in the order of that of ``y_true``.
    loss : a name of :data:`LOSSES`, or a function of outcomes and forecasts (n,) that gives (n,) losses, smaller is better.

    Raises
    ------
    DataError : lengths differ, outcomes or probabilities out of bounds, or a loss that is infinite (model and row are named).
    UnknownName : no loss of that name.

    Examples
    --------
    >>> {name: found.tolist() for name, found in forecast_losses([1.0, 3.0], {"flat": [2.0, 2.0]}, "absolute_error").items()}
    {'flat': [1.0, 1.0]}
    """
    if not callable(loss) and loss not in LOSSES:
        raise nearest_name(loss, LOSSES, kind="loss")
    function = loss if callable(loss) else LOSSES[loss]
    columns, _, _ = told_columns(predictions, "predictions")
    y = plain_array(y_true)
    _refuse_missing(y, "the outcome", labels=loss == "zero_one")
    found = {}
    for name, told in columns.items():
        forecast = plain_array(_in_order_of(y_true, told, name))
        if forecast.shape != y.shape:
            raise DataError(
                f"'{name}' has forecasts of shape {forecast.shape}, outcomes have {y.shape}; equal ones were expected."
            )
        _refuse_missing(forecast, f"the forecast of '{name}'", labels=loss == "zero_one")
        if loss in ("brier", "log_loss"):
            _refuse_no_probability(y, forecast, name)
        with np.errstate(divide="ignore"):
            losses = np.asarray(function(y, forecast), dtype=np.float64)
        if losses.shape != y.shape:
            raise DataError(f"the loss gives shape {losses.shape} for {len(y)} rows; one number a row was expected.")
        if not np.isfinite(losses).all():
            row = int(np.argmin(np.isfinite(losses)))
            raise DataError(
                f"the loss of '{name}' is {losses[row]} in row {row}, where it said {forecast[row]} and {y[row]} came; keep "
                "probabilities away from 0 and 1, or take a loss that is finite there."
            )
        found[name] = losses
    return found


def _in_order_of(y_true: Any, forecast: Any, name: str) -> Any:
    """Forecasts in the order of the outcomes, where a pandas index says which belong together."""
    if type(y_true).__name__ != "Series" or type(forecast).__name__ != "Series":
        return forecast
    index, theirs = getattr(y_true, "index", None), getattr(forecast, "index", None)
    if index is None or theirs is None or index.equals(theirs):
        return forecast
    if not (index.is_unique and theirs.is_unique and len(index) == len(theirs) and index.isin(theirs).all()):
        raise DataError(
            f"the index of '{name}' is another than that of the outcomes; forecasts of the same rows were expected."
        )
    return forecast.reindex(index)


def _refuse_missing(values: NDArray[Any], who: str, *, labels: bool) -> None:
    if not labels and values.dtype.kind not in "biuf":
        raise DataError(f"{who} is {values.flat[0]!r} in row 0, of type {values.dtype}; numbers were expected.")
    missing = ~np.isfinite(values) if values.dtype.kind == "f" else np.array([one is None or one != one for one in values])
    if missing.any():
        row = int(np.argmax(missing))
        raise DataError(f"{who} is {values[row]} in row {row}; a value in every row was expected.")


def _refuse_no_probability(y: NDArray[Any], forecast: NDArray[Any], name: str) -> None:
    wrong = ~np.isin(y, (0, 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"the outcome is {y[row]} in row {row}; 0 or 1 was expected.")
    wrong = ~((forecast >= 0) & (forecast <= 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"the forecast of '{name}' is {forecast[row]} in row {row}; a probability from 0 to 1 was expected.")


def _squared(y: Any, forecast: Any) -> Any:
    return (y - forecast) ** 2


LOSSES: Mapping[str, Loss] = {
    "squared_error": _squared,
    "absolute_error": lambda y, forecast: np.abs(y - forecast),
    "zero_one": lambda y, forecast: (y != forecast).astype(np.float64),
    "brier": _squared,
    "log_loss": lambda y, forecast: -np.where(y == 1, np.log(forecast), np.log1p(-np.asarray(forecast, dtype=np.float64))),
}
"""Name -> loss of outcomes and forecasts."""
