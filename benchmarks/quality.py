"""Data quality: every planted defect is found with the right count in a million rows, then the checks are timed."""

from __future__ import annotations

import datetime as dt
import statistics
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import markdown_table, market_data
from huracan.market import CANDLE_SCHEMA
from huracan.preprocessing.quality import QualityReport, Severity, quality_report, read_as_found

ROWS, SYMBOLS, BAR = 1_000_000, 8, 0.5
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
NOW = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


def clean_rows(rows: int = ROWS, symbols: int = SYMBOLS) -> pl.DataFrame:
    """Gaussian random walks in one-minute bars: nothing in them is unusual."""
    each = rows // symbols
    parts = []
    for i in range(symbols):
        generator = np.random.default_rng(i)
        close = 100 * np.exp(np.cumsum(generator.normal(0, 0.001, each)))
        opened = np.concatenate([[100.0], close[:-1]])
        parts.append(
            pl.DataFrame(
                {
                    "symbol": [f"COIN{i}"] * each,
                    "ts": pl.datetime_range(START, START + (each - 1) * MINUTE, MINUTE, time_unit="ms", eager=True),
                    "open": opened,
                    "high": np.maximum(opened, close) * (1 + generator.uniform(0, 0.0005, each)),
                    "low": np.minimum(opened, close) * (1 - generator.uniform(0, 0.0005, each)),
                    "close": close,
                    "volume": generator.uniform(1, 9, each),
                },
                schema=CANDLE_SCHEMA,
            )
        )
    return pl.concat(parts)


def planted(bars: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """The same with defects at known rows, and how many of each the report has to count."""
    each = bars.height // SYMBOLS
    row = pl.int_range(pl.len())
    flaws: list[tuple[str, list[int], dict[str, pl.Expr]]] = [
        ("missing open", [1_000, 2_000, 3_000], {"open": pl.lit(float("nan"))}),
        ("missing volume", [4_000, 4_001], {"volume": pl.lit(None, pl.Float64)}),
        ("impossible volume", [5_000], {"volume": pl.lit(-1.0)}),
        (
            "high below low",
            [each + 1_000, each + 1_001],
            {"high": pl.col("low") * 0.999999, "open": pl.col("low"), "close": pl.col("low")},
        ),
        ("open outside range", [each + 2_000, each + 2_500, each + 2_900], {"open": pl.col("high") * 1.0001}),
        ("zero volume", list(range(2 * each + 1_000, 2 * each + 1_040)), {"volume": pl.lit(0.0)}),
        ("absurd volume", [2 * each + 5_000], {"volume": pl.lit(2.0**63)}),
        ("bad ticks", [3 * each + 9_000], {c: pl.col(c) * 10 for c in ("open", "high", "low", "close")}),
    ]
    for _, where, values in flaws:
        here = row.is_in(where)
        bars = bars.with_columns(pl.when(here).then(value).otherwise(column).alias(column) for column, value in values.items())
    expected = {name: len(where) for name, where, _ in flaws}
    # open and close stand at the low of a bar whose high is below it
    expected |= {"open outside range": 3 + 2, "close outside range": 2}
    prices = ("open", "high", "low", "close")
    stale = row.is_between(4 * each + 50_000, 4 * each + 50_059)
    level = bars["close"][4 * each + 49_999]
    bars = bars.with_columns(pl.when(stale).then(level).otherwise(c).alias(c) for c in prices)
    expected |= {"flat bars": 60, "stale runs": 60}
    fall = 1 - 0.2 * np.maximum(0, 1 - np.abs(np.arange(bars.height) - (5 * each + 60_000)) / 5)
    bars = bars.with_columns(pl.col(c) * pl.Series(fall) for c in prices)
    expected["flash crash"] = 3  # the tick and the split move as far and are flagged as both
    split = pl.when(row >= 6 * each + 100_000).then(pl.when(row < 7 * each).then(0.1).otherwise(1.0)).otherwise(1.0)
    bars = bars.with_columns(pl.col(c) * split for c in prices)
    expected["price scale"] = each - 100_000
    shifted = pl.when(row == 7 * each + 70_000).then(pl.col("ts") + dt.timedelta(seconds=20)).otherwise("ts")
    bars = bars.with_columns(shifted.alias("ts"))
    expected["off-grid"] = 2  # the step to it and the step from it
    at = 7 * each
    parts = [
        bars[: at + 10_000],
        bars[at + 10_250 : at + 30_000],
        bars[at + 29_900 : at + 40_000],
    ]  # a gap, then a repeated block
    parts += [bars[at + 39_999 : at + 40_000].with_columns(volume=pl.lit(77.0)), bars[at + 40_000 : at + 50_000]]
    parts += [bars[at + 50_010 : at + 50_020], bars[at + 50_000 : at + 50_010], bars[at + 50_020 :]]
    bars = pl.concat(parts)
    expected |= {"gaps": 250, "duplicates": 100, "conflicting duplicates": 1, "unsorted": 2}
    return bars, expected


def counts_of(report: QualityReport) -> dict[str, int]:
    """What was found, by name; of flash crashes the episodes."""
    found: dict[str, int] = {}
    for check in report.checks:
        if check.severity is not Severity.OK:
            found[check.name] = found.get(check.name, 0) + (1 if check.name == "flash crash" else check.count)
    return found


def quirks(folder: Path) -> list[tuple[str, str, str]]:
    """Each quirk of the real files, the check that names it, and its sentence."""
    sol, daily = folder / "SOL-USDT_1m.parquet", folder / "daily_40.parquet"
    link = quality_report(folder / "LINK-USDT_1m.parquet")
    looks = [
        ("times of January 1970", "epoch", quality_report(folder / "quirks" / "SOL-USDT_1m_AS_FOUND_ts1970.parquet")),
        (
            "another venue, against a reference",
            "other venue",
            quality_report(folder / "quirks" / "SOL-USDT_1m_OTHER_VENUE.parquet", reference=sol),
        ),
        ("the crash of 2025-10-10", "flash crash", quality_report(folder / "DOGE-USDT_1m.parquet")),
        ("flat bars", "flat bars", link),
        ("bars without volume", "zero volume", link),
        (
            "series that start apart",
            "spans",
            quality_report(pl.concat([read_as_found(p).frame for p in (sol, folder / "LINK-USDT_1m.parquet")])),
        ),
        (
            "a last bar that was still open, by the clock",
            "partial last bar",
            quality_report(daily, now=dt.datetime(2025, 11, 11, 23, tzinfo=dt.UTC)),
        ),
    ]
    rows = []
    for quirk, name, report in looks:
        named = [check for check in report.checks if check.name == name and check.severity is not Severity.OK]
        assert named, f"{quirk} was not named"
        shown = max(named, key=lambda check: check.count) if name == "flash crash" else named[0]
        rows.append((quirk, name, shown.sentence.replace(f"{folder}/", "")))
    return rows


def main() -> str:
    """Count, name, then time."""
    bars = clean_rows()
    assert not counts_of(quality_report(bars, now=NOW)), "clean rows are not called clean"
    dirty, expected = planted(bars)
    found = counts_of(quality_report(dirty, now=NOW))
    wrong = {name: (count, found.get(name)) for name, count in expected.items() if found.get(name) != count}
    assert not wrong, f"planted and found differ: {wrong}"
    checks = {check.name for check in quality_report(bars, now=NOW).checks}
    assert len(checks) >= 15
    timed = {}
    for name, frame in (("clean, sorted", bars), ("with all defects, unsorted", dirty)):
        quality_report(frame[:1000], now=NOW)
        seconds = []
        for _ in range(7):
            began = time.process_time()
            quality_report(frame, now=NOW)
            seconds.append(time.process_time() - began)
        timed[name] = statistics.median(seconds)
    text = f"# Data quality\n\n{len(checks)} checks on {ROWS:,} rows, {SYMBOLS} symbols.\n\n"
    rows = [[name, f"<= {BAR} s", f"{seconds:.2f} s"] for name, seconds in timed.items()]
    text += markdown_table(["rows", "bar, CPU", "CPU, median of 7"], rows)
    text += "\n\nPlanted and found; nothing is found in the clean rows:\n\n"
    text += markdown_table(["check", "planted", "found"], [[n, f"{c:,}", f"{found[n]:,}"] for n, c in expected.items()])
    text += "\n\nQuirks of the real files:\n\n"
    text += markdown_table(["quirk", "check", "in words"], quirks(market_data() / "candles"))
    assert all(seconds <= BAR for seconds in timed.values()), text
    return text
