"""The plot that charts share: an SVG that stretches with the page, and axis labels as text that does not.

Lines keep their width (``non-scaling-stroke``) and labels their size on a phone as on a wide screen, and no script draws
anything; a script only adds the crosshair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

__all__ = ["Crosshair", "Tick", "dot", "plot", "polyline"]

_EDGE = 0.035


@dataclass(frozen=True)
class Tick:
    """A label at a place between 0 (left, top) and 1 (right, bottom)."""

    at: float
    text: str
    kind: str = ""


@dataclass(frozen=True)
class Crosshair:
    """What the pointer reads off: ``x`` between 0 and 1, and the series there.

    Attributes
    ----------
    x : place of each point. times : epoch seconds of each point, or with ``counted`` whole numbers of such things.
    series : name -> values, one a point. formats : name -> ``"price"``, ``"multiple"``, ``"percent"`` or ``"word"``.
    """

    x: Sequence[float]
    times: Sequence[int]
    series: dict[str, Sequence[Any]]
    formats: dict[str, str] = field(default_factory=dict)
    counted: str | None = None

    def to_script(self) -> Markup:
        """The data as a block that browsers do not run."""
        data: dict[str, Any] = {
            "x": [round(float(x), 5) for x in self.x],
            "t": [int(t) for t in self.times],
            "s": [{"n": name, "f": self.formats.get(name, "price"), "v": list(v)} for name, v in self.series.items()],
        }
        if self.counted is not None:
            data["c"] = self.counted
        return Markup('<script type="application/json" class="points">{}</script>').format(htmlsafe_json_dumps(data))


def plot(
    drawing: Markup,
    *,
    size: tuple[int, int],
    label: str,
    x_ticks: Iterable[Tick] = (),
    y_ticks: Iterable[Tick] = (),
    height: str = "18rem",
    grid: bool = True,
    under: Markup | None = None,
    crosshair: Crosshair | None = None,
    kind: str = "",
) -> Markup:
    """Frame a drawing of ``size`` (width, height in its own units) with its axes.

    Parameters
    ----------
    drawing : SVG elements. under : SVG elements below the grid lines. label : the chart in a sentence, for screen readers.
    x_ticks, y_ticks : labels along the bottom and the right; those without ``kind`` get a grid line.
    height : CSS height of the drawing. kind : CSS class of the whole.
    """
    width, tall = size
    x_ticks, y_ticks = list(x_ticks), list(y_ticks)
    lines = Markup("")
    if grid:
        lines = Markup("").join(
            [
                Markup('<path class="grid" d="M0 {y}H{w}"/>').format(y=round(t.at * tall, 2), w=width)
                for t in y_ticks
                if not t.kind
            ]
            + [
                Markup('<path class="grid" d="M{x} 0V{h}"/>').format(x=round(t.at * width, 2), h=tall)
                for t in x_ticks
                if not t.kind
            ]
        )
    return Markup(
        '<div class="plot {kind}"><div class="canvas" style="height:{height}"{focus}>'
        '<svg viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{label}">{under}{lines}{drawing}</svg>'
        '{points}</div><div class="axis-y" aria-hidden="true">{ys}</div><div class="axis-x" aria-hidden="true">{xs}</div></div>'
    ).format(
        kind=kind,
        height=height,
        focus=Markup(' tabindex="0"') if crosshair else "",
        w=width,
        h=tall,
        label=label,
        under=under or "",
        lines=lines,
        drawing=drawing,
        points=crosshair.to_script() if crosshair else "",
        ys=_labels(y_ticks, "top"),
        xs=_labels(_thinned([t for t in x_ticks if _EDGE < t.at < 1 - _EDGE]), "left"),
    )


def polyline(points: Iterable[tuple[float, float] | None], css: str) -> Markup:
    """Draw a line through points; ``None`` lifts the pen."""
    parts, down = [], False
    for point in points:
        if point is None:
            down = False
            continue
        parts.append(f"{'L' if down else 'M'}{point[0]:.5g} {point[1]:.5g}")
        down = True
    return Markup('<path class="{}" d="{}"/>').format(css, "".join(parts))


def dot(x: float, y: float, css: str, title: str = "") -> Markup:
    """Draw a point that stays round however the drawing is stretched; ``title`` is what hovering says."""
    said = Markup("<title>{}</title>").format(title) if title else ""
    return Markup('<path class="dot {}" d="M{} {}h0">{}</path>').format(css, f"{x:.5g}", f"{y:.5g}", said)


def _thinned(ticks: list[Tick]) -> list[Tick]:
    """Mark every other label of many as one that a narrow chart leaves out."""
    return [Tick(t.at, t.text, "spare") if len(ticks) > 4 and i % 2 else t for i, t in enumerate(ticks)]


def _labels(ticks: Iterable[Tick], side: str) -> Markup:
    return Markup("").join(
        Markup('<span class="{}" style="{}:{}%">{}</span>').format(t.kind, side, f"{100 * t.at:.2f}", escape(t.text))
        for t in ticks
    )
