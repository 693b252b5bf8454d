"""The page of a drift check: it says what the report says, draws it to scale, and is whole and harmless whatever names hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huracan.mlops.drift_report import ColumnDrift, DistributionPair, DriftReport, JointDrift
from huracan.report.charts.distribution_pair import bin_shares_chart, distribution_pair_chart
from huracan.report.charts.psi_bars import psi_bars
from huracan.report.charts.q_value_map import q_value_map
from huracan.report.drift_content import DriftContent
from huracan.report.drift_page import render_drift_page, write_drift_page

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTILE = "<script>document.title='owned'</script>\"'&"
Read = Callable[[str], Any]


def pair_of(feature: str, *, at: float | None = 1.0) -> DistributionPair:
    values = np.linspace(-3.0, 3.0, 61)
    before, now = (1.0 / (1.0 + np.exp(-2.0 * (values - shift))) for shift in (0.0, 0.5))
    shares = np.full(10, 0.1)
    return DistributionPair(
        feature, values, before, now, at, tuple(range(9)), shares, shares[::-1] + np.linspace(-0.05, 0.05, 10)
    )


def report_of(n: int = 3, *, q: float = 0.001, day: int = 0, **changes: Any) -> DriftReport:
    columns = tuple(
        ColumnDrift(
            f"feature_{i}",
            "number",
            statistic=0.2,
            p_value=q * (i + 1),
            q_value=min(1.0, q * (i + 1) ** 4),
            psi=0.3 / (i + 1),
            psi_p_value=0.01,
            psi_critical=0.12,
            wasserstein=0.5,
            n_eff=120.4,
            at=1.0,
            direction="higher",
            drifted=q * (i + 1) ** 4 <= 0.05,
        )
        for i in range(n)
    )
    start = NOW + timedelta(days=day)
    told: dict[str, Any] = {
        "columns": columns,
        "joint": JointDrift(0.02, True, "distance from the centre", 900, 12),
        "missing": (),
        "new": (),
        "renamed": {},
        "n_reference": 5_000,
        "n_current": 500,
        "alpha": 0.05,
        "correction": "fdr_by",
        "dependence": "auto",
        "assumption": "The memory of the series is short beside the reference.",
        "span": (start.isoformat(), (start + timedelta(hours=23)).isoformat()),
        "distributions": {column.feature: pair_of(column.feature) for column in columns},
    }
    return DriftReport(**{**told, **changes})


def page_of(report: DriftReport, *windows: DriftReport, **changes: Any) -> str:
    return render_drift_page(DriftContent(report, changes.pop("title", "week 3"), NOW, windows, **changes))


def test_it_says_what_was_found_and_lists_every_column_strongest_first(read: Read) -> None:
    report = report_of()
    page = read(page_of(report, facts={"recipe": "abc"}))
    assert report.sentence[1:] in page.text
    assert (
        "All columns together drifted: p = 0.02, most in distance from the centre, 900 rows (12 rows with a missing"
        in page.text
    )
    assert report.assumption in page.text
    table = page_of(report)
    table = table[table.index('id="columns"') :]
    order = re.findall(r'<th scope="row">(feature_\d)', table)
    assert order == sorted(order)
    assert table.count('<span class="badge error">drifted</span>') == len(report.drifted_features) == 2
    assert len(page.ids) == len(set(page.ids))


def test_names_are_text_whatever_they_hold(read: Read) -> None:
    columns = tuple(replace(c, feature=HOSTILE + str(i), note=HOSTILE) for i, c in enumerate(report_of().columns))
    hostile = report_of(columns=columns, missing=(HOSTILE,), new=(HOSTILE,), renamed={HOSTILE: HOSTILE}, notes=(HOSTILE,))
    hostile = replace(hostile, distributions={c.feature: pair_of(c.feature) for c in columns})
    page = read(
        page_of(hostile, hostile, replace(hostile, span=report_of(day=1).span), title=HOSTILE, facts={HOSTILE: HOSTILE})
    )
    assert [name for name, _ in page.tags].count("script") == 1
    assert page.text.count(HOSTILE) > 8


@pytest.mark.parametrize(
    "report",
    [
        report_of(q=0.9),
        report_of(0, joint=None),
        report_of(joint=JointDrift(None, False, note="fewer than 100 whole rows.")),
        report_of(columns=(ColumnDrift("empty", "number", note="all missing"),), distributions={}),
        DriftReport.from_json(report_of().to_json()),
    ],
    ids=["nothing shown", "no columns", "joint not run", "not tested", "read from JSON"],
)
def test_reports_of_every_shape_are_drawn(report: DriftReport, read: Read) -> None:
    page = read(page_of(report, report, replace(report, span=None)))
    assert not re.search(r"None(?! of)", page.text)
    assert "nan" not in page.text.split()
    assert ("Drifted" in page.text) == report.drifted


def test_a_cell_stands_where_its_window_lies_and_is_drawn_by_its_q_value() -> None:
    days = [(NOW + timedelta(days=2 * i), NOW + timedelta(days=2 * i + 1)) for i in range(3)]  # a day between any two
    q = np.array([[0.04, 1e-6, np.nan], [0.06, 0.004, 0.2]])
    drawn = str(q_value_map(["a", "b"], days, q, alpha=0.05))
    cells = dict(re.findall(r'<path class="cell ([^"]+)"(?: style="[^"]*")? d="([^"]*)"', drawn))
    assert cells["unknown"] == "M800 0h200v1h-200z"
    strengths = dict(re.findall(r'style="opacity:([\d.]+)" d="([^"]*)"', drawn))
    assert strengths == {"0.3": "M0 0h200v1h-200z", "0.6": "M400 1h200v1h-200z", "1.0": "M400 0h200v1h-200z"}
    assert "3 cells drifted; smallest q-value &lt;0.0001" in drawn


def test_windows_are_mapped_in_order_of_time_and_rows_in_that_of_the_reference() -> None:
    page = page_of(report_of(), *(report_of(day=day, q=q) for day, q in enumerate((0.9, 0.001, 0.9))))
    assert re.findall(r"<li>(feature_\d)</li>", page[page.index('id="when"') :]) == ["feature_0", "feature_1", "feature_2"]
    assert "Each of 3 windows" in page and "2 columns drifted in one of them" in page
    assert 'id="when"' not in page_of(report_of(), report_of())  # one window is no course of time


def test_all_together_have_a_row_and_what_is_certain_is_drawn_though_it_has_no_q_value() -> None:
    certain = ColumnDrift("gone", "number", drifted=True, note="missing in the window")
    windows = [report_of(day=day, q=0.9, joint=JointDrift(0.2, False, "axis 1", q_value=0.8)) for day in range(3)]
    windows[1] = replace(windows[1], columns=(*windows[1].columns[:2], certain))
    content = DriftContent(replace(windows[1], alpha=0.05), "file", NOW, tuple(windows))
    assert content.strongest[0] == certain and content.joint_q_values().tolist() == [0.8] * 3
    assert np.array_equal(content.q_values(["gone"])[0], [np.nan, 0.0, np.nan], equal_nan=True)
    page = render_drift_page(content)
    assert "<li>all together</li>" in page and "1 column drifted in one of them" in page
    assert "q = 0.8, p = 0.2, most in axis 1" in page


def test_the_line_joins_both_curves_where_the_evidence_is_strongest() -> None:
    pair = pair_of("x", at=1.0)
    drawn = str(distribution_pair_chart(pair))
    mark = re.search(r'class="supremum" d="M([\d.]+) ([\d.]+)V([\d.]+)"', drawn)
    assert mark is not None
    at = int(np.searchsorted(pair.values, 1.0))
    shown = 1.0 - np.array([float(mark[2]), float(mark[3])]) / 500
    assert np.allclose(shown, [pair.reference[at], pair.current[at]], atol=1e-4)
    assert "supremum" not in str(distribution_pair_chart(pair_of("x", at=None)))


def test_bars_of_shares_stand_to_scale_and_categories_have_their_names() -> None:
    shares = np.array([0.5, 0.25, 0.25])
    pair = DistributionPair(
        "venue", np.empty(0), np.empty(0), np.empty(0), None, ("spot", "perp", "other"), shares, shares[::-1]
    )
    drawn = str(bin_shares_chart(pair))
    tops = [float(y) for y in re.findall(r"V([\d.]+)h", re.search(r'class="share before" d="([^"]*)"', drawn)[1])]  # type: ignore[index]
    assert np.allclose((500 - np.array(tops)) / (500 - tops[0]) * 0.5, shares, atol=1e-3)
    assert "spot" in drawn and "category spot, 50.0% to 25.0%" in drawn


def test_an_index_beyond_its_own_line_is_marked_and_one_giant_hides_no_other() -> None:
    columns = report_of(3).columns
    giant = replace(columns[0], feature="giant", psi=40.0)
    drawn = str(psi_bars([giant, *columns]))
    widths = [float(w) for w in re.findall(r'style="width:([\d.]+)%', drawn)]
    lines = [float(x) for x in re.findall(r'class="noise" style="left:([\d.]+)%', drawn)]
    beyond = [c == "minus" for c in re.findall(r'class="fill (\w+)"', drawn)]
    assert beyond == [w > x for w, x in zip(widths, lines)] == [True, True, True, False]
    assert widths[0] == 100.0 and lines[0] > 30.0


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    target = write_drift_page(DriftContent(report_of(), "t", NOW), tmp_path / "drift.html")
    assert target.read_text().rstrip().endswith("</html>")
    assert len(target.read_bytes()) < 200_000
