"""``render_comparison_page``: what an A/B test of models found, as one self-contained HTML page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from huracan.baselines.ab_result import ABTestResult
from huracan.report.comparison_view import comparison_view
from huracan.report.page_parts import page_parts, write_page

__all__ = ["render_comparison_page", "write_comparison_page"]

_NO_FACTS: Mapping[str, str] = MappingProxyType({})


def render_comparison_page(
    result: ABTestResult, *, title: str = "A/B test", created_at: datetime | None = None, facts: Mapping[str, str] = _NO_FACTS
) -> str:
    """Write one HTML file that opens without a network, in light and dark, on a phone and on paper.

    Parameters
    ----------
    result : what to show; names in it are escaped, whatever they hold.
    title : what was compared, such as the name of a data set. created_at : UTC; now where it is not given.
    facts : label -> value, shown under the verdict: data, versions, hashes.

    Returns
    -------
    The page: the decision first, then what was measured of the dependence over time, the differences with intervals that
    hold together, the confidence set, differences over time, regimes and Sharpe ratios where there are any, and every pair.
    """
    head, mark, rest = result.sentence.partition(": ")
    cut = bool(rest) and len(head) <= 160
    return page_parts("comparison.html.j2", "comparison.css").render(
        title=title,
        created_at=datetime.now(UTC) if created_at is None else created_at,
        facts=facts,
        headline=(head + mark.strip(), rest) if cut else (result.sentence, ""),
        ab=comparison_view(result),
    )


def write_comparison_page(
    result: ABTestResult,
    path: str | os.PathLike[str],
    *,
    title: str = "A/B test",
    created_at: datetime | None = None,
    facts: Mapping[str, str] = _NO_FACTS,
) -> Path:
    """Write :func:`render_comparison_page` to ``path``, whole or not at all, and return the path.

    Raises
    ------
    StorageError : the file cannot be written.
    """
    return write_page(render_comparison_page(result, title=title, created_at=created_at, facts=facts), path)
