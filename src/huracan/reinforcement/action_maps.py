"""What an agent does, drawn as a map over the two numbers that it looks at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import ModelError, nearest_name
from huracan.reinforcement.batch_env import BatchTradingEnv
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rules import TradingRules

__all__ = ["ActionMap", "action_map", "observation_importance", "sampled_states"]

Floats = NDArray[np.float64]

_POSITION = "standing position"
_STANDING = ("target", "position")
_CELLS = 200_000
"""Observations that may be made up to find out what matters."""


@dataclass(frozen=True, eq=False)
class ActionMap:
    """The action an agent takes over two numbers of its observation, all others at their medians.

    Attributes
    ----------
    x_name, y_name : names of the numbers; "standing position" moves everything an observation says of it together.
    x, y : (columns,), (rows,) their values. action : int64 (rows, columns). action_names : what the actions are.
    advantage : float64 (rows, columns), how much more the action is worth than the next best one.
    """

    x_name: str
    y_name: str
    x: Floats
    y: Floats
    action: NDArray[np.int64]
    action_names: tuple[str, ...]
    advantage: Floats

    def to_frame(self) -> pl.DataFrame:
        """One row a cell: ``[x_name, y_name, x, y, action, action_name, advantage]``."""
        x, y = np.meshgrid(self.x, self.y)
        return pl.DataFrame(
            {
                "x": x.ravel(),
                "y": y.ravel(),
                "action": self.action.ravel(),
                "action_name": np.array(self.action_names)[self.action.ravel()],
                "advantage": self.advantage.ravel(),
            }
        ).select(pl.lit(self.x_name).alias("x_name"), pl.lit(self.y_name).alias("y_name"), pl.all())


def observation_importance(
    agent: Any, observations: NDArray[np.float32], *, mask: NDArray[np.bool_] | None = None, seed: int = 0
) -> Floats:
    """How much each number of an observation moves what actions are worth relative to each other.

    Parameters
    ----------
    agent : with ``predict``. observations : float32 (n, width). mask : bool (actions,), what ``predict`` is told to be
        allowed. seed : of the shuffles.

    Returns
    -------
    (width,) root mean square change of the actions' values, less their mean, where the number is shuffled.

    References
    ----------
    Breiman (2001), "Random forests", Machine Learning 45, section 10.
    """
    random = np.random.default_rng(seed)
    known = _relative(agent.predict(observations, mask)[1])
    moved = np.empty(observations.shape[1])
    for column in range(len(moved)):
        shuffled = observations.copy()
        shuffled[:, column] = shuffled[random.permutation(len(shuffled)), column]
        moved[column] = np.sqrt(np.mean((_relative(agent.predict(shuffled, mask)[1]) - known) ** 2))
    return moved


def action_map(
    agent: Any,
    market: MarketTable,
    rules: TradingRules,
    *,
    axes: tuple[str, str] | None = None,
    points: int = 41,
    seed: int = 0,
) -> ActionMap:
    """What an agent does over two numbers of its observation.

    Parameters
    ----------
    agent : with ``predict``. market, rules : of the game; observations are sampled there, with positions taken at random.
    axes : names of two numbers, as ``BatchTradingEnv.observation_names`` has them, or "standing position". By default the
        market's number that matters most, over the standing position where the agent sees it, else over the next in importance.
    points : values of a number, from its 1st to its 99th percentile. seed : of the sample.

    Raises
    ------
    UnknownName : an axis is no number of the observation. ModelError : there are no two different ones.

    Examples
    --------
    >>> from huracan.reinforcement import ActionLadder
    >>> class Follows:
    ...     def predict(self, state, mask=None):
    ...         values = np.asarray(state, float)[:, :1] * [-1.0, 0.0, 1.0]
    ...         return values.argmax(axis=1), values
    >>> market = MarketTable.from_prices(np.random.default_rng(0).normal(size=(300, 2)), np.full(300, 10.0))
    >>> rules = TradingRules(actions=ActionLadder.positions(-1, 0, 1), observe=("position",))
    >>> shown = action_map(Follows(), market, rules, points=2)
    >>> shown.x_name, shown.y_name, shown.y.tolist(), shown.action[0].tolist()
    ('x0', 'standing position', [-1.0, 0.0, 1.0], [0, 2])
    """
    env = BatchTradingEnv(market, 32, rules)
    names = env.observation_names
    sample = sampled_states(env, max(64, min(1024, _CELLS // len(names))), seed)
    stands = any(name in ("level", *_STANDING) for name in rules.observe)
    x_name, y_name = axes or _chosen_axes(agent, sample, names, stands, rules, seed)
    for name in (x_name, y_name):
        if name != _POSITION and name not in names:
            raise nearest_name(name, (*names, _POSITION), kind="number of the observation")
    if x_name == y_name:
        raise ModelError(f"both axes are '{x_name}'; two different ones were expected.")
    x, y = (_values(name, sample, names, rules, points) for name in (x_name, y_name))
    grid_x, grid_y = (part.ravel() for part in np.meshgrid(x, y))
    made = np.repeat(np.median(sample, axis=0)[None], len(grid_x), axis=0).astype(np.float32)
    level = np.full(len(grid_x), rules.actions.flat)
    _stand_at(made, names, level, rules)
    for name, values in ((x_name, grid_x), (y_name, grid_y)):
        if name == _POSITION:
            level = np.searchsorted(rules.actions.weights, values)
            _stand_at(made, names, level, rules)
        else:
            made[:, names.index(name)] = values
    allowed = rules.actions.allowed[level]
    action, worth = agent.predict(made, None if rules.actions.allowed.all() else allowed)
    ranked = np.sort(np.where(allowed, worth, -np.inf), axis=1)
    shape = (len(y), len(x))
    return ActionMap(
        x_name,
        y_name,
        x,
        y,
        np.asarray(action, np.int64).reshape(shape),
        rules.actions.names,
        (ranked[:, -1] - ranked[:, -2]).reshape(shape),
    )


def _relative(values: Floats) -> Floats:
    return values - values.mean(axis=1, keepdims=True)


def sampled_states(env: BatchTradingEnv, n: int, seed: int = 0) -> NDArray[np.float32]:
    """Observations (n, width) that accounts come through which act at random; the environment is begun anew.

    Examples
    --------
    >>> market = MarketTable.from_prices(np.zeros((30, 2)), np.linspace(1.0, 2.0, 30))
    >>> sampled_states(BatchTradingEnv(market, 4, observe=("level",), episode_length=9), 10).shape
    (10, 5)
    """
    random = np.random.default_rng(seed)
    seen, infos = env.reset(seed=seed)
    kept = [seen]
    while len(kept) * env.num_envs < n:
        mask = infos["action_mask"]
        seen, *_, infos = env.step(np.where(mask, random.random(mask.shape), -1.0).argmax(axis=1))
        kept.append(seen)
    return np.concatenate(kept)[:n]


def _chosen_axes(
    agent: Any, sample: NDArray[np.float32], names: tuple[str, ...], stands: bool, rules: TradingRules, seed: int
) -> tuple[str, str]:
    everything = np.ones(rules.actions.n_actions, bool)  # values are compared, whatever may be done
    order = np.argsort(-observation_importance(agent, sample, mask=everything, seed=seed), kind="stable")
    shown = len(names) - rules.account_size
    first = next(int(i) for i in order if i < shown)
    if stands:
        return names[first], _POSITION
    others = [int(i) for i in order if i != first]
    if not others:
        raise ModelError("the agent sees one number only; a map needs two.")
    return names[first], names[others[0]]


def _values(name: str, sample: NDArray[np.float32], names: tuple[str, ...], rules: TradingRules, points: int) -> Floats:
    if name == _POSITION:
        return np.array(rules.actions.weights)
    low, high = np.quantile(sample[:, names.index(name)], [0.01, 0.99])
    return np.linspace(low, high, points)


def _stand_at(made: NDArray[np.float32], names: tuple[str, ...], level: NDArray[np.int64], rules: TradingRules) -> None:
    """Write into observations, in place, that the standing target is of these levels (n,)."""
    weights = np.array(rules.actions.weights)
    shown = len(names) - rules.account_size
    levels = [i for i, name in enumerate(rules.account_fields) if name.startswith("level ")]
    for place, i in enumerate(levels):
        made[:, shown + i] = level == place
    for i, name in enumerate(rules.account_fields):
        if name in _STANDING:
            made[:, shown + i] = weights[level]
