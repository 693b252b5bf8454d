"""The p-value of the population stability index, and what one absurd value does to it."""

from __future__ import annotations

import numpy as np

from benchmarks import Section, markdown_table
from benchmarks.drift_checks.processes import independent
from benchmarks.drift_checks.sizes import REFERENCE, checked, columns_of, drawn
from huracan.mlops import DriftDetector

__all__ = ["psi"]

REPETITIONS = 4_000
WINDOWS = (500, 1_000, 2_000)
BETWEEN = (0.04, 0.065)
MOST_MOVED = 0.005
_SIGMA_THREE = 3.0 * (0.05 * 0.95 / REPETITIONS) ** 0.5


def psi() -> Section:
    """Sizes on independent rows, by both nulls, and the outlier."""
    rows, short = [], []
    for window in WINDOWS:
        told: list[object] = [f"{window:,}"]
        for dependence in ("auto", "independent"):
            detector = DriftDetector(multivariate=False, dependence=dependence)
            alarms = [
                checked(column.psi_p_value) <= 0.05
                for before, now in drawn(independent, REPETITIONS, window)
                for column in columns_of(detector, before, now)
            ]
            size = float(np.mean(alarms))
            told.append(f"**{size:.1%}**")
            if not BETWEEN[0] <= size <= BETWEEN[1]:
                short.append(
                    f"PSI, window of {window}, {dependence}: size {size:.1%}, bar {BETWEEN[0]:.0%} to {BETWEEN[1]:.1%}"
                )
        rows.append(told)
    moved = most_moved()
    if moved > MOST_MOVED:
        short.append(f"one absurd value moves PSI by {moved:.4f}, bar {MOST_MOVED:g}")
    header = ["window", 'size, `dependence="auto"`', 'size, `"independent"`']
    text = (
        f"Independent rows, {REPETITIONS:,} a cell, nominal 5 %, bar {BETWEEN[0]:.0%} to {BETWEEN[1]:.1%}.\n\n"
        + markdown_table(header, rows)
        + f"\n\nOne value of a window of 500 replaced by 1e12 moves the PSI by {moved:.4f} at most (200 windows, any row; "
        f"bar {MOST_MOVED:g})."
    )
    return Section("PSI", text, tuple(short))


def most_moved() -> float:
    """The largest change of PSI by one absurd value."""
    rng = np.random.default_rng(0)
    before, now = rng.standard_normal((REFERENCE, 200)), rng.standard_normal((500, 200))
    detector = DriftDetector(multivariate=False)
    plain = [checked(column.psi) for column in columns_of(detector, before, now)]
    now[rng.integers(0, 500, 200), np.arange(200)] = 1e12
    absurd = [checked(column.psi) for column in detector.detect(now).columns]
    return float(np.abs(np.subtract(absurd, plain)).max())
