"""Price over time with a lane for each kind of finding below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from huracan.report.charts.frame import Crosshair, Tick, plot, polyline
from huracan.report.charts.scales import Scale, time_ticks
from huracan.report.display import ShownCandles
from huracan.report.formatting import price

__all__ = ["flagged_price_chart"]

_SLOT, _PRICE, _LANE = 10, 700, 70


def flagged_price_chart(bars: ShownCandles, flags: Mapping[str, tuple[str, Sequence[int]]]) -> Markup:
    """Draw the range of each bar as an area, the close as a line, and marks in a lane for each finding.

    flags : name of the lane -> severity and opens in milliseconds since 1970.
    """
    if not len(bars):
        return Markup('<p class="empty">{} has no bar that can be drawn.</p>').format(bars.symbol)
    width, tall = bars.n_slots * _SLOT, _PRICE + 20 + _LANE * max(len(flags), 1)
    low, high = float(bars.low.min()), float(bars.high.max())
    scale = Scale.around(low, high, margin=0.03, log=low > 0 and high / low > 4.0)
    begin, length = bars.start / 1000, bars.bar / 1000
    end = begin + bars.n_slots * length
    marks, ticks = Markup(""), []
    for lane, (name, (severity, times)) in enumerate(flags.items()):
        top = _PRICE + 20 + lane * _LANE
        slots = sorted({min(max((t - bars.start) // bars.bar, 0), bars.n_slots - 1) for t in times})
        path = "".join(f"M{s * _SLOT + _SLOT // 2} {top + 8}v{_LANE - 16}" for s in slots)
        marks += Markup('<path class="flag {}" d="{}"/>').format(severity, path)
        ticks.append(Tick((top + _LANE / 2) / tall, name, f"lane {severity}"))
    return plot(
        _area(bars, scale) + polyline(_closes(bars, scale), "curve close") + marks,
        size=(width, tall),
        label=f"{bars.symbol}: price in {bars.said}, from {price(float(bars.close[0]))} to {price(float(bars.close[-1]))}; "
        f"findings: {', '.join(flags) or 'none'}",
        x_ticks=[Tick((at - begin) / (end - begin), text) for at, text in time_ticks(begin, end)],
        y_ticks=[Tick((1 - scale(v)) * _PRICE / tall, price(v)) for v in scale.ticks(5) if 0.02 < scale(v) < 0.98] + ticks,
        height=f"{15 + 1.5 * len(flags):.1f}rem",
        crosshair=Crosshair(
            x=((bars.slot + 0.5) / bars.n_slots).tolist(),
            times=((bars.start + bars.slot * bars.bar) // 1000).tolist(),
            series={
                name: [float(f"{v:.5g}") for v in values]
                for name, values in (("high", bars.high), ("low", bars.low), ("close", bars.close), ("volume", bars.volume))
            },
        ),
        kind="flagged",
    )


def _runs(bars: ShownCandles) -> list[np.ndarray]:
    """Rows without a hole between them."""
    return np.split(np.arange(len(bars)), np.flatnonzero(np.diff(bars.slot) > 1) + 1)


def _y(value: float, scale: Scale) -> int:
    return round((1 - scale(value)) * _PRICE)


def _area(bars: ShownCandles, scale: Scale) -> Markup:
    parts = []
    for run in _runs(bars):
        x = (bars.slot[run] * _SLOT + _SLOT // 2).tolist()
        top = [f"{a} {_y(v, scale)}" for a, v in zip(x, bars.high[run].tolist())]
        bottom = [f"{a} {_y(v, scale)}" for a, v in zip(x, bars.low[run].tolist())]
        parts.append("M" + "L".join(top + bottom[::-1]) + "z")
    return Markup('<path class="range" d="{}"/>').format("".join(parts))


def _closes(bars: ShownCandles, scale: Scale) -> list[tuple[float, float] | None]:
    points: list[tuple[float, float] | None] = []
    for run in _runs(bars):
        points += [
            (float(a), float(_y(v, scale)))
            for a, v in zip((bars.slot[run] * _SLOT + _SLOT // 2).tolist(), bars.close[run].tolist())
        ]
        points.append(None)
    return points
