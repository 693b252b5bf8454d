"""``render_mechanic_page``: what the Mechanic did and what came of it, as one self-contained HTML page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from huracan.report.charts.accounts import accounts_chart
from huracan.report.charts.live_bands import live_bands_chart
from huracan.report.formatting import bounds, count, moment, number, p_value, percent
from huracan.report.mechanic_content import Account, Difference, MechanicContent
from huracan.report.page_parts import page_parts, write_page

__all__ = ["render_mechanic_page", "write_mechanic_page"]

_MOST_ROWS = 400
_TONES = {"promoted": "good", "settled": "good", "rejected": "soft", "expired": "soft", "failed": "bad", "rolled_back": "bad"}


def render_mechanic_page(content: MechanicContent) -> str:
    """Write one HTML file that opens without a network, in light and dark, on a phone and on paper.

    Returns
    -------
    The page: what came of it first, what was earned beside other ways of living, skill over time with its band, each challenger
    with why it was asked for and what was decided, decisions, evidence and alerts.
    """
    listed = {name: getattr(content, name).head(_MOST_ROWS) for name in ("challengers", "evidence", "alerts")}
    return page_parts("mechanic.html.j2", "mechanic.css").render(
        title=content.title,
        created_at=content.created_at,
        sentence=content.sentence,
        facts=content.facts,
        tiles=_tiles(content),
        chart=accounts_chart([(one.name, one.equity) for one in content.accounts], content.events),
        accounts=[_account(one) for one in content.accounts],
        differences=[_difference(one) for one in content.differences],
        skill=live_bands_chart(content.skill, name="mean payoff", expected=content.expected, events=content.events),
        expected=content.expected,
        challengers=[_challenger(row) for row in listed["challengers"].iter_rows(named=True)],
        decisions=[
            {
                "decision": str(row["decision"]).replace("_", " "),
                "times": count(row["times"]),
                "last": moment(row["last"]),
                "reason": row["reason"],
            }
            for row in content.decisions.iter_rows(named=True)
        ],
        evidence=[
            {**row, "kind": str(row["kind"]).replace("_", " "), "tick": moment(row["tick"])}
            for row in listed["evidence"].iter_rows(named=True)
        ],
        alerts=[
            {**row, "first": moment(row["first"]), "last": moment(row["last"]), "count": count(max(1, row["count"]))}
            for row in listed["alerts"].iter_rows(named=True)
        ],
        left_out={name: getattr(content, name).height - listed[name].height for name in listed},
        notes=content.notes,
    )


def write_mechanic_page(content: MechanicContent, path: str | os.PathLike[str]) -> Path:
    """Write :func:`render_mechanic_page` to ``path``, whole or not at all, and return the path.

    Raises
    ------
    StorageError : the file cannot be written.
    """
    return write_page(render_mechanic_page(content), path)


def _tiles(content: MechanicContent) -> list[dict[str, str]]:
    tiles = []
    if content.accounts:
        lived = content.accounts[0]
        tiles.append(
            {
                "name": f"Earned, {lived.name}",
                "value": percent(lived.figures.get("total_return"), signed=True),
                "note": f"net of costs; Sharpe ratio {number(lived.figures.get('sharpe'))}",
            }
        )
    for other in content.accounts[1:3]:
        tiles.append(
            {
                "name": f"Earned, {other.name}",
                "value": percent(other.figures.get("total_return"), signed=True),
                "note": f"Sharpe ratio {number(other.figures.get('sharpe'))}",
            }
        )
    states = content.challengers["state"].to_list() if content.challengers.height else []
    tiles.append(
        {
            "name": "Challengers",
            "value": count(len(states)),
            "note": ", ".join(f"{states.count(state)} {state}" for state in ("promoted", "rejected", "expired", "failed")),
        }
    )
    back = sum(event.kind == "minus" for event in content.events)
    tiles.append({"name": "Rolled back", "value": count(back), "note": "new champions that did worse than the one before"})
    return tiles


def _account(one: Account) -> dict[str, str]:
    figure = one.figures.get
    return {
        "name": one.name,
        "total_return": percent(figure("total_return"), signed=True),
        "sharpe": number(figure("sharpe")),
        "max_drawdown": percent(figure("max_drawdown")),
        "turnover": number(figure("turnover_per_year"), 0),
        "cost": number(figure("cost_bps"), 0),
    }


def _difference(one: Difference) -> dict[str, str]:
    small = max(abs(one.low), abs(one.high), abs(one.mean), 1e-12) < 1e-3
    scale, unit = (10_000.0, " bps") if small else (1.0, "")
    tone = "plus" if one.low > 0 else "minus" if one.high < 0 else "none"
    return {
        "against": one.against,
        "measure": one.measure,
        "mean": number(scale * one.mean, 3, signed=True) + unit,
        "interval": bounds(scale * one.low, scale * one.high, 3, signed=True) + unit,
        "p": p_value(one.p_value),
        "worth": count(one.n_effective),
        "css": tone,
    }


def _challenger(row: dict[str, Any]) -> dict[str, Any]:
    state = str(row["state"])
    return {
        **row,
        "requested": moment(row["requested"]),
        "decided": moment(row["decided"]),
        "state": state.replace("_", " "),
        "tone": _TONES.get(state, ""),
        "version": "–" if row["version"] is None else str(row["version"]),
    }
