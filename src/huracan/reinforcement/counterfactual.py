"""What every position and action would have earned on every bar, from prices alone.

To a trader too small to move prices the market does not depend on what is done. Where the account's future depends
on nothing but the market and the standing target (``rules.path_dependence`` is empty), one bar therefore gives exact rewards
and next states of all positions and all actions, and nothing has to be explored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huracan.accounting import AccountState, step
from huracan.errors import ModelError
from huracan.reinforcement.arrays import NUMPY
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rewards import outcome_of
from huracan.reinforcement.rules import TradingRules

__all__ = ["Counterfactuals", "counterfactuals"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counterfactuals:
    """Of each row to decide on, what each action is worth from each standing target.

    Attributes
    ----------
    row : int64 (m,) rows of the market. reward : float32 (m, levels, actions).
    ruined : bool (m, levels, actions), whether the account ends there; None where none does.
    """

    row: NDArray[np.int64]
    reward: NDArray[np.float32]
    ruined: NDArray[np.bool_] | None


def counterfactuals(market: MarketTable, rules: TradingRules, rows: NDArray[np.int64] | None = None) -> Counterfactuals:
    """Rewards of all positions and actions.

    Parameters
    ----------
    rows : rows of the market; by default all on which a decision with a whole window and a row after it can be taken.

    Raises
    ------
    ModelError : what follows depends on the path; the message says why.

    Examples
    --------
    >>> from huracan.accounting import CostModel
    >>> from huracan.reinforcement.actions import ActionLadder
    >>> market = MarketTable.from_prices(np.zeros((3, 1)), [1.0, 2.0, 2.0])
    >>> rules = TradingRules(actions=ActionLadder.positions(0, 1), costs=CostModel.free(), rebalance=True, observe=("level",))
    >>> counterfactuals(market, rules).reward[0].round(4).tolist()
    [[0.0, 0.6930999755859375], [0.0, 0.6930999755859375]]
    """
    if rules.path_dependence:
        raise ModelError(
            f"counterfactual backups were asked for, and {rules.path_dependence[0]}, so what other actions would have earned "
            "is not known; rules whose path_dependence is empty were expected."
        )
    if rows is None:
        rows = np.flatnonzero(market.decidable & (market.history >= rules.window - 1))
    weights = np.array(rules.actions.weights)
    target = weights[rules.actions.next_level]  # (levels, actions)
    earlier = np.maximum(rows - 1, 0)
    first = market.mark[earlier] != market.fill[rows]  # no price leads there: nothing was held before
    first |= (rows == 0) | (market.symbol_code[earlier] != market.symbol_code[rows])
    before = np.where(first, rows, earlier)
    held, cash = _held(market, rules, before, rows, weights)
    held[first], cash[first] = 0.0, 1.0
    shape = (len(rows), *target.shape)
    spread = np.broadcast_to
    state = AccountState(
        spread(cash[:, :, None], shape),
        spread(held[:, :, None], shape),
        spread((cash + held * market.fill[rows, None])[:, :, None], shape),
        spread(math.nan, shape),
        spread(0.0, shape),
    )
    out = step(
        state,
        spread(target, shape),
        market.fill[rows, None, None],
        market.mark[rows, None, None],
        rules.costs,
        funding_rate=None if market.funding_rate is None else market.funding_rate[rows, None, None],
        bars=market.bars[rows, None, None],
    )
    equity = out.state.equity
    before = np.where(state.equity > 0, state.equity, np.inf)  # of nothing, nothing can be lost
    outcome = outcome_of(before, equity, out.traded, out.cost, spread(target, shape), NUMPY)
    reward, _ = rules.reward(outcome, (), NUMPY)
    reward = np.where(state.equity > 0, reward, 0.0)  # states that nobody can be in are worth nothing, whatever is done
    ruined = equity <= 0.0
    return Counterfactuals(rows, reward.astype(np.float32), ruined if ruined.any() else None)


def _held(
    market: MarketTable, rules: TradingRules, before: NDArray[np.int64], rows: NDArray[np.int64], weights: Floats
) -> tuple[Floats, Floats]:
    """Units and cash (rows, levels) that each target has become over the bar before, in accounts worth 1 at its fill."""
    fill = market.fill[before, None]
    units = weights / fill
    still = AccountState(1.0 - weights + 0.0 * fill, units, np.ones_like(units), weights + 0.0 * fill, np.zeros_like(units))
    out = step(
        still,
        weights + 0.0 * fill,
        fill,
        market.fill[rows, None],
        rules.costs,
        funding_rate=None if market.funding_rate is None else market.funding_rate[before, None],
        bars=market.bars[before, None],
    )
    return np.array(out.state.units), np.array(out.state.cash)
