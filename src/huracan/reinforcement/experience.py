"""Where experience comes from: the trading environment, or any environment of gymnasium with discrete actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics
from numpy.typing import NDArray

from huracan.errors import ModelError
from huracan.reinforcement.arrays import NUMPY
from huracan.reinforcement.batch_env import BatchTradingEnv
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rules import TradingRules
from huracan.reinforcement.tensor_env import TensorTradingEnv
from huracan.reinforcement.trading_env import TradingEnv

__all__ = [
    "Experience",
    "MarketExperience",
    "ObservationLayout",
    "PlainExperience",
    "StepTaken",
    "experience_of",
    "layout_of",
    "require_same_layout",
]


@dataclass(frozen=True)
class ObservationLayout:
    """What an observation is made of: ``window`` bars of ``feature_names``, then ``account_names``; and what may be done."""

    window: int
    feature_names: tuple[str, ...]
    account_names: tuple[str, ...]
    action_names: tuple[str, ...]

    @property
    def width(self) -> int:
        """Numbers of an observation."""
        return self.window * len(self.feature_names) + len(self.account_names)


@dataclass(frozen=True, eq=False)
class StepTaken:
    """One step of every copy, as :meth:`huracan.reinforcement.replay.IndexReplay.add` takes it, and what is seen next."""

    kept: dict[str, Any]
    observation: Any
    reward: Any
    over: Any


class Experience(Protocol):
    """Copies of an environment that an agent learns in."""

    @property
    def xp(self) -> Any:
        """The arithmetic of what it gives and takes, see :mod:`huracan.reinforcement.arrays`."""
        ...

    @property
    def n_envs(self) -> int:
        """Copies."""
        ...

    @property
    def layout(self) -> ObservationLayout:
        """What an observation is made of."""
        ...

    @property
    def market(self) -> MarketTable | None:
        """The market, where there is one."""
        ...

    @property
    def rules(self) -> TradingRules | None:
        """The rules of the game, where it is the trading environment."""
        ...

    @property
    def allowed(self) -> Any:
        """(levels, actions), or None where everything always is."""
        ...

    def begin(self, seed: int) -> Any:
        """Begin in every copy; observations (n_envs, width)."""
        ...

    def level(self) -> Any:
        """(n_envs,) the row of ``allowed`` that holds now."""
        ...

    def take(self, observation: Any, action: Any) -> StepTaken:
        """One step of every copy."""
        ...

    def state(self) -> dict[str, NDArray[Any]] | None:
        """What goes on exactly from here; None where the environment cannot tell."""
        ...

    def restore(self, state: dict[str, NDArray[Any]]) -> Any:
        """Go on from there; observations."""
        ...


_APART = 65_537
"""Between the first copies of agents with neighbouring seeds, so that they see other episodes."""


class MarketExperience:
    """The trading environment: of an observation only the row and the account have to be kept."""

    def __init__(self, env: BatchTradingEnv | TensorTradingEnv) -> None:
        self.env, self.market, self.rules, self.n_envs = env, env.market, env.rules, env.num_envs
        self.xp = env.core.xp
        self.layout = layout_of(env.market, env.rules)
        actions = env.rules.actions
        self.allowed = None if actions.allowed.all() else self.xp.column(actions.allowed)
        self._next_level = self.xp.column(actions.next_level)
        self._shown = self.layout.width - env.rules.account_size

    def begin(self, seed: int) -> Any:
        return self.env.reset(seed=seed * _APART)[0]

    def level(self) -> Any:
        return self.env.core.level if self.allowed is not None else None

    def take(self, observation: Any, action: Any) -> StepTaken:
        core, shown = self.env.core, self._shown
        row = core.row
        level_after = self._next_level[core.level, action]
        moved = core.move(action)
        over = moved.terminated | moved.truncated
        after = moved.observation
        if moved.final_observation is not None:
            after = self.xp.where(over[:, None], moved.final_observation, after)
        kept = {
            "row": row,
            "account": observation[:, shown:],
            "action": action,
            "reward": moved.reward,
            "account_after": after[:, shown:],
            "terminated": moved.terminated,
            "truncated": moved.truncated,
            "level_after": level_after,
        }
        return StepTaken(kept, moved.observation, moved.reward, over)

    def state(self) -> dict[str, NDArray[Any]] | None:
        return self.env.state_dict()

    def restore(self, state: dict[str, NDArray[Any]]) -> Any:
        self.env.load_state_dict(state)
        return self.env.core.observe()


class PlainExperience:
    """Any environment of gymnasium with discrete actions; whole observations are kept."""

    market = None
    rules = None
    allowed = None
    xp = NUMPY

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        actions, seen = env.single_action_space, env.single_observation_space
        if not isinstance(actions, gymnasium.spaces.Discrete) or actions.start != 0:
            raise ModelError(f"the action space is {actions}; Discrete actions from 0 were expected.")
        self._states = int(seen.n) if isinstance(seen, gymnasium.spaces.Discrete) else 0
        if not self._states and not (isinstance(seen, gymnasium.spaces.Box) and len(seen.shape) == 1):
            raise ModelError(f"the observation space is {seen}; a Discrete one or a flat Box was expected.")
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise ModelError(
                "the vector environment resets in the step after an episode's end; autoreset_mode=AutoresetMode.SAME_STEP "
                "was expected."
            )
        self.env, self.n_envs = env, env.num_envs
        width = self._states or int(seen.shape[0])  # type: ignore[index]
        self.layout = ObservationLayout(
            0, (), tuple(f"observation {i}" for i in range(width)), tuple(f"action {i}" for i in range(int(actions.n)))
        )

    def begin(self, seed: int) -> NDArray[np.float32]:
        return self._numbers(self.env.reset(seed=seed)[0])

    def level(self) -> NDArray[np.int64] | None:
        return None

    def take(self, observation: NDArray[np.float32], action: NDArray[np.int64]) -> StepTaken:
        seen, reward, terminated, truncated, infos = self.env.step(action)
        shown = self._numbers(seen)
        over = terminated | truncated
        after = shown
        if over.any():
            after = shown.copy()
            final: Any = infos.get("final_obs", infos.get("final_observation"))
            for i in np.flatnonzero(over):
                after[i] = self._numbers(np.asarray(final[i])[None])[0]
        kept = {
            "account": observation,
            "action": action,
            "reward": reward,
            "account_after": after,
            "terminated": terminated,
            "truncated": truncated,
        }
        return StepTaken(kept, shown, np.asarray(reward, np.float64), over)

    def state(self) -> dict[str, NDArray[Any]] | None:
        return None

    def restore(self, state: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        raise ModelError("an environment that is not Huracan's cannot go on from a stored state.")

    def _numbers(self, seen: Any) -> NDArray[np.float32]:
        if self._states:
            return np.eye(self._states, dtype=np.float32)[np.asarray(seen).astype(np.int64)]
        return np.array(seen, np.float32)


def layout_of(market: MarketTable, rules: TradingRules) -> ObservationLayout:
    """The layout of an observation of this market under these rules."""
    return ObservationLayout(rules.window, market.feature_names, rules.account_fields, rules.actions.names)


def require_same_layout(agent: Any, market: MarketTable, rules: TradingRules) -> None:
    """Refuse an agent that learned with other states or actions; one that does not say with which is let through.

    Raises
    ------
    ModelError : what differs.
    """
    learned, here = getattr(agent, "layout_", None), layout_of(market, rules)
    if learned is not None and learned != here:
        part = next(name for name in here.__dataclass_fields__ if getattr(learned, name) != getattr(here, name))
        raise ModelError(
            f"the agent learned with other states or actions: {part} was {getattr(learned, part)}, and is "
            f"{getattr(here, part)} here."
        )


def _unchanged(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether wrappers around an environment only watch: one that changes rewards or observations has to be learned through."""
    watching = (OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics)
    while isinstance(env, gymnasium.Wrapper):
        if not isinstance(env, watching):
            return False
        env = env.env
    return True


def experience_of(env: Any) -> Experience:
    """What an agent learns from, of an environment of any kind it takes.

    Raises
    ------
    ModelError : it is none of those; or its spaces are not.
    """
    if isinstance(env, BatchTradingEnv | TensorTradingEnv):
        return MarketExperience(env)
    if isinstance(env, gymnasium.Env) and isinstance(env.unwrapped, TradingEnv) and _unchanged(env):
        return MarketExperience(BatchTradingEnv(env.unwrapped.market, 1, env.unwrapped.rules))
    if isinstance(env, VectorEnv):
        return PlainExperience(env)
    if isinstance(env, gymnasium.Env):
        return PlainExperience(gymnasium.vector.SyncVectorEnv([lambda: env], autoreset_mode=AutoresetMode.SAME_STEP))
    raise ModelError(f"an agent was given {type(env).__name__}; an environment of gymnasium was expected.")
