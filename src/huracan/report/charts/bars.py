"""Bars that are read with their numbers: importance, weights, and the share of a planted edge."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from markupsafe import Markup

from huracan.report.formatting import is_number, number, percent, suitable_decimals

__all__ = ["bars_over_noise", "gauge", "importance_bars", "weight_bars"]


def importance_bars(importance: pl.DataFrame, most: int = 20) -> Markup:
    """Draw the ``most`` largest of ``[feature, importance]``; shares of the whole where nothing is negative."""
    rows = [(str(name), float(v)) for name, v in importance.select("feature", "importance").iter_rows() if is_number(v)]
    rows.sort(key=lambda row: -abs(row[1]))
    total = sum(abs(v) for _, v in rows)
    if not total > 0.0:
        return Markup("")
    largest, as_share = abs(rows[0][1]), all(v >= 0.0 for _, v in rows)
    decimals = suitable_decimals([v for _, v in rows], 3)
    items = Markup("").join(
        Markup(
            '<li><span class="name">{name}</span><span class="track"><span class="fill {c}" style="width:{w}%"></span></span>'
            '<span class="value">{v}</span></li>'
        ).format(
            name=name,
            c="minus" if v < 0 else "",
            w=f"{100 * abs(v) / largest:.2f}",
            v=percent(v / total) if as_share else number(v, decimals, signed=True),
        )
        for name, v in rows[:most]
    )
    return Markup('<ol class="bars">{}</ol>').format(items)


def gauge(share: float, said: str) -> Markup:
    """Draw how much of a whole was reached, between nothing and all of it."""
    return Markup(
        '<div class="gauge" role="img" aria-label="{s}"><span class="fill" style="width:{w}%"></span></div>'
        '<div class="gauge-axis" aria-hidden="true"><span>nothing</span><span>half</span><span>all of it</span></div>'
    ).format(s=said, w=f"{100 * min(max(share, 0.0), 1.0):.1f}")


def weight_bars(weights: Sequence[tuple[str, float]]) -> Markup:
    """Draw names with their shares of a whole, in the order given."""
    largest = max((share for _, share in weights), default=0.0) or 1.0
    items = Markup("").join(
        Markup(
            '<li><span class="name">{n}</span><span class="track"><span class="fill" style="width:{w}%"></span></span>'
            '<span class="value">{v}</span></li>'
        ).format(n=name, w=f"{100 * share / largest:.2f}", v=percent(share))
        for name, share in weights
    )
    return Markup('<ol class="bars">{}</ol>').format(items)


def bars_over_noise(importance: pl.DataFrame, noise: float | None) -> Markup:
    """Draw ``[name, importance]``; what is not above ``noise`` is pale, and a line stands where noise ends.

    Several are written as shares of their sum; of one alone is said on which side of the line it is.
    """
    rows = [(str(name), float(v)) for name, v in importance.select("name", "importance").iter_rows() if is_number(v)]
    reach = max([v for _, v in rows] + [noise or 0.0], default=0.0) or 1.0
    total = sum(v for _, v in rows) or 1.0
    mark = (
        Markup("") if noise is None else Markup('<i class="noise" style="left:{}%"></i>').format(f"{100 * noise / reach:.2f}")
    )
    items = Markup("")
    for name, v in rows:
        clear = noise is not None and v > noise
        said = percent(v / total, 0) if len(rows) > 1 else "clear" if clear else "noise"
        items += Markup(
            '<li><span class="name">{n}</span><span class="track"><span class="fill {c}" style="width:{w}%"></span>{m}</span>'
            '<span class="value">{v}</span></li>'
        ).format(
            n=name,
            c="" if clear or noise is None else "unsure",
            w=f"{100 * v / reach:.2f}",
            m=mark,
            v=Markup("<b>{}</b> ✱").format(said) if clear else said,
        )
    return Markup('<ol class="bars noisy">{}</ol>').format(items)
