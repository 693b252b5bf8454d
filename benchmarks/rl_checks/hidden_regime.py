"""The best that can be done where the regime of a momentum market is hidden: dynamic programming over beliefs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from huracan.reinforcement import TradingRules
from huracan.reinforcement.solved_markets import MarkovMarket

__all__ = ["BeliefStrategy"]

Floats = NDArray[np.float64]
_POINTS = 401


class BeliefStrategy:
    """Act best on the probability of the first regime given all moves so far, on a grid of beliefs with straight lines between.

    Parameters
    ----------
    market : a momentum market, whose states are (regime, last move) in the order of
        :func:`~huracan.reinforcement.solved_markets.momentum_market`. rules, gamma : of the game.
    """

    def __init__(self, market: MarkovMarket, rules: TradingRules, gamma: float) -> None:
        chance = market.transition.reshape(2, 2, 2, 2)[:, 0].sum(axis=2)  # regime -> next regime
        given = market.transition.reshape(2, 2, 2, 2)[:, 0]  # regime -> (next regime, move)
        self.grid = np.linspace(0.0, 1.0, _POINTS)
        joint = np.einsum("br,rqm->bqm", np.stack([self.grid, 1.0 - self.grid], 1), given)
        self.chance_of_move = joint.sum(axis=1)  # (beliefs, move)
        self.next_belief = joint[:, 0] / self.chance_of_move
        assert np.allclose(chance.sum(axis=1), 1.0)
        moves = market.log_return[0].reshape(2, 2)[0]
        single = MarkovMarket(np.full((2, 2), 0.5), np.repeat(moves[None], 2, 0), np.zeros((2, 1)))
        lead = rules.actions.next_level
        reward = np.stack([_certain(single, rules, move) for move in (0, 1)], axis=1)  # (now, next, level, action)
        expected = np.einsum("bm,nmla->bnla", self.chance_of_move, reward)
        value = np.zeros((_POINTS, 2, rules.actions.n_levels))
        forbidden = ~rules.actions.allowed
        while True:
            ahead = np.empty((_POINTS, 2, rules.actions.n_levels))
            for move in (0, 1):
                for level in range(rules.actions.n_levels):
                    ahead[:, move, level] = np.interp(self.next_belief[:, move], self.grid, value[:, move, level])
            following = np.einsum("bm,bml->bl", self.chance_of_move, ahead)
            q = expected + gamma * following[:, None, lead]
            new = np.where(forbidden, -np.inf, q).max(axis=-1)
            if np.abs(new - value).max() < 1e-12:
                break
            value = new
        self.best = np.where(forbidden, -np.inf, q).argmax(axis=-1)  # (beliefs, move, level)
        self.next_level, self.flat, self.given = lead, rules.actions.flat, given

    def actions(self, moves: NDArray[np.int64]) -> NDArray[np.int64]:
        """Actions after each of the moves (0 up, 1 down) that were seen."""
        belief, level = 0.5, self.flat
        taken = np.empty(len(moves), np.int64)
        for t, move in enumerate(moves):
            joint = belief * self.given[0, :, move] + (1.0 - belief) * self.given[1, :, move]
            belief = joint[0] / joint.sum()
            taken[t] = self.best[round(belief * (_POINTS - 1)), move, level]
            level = self.next_level[level, taken[t]]
        return taken


def _certain(market: MarkovMarket, rules: TradingRules, move: int) -> Floats:
    """Rewards (now, levels, actions) where the next move is certain to be this one."""
    sure = np.zeros((2, 2))
    sure[:, move] = 1.0
    told = MarkovMarket(sure, market.log_return, market.shown).rewards(rules)  # (before, now, level, action)
    return told[0]
