"""SMA cross (10, 20) on GOOG, against the figures that backtesting.py publishes for it.

The strategy, the account and every figure are this package's own; the published numbers rest on conventions that are
not our defaults, and each is an explicit argument here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import markdown_table, market_data
from huracan.accounting import BacktestResult, CostModel, backtest, buy_and_hold, performance_metrics

__all__ = ["CONVENTIONS", "PUBLISHED", "figures", "main", "read_goog", "run_goog", "sma_cross_targets"]

PUBLISHED = {
    "Return [%]": "589.35",
    "Buy & Hold Return [%]": "703.46",
    "Return (Ann.) [%]": "25.42",
    "Volatility (Ann.) [%]": "38.43",
    "Sharpe Ratio": "0.66",
    "Sortino Ratio": "1.30",
    "Calmar Ratio": "0.77",
    "Max. Drawdown [%]": "-33.08",
    "# Trades": "93",
    "Win Rate [%]": "53.76",
    "Exposure Time [%]": "94.27",
    "Profit Factor": "2.13",
}
"""The README of backtesting.py, as printed."""

_COMMISSION = 0.002
_SHORT = 1.0 / (1.0 - 2.0 * _COMMISSION)

CONVENTIONS = {
    "commission of 0.2 % when a position is opened, none when it is closed; a reversal closes first, then opens": (
        "costs=CostModel(fee_bps=20), exit_costs=CostModel.free()"
    ),
    "the whole account goes into whole shares": "lot_size=1, target 1 or -1 / (1 - 2 * 0.002)",
    "a short sale's commission lowers the price it is sized at, so after it the weight is 1 / (1 - 2 * 0.002)": "that target",
    "orders fill at the next open; equity is valued at every close": 'mark="close"',
    "the position open at the end stays open and is no trade": "close_at_end=False",
    "252 trading days a year; volatility and ratios of compounded annual returns": (
        'annualisation=252, convention="geometric"'
    ),
    "the annual return compounds over all 2,148 days, of which the first has no return": "a zero before the returns",
    "profit factor divides sums of trade returns, not of money": "profit_factor_of_returns",
    "exposure counts the days from entry to exit, both included, of completed trades": "from round_trips",
    "buy and hold is close to close over the whole file, without costs": 'fill="close", bought at the first close',
}
"""What the published figures assume -> how it is asked for here."""


def read_goog(folder: Path) -> pl.DataFrame:
    """GOOG's daily bars 2004 to 2013 as candles."""
    bars = pl.read_parquet(folder / "benchmarks" / "goog_daily.parquet")
    return bars.select(
        pl.lit("GOOG").alias("symbol"),
        pl.col("ts").cast(pl.Datetime("ms")).dt.replace_time_zone("UTC"),
        pl.col("open", "high", "low", "close", "volume").cast(pl.Float64),
    )


def sma_cross_targets(close: NDArray[np.float64], fast: int = 10, slow: int = 20, short: float = 1.0) -> NDArray[np.float64]:
    """Long (1) after the fast average crosses above the slow one, short after it crosses below, nothing before."""
    difference = _moving_average(close, fast) - _moving_average(close, slow)
    target, holding = np.zeros(len(close)), 0.0
    for t in range(slow, len(close)):
        if difference[t - 1] < 0 < difference[t]:
            holding = 1.0
        elif difference[t - 1] > 0 > difference[t]:
            holding = -short
        target[t] = holding
    return target


def run_goog(candles: pl.DataFrame) -> tuple[BacktestResult, BacktestResult]:
    """The strategy and buy and hold, with the conventions of the published figures."""
    strategy = backtest(
        candles,
        sma_cross_targets(candles["close"].to_numpy(), short=_SHORT),
        CostModel(fee_bps=10_000 * _COMMISSION, half_spread_bps=0, slippage_bps=0, lot_size=1, initial_equity=10_000),
        exit_costs=CostModel.free(lot_size=1),
        mark="close",
        close_at_end=False,
        annualisation=252,
        convention="geometric",
    )
    return strategy, buy_and_hold(_from_first_close(candles), CostModel.free(), fill="close", mark="close", annualisation=252)


def figures(candles: pl.DataFrame) -> dict[str, float]:
    """Every published figure, computed here."""
    strategy, held = run_goog(candles)
    found, trips = strategy.metrics, strategy.round_trips
    with_first_day = performance_metrics(np.concatenate(([0.0], strategy.returns)), bars_per_year=252, confidence=None)
    return {
        "Return [%]": 100 * found["total_return"],
        "Buy & Hold Return [%]": 100 * held.metrics["total_return"],
        "Return (Ann.) [%]": 100 * with_first_day["annualised_return"],
        "Volatility (Ann.) [%]": 100 * found["annualised_volatility"],
        "Sharpe Ratio": found["sharpe"],
        "Sortino Ratio": found["sortino"],
        "Calmar Ratio": found["calmar"],
        "Max. Drawdown [%]": 100 * found["max_drawdown"],
        "# Trades": found["n_trades"],
        "Win Rate [%]": 100 * found["win_rate"],
        "Exposure Time [%]": 100 * _days_in(trips.entry, trips.exit) / candles.height,
        "Profit Factor": found["profit_factor_of_returns"],
    }


def main() -> str:
    """Compare with the published figures to the printed digit and write both down."""
    ours = figures(read_goog(market_data()))
    rows, wrong = [], []
    for name, published in PUBLISHED.items():
        decimals = len(published.partition(".")[2])
        printed = f"{ours[name]:.{decimals}f}"
        rows.append([name, published, printed, "yes" if printed == published else "no"])
        wrong += [] if printed == published else [f"{name} is {printed}, published {published}"]
    assert not wrong, "; ".join(wrong)
    text = "# SMA cross (10, 20) on GOOG, 2004 to 2013\n\n"
    text += markdown_table(["figure", "published by backtesting.py", "Huracan", "equal"], rows)
    text += "\n\nConventions of the published figures, and how they are asked for:\n\n"
    return text + markdown_table(["convention", "argument"], [[k, f"`{v}`"] for k, v in CONVENTIONS.items()])


def _moving_average(x: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    out = np.full(len(x), np.nan)
    out[window - 1 :] = np.lib.stride_tricks.sliding_window_view(x, window).mean(axis=1)
    return out


def _days_in(entry: NDArray[np.int64], leave: NDArray[np.int64]) -> int:
    return len(np.unique(np.concatenate([np.arange(a, b + 1) for a, b in zip(entry, leave, strict=True)])))


def _from_first_close(candles: pl.DataFrame) -> pl.DataFrame:
    """The candles with a day before them, on which the decision to buy at the first close is taken."""
    first = candles.head(1)
    return pl.concat([first.with_columns(pl.col("ts") - pl.duration(days=1)), candles])
