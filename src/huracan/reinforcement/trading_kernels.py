"""What trading does to many copies in one pass, compiled, the same bits as without; importing this needs numba.

The account moves by :func:`huracan.accounting.step.formula`, compiled over plain numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from huracan.accounting import plain_numbers
from huracan.accounting.step import formula
from huracan.reinforcement.observation_kernels import written

__all__ = ["stepped"]

_moved = njit(formula(plain_numbers))


@njit
def _at(prices: Any, row: int, column: Any) -> Any:
    if column is None:
        return None
    return prices[row, column]


@njit
def _traded(
    level: Any,
    action: Any,
    row: Any,
    account: Any,
    next_level: Any,
    weights: Any,
    prices: Any,
    volume: Any,
    funding: Any,
    bars: Any,
    close: Any,
    rate: Any,
    lot: Any,
    least: Any,
    share: Any,
    borrow: Any,
    rebalance: bool,
    out: Any,
) -> Any:
    """Levels (n,) after trading, and the rows of ``out``, see :func:`stepped`.

    ``prices`` (rows, columns) begin with fill and mark; ``volume``, ``funding``, ``bars`` and ``close`` are places of columns
    or None; ``rate`` to ``borrow`` are the terms of the costs.
    """
    cash, units, equity, standing, pending = account
    n = len(level)
    after, here = np.empty(n, np.int64), np.empty((n, prices.shape[1]))
    for i in range(n):  # rows of copies lie far apart: read first, many are on their way from memory at once
        for column in range(prices.shape[1]):
            here[i, column] = prices[row[i], column]
    for i in range(n):
        after[i] = next_level[level[i], action[i]]
        target, fill, mark = weights[after[i]], here[i, 0], here[i, 1]
        found = _moved(
            cash[i],
            units[i],
            np.nan if rebalance else standing[i],
            pending[i],
            target,
            fill,
            mark,
            rate,
            lot,
            least,
            share,
            borrow,
            _at(here, i, volume),
            _at(here, i, funding),
            1.0 if bars is None else here[i, bars],
        )
        out[0, i], out[1, i] = target, mark
        out[2, i], out[3, i], out[4, i], out[5, i], out[6, i], out[7, i] = (*found[:4], found[5], found[6])
        built = found[4] / (found[1] + (found[1] == 0.0))
        out[8, i] += np.minimum(np.maximum(built, 0.0), 1.0) * (fill - out[8, i])
        out[9, i], out[10, i], out[11, i] = found[2] / equity[i], found[5] / equity[i], found[6] / equity[i]
        if close is not None:
            out[12, i] = here[i, close]
    return after


@njit
def stepped(trading: Any, left: Any, highest_seen: Any, seeing: Any) -> Any:
    """One step of all copies.

    Parameters
    ----------
    trading : what :func:`_traded` takes; the last is filled: ``out`` (13, n), target, mark, cash, units, equity, pending,
        traded, cost, average price of the position (given as it was before), growth of equity, turnover and cost as fractions
        of equity, close of the next bar. left, highest_seen : (n,). seeing : what the writer of observations takes of a market.

    Returns
    -------
    observations, levels, rows, decisions left, highest worth, terminated, truncated; and whether any copy's episode is over.
    """
    after, out = _traded(*trading), trading[-1]
    row, left = trading[2] + 1, left - 1
    seen, highest = written((row, after, out[2], out[3], out[0], out[8], left), out[12], highest_seen, *seeing)
    terminated = out[4] <= 0.0
    truncated = (left <= 0) & ~terminated
    return seen, after, row, left, highest, terminated, truncated, terminated.any() or truncated.any()
