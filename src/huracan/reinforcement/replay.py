"""Experience replay that keeps where things happened instead of what was seen there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ModelError
from huracan.reinforcement.arrays import NUMPY
from huracan.reinforcement.sum_tree import SumTree

__all__ = ["IndexReplay", "Sample"]

_KEPT = ("row", "account", "account_after", "action", "reward", "ending", "level_after")
_ONGOING, _TERMINATED, _TRUNCATED = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Sample:
    """Transitions of up to n steps, (batch, ...).

    ``observation`` and ``observation_after`` are float32 (batch, width); ``reward`` is the discounted sum on the way,
    ``discount`` what the value after it counts: gamma to the number of steps, 0 where the episode ended by itself.
    ``level_after`` says which actions are allowed there. ``weight`` corrects for the priorities entries were drawn by, at
    most 1.
    """

    entry: NDArray[np.int64]
    observation: NDArray[np.float32]
    action: NDArray[np.int64]
    reward: NDArray[np.float32]
    discount: NDArray[np.float32]
    observation_after: NDArray[np.float32]
    level_after: NDArray[np.int64]
    weight: NDArray[np.float32] | None


class IndexReplay:
    """The newest transitions of several copies of an environment.

    Of a market only the row is kept and windows are gathered when they are drawn, so a transition takes the same few bytes
    whatever the window. What is no market's (the account; every observation of another environment) is kept as it is.

    Parameters
    ----------
    capacity : transitions kept, rounded down to whole steps of all copies. n_envs : copies.
    account_size : numbers of an observation that are kept. features : float32 (rows, d) of a market, or None.
    window : bars of an observation.
    n_step : steps of a transition. gamma : discount of one step.
    alpha : 0 draws all alike; above, in proportion to (error + ``least``) to this power (proportional prioritisation).

    Examples
    --------
    >>> replay = IndexReplay(100, 2, account_size=1, features=np.arange(10, dtype=np.float32)[:, None], window=3)
    >>> for row in range(4, 7):
    ...     replay.add(row=[row, row], account=[[0], [1]], action=[1, 1], reward=[0.5, 1.0],
    ...                account_after=[[1], [1]], terminated=[False, False], truncated=[False, False])
    >>> len(replay), replay.sample(1, np.random.default_rng(1)).observation.tolist()
    (6, [[3.0, 4.0, 5.0, 0.0]])

    References
    ----------
    Lin (1992), "Self-improving reactive agents based on reinforcement learning, planning and teaching"; Schaul et al. (2016),
    "Prioritized Experience Replay"; n steps as in Hessel et al. (2018), "Rainbow".
    """

    def __init__(
        self,
        capacity: int,
        n_envs: int,
        *,
        account_size: int,
        features: NDArray[np.float32] | None = None,
        window: int = 1,
        n_step: int = 1,
        gamma: float = 0.99,
        alpha: float = 0.0,
        least: float = 1e-3,
    ) -> None:
        if capacity < n_envs * (n_step + 1):
            raise ModelError(f"capacity is {capacity}; at least {n_step + 1} steps of {n_envs} copies were expected.")
        self.steps, self.n_envs, self.n_step, self.gamma = capacity // n_envs, n_envs, n_step, gamma
        self.window = window
        self.alpha, self.least = alpha, least
        shape = (self.steps * n_envs,)
        self._windows, self._shown = None, 0
        if features is not None:
            self._windows = NUMPY.windows(np.ascontiguousarray(features, np.float32), window)
            self._shown = self._windows.shape[1]
        self.row = np.zeros(shape if features is not None else 0, np.int32)
        self.account = np.zeros((*shape, account_size), np.float32)
        self.account_after = np.zeros((*shape, account_size), np.float32)
        self.action, self.ending, self.level_after = (np.zeros(shape, np.uint8) for _ in range(3))
        self.reward = np.zeros(shape, np.float32)
        self.added = 0
        self.tree = SumTree(shape[0]) if alpha > 0 else None
        self.highest = 1.0

    def __len__(self) -> int:
        return min(self.added, self.steps) * self.n_envs

    @property
    def bytes_per_transition(self) -> float:
        """Memory that one transition takes, priorities included."""
        arrays = [getattr(self, name) for name in _KEPT] + ([] if self.tree is None else self.tree.levels)
        return sum(a.nbytes for a in arrays) / (self.steps * self.n_envs)

    def add(
        self,
        *,
        account: Any,
        action: Any,
        reward: Any,
        account_after: Any,
        terminated: Any,
        truncated: Any,
        row: Any = None,
        level_after: Any = 0,
    ) -> None:
        """One step of all copies; arrays (n_envs, ...). ``account_after`` is of the episode acted in, even where it ended."""
        first = self.added % self.steps * self.n_envs
        at = slice(first, first + self.n_envs)
        if self._windows is not None:
            self.row[at] = row
        self.account[at], self.account_after[at] = account, account_after
        self.action[at], self.reward[at], self.level_after[at] = action, reward, level_after
        self.ending[at] = np.where(terminated, _TERMINATED, np.where(truncated, _TRUNCATED, _ONGOING))
        self.added += 1
        if self.tree is not None:
            self.tree.set(np.arange(first, first + self.n_envs), np.full(self.n_envs, self.highest))

    def sample(self, n: int, random: np.random.Generator, *, beta: float = 1.0) -> Sample:
        """Draw ``n`` transitions, with replacement.

        ``beta`` is how far weights correct for priorities: 1 wholly.
        """
        weight: NDArray[np.float32] | None = None
        if self.tree is None:
            entry = random.integers(0, len(self), n)
        else:
            spread = (np.arange(n) + random.random(n)) / n
            entry = self.tree.find(spread * self.tree.total)
            rarity = (self.tree.priorities[entry] * (len(self) / self.tree.total)) ** -beta
            weight = (rarity / rarity.max()).astype(np.float32)
        reward, discount, last = self._ahead(entry)
        row = None if self._windows is None else self.row[entry].astype(np.int64)
        after = None if row is None else self.row[last].astype(np.int64) + 1
        return Sample(
            entry,
            self._observed(row, self.account[entry]),
            self.action[entry].astype(np.int64),
            reward,
            discount,
            self._observed(after, self.account_after[last]),
            self.level_after[last].astype(np.int64),
            weight,
        )

    def update(self, entry: NDArray[np.int64], error: NDArray[np.floating[Any]]) -> None:
        """Set the priorities of entries (n,) by the size of their errors (n,)."""
        if self.tree is not None:
            priority = (np.abs(error, dtype=np.float64) + self.least) ** self.alpha
            self.highest = max(self.highest, float(priority.max()))
            self.tree.set(entry, priority)

    def _ahead(self, entry: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Discounted reward of up to ``n_step`` steps, discount of what follows, and the entry of the last step."""
        reward, ending, last = self.reward[entry], self.ending[entry], entry
        discount = np.full(len(entry), self.gamma, np.float32)
        newest = (self.added - 1) % self.steps
        size = self.steps * self.n_envs
        for _ in range(self.n_step - 1):
            on = (ending == _ONGOING) & (last // self.n_envs != newest)
            last = np.where(on, (last + self.n_envs) % size, last)
            reward = reward + np.where(on, discount * self.reward[last], np.float32(0))
            ending = self.ending[last]
            discount = np.where(on, discount * np.float32(self.gamma), discount)
        return reward, np.where(ending == _TERMINATED, np.float32(0), discount), last

    def _observed(self, row: NDArray[np.int64] | None, account: NDArray[np.float32]) -> NDArray[np.float32]:
        if row is None or self._windows is None:
            return account
        out = np.empty((len(row), self._shown + account.shape[1]), np.float32)
        out[:, : self._shown] = self._windows[row - (self.window - 1)]
        out[:, self._shown :] = account
        return out

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """What is in it, as arrays by name; the market is not."""
        n = len(self)
        told = {name: getattr(self, name)[:n].copy() for name in _KEPT}
        told["added"] = np.array([self.added])
        if self.tree is not None:
            told["priority"], told["highest"] = self.tree.priorities[:n].copy(), np.array([self.highest])
        return told

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Raises
        ------
        ModelError : it is of another shape, or lacks something.
        """
        try:
            for name in _KEPT:
                mine, theirs = getattr(self, name), state[name]
                if mine.shape[1:] != theirs.shape[1:] or len(theirs) > len(mine):
                    raise ModelError(f"the stored replay holds '{name}' of shape {theirs.shape}; at most {mine.shape} fits.")
                mine[: len(theirs)] = theirs
            self.added = int(state["added"][0])
            if self.tree is not None:
                whole = np.zeros(self.tree.capacity)
                whole[: len(state["priority"])] = state["priority"]
                self.tree.fill(whole)
                self.highest = float(state["highest"][0])
        except KeyError as missing:
            raise ModelError(f"the stored replay lacks {missing}.") from missing
