"""Which features drifted when: a map of q-values, features down, time across."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from huracan.report.charts.scales import time_ticks
from huracan.report.formatting import moment, p_value

__all__ = ["map_legend", "q_value_map", "shades"]

_OPACITY = (0.3, 0.6, 1.0)


def shades(alpha: float) -> tuple[float, float, float]:
    """Upper ends of the three steps in which drift is drawn, palest first.

    >>> shades(0.05)
    (0.05, 0.005, 5e-05)
    """
    return alpha, alpha / 10.0, alpha / 1_000.0


def q_value_map(
    features: Sequence[str], windows: Sequence[tuple[datetime, datetime]], q_values: NDArray[np.float64], *, alpha: float
) -> Markup:
    """Draw a cell for each feature and window: empty where nothing was shown, the stronger the smaller the q-value.

    Parameters
    ----------
    features : names, one a row. windows : first and last time of each column, in order; gaps between them stay open.
    q_values : (features, windows); nan where a feature could not be tested. alpha : level at which one counts as drifted.
    """
    if not len(features) or not len(windows):
        return Markup('<p class="empty">No window was tested.</p>')
    first, last = (np.array([w[side].timestamp() for w in windows]) for side in (0, 1))
    start, end = float(first[0]), float(last.max())
    span = (end - start) or 1.0
    left, wide = 1000 * (first - start) / span, np.maximum(1000 * (last - first) / span, 1.0)
    steps = shades(alpha)
    paths = ["", "", ""]
    unknown = ""
    for row, values in enumerate(q_values.tolist()):
        for column, q in enumerate(values):
            cell = f"M{left[column]:.5g} {row}h{wide[column]:.5g}v1h-{wide[column]:.5g}z"
            if not np.isfinite(q):
                unknown += cell
            elif q <= alpha:
                paths[sum(q <= step for step in steps) - 1] += cell
    cells = Markup("").join(
        Markup('<path class="cell drift" style="opacity:{}" d="{}"/>').format(opacity, path)
        for opacity, path in zip(_OPACITY, paths)
        if path
    )
    cells += Markup('<path class="cell unknown" d="{}"/>').format(unknown) if unknown else Markup("")
    names = Markup("").join(Markup("<li>{}</li>").format(name) for name in features)
    found = int((q_values <= alpha).sum())
    known = q_values[np.isfinite(q_values)]
    least = f"; smallest q-value {p_value(float(known.min()))}" if known.size else ""
    said = f"{len(features)} features in {len(windows)} windows from {moment(windows[0][0])}: {found} cells drifted{least}"
    ticks = [((at - start) / span, text) for at, text in time_ticks(start, end, 6)]
    axis = Markup("").join(
        Markup('<span{} style="left:{}%">{}</span>').format(
            Markup(' class="spare"') if len(ticks) > 4 and i % 2 else "", f"{100 * at:.2f}", text
        )
        for i, (at, text) in enumerate(ticks)
        if 0.03 < at < 0.97
    )
    return Markup(
        '<div class="q-map" style="--n:{n}"><ol aria-hidden="true">{names}</ol>'
        '<svg viewBox="0 0 1000 {n}" preserveAspectRatio="none" role="img" aria-label="{said}">{cells}</svg>'
        '<div class="axis-x" aria-hidden="true">{axis}</div></div>'
    ).format(n=len(features), names=names, said=said, cells=cells, axis=axis)


def map_legend(alpha: float) -> Markup:
    """What the steps mean."""
    keys = [(f"q ≤ {step:g}", f"background:var(--bad);opacity:{opacity}") for step, opacity in zip(shades(alpha), _OPACITY)]
    keys += [("nothing shown", "background:var(--faint)"), ("could not be tested", "background:var(--soft);opacity:.35")]
    return Markup('<ul class="legend">{}</ul>').format(
        Markup("").join(Markup('<li><i class="key" style="{}"></i>{}</li>').format(style, name) for name, style in keys)
    )
