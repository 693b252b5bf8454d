"""``render_search_page``: what a search over models and settings found, as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from huracan.report.charts.bars import bars_over_noise, weight_bars
from huracan.report.charts.curves import drawdown_chart, equity_chart
from huracan.report.charts.intervals import ForestScale, Interval
from huracan.report.charts.trials import TONES, ScoreScale, history_chart, slice_chart, trial_legend
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
from huracan.report.page_parts import page_parts
from huracan.report.search_content import SearchContent, SearchJudgement
from huracan.report.tables import hold_out_rows

__all__ = ["render_search_page"]

_LISTED, _FAILURES = 30, 20
_OBJECTIVES = {"net_sharpe": "Net Sharpe", "turnover": "Turnover a year"}


def render_search_page(content: SearchContent) -> str:
    """Write the page of a search as one HTML file that opens without a network, in light and dark, on a phone and on paper.

    Parameters
    ----------
    content : what to say; everything in it is escaped, whatever it holds.

    Returns
    -------
    The page: the verdict first, then what it rests on, how the search went, every trial, what was chosen, what mattered.
    """
    head, mark, rest = content.verdict.partition(": ")
    cut = bool(rest) and len(head) <= 160
    scores = ScoreScale.of(content.history["score"].to_list(), as_share=content.scores_are_shares)
    tones = _tones(content)
    return page_parts("search.html.j2", "search.css").render(
        content=content,
        meaning=_meaning(content),
        headline=(head + mark.strip(), rest) if cut else (content.verdict, ""),
        tiles=_tiles(content, scores),
        judgement=_judgement(content.judgement),
        legend=trial_legend(content.history, tones) if content.history.height else None,
        by_trial=history_chart(content.history, scores, tones, over="trial"),
        by_second=history_chart(content.history, scores, tones, over="second"),
        below=scores.below,
        board=_board(content, scores, tones),
        members=_members(content),
        importances=_importances(content),
        slices=_slices(content, tones),
        hold_out=hold_out_rows(content.hold_out, None) if content.hold_out else None,
        equity=equity_chart(content.equity, None) if content.equity is not None and content.equity.height > 1 else None,
        drawdown=drawdown_chart(content.equity, None) if content.equity is not None and content.equity.height > 1 else None,
        luck=_luck(content.judgement),
    )


def _meaning(content: SearchContent) -> dict[str, str]:
    if content.champion is None:
        return {"name": "keep", "sign": "–", "phrase": "Keep the baseline"}
    if content.deserves_money:
        return {"name": "money", "sign": "✓", "phrase": "Deserves money"}
    return {"name": "skill", "sign": "◐", "phrase": "Beats the baseline, no money"}


def _tones(content: SearchContent) -> dict[str, int]:
    """Learner -> number of its colour, in the order of the leaderboard."""
    learners = dict.fromkeys([*content.leaderboard["learner"].to_list(), *content.history["learner"].to_list()])
    return {str(learner): i % TONES for i, learner in enumerate(learners)}


def _tiles(content: SearchContent, scores: ScoreScale) -> list[dict[str, str]]:
    tiles, found = [], content.judgement
    if found is not None:
        decimals = _share_decimals(found)
        verb, preposition = ("saves", "of") if found.gain >= 0.0 else ("adds", "to")
        tiles.append(
            {
                "name": "Skill on rows no trial has seen",
                "value": number(found.skill, 3, signed=True),
                "note": f"95 % interval {bounds(found.skill_low, found.skill_high, 3, signed=True)}; {verb} "
                f"{percent(abs(found.gain), decimals)} {preposition} the constant's loss",
            }
        )
    best = content.history["best"].drop_nulls()
    if len(best):
        where = content.leaderboard.row(0, named=True)
        tiles.append(
            {
                "name": "Best score in the search",
                "value": scores.written(float(best[-1])),
                "note": f"{where['learner']}, trial {where['trial']}; chosen for it, so it is too good",
            }
        )
    states = dict(content.history.group_by("state").len().iter_rows())
    others = [f"{states[state]:,} {state}" for state in sorted(states) if state != "finished"]
    tiles.append(
        {
            "name": "Trials",
            "value": count(content.history.height),
            "note": ", ".join([f"{states.get('finished', 0):,} finished", *others]),
        }
    )
    if content.hold_out is not None:
        look = content.hold_out
        tiles.append(
            {
                "name": "Net return, hold-out",
                "value": percent(look.net_return, signed=True),
                "note": f"Sharpe {number(look.net_sharpe)}, interval {bounds(look.sharpe_low, look.sharpe_high, 1)}",
            }
        )
    return tiles


def _judgement(found: SearchJudgement | None) -> dict[str, Any] | None:
    """The one interval that decides."""
    if found is None:
        return None
    decimals = _share_decimals(found)
    value, low, high = (v if is_number(v) else None for v in (found.skill, found.skill_low, found.skill_high))
    interval = Interval(value, low, high, sure=found.crowned)
    scale = ForestScale.of([interval])
    between = bounds(found.skill_low, found.skill_high, 3, signed=True)
    said = f"skill {number(found.skill, 3, signed=True)}, 95 % interval {between}"
    return {
        "axis": scale.axis(),
        "drawn": scale.cell(interval, said),
        "skill": number(found.skill, 3, signed=True),
        "skill_bounds": between,
        "gain": percent(found.gain, decimals, signed=True),
        "bounds": _shares(found.low, found.high, decimals),
        "p": p_value(found.p_value),
        "sure": found.crowned,
        "moments": count(found.n_moments),
        "span": f"{moment(found.start)} to {moment(found.end)}",
        "trials": plural(found.n_trials, "trial"),
        "earlier": found.n_earlier_trials,
    }


def _board(content: SearchContent, scores: ScoreScale, tones: Mapping[str, int]) -> dict[str, Any]:
    """The best trials, and why others have no score."""
    table = content.leaderboard
    folds = [name for name in table.columns if name.startswith("fold_")]
    others = [name for name in _OBJECTIVES if name in table.columns]
    ranked = table.filter(pl.col("score").is_finite().fill_null(False))
    lost = table.filter(~pl.col("score").is_finite().fill_null(False))
    reasons = lost.group_by("learner", "reason", maintain_order=True).agg(pl.len().alias("n"))
    return {
        "folds": [name.removeprefix("fold_") for name in folds],
        "objectives": [_OBJECTIVES[name] for name in others],
        "rows": [
            {
                "place": i + 1,
                "trial": row["trial"],
                "learner": row["learner"],
                "tone": tones.get(row["learner"], 0),
                "state": row["state"],
                "score": scores.written(row["score"]),
                "folds": [scores.written(row[name]) for name in folds],
                "weight": percent(row["weight"], 0) if row["weight"] else DASH,
                "chosen": bool(row["weight"]),
                "objectives": [number(row[name], 2) for name in others],
                "seconds": seconds(row["seconds"]),
                "settings": row["settings"] or "its defaults",
                "source": row["source"],
            }
            for i, row in enumerate(ranked.head(_LISTED).iter_rows(named=True))
        ],
        "left_out": max(0, ranked.height - _LISTED),
        "lost": [
            {"learner": row["learner"], "reason": row["reason"] or "no reason was given", "n": row["n"]}
            for row in reasons.head(_FAILURES).iter_rows(named=True)
        ],
        "n_lost": lost.height,
    }


def _members(content: SearchContent) -> dict[str, Any] | None:
    if not content.members:
        return None
    named = [
        (m.learner if m.trial is None else f"{m.learner}, trial {m.trial}", m.weight)
        for m in sorted(content.members, key=lambda m: -m.weight)
    ]
    return {
        "bars": weight_bars(named),
        "rows": [
            {"name": name, "settings": m.settings or ("the mean of the training labels" if m.is_constant else "its defaults")}
            for (name, _), m in zip(named, sorted(content.members, key=lambda m: -m.weight))
        ],
        "constant": next((percent(m.weight, 0) for m in content.members if m.is_constant), None),
    }


def _importances(content: SearchContent) -> list[dict[str, Any]]:
    return [
        {
            "name": one.of or "The choice of the learner",
            "learner": bool(one.of),
            "trials": plural(one.n_trials, "finished trial"),
            "bars": bars_over_noise(one.importance, one.noise) if one.importance.height else None,
            "clear": sum(v > (one.noise or 0.0) for v in one.importance["importance"].to_list())
            if one.importance.height
            else 0,
            "reason": one.reason,
        }
        for one in content.importances
    ]


def _slices(content: SearchContent, tones: Mapping[str, int]) -> list[dict[str, Any]]:
    drawn = [score for one in content.slices for score in one.trials["score"].to_list()]
    scores = ScoreScale.of(drawn, as_share=content.scores_are_shares)
    return [
        {
            "learner": one.learner,
            "name": one.name,
            "tone": tones.get(one.learner, 0),
            "chart": slice_chart(
                one.trials, scores, tone=tones.get(one.learner, 0), name=one.name, log=one.log, labels=one.labels
            ),
        }
        for one in content.slices
    ]


def _luck(found: SearchJudgement | None) -> list[dict[str, str]]:
    """What Sharpe ratios are worth after so many trials."""
    rows: list[dict[str, str]] = []
    if found is None:
        return rows
    if (sharpe := found.deflated_sharpe) is not None:
        decimals = suitable_decimals([sharpe.sharpe_ratio, sharpe.expected_maximum], 2, least=3)
        rows += [
            {
                "name": "Sharpe ratio a moment",
                "value": number(sharpe.sharpe_ratio, decimals, signed=True),
                "note": f"of the best trial, with positions as large as its forecasts, {count(sharpe.n_periods)} moments",
            },
            {
                "name": "Best of as many without skill",
                "value": number(sharpe.expected_maximum, decimals, signed=True),
                "note": f"what the luckiest of {count(sharpe.n_trials)} trials is expected to show",
            },
            {
                "name": "Deflated Sharpe ratio",
                "value": percent(sharpe.probability, 1) if sharpe.decidable else "undecided",
                "note": "probability that the best trial is better than that luck; 95 % is the usual bar",
            },
        ]
    if (overfit := found.overfitting) is not None:
        rows.append(
            {
                "name": "Probability of backtest overfitting",
                "value": percent(overfit.probability, 1),
                "note": f"how often the best of {count(overfit.n_strategies)} on half of the time is a poor one on the rest",
            }
        )
    return rows


def _share_decimals(found: SearchJudgement) -> int:
    return suitable_decimals([100.0 * v for v in (found.gain, found.low, found.high) if is_number(v)], 3, least=2, most=4)


def _shares(low: float, high: float, decimals: int) -> str:
    if not (is_number(low) and is_number(high)):
        return DASH
    return f"{percent(low, decimals, signed=True)} to {percent(high, decimals, signed=True)}"
