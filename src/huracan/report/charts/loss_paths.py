"""Loss differences summed over time, with the band that equal models seldom leave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup

from huracan.report.charts.frame import Crosshair, Tick, dot, plot, polyline
from huracan.report.charts.scales import Scale, nice_ticks, time_ticks
from huracan.report.display import thinned
from huracan.report.formatting import count, moment, number, tick_decimals

__all__ = ["LossPath", "loss_path"]

_WIDTH, _TALL, _POINTS = 1000, 500, 140


@dataclass(frozen=True)
class LossPath:
    """One model's chart, and in words whether and when it left the band: ``css`` is "plus", "minus" or "none"."""

    model: str
    chart: Markup
    said: str
    css: str


def loss_path(path: pl.DataFrame, *, unit: float = 1.0) -> LossPath:
    """Draw ``[model, against, row, ts, cumulative, band]`` of one model; falling means that it loses less.

    unit : what the axis counts in. A band that is not finite is not drawn.
    """
    path = path.filter(pl.col("cumulative").is_finite().fill_null(False)).sort("row")
    if path.is_empty():
        return LossPath("", Markup('<p class="empty">No path.</p>'), "no path", "none")
    name, against = str(path["model"][0]), str(path["against"][0])
    css, said, leaves = _verdict(path)
    few = thinned(path, _POINTS)
    dated = few["ts"].null_count() == 0
    at = few["ts"].dt.epoch("ms").to_numpy() / 1000.0 if dated else few["row"].cast(pl.Float64).to_numpy()
    span = float(at[-1] - at[0]) or 1.0
    place = (at - at[0]) / span
    value = few["cumulative"].cast(pl.Float64).to_numpy() / unit
    band = few["band"].cast(pl.Float64).fill_null(np.nan).to_numpy() / unit
    known = np.isfinite(band)
    ends = [0.0, *value.tolist(), *band[known].tolist(), *(-band[known]).tolist()]
    scale = Scale.around(min(ends), max(ends), margin=0.05)

    def y(v: float) -> float:
        return _TALL * (1.0 - scale(v))

    shaded = Markup("")
    if known.any():
        top = [f"{_WIDTH * x:.5g} {y(b):.5g}" for x, b in zip(place[known].tolist(), band[known].tolist())]
        bottom = [f"{_WIDTH * x:.5g} {y(-b):.5g}" for x, b in zip(place[known].tolist()[::-1], band[known].tolist()[::-1])]
        shaded = Markup('<path class="band" d="M{}z"/>').format("L".join(top + bottom))
    marks = Markup('<path class="one" d="M0 {}H{}"/>').format(f"{y(0.0):.5g}", _WIDTH)
    marks += polyline([(_WIDTH * x, y(v)) for x, v in zip(place.tolist(), value.tolist())], f"curve path {css}")
    if leaves is not None:
        when = leaves["ts"].timestamp() if dated else float(leaves["row"])
        x = min(max((when - float(at[0])) / span, 0.0), 1.0)
        marks += dot(_WIDTH * x, y(leaves["cumulative"] / unit), css, said)
    ticks = nice_ticks(scale.low, scale.high, 4)
    decimals = tick_decimals(ticks)
    chart = plot(
        marks,
        under=shaded,
        size=(_WIDTH, _TALL),
        label=f"Summed loss of {name} less that of {against}: {said}",
        x_ticks=_x_axis(float(at[0]), span, dated),
        y_ticks=[Tick(1 - scale(t), number(t, decimals if t else 0, signed=True)) for t in ticks if 0.04 < scale(t) < 0.96],
        height="9.5rem",
        crosshair=Crosshair(
            place.tolist(),
            at.astype(np.int64).tolist(),
            {"difference": [_short(v) for v in value.tolist()], "band ±": [_short(v) for v in band.tolist()]},
            counted=None if dated else "row",
        ),
    )
    return LossPath(name, chart, said, css)


def _verdict(path: pl.DataFrame) -> tuple[str, str, dict[str, Any] | None]:
    """Colour, words, and the first row outside the band."""
    known = pl.col("band").is_finite().fill_null(False)
    if not path.select(known.any()).item():
        return "none", "cannot be decided", None
    outside = path.filter(known & (pl.col("cumulative").abs() > pl.col("band")))
    if outside.is_empty():
        return "none", "within the band", None
    first = outside.row(0, named=True)
    sides = {value > 0.0 for value in outside["cumulative"].to_list()}
    if len(sides) > 1:
        return "none", "outside on both sides", first
    long = path["ts"].null_count() == 0 and path["ts"].to_list()[-1] - path["ts"].to_list()[0] > timedelta(days=10)
    when = moment(first["ts"], with_hour=not long) if first["ts"] is not None else f"row {count(first['row'])}"
    better = first["cumulative"] < 0.0
    return ("plus" if better else "minus"), f"{'better' if better else 'worse'}: outside by {when}", first


def _x_axis(start: float, span: float, dated: bool) -> list[Tick]:
    if dated:
        return [Tick((at - start) / span, text) for at, text in time_ticks(start, start + span, 4)]
    return [Tick((t - start) / span, count(t)) for t in nice_ticks(start, start + span, 4)]


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None
