"""The step formula, compiled for many accounts in a row; importing this needs numba.

The text that is compiled is :func:`huracan.accounting.step.formula`, over plain numbers instead of arrays: one pass over all
accounts instead of sixty, and the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from huracan.accounting import plain_numbers
from huracan.accounting.costs import CostModel
from huracan.accounting.step import AccountState, StepResult, formula, result_of

__all__ = ["compiled_step"]

_moved = njit(formula(plain_numbers))


@njit
def _at(values: Any, i: int) -> Any:
    if values is None:
        return None
    return values[i]


@njit
def _each(
    cash: Any,
    units: Any,
    standing: Any,
    pending: Any,
    target: Any,
    fill: Any,
    mark: Any,
    rate: Any,
    lot: Any,
    least: Any,
    share: Any,
    borrow_rate: Any,
    volume: Any,
    funding_rate: Any,
    bars: Any,
    out: Any,
) -> None:
    for i in range(len(cash)):
        found = _moved(
            cash[i],
            units[i],
            standing[i],
            pending[i],
            target[i],
            fill[i],
            mark[i],
            rate,
            lot,
            least,
            share,
            borrow_rate,
            _at(volume, i),
            _at(funding_rate, i),
            1.0 if bars is None else bars[i],
        )
        out[0, i], out[1, i], out[2, i], out[3, i], out[4, i], out[5, i], out[6, i] = found[:7]
        if funding_rate is not None:
            out[7, i] = found[7]
        if borrow_rate is not None:
            out[8, i] = found[8]


def compiled_step(
    state: AccountState,
    target: Any,
    fill: Any,
    mark: Any,
    costs: CostModel,
    *,
    volume: Any = np.inf,
    funding_rate: Any = None,
    bars: Any = 1.0,
) -> StepResult:
    """:func:`huracan.accounting.step` of accounts (n,) and prices (n,), with the same parameters.

    It is compiled when it is first called with rules of a kind, which takes seconds.

    Examples
    --------
    >>> from huracan.accounting import step
    >>> state, costs = AccountState.open(1000.0, (3,)), CostModel(lot_size=0.1)
    >>> given = state, np.array([-1.0, 0.0, 0.5]), np.full(3, 7.0), np.full(3, 8.0), costs
    >>> all(np.array_equal(a, b) for a, b in zip(compiled_step(*given).state, step(*given).state))
    True
    """
    n = len(target)
    out = np.empty((9, n))
    if costs.max_volume_share is None:
        volume = None
    elif not isinstance(volume, np.ndarray):
        volume = np.full(n, volume)
    if not costs.borrow_rate:
        bars = None
    elif not isinstance(bars, np.ndarray):
        bars = None if bars == 1.0 else np.full(n, bars)
    _each(
        state.cash, state.units, state.target, state.pending, target, fill, mark, *costs.terms, volume, funding_rate, bars, out
    )
    cash, units, equity, pending, trade, traded, cost, funding, borrow = out
    moved = (
        cash,
        units,
        equity,
        pending,
        trade,
        traded,
        cost,
        None if funding_rate is None else funding,
        None if costs.terms[4] is None else borrow,
    )
    return result_of(state.equity, target, moved)
