"""What the page of a drift check says, before it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from huracan.mlops.drift_report import ColumnDrift, DriftReport

__all__ = ["DriftContent", "by_strength"]


def by_strength(report: DriftReport) -> list[ColumnDrift]:
    """Columns, strongest evidence first; those that could not be tested last."""
    return sorted(report.columns, key=lambda c: (not c.drifted, 2.0 if c.q_value is None else c.q_value, c.feature))


@dataclass(frozen=True)
class DriftContent:
    """A drift check, and how it came about over time.

    Attributes
    ----------
    report : of everything that was held against the reference.
    windows : reports of stretches of it, in the order of time, each with its ``span``; those without one are not drawn.
    title : what was checked. created_at : UTC. facts : label -> value, shown under the verdict: files, recipe, settings.
    """

    report: DriftReport
    title: str
    created_at: datetime
    windows: tuple[DriftReport, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def spans(self) -> list[tuple[datetime, datetime]]:
        """First and last time of each window that has them."""
        return [(_time(w.span[0]), _time(w.span[1])) for w in self._dated if w.span is not None]

    @property
    def strongest(self) -> list[ColumnDrift]:
        """Columns of the report, strongest evidence first."""
        return by_strength(self.report)

    def q_values(self, features: list[str]) -> NDArray[np.float64]:
        """(features, windows) q-values of the dated windows; nan where one could not be tested."""
        found = np.full((len(features), len(self._dated)), np.nan)
        place = {feature: i for i, feature in enumerate(features)}
        for column, window in enumerate(self._dated):
            for one in window.columns:
                if one.feature in place and one.q_value is not None:
                    found[place[one.feature], column] = one.q_value
        return found

    @property
    def _dated(self) -> list[DriftReport]:
        return [window for window in self.windows if window.span is not None]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
