"""Kolmogorov-Smirnov and PSI of 50 and 200 columns: ours, a loop over scipy, and Evidently, after equal p-values."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from benchmarks import Section, markdown_table
from benchmarks.peers import peer_python, run_peer
from huracan.mlops import DriftDetector, DriftReport
from huracan.statistics.compiled import KERNELS, compiled_loops

__all__ = ["speed"]

COLUMNS = (50, 200)
REFERENCE, WINDOW = 50_000, 5_000
ROUNDS, PEER_ROUNDS = 9, 1
THREADS = 2
LEAST = {"plain": 5.0, "fast": 15.0, "Evidently": 100.0}
EQUAL = 1e-9
REQUIREMENTS = ["evidently==0.7.23", "pandas<3"]

Table = dict[str, NDArray[np.float32]]


def speed() -> Section:
    """Time from two tables to all statistics and p-values.

    Raises
    ------
    AssertionError : p-values differ.
    """
    rows: list[list[object]] = []
    short: list[str] = []
    python = peer_python("evidently", REQUIREMENTS)
    for width in COLUMNS:
        before, now = _tables(width)
        report = _ours(before, now, 1)
        _require_equal(_p_values(report), _scipy_loop(before, now), "scipy")
        ways: dict[str, Callable[[], Any]] = {
            "scipy": lambda before=before, now=now: _scipy_loop(before, now),
            "plain": lambda before=before, now=now: _plainly(before, now),
            "auto": lambda before=before, now=now: DriftDetector(multivariate=False).fit(before).detect(now),
        }
        if compiled_loops(KERNELS) is not None:
            ways["fast, 1 thread"] = lambda before=before, now=now: _ours(before, now, 1)
            ways["fast"] = lambda before=before, now=now: _ours(before, now, THREADS)
        seconds = _in_turns(ways)
        peer = _evidently(python, before, now, report)
        ratios = {name: median(np.divide(seconds["scipy"], seconds[name])) for name in ways if name != "scipy"}
        ratios["Evidently"] = median(peer) / median(seconds["plain"])
        rows.append([width, *(f"{median(seconds[name]) * 1e3:.0f}" for name in ways), f"{median(peer) * 1e3:,.0f}"])
        rows.append(
            [
                "",
                "1x",
                *(f"**{ratios[name]:.1f}x**" for name in ways if name != "scipy"),
                f"1/{ratios['Evidently']:,.0f} of plain",
            ]
        )
        short += [
            f"{width} columns, {name}: {ratios[name]:.1f}x, bar {least:g}x"
            for name, least in LEAST.items()
            if name in ratios and ratios[name] < least
        ]
    header = [
        "columns",
        "scipy loop",
        "plain",
        "with dependence",
        "`fast`, 1 thread",
        f"`fast`, {THREADS} threads",
        "Evidently",
    ]
    text = (
        f"Milliseconds, medians of {ROUNDS} turns in one run, and how many times the scipy loop's speed that is (median of the "
        f"turns' ratios); {REFERENCE:,} rows against {WINDOW:,}, float32, from columns to all statistics and p-values, fit "
        "included. The loop is `ks_2samp`, `quantile` and two `histogram`s a column; ours computes Wasserstein's distance and "
        'the curves of the report as well. `dependence="independent"` but for the fourth column, so that all answer the same '
        f"question: p-values equal scipy's and Evidently's to {EQUAL:g}. Bars: plain 5x, `fast` 15x, 100x Evidently 0.7.23 "
        "(its presets for both tests, from pandas).\n\n"
        + markdown_table(header[: 2 + len(ways)] if len(ways) > 3 else header[:4] + header[-1:], rows)
    )
    return Section("Speed", text, tuple(short))


def _tables(width: int) -> tuple[Table, Table]:
    """Columns of which a tenth moved a little."""
    rng = np.random.default_rng(width)
    shift = 0.03 * (np.arange(width) % 10 == 0)
    before = {f"c{i}": rng.standard_normal(REFERENCE, dtype=np.float32) for i in range(width)}
    now = {f"c{i}": rng.standard_normal(WINDOW, dtype=np.float32) + np.float32(shift[i]) for i in range(width)}
    return before, now


def _ours(before: Table, now: Table, threads: int) -> DriftReport:
    settings: dict[str, Any] = {"dependence": "independent", "multivariate": False}
    return DriftDetector(**settings, n_jobs=threads).fit(before).detect(now)


def _plainly(before: Table, now: Table) -> DriftReport:
    """As where numba is not installed."""
    none = {"new": lambda module: None}
    with (
        patch("huracan.statistics.kolmogorov_smirnov.compiled_loops", **none),
        patch("huracan.statistics.sample_distance.compiled_loops", **none),
        patch("huracan.statistics.weighted_sample.compiled_loops", **none),
    ):
        return _ours(before, now, 1)


def _scipy_loop(before: Table, now: Table) -> dict[str, float]:
    found = {}
    for name, old in before.items():
        new = now[name]
        found[name] = float(ks_2samp(old, new).pvalue)
        edges = np.concatenate([[-np.inf], np.quantile(old, np.arange(1, 10) / 10), [np.inf]])
        f, g = (np.histogram(values, edges)[0] / len(values) for values in (old, new))
        ((g - f) * np.log(g / f)).sum()
    return found


def _in_turns(ways: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, work in ways.items():
            started = time.perf_counter()
            work()
            if turn:  # the first warms
                seconds[name].append(time.perf_counter() - started)
    return seconds


def _evidently(python: Path, before: Table, now: Table, report: DriftReport) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("before.parquet", "now.parquet")]
        for path, table in zip(paths, (before, now), strict=True):
            pl.DataFrame(table).write_parquet(path)
        told = json.loads(run_peer(python, "evidently_drift.py", *map(str, paths), str(PEER_ROUNDS)))
    _require_equal(_p_values(report), told["p_values"], "Evidently")
    seconds: list[float] = told["seconds"]
    return seconds


def _p_values(report: DriftReport) -> dict[str, float]:
    return {column.feature: float("nan") if column.p_value is None else column.p_value for column in report.columns}


def _require_equal(ours: dict[str, float], theirs: dict[str, float], whose: str) -> None:
    assert ours.keys() == theirs.keys(), f"{whose} tested {len(theirs)} columns, ours {len(ours)}"
    apart = max(abs(p - theirs[name]) for name, p in ours.items())
    assert apart <= EQUAL, f"p-values differ from {whose}'s by {apart:.1e}"
