"""What is learned about one column of the fit window, and what it does to values afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from huracan.errors import FeatureError
from huracan.preprocessing.cleaning.trailing_filters import NORMAL_MAD, hampel_limits

__all__ = ["ChangedColumn", "ColumnState", "Imputation", "Outliers", "Scaling", "forward_filled", "learn_column"]

Imputation = Literal["median", "forward_fill", "constant"]
Outliers = Literal["quantile", "mad", "rolling", "none"]
Scaling = Literal["standard", "robust", "none"]

_NORMAL_IQR = 1.3489795003921634  # 2 * norm.ppf(.75), the interquartile range of a standard normal


@dataclass(frozen=True)
class Runs:
    """Unbroken runs of one symbol and segment; ``starts`` gives each row the first row of its run."""

    starts: NDArray[np.int64]

    def bounds(self) -> list[tuple[int, int]]:
        """First row and end of every run."""
        first = np.unique(self.starts)
        return list(zip(first.tolist(), [*first[1:].tolist(), len(self.starts)]))


@dataclass(frozen=True)
class ChangedColumn:
    """One column after preparation, and how many values were filled, and limited from below and above."""

    values: NDArray[np.float64]
    imputed: int
    below: int
    above: int


@dataclass(frozen=True)
class ColumnState:
    """Fitted numbers of one column: values are limited to ``[low, high]``, missing ones become ``fill``, and all
    ``(x - center) / scale``.

    ``dead`` says that the column holds nothing to learn from: constant, or missing throughout the fit window.
    """

    fill: float
    low: float | None
    high: float | None
    center: float
    scale: float
    note: str | None = None
    dead: bool = False

    def apply(
        self,
        given: NDArray[np.floating],
        *,
        runs: Runs | None = None,
        carry: int | None = None,
        rolling: tuple[int, float] | None = None,
        waiting: NDArray[np.int64] | None = None,
        buffer: NDArray[np.float64] | None = None,
    ) -> ChangedColumn:
        """Limit, fill and scale one column in one float64 buffer, the result being that buffer where one is given.

        Parameters
        ----------
        given : values with NaN where missing; not written to. runs : needed for ``carry`` and ``rolling``.
        carry : forward fill at most so many rows (None: fill with ``fill`` at once). rolling : window and width of
            Hampel's limits, which take the place of ``low`` and ``high`` as soon as the window is full.
        waiting : rows whose value is missing and stays so.

        Raises
        ------
        FeatureError : a value is infinite.
        """
        x = np.empty(len(given)) if buffer is None else buffer
        x[:] = given
        missing = np.isnan(x) if len(x) and np.isnan(x.min()) else None
        if missing is not None and rolling is None:
            np.copyto(x, self._inside(self.fill), where=missing)
        self._require_finite(x)
        if rolling is not None and runs is not None:
            below, above = self._limit_by_run(x, runs, *rolling)
        else:
            below, above = self._limit(x)
        imputed = 0
        if missing is not None:
            imputed = int(np.count_nonzero(missing))
            if carry is not None and runs is not None:
                x = forward_filled(x, missing, self.fill, runs.starts, carry)
            elif rolling is not None or self._inside(self.fill) != self.fill:
                np.copyto(x, self.fill, where=missing)
        if self.center != 0.0:
            x -= self.center
        if self.scale != 1.0:
            x /= self.scale
        if waiting is not None:
            x[waiting] = np.nan
            imputed -= len(waiting)
        return ChangedColumn(x, imputed, below, above)

    def _inside(self, value: float) -> float:
        return value if self.low is None or self.high is None else min(max(value, self.low), self.high)

    @staticmethod
    def _require_finite(x: NDArray[np.float64]) -> None:
        if len(x) and not (np.isfinite(x.min()) and np.isfinite(x.max())) and np.isinf(x).any():
            row = int(np.argmax(np.isinf(x)))
            raise FeatureError(f"{x[row]} in row {row}; a finite or missing value was expected.")

    def _limit(self, x: NDArray[np.float64]) -> tuple[int, int]:
        """Limit in place; a column whose extremes are inside is only looked at."""
        below = above = 0
        if self.low is not None and self.high is not None and len(x):
            if x.min() < self.low:
                below = int(np.count_nonzero(x < self.low))
                np.maximum(x, self.low, out=x)
            if x.max() > self.high:
                above = int(np.count_nonzero(x > self.high))
                np.minimum(x, self.high, out=x)
        return below, above

    def _limit_by_run(self, x: NDArray[np.float64], runs: Runs, window: int, width: float) -> tuple[int, int]:
        below = above = 0
        for start, stop in runs.bounds():
            part = x[start:stop]
            limits = hampel_limits(part, window, width)
            low = np.where(limits.judged, limits.lower, np.nan if self.low is None else self.low)
            high = np.where(limits.judged, limits.upper, np.nan if self.high is None else self.high)
            with np.errstate(invalid="ignore"):
                under, over = part < low, part > high
            part[under], part[over] = low[under], high[over]
            below, above = below + int(under.sum()), above + int(over.sum())
        return below, above


def learn_column(
    x: NDArray[np.floating],
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
    seen = x[~np.isnan(x)].astype(np.float64)
    if not len(seen):
        gone = f"missing throughout the fit window: filled with {fill_value:g}"
        return ColumnState(fill_value, None, None, 0.0, 1.0, gone, dead=True)
    infinite = np.isinf(seen)
    if infinite.any():
        row = int(np.argmax(np.isinf(x)))
        raise FeatureError(f"{x[row]} in row {row}; a finite or missing value was expected.")
    median = float(np.median(seen))
    low, high, note = _limits(seen, median, outliers, quantiles, mad_width)
    kept = seen if low is None else np.clip(seen, low, high)
    least, most = float(kept.min()), float(kept.max())
    fill = fill_value if imputation == "constant" else median
    negligible = 10.0 * np.finfo(np.float64).eps * max(abs(least), abs(most))
    constant = "constant in the fit window" + ("" if seen.min() == seen.max() else ", outliers aside")
    if scaling == "none":
        still = bool(most - least <= negligible)
        return ColumnState(fill, low, high, 0.0, 1.0, constant if still else note, dead=still)
    with np.errstate(over="ignore"):
        center = float(kept.mean()) if scaling == "standard" else median
        scale = _scale(kept, scaling)
        if scaling == "robust" and scale <= negligible:
            scale = float(kept.std())
            note = note or "half of its values are equal: scaled by the standard deviation instead of the quartiles"
    if scale <= negligible:
        return ColumnState(fill, low, high, center, 1.0, f"{constant}: centred, not scaled", dead=True)
    if not (np.isfinite(center) and np.isfinite(scale)):
        raise FeatureError(
            f"values from {least:g} to {most:g}, whose mean or deviation overflows; numbers that can be squared were expected."
        )
    return ColumnState(fill, low, high, center, scale, note)


def forward_filled(
    values: NDArray[np.float64], missing: NDArray[np.bool_], fill: float, starts: NDArray[np.int64], carry: int
) -> NDArray[np.float64]:
    """The last value of the run, at most ``carry`` rows old, else ``fill``.

    >>> x = np.array([1.0, np.nan, np.nan, 4.0])
    >>> forward_filled(x, np.isnan(x), 0.0, np.zeros(4, int), 1)
    array([1., 1., 0., 4.])
    """
    row = np.arange(len(values))
    last = np.maximum.accumulate(np.where(missing, -1, row))
    known = (last >= starts) & (row - last <= carry)
    return np.where(known, values[np.maximum(last, 0)], fill)


def _limits(
    seen: NDArray[np.float64], median: float, outliers: Outliers, quantiles: tuple[float, float], mad_width: float
) -> tuple[float | None, float | None, str | None]:
    if outliers == "quantile":
        low, high = np.quantile(seen, quantiles)
        return float(low), float(high), None
    if outliers in ("mad", "rolling"):
        spread = NORMAL_MAD * float(np.median(np.abs(seen - median)))
        if spread == 0.0:
            return None, None, "half of its values are equal: outliers are not limited, for want of a deviation"
        return median - mad_width * spread, median + mad_width * spread, None
    return None, None, None


def _scale(kept: NDArray[np.float64], scaling: Scaling) -> float:
    if scaling == "standard":
        return float(kept.std())
    lower, upper = np.quantile(kept, (0.25, 0.75))
    return float(upper - lower) / _NORMAL_IQR
