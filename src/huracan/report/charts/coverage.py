"""Which bars are there: a line for each symbol from its first to its last, cut where bars are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from huracan.report.charts.scales import time_ticks
from huracan.report.formatting import count, percent

__all__ = ["Coverage", "coverage_chart"]

_WIDTH, _TALL = 2000, 20


@dataclass(frozen=True)
class Coverage:
    """One symbol's time, in epoch seconds.

    Attributes
    ----------
    first, last : open of its first bar, end of its last. gaps : begin and end of those that are drawn. n_gaps : of all.
    share : of its bars that are there.
    """

    symbol: str
    first: float
    last: float
    gaps: Sequence[tuple[float, float]]
    n_gaps: int
    share: float


def coverage_chart(series: Sequence[Coverage]) -> Markup:
    """Draw the symbols on one axis of time; a gap is at least a hair wide, however short."""
    begin, end = min(s.first for s in series), max(s.last for s in series)
    span = max(end - begin, 1.0)

    def x(at: float) -> float:
        return round(_WIDTH * (at - begin) / span, 1)

    rows = Markup("").join(_row(one, x) for one in series)
    ticks = Markup("").join(
        Markup('<span class="{}" style="left:{}%">{}</span>').format(
            "spare" if i % 2 else "", f"{100 * (at - begin) / span:.2f}", text
        )
        for i, (at, text) in enumerate(time_ticks(begin, end, 6))
        if 0.03 < (at - begin) / span < 0.97
    )
    return Markup('<ol class="bars coverage">{}</ol><div class="coverage-axis" aria-hidden="true"><i>{}</i></div>').format(
        rows, ticks
    )


def _row(one: Coverage, x: Callable[[float], float]) -> Markup:
    there = Markup('<path class="there" d="M{} 3H{}V17H{}z"/>').format(x(one.first), x(one.last), x(one.first))
    holes = "".join(f"M{x(a)} 0H{x(b)}V{_TALL}H{x(a)}z" for a, b in one.gaps)
    edges = "".join(f"M{x((a + b) / 2)} 0V{_TALL}" for a, b in one.gaps)
    missing = Markup('<path class="hole" d="{}"/><path class="hole-edge" d="{}"/>').format(holes, edges) if one.gaps else ""
    said = (
        f"{one.symbol}: {percent(one.share, 2)} of its bars are there, {count(one.n_gaps)} gap{'' if one.n_gaps == 1 else 's'}"
    )
    return Markup(
        '<li><span class="name">{s}</span><svg viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{said}">'
        '<title>{said}</title>{there}{missing}</svg><span class="value">{v}</span></li>'
    ).format(s=one.symbol, w=_WIDTH, h=_TALL, said=said, there=there, missing=missing, v=percent(one.share, 2))
