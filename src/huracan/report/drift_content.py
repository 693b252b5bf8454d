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
    """Columns, strongest evidence first: what drifted without a test before it, what could not be tested last."""

    def strength(column: ColumnDrift) -> tuple[bool, float, str]:
        untested = -1.0 if column.drifted else 2.0
        return not column.drifted, untested if column.q_value is None else column.q_value, column.feature

    return sorted(report.columns, key=strength)


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
        """(features, windows) q-values of the dated windows: 0 of what drifted without a test, nan of what was not tested."""
        found = np.full((len(features), len(self._dated)), np.nan)
        place = {feature: i for i, feature in enumerate(features)}
        for column, window in enumerate(self._dated):
            for one in window.columns:
                if one.feature in place and (one.q_value is not None or one.drifted):
                    found[place[one.feature], column] = one.q_value or 0.0
        return found

    def joint_q_values(self) -> NDArray[np.float64]:
        """(windows,) q-values of all columns together; nan where they could not be tested."""
        joint = [None if window.joint is None else window.joint.q_value for window in self._dated]
        return np.array([np.nan if q is None else q for q in joint], dtype=np.float64)

    @property
    def _dated(self) -> list[DriftReport]:
        return [window for window in self.windows if window.span is not None]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
