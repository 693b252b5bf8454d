"""What an agent does over two numbers of its observation, as a map of coloured cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from markupsafe import Markup

from huracan.report.charts.frame import Tick, plot
from huracan.report.charts.scales import Scale, nice_ticks
from huracan.report.formatting import number, percent, tick_decimals

__all__ = ["action_legend", "action_map_chart"]

_PALE = (0.3, 0.55, 0.8, 1.0)
_STANDING = "standing position"


def action_map_chart(cells: pl.DataFrame) -> Markup:
    """Draw ``[x_name, y_name, x, y, action, action_name, advantage]``, a row a cell.

    Colour is the action; the less it is worth above the next best, the paler it is, in four steps of equal size.
    """
    if cells.is_empty():
        return Markup('<p class="empty">No map.</p>')
    x_name, y_name = str(cells["x_name"][0]), str(cells["y_name"][0])
    xs, ys = (np.unique(cells[side].to_numpy()) for side in ("x", "y"))
    column, row = (np.searchsorted(at, cells[side].to_numpy()) for side, at in (("x", xs), ("y", ys)))
    gain = cells["advantage"].cast(pl.Float64).fill_null(0.0).to_numpy()
    finite = np.where(np.isfinite(gain), gain, gain[np.isfinite(gain)].max(initial=0.0))
    shade = (
        np.searchsorted(np.quantile(finite, [0.25, 0.5, 0.75]), finite, side="right")
        if np.ptp(finite)
        else np.full(len(gain), 3)
    )
    names = cells["action_name"].to_list()
    tall = len(ys)
    paths: dict[tuple[str, int], str] = {}
    for name, step, i, j in zip(names, shade.tolist(), column.tolist(), row.tolist()):
        key = (str(name), int(step))
        paths[key] = paths.get(key, "") + f"M{i} {tall - 1 - j}h1v1h-1z"
    known = list(dict.fromkeys(map(str, names)))
    marks = Markup("").join(
        Markup('<path class="act" style="{};opacity:{}" d="{}"/>').format(_fill(name), _PALE[step], path)
        for (name, step), path in paths.items()
    )
    shares = ", ".join(f"{name} {percent(names.count(name) / len(names), 0)}" for name in known)
    return plot(
        marks,
        size=(len(xs), tall),
        label=f"What the agent does, {x_name} across, {y_name} up; of the cells {shares}",
        x_ticks=_numbers(float(xs[0]), float(xs[-1]), len(xs), across=True),
        y_ticks=_levels(ys) if y_name == _STANDING else _numbers(float(ys[0]), float(ys[-1]), tall, across=False),
        height=f"{2.3 * tall:.3g}rem" if tall <= 6 else "13rem",
        grid=False,
        kind="acts",
    )


def action_legend(names: Sequence[str]) -> Markup:
    """Each action with its colour."""
    return Markup('<ul class="legend">{}</ul>').format(
        Markup("").join(
            Markup('<li><i class="key" style="{}"></i>{}</li>').format(_fill(name).replace("fill", "background"), name)
            for name in names
        )
    )


def _fill(action: str) -> str:
    """Short is orange, long is blue, weaker where the position is smaller; doing nothing is grey."""
    word, _, size = action.partition(" ")
    tone = {"sell": "volatile", "short": "volatile", "buy": "trending", "long": "trending"}.get(word)
    if tone is None:
        return "fill:color-mix(in srgb, var(--soft) 45%, var(--card))"
    try:
        share = min(abs(float(size)), 1.0) if size else 1.0
    except ValueError:
        share = 1.0
    return f"fill:color-mix(in srgb, var(--{tone}) {30 + 70 * share:.0f}%, var(--soft))"


def _levels(weights: np.ndarray) -> list[Tick]:
    """Names of the standing positions; each stands in the middle of its cells."""
    tall = len(weights)
    extreme = max(abs(float(w)) for w in weights) or 1.0

    def said(weight: float) -> str:
        word = "flat" if weight == 0 else "long" if weight > 0 else "short"
        return word if weight == 0 or (abs(weight) == extreme and tall <= 3) else f"{word} {abs(weight):g}"

    return [Tick((tall - i - 0.5) / tall, said(float(w)), "named") for i, w in enumerate(weights)]


def _numbers(low: float, high: float, cells: int, *, across: bool) -> list[Tick]:
    """Round numbers on an axis whose first and last value stand in the middle of its first and last cell."""
    half = (high - low) / max(cells - 1, 1) / 2.0 or 0.5
    scale = Scale(low - half, high + half)
    ticks = nice_ticks(low, high, 4)
    decimals = tick_decimals(ticks)
    return [Tick(scale(t) if across else 1.0 - scale(t), number(t, decimals if t else 0)) for t in ticks]
