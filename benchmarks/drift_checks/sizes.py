"""How often windows that did not change are called drifted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import Section, markdown_table
from benchmarks.drift_checks.processes import (
    Process,
    absolute,
    autoregression,
    garch,
    independent,
    return_of,
    volatility_of,
)
from huracan.mlops import DriftDetector
from huracan.mlops.drift_report import ColumnDrift

__all__ = ["MARKET", "REFERENCE", "TOGETHER", "WINDOW", "checked", "columns_of", "p_value_of", "sizes"]

REFERENCE, WINDOW = 5_000, 500
REPETITIONS, TOGETHER = 2_000, 100
MOST = 0.07
MARKET = garch(0.08, 0.90)
"""Omega .02, normal shocks: the process on which this project's tests of means were sized."""

_PROCESSES: dict[str, tuple[Process, bool]] = {
    "independent": (independent, True),
    "AR(.5)": (autoregression(0.5), True),
    "AR(.9)": (autoregression(0.9), True),
    "GARCH(.08, .90)": (MARKET, True),
    "its absolute values": (absolute(MARKET), True),
    "its 20-bar volatility": (volatility_of(MARKET, 20), True),
    "20-bar return": (return_of(independent, 20), True),
    "AR(.98)": (autoregression(0.98), True),
    "20-bar volatility of independent returns": (volatility_of(independent, 20), False),
    "GARCH(.08, .90), t shocks of 5 degrees": (garch(0.08, 0.90, degrees=5.0), False),
    "GARCH(.10, .88)": (garch(0.10, 0.88), False),
}


class Rates(NamedTuple):
    """Shares of windows: robust test at 5 % and at .1 %, the naive test at 5 %, PSI at 5 %, PSI above .1."""

    robust: float
    far: float
    naive: float
    psi: float
    rule: float


def sizes() -> Section:
    """Alarms on all processes."""
    rows, short = [], []
    for name, (process, judged) in _PROCESSES.items():
        found = rates(process)
        bar = f"<= {MOST:.0%}" if judged else ""
        rows.append(
            [
                name,
                bar,
                f"**{found.robust:.1%}**",
                f"{found.naive:.0%}",
                f"{found.far:.2%}",
                f"{found.psi:.1%}",
                f"{found.rule:.0%}",
            ]
        )
        if judged and found.robust > MOST:
            short.append(f"{name}: alarms on {found.robust:.1%} of unchanged windows, bar {MOST:.0%}")
    header = ["nothing changed", "bar", "alarms at 5 %", "naive KS", "at 0.1 %", "PSI's p at 5 %", "PSI > .1"]
    text = (
        f"{REPETITIONS:,} series a row, one standard error is .5 points at 5 %; references of {REFERENCE:,}, windows of "
        f'{WINDOW}. The naive test is `dependence="independent"`, equal to scipy\'s.\n\n' + markdown_table(header, rows)
    )
    return Section("False alarms", text, tuple(short))


def rates(process: Process, repetitions: int = REPETITIONS) -> Rates:
    """Of one process."""
    robust = DriftDetector(multivariate=False)
    naive = DriftDetector(multivariate=False, dependence="independent")
    told = []
    for before, now in drawn(process, repetitions):
        for one, plain in zip(columns_of(robust, before, now), columns_of(naive, before, now), strict=True):
            p, naive_p, psi_p = p_value_of(one), p_value_of(plain), checked(one.psi_p_value)
            told.append((p <= 0.05, p <= 0.001, naive_p <= 0.05, psi_p <= 0.05, checked(one.psi) > 0.1))
    return Rates(*np.mean(told, axis=0).tolist())


def drawn(
    process: Process,
    repetitions: int,
    window: int = WINDOW,
    change: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """References (5,000, columns) and what follows them, many series at once; ``change`` is applied to what follows."""
    rng = np.random.default_rng(0)
    for _ in range(repetitions // TOGETHER):
        both = process(rng, TOGETHER, REFERENCE + window).T
        now = both[REFERENCE:]
        yield both[:REFERENCE], now if change is None else change(now)


def columns_of(detector: DriftDetector, before: NDArray[np.float64], now: NDArray[np.float64]) -> tuple[ColumnDrift, ...]:
    """Each series is a column of its own."""
    return detector.fit(before).detect(now).columns


def p_value_of(column: ColumnDrift) -> float:
    """0 of a column that drifted without a test."""
    return 0.0 if column.drifted and column.p_value is None else checked(column.p_value)


def checked(value: float | None) -> float:
    """What was tested must have a number."""
    assert value is not None, "a column that could be tested was not"
    return value
