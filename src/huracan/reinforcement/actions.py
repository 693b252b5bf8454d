"""What an agent may do: choose a position, or move it up or down a ladder of positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from huracan.errors import AccountingError

__all__ = ["ActionLadder"]


@dataclass(frozen=True)
class ActionLadder:
    """Target weights in rising order (the levels), and where each action leads from each of them.

    Parameters
    ----------
    weights : target weights, fractions of equity, rising; 0 must be one of them. Episodes begin there.
    kind : "positions": action i is the position ``weights[i]``. "moves": sell, hold, buy, which go a level down, stay, or
        go a level up; sell at the bottom and buy at the top are not allowed, and hold where they are taken all the same.

    Raises
    ------
    AccountingError : the weights are not rising, not finite, or 0 is not among them.

    Examples
    --------
    >>> ladder = ActionLadder.buy_hold_sell()
    >>> ladder.names, ladder.next_level.tolist()
    (('sell', 'hold', 'buy'), [[0, 0, 1], [0, 1, 2], [1, 2, 2]])
    >>> ladder.allowed.tolist()
    [[False, True, True], [True, True, True], [True, True, False]]
    >>> ActionLadder.positions(-1, 0, 0.5, 1).names
    ('short 1', 'flat', 'long 0.5', 'long 1')
    """

    weights: tuple[float, ...] = (-1.0, 0.0, 1.0)
    kind: str = "positions"

    def __post_init__(self) -> None:
        if self.kind not in ("positions", "moves"):
            raise AccountingError(f"kind is '{self.kind}'; 'positions' or 'moves' was expected.")
        if not all(isinstance(w, int | float) and math.isfinite(w) for w in self.weights):
            raise AccountingError(f"weights are {self.weights}; finite numbers were expected.")
        if len(self.weights) < 2 or any(a >= b for a, b in zip(self.weights, self.weights[1:])):
            raise AccountingError(f"weights are {self.weights}; at least two, each above the one before, were expected.")
        if 0.0 not in self.weights:
            raise AccountingError(
                f"weights are {self.weights}; 0 must be among them, since an episode begins without a position."
            )

    @classmethod
    def positions(cls, *weights: float) -> ActionLadder:
        """Each action is a position of its own."""
        return cls(tuple(map(float, weights)), "positions")

    @classmethod
    def buy_hold_sell(cls, weights: Sequence[float] = (-1.0, 0.0, 1.0)) -> ActionLadder:
        """Three actions: sell, hold, buy."""
        return cls(tuple(map(float, weights)), "moves")

    @property
    def n_levels(self) -> int:
        """How many positions there are."""
        return len(self.weights)

    @property
    def n_actions(self) -> int:
        """How many actions there are."""
        return self.n_levels if self.kind == "positions" else 3

    @property
    def flat(self) -> int:
        """The level without a position."""
        return self.weights.index(0.0)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name of each action."""
        if self.kind == "moves":
            return ("sell", "hold", "buy")
        return tuple("flat" if w == 0 else f"{'long' if w > 0 else 'short'} {abs(w):g}" for w in self.weights)

    @cached_property
    def next_level(self) -> NDArray[np.int64]:
        """(levels, actions): the level an action leads to."""
        levels = np.arange(self.n_levels)[:, None]
        if self.kind == "positions":
            return np.repeat(levels.T, self.n_levels, axis=0)
        return np.clip(levels + np.array([-1, 0, 1]), 0, self.n_levels - 1)

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """(levels, actions): the action mask of each level."""
        mask = np.ones((self.n_levels, self.n_actions), bool)
        if self.kind == "moves":
            mask[0, 0] = mask[-1, 2] = False
        return mask
