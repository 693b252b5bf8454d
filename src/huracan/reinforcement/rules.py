"""The rules of the game: what may be done, what it costs, what is seen, when it ends, what it is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from huracan.accounting import CostModel
from huracan.errors import AccountingError, ModelError, nearest_name
from huracan.reinforcement.actions import ActionLadder
from huracan.reinforcement.rewards import (
    DifferentialSharpe,
    LostReward,
    NetLogReturn,
    Reward,
    as_reward,
    code_of_reward,
    name_of,
)

__all__ = ["MOST_SHOWN", "AccountField", "TradingRules"]

MOST_SHOWN = 10.0
"""Where what an observation says of the account is cut, either way."""

AccountField = Literal["level", "target", "position", "unrealised_profit", "drawdown", "time_left"]

_EXOGENOUS_FIELDS = ("level", "target")
_REWARDS = {"net_log_return": NetLogReturn, "differential_sharpe": DifferentialSharpe, "function": LostReward}


@dataclass(frozen=True, kw_only=True)
class TradingRules:
    """Rules that an environment, an evaluation and a live account share.

    Parameters
    ----------
    actions : positions to choose from, or moves between them.
    costs : what trading costs; ``initial_equity`` is what an episode begins with.
    window : bars of features an observation shows, the newest last.
    observe : what an observation says of the account, behind the window. "level": one-hot, which of the positions is the
        standing target. "target": its weight. "position": share of equity held, at the last known close.
        "unrealised_profit": of the position since it was built up at its average price, over equity. "drawdown": fraction
        lost since the account was worth most at a close of the episode. "time_left": share of the episode still to
        come. Cut at 10 either way.
    episode_length : steps until an episode is truncated; None for as far as the data go without a gap, from wherever it
        began.
    rebalance : trade back to the target weight at every bar, as :func:`huracan.accounting.backtest` does with
        ``rebalance=True``. Otherwise units are held while the target stands, and the weight drifts with the price.
    max_leverage : largest weight, in absolute terms. A standing position that has drifted beyond is cut back to it at the next
        fill. None for no limit.
    maintenance_margin : share of the notional below which equity may not fall at a mark: there the position is closed, costs
        paid, and the episode ends (liquidation). Without it an episode ends where equity is gone (ruin); nothing is owed then.
    max_drawdown : fraction of the highest equity; when it is lost at a mark the position is closed and the episode ends.
    reward : :class:`NetLogReturn`, :class:`DifferentialSharpe`, or a function of an
        :class:`~huracan.reinforcement.rewards.Outcome`.

    Raises
    ------
    AccountingError, ModelError : a rule is out of bounds; the message gives name, value and expectation.

    Examples
    --------
    >>> rules = TradingRules(window=4, observe=("level",), rebalance=True)
    >>> rules.account_size, rules.path_dependence
    (3, ())
    >>> TradingRules().path_dependence[0]
    'a standing position drifts with the price (rebalance=False)'
    """

    actions: ActionLadder = field(default_factory=ActionLadder.buy_hold_sell)
    costs: CostModel = field(default_factory=CostModel)
    window: int = 1
    observe: tuple[AccountField, ...] = ("level", "position", "unrealised_profit")
    episode_length: int | None = 256
    rebalance: bool = False
    max_leverage: float | None = None
    maintenance_margin: float = 0.0
    max_drawdown: float | None = None
    reward: Reward | Any = field(default_factory=NetLogReturn)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reward", as_reward(self.reward))
        object.__setattr__(self, "observe", tuple(self.observe))
        if self.window < 1 or self.window != int(self.window):
            raise ModelError(f"window is {self.window}; a whole number of at least 1 bar was expected.")
        if self.episode_length is not None and (self.episode_length < 1 or self.episode_length != int(self.episode_length)):
            raise ModelError(f"episode_length is {self.episode_length}; a whole number of at least 1 step was expected.")
        for name in self.observe:
            if name not in get_args(AccountField):
                raise nearest_name(str(name), get_args(AccountField), kind="part of the account to observe")
        if len(set(self.observe)) < len(self.observe):
            raise ModelError(f"observe is {self.observe}; each part once was expected.")
        if "time_left" in self.observe and self.episode_length is None:
            raise ModelError("observe has 'time_left', and episode_length is None: nobody knows how long an episode will be.")
        self._check_limits()

    def _check_limits(self) -> None:
        widest = max(abs(w) for w in self.actions.weights)
        if self.max_leverage is not None and not (math.isfinite(self.max_leverage) and widest <= self.max_leverage):
            raise AccountingError(
                f"max_leverage is {self.max_leverage:g}, and an action asks for a weight of {widest:g}; that much was expected."
            )
        if not 0 <= self.maintenance_margin < 1:
            raise AccountingError(f"maintenance_margin is {self.maintenance_margin:g}; a share from 0 to below 1 was expected.")
        if self.maintenance_margin * widest >= 1:
            raise AccountingError(
                f"maintenance_margin is {self.maintenance_margin:g}: a weight of {widest:g} would be liquidated when bought."
            )
        if self.max_drawdown is not None and not 0 < self.max_drawdown <= 1:
            raise AccountingError(f"max_drawdown is {self.max_drawdown:g}; a fraction above 0 and up to 1 was expected.")
        if widest * self.costs.per_side_rate >= 1:
            raise AccountingError(
                f"a weight of {widest:g} at {self.costs.per_side_bps:g} basis points per side costs the whole account; "
                "less was expected."
            )

    @cached_property
    def account_fields(self) -> tuple[str, ...]:
        """A name of every number an observation says of the account."""
        names: list[str] = []
        for name in self.observe:
            names += [f"level {w:g}" for w in self.actions.weights] if name == "level" else [name]
        return tuple(names)

    @property
    def account_size(self) -> int:
        """Numbers an observation says of the account."""
        return len(self.account_fields)

    @cached_property
    def account_of_levels(self) -> NDArray[np.float32] | None:
        """(levels, account_size) float32: what an observation says of the account at each standing target.

        None where that depends on more than the target.

        >>> TradingRules(actions=ActionLadder.positions(0, 1), observe=("level", "target")).account_of_levels.tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
        """
        if not set(self.observe) <= set(_EXOGENOUS_FIELDS):
            return None
        n = self.actions.n_levels
        weights = np.clip(np.array(self.actions.weights), -MOST_SHOWN, MOST_SHOWN)[:, None]
        parts = [np.eye(n) if name == "level" else weights for name in self.observe]
        return np.concatenate([np.zeros((n, 0)), *parts], axis=1).astype(np.float32)

    @cached_property
    def path_dependence(self) -> tuple[str, ...]:
        """Why what follows depends on more than the market and the standing target; empty where it does not.

        Only without any of these can one market move tell what every position and action would have earned.
        """
        costs, reasons = self.costs, []
        if not self.rebalance:
            reasons.append("a standing position drifts with the price (rebalance=False)")
        if not costs.scale_free:
            reasons.append("fills depend on the account's size (lot_size, minimum_notional or max_volume_share)")
        seen = [name for name in self.observe if name not in _EXOGENOUS_FIELDS]
        if seen:
            reasons.append(f"the agent sees {' and '.join(seen)} (observe)")
        if not set(self.observe) & set(_EXOGENOUS_FIELDS):
            reasons.append("the agent does not see the standing target, which what follows depends on (observe)")
        if self.reward.path_dependent:
            reasons.append(f"the reward {type(self.reward).__name__} remembers earlier bars, or may")
        if self.max_drawdown is not None:
            reasons.append("a drawdown ends the episode (max_drawdown)")
        if self.maintenance_margin:
            reasons.append("a liquidation ends the episode (maintenance_margin)")
        return tuple(reasons)

    def to_dict(self) -> dict[str, Any]:
        """The rules as plain values, ready for JSON; of a reward that is a function of one's own, its name and
        a hash of what it does."""
        reward = self.reward
        kind = next((name for name, made in _REWARDS.items() if type(reward) is made), None)
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            **told,
            "observe": list(self.observe),
            "actions": {"weights": list(self.actions.weights), "kind": self.actions.kind},
            "costs": self.costs.to_dict(),
            "reward": {"kind": "function", "name": name_of(reward) or type(reward).__name__, "code": code_of_reward(reward)}
            if kind is None
            else {"kind": kind, **asdict(cast(Any, reward))},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TradingRules:
        """The inverse of :meth:`to_dict`.

        >>> rules = TradingRules(window=4, reward=NetLogReturn(downside=1.0))
        >>> TradingRules.from_dict(rules.to_dict()) == rules
        True
        """
        given = dict(values)
        for key in given:
            if key not in cls.__dataclass_fields__:
                raise nearest_name(key, cls.__dataclass_fields__, kind="rule")
        if "actions" in given:
            ladder = dict(given["actions"])
            given["actions"] = ActionLadder(tuple(ladder["weights"]), ladder.get("kind", "positions"))
        if "costs" in given:
            given["costs"] = CostModel.from_dict(given["costs"])
        if "reward" in given:
            reward = dict(given["reward"])
            kind = reward.pop("kind", "net_log_return")
            if kind not in _REWARDS:
                raise nearest_name(str(kind), _REWARDS, kind="reward")
            given["reward"] = _REWARDS[kind](**reward)
        return cls(**given)
