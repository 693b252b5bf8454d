"""Drift of data: how rarely it is seen where there is none, how surely where there is some, and how fast.

Every table has the naive test beside: the one that supposes independent rows. On a market it alarms on nearly every window, and
whoever believes it retrains for ever.
"""

from __future__ import annotations

from benchmarks import page_of
from benchmarks.drift_checks.exactness import exactness
from benchmarks.drift_checks.many_features import many_features
from benchmarks.drift_checks.power import power
from benchmarks.drift_checks.psi import psi
from benchmarks.drift_checks.real_weeks import real_weeks
from benchmarks.drift_checks.sizes import sizes
from benchmarks.drift_checks.speed import speed
from benchmarks.drift_checks.together import together
from benchmarks.drift_checks.whole_report import whole_report
from benchmarks.drift_checks.window_lengths import window_lengths

__all__ = ["main"]

_CHECKS = (exactness, sizes, window_lengths, power, psi, many_features, together, whole_report, real_weeks)


def main() -> str:
    """All parts, one page; time is told last and measured first, while the process is young."""
    timed = speed()
    return page_of("Drift", (*_CHECKS, lambda: timed))
