"""What an agent has to beat: nothing, holding, luck of the same habits, and a forecast that looks one bar ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from huracan.accounting import AccountState, step
from huracan.baselines.linear import prior_penalty
from huracan.errors import ModelError, NotEnoughData
from huracan.reinforcement.actions import ActionLadder
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.playing import Played, Seen
from huracan.reinforcement.rewards import RUIN
from huracan.reinforcement.rules import TradingRules

__all__ = ["BuyAndHold", "Flat", "Myopic", "RandomOfSameHabits"]

Floats = NDArray[np.float64]
_EXPECTED_IC = 0.05
_LEAST = 1e-6
_NODES = 7


def towards(ladder: ActionLadder, level: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Actions that lead from each level to the wanted one, or as far towards it as one action goes.

    >>> towards(ActionLadder.buy_hold_sell(), np.array([0, 1, 2]), np.array([2, 1, 1])).tolist()
    [2, 1, 0]
    """
    return np.abs(ladder.next_level[level] - wanted[:, None]).argmin(axis=1)


class Flat:
    """Never has a position.

    Examples
    --------
    >>> from huracan.reinforcement.playing import play
    >>> market = MarketTable.from_prices(np.zeros((4, 1)), [10.0, 11.0, 12.0, 13.0])
    >>> play(Flat(TradingRules().actions), market, TradingRules()).totals["net_log_return"]
    0.0
    """

    def __init__(self, ladder: ActionLadder) -> None:
        self.ladder = ladder

    def choose(self, seen: Seen) -> NDArray[np.int64]:
        """Stay flat, or go there."""
        return towards(self.ladder, seen.level, np.full(len(seen.row), self.ladder.flat))


class BuyAndHold:
    """Buys at once and keeps: the position of weight 1, or the long one nearest to it.

    Raises
    ------
    ModelError : there is no long position among the actions.
    """

    def __init__(self, ladder: ActionLadder) -> None:
        weights = np.array(ladder.weights)
        if not (weights > 0).any():
            raise ModelError(f"the positions are {ladder.weights}; without a long one nothing can be bought and held.")
        self.ladder = ladder
        self.level = int(np.where(weights > 0, np.abs(weights - 1.0), np.inf).argmin())

    def choose(self, seen: Seen) -> NDArray[np.int64]:
        """Go long, or stay so."""
        return towards(self.ladder, seen.level, np.full(len(seen.row), self.level))


class RandomOfSameHabits:
    """Changes between positions as often as another strategy did, at random moments.

    From each standing target it goes on to another with the frequency at which the other strategy went there, symbol by symbol.
    Turnover, exposure and holding times are then equal in expectation; what differs is that nothing is looked at.

    Parameters
    ----------
    played : the other strategy. market, rules : in which it was played. seed : of the draws.

    Examples
    --------
    >>> from huracan.reinforcement.playing import play
    >>> market = MarketTable.from_prices(np.zeros((50, 1)), np.linspace(10.0, 12.0, 50))
    >>> rules = TradingRules()
    >>> held = play(BuyAndHold(rules.actions), market, rules)
    >>> play(RandomOfSameHabits(held, market, rules, seed=3), market, rules).totals == held.totals  # one habit, no choice
    True
    """

    def __init__(self, played: Played, market: MarketTable, rules: TradingRules, *, seed: int = 0) -> None:
        self.ladder, self.symbol_code = rules.actions, market.symbol_code
        levels = self.ladder.n_levels
        decided = played.bars.filter("decided")
        row, before = decided["row"].to_numpy(), decided["level"].to_numpy()
        after = self.ladder.next_level[before, decided["action"].to_numpy()]
        counts = np.zeros((len(market.symbols), levels, levels))
        np.add.at(counts, (market.symbol_code[row], before, after), 1.0)
        never = counts.sum(axis=2) == 0
        counts[never] = np.eye(levels)[np.nonzero(never)[1]]
        self.cumulative = counts.cumsum(axis=2) / counts.sum(axis=2, keepdims=True)
        self.random = np.random.default_rng(seed)

    def choose(self, seen: Seen) -> NDArray[np.int64]:
        """Draw where to go."""
        chance = self.cumulative[self.symbol_code[seen.row], seen.level]
        draw = self.random.random((len(seen.row), 1))
        wanted = np.minimum((draw >= chance).sum(axis=1), self.ladder.n_levels - 1)
        return towards(self.ladder, seen.level, wanted)


class Myopic:
    """Forecasts the next return with a ridge regression, and does what that makes best for one bar, costs included.

    The regression sees the window of features that an agent sees; the return is that of a long position, less the funding it
    pays. Each action is worth the expected net log return of the one
    bar, from the position that is held, over a normal law of returns around the forecast: the same step formula, no future
    beyond it. It waits where a switch costs more than the bar promises, and cannot know that a position may pay for longer.

    Parameters
    ----------
    market : rows to learn from are those it can decide on. rules : window, actions and costs.
    penalty : of ridge on standardised inputs; by default that of a forecast whose correlation with the return is expected to be
        0.05, see :mod:`huracan.baselines.linear`.

    Attributes
    ----------
    coefficients, intercept : of standardised inputs, in log return. spread : standard deviation of what is left.

    Raises
    ------
    NotEnoughData : fewer than 20 rows to learn from.
    """

    def __init__(self, market: MarketTable, rules: TradingRules, *, penalty: float | None = None) -> None:
        rows = np.flatnonzero(market.decidable & (market.history >= rules.window - 1))
        if len(rows) < 20:
            raise NotEnoughData(f"a forecast was to be learned from {len(rows)} rows; at least 20 were expected.")
        self.rules = rules
        self.costs = replace(rules.costs, lot_size=0.0, minimum_notional=0.0, max_volume_share=None)
        self.shown = rules.window * market.n_features
        X = _windows(market, rows, rules.window).astype(np.float64)
        growth = market.mark[rows] / market.fill[rows]
        y = np.log(growth if market.funding_rate is None else np.maximum(growth - market.funding_rate[rows], _LEAST))
        self.mean, spread = X.mean(axis=0), X.std(axis=0)
        self.scale = np.where(spread > 1e-12, spread, 1.0)
        X = (X - self.mean) / self.scale
        strength = prior_penalty(_EXPECTED_IC, self.shown) if penalty is None else float(penalty)
        self.intercept = float(y.mean())
        gram = X.T @ X
        gram[np.diag_indices_from(gram)] += strength
        self.coefficients = np.linalg.solve(gram, X.T @ (y - self.intercept))
        self.spread = float((y - self.intercept - X @ self.coefficients).std())

    def forecast(self, observation: NDArray[np.float32]) -> Floats:
        """Expected log return (n,) of the next bar, of observations (n, width)."""
        seen = (observation[:, : self.shown].astype(np.float64) - self.mean) / self.scale
        return self.intercept + seen @ self.coefficients

    def choose(self, seen: Seen) -> NDArray[np.int64]:
        """The allowed action of the largest expected net log return over one bar; of equals, the one that trades least."""
        rules, ladder = self.rules, self.rules.actions
        target = np.array(ladder.weights)[ladder.next_level[seen.level]][:, :, None]  # accounts, actions, outcomes
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        price = np.exp(self.forecast(seen.observation)[:, None] + self.spread * nodes)[:, None, :]
        held = seen.weight[:, None, None]
        standing = np.nan if rules.rebalance else np.array(ladder.weights)[seen.level][:, None, None]
        one, zero = np.ones_like(held), np.zeros_like(held)
        account = AccountState(one - held, held, one, standing * one, zero)
        out = step(account, target, one, price, self.costs)
        worth = (np.log(np.maximum(out.state.equity, RUIN)) * weights).sum(axis=2) / weights.sum()
        worth = np.where(seen.allowed, worth, -np.inf)
        best = worth.max(axis=1, keepdims=True)
        traded = np.where(
            worth >= best - 1e-15, np.broadcast_to(out.traded, price.shape[:1] + target.shape[1:])[:, :, 0], np.inf
        )
        return traded.argmin(axis=1)


def _windows(market: MarketTable, rows: NDArray[np.int64], window: int) -> NDArray[np.float32]:
    """Windows (n, window * d) that end in each row, as observations show them."""
    back = np.arange(1 - window, 1)
    return market.features[rows[:, None] + back].reshape(len(rows), -1)
