"""The report: one self-contained HTML page."""

from huracan.report.content import HoldOutResult, PlantedEdge, ReportContent
from huracan.report.html import render_report

__all__ = ["HoldOutResult", "PlantedEdge", "ReportContent", "render_report"]
