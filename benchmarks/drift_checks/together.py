"""All columns together: alarms where nothing changed, and a correlation that turns while every column keeps its law."""

from __future__ import annotations

import numpy as np

from benchmarks import Section, markdown_table
from benchmarks.drift_checks.processes import autoregression, independent
from benchmarks.drift_checks.sizes import MARKET, MOST, REFERENCE, WINDOW
from huracan.mlops import DriftDetector

__all__ = ["together"]

COLUMNS, REPETITIONS = 10, 300
_PROCESSES = {
    "independent": independent,
    "AR(.9)": autoregression(0.9),
    "AR(.98)": autoregression(0.98),
    "GARCH(.08, .90)": MARKET,
}


def together() -> Section:
    """Ten mixed columns."""
    rows, short = [], []
    for name, process in _PROCESSES.items():
        rng = np.random.default_rng(0)
        alarms, found = [], []
        for _ in range(REPETITIONS):
            mixing = rng.standard_normal((COLUMNS, COLUMNS)) / np.sqrt(COLUMNS) + np.eye(COLUMNS) / 2
            both = process(rng, COLUMNS, REFERENCE + WINDOW).T @ mixing
            detector, now = DriftDetector().fit(both[:REFERENCE]), both[REFERENCE:]
            for window, told in ((now, alarms), (now * np.where(np.arange(COLUMNS) == 0, -1.0, 1.0), found)):
                joint = detector.detect(window).joint
                assert joint is not None, "all columns together were not tested"
                told.append(joint.p_value is not None and joint.p_value <= detector.alpha)
        rows.append([name, f"**{np.mean(alarms):.1%}**", f"{np.mean(found):.0%}"])
        if np.mean(alarms) > MOST + 2 * (MOST * (1 - MOST) / REPETITIONS) ** 0.5:
            short.append(f"all columns together, {name}: alarms on {np.mean(alarms):.1%} of unchanged windows")
    header = ["columns", "alarms at 5 %", "found when one column turns its sign"]
    text = f"{COLUMNS} columns mixed at random, {REPETITIONS} tables a row.\n\n" + markdown_table(header, rows)
    return Section("All columns together", text, tuple(short))
