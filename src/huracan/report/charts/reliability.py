"""Reliability: predicted probability against how often it came true."""

from __future__ import annotations

import numpy as np
import polars as pl
from markupsafe import Markup

from huracan.report.charts.frame import Tick, dot, plot
from huracan.report.charts.scales import Scale
from huracan.report.formatting import bounds, count, percent

__all__ = ["reliability_chart"]

_SIDE, _PART = 1000, 170


def reliability_chart(bins: pl.DataFrame) -> Markup:
    """Draw ``[mean_probability, observed, ci_low, ci_high, n]`` around the diagonal, the counts as bars below."""
    rows = bins.drop_nulls(["mean_probability", "observed", "ci_low", "ci_high"])
    if rows.is_empty():
        return Markup('<p class="empty">No probabilities to judge.</p>')
    values = rows.select("mean_probability", "ci_low", "ci_high").to_numpy()
    low, high = min(float(values.min()), 0.5), max(float(values.max()), 0.5)
    scale = Scale.around(low, high, margin=0.05)
    scale = Scale(max(scale.low, -0.02), min(scale.high, 1.02))
    tall = _SIDE + _PART + 30
    marks = Markup('<path class="diagonal" d="M0 {s}L{s} 0"/>').format(s=_SIDE)
    largest = max([1, *rows["n"].to_list()])
    for probability, observed, ci_low, ci_high, n in rows.select(
        "mean_probability", "observed", "ci_low", "ci_high", "n"
    ).iter_rows():
        x = _SIDE * scale(probability)
        top, bottom = (_SIDE * (1 - scale.clipped(v)) for v in (ci_high, ci_low))
        css = "off" if not ci_low <= probability <= ci_high else ""
        said = (
            f"said {percent(probability)}, came true {percent(observed)} "
            f"(95 % interval {bounds(100 * ci_low, 100 * ci_high, 1)}), {count(n)} rows"
        )
        bar = _PART * n / largest
        marks += Markup('<path class="whisker {c}" d="M{x} {a}V{b}"/>').format(
            c=css, x=f"{x:.5g}", a=f"{top:.5g}", b=f"{bottom:.5g}"
        )
        marks += Markup('<path class="counted" d="M{x} {b}v-{t}"><title>{s}</title></path>').format(
            x=f"{x:.5g}", b=tall, t=f"{bar:.4g}", s=said
        )
        y = _SIDE * (1 - scale.clipped(observed))
        marks += dot(x, y, f"plain {css}", said)
        if css:
            marks += dot(x, y, "hole", said)
    ticks = scale.ticks(5)
    digits = 0 if all(abs(round(t, 2) - t) < 1e-9 for t in ticks) else 1
    error = float(np.average(np.abs(rows["mean_probability"] - rows["observed"]), weights=rows["n"]))
    return plot(
        marks,
        size=(_SIDE, tall),
        label=f"Reliability in {rows.height} bins; mean distance from the diagonal {percent(error)}",
        x_ticks=[Tick(scale(t), percent(t, digits)) for t in ticks],
        y_ticks=[Tick((1 - scale(t)) * _SIDE / tall, percent(t, digits)) for t in ticks if 0.03 < scale(t) < 0.97],
        height="22rem",
        kind="square",
    )
