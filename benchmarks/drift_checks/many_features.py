"""200 correlated columns, 20 of which drift: the share of false claims, and of what is found."""

from __future__ import annotations

import numpy as np

from benchmarks import Section, markdown_table
from benchmarks.drift_checks.processes import autoregression
from benchmarks.drift_checks.sizes import REFERENCE, WINDOW
from huracan.mlops import DriftDetector

__all__ = ["many_features"]

FEATURES, DRIFTED, REPETITIONS = 200, 20, 60
LEAST = {0.5: 0.95, 0.8: 0.95, 0.9: 0.5}
"""By coefficient of the autoregression, share of the drifted that must be found."""


def many_features() -> Section:
    """False discoveries and power of Benjamini and Yekutieli's correction on top of the robust test."""
    rows, short = [], []
    for rho, least in LEAST.items():
        false, found, alone = [], [], []
        for seed in range(REPETITIONS):
            rng = np.random.default_rng(seed)
            draw = autoregression(rho)
            common, own = draw(rng, 1, REFERENCE + WINDOW), draw(rng, FEATURES, REFERENCE + WINDOW)
            table = np.sqrt(0.5) * (common + own).T
            now = table[REFERENCE:].copy()
            detector = DriftDetector(multivariate=False).fit(table[:REFERENCE])
            alone.append(bool(detector.detect(now).drifted_features))
            now[:, :DRIFTED] += 1.0
            claims = np.array([column.drifted for column in detector.detect(now).columns])
            false.append(claims[DRIFTED:].sum() / max(claims.sum(), 1))
            found.append(claims[:DRIFTED].mean())
        rate, share = float(np.mean(false)), float(np.mean(found))
        rows.append([f"AR({rho:g})", f"**{rate:.1%}**", f">= {least:.0%}", f"**{share:.1%}**", f"{np.mean(alone):.0%}"])
        if rate > detector.alpha:
            short.append(f"AR({rho:g}): {rate:.1%} of the claims were false, {detector.alpha:.0%} are nominal")
        if share < least:
            short.append(f"AR({rho:g}): {share:.1%} of the drifted columns found, bar {least:.0%}")
    header = ["columns", "false claims (bar 5 %)", "bar", "drifted columns found", "any claim where nothing drifted"]
    text = (
        f"{FEATURES} columns with correlation .5, {DRIFTED} of them moved by one standard deviation, {REPETITIONS} tables a "
        "row; q-values of Benjamini and Yekutieli at 5 %.\n\n" + markdown_table(header, rows)
    )
    return Section("Many features", text, tuple(short))
