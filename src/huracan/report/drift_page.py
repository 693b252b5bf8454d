"""``render_drift_page``: what a drift check found, as one self-contained HTML page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from huracan.mlops.drift_report import ColumnDrift, DriftReport
from huracan.report.charts.distribution_pair import bin_shares_chart, distribution_pair_chart
from huracan.report.charts.psi_bars import psi_bars
from huracan.report.charts.q_value_map import map_legend, q_value_map
from huracan.report.drift_content import DriftContent
from huracan.report.formatting import count, number, p_value, plural
from huracan.report.page_parts import page_parts, write_page

__all__ = ["render_drift_page", "write_drift_page"]

_MOST_PAIRS, _MOST_ROWS, _MOST_BARS = 12, 60, 60
_FEW = 6
_CORRECTIONS = {
    "fdr_by": "Benjamini and Yekutieli",
    "fdr_bh": "Benjamini and Hochberg",
    "holm": "Holm",
    "hochberg": "Hochberg",
    "bonferroni": "Bonferroni",
    "none": "no correction",
}


def render_drift_page(content: DriftContent) -> str:
    """Write one HTML file that opens without a network, in light and dark, on a phone and on paper.

    Returns
    -------
    The page: what drifted first, then when (a map of q-values), the distributions of the columns with the strongest evidence,
    the stability index of each with its critical line, every column, and what the p-values rest on.
    """
    report, strongest = content.report, content.strongest
    drawn = strongest[: max(_FEW, min(len(report.drifted_features), _MOST_PAIRS))]
    return page_parts("drift.html.j2", "drift.css").render(
        title=content.title,
        created_at=content.created_at,
        meaning=_meaning(report),
        sentence=report.sentence,
        tiles=_tiles(content),
        facts=content.facts,
        map=_map(content),
        pairs=[pair for column in drawn if (pair := _pair(report, column)) is not None],
        psi=psi_bars(sorted(report.columns, key=lambda c: -(c.psi or 0.0))[:_MOST_BARS]),
        n_bars=_MOST_BARS,
        n_columns=len(report.columns),
        alpha=f"{report.alpha:g}",
        correction=_CORRECTIONS.get(report.correction, report.correction),
        rows=[_row(column) for column in strongest],
        missing=report.missing,
        new=report.new,
        renamed=sorted(report.renamed.items()),
        joint=_joint(report),
        assumption=report.assumption,
        notes=report.notes,
    )


def write_drift_page(content: DriftContent, path: str | os.PathLike[str]) -> Path:
    """Write :func:`render_drift_page` to ``path``, whole or not at all, and return the path.

    Raises
    ------
    StorageError : the file cannot be written.
    """
    return write_page(render_drift_page(content), path)


def _meaning(report: DriftReport) -> dict[str, str]:
    if report.drifted:
        return {"name": "bad", "sign": "≠", "phrase": "Drifted"}
    return {"name": "fine", "sign": "=", "phrase": "No drift shown"}


def _tiles(content: DriftContent) -> list[dict[str, str]]:
    report, top = content.report, content.strongest[0] if content.strongest else None
    found = len(report.drifted_features)
    joint = report.joint
    return [
        {
            "name": "Columns that drifted",
            "value": f"{count(found)} of {count(len(report.columns))}",
            "note": f"at level {report.alpha:g}, {_CORRECTIONS.get(report.correction, report.correction)}",
        },
        {
            "name": "Strongest evidence",
            "value": top.feature if top is not None and (top.drifted or top.q_value is not None) else "none",
            "note": "no column could be tested" if top is None else _evidence(top),
        },
        {
            "name": "All columns together",
            "value": "not tested" if joint is None or joint.q_value is None else _equal_to(joint.q_value, "q"),
            "note": "" if joint is None else joint.note if joint.q_value is None else f"most in {joint.where}",
        },
        {"name": "Moments", "value": count(report.n_current), "note": f"against {count(report.n_reference)} of the reference"},
    ]


def _map(content: DriftContent) -> dict[str, Any] | None:
    """The map over time: of many columns those with the smallest q-value anywhere, in the order of the reference."""
    if len(content.spans) < 2:
        return None
    features = [column.feature for column in content.report.columns]
    q = content.q_values(features)
    least = np.where(np.isfinite(q), q, 2.0).min(axis=1) if q.size else np.empty(0)
    kept = np.sort(np.argsort(least, kind="stable")[:_MOST_ROWS])
    shown = [features[i] for i in kept]
    ever = int((least <= content.report.alpha).sum())
    drawn, joint = q[kept], content.joint_q_values()
    if np.isfinite(joint).any():
        shown, drawn = [*shown, "all together"], np.vstack([drawn, joint])
    return {
        "chart": q_value_map(shown, content.spans, drawn, alpha=content.report.alpha),
        "legend": map_legend(content.report.alpha),
        "n_windows": len(content.spans),
        "ever": plural(ever, "column"),
        "left_out": len(features) - len(kept),
    }


def _pair(report: DriftReport, column: ColumnDrift) -> dict[str, Any] | None:
    pair = report.distributions.get(column.feature)
    if pair is None:
        return None
    said = [] if column.q_value is None else [_equal_to(column.q_value, "q")]
    if column.wasserstein is not None:
        said.append(f"moved by {number(column.wasserstein, 2)} sd")
    if column.n_eff is not None:
        said.append(f"{count(round(column.n_eff))} independent moments")
    return {
        "feature": column.feature,
        "css": "minus" if column.drifted else "none",
        "word": "drifted" if column.drifted else "not shown to drift",
        "said": ", ".join(said),
        "chart": distribution_pair_chart(pair) if column.kind == "number" else Markup(""),
        "bins": bin_shares_chart(pair),
    }


def _joint(report: DriftReport) -> str:
    joint = report.joint
    if joint is None:
        return ""
    if joint.p_value is None:
        return f"All columns together were not tested: {joint.note}"
    left_out = f" ({plural(joint.left_out, 'row')} with a missing value left out)" if joint.left_out else ""
    drifted = "drifted" if joint.drifted else "are not shown to have drifted"
    where = f"most in {joint.where}, {count(joint.n_rows)} rows{left_out}"
    q = "" if joint.q_value is None else f"{_equal_to(joint.q_value, 'q')}, "
    return f"All columns together {drifted}: {q}{_equal_to(joint.p_value)}, {where}."


def _evidence(column: ColumnDrift) -> str:
    if column.q_value is None:
        return column.note if column.drifted else "no column could be tested"
    return f"{_equal_to(column.q_value, 'q')}{f', {column.direction} now' if column.direction else ''}"


def _equal_to(p: float, name: str = "p") -> str:
    return f"{name} = {p_value(p)}".replace("= <", "< ")


def _row(column: ColumnDrift) -> dict[str, Any]:
    return {
        "feature": column.feature,
        "kind": column.kind,
        "drifted": column.drifted,
        "direction": column.direction,
        "statistic": number(column.statistic, 3 if column.kind == "number" else 1),
        "at": "–" if column.at is None else f"{column.at:.4g}".replace("-", "−"),
        "p": p_value(column.p_value) if column.p_value is not None else "–",
        "q": p_value(column.q_value) if column.q_value is not None else "–",
        "psi": number(column.psi, 3),
        "psi_p": p_value(column.psi_p_value) if column.psi_p_value is not None else "–",
        "wasserstein": number(column.wasserstein, 2),
        "n_eff": "–" if column.n_eff is None else count(round(column.n_eff)),
        "note": column.note,
    }
