"""Reinforcement learning: an environment that is the backtest's own accounting, and an agent checked against exact optima.

The names below are loaded when first asked for, because torch and gymnasium take seconds to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huracan.reinforcement.action_maps import ActionMap, action_map, observation_importance
    from huracan.reinforcement.actions import ActionLadder
    from huracan.reinforcement.batch_env import BatchTradingEnv
    from huracan.reinforcement.evaluation import WalkForwardEvaluation
    from huracan.reinforcement.kept_runs import KeptRuns
    from huracan.reinforcement.live import LiveAccount, LiveState, live_state
    from huracan.reinforcement.market_table import MarketTable
    from huracan.reinforcement.playing import Played, Policy, Seen, play
    from huracan.reinforcement.rewards import DifferentialSharpe, NetLogReturn, Outcome
    from huracan.reinforcement.rl_agent import DQNAgent
    from huracan.reinforcement.rules import TradingRules
    from huracan.reinforcement.stable_baselines import StableBaselinesAgent, train_stable_baselines
    from huracan.reinforcement.tensor_env import TensorTradingEnv
    from huracan.reinforcement.trading_env import TradingEnv
    from huracan.reinforcement.walk_forward import walk_forward_evaluation, walk_forward_windows
    from huracan.reinforcement.yardsticks import BuyAndHold, Flat, Myopic, RandomOfSameHabits

_HOMES = {
    "ActionLadder": "actions",
    "ActionMap": "action_maps",
    "BatchTradingEnv": "batch_env",
    "BuyAndHold": "yardsticks",
    "DQNAgent": "rl_agent",
    "DifferentialSharpe": "rewards",
    "Flat": "yardsticks",
    "KeptRuns": "kept_runs",
    "LiveAccount": "live",
    "LiveState": "live",
    "MarketTable": "market_table",
    "Myopic": "yardsticks",
    "NetLogReturn": "rewards",
    "Outcome": "rewards",
    "Played": "playing",
    "Policy": "playing",
    "RandomOfSameHabits": "yardsticks",
    "Seen": "playing",
    "StableBaselinesAgent": "stable_baselines",
    "TensorTradingEnv": "tensor_env",
    "TradingEnv": "trading_env",
    "TradingRules": "rules",
    "WalkForwardEvaluation": "evaluation",
    "action_map": "action_maps",
    "live_state": "live",
    "observation_importance": "action_maps",
    "play": "playing",
    "train_stable_baselines": "stable_baselines",
    "walk_forward_evaluation": "walk_forward",
    "walk_forward_windows": "walk_forward",
}

__all__ = [
    "ActionLadder",
    "ActionMap",
    "BatchTradingEnv",
    "BuyAndHold",
    "DQNAgent",
    "DifferentialSharpe",
    "Flat",
    "KeptRuns",
    "LiveAccount",
    "LiveState",
    "MarketTable",
    "Myopic",
    "NetLogReturn",
    "Outcome",
    "Played",
    "Policy",
    "RandomOfSameHabits",
    "Seen",
    "StableBaselinesAgent",
    "TensorTradingEnv",
    "TradingEnv",
    "TradingRules",
    "WalkForwardEvaluation",
    "action_map",
    "live_state",
    "observation_importance",
    "play",
    "train_stable_baselines",
    "walk_forward_evaluation",
    "walk_forward_windows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
