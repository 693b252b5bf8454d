"""One account in one market, after ``gymnasium.Env``."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from huracan.errors import ModelError
from huracan.reinforcement.arrays import NUMPY
from huracan.reinforcement.batch_env import checked_actions, checked_rows, observation_space, rules_of
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rules import TradingRules
from huracan.reinforcement.trading_core import TradingCore

__all__ = ["TradingEnv"]


class TradingEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One account of :class:`BatchTradingEnv` for all that takes a ``gymnasium.Env``: the same accounts, seeds and rules.

    Parameters
    ----------
    market : bars and features. rules : the rules of the game; or give its parameters by name.

    Examples
    --------
    >>> from huracan.accounting import CostModel
    >>> market = MarketTable.from_prices(np.zeros((6, 1)), [10.0, 11, 12, 13, 14, 15])
    >>> env = TradingEnv(market, costs=CostModel.free(), episode_length=5)
    >>> observation, info = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = env.step(2)  # buy
    >>> round(reward, 4), round(info["equity"]), info["action_mask"].tolist()
    (0.0953, 110000, [True, True, False])
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, market: MarketTable, rules: TradingRules | None = None, **named: Any) -> None:
        self.market, self.rules = market, rules_of(rules, named)
        self.core = TradingCore(market, self.rules, 1, NUMPY)
        self.observation_space: Any = observation_space(market, self.rules)
        self.action_space = gymnasium.spaces.Discrete(self.core.n_actions)
        self._over = True
        self._sown = False

    def action_masks(self) -> NDArray[np.bool_]:
        """(actions,): what is allowed now."""
        return self.rules.actions.allowed[int(self.core.level[0])].copy()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode; ``options={"row": i}`` begins on row i of the market.

        Raises
        ------
        ModelError : an episode cannot begin there.
        """
        super().reset(seed=seed)
        if seed is not None or not self._sown:
            self.core.sow([int(self.np_random.integers(2**31)) if seed is None else seed])
            self._sown = True
        row = None if not options else options.get("row")
        rows = None if row is None else checked_rows(self.market, self.rules, row, 1)
        self._over = False
        return self.core.begin(rows)[0], {"action_mask": self.action_masks()}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One bar.

        Raises
        ------
        ModelError : the action is outside of the space, or the episode is over.
        """
        if self._over:
            raise ModelError("the episode is over, or none has begun; call reset() first.")
        moved = self.core.move(checked_actions(np.reshape(np.asarray(action), 1), 1, self.core.n_actions))
        terminated, truncated = bool(moved.terminated[0]), bool(moved.truncated[0])
        self._over = terminated or truncated
        observation = moved.final_observation if self._over else moved.observation
        if self._over:  # the core has begun the next episode, which reset() will begin
            self.core.episode = self.core.episode - 1
        told = {name: float(getattr(moved.outcome, name)[0]) for name in _TOLD}
        return observation[0], float(moved.reward[0]), terminated, truncated, {"action_mask": self.action_masks(), **told}


_TOLD = ("log_return", "equity", "turnover", "cost", "target")
