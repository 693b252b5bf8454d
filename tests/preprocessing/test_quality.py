"""Every planted defect is found, counted and placed; what is real is flagged and never repaired; clean data is clean."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from huracan.errors import CandleError, NotEnoughData
from huracan.market import CANDLE_SCHEMA, ingest_candles, read_candles
from huracan.preprocessing.quality import QualityCheck, QualityReport, Severity, quality_report

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def random_walk(n: int = 2000, symbol: str = "A", seed: int = 0, step: dt.timedelta = MINUTE) -> pl.DataFrame:
    """A Gaussian random walk: nothing in it is unusual."""
    generator = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(generator.normal(0, 0.001, n)))
    opened = np.concatenate([[100.0], close[:-1]])
    frame = {
        "symbol": [symbol] * n,
        "ts": pl.datetime_range(START, START + (n - 1) * step, step, time_unit="ms", eager=True),
        "open": opened,
        "high": np.maximum(opened, close) * (1 + generator.uniform(0, 0.0005, n)),
        "low": np.minimum(opened, close) * (1 - generator.uniform(0, 0.0005, n)),
        "close": close,
        "volume": generator.uniform(1, 9, n),
    }
    return pl.DataFrame(frame, schema=CANDLE_SCHEMA)


def at(*rows: int) -> pl.Expr:
    return pl.int_range(pl.len()).is_in(rows)


def put(bars: pl.DataFrame, column: str, value: float | None, *rows: int) -> pl.DataFrame:
    return bars.with_columns(pl.when(at(*rows)).then(pl.lit(value)).otherwise(column).alias(column))


def the(report: QualityReport, name: str, symbol: str | None = "A") -> QualityCheck:
    (check,) = [check for check in report.checks if check.name == name and check.symbol == symbol]
    return check


def names(report: QualityReport, severity: Severity) -> set[str]:
    return {check.name for check in report.of(severity)}


def test_clean_candles_are_clean_and_every_check_says_that_it_was_made() -> None:
    report = quality_report(pl.concat([random_walk(), random_walk(symbol="B", seed=1)]))
    assert report.ok
    assert {check.severity for check in report.checks} == {Severity.OK}
    assert {check.symbol for check in report.checks} == {None}
    made = {check.name for check in report.checks}
    assert {"gaps", "duplicates", "unsorted", "off-grid", "high below low", "zero volume", "flat bars", "stale runs"} <= made
    assert {"coverage", "outlier returns", "flash crash", "epoch", "time zone", "spans", "clock", "bar length"} <= made


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("missing open", "open", float("nan")),
        ("missing volume", "volume", None),
        ("impossible open", "open", float("-inf")),
        ("impossible high", "high", float("inf")),
        ("impossible low", "low", 0.0),
        ("impossible close", "close", -1.0),
        ("impossible volume", "volume", -1.0),
        ("impossible volume", "volume", 1e308),
        ("impossible open", "open", 1e-310),
        ("high below low", "high", 1.0),
        ("open outside range", "open", 500.0),
        ("close outside range", "close", 500.0),
    ],
)
def test_impossible_values_are_errors_at_their_place(name: str, column: str, value: float | None) -> None:
    report = quality_report(put(random_walk(), column, value, 700, 900))
    check = the(report, name)
    assert not report.ok
    assert (check.severity, check.count, check.share) == (Severity.ERROR, 2, 2 / 2000)
    assert (check.first_time, check.last_time) == (START + 700 * MINUTE, START + 900 * MINUTE)
    assert "A: " in check.sentence
    assert "2025-01-01 11:40 UTC" in check.sentence


def test_broken_order_and_grid_are_errors() -> None:
    bars = random_walk()
    twice = quality_report(pl.concat([bars[:500], bars[499:]]))
    assert (the(twice, "duplicates").count, the(twice, "duplicates").first_time) == (1, START + 499 * MINUTE)
    back = quality_report(pl.concat([bars[:500], bars[510:600], bars[500:510], bars[600:]]))
    assert (the(back, "unsorted").count, the(back, "unsorted").first_time) == (1, START + 500 * MINUTE)
    shifted = bars.with_columns(pl.when(at(500)).then(pl.col("ts") + dt.timedelta(seconds=30)).otherwise("ts").alias("ts"))
    assert (the(quality_report(shifted), "off-grid").count, the(quality_report(shifted), "off-grid").severity) == (
        2,
        Severity.ERROR,
    )
    hours = random_walk(100, "B", step=dt.timedelta(hours=1))
    lengths = the(quality_report(pl.concat([bars, hours])), "bar length", None)
    assert (lengths.severity, lengths.count, lengths.share) == (Severity.ERROR, 100, 100 / 2100)
    assert "single bar" in names(quality_report(pl.concat([bars, hours[:1]])), Severity.ERROR)


def test_gaps_and_coverage_count_the_bars_that_are_missing() -> None:
    bars = random_walk().filter(~at(*range(100, 110), 500))
    report = quality_report(bars)
    gaps, coverage = the(report, "gaps"), the(report, "coverage")
    assert (gaps.count, gaps.share, gaps.severity) == (11, 11 / 2000, Severity.NOTE)
    assert (gaps.first_time, gaps.last_time) == (START + 110 * MINUTE, START + 501 * MINUTE)
    assert (coverage.count, coverage.share) == (1989, 1 - 11 / 2000)
    assert the(quality_report(random_walk().filter(~at(*range(100, 200)))), "gaps").severity is Severity.WARNING


def test_bars_without_trades_and_prices_that_stand_still() -> None:
    bars = put(random_walk(), "volume", 0.0, 10, 20, 30)
    assert (the(quality_report(bars), "zero volume").count, the(quality_report(bars), "zero volume").severity) == (
        3,
        Severity.NOTE,
    )
    many = the(quality_report(bars.with_columns(volume=pl.when(at(*range(200))).then(0.0).otherwise("volume"))), "zero volume")
    assert many.severity is Severity.WARNING
    for name in ("open", "high", "low", "close"):
        bars = put(bars, name, 100.0, *range(300, 325))
    report = quality_report(bars)
    assert the(report, "flat bars").count == 25
    stale = the(report, "stale runs")
    assert (stale.count, stale.first_time, stale.last_time) == (24, START + 301 * MINUTE, START + 324 * MINUTE)
    assert "longest 24" in stale.sentence


def test_an_outlier_return_is_judged_by_its_own_neighbourhood() -> None:
    """The same 2 % move is an outlier in a calm market and nothing in a wild one."""
    calm = random_walk(4000)
    jump = pl.when(pl.int_range(pl.len()) >= 3000).then(1.02).otherwise(1.0)
    wild = calm.with_columns(pl.col(c).log().sub(np.log(100)).mul(20).exp().mul(100) for c in ("open", "high", "low", "close"))
    jumped = [bars.with_columns(pl.col(c) * jump for c in ("open", "high", "low", "close")) for bars in (calm, wild)]
    found = the(quality_report(jumped[0]), "outlier returns")
    assert (found.count, found.first_time) == (1, START + 3000 * MINUTE)
    assert the(quality_report(jumped[1]), "outlier returns", None).severity is Severity.OK


def test_a_gap_is_not_an_outlier_nor_a_crash() -> None:
    """A price that moved 30 % while no bar was there did not move within a bar."""
    bars = random_walk(4000)
    later = bars.with_columns(
        pl.col(c) * pl.when(at(*range(2000))).then(1.0).otherwise(1.3) for c in ("open", "high", "low", "close")
    )
    report = quality_report(later.filter(~at(*range(1990, 2010))))
    assert the(report, "outlier returns", None).severity is Severity.OK
    assert the(report, "flash crash", None).severity is Severity.OK


def test_a_planted_crash_is_one_episode_and_the_data_stay_as_they_are() -> None:
    fall = 1 - 0.2 * np.maximum(0, 1 - np.abs(np.arange(4000) - 3000) / 5)
    bars = random_walk(4000).with_columns(pl.col(c) * pl.Series(fall) for c in ("open", "high", "low", "close"))
    before = bars.clone()
    crash = the(quality_report(bars), "flash crash")
    assert_frame_equal(bars, before)
    assert crash.severity is Severity.WARNING
    assert crash.first_time is not None
    assert crash.last_time is not None
    assert START + 2980 * MINUTE <= crash.first_time <= START + 3000 * MINUTE <= crash.last_time <= START + 3020 * MINUTE
    assert "flagged, not repaired" in crash.sentence


def test_times_that_cannot_be() -> None:
    bars = random_walk()
    epoch = bars.with_columns(ts=pl.col("ts").dt.epoch("ms").floordiv(1000).cast(pl.Datetime("ms", "UTC")))
    assert (the(quality_report(epoch), "epoch").count, quality_report(epoch).ok) == (2000, False)
    assert the(quality_report(bars, now=START), "future").count == 2000 - 1441
    assert (
        the(quality_report(bars.with_columns(pl.col("ts").dt.replace_time_zone(None))), "time zone", None).severity
        is Severity.WARNING
    )
    tokyo = quality_report(bars.with_columns(pl.col("ts").dt.convert_time_zone("Asia/Tokyo")))
    assert "Asia/Tokyo" in the(tokyo, "time zone", None).sentence
    days = random_walk(500, step=dt.timedelta(days=1)).with_columns(pl.col("ts") - dt.timedelta(days=600, hours=9))
    assert the(quality_report(days), "clock").severity is Severity.WARNING


def test_series_that_start_and_end_apart_are_said() -> None:
    early, late = random_walk(1000), random_walk(1000, "B", seed=1).with_columns(pl.col("ts") + 400 * MINUTE)
    report = quality_report(pl.concat([early, late]))
    spans = the(report, "spans", None)
    assert (spans.first_time, spans.last_time) == (START + 400 * MINUTE, START + 999 * MINUTE)
    assert (spans.count, spans.share) == (800, 800 / 2000)  # 400 bars of each lie where the other has none
    assert "43% of the time is common" in spans.sentence  # 599 of 1399 minutes
    assert "(B)" in spans.sentence


def test_another_venue_is_recognised_against_a_reference() -> None:
    bars = random_walk()
    same = the(quality_report(bars, reference=bars), "other venue")
    assert (same.severity, same.count) == (Severity.OK, 0)
    other = bars.with_columns(pl.col("volume") * 0.3, pl.col("high") * 1.0001)
    found = the(quality_report(other, reference=bars), "other venue")
    assert (found.severity, found.share) == (Severity.ERROR, 1.0)
    assert len(found.drawn) > 300  # a page marks the bars that differ, not the first and the last alone
    assert "30% of the reference's volume" in found.sentence
    none = the(quality_report(bars, reference=random_walk(symbol="B")), "other venue")
    assert "no bar in common" in none.sentence


def test_the_report_survives_json_and_frame() -> None:
    read = ingest_candles(random_walk().with_columns(pl.col("ts").dt.epoch("s")))
    report = quality_report(read.candles.filter(~at(7)), notes=read.notes)
    assert any("recognised as seconds" in check.sentence for check in report.of("note"))
    back = json.loads(report.to_json())
    assert back["ok"] is True
    assert len(back["checks"]) == len(report.checks) == report.to_frame().height
    assert report.to_frame().filter(name="gaps")["first_time"][0] == START + 8 * MINUTE
    assert report.sentence.startswith("1,999 bars of 1m, 1 symbol, 2025-01-01 00:00 UTC to")


def test_what_is_no_frame_of_candles_is_refused() -> None:
    bars = random_walk(10)
    with pytest.raises(CandleError, match="a dict; a path"):
        quality_report({})
    with pytest.raises(CandleError, match="no column 'close'"):
        quality_report(bars.drop("close"))
    with pytest.raises(CandleError, match="no column 'ts'"):
        quality_report(bars.drop("ts"))
    with pytest.raises(NotEnoughData, match="0 rows"):
        quality_report(bars.clear())


def test_the_flash_crash_of_october_2025_is_flagged_on_every_symbol(market_data: Path) -> None:
    begin, end = (dt.datetime(2025, 10, 10, 21, minute, tzinfo=dt.UTC) for minute in (16, 26))
    days = dt.datetime(2025, 10, 1, tzinfo=dt.UTC), dt.datetime(2025, 10, 20, tzinfo=dt.UTC)
    files = sorted((market_data / "candles").glob("*_1m.parquet"))
    parts = [read_candles(file).filter(pl.col("ts").is_between(*days)) for file in files]
    together = quality_report(pl.concat(parts).sort("symbol", "ts"))
    assert len(parts) == 8
    for part in parts:
        symbol = part["symbol"][0]
        for report in (together, quality_report(part)):
            hit = [check for check in report.checks if check.name == "flash crash" and check.symbol == symbol]
            assert any(check.first_time <= begin and end <= check.last_time for check in hit), symbol  # type: ignore[operator]
        assert len(hit) <= 3


def test_daily_bars_flag_the_crash_and_nothing_is_an_error(market_data: Path) -> None:
    """TRX alone had a day that is not far out of its own past (a range of 12 %)."""
    report = quality_report(read_candles(market_data / "candles" / "daily_40.parquet"))
    day = dt.datetime(2025, 10, 10, tzinfo=dt.UTC)
    hit = {check.symbol for check in report.of("warning") if check.name == "flash crash" and check.first_time == day}
    assert report.ok
    assert len(hit - {"TRX-USDT"}) == 39


def test_real_minutes_have_the_counts_that_are_known(market_data: Path) -> None:
    """140 bars of LINK without volume and 4,037 flat ones, as the description of the data says; no gap, no error."""
    report = quality_report(read_candles(market_data / "candles" / "LINK-USDT_1m.parquet"))
    assert report.ok
    assert the(report, "zero volume", "LINK-USDT").count == 140
    assert the(report, "flat bars", "LINK-USDT").count == 4037
    assert the(report, "gaps", None).severity is Severity.OK


def test_the_other_venue_is_recognised(market_data: Path) -> None:
    folder = market_data / "candles"
    other = read_candles(folder / "quirks" / "SOL-USDT_1m_OTHER_VENUE.parquet")
    report = quality_report(other, reference=read_candles(folder / "SOL-USDT_1m.parquet"))
    check = the(report, "other venue", "SOL-USDT")
    assert check.severity is Severity.ERROR
    assert "another venue" in check.sentence


@pytest.mark.slow
def test_a_million_bars_take_half_a_second_of_processor_time() -> None:
    bars = pl.concat([random_walk(125_000, symbol, seed) for seed, symbol in enumerate("ABCDEFGH")])
    quality_report(bars[:1000])
    began = time.process_time()
    quality_report(bars)
    assert time.process_time() - began <= 0.5
