"""Reinforcement learning: an environment that is the backtest's own accounting, and an agent checked against exact optima.

The names below are loaded when first asked for, because torch and gymnasium take seconds to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huracan.reinforcement.actions import ActionLadder
    from huracan.reinforcement.batch_env import BatchTradingEnv
    from huracan.reinforcement.market_table import MarketTable
    from huracan.reinforcement.rewards import DifferentialSharpe, NetLogReturn, Outcome
    from huracan.reinforcement.rl_agent import DQNAgent
    from huracan.reinforcement.rules import TradingRules
    from huracan.reinforcement.trading_env import TradingEnv

_HOMES = {
    "ActionLadder": "actions",
    "BatchTradingEnv": "batch_env",
    "DQNAgent": "rl_agent",
    "DifferentialSharpe": "rewards",
    "MarketTable": "market_table",
    "NetLogReturn": "rewards",
    "Outcome": "rewards",
    "TradingEnv": "trading_env",
    "TradingRules": "rules",
}

__all__ = [
    "ActionLadder",
    "BatchTradingEnv",
    "DQNAgent",
    "DifferentialSharpe",
    "MarketTable",
    "NetLogReturn",
    "Outcome",
    "TradingEnv",
    "TradingRules",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
