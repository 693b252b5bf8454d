"""Bars that are read with their numbers: feature importance, and the share of a planted edge."""

from __future__ import annotations

import polars as pl
from markupsafe import Markup

from huracan.report.formatting import is_number, number, percent, suitable_decimals

__all__ = ["gauge", "importance_bars"]


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
