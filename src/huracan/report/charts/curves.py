"""Growth of capital and how far below its peak it stood."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
from markupsafe import Markup
from numpy.typing import NDArray

from huracan.report.charts.frame import Crosshair, Tick, plot, polyline
from huracan.report.charts.scales import Scale, time_ticks
from huracan.report.display import thinned
from huracan.report.formatting import number, percent

__all__ = ["drawdown_chart", "equity_chart"]

_WIDTH, _TALL, _POINTS = 2000, 1000, 700
_NAMES = {"net": "Net of costs", "gross": "Before costs", "buy_and_hold": "Buy and hold"}


def equity_chart(equity: pl.DataFrame, held_out_from: datetime | None) -> Markup:
    """Draw ``[ts, net, gross, buy_and_hold]``, multiples of the starting capital.

    held_out_from : what comes after it lies in a labelled band.
    """
    frame = thinned(equity, _POINTS)
    time, place = _times(frame)
    curves = {column: frame[column].cast(pl.Float64).to_numpy() for column in _NAMES}
    values = np.concatenate(list(curves.values()))
    values = values[np.isfinite(values)]
    if not values.size:
        return Markup('<p class="empty">No equity could be computed.</p>')
    low, high = min(float(values.min()), 1.0), max(float(values.max()), 1.0)
    scale = Scale.around(low, high, log=low > 0.0 and high / low > 4.0)
    lines = Markup("").join(
        polyline(_points(place, curve, scale), f"curve {column}") for column, curve in reversed(curves.items())
    )
    one = Markup('<path class="one" d="M0 {}H{}"/>').format(f"{_TALL * (1 - scale(1.0)):.5g}", _WIDTH)
    ticks = [Tick(1 - scale(v), f"{v:,.4g}×") for v in scale.ticks() if 0.02 < scale(v) < 0.98]
    band, label = _held_out(time, held_out_from)
    names = ", ".join(f"{_NAMES[c].lower()} {_multiple(_last(curve))}" for c, curve in curves.items())
    drawn = plot(
        one + lines,
        under=band,
        size=(_WIDTH, _TALL),
        label=f"Growth of one unit of capital; at the end {names}",
        x_ticks=_time_axis(time),
        y_ticks=ticks,
        height="20rem",
        crosshair=Crosshair(
            place.tolist(),
            time.astype(np.int64).tolist(),
            {_NAMES[c]: _rounded(curve) for c, curve in curves.items()},
            dict.fromkeys(_NAMES.values(), "multiple"),
        ),
    )
    return _legend(curves) + Markup('<div class="banded">{}{}</div>').format(drawn, label)


def drawdown_chart(equity: pl.DataFrame, held_out_from: datetime | None) -> Markup:
    """Draw the distance below the highest equity so far: net as an area, buy and hold as a line."""
    depth = equity.select(
        "ts",
        *((pl.col(c) / pl.max_horizontal(pl.col(c).cum_max(), pl.lit(1.0)) - 1.0).alias(c) for c in ("net", "buy_and_hold")),
    )
    size = max(1, -(-depth.height // _POINTS))
    frame = (
        depth.with_row_index("row")
        .with_columns(pl.col("row") // size)
        .group_by("row", maintain_order=True)
        .agg(pl.col("ts").last(), pl.col("net", "buy_and_hold").min())
    )
    time, place = _times(frame)
    net, market = (frame[c].cast(pl.Float64).to_numpy() for c in ("net", "buy_and_hold"))
    finite = [v for v in (*net, *market) if np.isfinite(v)]
    if not finite:
        return Markup("")
    scale = Scale(min(min(finite) * 1.05, -0.001), 0.0)
    points = [p for p in _points(place, net, scale) if p is not None]
    area = Markup("")
    if points:
        inner = "L".join(f"{x:.5g} {y:.5g}" for x, y in points)
        area = Markup('<path class="depth" d="M{} 0L{}V0z"/>').format(f"{points[0][0]:.5g}", inner)
    band, _ = _held_out(time, held_out_from)
    return plot(
        area + polyline(_points(place, market, scale), "curve buy_and_hold") + polyline(points, "curve net"),
        under=band,
        size=(_WIDTH, _TALL),
        label=f"Drawdown; deepest net {percent(float(np.nanmin(net)))}, buy and hold {percent(float(np.nanmin(market)))}",
        x_ticks=_time_axis(time),
        y_ticks=[Tick(1 - scale(v), percent(v, 0 if scale.low < -0.05 else 1)) for v in scale.ticks(3) if scale(v) > 0.05],
        height="8rem",
        crosshair=Crosshair(
            place.tolist(),
            time.astype(np.int64).tolist(),
            {"Net of costs": _rounded(net), "Buy and hold": _rounded(market)},
            {"Net of costs": "percent", "Buy and hold": "percent"},
        ),
    )


def _times(frame: pl.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    time = frame["ts"].dt.epoch("ms").to_numpy().astype(np.float64) / 1000.0
    span = float(time[-1] - time[0]) or 1.0
    return time, (time - time[0]) / span


def _time_axis(time: NDArray[np.float64]) -> list[Tick]:
    span = float(time[-1] - time[0]) or 1.0
    return [Tick((at - time[0]) / span, text) for at, text in time_ticks(float(time[0]), float(time[-1]))]


def _points(place: NDArray[np.float64], values: NDArray[np.float64], scale: Scale) -> list[tuple[float, float] | None]:
    return [
        (_WIDTH * x, _TALL * (1.0 - scale(v))) if np.isfinite(v) and (v > 0.0 or not scale.log) else None
        for x, v in zip(place.tolist(), values.tolist())
    ]


def _held_out(time: NDArray[np.float64], begin: datetime | None) -> tuple[Markup, Markup]:
    """The shaded end of the data and its label."""
    if begin is None:
        return Markup(""), Markup("")
    inside = time[time >= begin.timestamp()]
    if not inside.size or time[-1] == time[0]:
        return Markup(""), Markup("")
    at = float((inside[0] - time[0]) / (time[-1] - time[0]))
    band = Markup('<path class="held-out" d="M{x} 0H{w}V{h}H{x}z"/>').format(x=f"{_WIDTH * at:.5g}", w=_WIDTH, h=_TALL)
    side = "right:0" if at > 0.8 else f"left:{100 * at:.2f}%"
    return band, Markup('<div class="over"><span style="{}">hold-out</span></div>').format(side)


def _legend(curves: dict[str, NDArray[np.float64]]) -> Markup:
    keys = Markup("").join(
        Markup(
            '<li><svg viewBox="0 0 28 8" aria-hidden="true"><path class="curve {c}" d="M0 4H28"/></svg>{name} <b>{end}</b></li>'
        ).format(c=column, name=_NAMES[column], end=percent(_last(curve) - 1.0, signed=True))
        for column, curve in curves.items()
    )
    return Markup('<ul class="legend">{}</ul>').format(keys)


def _last(curve: NDArray[np.float64]) -> float:
    finite = curve[np.isfinite(curve)]
    return float(finite[-1]) if finite.size else float("nan")


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in values.tolist()]


def _multiple(value: float) -> str:
    return number(value, 0 if value >= 20 else 1 if value >= 5 else 2) + "×"
