"""Agents on real candles: four coins by the hour, walk-forward, five seeds, net of costs; the whole table, whatever it says.

Settings are those anybody gets: the default recipe, costs, rules and agent, nothing tuned on these bars. Before anything is
reported every bar of every run is accounted for again from the candles alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from benchmarks import markdown_table, market_data
from huracan.accounting import CostModel
from huracan.config import HuracanConfig
from huracan.integration.rl_job import rules_of
from huracan.market import read_candles, resample_candles
from huracan.preprocessing import FeatureRecipe
from huracan.reinforcement import DQNAgent, TradingRules, WalkForwardEvaluation, walk_forward_evaluation

__all__ = ["main"]

COINS = ("BTC-USDT_USDT", "SOL-USDT", "DOGE-USDT", "ADA-USDT")
BAR = "1h"
WINDOWS, SEEDS, STEPS = 4, 5, 40_000
EMBARGO, MIN_TRAIN_SHARE = 5, 0.25
WAYS: Mapping[str, dict[str, Any]] = {
    "Counterfactual backups": {},
    "Plain replay, epsilon-greedy": {"counterfactual": False},
}
_WAY_OFF = 1e-9
_NAMES = {
    "agent": "**agent**",
    "flat": "doing nothing",
    "buy_and_hold": "buy and hold",
    "random": "chance, equal turnover",
    "myopic": "forecast one bar ahead",
}


def main(*, windows: int = WINDOWS, seeds: int = SEEDS, steps: int = STEPS, hours: int | None = None) -> str:
    """All of it.

    Parameters
    ----------
    windows, seeds, steps : of the walk. hours : the last so many of the candles only.
    """
    rules = rules_of(HuracanConfig())
    candles = hourly_candles(hours)
    parts = []
    for name, settings in WAYS.items():
        began = time.process_time()
        evaluation = walk_forward_evaluation(
            candles,
            lambda seed, chosen=settings: DQNAgent(random_state=seed, **chosen),
            rules,
            recipe=FeatureRecipe.default(),
            n_windows=windows,
            seeds=seeds,
            total_steps=steps,
            embargo=EMBARGO,
            min_train_share=MIN_TRAIN_SHARE,
            maps=False,
        )
        minutes = (time.process_time() - began) / 60
        _check_accounts(evaluation, candles, rules)
        parts.append(f"## {name}\n\n{_told(evaluation)}\n\n{minutes:.0f} CPU minutes.")
    span = f"{candles['ts'].min():%Y-%m-%d} to {candles['ts'].max():%Y-%m-%d}"
    weights = ", ".join(f"{w:g}" for w in rules.actions.weights)
    head = (
        f"{', '.join(sorted(candles['symbol'].unique()))}: {candles.height:,} bars of {BAR}, {span}. "
        f"{windows} windows, the past growing, {seeds} seeds, {steps:,} steps a training, one agent for all symbols. "
        f"Actions: {', '.join(rules.actions.names)}, between weights {weights}; {rules.costs.per_side_bps:g} basis points a "
        "side. "
        "Default recipe and settings; nothing was chosen for these bars. Means over time: days where there are 60 or more, "
        "else bars."
    )
    notes = (
        "How to read it: *bp a bar* is the mean net log return of a bar in basis points with its 95 % interval over time; "
        "*a window* is the interquartile mean of what runs (seed, window, symbol) earned, net, with its 95 % interval "
        "over seeds. *p* is of the agent's lead over that strategy, after Holm: over the strategies, and in the table by "
        "symbol over all strategies and symbols together. Sharpe and drawdown are medians of the seeds, each an account of its "
        "own. *A run ahead* counts ties as half. Turnover is a share of equity a bar, trades and costs are means a run. "
        "P-values are adjusted within one way of learning, not for there being two."
    )
    return f"# Agents on real candles\n\n{head}\n\n{notes}\n\n" + "\n\n".join(parts)


def hourly_candles(hours: int | None = None) -> pl.DataFrame:
    """The coins' minutes as bars of an hour that are whole."""
    folder = market_data() / "candles"
    bars = [resample_candles(read_candles(folder / f"{coin}_1m.parquet"), BAR) for coin in COINS]
    return pl.concat([one if hours is None else one.tail(hours) for one in bars]).sort("symbol", "ts")


def _check_accounts(evaluation: WalkForwardEvaluation, candles: pl.DataFrame, rules: TradingRules) -> None:
    """Every bar again from the candles: what was held, times what the price did, less what trading cost."""
    costs = rules.costs
    assert costs == CostModel(fee_bps=costs.fee_bps, half_spread_bps=costs.half_spread_bps, slippage_bps=costs.slippage_bps)
    priced = candles.select(
        "symbol",
        "ts",
        move=(pl.col("open").shift(-2) / pl.col("open").shift(-1)).over("symbol") - 1.0,
    )
    bars = evaluation.bars.join(priced, on=["symbol", "ts"], how="left")
    again = np.log1p((bars["position"] * bars["move"] - bars["cost"]).to_numpy())
    off = float(np.abs(again - bars["log_return"].to_numpy()).max())
    assert off <= _WAY_OFF, f"a bar is {off:.2g} off what its candles say"
    paid = (bars["turnover"] * costs.per_side_bps / 10_000.0 - bars["cost"]).abs().max()
    assert float(paid) <= _WAY_OFF, f"costs of a bar are {paid:.2g} off its turnover"  # type: ignore[arg-type]
    flat = bars.filter(strategy="flat")
    assert flat.select((pl.col("log_return", "turnover", "position") == 0.0).all()).row(0) == (True,) * 3, (
        "doing nothing did it"
    )
    twice = bars.filter(strategy="flat").select(pl.struct("symbol", "ts").is_duplicated().any()).item()
    assert not twice, "a bar was played in two windows"


def _told(evaluation: WalkForwardEvaluation) -> str:
    """Verdict and tables."""
    verdict = evaluation.verdict()
    parts = [
        verdict.sentence,
        "\n".join(f"* {reason}" for reason in verdict.reasons),
        _strategies(evaluation.summary()),
        "By symbol, the agent and its lead:",
        _symbols(evaluation.summary_by_symbol()),
        "By state of the market as it was known at the decision, the agent (more than doing nothing, which earns 0):",
        _regimes(evaluation.by_regime()),
        "Windows (first and last decision, UTC), and of the agent's runs in each the interquartile mean and the range:",
        _windows(evaluation),
    ]
    return "\n\n".join(parts)


def _strategies(summary: pl.DataFrame) -> str:
    head = [
        "",
        "bp a bar",
        "95 %",
        "block bootstrap",
        "a window",
        "95 % over seeds",
        "agent's lead, bp",
        "95 %",
        "p",
        "a run ahead",
    ]
    head += ["Sharpe", "drawdown", "turnover", "exposed", "trades", "costs"]
    rows = []
    for row in summary.iter_rows(named=True):
        alone = row["lead_bps"] is None
        rows.append(
            [
                _NAMES[row["strategy"]],
                f"{row['mean_bps']:+.2f}",
                _ends(row["mean_low"], row["mean_high"]),
                _ends(row["bootstrap_low"], row["bootstrap_high"]),
                _grown(row["score"]),
                "" if row["score_low"] is None else f"{_grown(row['score_low'])} to {_grown(row['score_high'])}",
                "" if alone else f"{row['lead_bps']:+.2f}",
                "" if alone else _ends(row["lead_low"], row["lead_high"]),
                "" if alone else _p(row["lead_p_adjusted"]),
                "" if alone else f"{row['improvement']:.0%}",
                f"{row['sharpe']:.2f}",
                f"{row['max_drawdown']:.1%}",
                f"{row['turnover']:.2%}",
                f"{row['exposure']:.0%}",
                f"{row['trades']:.0f}",
                f"{row['cost_bps'] / 10_000:.2%}",
            ]
        )
    return markdown_table(head, rows)


def _symbols(table: pl.DataFrame) -> str:
    rivals = [name for name in _NAMES if name != "agent" and name in table["strategy"].to_list()]
    head = ["", "bp a bar", "95 %", "a window", "95 % over seeds", "Sharpe", "drawdown", "turnover", "exposed"]
    head += [f"lead over {_NAMES[name]} (p)" for name in rivals]
    by_key = {(row["symbol"], row["strategy"]): row for row in table.iter_rows(named=True)}
    rows = []
    for own in table.filter(strategy="agent").iter_rows(named=True):
        leads = [by_key[own["symbol"], name] for name in rivals]
        rows.append(
            [
                own["symbol"],
                f"{own['mean_bps']:+.2f}",
                _ends(own["mean_low"], own["mean_high"]),
                _grown(own["score"]),
                "" if own["score_low"] is None else f"{_grown(own['score_low'])} to {_grown(own['score_high'])}",
                f"{own['sharpe']:.2f}",
                f"{own['max_drawdown']:.1%}",
                f"{own['turnover']:.2%}",
                f"{own['exposure']:.0%}",
                *(f"{row['lead_bps']:+.2f} ({_p(row['lead_p_adjusted'])})" for row in leads),
            ]
        )
    return markdown_table(head, rows)


def _regimes(table: pl.DataFrame) -> str:
    head = ["", "bars", "share", "bp a bar", "95 %", "block bootstrap", "p, Holm", "exposed", "turnover"]
    rows = [
        [
            row["regime"],
            f"{row['bars']:,}",
            f"{row['share']:.0%}",
            f"{row['mean_bps']:+.2f}",
            _ends(row["mean_low"], row["mean_high"]),
            _ends(row["bootstrap_low"], row["bootstrap_high"]),
            "" if row["p_adjusted"] is None else _p(row["p_adjusted"]),
            f"{row['exposure']:.0%}",
            f"{row['turnover']:.2%}",
        ]
        for row in table.iter_rows(named=True)
    ]
    return markdown_table(head, rows)


def _windows(evaluation: WalkForwardEvaluation) -> str:
    from huracan.statistics import interquartile_mean

    runs = evaluation.runs.filter(strategy="agent")
    rows = []
    for window in evaluation.windows.iter_rows(named=True):
        earned = runs.filter(window=window["window"])["net_log_return"].to_numpy()
        rows.append(
            [
                window["window"] + 1,
                f"{window['train_start']:%Y-%m-%d} to {window['train_end']:%Y-%m-%d}",
                f"{window['train_decisions']:,}",
                f"{window['test_start']:%Y-%m-%d} to {window['test_end']:%Y-%m-%d}",
                f"{window['test_decisions']:,}",
                _grown(interquartile_mean(earned)),
                f"{_grown(earned.min())} to {_grown(earned.max())}",
            ]
        )
    return markdown_table(["window", "learned from", "decisions", "played", "decisions", "a run", "worst to best"], rows)


def _ends(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f"{low:+.2f} to {high:+.2f}" if math.isfinite(high - low) else "moves too slowly to tell"


def _grown(log_return: float) -> str:
    """A log return as growth of capital."""
    return f"{math.expm1(log_return):+.2%}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else "<0.0001"
