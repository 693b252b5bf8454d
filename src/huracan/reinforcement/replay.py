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
    most 1; None where all were drawn alike. Whole numbers are int64, others float32; arrays, or tensors where those are kept.
    """

    entry: Any
    observation: Any
    action: Any
    reward: Any
    discount: Any
    observation_after: Any
    level_after: Any
    weight: Any


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
    arrays : where it is kept, see :mod:`huracan.reinforcement.arrays`: with ``TensorArrays(device)`` on that device, and so is
        all that is given and drawn; randomness is then a ``torch.Generator`` of the device, and nothing waits for it.

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
        arrays: Any = NUMPY,
    ) -> None:
        if capacity < n_envs * (n_step + 1):
            raise ModelError(f"capacity is {capacity}; at least {n_step + 1} steps of {n_envs} copies were expected.")
        self.steps, self.n_envs, self.n_step, self.gamma = capacity // n_envs, n_envs, n_step, gamma
        self.window, self.xp = window, arrays
        self.alpha, self.least = alpha, least
        size, table = self.steps * n_envs, arrays.table
        self._windows, self._shown = None, 0
        if features is not None:
            self._windows = arrays.windows(arrays.column(np.asarray(features, np.float32)), window)
            self._shown = self._windows.shape[1]
        self.row = table((size if features is not None else 0,), "int32")
        self.account, self.account_after = (table((size, account_size), "float32") for _ in range(2))
        self.action, self.level_after = (table((size,), "int32") for _ in range(2))
        self.ending, self.reward = table((size,), "uint8"), table((size,), "float32")
        self.added = 0
        self.tree = SumTree(size, arrays=arrays) if alpha > 0 else None
        self.highest: Any = 1.0

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
        xp, first = self.xp, self.added % self.steps * self.n_envs
        at = slice(first, first + self.n_envs)
        if self._windows is not None:
            self.row[at] = xp.asarray(row)
        self.account[at], self.account_after[at] = xp.asarray(account), xp.asarray(account_after)
        self.action[at], self.reward[at] = xp.asarray(action), xp.asarray(reward)
        self.level_after[at] = xp.asarray(level_after)
        over, cut = xp.asarray(terminated), xp.asarray(truncated)
        self.ending[at] = xp.where(over, _TERMINATED, xp.where(cut, _TRUNCATED, _ONGOING))
        self.added += 1
        if self.tree is not None:
            self.tree.set(first + xp.count(self.n_envs), xp.full(self.n_envs, 0.0) + self.highest)

    def sample(self, n: int, random: Any, *, beta: float = 1.0) -> Sample:
        """Draw ``n`` transitions, with replacement.

        ``random`` is a ``numpy.random.Generator``, or a ``torch.Generator`` where tensors are kept; ``beta`` is how far weights
        correct for priorities: 1 wholly.
        """
        weight, xp = None, self.xp
        if self.tree is None:
            entry = xp.drawn_integers(random, n, len(self))
        else:
            total = self.tree.levels[-1][0]
            entry = self.tree.find((xp.count(n) + xp.drawn(random, n)) / n * total)
            rarity = (self.tree.priorities[entry] * (len(self) / total)) ** -beta
            weight = xp.float32(rarity / rarity.max())
        reward, discount, last = self._ahead(entry)
        row = None if self._windows is None else xp.integers(self.row[entry])
        after = None if row is None else xp.integers(self.row[last]) + 1
        return Sample(
            entry,
            self._observed(row, self.account[entry]),
            xp.integers(self.action[entry]),
            reward,
            discount,
            self._observed(after, self.account_after[last]),
            xp.integers(self.level_after[last]),
            weight,
        )

    def update(self, entry: Any, error: Any) -> None:
        """Set the priorities of entries (n,) by the size of their errors (n,)."""
        if self.tree is not None:
            xp = self.xp
            priority = (xp.abs(xp.asarray(error, dtype=xp.float64)) + self.least) ** self.alpha
            self.highest = xp.maximum(priority.max(), self.highest)
            self.tree.set(entry, priority)

    def _ahead(self, entry: Any) -> tuple[Any, Any, Any]:
        """Discounted reward of up to ``n_step`` steps, discount of what follows, and the entry of the last step."""
        xp = self.xp
        reward, ending, last = self.reward[entry], self.ending[entry], entry
        discount = xp.table((len(entry),), "float32") + self.gamma
        newest = (self.added - 1) % self.steps
        size = self.steps * self.n_envs
        for _ in range(self.n_step - 1):
            on = (ending == _ONGOING) & (last // self.n_envs != newest)
            last = xp.where(on, (last + self.n_envs) % size, last)
            reward = reward + xp.where(on, discount * self.reward[last], 0.0)
            ending = self.ending[last]
            discount = xp.where(on, discount * self.gamma, discount)
        return reward, xp.where(ending == _TERMINATED, 0.0, discount), last

    def _observed(self, row: Any, account: Any) -> Any:
        if row is None or self._windows is None:
            return account
        out = self.xp.empty_observations(len(row), self._shown + account.shape[1])
        out[:, : self._shown] = self._windows[row - (self.window - 1)]
        out[:, self._shown :] = account
        return out

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """What is in it, as arrays by name; the market is not."""
        n, numpy = len(self), self.xp.numpy
        told = {name: numpy(getattr(self, name)[:n]) for name in _KEPT}
        told["added"] = np.array([self.added])
        if self.tree is not None:
            told["priority"], told["highest"] = numpy(self.tree.priorities[:n]), np.array([float(self.highest)])
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
                if tuple(mine.shape[1:]) != theirs.shape[1:] or len(theirs) > len(mine):
                    raise ModelError(
                        f"the stored replay holds '{name}' of shape {theirs.shape}; at most {tuple(mine.shape)} fits."
                    )
                mine[: len(theirs)] = self.xp.asarray(theirs)
            self.added = int(state["added"][0])
            if self.tree is not None:
                whole = np.zeros(self.tree.capacity)
                whole[: len(state["priority"])] = state["priority"]
                self.tree.fill(self.xp.asarray(whole))
                self.highest = float(state["highest"][0])
        except KeyError as missing:
            raise ModelError(f"the stored replay lacks {missing}.") from missing
