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
    ask = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    if window == 1 and not by_regime:
        return lambda X, _: ask(X), False

    def answer(X: NDArray[np.float32], codes: NDArray[np.int64]) -> Any:
        bars = X.reshape(-1, X.shape[-1])
        alone = np.repeat(np.arange(len(X), dtype=np.int32), window)  # no window reaches into another
        rows = TrainingSet.from_arrays(bars, np.zeros(len(bars)))
        regimes = np.repeat(codes, window).astype(np.int8)
        rows = replace(rows, feature_names=model.feature_names_, segment=alone, regime_code=regimes)
        return ask(rows)[window - 1 :: window]

    return answer, by_regime
