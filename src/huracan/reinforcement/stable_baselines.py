"""Agents of stable-baselines3, trained in the same environment and played on the same accounts, for comparison.

Nothing here imports stable-baselines3 before it is asked for: ``pip install 'huracan[rl-compare]'``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DependencyMissing, ModelError
from huracan.models.torch_use import torch_threads
from huracan.reinforcement.batch_env import BatchTradingEnv
from huracan.reinforcement.experience import layout_of
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rules import TradingRules

__all__ = ["StableBaselinesAgent", "as_vec_env", "train_stable_baselines"]

_TRIED_STEPS = 200


class StableBaselinesAgent:
    """An agent of stable-baselines3 with the verbs of :class:`~huracan.reinforcement.DQNAgent`: ``fit`` and ``predict``.

    So it is played by :func:`~huracan.reinforcement.play` and compared by
    :func:`~huracan.reinforcement.walk_forward_evaluation`. It is no model of the registry: theirs are stored as pickles.

    Parameters
    ----------
    algorithm : a name in ``stable_baselines3`` ("PPO", "A2C", "DQN"), or a class of its kind that takes Discrete actions.
    random_state : seed of networks, exploration and episodes; global random streams are left as they were. n_jobs : threads.
    reward_scale : what rewards are multiplied by for learning; "auto" makes their root mean square under random actions 1, as
        for our own agent.
    settings : of the algorithm, by name.

    Attributes
    ----------
    model_ : theirs. layout_, rules_ : what was learned in. reward_scale_ : that was used.

    Examples
    --------
    With stable-baselines3 installed::

        agent = StableBaselinesAgent("PPO", n_steps=64, batch_size=64)
        agent.fit(BatchTradingEnv(market, 16, rules), total_steps=100_000)
        play(agent, later, rules).totals["net_log_return"]
    """

    def __init__(
        self, algorithm: Any, *, random_state: int = 0, n_jobs: int = 1, reward_scale: float | str = "auto", **settings: Any
    ) -> None:
        self.algorithm, self.random_state, self.n_jobs = algorithm, random_state, n_jobs
        self.reward_scale, self.settings = reward_scale, settings
        self.model_: Any = None

    def fit(self, env: BatchTradingEnv, total_steps: int) -> Self:
        """Learn from ``total_steps`` steps of all copies together; algorithms that learn from rollouts end with a whole one.

        Raises
        ------
        DependencyMissing : stable-baselines3 is not installed. ModelError : there is no such algorithm, or it refuses its
            settings or the environment.
        """
        if not isinstance(env, BatchTradingEnv):
            raise ModelError(f"an agent of stable-baselines3 was given {type(env).__name__}; a BatchTradingEnv was expected.")
        made = _algorithm(self.algorithm)
        self.layout_, self.rules_ = layout_of(env.market, env.rules), env.rules
        self.reward_scale_ = _scale_of_chance(env) if self.reward_scale == "auto" else float(self.reward_scale)
        options = {"policy": "MlpPolicy", "device": "cpu", "verbose": 0, **self.settings}
        with torch_threads(self.n_jobs), _streams_put_back():
            try:
                self.model_ = made(env=as_vec_env(env, self.reward_scale_), seed=self.random_state, **options)
            except (TypeError, AssertionError, ValueError) as error:
                raise ModelError(f"{made.__name__} cannot be made so: {error}") from error
            self.model_.learn(total_steps)
        return self

    def predict(self, state: ArrayLike, mask: ArrayLike | None = None) -> tuple[Any, NDArray[np.float64]]:
        """The best action, and what is said of each: its value in the unit of the rewards, or, of algorithms that learn a
        policy, its probability; nan of others.

        Parameters
        ----------
        state : an observation (width,), or many (n, width). mask : bool, what is allowed; these algorithms know no masks, and
            what they choose beside it holds, as it does in the environment.

        Raises
        ------
        ModelError : not learned yet; a state of another width.
        """
        if self.model_ is None:
            raise ModelError("the agent has learned nothing yet; call fit first.")
        given = np.asarray(state, np.float32)
        many = np.atleast_2d(given)
        if many.shape[1:] != (self.layout_.width,):
            raise ModelError(
                f"a state has shape {given.shape}; ({self.layout_.width},) or (n, {self.layout_.width}) was expected."
            )
        with torch_threads(self.n_jobs):
            values = self._values(many)
            action = self.model_.predict(many, deterministic=True)[0] if values is None else values.argmax(axis=1)
        if values is None:
            values = np.full((len(many), len(self.layout_.action_names)), np.nan)
        if mask is not None and self.rules_.actions.kind == "moves":
            allowed = np.broadcast_to(np.asarray(mask, bool), values.shape)
            action = np.where(allowed[np.arange(len(many)), action], action, self.layout_.action_names.index("hold"))
        return (int(action[0]), values[0]) if given.ndim == 1 else (np.asarray(action, np.int64), values)

    @torch.no_grad()
    def _values(self, states: NDArray[np.float32]) -> NDArray[np.float64] | None:
        policy = self.model_.policy
        policy.set_training_mode(False)
        seen = torch.as_tensor(states, device=policy.device)
        if hasattr(policy, "q_net"):
            return policy.q_net(seen).cpu().numpy().astype(np.float64) / self.reward_scale_
        if hasattr(policy, "get_distribution"):
            return policy.get_distribution(seen).distribution.probs.cpu().numpy().astype(np.float64)
        return None


def train_stable_baselines(
    algorithm: Any,
    market: MarketTable | BatchTradingEnv,
    rules: TradingRules | None = None,
    total_steps: int = 100_000,
    *,
    n_envs: int = 16,
    **options: Any,
) -> StableBaselinesAgent:
    """Train an algorithm of stable-baselines3 on a market, or in an environment.

    Parameters
    ----------
    algorithm, options : of :class:`StableBaselinesAgent`. market, rules, n_envs : of :class:`BatchTradingEnv`, or the
        environment itself and no rules. total_steps : of all copies together.

    Raises
    ------
    ModelError : rules beside an environment, or none beside a market; and what ``fit`` raises.

    Examples
    --------
    With stable-baselines3 installed::

        agent = train_stable_baselines("A2C", market, rules, total_steps=50_000, random_state=1)
    """
    if isinstance(market, BatchTradingEnv) == (rules is not None):
        raise ModelError("a market and its rules, or an environment without rules, was expected.")
    env = market if isinstance(market, BatchTradingEnv) else BatchTradingEnv(market, n_envs, rules)
    return StableBaselinesAgent(algorithm, **options).fit(env, total_steps)


def as_vec_env(env: BatchTradingEnv, reward_scale: float = 1.0) -> Any:
    """A :class:`BatchTradingEnv` as a ``VecEnv`` of stable-baselines3: one call a step for all copies.

    Rewards are multiplied by ``reward_scale``. Where an episode ends, ``infos[i]`` holds ``terminal_observation``,
    ``TimeLimit.truncated`` (bootstrap there) and ``episode`` (return ``r`` in rewards that are not scaled, and length ``l``).

    Raises
    ------
    DependencyMissing : stable-baselines3 is not installed.
    """
    return _face()(env, reward_scale)


@cache
def _face() -> Any:
    base: Any = _package("stable_baselines3.common.vec_env").VecEnv

    class TradingVecEnv(base):
        """See :func:`as_vec_env`."""

        def __init__(self, env: BatchTradingEnv, reward_scale: float) -> None:
            self.env, self.reward_scale = env, reward_scale
            self.returns, self.lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, np.int64)
            self.began = time.time()
            super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

        def reset(self) -> NDArray[np.float32]:
            seeds = None if None in self._seeds else list(self._seeds)
            self._reset_seeds()
            self._reset_options()
            self.returns[:], self.lengths[:] = 0.0, 0
            return self.env.reset(seed=seeds)[0]

        def step_async(self, actions: NDArray[np.int64]) -> None:
            self.taken = np.asarray(actions)

        def step_wait(self) -> Any:
            observation, reward, terminated, truncated, told = self.env.step(self.taken)
            self.returns += reward
            self.lengths += 1
            infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            over = terminated | truncated
            for i in np.flatnonzero(over) if "final_obs" in told else ():
                infos[i] = {
                    "terminal_observation": told["final_obs"][i],
                    "TimeLimit.truncated": bool(truncated[i]),
                    "episode": {
                        "r": float(self.returns[i]),
                        "l": int(self.lengths[i]),
                        "t": round(time.time() - self.began, 3),
                    },
                }
                self.returns[i], self.lengths[i] = 0.0, 0
            return observation, (reward * self.reward_scale).astype(np.float32), over, infos

        def close(self) -> None:
            self.env.close()

        def _chosen(self, indices: Any) -> Sequence[int]:
            return list(self._get_indices(indices))

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            value = None if attr_name == "render_mode" else getattr(self.env, attr_name)
            return [value for _ in self._chosen(indices)]

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            raise ModelError(f"'{attr_name}' was to be set in single copies of the trading environment; they share everything.")

        def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
            if method_name != "action_masks":
                raise ModelError(f"'{method_name}' was called on single copies of the trading environment; they are one.")
            masks = self.env.action_masks()
            return [masks[i] for i in self._chosen(indices)]

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            watched = wrapper_class.__name__ == "Monitor"  # episodes are told as Monitor does
            return [watched for _ in self._chosen(indices)]

    return TradingVecEnv


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise DependencyMissing(
            "agents to compare with need stable-baselines3, which is not installed: pip install 'huracan[rl-compare]'."
        ) from error


def _algorithm(given: Any) -> Any:
    package = _package("stable_baselines3")
    if not isinstance(given, str):
        return given
    made = getattr(package, given, None)
    if not hasattr(made, "learn"):
        raise ModelError(f"stable-baselines3 has no algorithm '{given}'; 'PPO', 'A2C', 'DQN' or a class was expected.")
    return made


def _scale_of_chance(env: BatchTradingEnv) -> float:
    """What makes the root mean square of rewards under random actions 1."""
    tried = BatchTradingEnv(env.market, 16, env.rules)
    tried.reset(seed=0)
    drawn = np.random.default_rng(0).integers(0, tried.core.n_actions, (_TRIED_STEPS, 16))
    size = float(np.sqrt(np.mean([np.square(tried.step(actions)[1]) for actions in drawn])))
    return 1.0 / size if size > 1e-12 else 1.0


@contextmanager
def _streams_put_back() -> Iterator[None]:
    """Global random streams are afterwards where they were: their algorithms sow all of them."""
    plain, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    deterministic = torch.backends.cudnn.deterministic
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(numbers)  # noqa: NPY002
        torch.backends.cudnn.deterministic = deterministic
