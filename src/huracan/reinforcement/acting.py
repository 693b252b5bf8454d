"""Steps of all copies of an environment, epsilon-greedy, into the replay; and what was earned on the way.

Written in the arithmetic of the environment (:mod:`huracan.reinforcement.arrays`): with an environment of tensors nothing here
waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from huracan.reinforcement.agent_settings import AgentSettings
from huracan.reinforcement.experience import Experience
from huracan.reinforcement.q_learning import QLearner
from huracan.reinforcement.replay import IndexReplay

__all__ = ["Acting", "RewardSizes"]

_SPREADS = 3.0
"""Standard deviations of a sum of discounted rewards, were they independent, that c51 looks beyond their mean."""


class RewardSizes:
    """How large rewards are: what they are scaled by, and what they can sum up to.

    >>> import numpy as np
    >>> from huracan.reinforcement.arrays import NUMPY
    >>> sizes = RewardSizes(NUMPY)
    >>> sizes.note(np.array([0.3, -0.4, 9.0]), without=np.array([False, False, True]))
    >>> round(sizes.scale, 3), float(sizes.largest)
    (2.828, 9.0)
    """

    def __init__(self, arrays: Any) -> None:
        self.xp = arrays
        self.largest: Any = 0.0
        self.total: Any = 0.0
        self.square: Any = 0.0
        self.n: Any = 0.0

    def note_largest(self, reward: Any) -> None:
        """See what the largest one is, either way."""
        self.largest = self.xp.maximum(self.xp.abs(reward).max(), self.largest)

    def note(self, reward: Any, without: Any = None) -> None:
        """Count rewards, except those set in ``without``: ruin is no measure of what a bar pays."""
        self.note_largest(reward)
        counted = len(reward) if without is None else (~without).sum()
        kept = reward if without is None else self.xp.where(without, 0.0, reward)
        self.total = self.total + kept.sum(dtype=self.xp.float64)
        self.square = self.square + (kept * kept).sum(dtype=self.xp.float64)
        self.n = self.n + counted

    @property
    def scale(self) -> float:
        """What makes the root mean square 1; 1 where all are 0."""
        square = float(self.square) / max(float(self.n), 1.0)
        return 1.0 / math.sqrt(square) if square > 1e-24 else 1.0

    def reach(self, gamma: float) -> float:
        """How far from 0 discounted sums of such rewards come."""
        n = max(float(self.n), 1.0)
        mean = float(self.total) / n
        spread = math.sqrt(max(float(self.square) / n - mean**2, 0.0) / (1.0 - gamma**2))
        return abs(mean) / (1.0 - gamma) + _SPREADS * spread

    def told(self) -> dict[str, float]:
        """As plain numbers."""
        return {name: float(getattr(self, name)) for name in ("largest", "total", "square", "n")}

    def restore(self, told: Mapping[str, float]) -> None:
        """Go on from what :meth:`told` gave."""
        for name, value in told.items():
            setattr(self, name, value)


class Acting:
    """Copies of an environment that are acted in.

    Parameters
    ----------
    experience, learner, replay : where, by whose values, and into what. settings : how. seed : of everything random here.
    """

    def __init__(
        self, experience: Experience, learner: QLearner, replay: IndexReplay, settings: AgentSettings, seed: int
    ) -> None:
        self.experience, self.learner, self.replay, self.settings = experience, learner, replay, settings
        self.xp, self.seed = experience.xp, seed
        self.random = self.xp.generator(seed)
        self.sizes = RewardSizes(self.xp)
        self.returns = self.xp.full(experience.n_envs, 0.0)
        self.finished: list[Any] = [0.0, 0.0]
        self.observation: Any = None

    def begin(self) -> None:
        """Begin in every copy, where it has not begun yet."""
        if self.observation is None:
            self.observation = self.experience.begin(self.seed)

    def act(self, epsilon: float) -> None:
        """One step of every copy, a share ``epsilon`` of them at random."""
        xp, random, experience = self.xp, self.random, self.experience
        level = experience.level()
        allowed = None if level is None or experience.allowed is None else experience.allowed[level]
        n, n_actions = experience.n_envs, len(experience.layout.action_names)
        if allowed is None:
            action = xp.drawn_integers(random, n, n_actions)
        else:
            action = xp.where(allowed, xp.drawn(random, n * n_actions).reshape(n, n_actions), -1.0).argmax(1)
        greedy = xp.drawn(random, n) >= epsilon
        if xp.some(greedy):
            values = self.learner.values(self.observation, noisy=self.settings.noisy)
            if allowed is not None:
                values = xp.where(allowed, values, -math.inf)
            action = xp.where(greedy, values.argmax(1), action)
        taken = experience.take(self.observation, action)
        self.replay.add(**taken.kept)
        self.observation = taken.observation
        self.returns = self.returns + taken.reward
        if self.learner.updates == 0:
            self.sizes.note(taken.reward, None if experience.market is None else taken.kept["terminated"])
        else:
            self.sizes.note_largest(taken.reward)
        if xp.some(taken.over):
            self.finished[0] += xp.where(taken.over, self.returns, 0.0).sum()
            self.finished[1] += taken.over.sum()
            self.returns = xp.where(taken.over, 0.0, self.returns)

    def mean_return(self) -> float | None:
        """Of the episodes that ended since the last question; None where none did."""
        total, count = (float(value) for value in self.finished)
        self.finished = [0.0, 0.0]
        return total / count if count else None

    # --- going on later --------------------------------------------------------------------------------------------

    def told(self) -> dict[str, Any]:
        """What is no array, as plain values."""
        return {
            "random": self.xp.state_of(self.random),
            "finished": [float(value) for value in self.finished],
            "sizes": self.sizes.told(),
        }

    def restore(self, told: Mapping[str, Any], returns: Any) -> None:
        """Go on from what :meth:`told` gave, and from the returns of the episodes that are under way."""
        self.xp.set_state(self.random, told["random"])
        self.finished = list(told["finished"])
        self.sizes.restore(told["sizes"])
        self.returns = self.xp.column(returns)
