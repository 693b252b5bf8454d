"""How agents learned and what they do, as charts: for evaluations of many and for one that was trained."""

from __future__ import annotations

from typing import Any

import polars as pl

from huracan.report.charts.action_map import action_legend, action_map_chart
from huracan.report.charts.agents import learning_chart

__all__ = ["learned", "learning_figures", "mapped", "said_of"]

_MOST_GROUPS, _MOST_MAPS = 8, 6
_BASIS_POINTS = 10_000.0


def learning_figures(curves: pl.DataFrame) -> list[dict[str, Any]]:
    """Charts of the agents of ``[seed, step, loss, episode_return, score, held_back]``; what nobody noted is left out."""
    shown = []
    if _noted(curves, "score"):
        where = "bars held back" if curves["held_back"].any() else "bars learned from"
        shown.append((f"score in basis points a bar, on {where}", "score", "Score"))
        curves = curves.with_columns(score=pl.col("score") * _BASIS_POINTS)
    if _noted(curves, "episode_return"):
        shown.append(("return of an episode", "episode_return", "Return of training episodes"))
    shown.append(("loss", "loss", "Loss"))
    curves = curves.with_columns(loss=pl.when(_of_enough_updates()).then("loss"))
    return [{"what": what, "chart": learning_chart(curves, figure, name=name)} for what, figure, name in shown]


def learned(curves: pl.DataFrame) -> dict[str, Any] | None:
    """The figures of each window, and of each symbol where it has an agent of its own; None where nothing was noted."""
    if curves.is_empty():
        return None
    groups = curves.partition_by("window", "symbol", maintain_order=True)
    return {
        "shown": [
            {
                "name": f"Window {group['window'][0] + 1}" + (f", {group['symbol'][0]}" if group["symbol"][0] else ""),
                "figures": learning_figures(group),
            }
            for group in groups[:_MOST_GROUPS]
        ],
        **said_of(curves),
        "left_out": max(0, len(groups) - _MOST_GROUPS),
    }


def said_of(curves: pl.DataFrame) -> dict[str, bool]:
    """What the words beside the figures depend on."""
    scored = _noted(curves, "score")
    return {
        "explored": _noted(curves, "episode_return"),
        "scored": scored,
        "held_back": scored and bool(curves["held_back"].any()),
    }


def mapped(maps: pl.DataFrame) -> dict[str, Any] | None:
    """The maps of the last window, an agent each; None where none were drawn."""
    if maps.is_empty():
        return None
    last = maps.filter(pl.col("window") == pl.col("window").max())
    groups = last.partition_by("symbol", "seed", maintain_order=True)
    order = last.group_by("action_name").agg(pl.col("action").min()).sort("action")["action_name"].to_list()
    return {
        "window": int(last["window"][0]) + 1,
        "legend": action_legend(order),
        "shown": [
            {
                "name": f"Seed {group['seed'][0]}" + (f", {group['symbol'][0]}" if group["symbol"][0] else ""),
                "x": group["x_name"][0],
                "y": group["y_name"][0],
                "chart": action_map_chart(group),
            }
            for group in groups[:_MOST_MAPS]
        ],
        "left_out": max(0, len(groups) - _MOST_MAPS),
    }


def _of_enough_updates() -> pl.Expr:
    """Not the last look where it came right after the one before: a mean of so few updates is noise."""
    since = pl.col("step").diff().over("seed").fill_null(pl.col("step"))
    return since * 2 >= since.median()


def _noted(curves: pl.DataFrame, figure: str) -> bool:
    return figure in curves.columns and bool(curves[figure].is_not_null().any())
