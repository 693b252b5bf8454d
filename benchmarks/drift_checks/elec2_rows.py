"""Elec2 as a task: what is known when a half-hour is forecast, with labels at once or 48 rows late."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["DAY", "FIRST", "Elec2", "as_task"]

DAY, FIRST = 48, 1_000
"""Half-hours of a day, and the first row that is forecast."""

_KNOWN_AT_ONCE = ("day", "period", "nswdemand", "vicprice", "vicdemand", "transfer")
_LAGS = {1: (1, 2, 3, DAY, 7 * DAY), DAY: (DAY, DAY + 1, 2 * DAY, 7 * DAY)}


@dataclass(frozen=True)
class Elec2:
    """Rows in time order.

    Attributes
    ----------
    X : (n, features), NaN where a lag reaches before the first row. y : (n,) 1 where the price is above its mean of a day.
    late : the label and the price of row t are known when row ``t + late`` is forecast.
    """

    X: NDArray[np.float64]
    y: NDArray[np.int8]
    late: int

    def known(self, row: int) -> int:
        """Rows whose label is known when ``row`` is forecast: those before this one."""
        return max(0, row - self.late + 1)


def as_task(frame: pl.DataFrame, late: int) -> Elec2:
    """Features of each row: what the market publishes of it, and labels and prices of rows at least ``late`` before it.

    ``nswprice`` of the row itself is never used: the label is a function of it.
    """
    y = frame["label_up"].cast(pl.Int8).to_numpy()
    price = frame["nswprice"].cast(pl.Float64).to_numpy()
    columns = [frame[name].cast(pl.Float64).to_numpy() for name in _KNOWN_AT_ONCE]
    for lag in _LAGS[late]:
        columns += [_before(y.astype(np.float64), lag), _before(price, lag)]
    for name in ("nswdemand", "vicprice"):
        values = frame[name].cast(pl.Float64).to_numpy()
        columns += [values - _before(values, 1), values - _before(values, DAY)]
    total = np.cumsum(np.r_[0.0, y])
    up = np.full(len(y), np.nan)
    up[DAY:] = (total[DAY:-1] - total[: -DAY - 1]) / DAY  # share of a day that ends before the row
    columns.append(_before(up, late - 1))
    return Elec2(np.column_stack(columns), y, late)


def _before(values: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    return values if lag == 0 else np.r_[np.full(lag, np.nan), values[:-lag]]
