"""Weeks of one-minute candles: the week of October 2025 is found for every symbol, and how often other weeks differ."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import Section, markdown_table, market_data
from huracan.mlops import DriftDetector, DriftReport

__all__ = ["minute_features", "real_weeks"]

WEEK = 7 * 1_440
WEEKS = 4
"""Of reference, before each week that is looked at."""
EVENT = datetime(2025, 10, 9, tzinfo=UTC)
"""Start of the week with the liquidations of 10 October."""


def real_weeks() -> Section:
    """Robust and naive, feature by feature and as a user reads it: whether the report of the default detector says drifted."""
    calm: dict[str, list[tuple[DriftReport, DriftReport]]] = {}
    event: dict[str, DriftReport] = {}
    for path in sorted((market_data() / "candles").glob("*_1m.parquet")):
        symbol = path.name.split("-")[0]
        for start, robust, naive in _weeks(path):
            if start == 0:
                event[symbol] = robust
            elif not 0 < start <= WEEKS:  # a reference that holds the event is none of calm weeks
                calm.setdefault(symbol, []).append((robust, naive))
    pairs = [pair for found in calm.values() for pair in found]
    short = [f"the event week was not found for {symbol}" for symbol, report in event.items() if not report.drifted]
    features = [column.feature for column in pairs[0][0].columns]
    rows = []
    for feature in features:
        p_values = np.array([[report.column(feature).p_value for report in pair] for pair in pairs], dtype=np.float64)
        claims = np.mean([report.column(feature).drifted for report, _ in pairs])
        at = [(p_values[:, side] <= alpha).mean() for alpha in (0.05, 0.01) for side in (0, 1)]
        rows.append([feature, *(f"{share:.0%}" for share in at), f"{claims:.0%}"])
        if at[0] > 0.6 * at[1]:
            short.append(f"{feature}: {at[0]:.0%} of weeks without an event alarm, naive {at[1]:.0%}")
    said = {
        "the report (`report.drifted`)": lambda report: report.drifted,
        "any column": lambda report: bool(report.drifted_features),
        "all columns together": lambda report: report.joint is not None and report.joint.drifted,
    }
    called = {
        name: np.array([[is_so(report) for report in pair] for pair in pairs]).mean(axis=0) for name, is_so in said.items()
    }
    claimed = [[name, *(f"**{share:.0%}**" for share in shares)] for name, shares in called.items()]
    robust, naive = called["the report (`report.drifted`)"]
    if robust > 0.6 * naive:
        short.append(f"{robust:.0%} of reports of weeks without an event say drifted, naive {naive:.0%}")
    found = [
        [
            symbol,
            ", ".join(report.drifted_features) or "none",
            "-" if report.joint is None or report.joint.q_value is None else f"{report.joint.q_value:.1e}",
        ]
        for symbol, report in event.items()
    ]
    header = ["feature", "alarms at 5 %", "naive", "at 1 %", "naive", "claims (5 %, corrected)"]
    text = (
        f"{len(pairs)} weeks of {len(calm)} symbols without the event, in them or in their reference; each week of {WEEK:,} "
        f"minutes against the {WEEKS} weeks before it. Weeks of a market do differ, in volatility above all: that is no error "
        "of the test.\n\n"
        + markdown_table(["weeks without an event that are called drifted", "default detector", "naive"], claimed)
        + "\n\nColumn by column:\n\n"
        + markdown_table(header, rows)
        + "\n\nThe week of 9 October 2025:\n\n"
        + markdown_table(["symbol", "columns that drifted", "q of all together"], found)
    )
    return Section("Real weeks", text, tuple(short))


def _weeks(path: Path) -> list[tuple[int, DriftReport, DriftReport]]:
    """Each week with all its reference: its number, counted from the event, and both reports."""
    table, times = minute_features(path)
    event = int(np.searchsorted(times, int(EVENT.timestamp() * 1_000)))
    found = []
    for week in range(-(event // WEEK) + WEEKS, (len(times) - event) // WEEK):
        start = event + week * WEEK
        before, now = table[start - WEEKS * WEEK : start], table[start : start + WEEK]
        both = [DriftDetector(dependence=dependence).fit(before).detect(now) for dependence in ("auto", "independent")]
        found.append((week, both[0], both[1]))
    return found


def minute_features(path: Path) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Five features of one-minute candles, and their times in milliseconds."""
    candles = pl.read_parquet(path).sort("ts")
    log_return = pl.col("close").log().diff()
    table = candles.select(
        log_return=log_return,
        volatility_60=((log_return**2).rolling_mean(60).sqrt() + 1e-7).log(),
        bar_range=(pl.col("high") / pl.col("low")).log(),
        traded_value=(pl.col("volume") * pl.col("close")).log1p(),
        return_20=pl.col("close").log().diff(20),
    )
    return table, candles["ts"].dt.epoch("ms").to_numpy()
