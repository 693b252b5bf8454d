"""The one step formula: how an account moves over one bar.

Backtest, evaluation and reinforcement learning all follow it. It is pure and works on arrays of any shape (lanes:
symbols, strategies, environments); nothing in it branches on data, so scalars, arrays and, with ``xp``, tensors on a GPU go
through the same lines, and numba compiles them (:mod:`huracan.accounting.compiled_step`).

A target weight decided at the close of bar t is filled at ``fill`` = open[t+1] and valued at ``mark`` = open[t+2]:

1. worth = cash + units * fill.
2. Where the target changed, order = (target * worth - held) / (1 ± rate * target), in currency, ``+`` when buying. The
   denominator sizes the trade so that the weight *after* its own cost is the target: a target of 1 never borrows.
   Where the target stands, units are held (the weight drifts) and only an unfilled remainder is tried again.
3. The position is rounded to lots towards zero; the fill is capped by the bar's volume; a fill below the minimum
   notional is skipped.
4. The account pays ``rate`` on what it traded, funding on its notional (a long position pays a positive rate, a short
   one receives it) and borrow on a short notional for every bar until the mark.
5. equity = cash + units * mark. At zero or below the account is bankrupt: equity stays zero and it never trades again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.accounting.costs import CostModel

__all__ = ["AccountState", "StepResult", "formula", "result_of", "step"]

Floats = NDArray[np.float64]
_WHOLE = 1.0 + 1e-12  # 0.3 / 0.1 is 2.9999999999999996 and means three lots


class AccountState(NamedTuple):
    """What an account carries from bar to bar; arrays of one shape, currency in float64.

    ``equity`` is the value at the last mark, ``target`` the standing target weight, ``pending`` the units of an order
    that the volume limit left unfilled.
    """

    cash: Floats
    units: Floats
    equity: Floats
    target: Floats
    pending: Floats

    @classmethod
    def open(cls, initial_equity: float = 1.0, shape: tuple[int, ...] = ()) -> AccountState:
        """Accounts of ``shape`` that hold ``initial_equity`` in cash and nothing else.

        >>> AccountState.open(100.0, (2,)).equity
        array([100., 100.])
        """
        zero = np.zeros(shape)
        full = np.full(shape, float(initial_equity))
        return cls(cash=full, units=zero, equity=full, target=zero, pending=zero)

    def weight(self, mark: ArrayLike) -> Floats:
        """Position as a share of equity at price ``mark``; 0 for a bankrupt account."""
        notional = self.units * np.asarray(mark, dtype=np.float64)
        return np.divide(notional, self.equity, out=np.zeros(np.shape(notional)), where=self.equity > 0)


class StepResult(NamedTuple):
    """One step: the new ``state`` and what happened, in currency (``trade`` in units, signed).

    The ``*_return`` properties divide by the equity before the step, and satisfy
    ``net_return = gross_return - (cost + funding + borrow) / equity_before``.
    """

    state: AccountState
    equity_before: Floats
    trade: Floats
    traded: Floats
    cost: Floats
    funding: Floats
    borrow: Floats

    @property
    def gross_return(self) -> Floats:
        """What the position earned before any cost."""
        return self.net_return + _over(self.cost + self.funding + self.borrow, self.equity_before)

    @property
    def net_return(self) -> Floats:
        """What the account earned; -1 on the bar that ruins it, 0 afterwards."""
        return _over(self.state.equity - self.equity_before, self.equity_before)


def step(
    state: AccountState,
    target: Any,
    fill: Any,
    mark: Any,
    costs: CostModel,
    *,
    volume: Any = np.inf,
    funding_rate: Any = None,
    bars: Any = 1.0,
    xp: Any = np,
) -> StepResult:
    """Move accounts over one bar; see the module's text for the formula.

    Parameters
    ----------
    state : accounts before the bar.
    target : target weight decided on closed bars, a fraction of equity (negative is short); finite.
    fill, mark : price of the fill, open[t+1], and of the next valuation, open[t+2]; positive.
    costs : what is paid and what the venue allows.
    volume : units traded in the bar of the fill; only read with ``costs.max_volume_share``.
    funding_rate : fraction of notional that a long position pays over the bar; ``None`` for none.
    bars : bars between fill and mark (more than one over a gap), for borrow.
    xp : whose arithmetic: NumPy, or what offers ``abs, sign, trunc, where, maximum, minimum, not_equal`` for other arrays.

    Examples
    --------
    Half the account goes long at 100, the price rises 10 %, no costs:

    >>> out = step(AccountState.open(1000.0), 0.5, 100.0, 110.0, CostModel.free())
    >>> float(out.state.units), float(out.state.equity), float(out.gross_return)
    (5.0, 1050.0, 0.05)

    The target stands, so the same five units are held:

    >>> float(step(out.state, 0.5, 110.0, 110.0, CostModel.free()).trade)
    0.0
    """
    moved = _formula_of(xp)(
        state.cash, state.units, state.target, state.pending, target, fill, mark, *costs.terms, volume, funding_rate, bars
    )
    return result_of(state.equity, xp.asarray(target, dtype=xp.float64), moved)


def formula(xp: Any) -> Callable[..., Moved]:
    """The formula over the arithmetic ``xp``: arrays, tensors, or plain numbers, as which numba compiles it.

    What it takes of the costs are their :attr:`~CostModel.terms`, None where there is no such rule.
    """

    def moved(
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
    ) -> Moved:
        held = units * fill
        worth = xp.maximum(cash + held, 0.0)
        gap = target * worth - held
        wanted = (held + gap / (1.0 + rate * xp.sign(gap) * target)) / fill
        if lot is not None:
            wanted = xp.trunc(wanted / lot * _WHOLE) * lot
        order = xp.where(xp.not_equal(target, standing), wanted - units, pending)
        trade = order
        if share is not None:
            limit = share * volume
            if lot is not None:
                limit = xp.trunc(limit / lot * _WHOLE) * lot
            trade = xp.minimum(xp.maximum(order, -limit), limit)
            pending = order - trade
        if least is not None:
            trade = trade * (xp.abs(trade) * fill >= least)
            pending = pending * (xp.abs(order) * fill >= least)

        after = units + trade
        notional = after * fill
        bought = trade * fill
        traded = xp.abs(bought)
        cost = traded * rate
        left = cash - bought - cost
        if funding_rate is None:
            funding = None
        else:
            funding = notional * funding_rate
            left = left - funding
        if borrow_rate is None:
            borrow = None
        else:
            borrow = xp.minimum(notional, 0.0) * (-borrow_rate * bars)
            left = left - borrow

        equity = xp.maximum(left + after * mark, 0.0) * xp.sign(worth)
        alive = xp.sign(equity)
        if share is not None:
            pending = pending * alive
        return left * alive, after * alive, equity, pending, trade, traded, cost, funding, borrow

    return moved


def result_of(equity_before: Any, target: Any, moved: Moved) -> StepResult:
    """A step's result, of what :func:`formula` gave."""
    cash, units, equity, pending, trade, traded, cost, funding, borrow = moved
    return StepResult(
        AccountState(cash, units, equity, target, pending),
        equity_before,
        trade,
        traded,
        cost,
        _NOTHING if funding is None else funding,
        _NOTHING if borrow is None else borrow,
    )


Moved = tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]

_formula_of = lru_cache(maxsize=8)(formula)
_NOTHING: Floats = np.zeros(())


def _over(amount: Any, equity: Any) -> Floats:
    shape = np.broadcast_shapes(np.shape(amount), np.shape(equity))
    return np.divide(amount, equity, out=np.zeros(shape), where=np.asarray(equity) > 0)
