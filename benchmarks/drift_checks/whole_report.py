"""What a user reads, ``report.drifted`` of the default detector, of dozens of columns in which nothing changed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import Section, markdown_table
from benchmarks.drift_checks.processes import Process, absolute, autoregression, garch, sharing
from huracan.market import simulate_market
from huracan.mlops import DriftDetector
from huracan.preprocessing import FeatureRecipe

__all__ = ["whole_report"]

SIZES = ((5_000, 500), (672, 168))
"""Moments of reference and window; the latter are four weeks and one of hours, the defaults of ``drift.*``."""
REPETITIONS = {48: 150, 200: 75}
"""Tables, by columns."""
STRETCHES, SEEDS = 25_000, 4
MOST = 0.07

_PROCESSES: dict[str, Process] = {
    "AR(.9)": sharing(autoregression(0.9)),
    "GARCH(.08, .90)": garch(0.08, 0.90, correlation=0.5),
    "its absolute values": absolute(garch(0.08, 0.90, correlation=0.5)),
    "absolute values with t shocks of 5 degrees": absolute(garch(0.08, 0.90, degrees=5.0, correlation=0.5)),
}

Table = tuple[NDArray[np.float64], NDArray[np.float64]]


def whole_report() -> Section:
    """Shares of reports that call an unchanged window drifted: by anything, by a column, by all together."""
    rows, short = [], []
    for name, columns, (m, n), tables in _cases():
        told = []
        for before, now in tables:
            report = DriftDetector().fit(before).detect(now)
            assert report.joint is not None, "all columns together were not tested"
            told.append((report.drifted, bool(report.drifted_features), report.joint.drifted))
        drifted, column, joint = np.mean(told, axis=0).tolist()
        rows.append([name, columns, f"{m:,} / {n}", len(told), f"**{drifted:.1%}**", f"{column:.1%}", f"{joint:.1%}"])
        if drifted > MOST + 2 * (MOST * (1 - MOST) / len(told)) ** 0.5:
            short.append(f"report.drifted, {columns} columns of {name}, {m}/{n}: {drifted:.1%} of unchanged windows")
    header = ["nothing changed", "columns", "reference / window", "tables", "`report.drifted`", "any column", "all together"]
    text = (
        f"The default detector at 5 %: three quarters of the level for the columns (Benjamini and Yekutieli), one for all "
        f"together. Columns have (shocks of) correlation .5. Bar {MOST:.0%}, two standard errors allowed. The last row is "
        "`simulate_market` under the default recipe, four weeks of hours against the next.\n\n" + markdown_table(header, rows)
    )
    return Section("The whole report", text, tuple(short))


def _cases() -> Iterator[tuple[str, int, tuple[int, int], Iterator[Table]]]:
    for name, process in _PROCESSES.items():
        for columns, repetitions in REPETITIONS.items():
            for m, n in SIZES:
                yield name, columns, (m, n), _tables(process, columns, m, n, repetitions)
    m, n = SIZES[-1]
    market = list(_market(m, n))
    yield "a simulated market", market[0][0].shape[1], (m, n), iter(market)


def _tables(process: Process, columns: int, m: int, n: int, repetitions: int) -> Iterator[Table]:
    rng = np.random.default_rng(0)
    for _ in range(repetitions):
        table = np.ascontiguousarray(process(rng, columns, m + n).T)
        yield table[:m], table[m:]


def _market(m: int, n: int) -> Iterator[Table]:
    recipe = FeatureRecipe.default()
    for seed in range(SEEDS):
        market = simulate_market(n_bars=STRETCHES, n_symbols=1, seed=seed, signal_strength=0.1)
        features = recipe.compute(market.candles).select(recipe.columns)
        whole = features.filter(pl.all_horizontal(pl.all().is_finite())).to_numpy()
        for start in range(0, len(whole) - m - n + 1, m + n):
            yield whole[start : start + m], whole[start + m : start + m + n]
