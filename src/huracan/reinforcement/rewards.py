"""What a step is worth to an agent.

A reward is called with an :class:`Outcome` and what it remembers of each copy, and gives rewards and what it remembers from
then on. A plain function of the outcome is a reward, too. All rewards work on NumPy arrays and on tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from huracan.errors import AccountingError, ModelError
from huracan.training.code_identity import code_of

__all__ = [
    "RUIN",
    "DifferentialSharpe",
    "LostReward",
    "NetLogReturn",
    "Outcome",
    "Reward",
    "as_reward",
    "code_of_reward",
    "log_of_growth",
    "name_of",
    "outcome_of",
]

RUIN = 1e-6
"""Growth of equity that ruin counts as in a log return."""


class Outcome(NamedTuple):
    """What one step did to each copy; arrays (n,), float64, returns as fractions of the equity before the step.

    ``log_return`` is the log of the equity's growth net of all costs, at least log(1e-6), which is what ruin counts;
    ``drawdown`` and ``drawdown_before`` are fractions lost since the highest equity of the episode (None where the reward says
    that it does not read them); ``turnover`` is the traded notional over equity, ``cost`` what was paid for trading,
    ``target`` the weight decided on.
    """

    log_return: Any
    equity: Any
    drawdown_before: Any
    drawdown: Any
    turnover: Any
    cost: Any
    target: Any


def outcome_of(
    before: Any,
    equity: Any,
    traded: Any,
    cost: Any,
    target: Any,
    arrays: Any,
    *,
    drawdown_before: Any = None,
    drawdown: Any = None,
) -> Outcome:
    """The outcome of a step.

    Parameters
    ----------
    before, equity : before and after the step. traded, cost : notional, and what it cost; all in currency. target : weight
        decided on. arrays : whose arithmetic. drawdown_before, drawdown : fractions.

    Examples
    --------
    >>> import numpy as np
    >>> from huracan.reinforcement.arrays import NUMPY
    >>> out = outcome_of(np.array([100.0]), np.array([0.0]), np.array([50.0]), np.array([1.0]), np.array([0.5]), NUMPY)
    >>> out.log_return.round(4).tolist(), out.turnover.tolist(), out.cost.tolist()  # ruin
    ([-13.8155], [0.5], [0.01])
    """
    return Outcome(
        log_return=log_of_growth(equity / before, arrays),
        equity=equity,
        drawdown_before=drawdown_before,
        drawdown=drawdown,
        turnover=traded / before,
        cost=cost / before,
        target=target,
    )


def log_of_growth(growth: Any, arrays: Any) -> Any:
    """The log return of equity that grew by this factor; ruin counts as a factor of 1e-6."""
    return arrays.log(arrays.maximum(growth, RUIN))


class Reward(Protocol):
    """What an environment needs of a reward.

    One that has ``reads_drawdown = False`` is given an outcome without drawdowns.
    """

    path_dependent: bool

    def memory(self, n: int, arrays: Any) -> tuple[Any, ...]:
        """What is remembered of ``n`` copies when an episode begins, arrays (n,)."""
        ...

    def __call__(self, outcome: Outcome, memory: tuple[Any, ...], arrays: Any) -> tuple[Any, tuple[Any, ...]]:
        """Rewards (n,), and what is remembered from then on."""
        ...


@dataclass(frozen=True)
class NetLogReturn:
    """Log return net of costs, less penalties; the sum over an episode is the log of what the account grew to.

    Parameters
    ----------
    downside : times the loss of a losing bar is taken off again. drawdown : times the drawdown that a bar added.

    Examples
    --------
    >>> import numpy as np
    >>> from huracan.reinforcement.arrays import NUMPY
    >>> zero = np.zeros(1)
    >>> lost = Outcome(np.array([-0.02]), zero, zero, np.array([0.02]), zero, zero, zero)
    >>> NetLogReturn(downside=1.0, drawdown=0.5)(lost, (), NUMPY)[0]
    array([-0.05])
    """

    downside: float = 0.0
    drawdown: float = 0.0

    def __post_init__(self) -> None:
        for name in ("downside", "drawdown"):
            if not getattr(self, name) >= 0:
                raise AccountingError(f"the {name} penalty is {getattr(self, name)}; a number of at least 0 was expected.")

    @property
    def path_dependent(self) -> bool:
        """Whether a reward depends on more than the position before the step and the step itself."""
        return self.drawdown > 0

    @property
    def reads_drawdown(self) -> bool:
        """Whether drawdowns are penalised."""
        return self.drawdown > 0

    def memory(self, n: int, arrays: Any) -> tuple[Any, ...]:
        """Nothing."""
        return ()

    def __call__(self, outcome: Outcome, memory: tuple[Any, ...], arrays: Any) -> tuple[Any, tuple[Any, ...]]:
        """See the class."""
        reward = outcome.log_return
        if self.downside:
            reward = reward + self.downside * arrays.minimum(outcome.log_return, 0.0)
        if self.drawdown:
            reward = reward - self.drawdown * arrays.maximum(outcome.drawdown - outcome.drawdown_before, 0.0)
        return reward, memory


@dataclass(frozen=True)
class DifferentialSharpe:
    """How much a bar's return adds to the exponentially weighted Sharpe ratio.

    Parameters
    ----------
    span : bars over which mean and mean square of returns are remembered, weight ``1 / span`` for the newest.
    floor : least standard deviation of one bar, a fraction, so that an account at rest does not divide by nothing.

    References
    ----------
    Moody and Saffell (2001), "Learning to Trade via Direct Reinforcement", IEEE Transactions on Neural Networks 12(4),
    equation 8.
    """

    span: float = 100.0
    floor: float = 1e-4
    path_dependent = True
    reads_drawdown = False

    def __post_init__(self) -> None:
        if not self.span > 1 or not self.floor > 0:
            raise AccountingError(f"span is {self.span} and floor {self.floor}; more than 1 bar and more than 0 were expected.")

    def memory(self, n: int, arrays: Any) -> tuple[Any, ...]:
        """Mean and mean square of returns."""
        return arrays.full(n, 0.0), arrays.full(n, self.floor**2)

    def __call__(self, outcome: Outcome, memory: tuple[Any, ...], arrays: Any) -> tuple[Any, tuple[Any, ...]]:
        """See the class."""
        mean, square = memory
        from_mean, from_square = outcome.log_return - mean, outcome.log_return * outcome.log_return - square
        variance = arrays.maximum(square - mean * mean, self.floor**2)
        reward = (square * from_mean - 0.5 * mean * from_square) / (variance * arrays.sqrt(variance))
        return reward / self.span, (mean + from_mean / self.span, square + from_square / self.span)


@dataclass(frozen=True)
class _OfOutcome:
    """A plain function of the outcome as a reward; nobody knows what it depends on, so it counts as path dependent."""

    function: Callable[[Outcome], Any]
    path_dependent = True

    def memory(self, n: int, arrays: Any) -> tuple[Any, ...]:
        return ()

    def __call__(self, outcome: Outcome, memory: tuple[Any, ...], arrays: Any) -> tuple[Any, tuple[Any, ...]]:
        reward = self.function(outcome)
        expected = outcome.log_return
        if getattr(reward, "shape", None) != expected.shape:
            told = getattr(reward, "shape", None) or type(reward).__name__
            raise ModelError(
                f"the reward {name_of(self)} gave {told}; one number a copy, {tuple(expected.shape)}, was expected."
            )
        if isinstance(reward, np.ndarray) and not np.isfinite(reward).all():  # of tensors the learner finds out
            at = int(np.argmax(~np.isfinite(reward)))
            raise ModelError(f"the reward {name_of(self)} is {reward[at]} for copy {at}; finite numbers were expected.")
        return reward, memory


@dataclass(frozen=True)
class LostReward:
    """A function of one's own that was a reward once: only its name was stored, so nothing new can be learned by it."""

    name: str
    code: str = ""
    path_dependent = True

    def memory(self, n: int, arrays: Any) -> tuple[Any, ...]:
        """Nothing."""
        return ()

    def __call__(self, outcome: Outcome, memory: tuple[Any, ...], arrays: Any) -> tuple[Any, tuple[Any, ...]]:
        """Refuse."""
        raise ModelError(f"the reward was the function {self.name}, which is not stored with a model; give it in new rules.")


def name_of(reward: Any) -> str | None:
    """Name of the function a reward is made of, or None."""
    if isinstance(reward, LostReward):
        return reward.name
    return getattr(reward.function, "__qualname__", repr(reward.function)) if isinstance(reward, _OfOutcome) else None


def code_of_reward(reward: Any) -> str:
    """What the function that a reward is made of does, as a hash: with its name alone another one would be taken for it."""
    return reward.code if isinstance(reward, LostReward) else code_of([getattr(reward, "function", type(reward))])


def as_reward(given: Any) -> Reward:
    """A reward, or a function of an :class:`Outcome`, as a reward.

    Raises
    ------
    AccountingError : it is neither.
    """
    if hasattr(given, "memory") and hasattr(given, "path_dependent"):
        return given
    if callable(given):
        return _OfOutcome(given)
    raise AccountingError(f"reward is {given!r}; NetLogReturn, DifferentialSharpe or a function of an Outcome was expected.")
