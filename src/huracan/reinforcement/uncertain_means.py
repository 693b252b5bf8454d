"""Means over time with their intervals, in basis points, by equal-weighted cosines and by the block bootstrap; p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from huracan.statistics import adjust_p_values, ewc_t_test_pairs
from huracan.statistics.bootstrap import draw_means, optimal_block_length
from huracan.statistics.loss_table import check_level

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


def bootstrapped_over_time(
    series: Mapping[str, Floats], confidence: float, resamples: int, seed: int
) -> dict[str, dict[str, float]]:
    """Ends of the stationary block bootstrap's interval of each mean, in basis points; a point where nothing varies.

    All series are resampled at the same times, in blocks as long as the one with the longest memory asks for: drawing blocks
    is what takes the time, and it is done once.
    """
    check_level((1.0 - confidence) / 2.0, resamples, what="(1 - confidence) / 2")
    found = {name: _ends(path[0], path[0]) for name, path in series.items()}
    moving = [name for name, path in series.items() if np.ptp(path) > 0.0]
    if not moving:
        return found
    paths = np.stack([series[name] for name in moving])
    rows = max(1.0, float(optimal_block_length(paths).stationary.max()))
    drawn = draw_means(paths.T, rows, resamples, kind="stationary", seed=seed)
    low, high = np.quantile(drawn, [0.5 - confidence / 2, 0.5 + confidence / 2], axis=0)
    twice = 2.0 * paths.mean(axis=1)
    return found | {name: _ends(*ends) for name, *ends in zip(moving, twice - high, twice - low)}


def _ends(low: float, high: float) -> dict[str, float]:
    return {"bootstrap_low": float(low) * _BASIS_POINTS, "bootstrap_high": float(high) * _BASIS_POINTS}


def adjusted_for_all(p_values: ArrayLike, tried: int) -> Floats:
    """P-values after Holm for all of them, then after Bonferroni for ``tried`` evaluations of the same data.

    >>> adjusted_for_all([0.01, 0.04], 3).round(4).tolist()
    [0.06, 0.12]
    """
    return np.minimum(tried * adjust_p_values(p_values, "holm"), 1.0)
