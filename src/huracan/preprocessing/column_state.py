"""What is learned about one column of the fit window, and what it does to values afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["ColumnState", "Imputation", "Outliers", "Scaling", "learn_column"]

Imputation = Literal["median", "forward_fill", "constant"]
Outliers = Literal["quantile", "mad", "none"]
Scaling = Literal["standard", "robust", "none"]

_NORMAL_MAD = 1.482602218505602  # 1 / norm.ppf(.75): makes the median absolute deviation a standard deviation
_NORMAL_IQR = 1.3489795003921634  # 2 * norm.ppf(.75), the interquartile range of a standard normal


@dataclass(frozen=True)
class ColumnState:
    """Fitted numbers of one column: missing values become ``fill``; values are limited to ``[low, high]``, then
    ``(x - center) / scale``."""

    fill: float
    low: float | None
    high: float | None
    center: float
    scale: float
    note: str | None = None

    def apply(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], int, int]:
        """Limit and scale values without NaN; also how many were limited from below and from above."""
        below = above = 0
        if self.low is not None and self.high is not None:
            below, above = int((x < self.low).sum()), int((x > self.high).sum())
            if below or above:
                x = np.clip(x, self.low, self.high)
        return (x - self.center) / self.scale, below, above


def learn_column(
    x: NDArray[np.float64],
    *,
    imputation: Imputation,
    fill_value: float,
    outliers: Outliers,
    quantiles: tuple[float, float],
    mad_width: float,
    scaling: Scaling,
) -> ColumnState:
    """Learn from the observed values of one column; ``x`` may hold NaN.

    >>> state = learn_column(np.array([1.0, 2.0, 3.0, np.nan]), imputation="median", fill_value=0.0, outliers="none",
    ...                      quantiles=(0.001, 0.999), mad_width=10.0, scaling="standard")
    >>> state.fill, state.center, round(state.scale, 4)
    (2.0, 2.0, 0.8165)
    """
    seen = x[~np.isnan(x)]
    if not len(seen):
        return ColumnState(fill_value, None, None, 0.0, 1.0, f"missing throughout the fit window: filled with {fill_value:g}")
    median = float(np.median(seen))
    low, high, note = _limits(seen, median, outliers, quantiles, mad_width)
    kept = seen if low is None else np.clip(seen, low, high)
    fill = fill_value if imputation == "constant" else median
    if scaling == "none":
        return ColumnState(fill, low, high, 0.0, 1.0, note)
    center = float(kept.mean()) if scaling == "standard" else median
    scale = _scale(kept, scaling)
    negligible = 10.0 * np.finfo(np.float64).eps * max(abs(float(kept.min())), abs(float(kept.max())))
    if scaling == "robust" and scale <= negligible:
        scale = float(kept.std())
        note = note or "half of its values are equal: scaled by the standard deviation instead of the quartiles"
    if scale <= negligible:
        return ColumnState(fill, low, high, center, 1.0, "constant in the fit window: centred, not scaled")
    return ColumnState(fill, low, high, center, scale, note)


def _limits(
    seen: NDArray[np.float64], median: float, outliers: Outliers, quantiles: tuple[float, float], mad_width: float
) -> tuple[float | None, float | None, str | None]:
    if outliers == "quantile":
        low, high = np.quantile(seen, quantiles)
        return float(low), float(high), None
    if outliers == "mad":
        spread = _NORMAL_MAD * float(np.median(np.abs(seen - median)))
        if spread == 0.0:
            return None, None, "half of its values are equal: outliers are not limited, for want of a deviation"
        return median - mad_width * spread, median + mad_width * spread, None
    return None, None, None


def _scale(kept: NDArray[np.float64], scaling: Scaling) -> float:
    if scaling == "standard":
        return float(kept.std())
    lower, upper = np.quantile(kept, (0.25, 0.75))
    return float(upper - lower) / _NORMAL_IQR
