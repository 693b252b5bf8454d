"""Round-trip trades: from flat, or from the other side, to flat or to the other side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RoundTrips", "find_round_trips", "trade_metrics"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RoundTrips:
    """Completed trades of one or more accounts, arrays of one length, in the order they were opened.

    Attributes
    ----------
    entry, exit : step at which the position was opened and closed, counted from 0 within the account.
    side : 1 long, -1 short. pnl : profit after all costs, in currency. opened : notional bought (sold, if short) on the
        way in, in currency. gross_return : profit before costs over ``opened``.
    """

    entry: NDArray[np.int64]
    exit: NDArray[np.int64]
    side: NDArray[np.int8]
    pnl: Floats
    opened: Floats
    gross_return: Floats

    def __len__(self) -> int:
        return len(self.entry)

    @property
    def bars(self) -> NDArray[np.int64]:
        """Bars from the fill that opened the position to the fill that closed it."""
        return self.exit - self.entry

    @property
    def net_return(self) -> Floats:
        """Profit after all costs over the notional opened."""
        return self.pnl / self.opened

    @classmethod
    def join(cls, parts: list[RoundTrips]) -> RoundTrips:
        """The trades of several accounts, one after the other."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__))


def find_round_trips(units: Floats, price: Floats, holding_cost: Floats, entry_rate: float, exit_rate: float) -> RoundTrips:
    """Find the completed round trips of one account.

    Parameters
    ----------
    units : (n + 1,) position after the fill of every step; the last entry is the position after the end (0 if closed).
    price : (n + 1,) fill prices; the last one is the price of the final close.
    holding_cost : (n + 1,) funding and borrow of every step, in currency.
    entry_rate, exit_rate : cost of opening and of closing, as a fraction of the notional.

    Notes
    -----
    A trade that reverses the position pays for closing the old trade and for opening the new one, each on its own
    notional. A position still open at the end is not a completed trade.

    Examples
    --------
    >>> trips = find_round_trips(np.array([0.0, 2, 2, 0]), np.array([9.0, 10, 11, 12]), np.zeros(4), 0.0, 0.0)
    >>> trips.entry.tolist(), trips.exit.tolist(), trips.pnl.tolist(), trips.net_return.tolist()
    ([1], [3], [4.0], [0.2])
    """
    side = np.sign(units)
    before = np.concatenate(([0.0], units[:-1]))
    changed = side != np.concatenate(([0.0], side[:-1]))
    start = np.flatnonzero(changed & (side != 0))
    turn = np.flatnonzero(changed)
    stop = turn[np.searchsorted(turn, start, side="right").clip(max=max(len(turn) - 1, 0))] if len(start) else start
    done = stop > start
    start, stop = start[done], stop[done]
    if not len(start):
        none = np.zeros(0)
        return RoundTrips(start, stop, none.astype(np.int8), none, none, none)

    grown = np.maximum(np.abs(units) - np.where(changed, 0.0, np.abs(before)), 0.0) * price
    shrunk = np.where(changed, 0.0, np.maximum(np.abs(before) - np.abs(units), 0.0)) * price
    earned = np.concatenate((units[:-1] * np.diff(price), [0.0]))
    flat = np.zeros(1)
    total = _sums(np.concatenate((earned, flat)), start, stop)
    opened = _sums(np.concatenate((grown, flat)), start, stop)
    closed = _sums(np.concatenate((shrunk, flat)), start, stop) + np.abs(before[stop]) * price[stop]
    held = _sums(np.concatenate((holding_cost, flat)), start, stop)
    pnl = total - entry_rate * opened - exit_rate * closed - held
    return RoundTrips(start, stop, side[start].astype(np.int8), pnl, opened, total / opened)


def trade_metrics(trips: RoundTrips) -> dict[str, float]:
    """Figures of completed trades: count, win rate, profit factors, average holding; nan where there is none.

    ``profit_factor`` divides the money won by the money lost; ``profit_factor_of_returns`` does so with each trade's
    return after costs.
    """
    n = len(trips)
    return {
        "n_trades": float(n),
        "win_rate": float((trips.pnl > 0).mean()) if n else math.nan,
        "profit_factor": _won_over_lost(trips.pnl),
        "profit_factor_of_returns": _won_over_lost(trips.net_return),
        "average_holding_bars": float(trips.bars.mean()) if n else math.nan,
        "average_trade_return": float(trips.net_return.mean()) if n else math.nan,
    }


def _sums(x: Floats, start: NDArray[np.int64], stop: NDArray[np.int64]) -> Floats:
    """Sum of ``x[start:stop]`` for disjoint, increasing spans."""
    edges = np.column_stack((start, stop)).ravel()
    return np.add.reduceat(x, edges)[::2]


def _won_over_lost(amount: Floats) -> float:
    won, lost = float(amount[amount > 0].sum()), float(-amount[amount < 0].sum())
    return won / lost if lost > 0 else math.nan
