"""What is trained on Elec2, and strategies that train by the clock."""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.drift_checks.elec2_rows import FIRST, Elec2
from huracan.ensembles import Hedge

__all__ = ["Version", "Vote", "boosting", "by_the_clock", "train"]

RECENT = 90 * 48
"""Rows of a season, for the member that forgets."""

KEPT = 3
"""Versions that vote: the newest and two before it."""


def boosting(task: Elec2, first: int, last: int, begin: int, end: int) -> NDArray[np.float64]:
    """A small LightGBM of rows ``first`` to ``last``: chance of a rise in rows ``begin`` to ``end``."""
    model = lightgbm.LGBMClassifier(
        n_estimators=80, num_leaves=15, learning_rate=0.08, min_child_samples=40, reg_lambda=5.0, n_jobs=1, verbose=-1
    )
    model.fit(task.X[first:last], task.y[first:last])
    return np.asarray(model.predict_proba(task.X[begin:end]))[:, 1]


@dataclass(frozen=True)
class Version:
    """What was trained at one row.

    Attributes
    ----------
    row : where it takes over. forecasts : (members, n) chance of a rise, NaN before ``row``.
    constant : columns that had one value in all rows it learned from, and that value (NaN for the other columns).
    """

    row: int
    forecasts: NDArray[np.float64]
    constant: NDArray[np.float64]

    def moved(self, X: NDArray[np.float64]) -> NDArray[np.intp]:
        """Rows of ``X`` in which a column that it knew as constant has another value."""
        told = ~np.isnan(self.constant)
        return np.flatnonzero((X[:, told] != self.constant[told]).any(axis=1))


def train(task: Elec2, row: int) -> Version:
    """Three members from what is known at ``row``: boosting on all rows, on those of a season, and a logistic regression."""
    known, n = task.known(row), len(task.y)
    forecasts = np.full((3, n), np.nan)
    forecasts[0, row:] = boosting(task, 0, known, row, n)
    forecasts[1, row:] = boosting(task, max(0, known - RECENT), known, row, n)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    filled = np.nan_to_num(task.X)
    linear.fit(filled[:known], task.y[:known])
    forecasts[2, row:] = linear.predict_proba(filled[row:])[:, 1]
    seen = task.X[:known]
    constant = np.where(np.ptp(seen, axis=0) == 0.0, seen[0], np.nan)
    return Version(row, forecasts, constant)


class Vote:
    """Forecasts of the last versions, weighed by what their squared errors were, as late as labels are.

    A version that knew a column as constant has no vote once one is there that saw it move.
    """

    def __init__(self, task: Elec2) -> None:
        self._task = task
        self._versions: list[Version] = []
        self._known: list[int] = []

    def take(self, version: Version) -> None:
        """A new version joins, the oldest leaves, and weights begin anew."""
        self._versions = [kept for kept in [*self._versions, version] if _sees(kept, version)][-KEPT:]
        self._forecasts = np.concatenate([kept.forecasts for kept in self._versions])
        self._hedge = Hedge(len(self._forecasts), delay=self._task.late - 1)
        self._begin = version.row

    def forecast(self, row: int) -> float:
        """Chance of a rise in ``row``; to be asked row by row."""
        known = row - self._task.late
        if known >= self._begin:
            self._hedge.update((self._forecasts[:, known] - self._task.y[known]) ** 2)
        return float(self._hedge.weights @ self._forecasts[:, row])


def _sees(version: Version, newer: Version) -> bool:
    """Whether it saw all columns move that the newer one saw move."""
    return not (~np.isnan(version.constant) & np.isnan(newer.constant)).any()


def by_the_clock(task: Elec2, count: int, *, vote: bool) -> NDArray[np.float64]:
    """Train ``count`` times, evenly spaced from the first row on: chance of a rise, NaN before that row.

    ``vote``: with the members and the vote of :class:`Vote`; otherwise the newest boosting on all rows alone.
    """
    n = len(task.y)
    rows = sorted({int(FIRST + i * (n - FIRST) / count) for i in range(count)})
    forecast, votes = np.full(n, np.nan), Vote(task)
    for row, end in zip(rows, [*rows[1:], n], strict=True):
        if vote:
            votes.take(train(task, row))
            forecast[row:end] = [votes.forecast(at) for at in range(row, end)]
        else:
            forecast[row:end] = boosting(task, 0, task.known(row), row, end)
    return forecast
