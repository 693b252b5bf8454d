"""What one agent does, and what was measured of agents like it, written for a reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from huracan.model_info import MarketRegime, RegimeSkill
from huracan.report.charts.intervals import ForestScale, Interval
from huracan.report.formatting import bounds, count, number, p_value, percent, suitable_decimals

if TYPE_CHECKING:
    from huracan.reinforcement import Played

__all__ = ["habit_rows", "skill_rows"]

_BASIS_POINTS = 10_000.0
_SIDES = ("short", "flat", "long")


def habit_rows(played: Played, regimes: pl.DataFrame | None) -> list[dict[str, Any]]:
    """A row for all bars, each symbol where there are several, and each state of the market where it is known.

    Parameters
    ----------
    played : what the agent did. regimes : ``[symbol, ts, regime]``, known when the bar of ``ts`` had closed.
    """
    bars = played.bars
    rows = [_habits("All bars", "", bars)]
    symbols = bars.partition_by("symbol", as_dict=True, maintain_order=True)
    if len(symbols) > 1:
        rows += [_habits(str(name), "", part) for (name,), part in symbols.items()]
    if regimes is None:
        return rows
    named = regimes.select("symbol", pl.col("ts").cast(bars.schema["ts"]), pl.col("regime").cast(pl.String))
    states = bars.join(named, on=["symbol", "ts"], how="inner", maintain_order="left")
    for regime in MarketRegime:
        own = states.filter(pl.col("regime") == str(regime))
        if own.height:
            rows.append(_habits(str(regime), str(regime), own))
    return rows


def skill_rows(skills: Sequence[RegimeSkill], alpha: float) -> dict[str, Any]:
    """A row a state of the market of what an evaluation measured."""
    drawn = [_interval(skill, alpha) for skill in skills]
    scale = ForestScale.of(drawn)
    decimals = suitable_decimals([one.value for one in drawn], 3, least=2, most=3)
    return {
        "axis": scale.axis(),
        "rows": [_skill(skill, scale, interval, decimals) for skill, interval in zip(skills, drawn)],
    }


def _interval(skill: RegimeSkill, alpha: float) -> Interval:
    mean, low, high = (value * _BASIS_POINTS for value in (skill.skill, skill.ci_low, skill.ci_high))
    return Interval(mean, low, high, skill.p_adjusted <= alpha)


def _skill(skill: RegimeSkill, scale: ForestScale, drawn: Interval, decimals: int) -> dict[str, Any]:
    mean, between = number(drawn.value, decimals, signed=True), bounds(drawn.low, drawn.high, decimals, signed=True)
    return {
        "name": str(skill.regime),
        "drawn": scale.cell(drawn, f"{skill.regime}: mean {mean} basis points a bar, interval {between}"),
        "mean": mean,
        "mean_bounds": between,
        "p": p_value(skill.p_adjusted),
        "sure": drawn.sure,
        "bars": count(skill.n_rows),
    }


def _habits(name: str, regime: str, bars: pl.DataFrame) -> dict[str, Any]:
    side = bars["position"].sign()
    shares = [float((side == sign).mean()) for sign in (-1.0, 0.0, 1.0)]  # type: ignore[arg-type]
    log_return = float(bars["log_return"].mean())  # type: ignore[arg-type]
    return {
        "name": name,
        "regime": regime,
        "bars": count(bars.height),
        "drawn": _stacked(shares),
        "shares": [percent(share, 0) for share in shares],
        "turnover": percent(float(bars["turnover"].mean()), 2),  # type: ignore[arg-type]
        "cost": number(float(bars["cost"].mean()) * _BASIS_POINTS, 2),  # type: ignore[arg-type]
        "earned": number(log_return * _BASIS_POINTS, 2, signed=True),
    }


def _stacked(shares: Sequence[float]) -> Markup:
    said = ", ".join(f"{side} {percent(share, 0)}" for side, share in zip(_SIDES, shares))
    parts = Markup("").join(
        Markup('<i class="{}" style="width:{}%"></i>').format(side, f"{100 * share:.2f}") for side, share in zip(_SIDES, shares)
    )
    return Markup('<span class="sides" role="img" aria-label="{}">{}</span>').format(said, parts)
