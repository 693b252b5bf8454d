"""Money: what trading costs, how an account moves, what a strategy earned."""

from __future__ import annotations

from huracan.accounting.backtests import backtest, backtest_many, buy_and_hold
from huracan.accounting.costs import CostModel
from huracan.accounting.metrics import bars_in_a_year, drawdown, performance_metrics, sharpe_interval
from huracan.accounting.policy import PositionPolicy, targets_frame
from huracan.accounting.result import BacktestResult
from huracan.accounting.round_trips import RoundTrips
from huracan.accounting.step import AccountState, StepResult, step

__all__ = [
    "AccountState",
    "BacktestResult",
    "CostModel",
    "PositionPolicy",
    "RoundTrips",
    "StepResult",
    "backtest",
    "backtest_many",
    "bars_in_a_year",
    "buy_and_hold",
    "drawdown",
    "performance_metrics",
    "sharpe_interval",
    "step",
    "targets_frame",
]
