"""Tables of an agent's page: figures of strategies, leads, symbols, regimes and windows, written for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from huracan.report.charts.agents import NAMES
from huracan.report.charts.intervals import ForestScale, Interval
from huracan.report.formatting import DASH, bounds, count, grown, is_number, moment, number, p_value, percent, suitable_decimals

__all__ = ["figure_rows", "lead_rows", "regime_rows", "symbol_rows", "window_rows"]

Row = Mapping[str, Any]


def figure_rows(summary: pl.DataFrame) -> dict[str, Any]:
    """What every strategy earned, with what seeds and time leave open."""
    rows = summary.to_dicts()
    means = [_interval(row, "mean", _above_or_below(row)) for row in rows]
    scale, decimals = ForestScale.of(means), _decimals(rows, "mean_bps")
    return {
        "axis": scale.axis(),
        "rows": [
            {
                "name": NAMES.get(row["strategy"], row["strategy"]),
                "css": row["strategy"],
                "drawn": scale.cell(mean, _said(row, "mean", decimals)),
                "mean": number(row["mean_bps"], decimals, signed=True),
                "mean_bounds": bounds(row["mean_low"], row["mean_high"], decimals, signed=True),
                "bootstrap": bounds(row["bootstrap_low"], row["bootstrap_high"], decimals, signed=True),
                "score": grown(row["score"]),
                "score_bounds": DASH
                if row["score_low"] is None
                else f"{grown(row['score_low'])} to {grown(row['score_high'])}",
                "sharpe": number(row["sharpe"]),
                "drawdown": percent(row["max_drawdown"]),
                "turnover": percent(row["turnover"], 2),
                "exposure": percent(row["exposure"], 0),
                "trades": number(row["trades"], 0 if row["trades"] >= 10 else 1),
                "cost": percent(row["cost_bps"] / 10_000.0, 2),
            }
            for row, mean in zip(rows, means)
        ],
    }


def lead_rows(summary: pl.DataFrame, alpha: float) -> dict[str, Any]:
    """The agent less each yardstick."""
    rows = summary.filter(pl.col("lead_bps").is_not_null()).to_dicts()
    leads = [_interval(row, "lead", _sure(row, "lead_p_adjusted", alpha)) for row in rows]
    scale, decimals = ForestScale.of(leads), _decimals(rows, "lead_bps")
    return {
        "axis": scale.axis(),
        "rows": [
            {
                "name": NAMES.get(row["strategy"], row["strategy"]),
                "drawn": scale.cell(lead, _said(row, "lead", decimals)),
                "lead": number(row["lead_bps"], decimals, signed=True),
                "lead_bounds": bounds(row["lead_low"], row["lead_high"], decimals, signed=True),
                "p": p_value(row["lead_p_value"]),
                "p_adjusted": p_value(row["lead_p_adjusted"]),
                "sure": lead.sure,
                "improvement": percent(row["improvement"], 0),
            }
            for row, lead in zip(rows, leads)
        ],
    }


def symbol_rows(by_symbol: pl.DataFrame, alpha: float) -> dict[str, Any]:
    """A row a symbol: what the agent earned, and its lead over each yardstick with p-values adjusted for all of them."""
    own = by_symbol.filter(strategy="agent").to_dicts()
    rivals = [str(name) for name in by_symbol["strategy"].unique(maintain_order=True) if name != "agent"]
    leads = {(row["symbol"], row["strategy"]): row for row in by_symbol.to_dicts()}
    means = [_interval(row, "mean", _above_or_below(row)) for row in own]
    scale, decimals = ForestScale.of(means), _decimals(by_symbol.to_dicts(), "mean_bps")
    return {
        "axis": scale.axis(),
        "rivals": [NAMES.get(name, name) for name in rivals],
        "rows": [
            {
                "name": row["symbol"],
                "drawn": scale.cell(mean, _said(row, "mean", decimals)),
                "mean": number(row["mean_bps"], decimals, signed=True),
                "mean_bounds": bounds(row["mean_low"], row["mean_high"], decimals, signed=True),
                "score": grown(row["score"]),
                "drawdown": percent(row["max_drawdown"]),
                "turnover": percent(row["turnover"], 2),
                "exposure": percent(row["exposure"], 0),
                "leads": [_lead(leads[row["symbol"], name], decimals, alpha) for name in rivals],
            }
            for row, mean in zip(own, means)
        ],
    }


def regime_rows(by_regime: pl.DataFrame, alpha: float) -> dict[str, Any]:
    """A row a regime."""
    rows = by_regime.to_dicts()
    means = [_interval(row, "mean", _sure(row, "p_adjusted", alpha)) for row in rows]
    scale, decimals = ForestScale.of(means), _decimals(rows, "mean_bps")
    return {
        "axis": scale.axis(),
        "rows": [
            {
                "name": row["regime"],
                "drawn": scale.cell(mean, _said(row, "mean", decimals)),
                "mean": number(row["mean_bps"], decimals, signed=True),
                "mean_bounds": bounds(row["mean_low"], row["mean_high"], decimals, signed=True),
                "bootstrap": bounds(row["bootstrap_low"], row["bootstrap_high"], decimals, signed=True),
                "p": p_value(row["p_adjusted"]),
                "sure": mean.sure,
                "bars": count(row["bars"]),
                "share": percent(row["share"], 0),
                "exposure": percent(row["exposure"], 0),
                "turnover": percent(row["turnover"], 2),
            }
            for row, mean in zip(rows, means)
        ],
    }


def window_rows(windows: pl.DataFrame) -> list[dict[str, str]]:
    """Spans of each window."""
    return [
        {
            "window": str(row["window"] + 1),
            "train": f"{_when(row.get('train_start'))} to {_when(row.get('train_end'))}",
            "train_decisions": count(row.get("train_decisions")),
            "test": f"{_when(row.get('test_start'))} to {_when(row.get('test_end'))}",
            "test_decisions": count(row.get("test_decisions")),
        }
        for row in windows.iter_rows(named=True)
    ]


def _interval(row: Row, figure: str, sure: bool) -> Interval:
    return Interval(row[f"{figure}_bps"], row[f"{figure}_low"], row[f"{figure}_high"], sure)


def _above_or_below(row: Row) -> bool:
    """Whether the interval of a mean leaves out zero."""
    low, high = row["mean_low"], row["mean_high"]
    return is_number(low) and is_number(high) and (low > 0.0 or high < 0.0)


def _sure(row: Row, p: str, alpha: float) -> bool:
    return is_number(row[p]) and row[p] <= alpha


def _decimals(rows: list[dict[str, Any]], figure: str) -> int:
    return suitable_decimals([row[figure] for row in rows], 3, least=2, most=3)


def _said(row: Row, figure: str, decimals: int) -> str:
    name = row.get("symbol") or row.get("regime") or NAMES.get(str(row.get("strategy")), row.get("strategy"))
    between = bounds(row[f"{figure}_low"], row[f"{figure}_high"], decimals, signed=True)
    return f"{name}: {figure} {number(row[f'{figure}_bps'], decimals, signed=True)} basis points a bar, interval {between}"


def _lead(row: Row, decimals: int, alpha: float) -> dict[str, Any]:
    sure = _sure(row, "lead_p_adjusted", alpha)
    return {
        "lead": number(row["lead_bps"], decimals, signed=True),
        "p": p_value(row["lead_p_adjusted"]),
        "sure": sure,
        "css": ("plus" if row["lead_bps"] > 0 else "minus") if sure else "",
    }


def _when(at: datetime | int | None) -> str:
    return moment(at) if isinstance(at, datetime) else DASH if at is None else f"bar {at:,}"
