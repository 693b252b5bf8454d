"""A figure measured live, with its band, beside what the backtest expected of it, and what happened meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from markupsafe import Markup

from huracan.report.charts.frame import Crosshair, Tick, dot, plot, polyline
from huracan.report.charts.scales import Scale, nice_ticks, time_ticks
from huracan.report.display import thinned
from huracan.report.formatting import moment, number, tick_decimals

__all__ = ["Event", "Expected", "live_bands_chart"]

_WIDTH, _TALL, _POINTS = 2000, 800, 500


@dataclass(frozen=True)
class Expected:
    """What was expected of a figure: its value and an interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Event:
    """Something that happened: ``kind`` is "plus" (a promotion), "minus" (a rollback) or "" (anything else)."""

    ts: datetime
    said: str
    kind: str = ""


def live_bands_chart(
    live: pl.DataFrame, *, name: str, expected: Expected | None = None, events: Sequence[Event] = (), height: str = "16rem"
) -> Markup:
    """Draw ``[ts, value, low, high]`` over time; where value is null the line breaks, where an end is null the band does.

    Parameters
    ----------
    name : what is measured, for the crosshair and screen readers. expected : drawn as a band across.
    events : marked at the bottom, each with a line.
    """
    frame = thinned(live.filter(pl.col("value").is_finite().fill_null(True)).sort("ts"), _POINTS)
    value = frame["value"].cast(pl.Float64).to_numpy() if frame.height else np.empty(0)
    if frame.height < 2 or not np.isfinite(value).any():
        return Markup('<p class="empty">Too little has been measured to draw it.</p>')
    time = frame["ts"].dt.epoch("ms").to_numpy() / 1000.0
    start, span = float(time[0]), float(time[-1] - time[0]) or 1.0
    place = (time - start) / span
    low, high = (frame[end].cast(pl.Float64).fill_null(np.nan).to_numpy() for end in ("low", "high"))
    ends = [v for v in (*value, *low, *high) if np.isfinite(v)]
    ends += [] if expected is None else [expected.low, expected.high]
    scale = Scale.around(min(*ends, 0.0), max(*ends, 0.0), margin=0.05)

    def y(v: float) -> float:
        return float(f"{_TALL * (1 - scale.clipped(v)):.5g}")

    under = Markup("")
    if expected is not None:
        under += Markup('<path class="expected" d="M0 {a}H{w}V{b}H0z"/>').format(
            a=y(expected.high), b=y(expected.low), w=_WIDTH
        )
    known = np.isfinite(low) & np.isfinite(high)
    for first, last in _runs(known):
        at = range(first, last)
        top = "L".join(f"{_WIDTH * place[i]:.5g} {y(high[i])}" for i in at)
        bottom = "L".join(f"{_WIDTH * place[i]:.5g} {y(low[i])}" for i in reversed(at))
        under += Markup('<path class="band live" d="M{}L{}z"/>').format(top, bottom)
    marks = Markup('<path class="one" d="M0 {}H{}"/>').format(y(0.0), _WIDTH)
    if expected is not None:
        marks += Markup('<path class="curve buy_and_hold" d="M0 {}H{}"/>').format(y(expected.value), _WIDTH)
    marks += polyline(
        [(_WIDTH * x, y(v)) if np.isfinite(v) else None for x, v in zip(place.tolist(), value.tolist())], "curve net"
    )
    for event in events:
        x = (event.ts.timestamp() - start) / span
        if 0.0 <= x <= 1.0:
            marks += Markup('<path class="happened {}" d="M{} 0V{}"/>').format(event.kind, f"{_WIDTH * x:.5g}", _TALL)
            marks += dot(_WIDTH * x, _TALL, event.kind, f"{moment(event.ts)}: {event.said}")
    ticks = nice_ticks(scale.low, scale.high, 5)
    decimals = tick_decimals(ticks)
    finite = value[np.isfinite(value)]
    beside = (
        ""
        if expected is None
        else f"; the backtest expected {expected.value:+.4g} ({expected.low:+.4g} to {expected.high:+.4g})"
    )
    return plot(
        marks,
        under=under,
        size=(_WIDTH, _TALL),
        label=f"{name} over time, at the end {finite[-1]:+.4g}{beside}; {len(events)} events",
        x_ticks=[Tick((at - start) / span, text) for at, text in time_ticks(start, start + span)],
        y_ticks=[Tick(1 - scale(t), number(t, decimals if t else 0, signed=True)) for t in ticks if 0.03 < scale(t) < 0.97],
        height=height,
        crosshair=Crosshair(
            place.tolist(),
            time.astype(np.int64).tolist(),
            {name: _short(value), "from": _short(low), "to": _short(high)},
        ),
        kind="lived",
    )


def _runs(known: np.ndarray) -> list[tuple[int, int]]:
    """First and one past the last of each unbroken run of True with at least two of them."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], known, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2]) if b - a > 1]


def _short(values: np.ndarray) -> list[float | None]:
    return [float(f"{v:.4g}") if np.isfinite(v) else None for v in values.tolist()]
