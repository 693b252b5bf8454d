"""Distribution against the normal, volatility over time and by the clock, autocorrelation, and the matrix of correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from markupsafe import Markup
from numpy.typing import NDArray

from huracan.report.charts.frame import Crosshair, Tick, plot, polyline
from huracan.report.charts.scales import Scale, time_ticks
from huracan.report.formatting import number, percent

__all__ = ["autocorrelation_chart", "correlation_matrix", "distribution_chart", "profile_chart", "volatility_chart"]

_WIDTH, _TALL = 1000, 600
_WEEKDAYS = ("", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def distribution_chart(histogram: pl.DataFrame, n: int) -> Markup:
    """Draw shares of returns on a logarithmic scale, where tails can be seen, and the normal of equal deviation."""
    left, right, share = (histogram[c].to_numpy() for c in ("left", "right", "share"))
    floor = 0.5 / n
    scale = Scale(floor, 1.0, log=True)
    reach = float(right[-1])

    def x(v: float) -> float:
        return round(_WIDTH * (v + reach) / (2 * reach), 1)

    def y(v: float) -> float:
        return round(_TALL * (1 - scale.clipped(v)), 1)

    bars = "".join(f"M{x(a)} {_TALL}V{y(s)}H{x(b)}V{_TALL}z" for a, b, s in zip(left, right, share) if s > 0)
    middle, size = (left + right) / 2, right - left
    normal = np.exp(-(middle**2) / 2) / math.sqrt(2 * math.pi) * size
    curve = polyline([(x(m), y(v)) if v > floor else None for m, v in zip(middle.tolist(), normal.tolist())], "curve normal")
    ticks = [Tick(y(v) / _TALL, _share(v)) for v in scale.ticks(4) if 0.02 < y(v) / _TALL < 0.98]
    beyond = float(share[np.abs(middle) > 5].sum())
    return plot(
        Markup('<path class="depth solid" d="{}"/>').format(bars) + curve,
        size=(_WIDTH, _TALL),
        label=f"Distribution of {n:,} returns in standard deviations; {percent(beyond, 3)} lie beyond five of them",
        x_ticks=[Tick((v + reach) / (2 * reach), number(v, 0, signed=True)) for v in range(-6, 7, 2)],
        y_ticks=ticks,
        height="13rem",
    )


def volatility_chart(volatility: pl.DataFrame) -> Markup:
    """Draw ``[ts, volatility]`` of one symbol."""
    known = volatility.drop_nulls()
    if known.height < 2:
        return Markup('<p class="empty">Too short for a course of volatility.</p>')
    time = known["ts"].dt.epoch("ms").to_numpy() / 1000.0
    values = known["volatility"].to_numpy()
    place = (time - time[0]) / (time[-1] - time[0])
    scale = Scale(0.0, float(values.max()) * 1.05)
    decimals = 1 if values.max() >= 0.01 else 2
    ticks = [(at - time[0], text) for at, text in time_ticks(float(time[0]), float(time[-1]), 4)]
    return plot(
        polyline([(_WIDTH * p, _TALL * (1 - scale(v))) for p, v in zip(place.tolist(), values.tolist())], "curve net"),
        size=(_WIDTH, _TALL),
        label=f"Volatility of one bar over time, {percent(float(values.min()), 2)} to {percent(float(values.max()), 2)}",
        x_ticks=[Tick(at / (time[-1] - time[0]), text) for at, text in ticks],
        y_ticks=[Tick(1 - scale(v), percent(v, decimals)) for v in scale.ticks(3) if 0.05 < scale(v) < 0.98],
        height="9rem",
        crosshair=Crosshair(
            place.tolist(),
            time.astype(np.int64).tolist(),
            {"volatility": [float(f"{v:.4g}") for v in values.tolist()]},
            {"volatility": "percent"},
        ),
    )


def profile_chart(profile: pl.DataFrame) -> Markup:
    """Draw ``[of, slot, relative_volatility]`` of one symbol: hours of the day, or weekdays where bars are longer."""
    of = "hour" if (profile["of"] == "hour").any() else "weekday"
    rows = profile.filter(pl.col("of") == of)
    if rows.height < 2:
        return Markup('<p class="empty">Bars are too long for a profile of the day or week.</p>')
    slots, values = rows["slot"].to_list(), rows["relative_volatility"].to_list()
    first, most = (0, 24) if of == "hour" else (1, 7)
    scale = Scale(0.0, max(*values, 1.0) * 1.08)
    wide = _WIDTH / most
    bars = "".join(
        f"M{(s - first) * wide + 0.15 * wide:.1f} {_TALL}V{_TALL * (1 - scale(v)):.1f}h{0.7 * wide:.1f}V{_TALL}z"
        for s, v in zip(slots, values)
    )
    one = Markup('<path class="one" d="M0 {}H{}"/>').format(f"{_TALL * (1 - scale(1.0)):.1f}", _WIDTH)
    names = [
        Tick((s - first + 0.5) / most, f"{s:02d}" if of == "hour" else _WEEKDAYS[s], "plain")
        for s in range(first, first + most, 4 if of == "hour" else 1)
    ]
    return plot(
        Markup('<path class="depth solid" d="{}"/>').format(bars) + one,
        size=(_WIDTH, _TALL),
        label=f"Mean size of a return by {of} against all; largest {max(values):.2f} at {slots[int(np.argmax(values))]}",
        x_ticks=names,
        y_ticks=[Tick(1 - scale(v), f"{v:g}×") for v in scale.ticks(3) if 0.05 < scale(v) < 0.98],
        height="9rem",
    )


def autocorrelation_chart(frame: pl.DataFrame) -> Markup:
    """Draw ``[lag, correlation, band, ci_low, ci_high]``: a dot with its interval for each lag, the band about zero shaded."""
    rows = frame.drop_nulls("correlation")
    if rows.is_empty():
        return Markup('<p class="empty">Too short for autocorrelation.</p>')
    ends = [v for c in ("correlation", "band", "ci_low", "ci_high") for v in rows[c].drop_nulls().to_list()]
    reach = max(max(map(abs, ends)) * 1.08, 0.02)
    scale = Scale(-reach if min(ends) < 0.0 else -0.1 * reach, reach)
    wide = _WIDTH / rows.height

    def y(v: float) -> float:
        return round(_TALL * (1 - scale.clipped(v)), 1)

    band = rows["band"].to_list()
    top = [f"{i * wide:.1f} {y(b)}H{(i + 1) * wide:.1f}" for i, b in enumerate(band)]
    bottom = [f"{(i + 1) * wide:.1f} {y(-b)}H{i * wide:.1f}" for i, b in reversed(list(enumerate(band)))]
    marks = Markup('<path class="band" d="M{}L{}z"/><path class="one" d="M0 {}H{}"/>').format(
        "L".join(top), "L".join(bottom), y(0.0), _WIDTH
    )
    whiskers = stems = ""
    for i, (value, low, high) in enumerate(rows.select("correlation", "ci_low", "ci_high").iter_rows()):
        at = f"{(i + 0.5) * wide:.1f}"
        whiskers += f"M{at} {y(low)}V{y(high)}" if low is not None and high is not None else ""
        stems += f"M{at} {y(value)}h0"
    marks += Markup('<path class="whisker" d="{}"/><path class="dot plain" d="{}"/>').format(whiskers, stems)
    ticks = scale.ticks(4)
    decimals = 2 if reach >= 0.05 else 3
    return plot(
        marks,
        size=(_WIDTH, _TALL),
        label=f"Autocorrelation at lags 1 to {rows.height}; at lag 1 {number(rows['correlation'][0], 3, signed=True)}",
        x_ticks=[Tick((lag - 0.5) / rows.height, str(lag), "plain") for lag in (1, *range(6, rows.height + 1, 6))],
        y_ticks=[Tick(1 - scale(v), number(v, decimals, signed=True)) for v in ticks if 0.04 < scale(v) < 0.96],
        height="11rem",
    )


def correlation_matrix(names: Sequence[str], matrix: NDArray[np.float64]) -> Markup:
    """Draw a matrix in the order given: blue together, red against each other, stronger the larger; unknown is hatched."""
    n = len(names)
    cells = {"plus": [""] * 10, "minus": [""] * 10}
    unknown = ""
    for i in range(n):
        for j in range(n):
            value = float(matrix[i, j])
            if not math.isfinite(value):
                unknown += f"M{j} {i}h1v1h-1z"
                continue
            strength = min(int(abs(value) * 10), 9)
            cells["plus" if value >= 0 else "minus"][strength] += f"M{j} {i}h1v1h-1z"
    paths = Markup("").join(
        Markup('<path class="cell {}" style="opacity:{}" d="{}"/>').format(sign, f"{(k + 0.5) / 10:.2f}", path)
        for sign, steps in cells.items()
        for k, path in enumerate(steps)
        if path
    )
    paths += Markup('<path class="cell unknown" d="{}"/>').format(unknown) if unknown else Markup("")
    labels = Markup("").join(Markup("<li>{}</li>").format(name) for name in names)
    off = matrix[~np.eye(n, dtype=bool)]
    known = off[np.isfinite(off)]
    said = (
        f"Rank correlations of {n} columns, from {number(float(known.min()))} to {number(float(known.max()))}"
        if len(known)
        else "No correlation is known"
    )
    return Markup(
        '<div class="matrix-plot" style="--n:{n}"><ol aria-hidden="true">{labels}</ol>'
        '<svg viewBox="0 0 {n} {n}" preserveAspectRatio="none" role="img" aria-label="{said}">{paths}</svg></div>'
    ).format(n=n, labels=labels, said=said, paths=paths)


def _share(value: float) -> str:
    return percent(value, max(0, -math.floor(math.log10(value)) - 2))
