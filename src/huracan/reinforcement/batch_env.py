"""Many copies of the trading environment in one, after ``gymnasium.vector``."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from huracan.errors import ModelError
from huracan.reinforcement.arrays import NUMPY
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rules import TradingRules
from huracan.reinforcement.trading_core import TradingCore

__all__ = ["BatchTradingEnv", "checked_actions", "checked_rows", "observation_space", "rules_of", "sown"]


class BatchTradingEnv(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """``n_envs`` independent accounts in one market, stepped together with the backtest's own formula.

    A copy whose episode ends begins another one in the same step: the observation returned is the new episode's first, the last
    one of the old is in ``infos["final_obs"]`` where ``infos["_final_obs"]`` is set. Truncation (the episode's length, the end
    of the data) says nothing about the market: bootstrap there. Termination (ruin, liquidation, the drawdown stop) ends the
    account: do not.

    Parameters
    ----------
    market : bars and features. n_envs : copies; from 64 on the first step takes seconds and the others half the time, where
        numba is installed (``huracan[fast]``): the formula is compiled, to the same bits.
    rules : the rules of the game; or give its parameters by name (``window=32``, ``costs=CostModel(fee_bps=10)``...).

    Attributes
    ----------
    single_observation_space : float32 (window * d + account fields,): the window flattened, oldest bar first, then the account,
        see ``observation_names``.
    core : the accounts themselves.

    Examples
    --------
    >>> from huracan.accounting import CostModel
    >>> market = MarketTable.from_prices(np.zeros((6, 1)), [10.0, 11, 12, 13, 14, 15])
    >>> env = BatchTradingEnv(market, 2, costs=CostModel.free(), episode_length=5)
    >>> observation, infos = env.reset(seed=0)
    >>> observation.shape, infos["action_mask"].shape
    ((2, 6), (2, 3))
    >>> observation, reward, terminated, truncated, infos = env.step(np.array([2, 1]))  # buy, hold
    >>> reward.round(4).tolist()
    [0.0953, 0.0]
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012

    def __init__(self, market: MarketTable, n_envs: int = 1, rules: TradingRules | None = None, **named: Any) -> None:
        self.market, self.rules = market, rules_of(rules, named)
        self.core = TradingCore(market, self.rules, n_envs, NUMPY)
        self.num_envs = n_envs
        self.single_observation_space = observation_space(market, self.rules)
        self.single_action_space = gymnasium.spaces.Discrete(self.core.n_actions)
        self.observation_space = batch_space(self.single_observation_space, n_envs)
        self.action_space = batch_space(self.single_action_space, n_envs)
        self._allowed = self.rules.actions.allowed
        self._sown = False

    @property
    def observation_names(self) -> tuple[str, ...]:
        """A name of every number of an observation."""
        w = self.rules.window
        bars = [f"{name}[{age}]" if age else name for age in range(1 - w, 1) for name in self.market.feature_names]
        return (*bars, *self.rules.account_fields)

    def action_masks(self) -> NDArray[np.bool_]:
        """(n_envs, actions): what is allowed now."""
        return self._allowed.take(self.core.level, axis=0)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode in every copy.

        Parameters
        ----------
        seed : of the first copy, those after it have the following numbers; or one for each. The same seed, the same episodes,
            however many copies there are. None goes on with the next ones.
        options : ``{"rows": (n_envs,)}`` begins on these rows of the market.

        Raises
        ------
        ModelError : an episode cannot begin on a row.
        """
        self._sown = sown(self.core, seed, self._sown)
        rows = None if not options else options.get("rows")
        if rows is not None:
            rows = checked_rows(self.market, self.rules, rows, self.num_envs)
        return self.core.begin(rows), {"action_mask": self.action_masks()}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One bar for every copy; see the class.

        Returns
        -------
        observations, rewards, terminated, truncated, infos; ``infos`` holds ``action_mask`` (n_envs, actions) of the next
        step, and of this one ``log_return``, ``equity``, ``turnover``, ``cost`` and ``target`` (n_envs,).

        Raises
        ------
        ModelError : an action outside of the space.
        """
        moved = self.core.move(checked_actions(actions, self.num_envs, self.core.n_actions))
        outcome = moved.outcome
        infos: dict[str, Any] = {
            "action_mask": self.action_masks(),
            "log_return": outcome.log_return,
            "equity": outcome.equity.copy(),  # the account goes on with its own
            "turnover": outcome.turnover,
            "cost": outcome.cost,
            "target": outcome.target.copy(),
        }
        if moved.final_observation is not None:
            infos["final_obs"] = moved.final_observation
            infos["_final_obs"] = moved.terminated | moved.truncated
        return moved.observation, moved.reward, moved.terminated, moved.truncated, infos

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Everything that changes from step to step; :meth:`load_state_dict` goes on from it exactly."""
        return self.core.state()

    def load_state_dict(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Raises
        ------
        ModelError : it is of another number of copies, or lacks something.
        """
        self.core.restore(state)
        self._sown = True


def sown(core: TradingCore, seed: int | list[int] | None, before: bool) -> bool:
    """Give the copies of a core their seeds: ``seed`` is of the first copy, or one for each; None goes on if there were any
    ``before``.

    Raises
    ------
    ModelError : a seed is below 0, or there are more or fewer than copies.
    """
    if seed is None and before:
        return True
    if seed is None:
        seed = int(np.random.default_rng().integers(2**31))
    seeds = np.arange(seed, seed + core.n) if isinstance(seed, int | np.integer) else np.asarray(seed)
    if seeds.shape != (core.n,) or (seeds < 0).any():
        raise ModelError(f"seed is {seed}; a whole number of at least 0 was expected, or {core.n} of them.")
    core.sow(seeds)
    return True


def rules_of(rules: TradingRules | None, named: dict[str, Any]) -> TradingRules:
    """The rules given, or those made of parameters given by name."""
    if rules is not None and named:
        raise ModelError(f"rules were given, and {', '.join(named)} beside them; one or the other was expected.")
    return TradingRules(**named) if rules is None else rules


def observation_space(market: MarketTable, rules: TradingRules) -> gymnasium.spaces.Box:
    """Numbers of one observation."""
    width = rules.window * market.n_features + rules.account_size
    return gymnasium.spaces.Box(-np.inf, np.inf, (width,), np.float32)


def checked_actions(actions: Any, n: int, n_actions: int) -> NDArray[np.int64]:
    """Actions as int64 (n,).

    Raises
    ------
    ModelError : one is outside of the space; the message names its copy.
    """
    given = np.asarray(actions)
    if given.dtype != np.int64:
        if given.dtype.kind not in "iub":
            raise ModelError(f"actions are {given.dtype}; whole numbers from 0 to {n_actions - 1} were expected.")
        given = given.astype(np.int64)
    if given.shape != (n,):
        raise ModelError(f"actions have shape {given.shape}; ({n},) was expected.")
    outside = given.view(np.uint64) >= n_actions  # those below 0 are far above it
    if np.count_nonzero(outside):
        at = int(outside.argmax())
        raise ModelError(f"action {given[at]} of copy {at} is outside of the space; 0 to {n_actions - 1} were expected.")
    return given


def checked_rows(market: MarketTable, rules: TradingRules, rows: Any, n: int) -> NDArray[np.int64]:
    """Rows (n,) of a market that episodes begin on.

    Raises
    ------
    ModelError : an episode cannot begin on one.
    """
    given = np.broadcast_to(np.asarray(rows, np.int64), (n,))
    for row in given.tolist():
        if not (0 <= row < len(market) and market.history[row] >= rules.window - 1 and market.steps_ahead[row] > 0):
            raise ModelError(
                f"an episode cannot begin on row {row} of {len(market)}: {rules.window} unbroken bars up to it and a decision "
                "on it were expected."
            )
    return given
