"""Training on Elec2 when there is a reason: ``RetrainPolicy`` asked once a day, on evidence of columns and of skill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_checks.elec2_rows import DAY, FIRST, Elec2
from benchmarks.drift_checks.elec2_versions import Following, Version, train
from huracan.mlops import Cusum, Evidence, EvidenceKind, PolicyHistory, RetrainPolicy

__all__ = ["Lived", "live"]

BAR = 1_800_000
"""A half-hour in milliseconds; row r is at ``r * BAR``."""

WEEK = 7 * DAY
EXPECTED_ON, RUN_LENGTH = 1_000, 20_000

POLICY = RetrainPolicy(
    data_drift="alone",
    persistence=1,
    cool_down_bars=WEEK,
    min_new_rows=WEEK,
    max_age_bars=60 * DAY,
    doubling=True,
)


@dataclass(frozen=True)
class Lived:
    """What came of it: chance of a rise by row (NaN before the first), and each training with its reason."""

    forecast: NDArray[np.float64]
    trainings: tuple[tuple[int, str], ...]


@dataclass
class _Skill:
    """Squared errors of the forecasts since a training, held by Cusum against what the first thousand were."""

    begin: int
    watch: Cusum | None = None
    heard_to: int = 0
    fell_since: int | None = None

    def hear(self, losses: NDArray[np.float64], known: int) -> None:
        """Take the losses of rows before ``known`` that are new."""
        if self.watch is None and known - self.begin >= EXPECTED_ON:
            self.heard_to = self.begin + EXPECTED_ON
            reference = losses[self.begin : self.heard_to]
            self.watch = Cusum.calibrated(reference, run_length=RUN_LENGTH, mode="up")
        while self.watch is not None and self.fell_since is None and self.heard_to < known:
            self.heard_to += 1
            if self.watch.update(float(losses[self.heard_to - 1])).drift_detected:
                self.fell_since = self.heard_to - (self.watch.changed_at or 1)


def live(task: Elec2, policy: RetrainPolicy = POLICY) -> Lived:
    """Forecast every row from the first on; once a day look at what has become known, and train when the policy says so."""
    n = len(task.y)
    forecast, losses = np.full(n, np.nan), np.full(n, np.nan)
    weighed, version = Following(task), train(task, FIRST)
    weighed.take(version)
    skill, change, moved_at = _Skill(FIRST), None, None
    trainings = [(FIRST, "the first")]
    for row in range(FIRST, n):
        known = task.known(row)
        if row > FIRST and (row - FIRST) % DAY == 0:
            skill.hear(losses, known)
            moved_at = moved_at if moved_at is not None else _moved(version, task, row)
            evidence = _evidence(row, skill, moved_at)
            history = PolicyHistory(
                bar=BAR,
                trained_until=task.known(version.row) * BAR,
                labelled_until=known * BAR,
                last_change=None if change is None else change * BAR,
                requests=tuple(at * BAR for at, _ in trainings),
                looks={one.kind: 1 for one in evidence},
            )
            decision = policy.decide(evidence, history, tick=row * BAR)
            if decision.retrains:
                since = [one.since for one in evidence if one.since is not None]
                change = max(since) // BAR if since else change
                version = train(task, row)
                weighed.take(version)
                skill, moved_at = _Skill(row), None
                trainings.append((row, decision.reason))
        forecast[row] = weighed.forecast(row)
        losses[row] = (forecast[row] - task.y[row]) ** 2
    return Lived(forecast, tuple(trainings))


def _moved(version: Version, task: Elec2, row: int) -> int | None:
    """The first row in which a column moved that the version knows as constant."""
    begin = max(task.known(version.row), row - DAY)
    rows = version.moved(task.X[begin:row])
    return begin + int(rows[0]) if rows.size else None


def _evidence(row: int, skill: _Skill, moved_at: int | None) -> list[Evidence]:
    seen = []
    if moved_at is not None:
        said = "a column that had one value moves"
        seen.append(Evidence.of(EvidenceKind.DATA, said, name="elec2", tick=row * BAR, strong=True, since=moved_at * BAR))
    if skill.fell_since is not None:
        said = "squared errors are larger than in the first thousand rows of the version"
        since = skill.fell_since * BAR
        seen.append(Evidence.of(EvidenceKind.SKILL_FALL, said, name="elec2", tick=row * BAR, strong=True, since=since))
    return seen
