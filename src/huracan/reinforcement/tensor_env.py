"""The trading environment whole on one device: accounts, market and observations are tensors; nothing waits for the host."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import ArrayLike, NDArray

from huracan.errors import ModelError
from huracan.reinforcement.arrays import TensorArrays
from huracan.reinforcement.batch_env import checked_rows, rules_of, sown
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rules import TradingRules
from huracan.reinforcement.trading_core import TradingCore

__all__ = ["TensorTradingEnv"]


class TensorTradingEnv:
    """:class:`~huracan.reinforcement.BatchTradingEnv` in PyTorch: the same formula, seeds, episodes and numbers.

    ``step`` takes and gives tensors on ``device``. ``infos["final_obs"]`` is always there, since to know whether an episode
    ended would mean to wait for the device; its rows count where ``infos["_final_obs"]`` is set. An action outside the space
    is refused: on a GPU, which nobody waits for, at the next call that does. A masked one holds.

    Parameters
    ----------
    market, n_envs, rules : as there. device : where.

    Examples
    --------
    >>> market = MarketTable.from_prices([[0.0]] * 6, [10.0, 11, 12, 13, 14, 15])
    >>> env = TensorTradingEnv(market, 2, episode_length=5)
    >>> observation, infos = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, infos = env.step(torch.tensor([2, 1]))
    >>> observation.shape, reward.dtype
    (torch.Size([2, 6]), torch.float64)
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
        self._sown = False

    def reset(
        self, *, seed: int | list[int] | None = None, rows: ArrayLike | None = None
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Begin an episode in every copy, on ``rows`` (n_envs,) of the market where they are given.

        Seeds are those of :meth:`BatchTradingEnv.reset`, and so are the episodes: ``seed`` is of the first copy, those after it
        have the following numbers; or one for each; None goes on with the next episodes.

        Raises
        ------
        ModelError : a seed is below 0; an episode cannot begin on a row.
        """
        self._sown = sown(self.core, seed, self._sown)
        if rows is not None:
            given = rows.cpu().numpy() if isinstance(rows, torch.Tensor) else rows
            rows = checked_rows(self.market, self.rules, given, self.num_envs).copy()
        return self.core.begin(rows), {"action_mask": self.action_masks()}

    def action_masks(self) -> torch.Tensor:
        """(n_envs, actions): what is allowed now."""
        return self._allowed[self.core.level]

    def step(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """One bar for every copy; ``actions`` int64 (n_envs,).

        Raises
        ------
        ModelError : another shape; an action that is not there.
        """
        if actions.shape != (self.num_envs,) or actions.dtype != torch.int64:
            raise ModelError(
                f"actions are {actions.dtype} of shape {tuple(actions.shape)}; int64 ({self.num_envs},) was expected."
            )
        inside = ((actions >= 0) & (actions < self.core.n_actions)).all()
        if self.device.type == "cuda":
            torch._assert_async(inside)
        elif not inside:
            raise ModelError(f"actions are {actions.tolist()[:8]}; 0 to {self.core.n_actions - 1} were expected.")
        moved = self.core.move(actions)
        told = {name: value for name, value in moved.outcome._asdict().items() if value is not None}
        infos = {
            "action_mask": self.action_masks(),
            "final_obs": moved.final_observation,
            "_final_obs": moved.terminated | moved.truncated,
            **told,
            "equity": moved.outcome.equity.clone(),  # the account goes on with its own
            "target": moved.outcome.target.clone(),
        }
        return moved.observation, moved.reward, moved.terminated, moved.truncated, infos

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Everything that changes from step to step, as NumPy arrays; :meth:`load_state_dict` goes on from it exactly.

        It is that of a :class:`~huracan.reinforcement.BatchTradingEnv`: either goes on from a state of the other.
        """
        return self.core.state()

    def load_state_dict(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Raises
        ------
        ModelError : it is of another number of copies, or lacks something.
        """
        self.core.restore(state)
        self._sown = True
