"""Two ways through time for the same account: bar by bar, and a run of bars between two trades at once.

:func:`walk_steps` applies :func:`huracan.accounting.step` to every bar. Where size does not matter (no lots, minimum
notional or volume limit) the account between two changes of the target is a straight line in the price, and after a
trade the weight is the target exactly; :func:`walk_runs` uses that, some ten times faster. The tests hold both to the
same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from huracan.accounting.costs import CostModel
from huracan.accounting.lanes import Lanes
from huracan.accounting.step import AccountState, StepResult, step

__all__ = ["LaneRecord", "Steps", "walk_runs", "walk_steps"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LaneRecord:
    """One account, arrays (steps,) in currency; ``units`` has one more entry, the position after the end."""

    initial: float
    equity: Floats
    units: Floats
    traded: Floats
    cost: Floats
    holding_cost: Floats


@dataclass(frozen=True, eq=False)
class Steps:
    """What :func:`walk_steps` recorded, (steps, strategies, symbols)."""

    initial: float
    equity: Floats
    units: Floats
    traded: Floats
    cost: Floats
    holding_cost: Floats

    def lane(self, lanes: Lanes, strategy: int, symbol: int) -> LaneRecord:
        """The bars of one account."""
        at = lanes.of(symbol)
        names = ("equity", "traded", "cost", "holding_cost")
        own = {name: np.ascontiguousarray(getattr(self, name)[at, strategy, symbol]) for name in names}
        units = np.append(self.units[:-1][at, strategy, symbol], self.units[-1, strategy, symbol])
        return LaneRecord(initial=self.initial, units=units, **own)


def walk_steps(
    lanes: Lanes,
    target: Floats,
    initial: float,
    costs: CostModel,
    *,
    exit_costs: CostModel | None = None,
    close_at_end: bool = True,
    rebalance: bool = False,
) -> Steps:
    """Apply the step formula bar by bar to all lanes; ``target`` is (steps, strategies, symbols).

    With ``exit_costs`` every change of the target is two fills at the same price: out of the old position, then into
    the new one. With ``rebalance`` every bar trades to its target, as if it had just changed.
    """
    n, *lane_shape = target.shape
    shape = tuple(lane_shape)
    state = AccountState.open(initial, shape)
    charged = lanes.funding_rate is not None or costs.borrow_rate > 0
    equity, traded, cost = (np.empty(target.shape) for _ in range(3))
    units = np.empty((n + 1, *shape))
    holding = np.empty(target.shape) if charged else np.broadcast_to(0.0, target.shape)
    never = np.full(shape, np.nan)  # no target equals it
    for i in range(n):
        if exit_costs is not None:
            leave = np.where(target[i] != state.target, 0.0, state.target)
            left = step(state, leave, lanes.fill[i], lanes.fill[i], exit_costs, volume=lanes.volume[i])
            state = left.state
        out = step(
            state._replace(target=never) if rebalance else state,
            target[i],
            lanes.fill[i],
            lanes.mark[i],
            costs,
            volume=lanes.volume[i],
            funding_rate=None if lanes.funding_rate is None else lanes.funding_rate[i],
            bars=lanes.bars[i],
        )
        state = out.state
        equity[i], units[i], traded[i], cost[i] = state.equity, state.units, out.traded, out.cost
        if exit_costs is not None:
            traded[i] += left.traded
            cost[i] += left.cost
        if charged:
            holding[i] = out.funding + out.borrow
    if close_at_end:
        closed = _close(state, lanes.mark[-1], exit_costs or costs)
        equity[-1] = closed.state.equity
        traded[-1] += closed.traded
        cost[-1] += closed.cost
        state = closed.state
    units[-1] = state.units
    return Steps(initial, equity, units, traded, cost, holding)


def walk_runs(
    lanes: Lanes,
    target: Floats,
    symbol: int,
    initial: float,
    costs: CostModel,
    *,
    close_at_end: bool = True,
    rebalance: bool = False,
) -> LaneRecord | None:
    """One account in closed form; ``target`` is (steps,), those of ``symbol``. With ``rebalance`` every bar is a trade.

    A position that loses everything ends the account at that bar. Returns ``None`` where a fill or its cost does: that is
    left to :func:`walk_steps`.
    """
    at = lanes.of(symbol)
    full = len(target)
    fill, mark, bars = lanes.fill[at, symbol], lanes.mark[at, symbol], lanes.bars[at, symbol]
    # funding and borrow of each bar, per unit of position
    charge = np.zeros(full)
    if lanes.funding_rate is not None:
        charge += fill * lanes.funding_rate[at, symbol]
    if costs.borrow_rate:
        charge -= np.where(target < 0, fill * (costs.borrow_rate * bars), 0.0)
    ruin = _first_ruin(fill, mark, charge, target, _trades(target, rebalance))
    if ruin < full:
        fill, mark, charge, target = (a[: ruin + 1] for a in (fill, mark, charge, target))
    rate = costs.per_side_rate
    n = len(target)
    changed = _trades(target, rebalance)
    start = np.flatnonzero(changed)
    run = np.cumsum(changed) - 1
    weight, entry = target[start], fill[start]

    paid = np.cumsum(charge)
    paid_before = paid - charge

    # growth since the last trade: 1 just after it
    units_per_worth = weight / entry
    cash_per_worth = 1.0 - weight
    per_unit = mark - (paid - paid_before[start][run])
    growth = cash_per_worth[run] + units_per_worth[run] * per_unit
    before = np.empty(n)  # worth at each fill, before its trade
    before[0] = 1.0
    earlier = run[:-1]
    before[1:] = cash_per_worth[earlier] + units_per_worth[earlier] * (fill[1:] - (paid[:-1] - paid_before[start][earlier]))
    if ruin < full:
        growth[-1] = 0.0
    if np.any(growth[:ruin] <= 0.0) or np.any(before <= 0.0):
        return None

    held = np.zeros(len(start))
    held[1:] = units_per_worth[:-1] * fill[start[1:]] / before[start[1:]]
    gap = weight - held
    share = np.abs(gap) / (1.0 + np.copysign(rate, gap) * weight)  # traded notional over worth before the trade
    kept = 1.0 - rate * share
    worth = initial * np.cumprod(before[start] * kept)  # after each trade
    equity = worth[run] * growth
    units = (worth * units_per_worth)[run]
    traded = np.zeros(n)
    traded[start] = worth / kept * share
    cost = traded * rate
    holding = units * charge
    if np.any(kept <= 0.0):
        return None
    if ruin < full:
        units[-1] = 0.0
        equity, units, traded, cost, holding = (
            np.append(a, np.zeros(full - n)) for a in (equity, units, traded, cost, holding)
        )
        return LaneRecord(initial, equity, np.append(units, 0.0), traded, cost, holding)
    last = units[-1]
    if close_at_end:
        state = AccountState.open(equity[-1])._replace(cash=equity[-1] - last * mark[-1], units=last)
        closed = _close(state, mark[-1], costs)
        equity[-1] = closed.state.equity
        traded[-1] += closed.traded
        cost[-1] += closed.cost
        last = closed.state.units
    return LaneRecord(initial, equity, np.append(units, last), traded, cost, holding)


def _trades(target: Floats, rebalance: bool) -> NDArray[np.bool_]:
    """Bars that trade: those where the target changes, or all."""
    return np.concatenate(([True], (target[1:] != target[:-1]) | rebalance))


def _first_ruin(fill: Floats, mark: Floats, charge: Floats, target: Floats, changed: NDArray[np.bool_]) -> int:
    """Index of the first bar at whose mark a position has lost everything; the number of bars where none does."""
    start = np.flatnonzero(changed)
    run = np.cumsum(changed) - 1
    paid = np.cumsum(charge)
    weight = target[start][run]
    growth = 1.0 - weight + weight / fill[start][run] * (mark - (paid - (paid - charge)[start][run]))
    lost = np.flatnonzero(growth <= 0.0)
    return int(lost[0]) if len(lost) else len(target)


def _close(state: AccountState, price: Floats, costs: CostModel) -> StepResult:
    """Leave every position at ``price``, whatever the venue's rules on size."""
    unruled = replace(costs, lot_size=0.0, minimum_notional=0.0, max_volume_share=None, borrow_bps_per_bar=0.0)
    zero = np.zeros(np.shape(state.units))
    return step(state._replace(target=zero + np.nan), zero, price, price, unruled)
