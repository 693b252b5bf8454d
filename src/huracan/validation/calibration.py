"""Whether a probability of 60 % comes true 60 times in a hundred."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from huracan.errors import DataError
from huracan.validation.metrics import _outcome_and_probability

__all__ = ["Calibration", "calibration_table"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Result of :func:`calibration_table`, one entry for each bin that holds rows.

    ``ci_low`` and ``ci_high`` are Wilson intervals of the observed share; they take rows as independent and are too
    narrow for overlapping labels. ``expected_calibration_error`` is the mean distance, weighted by rows.
    """

    bin_low: NDArray[np.float64]
    bin_high: NDArray[np.float64]
    mean_probability: NDArray[np.float64]
    observed: NDArray[np.float64]
    ci_low: NDArray[np.float64]
    ci_high: NDArray[np.float64]
    n: NDArray[np.int64]
    expected_calibration_error: float

    def to_frame(self) -> pl.DataFrame:
        """The bins as a polars frame, one row each."""
        columns = ("bin_low", "bin_high", "mean_probability", "observed", "ci_low", "ci_high", "n")
        return pl.DataFrame({name: getattr(self, name) for name in columns})


def calibration_table(
    probability: ArrayLike,
    outcome: ArrayLike,
    n_bins: int = 10,
    *,
    strategy: Literal["quantile", "uniform"] = "quantile",
    confidence: float = 0.95,
) -> Calibration:
    """Compare predicted probabilities with how often they came true.

    Parameters
    ----------
    probability : (n,) between 0 and 1. outcome : (n,) of 0 and 1.
    n_bins : at most so many bins; equal probabilities are never parted.
    strategy : "quantile" for bins of equally many rows (weak signals huddle around one half), "uniform" for equal widths.
    confidence : level of the Wilson intervals.

    References
    ----------
    Wilson (1927), JASA 22; Naeini, Cooper and Hauskrecht (2015), AAAI (expected calibration error).

    Examples
    --------
    >>> table = calibration_table([0.2, 0.2, 0.8, 0.8], [0, 0, 1, 0], n_bins=2)
    >>> table.observed.tolist(), round(table.expected_calibration_error, 3)
    ([0.0, 0.5], 0.25)
    """
    y, p = _outcome_and_probability(outcome, probability)
    if n_bins < 1:
        raise DataError(f"n_bins is {n_bins}; at least 1 was expected.")
    if strategy not in ("quantile", "uniform"):
        raise DataError(f"strategy is '{strategy}'; 'quantile' or 'uniform' was expected.")
    share = np.linspace(0.0, 1.0, n_bins + 1)
    edge = np.unique(np.quantile(p, share)) if strategy == "quantile" else share
    if len(edge) == 1:
        edge = np.repeat(edge, 2)
    code = np.clip(np.searchsorted(edge[1:-1], p, side="right"), 0, len(edge) - 2)
    count = np.bincount(code, minlength=len(edge) - 1)
    filled = count > 0
    n = count[filled]
    mean_probability = np.bincount(code, p, len(edge) - 1)[filled] / n
    observed = np.bincount(code, y, len(edge) - 1)[filled] / n
    low, high = wilson_interval(observed, n, confidence)
    return Calibration(
        bin_low=edge[:-1][filled],
        bin_high=edge[1:][filled],
        mean_probability=mean_probability,
        observed=observed,
        ci_low=low,
        ci_high=high,
        n=n,
        expected_calibration_error=float(np.sum(n * np.abs(observed - mean_probability)) / len(p)),
    )


def wilson_interval(
    share: NDArray[np.float64], n: NDArray[np.int64], confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's interval for an observed share of ``n`` independent trials.

    Examples
    --------
    >>> low, high = wilson_interval(np.array([0.5]), np.array([100]))
    >>> round(float(low[0]), 4), round(float(high[0]), 4)
    (0.4038, 0.5962)
    """
    z = float(ndtri(0.5 + confidence / 2))
    scale = 1.0 / (1.0 + z**2 / n)
    middle = (share + z**2 / (2 * n)) * scale
    half = z * scale * np.sqrt(share * (1.0 - share) / n + z**2 / (4.0 * n**2))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
