"""Windows that are not short beside their reference: how often they are called drifted where nothing changed."""

from __future__ import annotations

import numpy as np

from benchmarks import Section, markdown_table
from benchmarks.drift_checks.processes import (
    Process,
    absolute,
    autoregression,
    garch,
    independent,
    two_volatilities,
    volatility_of,
)
from benchmarks.drift_checks.sizes import MARKET, TOGETHER, columns_of, p_value_of
from huracan.mlops import DriftDetector

__all__ = ["window_lengths"]

LENGTHS = ((5_000, 500), (1_500, 500), (672, 168), (5_000, 2_500), (2_000, 1_000))
REPETITIONS = 1_000

_PROCESSES: dict[str, Process] = {
    "independent": independent,
    "AR(.9)": autoregression(0.9),
    "GARCH(.08, .90)": MARKET,
    "its absolute values": absolute(MARKET),
    "its 20-bar volatility": volatility_of(MARKET, 20),
    "AR(.98)": autoregression(0.98),
    "volatility 1 or 3, in spells of 250": two_volatilities(1.0, 3.0, 250.0),
    "GARCH(.15, .84), t shocks of 4 degrees": garch(0.15, 0.84, degrees=4.0),
}


def window_lengths() -> Section:
    """Alarms of one column at 5 %; shown, not judged."""
    detector = DriftDetector(multivariate=False)
    rows = []
    for name, process in _PROCESSES.items():
        told = [name]
        for m, n in LENGTHS:
            rng, alarms = np.random.default_rng(0), []
            for _ in range(REPETITIONS // TOGETHER):
                both = process(rng, TOGETHER, m + n).T
                alarms += [p_value_of(column) <= detector.alpha for column in columns_of(detector, both[:m], both[m:])]
            told.append(f"{np.mean(alarms):.1%}")
        rows.append(told)
    header = ["alarms at 5 %", *(f"{m:,} / {n:,}" for m, n in LENGTHS)]
    text = f"Moments of reference / window; {REPETITIONS:,} series a cell.\n\n" + markdown_table(header, rows)
    return Section("Windows that are not short", text)
