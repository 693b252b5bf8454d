"""Which windows of a walk a symbol can be learned and played in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from huracan.errors import NotEnoughData
from huracan.reinforcement.rules import TradingRules

if TYPE_CHECKING:
    from huracan.reinforcement.walk_forward import Window

__all__ = ["playable_windows"]

_FEWEST_ROWS = 20
"""That a forecast can be learned from, and a mean over time tested on."""


def playable_windows(
    windows: Sequence[Window], rules: TradingRules, symbols: Sequence[str]
) -> tuple[list[tuple[int, str]], dict[tuple[int, str], str]]:
    """Which (window, symbol) can be learned and played, and why the others cannot.

    A symbol that began late or ended early has windows without a past to learn from, or without a bar to play. Nobody plays
    them, yardsticks included: leads are between the same accounts.

    Parameters
    ----------
    windows : of a walk. symbols : each to have agents of its own; the empty name is all of them together.

    Raises
    ------
    NotEnoughData : nothing is left, or all symbols together are too short; window, symbol and reason are given.
    """
    left_out: dict[tuple[int, str], str] = {}
    kept: list[tuple[int, str]] = []
    for window in windows:
        for symbol in symbols:
            why = _why_not(window, rules, symbol)
            if not why:
                kept.append((window.number, symbol))
            elif symbol:
                left_out[window.number, symbol] = why
            else:
                raise NotEnoughData(f"window {window.number + 1} cannot be learned and played: {why}")
    if not kept:
        (number, symbol), why = next(iter(left_out.items()))
        raise NotEnoughData(f"no symbol can be learned and played in any window; {symbol} in window {number + 1}: {why}")
    return kept, left_out


def _why_not(window: Window, rules: TradingRules, symbol: str) -> str:
    past, now = window.of_symbol(symbol)
    try:
        past.starts(window=rules.window, steps=rules.episode_length)
        now.starts(window=rules.window, steps=None)
    except NotEnoughData as error:
        return str(error)
    for rows, what in (
        (past.decidable & (past.history >= rules.window - 1), "learn from"),
        (now.decidable & (now.history >= rules.window - 1), "play"),
    ):
        found = int(np.count_nonzero(rows))
        if symbol and found < _FEWEST_ROWS:
            return f"{found} bars to {what}; at least {_FEWEST_ROWS} were expected."
    return ""
