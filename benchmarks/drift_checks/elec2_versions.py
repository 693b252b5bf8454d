"""What is trained on Elec2, and strategies that train by the clock."""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.drift_checks.elec2_rows import DAY, FIRST, Elec2

__all__ = ["Following", "Version", "boosting", "by_the_clock", "train"]

RECENT = 90 * DAY
"""Rows of a season, for the member that forgets."""

FORGETS = 14 * DAY
"""Rows after which a label counts half in the weights of the members."""

_MEMBERS = 3


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


class Following:
    """What the members of the newest version say, weighed row by row: recursive least squares that forgets.

    The chance of a rise is a linear function of one, of the members' forecasts, and of how often the same half-hour rose in the
    last week and in the last four. It begins as the mean of the members; each label that becomes known moves it, and after
    ``FORGETS`` rows a label counts half. Nothing is trained again by that: a handful of weights follow.
    """

    def __init__(self, task: Elec2) -> None:
        self._task = task
        rises = task.y.astype(np.float64)
        self._rates = [_same_half_hour(rises, days) for days in (7, 28)]
        self._inputs = np.full((len(rises), _MEMBERS + 3), np.nan)
        self._weights = np.array([0.0, *[1.0 / _MEMBERS] * _MEMBERS, 0.0, 0.0])
        self._spread = np.eye(len(self._weights))
        self._learned = FIRST

    def take(self, version: Version) -> None:
        """A new version speaks from now on."""
        self._version = version

    def forecast(self, row: int) -> float:
        """Chance of a rise in ``row``; to be asked row by row from the first on."""
        self._inputs[row] = [1.0, *self._version.forecasts[:, row], *(rates[row] for rates in self._rates)]
        while self._learned < self._task.known(row):
            self._learn(self._learned)
            self._learned += 1
        return float(np.clip(self._weights @ self._inputs[row], 0.0, 1.0))

    def _learn(self, row: int) -> None:
        given, kept = self._inputs[row], 0.5 ** (1.0 / FORGETS)
        gain = self._spread @ given / (kept + given @ self._spread @ given)
        self._weights = self._weights + gain * (self._task.y[row] - self._weights @ given)
        self._spread = (self._spread - np.outer(gain, given @ self._spread)) / kept


def _same_half_hour(rises: NDArray[np.float64], days: int) -> NDArray[np.float64]:
    """How often the same half-hour of the last ``days`` days rose, as far as there were so many; known a day before the row."""
    total = np.zeros(len(rises))
    for day in range(1, days + 1):
        total[day * DAY :] += rises[: -day * DAY]
    return total / np.clip(np.arange(len(rises)) // DAY, 1, days)


def by_the_clock(task: Elec2, count: int, *, following: bool) -> NDArray[np.float64]:
    """Train ``count`` times, evenly spaced from the first row on: chance of a rise, NaN before that row.

    ``following``: with the members and the weights of :class:`Following`; otherwise the newest boosting on all rows alone.
    """
    n = len(task.y)
    rows = sorted({int(FIRST + i * (n - FIRST) / count) for i in range(count)})
    forecast, weighed = np.full(n, np.nan), Following(task)
    for row, end in zip(rows, [*rows[1:], n], strict=True):
        if following:
            weighed.take(train(task, row))
            forecast[row:end] = [weighed.forecast(at) for at in range(row, end)]
        else:
            forecast[row:end] = boosting(task, 0, task.known(row), row, end)
    return forecast
