"""Decompositions for looking at data: each value is smoothed with later ones too, so none of it is a feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from scipy.linalg import solveh_banded

from huracan.errors import DataError, NotEnoughData, nearest_name
from huracan.preprocessing.decomposition import hodrick_prescott_smoothing
from huracan.preprocessing.rolling import Array

__all__ = ["DecompositionView", "decompose_for_viewing"]

Method = Literal["stl", "hodrick_prescott"]
_METHODS = ("stl", "hodrick_prescott")


@dataclass(frozen=True)
class DecompositionView:
    """Trend, season and remainder as seen afterwards. ``causal`` is False: a row knows what came later.

    Attributes
    ----------
    frame : ``[ts (where given), observed, two_sided_trend, two_sided_seasonal, two_sided_remainder]``, Float64; the last
        three add up to the first. The names say what they are, wherever they are copied to.
    method, period : what was asked for.
    """

    frame: pl.DataFrame
    method: str
    period: int
    causal: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"two-sided {self.method} of {self.frame.height} rows, period {self.period}: for viewing, not for features"


def decompose_for_viewing(series: Any, method: Method = "stl", *, period: int, ts: Any = None) -> DecompositionView:
    """Split a series into trend, season and remainder, to look at; refused as a feature, since every value knows later ones.

    Parameters
    ----------
    series : shape (n,), finite: a polars or pandas series, or an array.
    method : ``"stl"`` (seasonal and trend by local regression, robust), or ``"hodrick_prescott"``, the
        two-sided filter, which has no season (0).
    period : rows of one season for STL, at least 2 seasons of them; the shortest cycle in the Hodrick-Prescott trend.
    ts : times to put beside the values.

    Raises
    ------
    UnknownName : no such method. DataError : a value that is not finite, a period below 3.
    NotEnoughData : under two periods for STL.

    References
    ----------
    Cleveland, Cleveland, McRae & Terpenning, "STL", Journal of Official Statistics 6 (1990). Hodrick & Prescott (1997).

    Examples
    --------
    >>> view = decompose_for_viewing(np.arange(40.0), "hodrick_prescott", period=12)
    >>> view.causal, view.frame.columns[1:]
    (False, ['two_sided_trend', 'two_sided_seasonal', 'two_sided_remainder'])
    >>> print(view)
    two-sided hodrick_prescott of 40 rows, period 12: for viewing, not for features
    """
    if method not in _METHODS:
        raise nearest_name(str(method), _METHODS, kind="decomposition for viewing")
    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 1:
        raise DataError(f"an array of shape {values.shape} was given; one series of shape (n,) was expected.")
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise DataError(f"value {values[row]} in row {row}; finite numbers were expected.")
    if isinstance(period, bool) or not isinstance(period, int | np.integer) or period < 3:
        raise DataError(f"period is {period!r}; a whole number of rows from 3 was expected.")
    needed = 2 * period if method == "stl" else 3
    if len(values) < needed:
        raise NotEnoughData(f"{len(values)} values were given; {method} with period {period} needs at least {needed}.")
    trend, seasonal = _stl(values, int(period)) if method == "stl" else (_two_sided(values, period), np.zeros(len(values)))
    columns = {
        "observed": values,
        "two_sided_trend": trend,
        "two_sided_seasonal": seasonal,
        "two_sided_remainder": values - trend - seasonal,
    }
    frame = pl.DataFrame(columns)
    if ts is not None:
        times = pl.Series("ts", ts)
        if len(times) != len(values):
            raise DataError(f"{len(times)} times were given for {len(values)} values; one a value was expected.")
        frame = frame.insert_column(0, times)
    return DecompositionView(frame, method, int(period))


def _stl(values: Array, period: int) -> tuple[Array, Array]:
    from statsmodels.tsa.seasonal import STL

    fitted = STL(values, period=period, robust=True).fit()
    return np.asarray(fitted.trend), np.asarray(fitted.seasonal)


def _two_sided(values: Array, period: float) -> Array:
    """Solve ``(I + lambda D'D) trend = values``, D taking second differences: five diagonals."""
    n, smoothing = len(values), hodrick_prescott_smoothing(period)
    upper = np.zeros((3, n))
    for row, weight in enumerate((1.0, -2.0, 1.0)):
        for column, other in enumerate((1.0, -2.0, 1.0)[: row + 1]):
            upper[2 - (row - column), row : n - 2 + row] += smoothing * weight * other
    upper[2] += 1.0
    trend: Array = solveh_banded(upper, values)
    return trend
