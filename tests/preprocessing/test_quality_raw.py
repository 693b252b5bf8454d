"""Raw, dirty data: everything wrong with it is listed in one go, and what a reader refuses the report never calls clean."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.errors import CandleError, DataError
from huracan.market import CANDLE_SCHEMA, read_candles, simulate_market
from huracan.preprocessing.quality import QualityCheck, QualityReport, Severity, quality_report, read_as_found

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


def clean(n: int = 600, symbol: str = "A", seed: int = 0, step: dt.timedelta = dt.timedelta(minutes=1)) -> pl.DataFrame:
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


def put(bars: pl.DataFrame, row: int, **values: object) -> pl.DataFrame:
    here = pl.int_range(pl.len()) == row
    return bars.with_columns(pl.when(here).then(pl.lit(v)).otherwise(name).alias(name) for name, v in values.items())


def of(report: QualityReport, name: str) -> list[QualityCheck]:
    return [check for check in report.checks if check.name == name and check.severity is not Severity.OK]


DEFECTS = {
    "null": lambda bars, row: put(bars, row, close=None),
    "nan": lambda bars, row: put(bars, row, open=float("nan")),
    "infinite": lambda bars, row: put(bars, row, high=float("inf")),
    "negative": lambda bars, row: put(bars, row, volume=-1.0),
    "zero price": lambda bars, row: put(bars, row, low=0.0),
    "high below low": lambda bars, row: put(bars, row, high=1.0),
    "close outside": lambda bars, row: put(bars, row, close=500.0),
    "duplicate": lambda bars, row: pl.concat([bars[: row + 1], bars[row:]]),
    "conflict": lambda bars, row: pl.concat([bars[: row + 1], put(bars, row, volume=77.0)[row:]]),
    "unsorted": lambda bars, row: pl.concat([bars[:row], bars[row + 5 :], bars[row : row + 5]]),
    "off grid": lambda bars, row: put(bars, row, ts=bars["ts"][row] + dt.timedelta(seconds=20)),
    "longer bars": lambda bars, row: pl.concat([bars[:300], bars[300::5]]),
    "constant": lambda bars, row: bars.with_columns(pl.lit(5.0).alias(c) for c in ("open", "high", "low", "close")),
    "silent": lambda bars, row: bars.with_columns(volume=0.0),
    "other length": lambda bars, row: pl.concat([bars, clean(100, "B", 1, dt.timedelta(hours=1))]),
    "one bar": lambda bars, row: pl.concat([bars, clean(1, "B")]),
    "nameless": lambda bars, row: put(bars, row, symbol=None),
    "timeless": lambda bars, row: put(bars, row, ts=None),
    "1970": lambda bars, row: bars.with_columns(ts=pl.col("ts").dt.epoch("s").cast(pl.Datetime("ms", "UTC"))),
    "1970 once": lambda bars, row: put(bars, row, ts=dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(DEFECTS)), min_size=1, max_size=3, unique=True), st.integers(10, 250))
def test_what_the_reader_refuses_is_never_called_clean(names: list[str], row: int) -> None:
    """And the reverse: where the report finds no defect, the reader takes the frame."""
    bars = clean()
    for offset, name in enumerate(names):
        bars = DEFECTS[name](bars, row + 7 * offset)
    report = quality_report(bars, now=NOW)
    try:
        read_candles(bars)
    except DataError:
        assert not report.ok, names
    else:
        assert report.ok, report.sentence


def test_the_clean_frame_of_these_tests_is_clean() -> None:
    assert {check.severity for check in quality_report(clean(), now=NOW).checks} == {Severity.OK}


def test_all_defects_of_one_frame_are_listed_in_one_go() -> None:
    text = clean().with_columns(pl.col("open", "volume").cast(pl.String), pl.col("ts").dt.epoch("s"))
    text = put(put(put(text, 3, open="abc"), 5, volume=""), 8, close=float("nan"))
    text = put(put(text, 10, ts=text["ts"][10] * 1000), 11, ts=12)
    report = quality_report(pl.concat([text, text[50:60], text[70:71].with_columns(close=1.0)]), now=NOW)
    counted = {check.name: check.count for check in report.of("error")}
    assert counted == {
        "epoch": 1,  # the last of its name: the row that is no time
        "unreadable open": 1,
        "missing open": 1,
        "missing volume": 1,
        "missing close": 1,
        "duplicates": 10,
        "conflicting duplicates": 1,
        "unsorted": 1,  # time goes back in one place
        "close outside range": 1,
    }
    assert [check.count for check in of(report, "epoch")] == [1, 1]
    assert "is in milliseconds in 1 row, first in row 10, where most rows are in seconds" in of(report, "epoch")[0].sentence
    assert "12, which is no time in any unit, in 1 row, first in row 11" in of(report, "epoch")[1].sentence
    assert of(report, "gaps")[0].count == 1  # the bar without a time


@pytest.mark.parametrize(
    ("unit", "size"), [("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)]
)
def test_a_minority_of_another_unit_is_counted_and_read_in_its_own(unit: str, size: int) -> None:
    bars = clean(400)
    seconds = bars["ts"].dt.epoch("s")
    mixed = bars.with_columns(ts=seconds * (1000 if unit == "seconds" else 1))
    mixed = mixed.with_columns(ts=pl.when(pl.int_range(pl.len()).is_between(100, 149)).then(seconds * size).otherwise("ts"))
    found = read_as_found(mixed, now=NOW)
    assert found.frame["ts"].equals(bars["ts"])
    if unit != "seconds" or size != 1000:
        (check,) = [check for check in found.checks if check.name == "epoch"]
        assert (check.count, check.severity) == (50, Severity.ERROR)
        assert f"is in {unit} in 50 rows, first in row 100" in check.sentence


@pytest.mark.parametrize(
    ("tick", "said"),
    [
        ("ms", "seconds were read as milliseconds or milliseconds as microseconds"),
        ("us", "milliseconds were read as microseconds"),
        ("ns", "milliseconds were read as nanoseconds"),
    ],
)
def test_a_unit_mistake_is_named_and_the_other_checks_see_the_times_that_are_meant(tick: str, said: str) -> None:
    bars = clean().filter(pl.int_range(pl.len()) != 300)
    number = bars["ts"].dt.epoch("s" if tick == "ms" else "ms")
    report = quality_report(bars.with_columns(ts=number.cast(pl.Datetime(tick, "UTC"))), now=NOW)  # type: ignore[arg-type]
    (epoch,) = of(report, "epoch")
    assert (epoch.count, epoch.severity) == (599, Severity.ERROR) and said in epoch.sentence
    (gap,) = of(report, "gaps")
    assert (gap.count, gap.first_time) == (1, START + dt.timedelta(minutes=301))


def test_a_column_that_is_not_there_is_a_defect_and_the_rest_is_looked_at() -> None:
    report = quality_report(clean().drop("volume", "high").with_columns(low=pl.lit(None, pl.Float64)), now=NOW)
    assert [check.name for check in report.of("error")].count("missing column") == 2
    assert of(report, "missing low")[0].share == 1.0


def test_daylight_saving_taken_for_utc_is_recognised() -> None:
    berlin = (
        pl.datetime_range(dt.datetime(2024, 1, 1), dt.datetime(2025, 1, 1), "1h", time_unit="ms", time_zone="UTC", eager=True)
        .dt.convert_time_zone("Europe/Berlin")
        .dt.replace_time_zone(None)
        .dt.replace_time_zone("UTC")
    )
    bars = clean(berlin.len(), step=dt.timedelta(hours=1)).with_columns(berlin.alias("ts"))
    assert of(quality_report(bars, now=NOW), "daylight saving")
    days = clean(700, step=dt.timedelta(days=1))
    local = (days["ts"].dt.replace_time_zone(None).dt.replace_time_zone("America/New_York")).dt.convert_time_zone("UTC")
    (found,) = of(quality_report(days.with_columns(local.alias("ts")), now=dt.datetime(2028, 1, 1)), "daylight saving")
    assert found.count == 4
    assert not of(quality_report(days, now=dt.datetime(2028, 1, 1)), "daylight saving")


def test_a_market_that_closes_is_no_defect() -> None:
    hours = clean(24 * 60, step=dt.timedelta(hours=1))
    weekdays = hours.filter(pl.col("ts").dt.weekday() <= 5)
    report = quality_report(weekdays, now=NOW)
    assert "no bar on Saturdays and Sundays" in of(report, "sessions")[0].sentence
    assert of(report, "gaps")[0].severity is Severity.NOTE
    day = hours.filter(pl.col("ts").dt.hour().is_between(9, 16))
    assert "trades between 09:00 and 17:00 UTC only" in of(quality_report(day, now=NOW), "sessions")[0].sentence
    assert not of(quality_report(hours, now=NOW), "sessions")


def test_a_bar_that_is_still_open_is_certain_by_the_clock() -> None:
    bars = clean()
    last = bars["ts"][-1]
    (open_now,) = of(quality_report(bars, now=last + dt.timedelta(seconds=59)), "partial last bar")
    assert (open_now.severity, open_now.first_time, open_now.count) == (Severity.WARNING, last, 1)
    assert not of(quality_report(bars, now=last + dt.timedelta(seconds=60)), "partial last bar")


def test_a_file_written_before_its_last_bar_ended_holds_an_open_bar(tmp_path: Path) -> None:
    import os

    bars, path = clean(), tmp_path / "A_1m.parquet"
    bars.write_parquet(path)
    for seconds, count in ((30, 1), (90, 0)):
        moment = bars["ts"][-1].timestamp() + seconds
        os.utime(path, (moment, moment))
        assert len(of(quality_report(path, now=NOW), "partial last bar")) == count


def test_a_last_bar_with_little_volume_is_a_note_once_in_a_hundred_by_chance() -> None:
    alarms = []
    for seed in range(300):
        generator = np.random.default_rng(seed)
        bars = clean(400, seed=seed).with_columns(volume=np.exp(generator.normal(0, 1, 400)))
        alarms += of(quality_report(bars, now=NOW), "partial last bar")
        tenth = bars.with_columns(volume=pl.when(pl.int_range(pl.len()) == 399).then(0.01).otherwise("volume"))
        (check,) = of(quality_report(tenth, now=NOW), "partial last bar")
        assert check.severity is Severity.NOTE
    assert len(alarms) <= 10  # 3 expected; more than 10 of 300 at 1 % happens once in three thousand


def test_a_change_of_scale_and_a_bad_tick_are_told_apart() -> None:
    bars = clean()
    prices = ["open", "high", "low", "close"]
    split = bars.with_columns(pl.col(c) * pl.when(pl.int_range(pl.len()) >= 400).then(0.1).otherwise(1.0) for c in prices)
    report = quality_report(split, now=NOW)
    (scale,) = of(report, "price scale")
    assert (scale.count, scale.first_time) == (200, START + dt.timedelta(minutes=400))
    assert "near 1 / 10" in scale.sentence and not of(report, "bad ticks")
    slip = bars.with_columns(pl.col(c) * pl.when(pl.int_range(pl.len()) == 400).then(10.0).otherwise(1.0) for c in prices)
    report = quality_report(slip, now=NOW)
    (tick,) = of(report, "bad ticks")
    assert (tick.count, tick.first_time) == (1, START + dt.timedelta(minutes=400))
    assert not of(report, "price scale")


def test_absurd_volume_and_one_series_under_two_names() -> None:
    bars = put(clean(), 200, volume=2.0**63)
    (absurd,) = of(quality_report(bars, now=NOW), "absurd volume")
    assert absurd.count == 1
    twice = pl.concat([bars, bars.with_columns(symbol=pl.lit("B"))])
    assert "the same bars as A" in of(quality_report(twice, now=NOW), "identical series")[0].sentence


def test_times_of_the_bars_end_and_of_another_zone_are_found_against_a_reference() -> None:
    bars = clean(3000)
    for shift in (dt.timedelta(minutes=1), dt.timedelta(hours=9), dt.timedelta(hours=-5)):
        moved = bars.with_columns(pl.col("ts") + shift)
        (check,) = of(quality_report(moved, reference=bars, now=NOW), "clock against reference")
        assert check.severity is Severity.ERROR
        hours = "1m later" if shift.seconds == 60 else "9h later" if shift.days == 0 else "5h earlier"
        assert hours in check.sentence
    assert not of(quality_report(bars, reference=bars, now=NOW), "clock against reference")


def test_a_symbol_whose_clock_is_not_that_of_the_others_is_found() -> None:
    """Three coins that share a market factor, one of them nine hours late; unrelated coins are never said to disagree."""
    factor = np.random.default_rng(0).normal(0, 0.001, 4000)
    together = []
    for seed, symbol in enumerate("ABC"):
        own = np.random.default_rng(seed + 1).normal(0, 0.001, 4000)
        close = 100 * np.exp(np.cumsum(factor + own))
        together.append(clean(4000, symbol).with_columns(pl.Series(c, close) for c in ("open", "high", "low", "close")))
    assert not of(quality_report(pl.concat(together), now=NOW), "clock against others")
    for shift, said in ((dt.timedelta(hours=9), "9h later"), (dt.timedelta(minutes=-1), "1m earlier")):
        moved = [*together[:2], together[2].with_columns(pl.col("ts") + shift)]
        (check,) = of(quality_report(pl.concat(moved), now=NOW), "clock against others")
        assert check.symbol == "C" and said in check.sentence
    apart = pl.concat([clean(4000, symbol, seed) for seed, symbol in enumerate("ABC")])
    assert not of(quality_report(apart, now=NOW), "clock against others")


def test_longer_bars_are_compared_with_the_shorter_ones_they_are_made_of() -> None:
    minutes = clean(6000)
    hour = pl.col("ts").dt.truncate("1h")
    hours = minutes.group_by(hour.alias("ts"), maintain_order=True).agg(
        pl.col("symbol", "open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
    )
    hours = hours.select(minutes.columns)
    (same,) = [check for check in quality_report(hours, reference=minutes, now=NOW).checks if check.name == "other venue"]
    assert same.severity is Severity.OK and "100% of the reference's volume" in same.sentence
    (other,) = of(quality_report(hours.with_columns(pl.col("volume") / 3), reference=minutes, now=NOW), "other venue")
    assert other.severity is Severity.ERROR and "33% of the reference's volume" in other.sentence


def test_a_venue_joined_on_in_the_middle_is_noticed() -> None:
    bars = clean(40_000)
    joined = bars.with_columns(volume=pl.col("volume") * pl.when(pl.int_range(pl.len()) >= 20_000).then(0.1).otherwise(1.0))
    (check,) = of(quality_report(joined, now=NOW), "venue change")
    assert check.first_time is not None
    assert abs(check.first_time - (START + dt.timedelta(minutes=20_000))) <= dt.timedelta(minutes=240)
    assert not of(quality_report(bars, now=NOW), "venue change")


def test_one_symbol_in_two_files_is_looked_at_apart_and_compared(tmp_path: Path) -> None:
    bars = clean(2000)
    bars.write_parquet(tmp_path / "A_1m.parquet")
    bars.with_columns(pl.col("volume") * 0.2, pl.col("high") * 1.0002).write_parquet(tmp_path / "A_1m_other.parquet")
    (tmp_path / "B_1m.parquet").write_bytes(b"not parquet")
    (tmp_path / "notes.txt").write_text("nothing here")
    report = quality_report(tmp_path, now=NOW)
    assert len(of(report, "unreadable file")) == 1
    (overlapping,) = of(report, "overlapping files")
    assert (overlapping.symbol, overlapping.count, overlapping.share) == ("A (A_1m_other.parquet)", 2000, 1.0)
    assert "20% of the reference's volume" in of(report, "other venue")[0].sentence
    assert not of(report, "duplicates")


def test_pandas_and_csv_are_read_as_they_are(tmp_path: Path) -> None:
    bars = put(clean(), 5, high=1.0)
    pandas = bars.to_pandas().set_index("ts")
    assert isinstance(pandas, pd.DataFrame)
    bars.write_csv(tmp_path / "A_1m.csv")
    for source in (pandas, tmp_path / "A_1m.csv", str(tmp_path)):
        assert of(quality_report(source, now=NOW), "high below low")[0].count == 1


def test_a_pandas_column_of_mixed_types_is_read_value_by_value() -> None:
    mixed = clean().to_pandas()
    mixed["open"] = mixed["open"].astype(object)
    mixed.loc[3, "open"] = "broken"
    mixed.loc[4, "open"] = None
    report = quality_report(mixed, now=NOW)
    assert {check.name: check.count for check in report.of("error")} == {"unreadable open": 1, "missing open": 2}


def test_a_real_january_of_1970_is_no_defect() -> None:
    days = clean(9000, step=dt.timedelta(days=1)).with_columns(pl.col("ts") - dt.timedelta(days=365 * 60))
    report = quality_report(days, now=NOW)
    assert days["ts"][0].year < 1970 < days["ts"][-1].year and report.ok


def test_nothing_that_can_be_looked_at_is_one_sentence() -> None:
    with pytest.raises(CandleError, match="no row has a readable time"):
        quality_report(clean(3).with_columns(ts=pl.lit("never")), now=NOW)


def test_a_simulated_market_has_no_defect() -> None:
    candles = simulate_market(n_bars=3000, n_symbols=3, seed=0).candles
    assert quality_report(candles).ok


def test_every_quirk_is_named(market_data: Path) -> None:
    quirks = market_data / "candles" / "quirks"
    found = quality_report(quirks / "SOL-USDT_1m_AS_FOUND_ts1970.parquet")
    (epoch,) = of(found, "epoch")
    assert (epoch.count, epoch.severity) == (10_081, Severity.ERROR)
    assert "milliseconds as microseconds" in epoch.sentence and "2025-11-01 03:18 UTC is meant" in epoch.sentence
    other = quality_report(
        quirks / "SOL-USDT_1m_OTHER_VENUE.parquet", reference=market_data / "candles" / "SOL-USDT_1m.parquet"
    )
    assert "another venue" in of(other, "other venue")[0].sentence and not other.ok


def test_no_wolf_is_cried_on_real_files(market_data: Path) -> None:
    quiet = {"venue change", "price scale", "bad ticks", "absurd volume", "identical series", "partial last bar", "sessions"}
    paths = sorted((market_data / "candles").glob("*.parquet"))
    minutes = pl.concat([pl.read_parquet(path).with_columns(pl.col("symbol").cast(pl.String)) for path in paths[:-1]])
    assert not of(quality_report(minutes), "clock against others")
    for path in paths:
        report = quality_report(path)
        assert report.ok, path
        assert not quiet & {check.name for check in report.checks if check.severity is not Severity.OK}, path


def test_the_clock_tells_that_the_last_daily_bar_was_open(market_data: Path) -> None:
    """Its values cannot: volume is 1.25 times that of the days before."""
    source = market_data / "candles" / "daily_40.parquet"
    report = quality_report(source, now=dt.datetime(2025, 11, 11, 23, 30, tzinfo=dt.UTC))
    assert len(of(report, "partial last bar")) == 40


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000))
def test_no_frame_whatever_is_in_it_ends_in_anything_but_a_report_or_a_sentence(seed: int) -> None:
    """Times of any kind, columns that are null, text, huge or negative, rows shuffled, repeated or missing."""
    generator = np.random.default_rng(seed)
    n = int(generator.choice([1, 2, 3, 30, 200, 700]))
    bars = clean(n, seed=seed, step=dt.timedelta(seconds=int(generator.choice([60, 3600, 86_400, 604_800])))).drop("symbol")
    times = (
        pl.col("ts").dt.epoch("s"),
        pl.col("ts").dt.epoch("ns"),
        pl.col("ts").dt.replace_time_zone(None),
        pl.col("ts").dt.strftime("%Y-%m-%d %H:%M:%S"),
        pl.col("ts").dt.date(),
        pl.Series("ts", generator.choice([0.0, 1e18, -5.0, float("nan"), 1.6e9], n)),
    )
    bars = bars.with_columns(times[int(generator.integers(len(times)))].alias("ts"))  # type: ignore[union-attr]
    for name in generator.choice(["open", "high", "low", "close", "volume"], int(generator.integers(0, 4)), replace=False):
        here = pl.int_range(pl.len()) == int(generator.integers(n))
        changes = (
            pl.when(here).then(None).otherwise(name),
            pl.when(here).then(float("inf")).otherwise(name),
            pl.when(here).then(pl.lit("x")).otherwise(pl.col(name).cast(pl.String)),
            pl.lit(None, pl.Float64),
            pl.lit(0.0),
            pl.col(name) * 1e300,
            -pl.col(name),
        )
        bars = bars.with_columns(changes[int(generator.integers(len(changes)))].alias(name))
    if generator.random() < 0.5:
        bars = bars.with_columns(symbol=pl.Series(generator.choice(["A", "B", ""], n)))
    bars = pl.concat([bars.sample(fraction=float(generator.uniform(0.5, 1)), shuffle=bool(seed % 2), seed=seed), bars.head(2)])
    try:
        report = quality_report(bars, reference=clean(300), now=NOW)
    except DataError as error:
        assert str(error).endswith(".")
    else:
        assert report.to_frame().height == len(report.checks) and report.to_json()
