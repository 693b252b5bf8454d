"""Many copies of one account in one market, moved by one formula: what every environment here is a face of.

A step moves each copy with :func:`huracan.accounting.step` (compiled, to the same bits, where there are many copies and numba
is installed); then a copy that is liquidated or has lost too much is closed at the mark, rewards are given, and copies whose
episode is over begin another one. Where an episode begins is a function of the copy's seed and the episode's number alone, so a
copy does the same among 1 or 65,536, in NumPy or on a GPU.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from huracan.accounting import AccountState, step
from huracan.errors import ModelError
from huracan.reinforcement.arrays import NumpyArrays
from huracan.reinforcement.compiled_loops import compiled_loops
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.observations import Observations, Standing
from huracan.reinforcement.rewards import Outcome, log_of_growth, outcome_of
from huracan.reinforcement.rules import TradingRules

__all__ = ["Moved", "TradingCore"]


class Moved(NamedTuple):
    """What a step gave: arrays (n,), and observations (n, width).

    ``observation`` belongs to the episodes that go on or have just begun; ``final_observation`` to those that ended, its other
    rows mean nothing; it is None where it is certain that none did. ``account`` is what the step left, also of those.
    """

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    final_observation: Any
    outcome: Outcome
    account: AccountState


class TradingCore:
    """``n`` copies of the game; see the module's text.

    Parameters
    ----------
    market, rules : the game. n : copies. arrays : whose arithmetic, see :mod:`huracan.reinforcement.arrays`.
    """

    def __init__(self, market: MarketTable, rules: TradingRules, n: int, arrays: Any) -> None:
        if n < 1:
            raise ModelError(f"{n} copies of an environment were asked for; at least 1 was expected.")
        self.market, self.rules, self.n, self.xp = market, rules, n, arrays
        ladder, xp = rules.actions, arrays
        self.start_rows = market.starts(window=rules.window, steps=rules.episode_length)
        self._starts = xp.column(self.start_rows)
        self._steps_ahead = xp.column(market.steps_ahead)
        self._next = xp.column(ladder.next_level.ravel())
        self._weight_of = xp.column(np.array(ladder.weights))
        self.n_actions = ladder.n_actions
        columns = {"fill": market.fill, "mark": market.mark}
        if rules.costs.max_volume_share is not None:
            columns["volume"] = market.volume
        if market.funding_rate is not None:
            columns["funding_rate"] = market.funding_rate
        if rules.costs.borrow_rate and (market.bars != 1.0).any():
            columns["bars"] = market.bars
        many = n >= _COMPILED_FROM and isinstance(xp, NumpyArrays)
        self._observations = Observations(market, rules, xp, compiled=many)
        if self._observations.reads_close:
            columns["close_after"] = np.append(market.close[1:], np.nan)  # a row that is decided on is followed by one
        self._columns, self._prices = tuple(columns), xp.side_by_side(list(columns.values()))
        self.width = self._observations.width
        self._keeps_entry = "unrealised_profit" in rules.observe
        reads_drawdown = getattr(rules.reward, "reads_drawdown", True)
        self._keeps_peak, self._tells_drawdown = reads_drawdown or rules.max_drawdown is not None, reads_drawdown
        steps = compiled_loops("huracan.accounting.compiled_step") if many else None
        self._step: Any = partial(step, xp=xp) if steps is None else steps.compiled_step
        self._closing = bool(rules.maintenance_margin) or rules.max_drawdown is not None
        in_one_pass = many and not self._closing and rules.max_leverage is None
        loops = compiled_loops("huracan.reinforcement.trading_kernels") if in_one_pass else None
        self._kernel: Any = None if loops is None else loops.stepped
        places = {name: at for at, name in enumerate(columns)}
        optional = (places.get(name) for name in ("volume", "funding_rate", "bars", "close_after"))
        self._of_kernel = (
            ladder.next_level,
            np.array(ladder.weights),
            self._prices,
            *optional,
            *rules.costs.terms,
            rules.rebalance,
        )
        self._unruled = replace(rules.costs, lot_size=0.0, minimum_notional=0.0, max_volume_share=None, borrow_bps_per_bar=0.0)
        self._fresh = xp.full(n, rules.costs.initial_equity)
        self._zero, self._never = xp.full(n, 0.0), xp.full(n, math.nan)
        self._flat = xp.integers(np.full(n, ladder.flat))
        self._memory_fresh = rules.reward.memory(n, xp)
        self.seed, self.episode = xp.integers(np.arange(n)), xp.integers(np.full(n, -1))
        self.row = xp.integers(np.zeros(n))
        self.margin_called: Any = None
        self.begin()

    # --- where episodes begin --------------------------------------------------------------------------------------

    def sow(self, seeds: Any) -> None:
        """Give each copy a seed (n,); its next episode is its first."""
        self.seed, self.episode = self.xp.integers(seeds), self.xp.integers(np.full(self.n, -1))

    def begin(self, rows: Any = None) -> Any:
        """Begin an episode in every copy, on ``rows`` (n,) or where seed and number of the episode say; observations."""
        self.episode = self.episode + 1
        self._open(self._drawn_rows() if rows is None else self.xp.integers(rows))
        return self.observe()

    def _drawn_rows(self) -> Any:
        drawn = _scrambled(_scrambled(self.seed) + self.episode * _GOLDEN)
        return self.xp.take(self._starts, (drawn & _POSITIVE) % len(self.start_rows))

    def _open(self, row: Any) -> None:
        self.row, self.level = row, self._flat
        self.account = AccountState(self._fresh, self._zero, self._fresh, self._zero, self._zero)
        self.peak, self.entry, self.memory = self._fresh, self._zero, self._memory_fresh
        self.highest_seen = self._fresh
        self.left = self._length_from(row)

    def _length_from(self, row: Any) -> Any:
        ahead = self.xp.take(self._steps_ahead, row)
        length = self.rules.episode_length
        return ahead if length is None else self.xp.minimum(ahead, length)

    # --- one step --------------------------------------------------------------------------------------------------

    def move(self, action: Any) -> Moved:
        """One step of every copy; ``action`` int64 (n,), checked by the caller."""
        if self._kernel is not None:
            return self._moved_in_one_pass(action)
        xp, rules, row, before = self.xp, self.rules, self.row, self.account
        level = xp.take(self._next, self.level * self.n_actions + action)
        target = xp.take(self._weight_of, level)
        bar = dict(zip(self._columns, xp.gather(self._prices, row)))
        fill, mark = bar["fill"], bar["mark"]
        standing, asked = before, target
        if rules.rebalance:
            standing = AccountState(before.cash, before.units, before.equity, self._never, before.pending)
        elif rules.max_leverage is not None:
            standing, asked = self._within_leverage(before, target, fill)
        out = self._step(
            standing,
            asked,
            fill,
            mark,
            rules.costs,
            volume=bar.get("volume", math.inf),
            funding_rate=bar.get("funding_rate"),
            bars=bar.get("bars", 1.0),
        )
        account, traded, cost = out.state, out.traded, out.cost
        if asked is not target:
            account = account._replace(target=target)
        if self._keeps_entry:
            self.entry = self._average_price(account.units, out.trade, fill)
        terminated = account.equity <= 0.0
        if self._closing:
            due = self._due(account, mark) & ~terminated
            if xp.some(due):
                account, traded, cost = self._closed(due, account, mark, traded, cost)
                terminated = terminated | due
        drawdown_before, drawdown = self._drawdowns(before.equity, account.equity)
        outcome = outcome_of(
            before.equity, account.equity, traded, cost, target, xp, drawdown_before=drawdown_before, drawdown=drawdown
        )
        reward, self.memory = rules.reward(outcome, self.memory, xp)
        self.account, self.level = account, level
        self.row, self.left = row + 1, self.left - 1
        truncated = (self.left <= 0) & ~terminated
        observation = self.observe(bar.get("close_after"))
        over = terminated | truncated
        return self._ended(over if xp.some(over) else None, observation, reward, terminated, truncated, outcome)

    def _moved_in_one_pass(self, action: Any) -> Moved:
        """The same, compiled, where no rule closes positions or cuts them back."""
        before, out = self.account, np.empty((13, self.n))
        out[8] = self.entry
        trading = (self.level, action, self.row, tuple(before), *self._of_kernel, out)
        seen, self.level, self.row, self.left, self.highest_seen, terminated, truncated, ended = self._kernel(
            trading, self.left, self.highest_seen, self._observations.of_kernel
        )
        target, _, cash, units, equity, pending, _, _, entry, growth, turnover, cost, _ = out
        self.account = AccountState(cash, units, equity, target, pending)
        if self._keeps_entry:
            self.entry = entry
        drawdowns = self._drawdowns(before.equity, equity)
        outcome = Outcome(log_of_growth(growth, self.xp), equity, *drawdowns, turnover, cost, target)
        reward, self.memory = self.rules.reward(outcome, self.memory, self.xp)
        return self._ended(terminated | truncated if ended else None, seen, reward, terminated, truncated, outcome)

    def _drawdowns(self, before: Any, equity: Any) -> tuple[Any, Any]:
        """Fractions lost since the peak, before and after a step, where anything reads them; the peak is kept."""
        told: tuple[Any, Any] = (None, None)
        if self._keeps_peak:
            peak = self.xp.maximum(self.peak, equity)
            if self._tells_drawdown:
                told = 1.0 - before / self.peak, 1.0 - equity / peak
            self.peak = peak
        return told

    def _ended(self, over: Any, seen: Any, reward: Any, terminated: Any, truncated: Any, outcome: Outcome) -> Moved:
        """A step's result; copies whose episode is ``over`` begin another one."""
        account = self.account
        if over is None:
            return Moved(seen, reward, terminated, truncated, None, outcome, account)
        self._begin_again(over)
        return Moved(self.observe(), reward, terminated, truncated, seen, outcome, account)

    def leave(self, which: Any, price: Any, rows: Any) -> tuple[Any, Any]:
        """Close the positions of these copies at ``price`` (n,) and go on from ``rows`` (n,), flat, with what they have.

        Returns
        -------
        traded notional and cost (n,), in currency.
        """
        where = self.xp.where
        account, traded, cost = self._closed(which, self.account, price, self._zero, self._zero)
        nothing = {name: where(which, self._zero, getattr(account, name)) for name in ("target", "pending")}
        self.account = account._replace(**nothing)
        self.level, self.row = where(which, self._flat, self.level), where(which, rows, self.row)
        return traded, cost

    def _within_leverage(self, before: AccountState, target: Any, fill: Any) -> tuple[AccountState, Any]:
        """Accounts and targets; a standing position whose weight has drifted beyond the cap is to be cut back to it."""
        xp, cap = self.xp, self.rules.max_leverage
        held = before.units * fill
        beyond = (xp.abs(held) > cap * (before.cash + held)) & (target == before.target)
        # an order is made where the target changes, and nan is no target
        standing = before._replace(target=xp.where(beyond, math.nan, before.target))
        return standing, xp.where(beyond, xp.sign(held) * cap, target)

    def _average_price(self, after: Any, trade: Any, fill: Any) -> Any:
        """Average price at which the position was built up: each fill counts by its share of what is held after it, which is
        none where a position is cut, and all where it is turned."""
        xp = self.xp
        share = trade / (after + (after == 0.0))
        return self.entry + xp.minimum(xp.maximum(share, 0.0), 1.0) * (fill - self.entry)

    def _due(self, account: AccountState, mark: Any) -> Any:
        """Copies that are to be closed at this mark; those whose margin is too small are noted."""
        rules = self.rules
        self.margin_called = due = account.equity < rules.maintenance_margin * self.xp.abs(account.units * mark)
        if rules.max_drawdown is not None:
            due = due | (account.equity <= (1.0 - rules.max_drawdown) * self.xp.maximum(self.peak, account.equity))
        return due

    def _closed(self, due: Any, account: AccountState, mark: Any, traded: Any, cost: Any) -> tuple[AccountState, Any, Any]:
        """Leave the position of these copies at the mark, whatever the venue's rules on size."""
        where = self.xp.where
        out = step(account._replace(target=self._never), self._zero, mark, mark, self._unruled, xp=self.xp)
        closed = AccountState(*(where(due, new, old) for new, old in zip(out.state, account, strict=True)))
        return closed, traded + where(due, out.traded, 0.0), cost + where(due, out.cost, 0.0)

    def _begin_again(self, over: Any) -> None:
        where = self.xp.where
        self.episode = self.episode + over
        rows = where(over, self._drawn_rows(), self.row)
        kept = (self.level, self.account, self.peak, self.entry, self.memory, self.left)
        highest_seen = self.highest_seen
        self._open(rows)
        level, account, peak, entry, memory, left = kept
        self.level = where(over, self.level, level)
        self.account = AccountState(*(where(over, new, old) for new, old in zip(self.account, account, strict=True)))
        self.peak, self.entry = where(over, self.peak, peak), where(over, self.entry, entry)
        self.memory = tuple(where(over, new, old) for new, old in zip(self.memory, memory, strict=True))
        self.left = where(over, self.left, left)
        self.highest_seen = where(over, self.highest_seen, highest_seen)

    # --- what is seen ----------------------------------------------------------------------------------------------

    def observe(self, close: Any = None) -> Any:
        """Observations (n, width) of the bars that have just closed: the window, then what is said of the account.

        ``close`` (n,) of these bars may be given where it is known.
        """
        account = self.account
        standing = Standing(self.row, self.level, account.cash, account.units, account.target, self.entry, self.left)
        seen, self.highest_seen = self._observations.write(standing, self.highest_seen, close)
        return seen

    # --- going on later --------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that changes from step to step, as NumPy arrays by name, whatever the device."""
        told = {name: getattr(self, name) for name in _CHANGING}
        told |= {f"account_{name}": value for name, value in self.account._asdict().items()}
        told |= {f"memory_{i}": value for i, value in enumerate(self.memory)}
        return {name: self.xp.numpy(value) for name, value in told.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave.

        Raises
        ------
        ModelError : it is of another number of copies or another market, or lacks something.
        """
        try:
            rows = {name: self.xp.column(np.array(value)) for name, value in state.items()}
            if any(len(value) != self.n for value in rows.values()):
                raise ModelError(f"the state is of {len(next(iter(rows.values())))} copies; {self.n} were expected.")
            row, level = (self.xp.numpy(rows[name]) for name in ("row", "level"))
            if row.max() >= len(self.market) or level.max() >= self.rules.actions.n_levels or min(row.min(), level.min()) < 0:
                raise ModelError(
                    f"the state is of another market or game: row {row.max():,} and position {level.max()}, where "
                    f"{len(self.market):,} rows and {self.rules.actions.n_levels} positions were expected."
                )
            for name in _CHANGING:
                setattr(self, name, rows[name])
            self.account = AccountState(**{name: rows[f"account_{name}"] for name in AccountState._fields})
            self.memory = tuple(rows[f"memory_{i}"] for i in range(len(self._memory_fresh)))
        except KeyError as missing:
            raise ModelError(f"the state of an environment lacks {missing}.") from missing


_COMPILED_FROM = 64
"""Copies from which on compiling the step formula pays."""


_CHANGING = ("seed", "episode", "row", "level", "left", "peak", "entry", "highest_seen")

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, as a signed number
_POSITIVE = (1 << 62) - 1


def _scrambled(value: Any) -> Any:
    """Spread whole numbers (int64) evenly: the output function of SplitMix64 (Steele, Lea and Flood, 2014)."""
    value = value + _GOLDEN
    value = (value ^ ((value >> 30) & ((1 << 34) - 1))) * -4658895280553007687
    value = (value ^ ((value >> 27) & ((1 << 37) - 1))) * -7723592293110705685
    return value ^ ((value >> 31) & ((1 << 33) - 1))
