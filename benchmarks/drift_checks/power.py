"""How often windows that did change are found."""

from __future__ import annotations

import numpy as np

from benchmarks import Section, markdown_table
from benchmarks.drift_checks.processes import autoregression, garch, independent
from benchmarks.drift_checks.sizes import MARKET, WINDOW, columns_of, drawn, p_value_of
from huracan.mlops import DriftDetector

__all__ = ["power"]

REPETITIONS = 1_000

_CHANGES = (
    # what, process, window, change, least share found (None: shown beside)
    ("independent, + .2 sd", independent, WINDOW, lambda x: x + 0.2, 0.88),
    ("AR(.9), + 1 sd", autoregression(0.9), WINDOW, lambda x: x + 1.0, 0.95),
    ("AR(.9), + .5 sd, window of 2,000", autoregression(0.9), 2_000, lambda x: x + 0.5, 0.90),
    ("GARCH(.08, .90), volatility x 1.5", MARKET, WINDOW, lambda x: x * 1.5, 0.68),
    (
        "GARCH(.08, .90), t shocks of 5 degrees, volatility x 1.5",
        garch(0.08, 0.9, degrees=5.0),
        WINDOW,
        lambda x: x * 1.5,
        None,
    ),
    ("GARCH(.10, .88), volatility x 1.5", garch(0.10, 0.88), WINDOW, lambda x: x * 1.5, None),
)


def power() -> Section:
    """Changes of known size."""
    rows, short = [], []
    for name, process, window, change, least in _CHANGES:
        detector = DriftDetector(multivariate=False)
        found = np.mean(
            [
                p_value_of(column) <= detector.alpha
                for before, now in drawn(process, REPETITIONS, window, change)
                for column in columns_of(detector, before, now)
            ]
        )
        rows.append([name, "" if least is None else f">= {least:.0%}", f"**{found:.1%}**"])
        if least is not None and found < least:
            short.append(f"{name}: found in {found:.1%}, bar {least:.0%}")
    text = f"{REPETITIONS:,} series a row, at 5 %.\n\n" + markdown_table(["what changed", "bar", "found"], rows)
    return Section("Power", text, tuple(short))
