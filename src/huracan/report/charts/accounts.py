"""Growth of capital of several ways over the same time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup

from huracan.report.charts.frame import Crosshair, Tick, plot, polyline
from huracan.report.charts.live_bands import Event
from huracan.report.charts.scales import Scale, time_ticks
from huracan.report.display import thinned
from huracan.report.formatting import moment, percent

__all__ = ["accounts_chart"]

_WIDTH, _TALL, _POINTS = 2000, 1000, 600
_STYLES = ("net", "gross", "buy_and_hold", "fourth")


def accounts_chart(accounts: Sequence[tuple[str, pl.DataFrame]], events: Sequence[Event] = ()) -> Markup:
    """Draw ``(name, [ts, net])`` of up to four ways, multiples of the starting capital, over the span of the first.

    events : marked by a line each.
    """
    drawn = [(name, thinned(frame.drop_nulls(), _POINTS)) for name, frame in accounts[: len(_STYLES)] if frame.height > 1]
    if not drawn:
        return Markup('<p class="empty">Nothing was earned yet.</p>')
    base = drawn[0][1]["ts"].dt.epoch("ms").to_numpy() / 1000.0
    start, span = float(base[0]), float(base[-1] - base[0]) or 1.0
    curves = {}
    for name, frame in drawn:
        time = frame["ts"].dt.epoch("ms").to_numpy() / 1000.0
        curves[name] = ((time - start) / span, frame["net"].cast(pl.Float64).to_numpy())
    values = np.concatenate([v for _, v in curves.values()])
    values = values[np.isfinite(values)]
    low, high = min(float(values.min(initial=1.0)), 1.0), max(float(values.max(initial=1.0)), 1.0)
    scale = Scale.around(low, high, log=low > 0.0 and high / low > 4.0)
    marks = Markup('<path class="one" d="M0 {}H{}"/>').format(f"{_TALL * (1 - scale(1.0)):.5g}", _WIDTH)
    for event in events:
        x = (event.ts.timestamp() - start) / span
        if 0.0 <= x <= 1.0:
            marks += Markup('<path class="happened {}" d="M{x} 0V{}"><title>{}</title></path>').format(
                event.kind, _TALL, f"{moment(event.ts)}: {event.said}", x=f"{_WIDTH * x:.5g}"
            )
    for style, (place, value) in reversed(list(zip(_STYLES, curves.values()))):
        points = [
            (_WIDTH * x, _TALL * (1 - scale(v))) if np.isfinite(v) and (v > 0.0 or not scale.log) and 0.0 <= x <= 1.0 else None
            for x, v in zip(place.tolist(), value.tolist())
        ]
        marks += polyline(points, f"curve {style}")
    ends = {name: _last(value) - 1.0 for name, (_, value) in curves.items()}
    place = (base - start) / span
    series: dict[str, Sequence[Any]] = {name: _short(np.interp(place, at, value)) for name, (at, value) in curves.items()}
    keys = Markup("").join(
        Markup(
            '<li><svg viewBox="0 0 28 8" aria-hidden="true"><path class="curve {}" d="M0 4H28"/></svg>{} <b>{}</b></li>'
        ).format(style, name, percent(end, signed=True))
        for style, (name, end) in zip(_STYLES, ends.items())
    )
    chart = plot(
        marks,
        size=(_WIDTH, _TALL),
        label="Growth of one unit of capital; at the end "
        + ", ".join(f"{name} {percent(end, signed=True)}" for name, end in ends.items()),
        x_ticks=[Tick((at - start) / span, text) for at, text in time_ticks(start, start + span)],
        y_ticks=[Tick(1 - scale(v), f"{v:,.4g}×") for v in scale.ticks() if 0.02 < scale(v) < 0.98],
        height="19rem",
        crosshair=Crosshair(place.tolist(), base.astype(np.int64).tolist(), series, dict.fromkeys(series, "multiple")),
        kind="lived",
    )
    return Markup('<ul class="legend">{}</ul>{}').format(keys, chart)


def _last(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else float("nan")


def _short(values: np.ndarray) -> list[float | None]:
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in values.tolist()]
