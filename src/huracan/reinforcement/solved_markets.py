"""Markets whose best strategy is known, to hold an agent against: dynamic programming on a grid, and along a known path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from huracan.accounting import AccountState, step
from huracan.errors import ModelError
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rules import TradingRules

__all__ = ["MarkovMarket", "best_path", "momentum_market", "ornstein_uhlenbeck_market"]

Floats = NDArray[np.float64]
_SETTLED = 1e-12


@dataclass(frozen=True, eq=False)
class MarkovMarket:
    """A market that moves between finitely many states, and what a state does to the price.

    Attributes
    ----------
    transition : float64 (states, states), rows sum to 1: chance of the next state.
    log_return : float64 (states, states), what the price does on the way from one state to the next.
    shown : float64 (states, d), what an agent sees of a state.

    Examples
    --------
    >>> market = ornstein_uhlenbeck_market(n_points=5)
    >>> market.transition.sum(axis=1).round(12).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    >>> table, states = market.sample(100, seed=0)
    >>> len(table), states.shape
    (100, (100,))
    """

    transition: Floats
    log_return: Floats
    shown: Floats

    @property
    def n_states(self) -> int:
        """How many states there are."""
        return len(self.transition)

    @cached_property
    def stationary(self) -> Floats:
        """(states,) share of time in each state."""
        n = self.n_states
        system = np.vstack([self.transition.T - np.eye(n), np.ones(n)])
        return np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0].clip(min=0.0)

    def sample(self, n: int, *, seed: int) -> tuple[MarketTable, NDArray[np.int64]]:
        """A path of ``n`` bars that begins in the stationary distribution, and its states."""
        random = np.random.default_rng(seed)
        cumulative = self.transition.cumsum(axis=1)
        draws = random.random(n)
        states = np.empty(n, np.int64)
        states[0] = np.searchsorted(self.stationary.cumsum() / self.stationary.sum(), draws[0])
        for i in range(1, n):
            states[i] = min(int(np.searchsorted(cumulative[states[i - 1]], draws[i])), self.n_states - 1)
        moves = self.log_return[states[:-1], states[1:]]
        price = np.exp(np.concatenate(([0.0], moves.cumsum())))
        return MarketTable.from_prices(self.shown[states], price), states

    def rewards(self, rules: TradingRules) -> Floats:
        """Expected net log return (states before, states, levels, actions) of each action on a bar.

        A position that stood over the bar before has drifted with its move, and trading back to a target costs; so the state
        before counts.

        Raises
        ------
        ModelError : what follows depends on more than market and standing target.
        """
        if rules.path_dependence:
            raise ModelError(f"this market is solved where nothing depends on the path, and {rules.path_dependence[0]}.")
        weights = np.array(rules.actions.weights)
        target = weights[rules.actions.next_level]  # (levels, actions)
        came = np.exp(self.log_return)[:, :, None, None, None]  # before, now, next, level, action
        goes = np.exp(self.log_return)[None, :, :, None, None]
        shape = np.broadcast_shapes(came.shape, goes.shape, target.shape)
        worth = 1.0 + weights[:, None] * (came - 1.0)
        units = np.broadcast_to(weights[:, None] * 1.0, worth.shape)
        zero = np.zeros(())
        state = AccountState(np.broadcast_to(1.0 - weights[:, None], worth.shape), units, worth, np.full((), np.nan), zero)
        out = step(state, target, came, came * goes, rules.costs)
        growth = np.broadcast_to(out.state.equity / worth, shape)
        return np.einsum("ijkla,jk->ijla", np.log(np.maximum(growth, 1e-6)), self.transition)

    def optimal_values(self, rules: TradingRules, gamma: float) -> Floats:
        """Q (states before, states, levels, actions) of the best strategy, by value iteration to 1e-12."""
        reward, lead = self.rewards(rules), rules.actions.next_level
        forbidden = ~rules.actions.allowed
        q = np.zeros_like(reward)
        while True:
            best = np.where(forbidden, -np.inf, q).max(axis=-1)  # (before, now, level)
            following = np.einsum("jk,jkl->jl", self.transition, best)  # now -> expected best at each level
            new = reward + gamma * following[:, lead][None]
            if np.abs(new - q).max() < _SETTLED:
                return new
            q = new

    def growth_of(self, rules: TradingRules, action: NDArray[np.int64]) -> float:
        """Mean net log return a bar of a strategy in the long run, exactly; ``action`` is (states before, states, levels)."""
        reward, lead = self.rewards(rules), rules.actions.next_level
        n, levels = self.n_states, rules.actions.n_levels
        i, j, level = np.meshgrid(np.arange(n), np.arange(n), np.arange(levels), indexing="ij")
        earned, following = reward[i, j, level, action], lead[level, action]
        share = (self.stationary[:, None] * self.transition)[:, :, None] * (np.arange(levels) == rules.actions.flat)
        while True:
            weight = np.zeros((n, levels))  # arriving in j at its new level
            np.add.at(weight, (j, following), share)
            later = self.transition[:, :, None] * weight[:, None, :]
            if np.abs(later - share).sum() < _SETTLED:
                return float((later * earned).sum())
            share = later


def ornstein_uhlenbeck_market(*, n_points: int = 41, decay: float = 0.9, spread: float = 0.02) -> MarkovMarket:
    """A log price that is drawn back to 0, on a grid of three standard deviations either way.

    Parameters
    ----------
    n_points : of the grid. decay : autocorrelation from bar to bar. spread : standard deviation of the log price.

    References
    ----------
    Tauchen (1986), "Finite state Markov-chain approximations to univariate and vector autoregressions", Economics Letters 20.
    """
    grid = np.linspace(-3.0, 3.0, n_points) * spread
    edges = np.concatenate(([-np.inf], (grid[1:] + grid[:-1]) / 2, [np.inf]))
    noise = spread * np.sqrt(1.0 - decay**2)
    below = norm.cdf((edges[None, :] - decay * grid[:, None]) / noise)
    transition = np.diff(below, axis=1)
    transition /= transition.sum(axis=1, keepdims=True)
    return MarkovMarket(transition, grid[None, :] - grid[:, None], grid[:, None] / spread)


def momentum_market(*, stay: float = 0.97, up: float = 0.6, size: float = 0.01, hidden: bool = False) -> MarkovMarket:
    """Two regimes that last; in one the price rises with probability ``up``, in the other it falls with it.

    A state is a regime and the last move. Hidden, the agent sees the last move only, and may remember.

    Parameters
    ----------
    stay : chance that a regime lasts another bar. up : see above. size : of a move, in log price. hidden : whether the regime
        is.
    """
    signs = np.array([1.0, -1.0])
    states = [(regime, move) for regime in (0, 1) for move in (0, 1)]
    transition = np.zeros((4, 4))
    for a, (regime, _) in enumerate(states):
        for b, (later, move) in enumerate(states):
            chance = stay if later == regime else 1.0 - stay
            likely = up if later == move else 1.0 - up
            transition[a, b] = chance * likely
    moves = np.array([signs[move] * size for _, move in states])
    shown = np.array([[signs[move]] if hidden else [signs[regime], signs[move]] for regime, move in states])
    return MarkovMarket(transition, np.repeat(moves[None, :], 4, axis=0), shown)


def best_path(reward: Floats, next_level: NDArray[np.int64], *, start: int) -> tuple[float, NDArray[np.int64]]:
    """The best actions on a path whose future is known, and the sum of their rewards.

    Parameters
    ----------
    reward : (steps, levels, actions), as :func:`huracan.reinforcement.counterfactual.counterfactuals` gives it.
    next_level : (levels, actions). start : level before the first step.

    References
    ----------
    Viterbi (1967), "Error bounds for convolutional codes and an asymptotically optimum decoding algorithm".

    Examples
    --------
    >>> best_path(np.array([[[0.0, 1.0]], [[3.0, 2.0]]]), np.array([[0, 0]]), start=0)
    (4.0, array([1, 0]))
    """
    n = len(reward)
    value = np.zeros(len(next_level))
    choice = np.empty((n, len(next_level)), np.int64)
    for t in range(n - 1, -1, -1):
        worth = reward[t] + value[next_level]
        choice[t] = worth.argmax(axis=1)
        value = worth.max(axis=1)
    level, taken = start, np.empty(n, np.int64)
    for t in range(n):
        taken[t] = choice[t, level]
        level = next_level[level, taken[t]]
    return float(value[start]), taken
