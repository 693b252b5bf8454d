"""``render_trained_agent_page``: one agent as it came out of its training, as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import polars as pl

from huracan.report.agent_habits import habit_rows, skill_rows
from huracan.report.agent_learning import learning_figures, said_of
from huracan.report.charts.action_map import action_legend, action_map_chart
from huracan.report.formatting import DASH, count, number, percent
from huracan.report.page_parts import page_parts

if TYPE_CHECKING:
    from huracan.reinforcement import DQNAgent, Played

__all__ = ["render_trained_agent_page"]

_NOTHING: Mapping[str, str] = MappingProxyType({})
_BASIS_POINTS = 10_000.0
_UNJUDGED = "Nothing has judged it: how it learned and what it does say nothing of what it would earn."
_CURVE = {**dict.fromkeys(("loss", "episode_return", "epsilon", "score"), pl.Float64), "held_back": pl.Boolean}


def render_trained_agent_page(
    agent: DQNAgent,
    *,
    played: Played | None,
    action_map: pl.DataFrame,
    regimes: pl.DataFrame | None = None,
    evidence: str = "",
    title: str = "Agent",
    created_at: datetime | None = None,
    alpha: float = 0.05,
    facts: Mapping[str, str] = _NOTHING,
    provenance: Mapping[str, str] = _NOTHING,
) -> str:
    """Write one HTML file about one trained agent; names in it are escaped, whatever they hold.

    Parameters
    ----------
    agent : that has learned; what was measured of agents like it is its ``regime_evidence_``. played : what it did on the bars
        of its span; None where it cannot be played. action_map : cells of its map. regimes : ``[symbol, ts, regime]``.
    evidence : the verdict of an evaluation of agents like it; "" where there was none. title : what it learned on.
    created_at : UTC; now where it is not given. alpha : level of tests. facts : label -> value, of the game.
    provenance : label -> hash or version.
    """
    curves = pl.DataFrame([asdict(point) for point in agent.history_], schema_overrides=_CURVE)
    skills = agent.regime_evidence_
    return page_parts("trained_agent.html.j2", "comparison.css", "search.css", "agent.css").render(
        title=title,
        created_at=datetime.now(UTC) if created_at is None else created_at,
        evidence=evidence,
        said=evidence or _UNJUDGED,
        tiles=_tiles(agent, curves, played),
        facts=facts,
        provenance=provenance,
        alpha=alpha,
        level=f"{100 * (1 - alpha):g} %",
        stopped=agent.stopped_,
        held_back=agent.settings.validation > 0.0,
        curves=None if curves.is_empty() else said_of(curves),
        lessons=[] if curves.is_empty() else learning_figures(curves.with_columns(seed=pl.lit(agent.random_state))),
        habits=None if played is None else habit_rows(played, regimes),
        skills=skill_rows(skills, alpha) if skills else None,
        map=None if action_map.is_empty() else _map(action_map),
    )


def _tiles(agent: DQNAgent, curves: pl.DataFrame, played: Played | None) -> list[dict[str, str]]:
    """The few numbers that stand at the top."""
    scores = [] if curves.is_empty() else curves["score"].drop_nulls().to_list()
    held_back = agent.settings.validation > 0.0
    where = "on bars held back" if held_back else "on bars it learned from, so it flatters"
    tiles = [
        {"name": "Learned", "value": f"{count(agent.steps_)} steps", "note": f"seed {agent.random_state}"},
        {
            "name": "Greedy score at the end, a bar",
            "value": f"{number(scores[-1] * _BASIS_POINTS, 2, signed=True)} bp" if scores else DASH,
            "note": f"net of costs, {where}" if scores else "it was not scored",
        },
    ]
    if played is not None:
        figures = played.totals
        tiles += [
            {"name": "Exposed", "value": percent(figures["exposure"], 0), "note": "of the bars of its span"},
            {
                "name": "Turnover, a bar",
                "value": percent(figures["turnover"], 2),
                "note": f"{count(figures['trades'])} round trips",
            },
        ]
    return tiles


def _map(cells: pl.DataFrame) -> dict[str, Any]:
    order = cells.group_by("action_name").agg(pl.col("action").min()).sort("action")["action_name"].to_list()
    return {
        "x": cells["x_name"][0],
        "y": cells["y_name"][0],
        "legend": action_legend(order),
        "chart": action_map_chart(cells),
    }
