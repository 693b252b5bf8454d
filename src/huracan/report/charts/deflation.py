"""What a Sharpe ratio is worth after so many trials."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
from markupsafe import Markup

from huracan.report.charts.frame import Crosshair, Tick, dot, plot, polyline
from huracan.report.charts.scales import Scale
from huracan.report.formatting import count, is_number, number, percent, suitable_decimals

__all__ = ["deflation_chart", "expected_maximum_chart"]

_WIDTH, _TALL = 1000, 600


def deflation_chart(deflation: pl.DataFrame, n_trials: int | None, alpha: float) -> Markup:
    """Draw ``deflated`` of ``[n_trials, expected_maximum, deflated]`` over the trials, the true number marked."""
    return _over_trials(
        deflation,
        "deflated",
        n_trials,
        scale=Scale(-0.03, 1.03),
        ticks=[(v, percent(v, 0)) for v in (0.0, 0.25, 0.5, 0.75, 1.0)],
        level=1.0 - alpha,
        level_said=percent(1.0 - alpha, 0 if abs(round(100 * alpha) - 100 * alpha) < 1e-9 else 1),
        written=lambda v: percent(v, 1),
        name="deflated Sharpe",
        kind="percent",
    )


def expected_maximum_chart(deflation: pl.DataFrame, n_trials: int | None, sharpe_ratio: float | None) -> Markup:
    """Draw the Sharpe ratio that the best of so many trials without skill shows, beside the one that was found."""
    highest = [v for v in deflation["expected_maximum"].to_list() if is_number(v)]
    own = [sharpe_ratio] if sharpe_ratio is not None and is_number(sharpe_ratio) else []
    scale = Scale.around(min([0.0, *highest, *own]), max([*highest, *own, 1e-6]), margin=0.08)
    ticks = scale.ticks(4)
    decimals = suitable_decimals(ticks, 2)
    return _over_trials(
        deflation,
        "expected_maximum",
        n_trials,
        scale=scale,
        ticks=[(t, number(t, decimals)) for t in ticks],
        level=own[0] if own else None,
        level_said="found",
        written=lambda v: number(v, decimals + 1),
        name="best without skill",
        kind="price",
    )


def _over_trials(
    deflation: pl.DataFrame,
    column: str,
    n_trials: int | None,
    *,
    scale: Scale,
    ticks: list[tuple[float, str]],
    level: float | None,
    level_said: str,
    written: Callable[[float], str],
    name: str,
    kind: str,
) -> Markup:
    rows = deflation.filter(pl.col(column).is_finite().fill_null(False)).sort("n_trials")
    if rows.height < 2:
        return Markup('<p class="empty">Too few numbers of trials for a curve.</p>')
    trials, values = rows["n_trials"].to_list(), rows[column].to_list()
    across = Scale.around(float(trials[0]), float(trials[-1]), margin=0.03, log=True)

    def at(n: float, value: float) -> tuple[float, float]:
        return _WIDTH * across(n), _TALL * (1.0 - scale.clipped(value))

    marks = Markup("")
    shown = [Tick(1 - scale(t), text) for t, text in ticks if 0.02 < scale(t) < 0.98]
    if level is not None:
        place = 1.0 - scale.clipped(level)
        marks += Markup('<path class="diagonal" d="M0 {}H{}"/>').format(f"{_TALL * place:.5g}", _WIDTH)
        shown = [t for t in shown if abs(t.at - place) > 0.07] + [Tick(place, level_said, "mark")]
    marks += polyline([at(n, v) for n, v in zip(trials, values)], "curve net")
    powers = [t for t in across.ticks(5) if t >= 1.0]
    x_ticks = [Tick(across(t), count(t)) for t in powers]
    said = f"{name} from {written(values[0])} at {count(trials[0])} to {written(values[-1])} at {count(trials[-1])} trials"
    note = Markup("")
    true = None if n_trials is None else rows.filter(pl.col("n_trials") == n_trials)
    if true is not None and true.height:
        value = float(true[column][0])
        x, y = at(float(n_trials or 1), value)
        marks += Markup('<path class="true-number" d="M{x} 0V{h}"/>').format(x=f"{x:.5g}", h=_TALL)
        said += f"; {written(value)} at the true number, {count(n_trials)}"
        marks += dot(x, y, "plain", said)
        side = f"right:{100 - 100 * x / _WIDTH:.2f}%" if x > 0.5 * _WIDTH else f"left:{100 * x / _WIDTH:.2f}%"
        edge = "bottom:.3rem" if y < 0.5 * _TALL else "top:.2rem"
        note = Markup('<div class="noted"><span style="{}">{} trials: <b>{}</b></span></div>').format(
            f"{side};{edge}", count(n_trials), written(value)
        )
    drawn = plot(
        marks,
        size=(_WIDTH, _TALL),
        label=said,
        x_ticks=x_ticks,
        y_ticks=shown,
        height="12rem",
        crosshair=Crosshair(
            [across(n) for n in trials],
            [int(n) for n in trials],
            {name: [float(f"{v:.4g}") for v in values]},
            {name: kind},
            counted="trials",
        ),
    )
    return Markup('<div class="banded">{}{}</div>').format(drawn, note)
