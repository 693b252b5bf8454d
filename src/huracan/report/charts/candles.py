"""Candles over tinted regimes, a lane for each regime and volume below.

Candles are ink on paper, pale when they rise and dark when they fall, so that colour is left to the regimes; every regime
also has a lane of its own, so that nobody needs the colour.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from markupsafe import Markup

from huracan.report.charts.frame import Crosshair, Tick, plot
from huracan.report.charts.scales import Scale, time_ticks
from huracan.report.display import REGIMES, ShownCandles
from huracan.report.formatting import price, title_case

__all__ = ["candle_chart"]

_TALL, _PRICE, _VOLUME, _LANES, _LANE = 1000, 700, 100, 830, 42
_SLOT = 10


def candle_chart(bars: ShownCandles) -> Markup:
    """Draw the bars of one symbol; what it shows is said by its ``aria-label``."""
    if not len(bars):
        return Markup('<p class="empty">{} has no bar that can be drawn.</p>').format(bars.symbol)
    width = bars.n_slots * _SLOT
    low, high = float(bars.low.min()), float(bars.high.max())
    scale = Scale.around(low, high, margin=0.03, log=low > 0 and high / low > 4.0)
    begin, length = bars.start / 1000, bars.bar / 1000
    end = begin + bars.n_slots * length
    return plot(
        _candles(bars, scale) + _volume(bars),
        under=_bands(bars),
        size=(width, _TALL),
        label=f"{bars.symbol}: {len(bars)} candles, {bars.said}, with the regime of each; close from {price(bars.close[0])} to "
        f"{price(bars.close[-1])}",
        x_ticks=[Tick((at - begin) / (end - begin), text) for at, text in time_ticks(begin, end)],
        y_ticks=[
            Tick((1 - scale(value)) * _PRICE / _TALL, price(value)) for value in scale.ticks(6) if 0.02 < scale(value) < 0.98
        ]
        + [Tick((_LANES + (i + 0.5) * _LANE) / _TALL, title_case(name), f"lane {name}") for i, name in enumerate(REGIMES)],
        height="26rem",
        crosshair=_crosshair(bars),
        kind="market",
    )


def _crosshair(bars: ShownCandles) -> Crosshair:
    words = [*map(title_case, REGIMES), "not known"]
    series = {
        name: [float(f"{v:.6g}") for v in values]
        for name, values in (
            ("open", bars.open),
            ("high", bars.high),
            ("low", bars.low),
            ("close", bars.close),
            ("volume", bars.volume),
        )
    }
    return Crosshair(
        x=((bars.slot + 0.5) / bars.n_slots).tolist(),
        times=((bars.start + bars.slot * bars.bar) // 1000).tolist(),
        series={**series, "regime": [words[i] for i in bars.regime]},
        formats={"regime": "word"},
    )


def _candles(bars: ShownCandles, scale: Scale) -> Markup:
    def y(values: np.ndarray) -> list[int]:
        return [round((1 - scale(float(v))) * _PRICE) for v in values]

    wicks: dict[bool, list[str]] = {True: [], False: []}
    bodies: dict[bool, list[str]] = {True: [], False: []}
    rising = (bars.close >= bars.open).tolist()
    rows = zip(bars.slot.tolist(), y(bars.open), y(bars.high), y(bars.low), y(bars.close), rising)
    for slot, opened, high, low, closed, up in rows:
        x = slot * _SLOT
        top, tall = min(opened, closed), max(abs(opened - closed), 2)
        wicks[up].append(f"M{x + 5} {high}V{low}")
        bodies[up].append(f"M{x + 1} {top}h8v{tall}h-8z")
    return Markup("").join(
        Markup('<path class="wick {c}" d="{w}"/><path class="body {c}" d="{b}"/>').format(
            c=css, w="".join(wicks[up]), b="".join(bodies[up])
        )
        for up, css in ((True, "up"), (False, "down"))
    )


def _volume(bars: ShownCandles) -> Markup:
    largest = float(bars.volume.max())
    if not largest > 0.0:
        return Markup("")
    tall = (np.sqrt(np.maximum(bars.volume, 0.0) / largest) * _VOLUME).round().astype(int).tolist()
    base = _PRICE + _VOLUME + 10
    path = "".join(f"M{slot * _SLOT + 1} {base}h8v-{t}h-8z" for slot, t in zip(bars.slot.tolist(), tall) if t)
    return Markup('<path class="volume" d="{}"/>').format(path)


def _bands(bars: ShownCandles) -> Markup:
    tints: dict[int, list[str]] = {i: [] for i in range(len(REGIMES))}
    lanes: dict[int, list[str]] = {i: [] for i in range(len(REGIMES))}
    for code, first, last in _runs(bars):
        x, wide = first * _SLOT, (last - first + 1) * _SLOT
        tints[code].append(f"M{x} 0h{wide}v{_PRICE}h-{wide}z")
        top = _LANES + code * _LANE + 6
        lanes[code].append(f"M{x} {top}h{wide}v{_LANE - 12}h-{wide}z")
    return Markup("").join(
        Markup('<path class="tint {c}" d="{t}"/><path class="lane {c}" d="{l}"/>').format(
            c=name, t="".join(tints[i]), l="".join(lanes[i])
        )
        for i, name in enumerate(REGIMES)
    )


def _runs(bars: ShownCandles) -> Iterator[tuple[int, int, int]]:
    """Spans of one regime: code, first slot, last slot; a hole in the data ends a span."""
    codes, slots = bars.regime.tolist(), bars.slot.tolist()
    begin = 0
    for i in range(1, len(codes) + 1):
        if i == len(codes) or codes[i] != codes[begin] or slots[i] != slots[i - 1] + 1:
            if codes[begin] >= 0:
                yield codes[begin], slots[begin], slots[i - 1]
            begin = i
