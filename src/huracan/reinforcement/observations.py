"""What an agent sees, made in one place: the same numbers in training, in play and live."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import numpy as np

from huracan.reinforcement.compiled_loops import compiled_loops
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.rules import MOST_SHOWN, AccountField, TradingRules

__all__ = ["Observations", "Standing"]

_LEAST_WORTH = 1e-9


class Standing(NamedTuple):
    """Where accounts stand when a bar has closed; arrays (n,).

    ``row`` of the market, ``level`` of the ladder, ``cash`` and ``units`` held, ``target`` the standing weight, ``entry`` the
    average price the position was built up at, ``left`` decisions of the episode still to come.
    """

    row: Any
    level: Any
    cash: Any
    units: Any
    target: Any
    entry: Any
    left: Any


class Observations:
    """Writes observations: a window of features of closed bars, then what the rules say of the account.

    Nothing in it is later than the decision: the account is valued at the close of the bar that decides.

    Parameters
    ----------
    market, rules : of the game. arrays : whose arithmetic, see :mod:`huracan.reinforcement.arrays`.
    compiled : write all copies in one pass where numba is installed; the same bits.

    Attributes
    ----------
    width : numbers of one observation. reads_close : whether the account is shown, and so valued.
    of_kernel : what the compiled writer is told of market and rules.
    """

    def __init__(self, market: MarketTable, rules: TradingRules, arrays: Any, *, compiled: bool = False) -> None:
        self.rules, self.xp = rules, arrays
        loops = compiled_loops("huracan.reinforcement.observation_kernels") if compiled else None
        self._kernel: Any = None if loops is None else loops.written
        self._back = rules.window - 1
        self._windows = arrays.windows(arrays.column(market.features), rules.window)
        self._one_hot = arrays.column(np.eye(rules.actions.n_levels))
        self._shown = rules.window * market.n_features
        self.width = self._shown + rules.account_size
        self.reads_close = bool({"position", "unrealised_profit", "drawdown"} & set(rules.observe))
        self._close = arrays.column(market.close) if self.reads_close else None
        fields = np.array([get_args(AccountField).index(name) for name in rules.observe], np.int64)
        lengths = rules.window, rules.actions.n_levels, rules.episode_length or 1
        self.of_kernel = market.features, fields, *lengths, _LEAST_WORTH, MOST_SHOWN, self.width

    def write(self, standing: Standing, highest_seen: Any, close: Any = None) -> tuple[Any, Any]:
        """Observations float32 (n, width), and the highest worth (n,) at a close so far, which "drawdown" is measured from.

        ``close`` (n,) of the rows may be given where it is known already.
        """
        xp, rules, at = self.xp, self.rules, self._shown
        row = standing.row
        worth: Any = None
        held: Any = None
        if self.reads_close:
            close = xp.take(self._close, row) if close is None else close
        if self._kernel is not None:
            return self._kernel(tuple(standing), close if self.reads_close else None, highest_seen, *self.of_kernel)
        out = xp.empty_observations(len(row), self.width)
        out[:, :at] = xp.take_rows(self._windows, row - self._back if self._back else row)
        if self.reads_close:
            held = standing.units * close
            worth = xp.maximum(standing.cash + held, _LEAST_WORTH)
        for name in rules.observe:
            if name == "level":
                out[:, at : at + rules.actions.n_levels] = xp.take_rows(self._one_hot, standing.level)
                at += rules.actions.n_levels
                continue
            if name == "position":
                value = held / worth
            elif name == "unrealised_profit":
                value = (held - standing.units * standing.entry) / worth
            elif name == "drawdown":
                highest_seen = xp.maximum(highest_seen, worth)  # at closes: the next open is not known
                value = 1.0 - worth / highest_seen
            elif name == "target":
                value = standing.target
            else:
                value = standing.left / (rules.episode_length or 1)
            out[:, at] = xp.minimum(xp.maximum(value, -MOST_SHOWN), MOST_SHOWN)
            at += 1
        return out, highest_seen
