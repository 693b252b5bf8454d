"""A column before and now: both distribution functions with the place of the strongest evidence, or shares of categories."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from huracan.mlops.drift_report import DistributionPair
from huracan.report.charts.frame import Tick, plot
from huracan.report.charts.scales import Scale, nice_ticks
from huracan.report.formatting import number, percent, tick_decimals

__all__ = ["bin_shares_chart", "distribution_pair_chart"]

_WIDTH, _TALL, _POINTS = 1000, 500, 240
_TAIL = 0.005


def distribution_pair_chart(pair: DistributionPair) -> Markup:
    """Draw shares at or below each value, reference and current, between their common half percents at both ends.

    A line joins the two where the evidence is strongest, which need not be where they are farthest apart: in the tails less
    is expected.
    """
    if pair.values.size < 2:
        return Markup('<p class="empty">No distribution is kept.</p>')
    inside = (np.maximum(pair.reference, pair.current) >= _TAIL) & (np.minimum(pair.reference, pair.current) <= 1.0 - _TAIL)
    values, before, now = (a[inside] if inside.sum() > 1 else a for a in (pair.values, pair.reference, pair.current))
    few = np.unique(np.linspace(0, len(values) - 1, min(_POINTS, len(values))).astype(np.intp))
    values, before, now = values[few], before[few], now[few]
    scale = Scale.around(float(values[0]), float(values[-1]), margin=0.02)
    marks = _steps(values, before, scale, "curve before") + _steps(values, now, scale, "curve now")
    mark, said = "", ""
    if pair.at is not None and np.isfinite(pair.at):
        at = int(np.clip(np.searchsorted(pair.values, pair.at, side="right") - 1, 0, pair.values.size - 1))
        was, is_ = float(pair.reference[at]), float(pair.current[at])
        x = _WIDTH * scale.clipped(float(pair.at))
        mark = f"M{x:.5g} {_TALL * (1 - was):.5g}V{_TALL * (1 - is_):.5g}"
        said = f"; at {pair.at:.4g} the share at or below goes from {percent(was)} to {percent(is_)}"
    marks += Markup('<path class="supremum" d="{}"/>').format(mark) if mark else Markup("")
    ticks = nice_ticks(scale.low, scale.high, 5)
    decimals = tick_decimals(ticks)
    return plot(
        marks,
        size=(_WIDTH, _TALL),
        label=f"Distribution functions of {pair.feature}, reference and current{said}",
        x_ticks=[Tick(scale(t), number(t, decimals)) for t in ticks],
        y_ticks=[Tick(1 - share, percent(share, 0)) for share in (0.25, 0.5, 0.75)],
        height="9.5rem",
    )


def bin_shares_chart(pair: DistributionPair) -> Markup:
    """Draw the shares of the bins of the stability index, or of categories, reference and current side by side."""
    before, now = pair.reference_bins, pair.current_bins
    if not len(before):
        return Markup('<p class="empty">No shares are kept.</p>')
    top = max(float(before.max()), float(now.max()), 1e-9) * 1.05
    wide = _WIDTH / len(before)

    def bars(shares: NDArray[np.float64], offset: float) -> str:
        return "".join(
            f"M{(i + offset) * wide:.5g} {_TALL}V{_TALL * (1 - share / top):.5g}h{0.38 * wide:.5g}V{_TALL}z"
            for i, share in enumerate(shares.tolist())
        )

    marks = Markup('<path class="share before" d="{}"/><path class="share now" d="{}"/>').format(
        bars(before, 0.1), bars(now, 0.52)
    )
    named = pair.edges if pair.edges and isinstance(pair.edges[0], str) else ()
    ticks = [Tick((i + 0.5) / len(before), str(name), "named") for i, name in enumerate(named)] if len(named) <= 8 else []
    worst = int(np.argmax(np.abs(now - before)))
    said = f"; the largest move is in the {_nth(worst, named)}, {percent(float(before[worst]))} to {percent(float(now[worst]))}"
    return plot(
        marks,
        size=(_WIDTH, _TALL),
        label=f"Shares of the bins of {pair.feature}, reference and current{said}",
        x_ticks=ticks,
        y_ticks=[Tick(1 - t / top, percent(t, 0)) for t in nice_ticks(0.0, top, 3) if 0.05 < t / top < 0.98],
        height="6rem",
    )


def _steps(values: NDArray[np.float64], shares: NDArray[np.float64], scale: Scale, css: str) -> Markup:
    path = "".join(
        f"{'L' if i else 'M'}{_WIDTH * scale(v):.5g} {_TALL * (1 - s):.5g}"
        for i, (v, s) in enumerate(zip(values.tolist(), shares.tolist()))
    )
    return Markup('<path class="{}" d="{}"/>').format(css, path)


def _nth(place: int, names: tuple[str, ...] | tuple[float, ...]) -> str:
    return f"category {names[place]}" if place < len(names) and isinstance(names[place], str) else f"bin {place + 1}"
