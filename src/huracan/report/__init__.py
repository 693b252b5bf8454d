"""The report and the page of an A/B test: self-contained HTML."""

from huracan.report.comparison_page import render_comparison_page, write_comparison_page
from huracan.report.content import HoldOutResult, PlantedEdge, ReportContent
from huracan.report.html import render_report

__all__ = [
    "HoldOutResult",
    "PlantedEdge",
    "ReportContent",
    "render_comparison_page",
    "render_report",
    "write_comparison_page",
]
