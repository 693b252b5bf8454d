"""Estimates with intervals on one shared scale: the cells of a forest plot that stands in a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from huracan.report.charts.frame import dot
from huracan.report.charts.scales import Scale, nice_ticks
from huracan.report.formatting import is_number, number, tick_decimals

__all__ = ["ForestScale", "Interval"]

_WIDTH, _HEIGHT = 200, 20


@dataclass(frozen=True)
class Interval:
    """An estimate and its interval; ``sure`` fills the dot.

    ``alone`` are the ends of a second, shorter interval: where ``low`` to ``high`` holds for many estimates together, the one
    of this estimate alone. It is drawn as two ticks on the line. An interval that is the whole line is drawn as one.
    """

    value: float | None
    low: float | None
    high: float | None
    sure: bool = False
    alone: tuple[float, float] | None = None

    @property
    def drawable(self) -> bool:
        """Whether all three numbers are there."""
        return is_number(self.value) and is_number(self.low) and is_number(self.high)


@dataclass(frozen=True)
class ForestScale:
    """One scale for many intervals, zero always on it.

    A few very wide intervals do not squeeze the others: what reaches beyond the scale ends in an arrow. Intervals above zero
    have the colour of what is good, those below the colour of what is bad; with ``lower_is_better`` it is the other way.
    """

    scale: Scale
    lower_is_better: bool = False

    @classmethod
    def of(cls, intervals: Iterable[Interval], *, lower_is_better: bool = False) -> ForestScale:
        """The scale that shows every estimate and most intervals whole."""
        rows = np.array([[i.value, i.low, i.high] for i in intervals if i.drawable], dtype=np.float64)
        if not rows.size:
            return cls(Scale(-1.0, 1.0), lower_is_better)
        usual = 3.0 * float(np.median(np.abs(rows[:, 1:])))
        reach = max(float(np.abs(rows[:, 0]).max()) * 1.15, usual, 1e-12)
        low, high = max(float(rows.min()), -reach), min(float(rows.max()), reach)
        return cls(Scale.around(min(low, 0.0), max(high, 0.0), margin=0.06), lower_is_better)

    def cell(self, interval: Interval, title: str) -> Markup:
        """Draw one interval; ``title`` says it in words."""
        zero = _WIDTH * self.scale(0.0)
        marks = Markup('<path class="zero" d="M{x} 0V{h}"/>').format(x=f"{zero:.5g}", h=_HEIGHT)
        if interval.drawable:
            value, low, high = (float(v) for v in (interval.value, interval.low, interval.high) if v is not None)
            left, right = (_WIDTH * self.scale.clipped(v) for v in (low, high))
            sign = "none" if low <= 0.0 <= high else "plus" if (low > 0.0) is not self.lower_is_better else "minus"
            middle = _HEIGHT / 2
            marks += Markup('<path class="interval {c}" d="M{a} {y}H{b}"/>').format(
                c=sign, a=f"{left:.5g}", b=f"{right:.5g}", y=middle
            )
            if low < self.scale.low:
                marks += Markup('<path class="beyond {c}" d="M{a} 5L0 10L{a} 15"/>').format(c=sign, a=5)
            if high > self.scale.high:
                marks += Markup('<path class="beyond {c}" d="M{a} 5L{w} 10L{a} 15"/>').format(c=sign, a=_WIDTH - 5, w=_WIDTH)
            if interval.alone is not None:
                ticks = "".join(f"M{_WIDTH * self.scale(v):.5g} 5V15" for v in interval.alone if 0.0 < self.scale(v) < 1.0)
                marks += Markup('<path class="alone {c}" d="{d}"/>').format(c=sign, d=ticks)
            at = _WIDTH * self.scale.clipped(value)
            marks += dot(at, middle, sign)
            if not interval.sure:
                marks += dot(at, middle, "hole")
        elif interval.low == -math.inf and interval.high == math.inf:
            marks += Markup('<path class="beyond open" d="M5 5L0 10L5 15M{a} 5L{w} 10L{a} 15"/>').format(a=_WIDTH - 5, w=_WIDTH)
            marks += Markup('<path class="interval open" d="M0 {y}H{w}"/>').format(y=_HEIGHT / 2, w=_WIDTH)
        return Markup(
            '<svg class="forest" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{t}">'
            "<title>{t}</title>{m}</svg>"
        ).format(w=_WIDTH, h=_HEIGHT, t=title, m=marks)

    def axis(self) -> Markup:
        """The ticks of the scale, to stand in the head of the column."""
        ticks = self._ticks()
        decimals = tick_decimals(ticks)
        return Markup('<div class="forest-axis" aria-hidden="true">{}</div>').format(
            Markup("").join(
                Markup('<span style="left:{}%">{}</span>').format(
                    f"{100 * self.scale(t):.2f}", number(t, decimals if t else 0, signed=True)
                )
                for t in ticks
            )
        )

    def _ticks(self) -> Sequence[float]:
        ticks = nice_ticks(self.scale.low, self.scale.high, 4)
        if len(ticks) > 3:
            ticks = [t for i, t in enumerate(ticks) if (i - ticks.index(0.0)) % 2 == 0]
        return ticks
