"""How an agent learns, and how learning stood."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from huracan.errors import ModelError

__all__ = ["AgentSettings", "LearningPoint"]


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """How a :class:`DQNAgent` learns.

    Parameters
    ----------
    encoder, encoder_options, embedding, hidden, dueling, noisy : see
        :class:`~huracan.reinforcement.q_network.QNetworkSettings`.
    double : choose with the online network, value with the target network.
    distribution : None for values, "c51" or "qr" for distributions of ``n_atoms`` numbers. value_range : lowest and highest
        atom of "c51", in scaled rewards; "auto" is the reach of sums of such rewards as were seen before the first update.
    loss : "squared" or "huber", of plain values. Huber's needs rewards of the right size: on small ones it is the squared
        loss, on large ones it learns medians.
    n_step : steps of a transition. gamma : discount of one step.
    prioritised : draw transitions by the size of their errors to the power ``alpha``; ``beta`` is the correction for that
        at the start, 1 at the end.
    learning_rate : of Adam at the start. final_rate : share of it at the end, on a straight line.
    weight_decay : share of the parameters, times the rate, that an update takes off. Values are drawn to those of a market
        that nothing predicts, where the best is to stay out; "auto" is 0.4 where those are known (counterfactual backups of a
        "level" that is observed), else 0.
    batch_size : transitions, or bars with counterfactual backups, of an update.
    replay_capacity : transitions kept. learning_starts : steps before the first update.
    train_every : steps (of all copies together) between two rounds of ``gradient_steps`` updates.
    tau : share of the online network that the target network takes over in an update; "auto" is 0.1 with counterfactual
        backups, whose targets are exact but for the network, else 0.01. Values from afar need about 1 / (tau (1 - gamma))
        updates to arrive. target_every : above 1, it takes over all of it once in so many updates instead.
    epsilon_start, epsilon_end : share of random actions, falling on a straight line over ``exploration`` of all steps.
    clip_norm : largest norm of a gradient.
    reward_scale : what rewards are multiplied by for learning; "auto" makes the root mean square of those seen before the
        first update 1.
    counterfactual : learn from what all actions on each bar would have earned, see
        :mod:`huracan.reinforcement.counterfactual`; "auto" where the rules allow.
    standardise : read market features as standard deviations from their means on the rows that are learned from.
    validation : share of the market's last moments that nothing is learned from, on which learning points are scored instead;
        bars that those see or settle are left out too. With 0 all is learned from, and scores are on the last tenth of it.
        Nothing is chosen by a score: what is kept is the agent at the end of its training.
    """

    encoder: str = "mlp"
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    embedding: int = 64
    hidden: Sequence[int] = (128, 128)
    dueling: bool = False
    double: bool = True
    noisy: bool = False
    distribution: str | None = None
    n_atoms: int = 51
    value_range: tuple[float, float] | Literal["auto"] = "auto"
    loss: Literal["squared", "huber"] = "squared"
    n_step: int = 1
    gamma: float = 0.99
    prioritised: bool = False
    alpha: float = 0.6
    beta: float = 0.4
    learning_rate: float = 1e-3
    weight_decay: float | Literal["auto"] = "auto"
    final_rate: float = 0.05
    batch_size: int = 64
    replay_capacity: int = 100_000
    learning_starts: int = 1_000
    train_every: int = 4
    gradient_steps: int = 1
    tau: float | Literal["auto"] = "auto"
    target_every: int = 1
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    exploration: float = 0.5
    clip_norm: float = 10.0
    reward_scale: float | Literal["auto"] = "auto"
    counterfactual: bool | Literal["auto"] = "auto"
    standardise: bool = True
    validation: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if self.value_range != "auto":
            object.__setattr__(self, "value_range", tuple(self.value_range))
        for name in ("n_step", "batch_size", "train_every", "gradient_steps", "target_every", "n_atoms", "replay_capacity"):
            self._check(name, _whole(getattr(self, name), least=1), "a whole number of at least 1")
        self._check("learning_starts", _whole(self.learning_starts, least=0), "a whole number of at least 0")
        for name in ("epsilon_start", "epsilon_end", "exploration", "final_rate", "alpha", "beta"):
            self._check(name, _within(getattr(self, name), 0.0, 1.0), "a share from 0 to 1")
        self._check("tau", self.tau == "auto" or _within(self.tau, 0.0, 1.0), "'auto' or a share from 0 to 1")
        self._check("gamma", _within(self.gamma, 0.0, 1.0) and self.gamma < 1, "a discount from 0 to below 1")
        decay = self.weight_decay
        self._check("weight_decay", decay == "auto" or _within(decay, 0.0, math.inf), "'auto' or a number of at least 0")
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            self._check(name, _within(value, 0.0, math.inf) and value > 0, "a number above 0")
        scale = self.reward_scale
        self._check(
            "reward_scale", scale == "auto" or (_within(scale, 0.0, math.inf) and scale > 0), "'auto' or a number above 0"
        )
        for name in ("dueling", "double", "noisy", "prioritised", "standardise"):
            self._check(name, isinstance(getattr(self, name), bool), "true or false")
        share = self.validation
        self._check("validation", _within(share, 0.0, 1.0) and share < 1, "a share from 0 to below 1")
        self._check("counterfactual", self.counterfactual in ("auto", True, False), "'auto', true or false")
        reach = self.value_range
        rising = reach == "auto" or (len(reach) == 2 and all(_within(v, -math.inf, math.inf) for v in reach))
        self._check("value_range", rising and (reach == "auto" or reach[0] < reach[1]), "'auto' or a low and a high number")
        self._check("hidden", all(_whole(width, least=1) for width in self.hidden), "widths of at least 1")
        self._check("embedding", _whole(self.embedding, least=1), "a width of at least 1")

    def _check(self, name: str, fits: bool, expected: str) -> None:
        if not fits:
            raise ModelError(f"{name} is {getattr(self, name)!r}; {expected} was expected.")


def _whole(value: Any, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _within(value: Any, low: float, high: float) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high


@dataclass(frozen=True)
class LearningPoint:
    """How learning stood after ``step`` steps.

    Attributes
    ----------
    loss, episode_return : of what came since the last point, means of losses and of episodes' returns (None where none ended).
    epsilon : share of random actions. score : net mean log return a bar of the greedy policy on the last bars, after all
        costs; None where this point was not scored. held_back : whether nothing is learned from those bars.
    """

    step: int
    loss: float
    episode_return: float | None
    epsilon: float
    score: float | None = None
    held_back: bool = False
