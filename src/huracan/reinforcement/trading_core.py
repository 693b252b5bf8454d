"""Many copies of one account in one market, moved by one formula: what every environment here is a face of.

A step moves each copy with :func:`huracan.accounting.step`; then a copy that is liquidated or has lost too much is closed at
the mark, rewards are given, and copies whose episode is over begin another one. Where an episode begins is a function of the
copy's seed and the episode's number alone, so a copy does the same among 1 or 65,536, in NumPy or on a GPU.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from huracan.accounting import AccountState, step
from huracan.errors import ModelError
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rewards import Outcome
from huracan.reinforcement.rules import TradingRules

__all__ = ["RUIN", "Moved", "TradingCore"]

RUIN = 1e-6
"""Growth of equity that ruin counts as in a log return."""

_MOST_SHOWN = 10.0
_LEAST_WORTH = 1e-9


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
        self._fill, self._mark, self._close = (xp.column(v) for v in (market.fill, market.mark, market.close))
        self._volume = xp.column(market.volume) if rules.costs.max_volume_share is not None else None
        self._funding = None if market.funding_rate is None else xp.column(market.funding_rate)
        self._bars = xp.column(market.bars) if rules.costs.borrow_rate else None
        self._windows = xp.windows(xp.column(market.features), rules.window)
        self._one_hot = xp.column(np.eye(ladder.n_levels))
        self._shown = rules.window * market.n_features
        self.width = self._shown + rules.account_size
        self._sizes = "position" in rules.observe or "unrealised_profit" in rules.observe
        self._closing = bool(rules.maintenance_margin) or rules.max_drawdown is not None
        self._unruled = replace(rules.costs, lot_size=0.0, minimum_notional=0.0, max_volume_share=None, borrow_bps_per_bar=0.0)
        self._fresh = xp.full(n, rules.costs.initial_equity)
        self._zero, self._never = xp.full(n, 0.0), xp.full(n, math.nan)
        self._flat = xp.integers(np.full(n, ladder.flat))
        self._memory_fresh = rules.reward.memory(n, xp)
        self.seed, self.episode = xp.integers(np.arange(n)), xp.integers(np.full(n, -1))
        self.row = xp.integers(np.zeros(n))
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
        xp, rules, row, before = self.xp, self.rules, self.row, self.account
        level = xp.take(self._next, self.level * self.n_actions + action)
        target = xp.take(self._weight_of, level)
        fill, mark = xp.take(self._fill, row), xp.take(self._mark, row)
        standing, asked = before, target
        if rules.rebalance:
            standing = before._replace(target=self._never)
        elif rules.max_leverage is not None:
            standing, asked = self._within_leverage(before, target, fill)
        out = step(
            standing,
            asked,
            fill,
            mark,
            rules.costs,
            volume=math.inf if self._volume is None else xp.take(self._volume, row),
            funding_rate=None if self._funding is None else xp.take(self._funding, row),
            bars=1.0 if self._bars is None else xp.take(self._bars, row),
            xp=xp,
        )
        account, traded, cost = out.state._replace(target=target), out.traded, out.cost
        if self._sizes:
            self.entry = self._average_price(before.units, account.units, out.trade, fill)
        terminated = account.equity <= 0.0
        if self._closing:
            due = self._due(account, mark) & ~terminated
            if xp.some(due):
                account, traded, cost = self._closed(due, account, mark, traded, cost)
                terminated = terminated | due
        drawdown_before = 1.0 - before.equity / self.peak
        self.peak = xp.maximum(self.peak, account.equity)
        outcome = Outcome(
            log_return=xp.log(xp.maximum(account.equity / before.equity, RUIN)),
            equity=account.equity,
            drawdown_before=drawdown_before,
            drawdown=1.0 - account.equity / self.peak,
            turnover=traded / before.equity,
            cost=cost / before.equity,
            target=target,
        )
        reward, self.memory = rules.reward(outcome, self.memory, xp)
        self.account, self.level = account, level
        self.row, self.left = row + 1, self.left - 1
        truncated = (self.left <= 0) & ~terminated
        observation = self.observe()
        over = terminated | truncated
        if not xp.some(over):
            return Moved(observation, reward, terminated, truncated, None, outcome, account)
        self._begin_again(over)
        return Moved(self.observe(), reward, terminated, truncated, observation, outcome, account)

    def _within_leverage(self, before: AccountState, target: Any, fill: Any) -> tuple[AccountState, Any]:
        """Accounts and targets; a standing position whose weight has drifted beyond the cap is to be cut back to it."""
        xp, cap = self.xp, self.rules.max_leverage
        held = before.units * fill
        beyond = (xp.abs(held) > cap * (before.cash + held)) & (target == before.target)
        # an order is made where the target changes, and nan is no target
        standing = before._replace(target=xp.where(beyond, math.nan, before.target))
        return standing, xp.where(beyond, xp.sign(held) * cap, target)

    def _average_price(self, units: Any, after: Any, trade: Any, fill: Any) -> Any:
        """Average price at which the position was built up."""
        xp = self.xp
        grown = (units * trade >= 0.0) & xp.not_equal(trade, 0.0)
        turned = units * after < 0.0
        safe = xp.where(xp.not_equal(after, 0.0), after, 1.0)
        mixed = (self.entry * units + fill * trade) / safe
        return xp.where(turned, fill, xp.where(grown, mixed, self.entry))

    def _due(self, account: AccountState, mark: Any) -> Any:
        """Copies that are to be closed at this mark."""
        rules = self.rules
        due = account.equity < rules.maintenance_margin * self.xp.abs(account.units * mark)
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

    def observe(self) -> Any:
        """Observations (n, width) of the bars that have just closed: the window, then what is said of the account."""
        out = self.xp.empty_observations(self.n, self.width)
        out[:, : self._shown] = self.xp.take_rows(self._windows, self.row - (self.rules.window - 1))
        at = self._shown
        for name, value in self._account_seen():
            if name == "level":
                width = self.rules.actions.n_levels
                out[:, at : at + width] = self.xp.take_rows(self._one_hot, self.level)
                at += width
            else:
                out[:, at] = self.xp.minimum(self.xp.maximum(value, -_MOST_SHOWN), _MOST_SHOWN)
                at += 1
        return out

    def _account_seen(self) -> list[tuple[str, Any]]:
        account, rules = self.account, self.rules
        seen: list[tuple[str, Any]] = []
        if self._sizes or "drawdown" in rules.observe:
            close = self.xp.take(self._close, self.row)
            worth = self.xp.maximum(account.cash + account.units * close, _LEAST_WORTH)
        for name in rules.observe:
            if name == "position":
                value = account.units * close / worth
            elif name == "unrealised_profit":
                value = account.units * (close - self.entry) / worth
            elif name == "drawdown":
                self.highest_seen = self.xp.maximum(self.highest_seen, worth)  # at closes: the next open is not known
                value = 1.0 - worth / self.highest_seen
            elif name == "target":
                value = account.target
            elif name == "time_left":
                value = self.left / (rules.episode_length or 1)
            else:
                value = None
            seen.append((name, value))
        return seen

    # --- going on later --------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that changes from step to step, as arrays by name."""
        told = {name: getattr(self, name) for name in _CHANGING}
        told |= {f"account_{name}": value for name, value in self.account._asdict().items()}
        return told | {f"memory_{i}": value for i, value in enumerate(self.memory)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave.

        Raises
        ------
        ModelError : it is of another number of copies, or lacks something.
        """
        try:
            rows = {name: self.xp.column(np.asarray(value)) for name, value in state.items()}
            if any(len(value) != self.n for value in rows.values()):
                raise ModelError(f"the state is of {len(next(iter(rows.values())))} copies; {self.n} were expected.")
            for name in _CHANGING:
                setattr(self, name, rows[name])
            self.account = AccountState(**{name: rows[f"account_{name}"] for name in AccountState._fields})
            self.memory = tuple(rows[f"memory_{i}"] for i in range(len(self._memory_fresh)))
        except KeyError as missing:
            raise ModelError(f"the state of an environment lacks {missing}.") from missing


_CHANGING = ("seed", "episode", "row", "level", "left", "peak", "entry", "highest_seen")

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, as a signed number
_POSITIVE = (1 << 62) - 1


def _scrambled(value: Any) -> Any:
    """Spread whole numbers (int64) evenly: the output function of SplitMix64 (Steele, Lea and Flood, 2014)."""
    value = value + _GOLDEN
    value = (value ^ ((value >> 30) & ((1 << 34) - 1))) * -4658895280553007687
    value = (value ^ ((value >> 27) & ((1 << 37) - 1))) * -7723592293110705685
    return value ^ ((value >> 31) & ((1 << 33) - 1))
