"""From candles and a live account to what an agent sees: what it saw in training, bit for bit."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.dataset.candle_rows import Recipe
from huracan.errors import DataError, ModelError, NotEnoughData
from huracan.market import validate_candles
from huracan.reinforcement.arrays import NUMPY
from huracan.reinforcement.experience import require_same_layout
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.observations import Observations, Standing
from huracan.reinforcement.rules import TradingRules

__all__ = ["LiveAccount", "LiveState", "live_state"]


@dataclass(frozen=True, kw_only=True)
class LiveAccount:
    """An account as its venue tells it when a bar has closed.

    Parameters
    ----------
    cash : currency; what a short sale brought in is in it, what was borrowed is negative. units : held, negative when short.
    target : the weight decided on last, one of the positions of the rules; 0 before the first decision.
    average_price : at which the position was built up; read where the agent sees "unrealised_profit".
    highest_equity : the most the account was worth at a close so far, as :attr:`LiveState.highest_equity` told it the bar
        before; None at the beginning. Read where the agent sees "drawdown".
    """

    cash: float
    units: float = 0.0
    target: float = 0.0
    average_price: float = 0.0
    highest_equity: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            number = isinstance(value, Real) and not isinstance(value, bool)
            if value is not None and not (number and math.isfinite(value)):
                raise ModelError(f"{item.name} of the account is {value}; a finite number was expected.")


@dataclass(frozen=True, eq=False)
class LiveState:
    """What to decide on: ``agent.predict(state.observation, state.allowed)``.

    Attributes
    ----------
    observation : float32 (1, width). allowed : bool (1, actions). level : int64 (1,), of the standing target; an action leads
        to the weight ``rules.actions.weights[rules.actions.next_level[level, action]]``.
    symbol, ts : of the bar that has just closed; ``ts`` is its open, None where the market has no times.
    highest_equity : to be kept for the next bar's account; None where the agent does not see the drawdown.
    """

    observation: NDArray[np.float32]
    allowed: NDArray[np.bool_]
    level: NDArray[np.int64]
    symbol: str
    ts: np.datetime64 | None
    highest_equity: float | None


def live_state(
    market: Any,
    account: LiveAccount,
    rules: TradingRules,
    recipe: Recipe | None = None,
    *,
    symbol: str | None = None,
    agent: Any = None,
) -> LiveState:
    """What an agent sees now: the bars that have closed, and the account at the last close.

    It is the observation that :class:`~huracan.reinforcement.BatchTradingEnv` would give on that bar for that account.

    Parameters
    ----------
    market : candles up to the bar that has just closed, no bar that is still open among them, with as many before it as the
        recipe and the window need; or a :class:`~huracan.reinforcement.MarketTable` that ends with it.
    account : as it is now. rules : those learned under. recipe : that learned with; for candles.
    symbol : which, where there are several. agent : that will decide; it is held against what it learned with: features and
        their order, window, what is seen of the account, actions.

    Raises
    ------
    ModelError : the agent learned with other states or actions, or sees the "time_left", which nobody knows; the account's
        target is none of the positions, or it is worth nothing; no recipe.
    NotEnoughData : features of the newest bar are not defined, or the window goes beyond the unbroken bars before it.
    DataError : the symbol is not there, or one of several has to be named.

    Examples
    --------
    >>> rules = TradingRules(observe=("position", "unrealised_profit"))
    >>> market = MarketTable.from_prices([[0.1], [0.2], [0.3]], [10.0, 11.0, 12.0])
    >>> state = live_state(market, LiveAccount(cash=400.0, units=50.0, target=1.0, average_price=10.0), rules)
    >>> state.observation.round(3).tolist(), state.allowed.tolist()  # feature, position, unrealised profit
    ([[0.30000001192092896, 0.6000000238418579, 0.10000000149011612]], [[True, True, False]])
    """
    if "time_left" in rules.observe:
        raise ModelError(
            "the agent sees the 'time_left' of an episode, and a live account has none; rules without were expected."
        )
    weights = np.array(rules.actions.weights)
    level = int(np.abs(weights - account.target).argmin())
    if abs(weights[level] - account.target) > 1e-9:
        raise ModelError(
            f"the account's target is {account.target:g}; one of the positions {rules.actions.weights} was expected."
        )
    if "unrealised_profit" in rules.observe and account.units and not account.average_price > 0:
        raise ModelError(
            f"the account holds {account.units:g} units at an average_price of {account.average_price:g}; the agent sees its "
            "profit, and a price above zero was expected."
        )
    table, row = _newest(market, rules, recipe, symbol)
    if agent is not None:
        require_same_layout(agent, table, rules)
    standing = Standing(
        row=np.array([row]),
        level=np.array([level]),
        cash=np.array([account.cash], np.float64),
        units=np.array([account.units], np.float64),
        target=weights[[level]],
        entry=np.array([account.average_price], np.float64),
        left=None,
    )
    worth = account.cash + account.units * float(table.close[row])
    if not worth > 0:
        raise ModelError(f"the account is worth {worth:g} at the last close; more than nothing was expected: it is ruined.")
    seen = np.array([-math.inf if account.highest_equity is None else account.highest_equity])
    observation, highest = Observations(table, rules, NUMPY).write(standing, seen)
    return LiveState(
        observation=observation,
        allowed=rules.actions.allowed[[level]],
        level=standing.level,
        symbol=table.symbols[table.symbol_code[row]],
        ts=None if table.ts is None else table.ts[row],
        highest_equity=float(highest[0]) if "drawdown" in rules.observe else None,
    )


def _newest(market: Any, rules: TradingRules, recipe: Recipe | None, symbol: str | None) -> tuple[MarketTable, int]:
    """The market, and the row of the bar that has just closed."""
    newest = None
    if not isinstance(market, MarketTable):
        if recipe is None:
            raise ModelError("candles were given without a recipe; the one that the agent learned with was expected.")
        candles = validate_candles(market)
        symbol = _chosen(symbol, tuple(candles["symbol"].unique().sort().to_list()))
        candles = candles.filter(candles["symbol"] == symbol)
        newest = candles["ts"].dt.replace_time_zone(None).cast(pl.Datetime("ms"))[-1]
        market = MarketTable.from_candles(candles, recipe=recipe)
    else:
        symbol = _chosen(symbol, market.symbols)
    row = int(np.flatnonzero(market.symbol_code == market.symbols.index(symbol))[-1])
    if newest is not None and market.ts[row] != np.datetime64(newest, "ms"):
        raise NotEnoughData(
            f"features of {symbol} are not defined at its newest bar, {newest}; the last defined ones are of {market.ts[row]}."
        )
    if market.history[row] < rules.window - 1:
        raise NotEnoughData(
            f"the agent sees {rules.window} bars, and {market.history[row] + 1} unbroken ones end with the newest of {symbol}."
        )
    return market, row


def _chosen(symbol: str | None, symbols: tuple[str, ...]) -> str:
    if symbol is None and len(symbols) == 1:
        return symbols[0]
    if symbol is None or symbol not in symbols:
        raise DataError(f"symbol is {symbol!r}; one of {', '.join(symbols)} was expected.")
    return symbol
