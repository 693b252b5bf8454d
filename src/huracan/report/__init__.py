"""The report, and the pages of an A/B test, of a search and of an agent: self-contained HTML."""

from huracan.report.agent_page import render_agent_page, write_agent_page
from huracan.report.comparison_page import render_comparison_page, write_comparison_page
from huracan.report.content import HoldOutResult, PlantedEdge, ReportContent
from huracan.report.html import render_report
from huracan.report.search_content import (
    HyperparameterImportance,
    SearchContent,
    SearchJudgement,
    SearchMember,
    Slice,
)
from huracan.report.search_page import render_search_page
from huracan.report.trained_agent_page import render_trained_agent_page

__all__ = [
    "HoldOutResult",
    "HyperparameterImportance",
    "PlantedEdge",
    "ReportContent",
    "SearchContent",
    "SearchJudgement",
    "SearchMember",
    "Slice",
    "render_agent_page",
    "render_comparison_page",
    "render_report",
    "render_search_page",
    "render_trained_agent_page",
    "write_agent_page",
    "write_comparison_page",
]
