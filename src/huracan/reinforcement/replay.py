"""Experience replay that keeps where things happened instead of what was seen there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ModelError
from huracan.reinforcement.arrays import NUMPY
from huracan.reinforcement.compiled_loops import compiled_loops
from huracan.reinforcement.sum_tree import SumTree

__all__ = ["IndexReplay", "Sample"]

_WHOLE = ("row", "action", "level_after", "ending")
_KEPT = (*_WHOLE, "reward", "account", "account_after")
_ONGOING, _TERMINATED, _TRUNCATED = 0, 1, 2


@dataclass(slots=True, eq=False)
class Sample:
    """Transitions of up to n steps, (batch, ...).

    ``observations`` are float32 (2 * batch, width), those before, then those after; ``reward`` is the discounted sum on the
    way, ``discount`` what the value after it counts: gamma to the number of steps, 0 where the episode ended by itself.
    ``level_after`` says which actions are allowed there. ``weight`` corrects for the priorities entries were drawn by, at
    most 1; None where all were drawn alike. Whole numbers are int64, others float32; arrays, or tensors where those are kept.
    """

    entry: Any
    observations: Any
    action: Any
    reward: Any
    discount: Any
    level_after: Any
    weight: Any

    @property
    def observation(self) -> Any:
        """What was seen before the action, (batch, width)."""
        return self.observations[: len(self.action)]

    @property
    def observation_after(self) -> Any:
        """What was seen after the last step, (batch, width)."""
        return self.observations[len(self.action) :]


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
    compiled : whether draws are gathered and priorities found by numba; None where it is installed. The same bits either way.
    arrays : where it is kept, see :mod:`huracan.reinforcement.arrays`: with ``TensorArrays(device)`` on that device, and so is
        all that is given and drawn; randomness is then a ``torch.Generator`` of the device, and nothing waits for it.

    Examples
    --------
    >>> replay = IndexReplay(100, 2, account_size=1, features=np.arange(10, dtype=np.float32)[:, None], window=3)
    >>> for row in range(4, 7):
    ...     replay.add(row=[row, row], account=[[0], [1]], action=[1, 1], reward=[0.5, 1.0],
    ...                account_after=[[1], [1]], terminated=[False, False], truncated=[False, False])
    >>> len(replay), replay.sample(1, np.random.default_rng(1)).observation.tolist()
    (6, [[3.0, 4.0, 5.0, 1.0]])

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
        compiled: bool | None = None,
        arrays: Any = NUMPY,
    ) -> None:
        if capacity < n_envs * (n_step + 1):
            raise ModelError(
                f"capacity (replay_capacity of an agent) is {capacity:,}; {n_step + 1} steps of {n_envs:,} copies, "
                f"{n_envs * (n_step + 1):,}, were expected at least."
            )
        self.steps, self.n_envs, self.n_step, self.gamma = capacity // n_envs, n_envs, n_step, gamma
        self.window, self.xp = window, arrays
        self.alpha, self.least = alpha, least
        size, table = self.steps * n_envs, arrays.table
        self._features, self._shown = arrays.table((0, 0), "float32"), 0
        if features is not None:
            self._features = arrays.column(np.asarray(features, np.float32))
            self._shown = window * self._features.shape[1]
            self._windows = arrays.windows(self._features, window)
        # one record a transition, so that a draw reads memory in one place; columns are views of it
        self._records = table((size, len(_WHOLE) + 1 + 2 * account_size), "int32")
        self._numbers = self._records.view(arrays.single)
        self.row, self.action, self.level_after, self.ending = (self._records[:, i] for i in range(len(_WHOLE)))
        at = len(_WHOLE)
        self.reward = self._numbers[:, at]
        self._account = slice(at + 1, at + 1 + account_size)
        self._account_after = slice(at + 1 + account_size, None)
        self.account, self.account_after = self._numbers[:, self._account], self._numbers[:, self._account_after]
        self.added = 0
        self.tree = SumTree(size, compiled=compiled, arrays=arrays) if alpha > 0 else None
        self.highest: Any = 1.0
        # what a state is worth after each way a step can end, in the order of their numbers
        self._discounts = arrays.asarray(np.array([gamma, 0.0, gamma], np.float32))
        plain = compiled is False or arrays is not NUMPY
        self._kernels = None if plain else compiled_loops("huracan.reinforcement.replay_kernels")

    def __len__(self) -> int:
        return min(self.added, self.steps) * self.n_envs

    @property
    def bytes_per_transition(self) -> float:
        """Memory that one transition takes, priorities included."""
        arrays = [self._records] + ([] if self.tree is None else self.tree.levels)
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
        if self._shown:
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
        xp, rarity, gathered = self.xp, None, None
        if n < 1 or not self.added:
            raise ModelError(f"{n} transitions of {len(self)} were asked for; at least 1 of at least 1 was expected.")
        if self.tree is None:
            entry = xp.drawn_integers(random, n, len(self))
        elif self._kernels is not None and self.n_step == 1:
            entry, rarity, gathered = self._kernels.drawn(tuple(self.tree.levels), xp.drawn(random, n), *self._kept())
        else:
            mass = (xp.drawn(random, n) + xp.count(n)) * (self.tree.levels[-1][0] / n)
            entry = self.tree.find(mass)
            priority = xp.take(self.tree.levels[0], entry)
            rarity = priority.min() / priority
        last = entry if self.n_step == 1 else self._last_of(entry)
        seen, action, level_after, reward, ending = gathered or self._gathered(entry, last)
        discount = xp.take(self._discounts, ending)
        if self.n_step > 1:
            reward, discount = self._summed(entry, last)
        weight = None if rarity is None else xp.float32(rarity**beta)
        return Sample(entry, seen, action, reward, discount, level_after, weight)

    def _kept(self) -> tuple[Any, ...]:
        return self._records, self._numbers, self._features, self.window, self._account.stop - self._account.start

    def update(self, entry: Any, error: Any) -> None:
        """Set the priorities of entries (n,) by the size of their errors (n,)."""
        if self.tree is not None:
            xp = self.xp
            priority = (xp.abs(xp.asarray(error, dtype=xp.float64)) + self.least) ** self.alpha
            if xp is NUMPY and not math.isfinite(priority.sum()):  # of tensors the learner finds out
                at = int(np.argmax(~np.isfinite(priority)))
                raise ModelError(f"the error of entry {entry[at]} is {error[at]}; finite numbers were expected.")
            self.highest = xp.maximum(self.tree.set(entry, priority), self.highest)

    def _gathered(self, entry: Any, last: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Observations before the first and after the last of these steps, the action and reward of the first, the level after
        the last, and how the first ended."""
        if self._kernels is not None:
            return self._kernels.gathered(*self._kept(), entry, last)
        xp, n, shown = self.xp, len(entry), self._shown
        first = xp.take_rows(self._records, entry)
        final = first if last is entry else xp.take_rows(self._records, last)
        seen = xp.empty_observations(2 * n, shown + self.account.shape[1])
        if shown:
            back = self.window - 1
            seen[:n, :shown] = xp.take_rows(self._windows, first[:, 0] - back)
            seen[n:, :shown] = xp.take_rows(self._windows, final[:, 0] + 1 - back)
        numbers = first.view(xp.single)
        seen[:n, shown:], seen[n:, shown:] = numbers[:, self._account], final.view(xp.single)[:, self._account_after]
        whole = (xp.integers(first[:, 1]), xp.integers(final[:, 2]), xp.integers(first[:, 3]))
        return seen, whole[0], whole[1], numbers[:, len(_WHOLE)], whole[2]

    def _last_of(self, entry: Any) -> Any:
        """The entries of the last of up to ``n_step`` steps."""
        xp, last = self.xp, entry
        newest, size = (self.added - 1) % self.steps, self.steps * self.n_envs
        for _ in range(self.n_step - 1):
            on = (self.ending[last] == _ONGOING) & (last // self.n_envs != newest)
            last = xp.where(on, (last + self.n_envs) % size, last)
        return last

    def _summed(self, entry: Any, last: Any) -> tuple[Any, Any]:
        """Discounted rewards of steps from ``entry`` to ``last``, and the discount of what follows."""
        xp, at, size = self.xp, entry, self.steps * self.n_envs
        reward = self.reward[entry]
        discount = xp.table((len(entry),), "float32") + self.gamma
        for _ in range(self.n_step - 1):
            on = at != last
            at = xp.where(on, (at + self.n_envs) % size, at)
            reward = reward + xp.where(on, discount * self.reward[at], 0.0)
            discount = xp.where(on, discount * self.gamma, discount)
        return reward, xp.where(self.ending[last] == _TERMINATED, 0.0, discount)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """What is in it, as arrays by name; the market is not."""
        n, numpy = len(self), self.xp.numpy
        told = {name: numpy(getattr(self, name)[:n]) for name in _KEPT}
        told["added"] = np.array([self.added])
        told["shape"] = np.array(self._shape)
        if self.tree is not None:
            told["priority"], told["highest"] = numpy(self.tree.priorities[:n]), np.array([float(self.highest)])
        return told

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Raises
        ------
        ModelError : it is of another replay or market, or lacks something; nothing is taken over then.
        """
        try:
            self._check(state)
            for name in _KEPT:
                mine, theirs = getattr(self, name), state[name]
                mine[: len(theirs)] = self.xp.asarray(theirs)
            self.added = int(state["added"][0])
            if self.tree is not None:
                whole = np.zeros(self.tree.capacity)
                whole[: len(state["priority"])] = state["priority"]
                self.tree.fill(self.xp.asarray(whole))
                self.highest = float(state["highest"][0])
        except KeyError as missing:
            raise ModelError(f"the stored replay lacks {missing}.") from missing

    @property
    def _shape(self) -> tuple[int, ...]:
        """Steps, copies, rows of the market, steps of a transition, and whether there are priorities."""
        return self.steps, self.n_envs, len(self._features), self.n_step, int(self.tree is not None)

    def _check(self, state: Mapping[str, NDArray[Any]]) -> None:
        shape, names = tuple(int(n) for n in state["shape"]), ("steps", "copies", "rows", "n_step", "priorities")
        if shape != self._shape:
            told = [f"{name} {theirs} (here {mine})" for name, theirs, mine in zip(names, shape, self._shape) if theirs != mine]
            raise ModelError(f"the stored replay is another one: {', '.join(told)}.")
        n = min(int(state["added"][0]), self.steps) * self.n_envs
        for name in _KEPT:
            expected = (n, *getattr(self, name).shape[1:])
            if tuple(state[name].shape) != expected:
                raise ModelError(f"the stored replay holds '{name}' of shape {state[name].shape}; {expected} was expected.")
        last = len(self._features) - 2
        if self._shown and n and not (state["row"].min() >= self.window - 1 and state["row"].max() <= last):
            raise ModelError(f"the stored replay has rows beyond the market's; {self.window - 1} to {last} were expected.")
        if self.tree is not None and len(state["priority"]) != n:
            raise ModelError(f"the stored replay has {len(state['priority'])} priorities; {n} were expected.")
