"""Rows of the tables of an A/B test: numbers already written, intervals already drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from huracan.baselines.ab_result import ABTestResult
from huracan.report.charts.intervals import ForestScale, Interval
from huracan.report.display import REGIMES
from huracan.report.formatting import DASH, bounds, count, is_number, number, p_value, percent, plural, suitable_decimals

__all__ = ["MOST_DRAWN", "Unit", "at_most", "forest_rows", "model_rows", "pair_rows", "regime_difference_rows", "sharpe_rows"]

MOST_DRAWN = 50
"""Pairs in the forest plot."""
_MOST_IN_REGIMES = 20
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Row = dict[str, Any]


@dataclass(frozen=True)
class Unit:
    """A power of ten that makes small losses readable, and the decimals that go with it.

    >>> unit = Unit.of([2.4e-7, -1e-8])
    >>> unit.said, unit.written(2.4e-7), Unit.of([0.02]).said
    (' in 10⁻⁹', '+240.0', '')
    """

    exponent: int
    decimals: int

    @classmethod
    def of(cls, values: Iterable[float | None], *, digits: int = 4) -> Unit:
        """Powers of a thousand, none for what a reader can take as it is."""
        largest = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
        power = math.floor(math.log10(largest)) if largest > 0.0 else 0
        exponent = 3 * (power // 3) if power < -3 or power > 5 else 0
        return cls(exponent, suitable_decimals([largest / 10.0**exponent], digits))

    @property
    def size(self) -> float:
        """One of the unit."""
        return 10.0**self.exponent

    @property
    def said(self) -> str:
        """How a head of a column names it."""
        return f" in 10{str(self.exponent).translate(_SUPERSCRIPT)}" if self.exponent else ""

    def written(self, value: float | None, *, signed: bool = True) -> str:
        """A value in this unit."""
        return DASH if value is None else number(value / self.size, self.decimals, signed=signed)

    def bounds(self, low: float | None, high: float | None) -> str:
        """Two ends in this unit; the whole line where nothing is known."""
        if low is not None and high is not None and low == -math.inf and high == math.inf:
            return "−∞ to +∞"
        if not (is_number(low) and is_number(high)):
            return DASH
        return bounds((low or 0.0) / self.size, (high or 0.0) / self.size, self.decimals, signed=True)

    def interval(self, row: Mapping[str, Any], low: str, high: str, *, sure: bool, alone: bool = False) -> Interval:
        """The interval of a row, for drawing."""
        ends = (row["difference"], row[low], row[high], row["ci_low"], row["ci_high"])
        value, left, right, a, b = (None if v is None else v / self.size for v in ends)
        return Interval(value, left, right, sure, (a, b) if alone and a is not None and b is not None else None)


def at_most(p: float | None, alpha: float) -> bool:
    """Whether a p-value is there and is evidence at ``alpha``."""
    return p is not None and is_number(p) and p <= alpha


def forest_rows(result: ABTestResult, unit: Unit) -> Row:
    """The pairs that are drawn, best first.

    Against a baseline a row is the model less the baseline. Otherwise the model with the lower mean loss comes first; of
    more than :data:`MOST_DRAWN` pairs those of the model ranked first are drawn.
    """
    alpha, baseline = result.alpha, result.baseline
    entries = result.pairs.to_dicts()
    lead: str | None = None
    if baseline is None:
        entries = [_better_first(entry) for entry in entries]
        if len(entries) > MOST_DRAWN:
            lead = str(result.models["model"][0])
            entries = [_led_by(lead, entry) for entry in entries if lead in (entry["model_a"], entry["model_b"])]
    telling = sorted(entries, key=lambda e: (e["p_adjusted"], e["p_value"], -abs(e["difference"])))[:MOST_DRAWN]
    telling.sort(key=lambda e: (not is_number(e["joint_low"]), e["difference"]))
    intervals = [
        unit.interval(e, "joint_low", "joint_high", sure=at_most(e["p_adjusted"], alpha), alone=len(result.pairs) > 1)
        for e in telling
    ]
    scale = ForestScale.of(intervals, lower_is_better=True)
    rows = []
    for e, interval in zip(telling, intervals):
        own, less = (e["model_b"], "") if lead is not None else (e["model_a"], e["model_b"] if e["model_b"] != baseline else "")
        said = unit.written(e["difference"])
        title = f"{e['model_a']} less {e['model_b']}: {said}, joint interval {unit.bounds(e['joint_low'], e['joint_high'])}"
        rows.append(
            {
                "name": own,
                "less": less,
                "note": e["note"],
                "drawn": scale.cell(interval, title),
                "decidable": interval.drawable,
                "difference": said,
                "joint": unit.bounds(e["joint_low"], e["joint_high"]),
                "p_adjusted": p_value(e["p_adjusted"]),
                "sure": interval.sure,
                "p_independent": p_value(e["p_independent"]),
                "claimed": _claimed(e, alpha),
            }
        )
    return {"axis": scale.axis(), "rows": rows, "lead": lead, "left_out": len(result.pairs) - len(rows)}


def pair_rows(result: ABTestResult, unit: Unit) -> list[Row]:
    """Every pair as it stands in ``result.pairs``, in its order."""
    return [
        {
            "a": e["model_a"],
            "b": e["model_b"],
            "difference": unit.written(e["difference"]),
            "joint": unit.bounds(e["joint_low"], e["joint_high"]),
            "alone": unit.bounds(e["ci_low"], e["ci_high"]),
            "p": p_value(e["p_value"]),
            "p_adjusted": p_value(e["p_adjusted"]),
            "sure": at_most(e["p_adjusted"], result.alpha),
            "p_independent": p_value(e["p_independent"]),
            "claimed": _claimed(e, result.alpha),
            "effect": number(e["effect_size"], 3, signed=True),
            "n_eff": count(e["n_eff"]),
            "note": e["note"],
        }
        for e in result.pairs.iter_rows(named=True)
    ]


def model_rows(result: ABTestResult) -> Row:
    """The confidence set and everything outside it, best first."""
    rows = result.models.to_dicts()
    unit = Unit.of([r["mean_loss"] for r in rows], digits=5)
    best = min((r["mean_loss"] for r in rows if is_number(r["mean_loss"])), default=math.nan)
    behind = Unit.of([r["mean_loss"] - best for r in rows if is_number(r["mean_loss"])])
    better = {True: "yes", False: "not shown", None: DASH}
    return {
        "unit": unit.said,
        "behind_unit": behind.said,
        "n_in": sum(bool(r["in_set"]) for r in rows),
        "rows": [
            {
                "model": r["model"],
                "rank": count(r["rank"]),
                "mean_loss": unit.written(r["mean_loss"], signed=False),
                "behind": behind.written(r["mean_loss"] - best) if is_number(r["mean_loss"]) else DASH,
                "p": p_value(r["set_p_value"]),
                "share": f"{100 * min(max(r['set_p_value'] if is_number(r['set_p_value']) else 0.0, 0.0), 1.0):.2f}",
                "in_set": bool(r["in_set"]),
                "better": "baseline" if r["model"] == result.baseline else better[r["better_than_baseline"]],
                "is_better": bool(r["better_than_baseline"]),
                "note": r["note"],
                "won": r["model"] == result.decision,
            }
            for r in rows
        ],
    }


def sharpe_rows(result: ABTestResult) -> Row | None:
    """Sharpe ratios with intervals, and what is left of them; None where losses were compared."""
    rows = result.sharpe.to_dicts()
    if not rows:
        return None
    decimals = suitable_decimals([r["sharpe_ratio"] for r in rows], 3, least=2)
    intervals = [
        Interval(r["sharpe_ratio"], r["ci_low"], r["ci_high"], is_number(r["ci_low"]) and r["ci_low"] > 0.0) for r in rows
    ]
    scale = ForestScale.of(intervals)
    return {
        "axis": scale.axis(),
        "rows": [
            {
                "model": r["model"],
                "baseline": r["model"] == result.baseline,
                "drawn": scale.cell(
                    interval,
                    f"{r['model']}: Sharpe ratio {number(r['sharpe_ratio'], decimals)}, interval "
                    f"{bounds(r['ci_low'], r['ci_high'], decimals, signed=True)}",
                ),
                "sharpe": number(r["sharpe_ratio"], decimals, signed=True),
                "bounds": bounds(r["ci_low"], r["ci_high"], decimals, signed=True),
                "difference": number(r["difference"], decimals, signed=True),
                "p_adjusted": p_value(r["p_adjusted"]),
                "sure": at_most(r["p_adjusted"], result.alpha),
                "positive": _probability(r["probability_positive"]),
                "deflated": _probability(r["deflated"]),
                "survives": is_number(r["deflated"]) and r["deflated"] >= 1.0 - result.alpha,
                "track_record": "∞" if r["minimum_track_record"] == math.inf else count(r["minimum_track_record"]),
            }
            for r, interval in zip(rows, intervals)
        ],
    }


def regime_difference_rows(result: ABTestResult) -> Row | None:
    """Pairs by regimes, the model ranked higher first, every cell on one scale; None where no regimes were given."""
    rank = {str(model): i for i, model in enumerate(result.models["model"])}
    entries = result.by_regime.to_dicts()
    if not entries:
        return None
    if result.baseline is None:
        entries = [_turned(e) if rank.get(e["model_a"], 0) > rank.get(e["model_b"], 0) else e for e in entries]
    alpha, unit = result.alpha, Unit.of([e["difference"] for e in entries])
    overall = {frozenset((a, b)): (p, q) for a, b, p, q in result.conditional.iter_rows()}
    pairs = list(dict.fromkeys((e["model_a"], e["model_b"]) for e in entries))
    strongest: dict[tuple[str, str], float] = {}
    for e in entries:
        key, p = (e["model_a"], e["model_b"]), e["p_adjusted"] if is_number(e["p_adjusted"]) else 1.0
        strongest[key] = min(strongest.get(key, 1.0), p)
    kept = sorted(pairs, key=lambda pair: strongest[pair])[:_MOST_IN_REGIMES]
    pairs = sorted(kept, key=lambda pair: [rank.get(model, len(rank)) for model in pair])
    place = {(e["model_a"], e["model_b"], e["regime"]): e for e in entries}
    present = {e["regime"] for e in entries}
    regimes = [r for r in REGIMES if r in present] + sorted(present.difference(REGIMES))
    drawn = {key: unit.interval(e, "ci_low", "ci_high", sure=at_most(e["p_adjusted"], alpha)) for key, e in place.items()}
    scale = ForestScale.of((drawn[key] for key in place if key[:2] in set(pairs)), lower_is_better=True)
    rows = []
    for a, b in pairs:
        cells: list[Row | None] = []
        for regime in regimes:
            if (a, b, regime) not in place:
                cells.append(None)
                continue
            e, interval = place[a, b, regime], drawn[a, b, regime]
            who = f"{a} less {b} when {regime}, {plural(e['n_times'], 'time')}: {unit.written(e['difference'])}"
            cells.append(
                {
                    "drawn": scale.cell(interval, f"{who}, interval {unit.bounds(e['ci_low'], e['ci_high'])}"),
                    "value": unit.written(e["difference"]) if interval.drawable else "undecided",
                    "p": p_value(e["p_adjusted"]),
                    "sure": interval.sure,
                    "css": ("plus" if e["difference"] < 0.0 else "minus") if interval.sure else "",
                }
            )
        p, q = overall.get(frozenset((a, b)), (None, None))
        less = "" if b == result.baseline else b
        rows.append({"name": a, "less": less, "cells": cells, "p": p_value(p), "q": p_value(q), "sure": at_most(q, alpha)})
    times = {r: max(e["n_times"] or 0 for e in entries if e["regime"] == r) for r in regimes}
    return {
        "axis": scale.axis(),
        "unit": unit.said,
        "regimes": [{"name": r, "known": r in REGIMES, "rows": plural(times[r], "time")} for r in regimes],
        "rows": rows,
        "left_out": len(strongest) - len(rows),
        "found": sum(interval.sure for interval in drawn.values()),
        "looked_at": len(drawn),
    }


def _claimed(entry: Mapping[str, Any], alpha: float) -> bool:
    """Whether a textbook test claims what the test of this pair alone, which allows for dependence, does not."""
    return at_most(entry["p_independent"], alpha) and not at_most(entry["p_value"], alpha)


def _probability(p: float | None) -> str:
    """A probability that is never said to be none or certain."""
    if p is None or not is_number(p):
        return DASH
    return "<0.1%" if p < 0.001 else ">99.9%" if p > 0.999 else percent(p)


def _better_first(entry: Row) -> Row:
    return entry if not entry["difference"] > 0.0 else _turned(entry)


def _led_by(lead: str, entry: Row) -> Row:
    return entry if entry["model_a"] == lead else _turned(entry)


def _turned(entry: Row) -> Row:
    turned = entry | {"model_a": entry["model_b"], "model_b": entry["model_a"], "difference": -entry["difference"]}
    for low, high in (("joint_low", "joint_high"), ("ci_low", "ci_high")):
        if low in entry:
            turned |= {low: _negative(entry[high]), high: _negative(entry[low])}
    return turned


def _negative(value: float | None) -> float | None:
    return None if value is None else -value
