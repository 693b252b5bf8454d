"""How an agent learns, and how learning stood."""

from __future__ import annotations

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if self.value_range != "auto":
            object.__setattr__(self, "value_range", tuple(self.value_range))
        for name in ("n_step", "batch_size", "train_every", "gradient_steps", "target_every", "n_atoms", "replay_capacity"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}; a whole number of at least 1 was expected.")
        for name in ("epsilon_start", "epsilon_end", "exploration", "final_rate", "tau", "alpha", "beta"):
            if getattr(self, name) != "auto" and not 0 <= getattr(self, name) <= 1:
                raise ModelError(f"{name} is {getattr(self, name)}; a share from 0 to 1 was expected.")
        if not 0 <= self.gamma < 1:
            raise ModelError(f"gamma is {self.gamma}; a discount from 0 to below 1 was expected.")
        if self.weight_decay != "auto" and not self.weight_decay >= 0:
            raise ModelError(f"weight_decay is {self.weight_decay}; 'auto' or a number of at least 0 was expected.")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ModelError(f"{name} is {getattr(self, name)}; a number above 0 was expected.")


@dataclass(frozen=True)
class LearningPoint:
    """How learning stood after ``step`` steps: of what came since the last point, means of losses and of episodes' returns
    (None where none ended)."""

    step: int
    loss: float
    episode_return: float | None
    epsilon: float
