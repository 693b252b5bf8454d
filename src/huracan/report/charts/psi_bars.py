"""Population stability index of each column, with the line beyond which it lies by chance as seldom as was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from huracan.mlops.drift_report import ColumnDrift
from huracan.report.formatting import is_number, number

__all__ = ["psi_bars"]


def psi_bars(columns: Sequence[ColumnDrift]) -> Markup:
    """Draw the index of each column as a bar and its own critical value as a line; what is beyond it is red.

    Bars longer than three times the largest critical value are cut there, so that one column does not hide the others.
    """
    rows = [(c.feature, c.psi, c.psi_critical) for c in columns if c.psi is not None and is_number(c.psi)]
    if not rows:
        return Markup('<p class="empty">No index could be computed.</p>')
    lines = [critical for _, _, critical in rows if critical is not None and is_number(critical)]
    largest = max(psi for _, psi, _ in rows)
    reach = min(largest, 3.0 * max(lines)) if lines else largest
    reach = max(reach, *lines, 1e-12)
    items = Markup("")
    for feature, psi, critical in rows:
        known = critical is not None and is_number(critical)
        beyond = known and critical is not None and psi > critical
        line = (
            Markup('<i class="noise" style="left:{}%"></i>').format(f"{100 * min(critical / reach, 1.0):.2f}")
            if known and critical is not None
            else ""
        )
        items += Markup(
            '<li><span class="name">{name}</span>'
            '<span class="track"><span class="fill {css}" style="width:{w}%"></span>{line}</span>'
            '<span class="value">{cut}{psi}{of}</span></li>'
        ).format(
            name=feature,
            css="minus" if beyond else "unsure",
            w=f"{100 * min(psi / reach, 1.0):.2f}",
            line=line,
            cut="→ " if psi > reach else "",
            psi=Markup("<b>{}</b>").format(number(psi, 3)) if beyond else number(psi, 3),
            of=Markup("<small> of {}</small>").format(number(critical, 3)) if known else "",
        )
    return Markup('<ol class="bars noisy psi">{}</ol>').format(items)
