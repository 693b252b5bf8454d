"""One strategy, played once over everything that can be decided on, on the environment's own accounts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.accounting import bars_in_a_year
from huracan.errors import ModelError
from huracan.reinforcement.arrays import NUMPY
from huracan.reinforcement.experience import require_same_layout
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.played import Played
from huracan.reinforcement.rewards import RUIN
from huracan.reinforcement.rules import TradingRules
from huracan.reinforcement.trading_core import Moved, TradingCore

__all__ = ["Played", "Policy", "Seen", "mean_log_return", "play"]

Integers = NDArray[np.int64]

_LEAST_WORTH = 1e-12
_NUMBERS_AT_ONCE = 4_000_000
_FOR_EVER = 2**62
_STOPS = (None, "ruin", "liquidation", "drawdown")


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


def play(policy: Any, market: MarketTable, rules: TradingRules, *, name: str = "") -> Played:
    """Play a strategy once over all rows to decide on, each symbol with an account of its own.

    The accounts are those of :class:`~huracan.reinforcement.BatchTradingEnv`: those of a backtest of the same targets. Where
    nothing can be decided, on bars before and behind a gap or in a hole of the span, the standing target stays, and what is
    held is held: nobody knows of an outage before it comes. What is open at the end, or where prices themselves end, is
    closed at the last mark, costs paid, outside of lot and volume rules. Ruin, liquidation and the drawdown stop of the rules
    end an account: from there on it stays as it is, and ``.stops`` says so.

    Parameters
    ----------
    policy : an agent (``predict(state, mask) -> (action, values)``), or a :class:`Policy`. What an agent does is taken to
        depend on what it sees alone: where it sees nothing of its account but the standing target, it is asked about all rows
        at once.
    market : where to play; :meth:`~huracan.reinforcement.MarketTable.between` chooses a span. rules : of the game; their
        ``episode_length`` is put aside.
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
    walk = _walked(policy, market, rules, _Way.through(market, rules.window))
    per_year = 1.0 if market.bar_length is None else bars_in_a_year(market.bar_length)
    return Played(name or type(policy).__name__, walk.bars(), per_year)


def mean_log_return(policy: Any, market: MarketTable, rules: TradingRules, first: Integers, length: Integers) -> float:
    """Net mean log return a bar of a strategy in spans of a market, played as by :func:`play`.

    Parameters
    ----------
    policy, market, rules : as of :func:`play`. first, length : int64 (spans,), first row of each span and how many unbroken
        rows it has, all to be decided on. A span is an account of its own, which begins and ends without a position.

    Examples
    --------
    >>> from huracan.accounting import CostModel
    >>> from huracan.reinforcement.yardsticks import BuyAndHold
    >>> market, rules = MarketTable.from_prices(np.zeros((5, 1)), 2.0 ** np.arange(5)), TradingRules(costs=CostModel.free())
    >>> round(mean_log_return(BuyAndHold(rules.actions), market, rules, np.array([0, 2]), np.array([2, 2])), 4)  # log 2
    0.6931
    """
    return float(_walked(policy, market, rules, _Way.of_spans(first, length)).noted["log_return"].mean())


def _walked(policy: Any, market: MarketTable, rules: TradingRules, way: _Way) -> _Walk:
    """Every account gone to the end of its way."""
    game = replace(rules, episode_length=None)
    choose = _chooser(policy, market, game, way)
    if choose.blind:
        game = replace(game, window=1, observe=())  # nobody looks at what is seen
    walk = _Walk(TradingCore(market, game, len(way.first), NUMPY), way)
    for step in range(int(way.length.max())):
        if not walk.step(step, choose):
            break
    return walk


@dataclass(frozen=True, eq=False)
class _Way:
    """Rows that accounts go through, one after the other; those of account a are ``rows[first[a] : first[a] + length[a]]``.

    ``decides`` (rows,) says where something is decided; elsewhere the target stands. ``stretch`` (rows,) counts stretches of
    prices that follow each other, ``last`` (rows,) says which rows end one.
    """

    rows: Integers
    decides: NDArray[np.bool_]
    stretch: Integers
    last: NDArray[np.bool_]
    first: Integers
    length: Integers

    @classmethod
    def of_spans(cls, first: Integers, length: Integers) -> _Way:
        """Spans of rows that are all decided on, an account each."""
        end = np.cumsum(length)
        begin = end - length
        span = np.repeat(np.arange(len(length)), length)
        rows = np.arange(end[-1]) - begin[span] + first[span]
        last = np.zeros(len(rows), bool)
        last[end - 1] = True
        return cls(rows, np.ones(len(rows), bool), span, last, begin, length)

    @classmethod
    def through(cls, market: MarketTable, window: int) -> _Way:
        """All of a market, an account for each symbol."""
        starts = market.starts(window=window, steps=None, whole=True)
        decides = np.zeros(len(market) + 1, np.int64)
        np.add.at(decides, starts, 1)
        np.add.at(decides, starts + market.steps_ahead[starts], -1)
        decided = decides.cumsum()[:-1] > 0
        _, code = np.unique(market.symbol_code, return_inverse=True)
        at, of = np.flatnonzero(decided), code[decided]
        begin = np.full(code.max() + 1, len(market))
        end = np.full(code.max() + 1, -1)
        np.minimum.at(begin, of, at)
        np.maximum.at(end, of, at)
        row = np.arange(len(market))
        priced = np.isfinite(market.fill) & np.isfinite(market.mark)
        rows = np.flatnonzero((row >= begin[code]) & (row <= end[code]) & priced)
        last = np.append((np.diff(rows) != 1) | (np.diff(market.symbol_code[rows]) != 0), True)
        stretch = np.concatenate(([0], np.cumsum(last[:-1])))
        _, first, length = np.unique(market.symbol_code[rows], return_index=True, return_counts=True)
        return cls(rows, decided[rows], stretch, last, first, length)


class _Walk:
    """Accounts on their way, and what is noted of it, an entry for each row of the way."""

    def __init__(self, core: TradingCore, way: _Way) -> None:
        self.core, self.way = core, way
        ladder, n = core.rules.actions, len(way.rows)
        same = (ladder.next_level == np.arange(ladder.n_levels)[:, None]) & ladder.allowed
        self.stay = same.argmax(axis=1)  # at each level, the action that keeps it
        core.sow(np.arange(core.n))
        self.observation = core.begin(way.rows[way.first])
        core.left = core.left * 0 + _FOR_EVER
        self.alive = np.ones(core.n, bool)
        self.noted = {column: np.zeros(n) for column in _NOTED}
        self.growth, self.stop = np.ones(n), np.zeros(n, np.int8)
        self.level, self.action = np.full(n, ladder.flat), np.full(n, self.stay[ladder.flat])

    def step(self, step: int, choose: _Choice) -> bool:
        """One bar of every account that goes on; False where none does."""
        core, way = self.core, self.way
        on = np.flatnonzero(self.alive & (step < way.length))
        if not len(on):
            return False
        at = way.first[on] + step
        row, before, level = core.row, core.account, core.level
        taken = self.stay[np.where(self.alive, level, core.rules.actions.flat)]
        asked = way.decides[at]
        if asked.any():
            taken[on[asked]] = choose(self, on[asked], at[asked])
        moved = core.move(taken)
        growth, self.observation = moved.account.equity / before.equity, moved.observation
        noted = {name: getattr(moved.outcome, name) for name in ("target", "turnover", "cost", "log_return")}
        noted["position"] = moved.account.units * core.market.fill.take(row) / before.equity
        ends = np.zeros(core.n, bool)
        ends[on] = way.last[at]
        ends &= ~moved.terminated
        following = way.rows[way.first + np.minimum(step + 1, way.length - 1)]
        core.row = following
        if ends.any():
            traded, cost = core.leave(ends, core.market.mark.take(row), following)
            growth = np.where(ends, core.account.equity / before.equity, growth)
            noted["turnover"] = noted["turnover"] + traded / before.equity
            noted["cost"] = noted["cost"] + cost / before.equity
            noted["log_return"] = np.where(ends, np.log(np.maximum(growth, RUIN)), noted["log_return"])
            if not choose.blind:
                self.observation = core.observe()
        self.level[at], self.action[at], self.growth[at] = level[on], taken[on], growth[on]
        for name, values in noted.items():
            self.noted[name][at] = values[on]
        if moved.terminated[on].any():
            self.stop[at] = self._why(moved)[on]
            self.alive[on] &= ~moved.terminated[on]
        return True

    def _why(self, moved: Moved) -> NDArray[np.int8]:
        """Index in ``_STOPS`` of what ended each account."""
        called = np.zeros(self.core.n, bool) if self.core.margin_called is None else self.core.margin_called
        why = np.where(moved.outcome.equity <= 0.0, 1, np.where(called, 2, 3))
        return np.where(moved.terminated, why, 0).astype(np.int8)

    def bars(self) -> pl.DataFrame:
        """See :attr:`Played.bars`."""
        market, rows = self.core.market, self.way.rows
        times = pl.Series([None] * len(rows), dtype=pl.Datetime("ms", "UTC"))
        if market.ts is not None:
            times = pl.Series(market.ts[rows]).dt.replace_time_zone("UTC")
        return pl.DataFrame(
            {
                "symbol": np.array(market.symbols)[market.symbol_code[rows]],
                "ts": times,
                "row": rows,
                "stretch": self.way.stretch,
                "decided": self.way.decides,
                "level": self.level,
                "action": self.action,
                **self.noted,
                "growth": self.growth,
                "stop": pl.Series(_STOPS, dtype=pl.String).gather(self.stop),
            }
        ).select(*_FIRST, *_NOTED, pl.col("growth").cum_prod().over("symbol").alias("equity"), "stop")


_FIRST = ("symbol", "ts", "row", "stretch", "decided", "level", "action")
_NOTED = ("target", "position", "turnover", "cost", "log_return")


class _Choice:
    """What a strategy does in accounts ``on`` of a walk, at entries ``at`` of its way."""

    blind = False

    def __init__(self, choose: Callable[[Seen], Any]) -> None:
        self.choose = choose

    def __call__(self, walk: _Walk, on: Integers, at: Integers) -> Integers:
        core = walk.core
        row, account, level = core.row[on], core.account, core.level[on]
        held = account.units[on] * core.market.close[row]
        worth = np.maximum(account.cash[on] + held, _LEAST_WORTH * core.rules.costs.initial_equity)
        allowed = core.rules.actions.allowed[level]
        seen = Seen(row, level, held / worth, walk.observation[on], allowed)
        return _checked(self.choose(seen), core.n_actions, row)


class _KnownChoice(_Choice):
    """What an agent does on every row at every standing target, asked for in large batches: (rows that decide, levels)."""

    blind = True

    def __init__(self, agent: Any, market: MarketTable, rules: TradingRules, way: _Way) -> None:
        said, ladder, back = rules.account_of_levels, rules.actions, rules.window - 1
        assert said is not None
        rows, self.nth = way.rows[way.decides], way.decides.cumsum() - 1
        windows = NUMPY.windows(market.features, rules.window)
        shown, levels = windows.shape[1], len(said)
        self.action = np.empty((len(rows), levels), np.min_scalar_type(ladder.n_actions - 1))
        at_once = max(1, _NUMBERS_AT_ONCE // (levels * (shown + said.shape[1])))
        for begin in range(0, len(rows), at_once):
            part = rows[begin : begin + at_once]
            seen = np.empty((len(part), levels, shown + said.shape[1]), np.float32)
            seen[:, :, :shown] = windows[part - back][:, None]
            seen[:, :, shown:] = said
            mask = None if ladder.allowed.all() else np.tile(ladder.allowed, (len(part), 1))
            chosen = agent.predict(seen.reshape(len(part) * levels, -1), mask)[0]
            checked = _checked(chosen, ladder.n_actions, np.repeat(part, levels))
            self.action[begin : begin + at_once] = checked.reshape(len(part), levels)

    def __call__(self, walk: _Walk, on: Integers, at: Integers) -> Integers:
        return self.action[self.nth[at], walk.core.level[on]].astype(np.int64)


def _chooser(policy: Any, market: MarketTable, rules: TradingRules, way: _Way) -> _Choice:
    if isinstance(policy, Policy):
        return _Choice(policy.choose)
    require_same_layout(policy, market, rules)
    if not hasattr(policy, "predict"):
        raise ModelError(
            f"{type(policy).__name__} was given to play; an agent with predict or a policy with choose was expected."
        )
    if rules.account_of_levels is not None:
        return _KnownChoice(policy, market, rules, way)
    everything = rules.actions.allowed.all()
    return _Choice(lambda seen: policy.predict(seen.observation, None if everything else seen.allowed)[0])


def _checked(chosen: Any, n_actions: int, row: NDArray[np.int64]) -> NDArray[np.int64]:
    action = np.asarray(chosen)
    if action.shape != row.shape or action.dtype.kind not in "iu":
        raise ModelError(f"a policy chose {action.dtype} of shape {action.shape}; whole numbers {row.shape} were expected.")
    inside = (action >= 0) & (action < n_actions)
    if not inside.all():
        at = int(np.argmin(inside))
        raise ModelError(f"a policy chose action {action[at]} on row {row[at]}; 0 to {n_actions - 1} were expected.")
    return action.astype(np.int64)
