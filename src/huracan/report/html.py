"""``render_report``: one self-contained HTML page."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import polars as pl
from jinja2 import Environment, StrictUndefined, Template

from huracan.report.content import ReportContent

__all__ = ["render_report"]


def render_report(content: ReportContent) -> str:
    """Write the report as one HTML file that loads nothing."""
    frames = {
        "Leaderboard": content.leaderboard,
        "Skill by regime": content.regime_skill,
        "Importance": content.importance,
        "Calibration": content.calibration,
        "Data quality": content.quality.to_frame(),
    }
    tables = {
        "Facts": [list(item) for item in content.facts.items()],
        **{name: _cells(frame) for name, frame in frames.items()},
        "What was tried": [list(item) for item in content.tried.items()],
        "Versions": [list(item) for item in content.provenance.items()],
    }
    return _template().render(content=content, tables=tables)


def _cells(frame: pl.DataFrame) -> list[list[object]]:
    return [list(frame.columns), *map(list, frame.iter_rows())]


@cache
def _template() -> Template:
    source = (files("huracan.report") / "templates" / "report.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
