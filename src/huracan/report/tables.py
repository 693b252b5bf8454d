"""Rows of the page's tables: numbers already written, charts already drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from markupsafe import Markup

from huracan.preprocessing.quality import QualityReport, Severity
from huracan.report.charts.intervals import ForestScale, Interval
from huracan.report.content import HoldOutResult
from huracan.report.display import REGIMES
from huracan.report.formatting import (
    DASH,
    bounds,
    count,
    is_number,
    moment,
    number,
    p_value,
    percent,
    plural,
    seconds,
    suitable_decimals,
)

__all__ = ["hold_out_rows", "leaderboard_rows", "quality_rows", "regime_rows"]

"""Adjusted p-values below this are marked."""


def leaderboard_rows(board: pl.DataFrame, alpha: float) -> dict[str, Any]:
    """The leaderboard with a forest plot of skill and one of Sharpe ratios."""
    rows = board.to_dicts()
    decimals = suitable_decimals([r["skill"] for r in rows], least=2)
    skills = [Interval(r["skill"], r["ci_low"], r["ci_high"], _sure(r["p_adjusted"], r["ci_low"], alpha)) for r in rows]
    sharpes = [
        Interval(r["net_sharpe"], r["sharpe_low"], r["sharpe_high"], is_number(r["sharpe_low"]) and r["sharpe_low"] > 0.0)
        if _traded(r)
        else Interval(None, None, None)
        for r in rows
    ]
    skill_scale, sharpe_scale = ForestScale.of(skills), ForestScale.of(sharpes)
    return {
        "skill_axis": skill_scale.axis(),
        "sharpe_axis": sharpe_scale.axis(),
        "rows": [
            {
                "place": i + 1,
                "learner": r["learner"],
                "task": r["task"],
                "crowned": bool(r["crowned"]),
                "traded": _traded(r),
                "skill": number(r["skill"], decimals, signed=True),
                "skill_bounds": bounds(r["ci_low"], r["ci_high"], decimals, signed=True),
                "skill_drawn": _cell(skill_scale, skill, r["learner"], "mean payoff", decimals),
                "p_adjusted": p_value(r["p_adjusted"]),
                "sure": skill.sure,
                "rank_ic": number(r["rank_ic"], 3, signed=True),
                "accuracy": percent(r["accuracy"]),
                "auc": number(r["auc"], 3),
                "net_return": percent(r["net_return"], signed=True),
                "sharpe": number(r["net_sharpe"], 2),
                "sharpe_bounds": bounds(r["sharpe_low"], r["sharpe_high"], 1),
                "sharpe_drawn": _cell(sharpe_scale, sharpe, r["learner"], "Sharpe ratio", 2),
                "max_drawdown": percent(r["max_drawdown"]),
                "turnover": DASH if not is_number(r["turnover_per_year"]) else number(r["turnover_per_year"], 0) + "×",
                "break_even": _break_even(r["break_even_bps"]),
                "train_rows": count(r["train_rows"]),
                "fit": seconds(r["fit_seconds"]),
            }
            for i, (r, skill, sharpe) in enumerate(zip(rows, skills, sharpes))
        ],
    }


def regime_rows(skills: pl.DataFrame, order: list[str], alpha: float) -> dict[str, Any]:
    """Learners by regimes, every cell on one scale; learners in the order of the leaderboard."""
    entries = skills.to_dicts()
    decimals = suitable_decimals([e["skill"] for e in entries], least=2)
    by_place: dict[tuple[str, str], tuple[Interval, dict[str, Any]]] = {
        (e["learner"], e["regime"]): (
            Interval(e["skill"], e["ci_low"], e["ci_high"], is_number(e["p_adjusted"]) and e["p_adjusted"] < alpha),
            e,
        )
        for e in entries
    }
    learners = sorted({e["learner"] for e in entries}, key=lambda n: (order.index(n) if n in order else len(order), n))
    present = {e["regime"] for e in entries}
    regimes = [r for r in REGIMES if r in present] + sorted(present.difference(REGIMES))
    scale = ForestScale.of(interval for interval, _ in by_place.values())
    rows_in = {r: max((e["n_rows"] or 0 for _, e in by_place.values() if e["regime"] == r), default=0) for r in regimes}
    rows = []
    for learner in learners:
        cells: list[dict[str, Any] | None] = []
        for regime in regimes:
            if (learner, regime) not in by_place:
                cells.append(None)
                continue
            interval, e = by_place[learner, regime]
            who = f"{learner} when {regime}, {plural(e['n_rows'] or 0, 'row')}, adjusted p = {p_value(e['p_adjusted'])}"
            cells.append(
                {
                    "drawn": _cell(scale, interval, who, "mean payoff", decimals),
                    "value": number(e["skill"], decimals, signed=True),
                    "p": p_value(e["p_adjusted"]),
                    "sure": interval.sure,
                    "css": ("plus" if (e["skill"] or 0.0) > 0.0 else "minus") if interval.sure else "",
                }
            )
        rows.append({"name": learner, "less": "", "cells": cells})
    heads = [{"name": r, "known": r in REGIMES, "rows": plural(rows_in[r], "row")} for r in regimes]
    found = sum(interval.sure for interval, _ in by_place.values())
    return {"axis": scale.axis(), "regimes": heads, "rows": rows, "found": found, "looked_at": len(by_place)}


def hold_out_rows(look: HoldOutResult, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Out of fold and hold-out under one another, and in words whether they agree."""
    measured: list[tuple[str, Mapping[str, Any]]] = [] if before is None else [("Out of fold", before)]
    held = {
        "skill": look.skill,
        "ci_low": look.ci_low,
        "ci_high": look.ci_high,
        "rank_ic": look.rank_information_coefficient,
        "net_return": look.net_return,
        "net_sharpe": look.net_sharpe,
        "sharpe_low": look.sharpe_low,
        "sharpe_high": look.sharpe_high,
    }
    measured.append(("Hold-out", held))
    decimals = suitable_decimals([m["skill"] for _, m in measured], least=2)
    skills = [Interval(m["skill"], m["ci_low"], m["ci_high"], is_number(m["ci_low"]) and m["ci_low"] > 0) for _, m in measured]
    scale = ForestScale.of(skills)
    return {
        "axis": scale.axis(),
        "judgement": _judgement(look),
        "rows": [
            {
                "name": name,
                "drawn": _cell(scale, skill, name, "mean payoff", decimals),
                "skill": number(m["skill"], decimals, signed=True),
                "skill_bounds": bounds(m["ci_low"], m["ci_high"], decimals, signed=True),
                "rank_ic": number(m["rank_ic"], 3, signed=True),
                "net_return": percent(m["net_return"], signed=True),
                "sharpe": number(m["net_sharpe"], 2),
                "sharpe_bounds": bounds(m["sharpe_low"], m["sharpe_high"], 1),
            }
            for (name, m), skill in zip(measured, skills)
        ],
    }


def quality_rows(report: QualityReport) -> dict[str, Any]:
    """Findings by severity and kind, worst first; what was looked for and not found."""
    groups: dict[tuple[Severity, str], list[Any]] = {}
    for severity in (Severity.ERROR, Severity.WARNING, Severity.NOTE):
        for check in report.of(severity):
            groups.setdefault((severity, check.name), []).append(check)
    findings = []
    for (severity, name), checks in groups.items():
        begins = [c.first_time for c in checks if c.first_time is not None]
        findings.append(
            {
                "severity": severity.value,
                "name": name,
                "symbols": str(len(named)) if (named := {c.symbol for c in checks if c.symbol is not None}) else DASH,
                "bars": count(sum(c.count for c in checks)),
                "share": "<0.01%" if 0.0 < (share := max(c.share for c in checks)) < 5e-5 else percent(share, 2),
                "first": moment(min(begins)) if begins else DASH,
                "sentence": checks[0].sentence,
                "more": [c.sentence for c in checks[1:]],
            }
        )
    passed = report.of(Severity.OK)
    return {
        "sentence": report.sentence,
        "findings": findings,
        "passed": [c.sentence for c in passed],
        "tally": {s.value: len(report.of(s)) for s in (Severity.ERROR, Severity.WARNING, Severity.NOTE)},
    }


def _judgement(look: HoldOutResult) -> str:
    if not (is_number(look.ci_low) and is_number(look.ci_high)):
        return "The hold-out is too short for an interval: it can neither confirm nor contradict."
    earned = "and its positions earned their costs" if look.net_return > 0.0 else "but its positions did not earn their costs"
    if look.ci_low > 0.0:
        return f"The hold-out confirms the skill, {earned} there."
    if look.ci_high < 0.0:
        return "The hold-out contradicts: its whole interval lies below zero."
    return (
        "The interval includes zero: by itself the hold-out neither confirms nor contradicts; "
        f"its positions {'gained' if look.net_return > 0.0 else 'did not gain'} net of costs."
    )


def _cell(scale: ForestScale, interval: Interval, who: str, what: str, decimals: int) -> Markup:
    if not interval.drawable:
        return scale.cell(interval, f"{who}: nothing to compare")
    said = number(interval.value, decimals, signed=True)
    return scale.cell(
        interval, f"{who}: {what} {said}, 95 % interval {bounds(interval.low, interval.high, decimals, signed=True)}"
    )


def _break_even(bps: float | None) -> str:
    if bps is None or not is_number(bps):
        return DASH
    return "below 0" if bps < 0.0 else f"{number(bps, 0 if bps >= 100.0 else 1)} bps"


def _sure(p_adjusted: float | None, low: float | None, alpha: float) -> bool:
    return p_adjusted is not None and p_adjusted < alpha and is_number(low) and (low or 0.0) > 0.0


def _traded(row: Mapping[str, Any]) -> bool:
    return bool(row["turnover_per_year"] != 0.0)
