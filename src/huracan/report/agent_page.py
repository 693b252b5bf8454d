"""``render_agent_page``: what a walk-forward evaluation of an agent found, as one self-contained HTML page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import polars as pl

from huracan.report.agent_learning import learned, mapped
from huracan.report.agent_tables import figure_rows, lead_rows, regime_rows, symbol_rows, window_rows
from huracan.report.charts.agents import capital_chart, depth_chart, profile_chart, strategy_legend
from huracan.report.formatting import bounds, grown, number, p_value, percent, plural
from huracan.report.page_parts import page_parts, write_page

if TYPE_CHECKING:
    from huracan.reinforcement import WalkForwardEvaluation

__all__ = ["render_agent_page", "write_agent_page"]

_NOTHING: Mapping[str, str] = MappingProxyType({})
_MEANINGS = {
    "beats all": {"name": "money", "sign": "✓", "phrase": "Beats all it was held against"},
    "earns its costs": {"name": "skill", "sign": "◐", "phrase": "Earns its costs"},
    "stay out": {"name": "keep", "sign": "–", "phrase": "Stay out"},
}


def render_agent_page(
    evaluation: WalkForwardEvaluation,
    *,
    title: str = "Agent",
    created_at: datetime | None = None,
    alpha: float = 0.05,
    resamples: int = 2000,
    facts: Mapping[str, str] = _NOTHING,
    provenance: Mapping[str, str] = _NOTHING,
) -> str:
    """Write one HTML file that opens without a network, in light and dark, on a phone and on paper.

    Parameters
    ----------
    evaluation : of :func:`huracan.reinforcement.walk_forward_evaluation`; names in it are escaped, whatever they hold.
    title : what was evaluated, such as the name of a data set. created_at : UTC; now where it is not given.
    alpha : level of tests; intervals have level ``1 - alpha``. resamples : of bootstraps.
    facts : label -> value, shown under the verdict. provenance : label -> hash or version, at the end.

    Returns
    -------
    The page: the verdict first, then what every strategy earned and the agent's lead, growth and drawdown of capital, runs,
    symbols and regimes, how the agents learned, what they do, and the windows.
    """
    drawn: dict[str, Any] = {"confidence": 1.0 - alpha, "resamples": resamples}
    verdict = evaluation.verdict(alpha=alpha, resamples=resamples)
    summary = evaluation.summary(**drawn)
    head, mark, rest = verdict.sentence.partition(": ")
    starts = evaluation.windows["test_start"].to_list() if "test_start" in evaluation.windows.columns else []
    equity = evaluation.equity()
    by_regime = evaluation.by_regime(**drawn) if evaluation.regimes is not None else None
    by_symbol = evaluation.summary_by_symbol(**drawn) if len(evaluation.symbols) > 1 else None
    return page_parts("agent.html.j2", "comparison.css", "search.css", "agent.css").render(
        title=title,
        created_at=datetime.now(UTC) if created_at is None else created_at,
        verdict=verdict.sentence,
        reasons=verdict.reasons,
        headline=(head + mark.strip(), rest),
        meaning=_MEANINGS[str(verdict.standing)],
        tiles=_tiles(summary, by_symbol, evaluation),
        facts=facts,
        provenance=provenance,
        level=f"{100 * (1 - alpha):g} %",
        alpha=alpha,
        figures=figure_rows(summary),
        leads=lead_rows(summary, alpha),
        capital=capital_chart(equity, starts),
        depth=depth_chart(equity, starts),
        profile=profile_chart(evaluation.profiles(**drawn)),
        profile_legend=strategy_legend(evaluation.strategies, {}),
        seeds=evaluation.runs["seed"].drop_nulls().n_unique(),
        tried=evaluation.tried,
        symbols=None if by_symbol is None else symbol_rows(by_symbol, alpha),
        regimes=regime_rows(by_regime, alpha) if by_regime is not None and by_regime.height else None,
        curves=learned(evaluation.learning_curves),
        maps=mapped(evaluation.action_maps),
        windows=window_rows(evaluation.windows),
        stopped=[
            {"window": window + 1, "seed": seed, "symbol": symbol or "all symbols", "reason": reason}
            for (window, seed, symbol), reason in evaluation.stopped.items()
        ],
    )


def write_agent_page(
    evaluation: WalkForwardEvaluation,
    path: str | os.PathLike[str],
    *,
    title: str = "Agent",
    created_at: datetime | None = None,
    alpha: float = 0.05,
    resamples: int = 2000,
    facts: Mapping[str, str] = _NOTHING,
    provenance: Mapping[str, str] = _NOTHING,
) -> Path:
    """Write :func:`render_agent_page` to ``path``, whole or not at all, and return the path.

    Raises
    ------
    StorageError : the file cannot be written.
    """
    page = render_agent_page(
        evaluation,
        title=title,
        created_at=created_at,
        alpha=alpha,
        resamples=resamples,
        facts=facts,
        provenance=provenance,
    )
    return write_page(page, path)


def _tiles(summary: pl.DataFrame, by_symbol: pl.DataFrame | None, evaluation: WalkForwardEvaluation) -> list[dict[str, str]]:
    """The few numbers that stand beside the verdict."""
    rows = {row["strategy"]: row for row in summary.iter_rows(named=True)}
    own, flat = rows["agent"], rows["flat"]
    runs = evaluation.runs.filter(strategy="agent")
    low, high = (grown(own[end]) for end in ("score_low", "score_high"))
    return [
        {
            "name": "Net of costs, a bar",
            "value": f"{number(own['mean_bps'], 2, signed=True)} bp",
            "note": f"interval {bounds(own['mean_low'], own['mean_high'], 2, signed=True)}, over time",
        },
        {
            "name": "A window, interquartile mean",
            "value": grown(own["score"]),
            "note": "one seed says nothing of luck" if own["score_low"] is None else f"interval {low} to {high}, over seeds",
        },
        {
            "name": "Against doing nothing",
            "value": f"p = {p_value(flat['lead_p_adjusted'])}",
            "note": f"adjusted for {plural(len(rows) - 1, 'yardstick')}"
            + (f" and {evaluation.tried} evaluations" if evaluation.tried > 1 else ""),
        },
        {
            "name": "Runs above zero",
            "value": percent(float((runs["net_log_return"] > 0.0).mean()), 0),  # type: ignore[arg-type]
            "note": f"of {plural(runs.height, 'run')}; exposed {percent(own['exposure'], 0)} of the bars",
        },
        {
            "name": "Deepest drawdown",
            "value": percent(own["max_drawdown"]),
            "note": f"{_whose(own, by_symbol, evaluation)}; Sharpe {number(own['sharpe'])}{_ended(evaluation)}",
        },
    ]


def _whose(own: Mapping[str, Any], by_symbol: pl.DataFrame | None, evaluation: WalkForwardEvaluation) -> str:
    """Of which accounts a drawdown is told, and which symbol alone fell deepest."""
    seeds = evaluation.runs["seed"].drop_nulls().n_unique()
    whose = "of one seed" if seeds == 1 else f"median of {seeds} seeds, the worst {percent(own['worst_drawdown'])}"
    if by_symbol is None:
        return whose
    deepest = by_symbol.filter(strategy="agent").sort("max_drawdown", maintain_order=True).row(0, named=True)
    return f"in equal parts in all symbols, {whose}; {deepest['symbol']} alone {percent(deepest['max_drawdown'])}"


def _ended(evaluation: WalkForwardEvaluation) -> str:
    """How many of the agent's accounts were liquidated, ruined or stopped; nothing where none was."""
    ended = int(evaluation.runs.filter(strategy="agent")["stops"].sum())
    return f"; {plural(ended, 'account')} ended by ruin, liquidation or the drawdown stop" if ended else ""
