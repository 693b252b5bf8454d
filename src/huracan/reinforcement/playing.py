"""One strategy, played once over everything that can be decided on, on the environment's own accounts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.accounting import bars_in_a_year, performance_metrics
from huracan.errors import ModelError
from huracan.reinforcement.batch_env import BatchTradingEnv
from huracan.reinforcement.experience import layout_of
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rewards import RUIN
from huracan.reinforcement.rules import TradingRules

__all__ = ["Played", "Policy", "Seen", "play"]

_LEAST_WORTH = 1e-12
_BASIS_POINTS = 10_000.0


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known when a decision is taken, one row for each account.

    Attributes
    ----------
    row : int64 (n,), rows of the market whose bars have just closed. level : int64 (n,), the standing target, see
        :class:`~huracan.reinforcement.ActionLadder`. weight : float64 (n,), share of equity held, at the last close.
    observation : float32 (n, width), what an agent sees. allowed : bool (n, actions).
    """

    row: NDArray[np.int64]
    level: NDArray[np.int64]
    weight: NDArray[np.float64]
    observation: NDArray[np.float32]
    allowed: NDArray[np.bool_]


@runtime_checkable
class Policy(Protocol):
    """Whatever takes decisions and is no agent."""

    def choose(self, seen: Seen) -> NDArray[np.int64]:
        """An allowed action for each account (n,)."""
        ...


@dataclass(frozen=True, eq=False)
class Played:
    """What a strategy earned, bar by bar.

    Attributes
    ----------
    name : of the strategy.
    bars : one row per decision, ``[symbol, ts, row, stretch, level, action, target, position, turnover, cost, log_return,
        equity]``: ``ts`` is the open of the bar that decides (null where the market has no times), ``stretch`` counts unbroken
        stretches, each of which begins without a position; ``level`` stood before the decision; ``position`` is the notional
        held after the fill, signed, ``turnover`` the notional traded and ``cost`` what that cost, fractions of equity before
        the bar; ``log_return`` is net of all costs; ``equity`` is what 1 in this symbol has become at the bar's mark.
    bars_per_year : by which ratios are annualised; 1 where the market has no times.
    """

    name: str
    bars: pl.DataFrame
    bars_per_year: float

    def __repr__(self) -> str:
        t = self.totals
        return (
            f"<Played {self.name!r}: {self.bars.height:,} bars, {self.per_symbol.height} symbols, {t['trades']:,.0f} trades; "
            f"net log return {t['net_log_return']:+.4f}, Sharpe {t['sharpe']:.2f}, max drawdown {t['max_drawdown']:.2%}>"
        )

    @cached_property
    def per_symbol(self) -> pl.DataFrame:
        """One row per symbol: ``[symbol, n_bars, net_log_return, total_return, sharpe, max_drawdown, turnover, exposure,
        trades, cost_bps]``.

        ``turnover`` is a mean per bar, ``exposure`` the share of bars with a position, ``trades`` counts completed round trips,
        ``cost_bps`` is the sum of what trading cost; ``max_drawdown`` is 0 or negative, as everywhere in accounting.
        """
        parts = self.bars.partition_by("symbol", maintain_order=True)
        return pl.DataFrame([{"symbol": part["symbol"][0], **self._figures(part, _growth(part["equity"]))} for part in parts])

    @cached_property
    def totals(self) -> dict[str, float]:
        """The same figures of all symbols together, which begin with equal shares of the capital."""
        equity = self.equity()["equity"]
        return {**self._figures(self.bars, _growth(equity)), "net_log_return": math.log(max(float(equity[-1]), RUIN))}

    def equity(self) -> pl.DataFrame:
        """``[ts, equity]``, what 1 spread equally over the symbols has become; ``row`` instead of ``ts`` without times."""
        time = "row" if self.bars["ts"].null_count() else "ts"
        grid = self.bars.pivot(on="symbol", index=time, values="equity").sort(time)
        whole = grid.select(time, pl.exclude(time).forward_fill().fill_null(1.0))
        return whole.select(time, equity=pl.mean_horizontal(pl.exclude(time)))

    def _figures(self, bars: pl.DataFrame, growth: NDArray[np.float64]) -> dict[str, float]:
        figures = performance_metrics(growth - 1.0, bars_per_year=self.bars_per_year, confidence=None)
        side = np.sign(bars["position"].to_numpy())
        same = np.diff(bars["stretch"].to_numpy()) == 0
        return {
            "n_bars": float(bars.height),
            "net_log_return": float(bars["log_return"].sum()),
            "total_return": figures["total_return"],
            "sharpe": figures["sharpe"],
            "max_drawdown": figures["max_drawdown"],
            "turnover": float(bars["turnover"].to_numpy().mean()),
            "exposure": float((side != 0).mean()),
            "trades": float(np.count_nonzero(same & (side[:-1] != 0) & (side[1:] != side[:-1]))),
            "cost_bps": float(bars["cost"].sum()) * _BASIS_POINTS,
        }


def play(policy: Any, market: MarketTable, rules: TradingRules, *, name: str = "") -> Played:
    """Play a strategy once over every unbroken stretch of the rows to decide on, of every symbol.

    The accounts are those of :class:`~huracan.reinforcement.BatchTradingEnv`: those of a backtest of the same targets. Episodes
    are as long as the data go; nothing but ruin ends one. What is open at the end of a stretch is valued there and not sold.

    Parameters
    ----------
    policy : an agent (``predict(state, mask) -> (action, values)``), or a :class:`Policy`.
    market : where to play; :meth:`~huracan.reinforcement.MarketTable.between` chooses a span. rules : of the game; their
        ``episode_length``, ``max_drawdown`` and ``maintenance_margin`` are put aside.
    name : of the strategy; by default that of its class.

    Raises
    ------
    NotEnoughData : there is nothing to decide on. ModelError : an action that is not there, a policy that is none, or an agent
        that sees the ``time_left``, since nobody knows how long it is.

    Examples
    --------
    >>> from huracan.accounting import CostModel
    >>> from huracan.reinforcement.yardsticks import BuyAndHold
    >>> market = MarketTable.from_prices(np.zeros((5, 1)), [10.0, 10.0, 11.0, 11.0, 12.0])
    >>> played = play(BuyAndHold(TradingRules().actions), market, TradingRules(costs=CostModel.free()))
    >>> round(played.totals["total_return"], 4), played.bars["position"].round(3).to_list()
    (0.2, [1.0, 1.0, 1.0, 1.0])
    """
    game = replace(rules, episode_length=None, max_drawdown=None, maintenance_margin=0.0)
    starts = market.starts(window=game.window, steps=None, whole=True)
    length = market.steps_ahead[starts]
    env = BatchTradingEnv(market, len(starts), game)
    observation, _ = env.reset(seed=0, options={"rows": starts})
    core, n = env.core, len(market)
    kept = {column: np.zeros(n) for column in ("target", "position", "turnover", "cost", "log_return")}
    growth, level, action = np.ones(n), np.full(n, game.actions.flat), np.zeros(n, np.int64)
    choose = _chooser(policy, market, rules)
    alive = np.ones(len(starts), bool)
    for step in range(int(length.max())):
        on = np.flatnonzero(alive)
        if not len(on):
            break
        row, before, stood = core.row, core.account, core.level
        at = row[on]
        chosen = choose(_seen(env, on, observation))
        taken = np.zeros(env.num_envs, np.int64)
        taken[on] = _checked(chosen, core.n_actions, at)
        moved = core.move(taken)
        observation, outcome = moved.observation, moved.outcome
        level[at], action[at], growth[at] = stood[on], taken[on], (moved.account.equity / before.equity)[on]
        kept["position"][at] = (moved.account.units * market.fill.take(row) / before.equity)[on]
        for column in ("target", "turnover", "cost", "log_return"):
            kept[column][at] = getattr(outcome, column)[on]
        alive &= ~moved.terminated & (length > step + 1)
    rows = np.concatenate([np.arange(begin, begin + steps) for begin, steps in zip(starts, length)])
    stretch = np.repeat(np.arange(len(starts)), length)
    code = market.symbol_code[rows]
    ts = pl.Series("ts", market.ts[rows]).dt.replace_time_zone("UTC") if market.ts is not None else None
    bars = pl.DataFrame(
        {
            "symbol": np.array(market.symbols)[code],
            "ts": ts if ts is not None else pl.Series([None] * len(rows), dtype=pl.Datetime("ms", "UTC")),
            "row": rows,
            "stretch": stretch,
            "level": level[rows],
            "action": action[rows],
            **{column: values[rows] for column, values in kept.items()},
            "growth": growth[rows],
        }
    ).with_columns(equity=pl.col("growth").cum_prod().over("symbol"))
    per_year = 1.0 if market.bar_length is None else bars_in_a_year(market.bar_length)
    return Played(name or type(policy).__name__, bars.drop("growth"), per_year)


def _chooser(policy: Any, market: MarketTable, rules: TradingRules) -> Any:
    if isinstance(policy, Policy):
        return policy.choose
    learned, here = getattr(policy, "layout_", None), layout_of(market, rules)
    if learned is not None and learned != here:
        part = next(name for name in here.__dataclass_fields__ if getattr(learned, name) != getattr(here, name))
        raise ModelError(
            f"the agent learned with other states or actions: {part} was {getattr(learned, part)}, and is "
            f"{getattr(here, part)} here."
        )
    if hasattr(policy, "predict"):
        return lambda seen: policy.predict(seen.observation, None if seen.allowed.all() else seen.allowed)[0]
    raise ModelError(f"{type(policy).__name__} was given to play; an agent with predict or a policy with choose was expected.")


def _seen(env: BatchTradingEnv, on: NDArray[np.int64], observation: NDArray[np.float32]) -> Seen:
    core = env.core
    row, account = core.row[on], core.account
    held = account.units[on] * env.market.close[row]
    worth = np.maximum(account.cash[on] + held, _LEAST_WORTH * env.rules.costs.initial_equity)
    return Seen(row, core.level[on], held / worth, observation[on], env.action_masks()[on])


def _checked(chosen: Any, n_actions: int, row: NDArray[np.int64]) -> NDArray[np.int64]:
    action = np.asarray(chosen)
    if action.shape != row.shape or action.dtype.kind not in "iu":
        raise ModelError(f"a policy chose {action.dtype} of shape {action.shape}; whole numbers {row.shape} were expected.")
    inside = (action >= 0) & (action < n_actions)
    if not inside.all():
        at = int(np.argmin(inside))
        raise ModelError(f"a policy chose action {action[at]} on row {row[at]}; 0 to {n_actions - 1} were expected.")
    return action.astype(np.int64)


def _growth(equity: pl.Series) -> NDArray[np.float64]:
    """Growth of each bar, from what 1 had become at the end of each; 1 after ruin."""
    values = equity.to_numpy()
    before = np.concatenate(([1.0], values[:-1]))
    return np.divide(values, before, out=np.ones(len(values)), where=before > 0)
