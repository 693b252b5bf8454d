"""The trading environment whole on one device: accounts, market and observations are tensors; nothing waits for the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from huracan.errors import ModelError
from huracan.reinforcement.arrays import TensorArrays
from huracan.reinforcement.batch_env import rules_of
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rules import TradingRules
from huracan.reinforcement.trading_core import TradingCore

__all__ = ["TensorTradingEnv"]


class TensorTradingEnv:
    """:class:`~huracan.reinforcement.BatchTradingEnv` in PyTorch: the same formula, seeds, episodes and numbers.

    ``step`` takes and gives tensors on ``device``. ``infos["final_obs"]`` is always there, since to know whether an episode
    ended would mean to wait for the device; its rows count where ``infos["_final_obs"]`` is set. Actions are not checked; a
    masked one holds.

    Parameters
    ----------
    market, n_envs, rules : as there. device : where.

    Examples
    --------
    >>> market = MarketTable.from_prices(np.zeros((6, 1)), [10.0, 11, 12, 13, 14, 15])
    >>> env = TensorTradingEnv(market, 2, episode_length=5)
    >>> observation, infos = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, infos = env.step(torch.tensor([2, 1]))
    >>> observation.shape, reward.dtype
    (torch.Size([2, 3]), torch.float64)
    """

    def __init__(
        self,
        market: MarketTable,
        n_envs: int = 1,
        rules: TradingRules | None = None,
        *,
        device: str | torch.device = "cpu",
        **named: Any,
    ) -> None:
        self.market, self.rules, self.num_envs = market, rules_of(rules, named), n_envs
        self.device = torch.device(device)
        self.core = TradingCore(market, self.rules, n_envs, TensorArrays(self.device))
        self._allowed = torch.from_numpy(self.rules.actions.allowed).to(self.device)

    def reset(self, *, seed: int = 0, rows: torch.Tensor | None = None) -> tuple[torch.Tensor, dict[str, Any]]:
        """Begin an episode in every copy; copy k has the seed ``seed + k``."""
        if seed < 0:
            raise ModelError(f"seed is {seed}; a whole number of at least 0 was expected.")
        self.core.sow(np.arange(seed, seed + self.num_envs))
        return self.core.begin(rows), {"action_mask": self.action_masks()}

    def action_masks(self) -> torch.Tensor:
        """(n_envs, actions): what is allowed now."""
        return self._allowed[self.core.level]

    def step(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """One bar for every copy."""
        moved = self.core.move(actions)
        infos = {
            "action_mask": self.action_masks(),
            "final_obs": moved.final_observation,
            "_final_obs": moved.terminated | moved.truncated,
            **moved.outcome._asdict(),
        }
        return moved.observation, moved.reward, moved.terminated, moved.truncated, infos
