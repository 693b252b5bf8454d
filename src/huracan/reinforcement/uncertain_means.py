"""Means over time with their intervals, in basis points, by equal-weighted cosines and by the block bootstrap; p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from huracan.statistics import adjust_p_values, block_bootstrap, ewc_t_test_pairs

__all__ = ["adjusted_for_all", "bootstrapped_over_time", "tested_over_time"]

Floats = NDArray[np.float64]
_BASIS_POINTS = 10_000.0


def tested_over_time(series: Mapping[str, Floats], pairs: Sequence[tuple[str, str | None]], confidence: float) -> pl.DataFrame:
    """``[mean, low, high, p_value]`` of each difference over time, in basis points; None is no return at all."""
    names = list(series)
    rows = np.stack([*series.values(), np.zeros(len(next(iter(series.values()))))])
    chosen = [(names.index(a), len(names) if b is None else names.index(b)) for a, b in pairs]
    _, test = ewc_t_test_pairs(rows, pairs=np.array(chosen), confidence=confidence, names=[*names, "no return"])
    return pl.DataFrame(
        {
            "mean": test.mean * _BASIS_POINTS,
            "low": test.ci_low * _BASIS_POINTS,
            "high": test.ci_high * _BASIS_POINTS,
            "p_value": test.p_value,
        }
    )


def bootstrapped_over_time(series: Floats, confidence: float, resamples: int, seed: int) -> dict[str, float]:
    """Ends of the stationary block bootstrap's interval of a mean, in basis points; a point where nothing varies."""
    if np.ptp(series) == 0.0:
        return {"bootstrap_low": float(series[0]) * _BASIS_POINTS, "bootstrap_high": float(series[0]) * _BASIS_POINTS}
    found = block_bootstrap(series, confidence=confidence, resamples=resamples, seed=seed)
    return {"bootstrap_low": found.ci_low * _BASIS_POINTS, "bootstrap_high": found.ci_high * _BASIS_POINTS}


def adjusted_for_all(p_values: ArrayLike, tried: int) -> Floats:
    """P-values after Holm for all of them, then after Bonferroni for ``tried`` evaluations of the same data.

    >>> adjusted_for_all([0.01, 0.04], 3).round(4).tolist()
    [0.06, 0.12]
    """
    return np.minimum(tried * adjust_p_values(p_values, "holm"), 1.0)
