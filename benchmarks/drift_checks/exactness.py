"""Kolmogorov and Smirnov's test against scipy's, statistic and p-value."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.stats import ks_2samp

from benchmarks import Section, markdown_table
from huracan.statistics.compiled import compiled_loops
from huracan.statistics.kolmogorov_smirnov import kolmogorov_smirnov

__all__ = ["exactness"]

PAIRS = 300
BARS = {"plain": 1e-12, "fast": 1e-7}


def exactness() -> Section:
    """Random sizes, with and without ties, exact and limiting."""
    rng = np.random.default_rng(0)
    modes = {"plain": False}
    if compiled_loops("huracan.statistics.two_sample_kernels") is not None:
        modes["fast"] = True
    apart = {mode: [0.0, 0.0] for mode in modes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy says where it cannot be exact, and takes the limit
        for pair in range(PAIRS):
            large = pair % 10 == 9
            m, n = rng.integers(10_001, 40_000, 2) if large else rng.integers(1, 600, 2)
            a, b = rng.standard_normal(m), rng.standard_normal(n) + rng.choice([0.0, 0.02 if large else 0.3])
            if pair % 3 == 0:
                a, b = a.round(1), b.round(1)
            theirs = ks_2samp(a, b, method="auto")
            for mode, compiled in modes.items():
                ours = kolmogorov_smirnov(a, b, compiled=compiled)
                apart[mode][0] = max(apart[mode][0], abs(ours.statistic - theirs.statistic))
                apart[mode][1] = max(apart[mode][1], abs(ours.p_value - theirs.pvalue))
    short = [
        f"KS, {mode}: p-values differ from scipy's by {p:.1e}, bar {BARS[mode]:g}"
        for mode, (_, p) in apart.items()
        if p > BARS[mode]
    ]
    short += [f"KS, {mode}: statistics differ by {d:.1e}" for mode, (d, _) in apart.items() if d > 1e-15]
    rows = [[mode, f"{d:.1e}", f"{p:.1e}", f"<= {BARS[mode]:g}"] for mode, (d, p) in apart.items()]
    text = f"{PAIRS} pairs of 1 to 40,000 rows, a third with ties.\n\n" + markdown_table(
        ["mode", "largest difference of statistics", "of p-values", "bar"], rows
    )
    return Section("Equality with scipy", text, tuple(short))
