"""Ensembles and stackers by their own methods, where there is no graph for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.dataset import TrainingSet
from huracan.ensembles.weighting import RegimeWeights
from huracan.registry.exports.emitting import window_of

__all__ = ["composite_answer"]


def composite_answer(model: Any) -> tuple[Callable[[NDArray[np.float32], NDArray[np.int64]], Any], bool]:
    """A function of rows (n, d) or windows (n, window, d) and regime codes (n,), and whether it reads the latter."""
    by_regime, window = isinstance(getattr(model, "weights_", None), RegimeWeights), window_of(model)

    def ask(series: NDArray[np.float32], codes: NDArray[np.int64]) -> Any:
        given: Any = series
        if by_regime:
            plain = TrainingSet.from_arrays(series, np.zeros(len(series)))
            given = replace(plain, feature_names=model.feature_names_, regime_code=codes.astype(np.int8))
        return model.predict_proba(given) if hasattr(model, "predict_proba") else model.predict(given)

    if window == 1:
        return ask, by_regime

    def answer(X: NDArray[np.float32], codes: NDArray[np.int64]) -> Any:
        return np.stack([ask(bars, np.full(window, code))[-1] for bars, code in zip(X, codes)])

    return answer, by_regime
