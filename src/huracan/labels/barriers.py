"""Triple-barrier labels: which comes first, the profit, the loss or the time?"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import DataError
from huracan.labels.first_touch import first_outside
from huracan.labels.grid import DEFAULT_VOLATILITY_SPAN, BarGrid, Weights, label_frame, require_horizon
from huracan.labels.meta import Side, side_of_rows

__all__ = ["triple_barrier_labels"]


def triple_barrier_labels(
    candles: pl.DataFrame,
    *,
    horizon: int,
    take_profit: float | None = 2.0,
    stop_loss: float | None = 2.0,
    side: Side | None = None,
    vertical: Literal["zero", "sign"] = "zero",
    minimum_return: float = 0.0,
    volatility_span: int = DEFAULT_VOLATILITY_SPAN,
    weights: Weights = "uniform",
) -> pl.DataFrame:
    """Label every bar by the first barrier that the price reaches after entering at the next open.

    The entry is ``open[t+1]``. The horizontal barriers lie at ``entry * exp(+-multiple * volatility[t] * sqrt(horizon))``,
    the vertical one at ``open[t+1+horizon]``. Bars t+1 to t+horizon are watched within the bar:

    * a bar that opens at or beyond a barrier leaves at that open: the gap is paid or earned in full;
    * else a high or low that reaches a barrier leaves at the barrier's price;
    * both reached within one bar: the order is unknown and the stop is taken, the pessimistic reading.

    Parameters
    ----------
    candles : canonical candles, sorted by ``(symbol, ts)``.
    horizon : bars until the vertical barrier.
    take_profit, stop_loss : distance in units of ``volatility * sqrt(horizon)``; ``None`` leaves the barrier out.
    side : +1 (long) or -1 (short) for every candle, as a series, an array or a frame ``[symbol, ts, side]``: for a
        short the profit lies below and the stop above. 0 or null: no bet, no label. Default: long everywhere.
    vertical : label where time ran out: ``"zero"``, or ``"sign"`` of the return.
    minimum_return : rows whose unit ``volatility * sqrt(horizon)`` is below it get no label: moves too small to pay.
    volatility_span : span of the exponentially weighted volatility, in bars.
    weights : ``"uniform"`` (1.0) or ``"uniqueness"`` (see :func:`uniqueness_weights`).

    Returns
    -------
    ``[symbol, ts, label, label_end, execution_return, weight, volatility]``, one row for every candle.

    ``label`` speaks of the price, whatever the side: 1.0 the upper barrier came first, -1.0 the lower, 0.0 neither.
    ``label_end`` is the close of the bar that reached a barrier (the open time of the bar after it), else
    ``ts[t+1+horizon]``. ``execution_return`` is the price's simple return from the entry to the exit, before costs.
    All three are null where the volatility is unknown or zero and where fewer than ``horizon + 1`` bars of the
    segment follow, even if a barrier was reached: keeping only those would fill the end of a sample with quick exits.

    Raises
    ------
    CandleError : a price is not finite and positive, or rows are not sorted.
    DataError : a parameter is out of bounds, or ``side`` does not match the candles.

    References
    ----------
    Lopez de Prado, *Advances in Financial Machine Learning* (2018), sections 3.4 and 3.5.

    Examples
    --------
    >>> from datetime import datetime, timedelta, timezone
    >>> price = [100.0, 101.0, 100.0, 101.0, 100.0, 103.0, 103.0, 103.0]
    >>> candles = pl.DataFrame({
    ...     "symbol": "A", "ts": [datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(hours=i) for i in range(8)],
    ...     "open": price, "high": price, "low": price, "close": price, "volume": 1.0,
    ... }, schema_overrides={"ts": pl.Datetime("ms", "UTC")})
    >>> labels = triple_barrier_labels(candles, horizon=2, take_profit=1.0, stop_loss=1.0, volatility_span=2)
    >>> labels["label"].to_list()
    [None, 0.0, 0.0, 1.0, 0.0, None, None, None]
    """
    h = require_horizon(horizon)
    _require_multiples(take_profit, stop_loss)
    if vertical not in ("zero", "sign"):
        raise DataError(f"vertical is {vertical!r}; 'zero' or 'sign' was expected.")
    if not (np.isfinite(minimum_return) and minimum_return >= 0):
        raise DataError(f"minimum_return is {minimum_return!r}; a fraction, 0 or more, was expected.")
    grid = BarGrid.of(candles, volatility_span)
    n = len(grid)
    long = np.ones(n) if side is None else side_of_rows(side, grid.keys)
    unit = grid.volatility * np.sqrt(h)
    watched = (np.arange(n) + 1 + h < grid.segment_end) & (unit > 0) & (unit >= minimum_return) & (np.abs(long) == 1)
    rows = np.flatnonzero(watched)
    profit = np.inf if take_profit is None else take_profit
    loss = np.inf if stop_loss is None else stop_loss
    above = np.where(long[rows] > 0, profit, loss) * unit[rows]
    below = np.where(long[rows] > 0, loss, profit) * unit[rows]
    entry = grid.open[rows + 1]
    upper, lower = entry * np.exp(above), entry * np.exp(-below)
    exit_bar = first_outside(np.maximum(grid.high, grid.open), np.minimum(grid.low, grid.open), rows + 1, upper, lower, h)
    touched, exit_price = _leave(grid, exit_bar, upper, lower, stop=-long[rows], in_time=exit_bar <= rows + h)
    label, execution_return, end = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64)
    execution_return[rows] = exit_price / entry - 1.0
    label[rows] = touched if vertical == "zero" else np.where(touched == 0, np.sign(execution_return[rows]), touched)
    end[rows] = exit_bar + (touched != 0)
    return label_frame(grid, label, end, execution_return, weights)


def _leave(
    grid: BarGrid,
    exit_bar: NDArray[np.int64],
    upper: NDArray[np.float64],
    lower: NDArray[np.float64],
    *,
    stop: NDArray[np.float64],
    in_time: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Barrier (1, -1, 0) and exit price, given the bar in which each row leaves."""
    opened = grid.open[exit_bar]
    above, below = grid.high[exit_bar] >= upper, grid.low[exit_bar] <= lower
    gap_up, gap_down = opened >= upper, opened <= lower
    touched = np.where(above & below, stop, np.where(above, 1.0, -1.0))
    touched = np.where(gap_up, 1.0, np.where(gap_down, -1.0, touched))
    price = np.where(gap_up | gap_down, opened, np.where(touched > 0, upper, lower))
    return np.where(in_time, touched, 0.0), np.where(in_time, price, opened)


def _require_multiples(take_profit: float | None, stop_loss: float | None) -> None:
    for name, value in (("take_profit", take_profit), ("stop_loss", stop_loss)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise DataError(f"{name} is {value!r}; a finite multiple above 0, or None for no barrier, was expected.")
