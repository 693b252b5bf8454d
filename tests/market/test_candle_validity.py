"""What candles must not be, where segments begin, and what the fingerprint depends on."""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from huracan.errors import CandleError, NotEnoughData
from huracan.market import CANDLE_SCHEMA, bar_length, candles_hash, read_candles, validate_candles, with_segments
from huracan.preprocessing.cleaning import clean_candles
from huracan.preprocessing.quality import quality_report

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def bars_at(hours: list[float], symbol: str = "A") -> pl.DataFrame:
    n = len(hours)
    close = 100 + np.sin(np.arange(n))
    frame = {
        "symbol": [symbol] * n,
        "ts": [START + hour * HOUR for hour in hours],
        "open": np.concatenate([[100.0], close[:-1]]),
        "high": [102.0] * n,
        "low": [98.0] * n,
        "close": close,
        "volume": 1.0 + np.arange(n) % 5,
    }
    return pl.DataFrame(frame, schema=CANDLE_SCHEMA)


def with_value(column: str, value: float | None, row: int = 3, n: int = 10) -> pl.DataFrame:
    at = pl.int_range(pl.len()) == row
    return bars_at(list(range(n))).with_columns(pl.when(at).then(pl.lit(value, pl.Float64)).otherwise(column).alias(column))


def test_valid_candles_come_back_as_the_same_object() -> None:
    bars = bars_at([0, 1, 2, 3])
    assert validate_candles(bars) is bars


@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
@pytest.mark.parametrize(
    ("value", "said"), [(float("nan"), "NaN|nan"), (float("inf"), "inf"), (None, "missing"), (0.0, "0.0"), (-5.0, "-5.0")]
)
def test_impossible_prices_are_refused_by_symbol_column_time_and_count(column: str, value: float | None, said: str) -> None:
    with pytest.raises(
        CandleError, match=rf"^A: '{column}' is ({said}) at 2025-01-01 03:00 UTC \(1 bar\); a finite price above 0"
    ):
        validate_candles(with_value(column, value))


@pytest.mark.parametrize(("column", "value"), [("volume", 1e308), ("high", 1e120), ("low", 1e-310)])
def test_what_overflows_in_money_is_refused_by_whoever_reads(column: str, value: float) -> None:
    """Reading, storing, checking and cleaning ask the same, so that none lets pass what the next one refuses."""
    bars = with_value(column, value)
    said = rf"^A: '{column}' is .* at 2025-01-01 03:00 UTC \(1 bar\); a number from .* to 1e\+100 was expected"
    with pytest.raises(CandleError, match=said):
        validate_candles(bars)
    with pytest.raises(CandleError, match=said):
        read_candles(bars)
    with pytest.raises(CandleError, match=rf"^A: {column} is .* in row 3 .* to 1e\+100 was expected, invalid='drop'"):
        clean_candles(bars)
    assert not quality_report(bars).ok


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, -1.0])
def test_impossible_volume_is_refused(value: float | None) -> None:
    with pytest.raises(CandleError, match=r"^A: 'volume' is .* at 2025-01-01 03:00 UTC \(1 bar\)"):
        validate_candles(with_value("volume", value))


def test_a_bar_must_hold_its_own_open_and_close() -> None:
    with pytest.raises(CandleError, match=r"high 97.0 is below low 98.0 at 2025-01-01 03:00 UTC \(1 bar\)"):
        validate_candles(with_value("high", 97.0))
    with pytest.raises(CandleError, match=r"open 103.0 is outside \[98.0, 102.0\]"):
        validate_candles(with_value("open", 103.0))
    with pytest.raises(CandleError, match=r"close 97.5 is outside \[98.0, 102.0\]"):
        validate_candles(with_value("close", 97.5))


def test_isolated_flat_silent_and_missing_bars_are_real_markets() -> None:
    validate_candles(with_value("volume", 0.0))
    flat = pl.int_range(pl.len()) == 3
    validate_candles(
        bars_at(list(range(10))).with_columns(
            pl.when(flat).then(100.0).otherwise(c).alias(c) for c in ("open", "high", "low", "close")
        )
    )
    validate_candles(bars_at([0, 1, 2, 5, 6, 9]))


def test_a_symbol_that_never_moves_never_trades_or_has_one_bar_is_refused() -> None:
    bars = bars_at(list(range(5)))
    with pytest.raises(CandleError, match=r"A: the price is 100.0 on all 5 bars"):
        validate_candles(bars.with_columns(pl.lit(100.0).alias(c) for c in ("open", "high", "low", "close")))
    with pytest.raises(CandleError, match="A: volume is 0 on all 5 bars"):
        validate_candles(bars.with_columns(volume=pl.lit(0.0)))
    with pytest.raises(NotEnoughData, match="B has one bar"):
        validate_candles(pl.concat([bars, bars_at([0], "B")]))
    with pytest.raises(NotEnoughData, match="0 rows"):
        validate_candles(bars.clear())


def test_broken_time_is_refused() -> None:
    bars = bars_at(list(range(10)))
    with pytest.raises(CandleError, match=r"A: 2025-01-01 03:00 UTC is there more than once"):
        validate_candles(pl.concat([bars[:4], bars[3:]]))
    with pytest.raises(CandleError, match=r"A: 2025-01-01 03:00 UTC comes after a later bar"):
        validate_candles(pl.concat([bars[:3], bars[4:5], bars[3:4], bars[5:]]))
    with pytest.raises(CandleError, match=r"A: 2025-01-01 04:30 UTC is off the grid of its 1h bars"):
        validate_candles(bars_at([0, 1, 2, 3, 4.5, 5.5, 6.5, 7.5]))
    with pytest.raises(CandleError, match="stand together"):
        validate_candles(pl.concat([bars[:2], bars_at([0, 1], "B"), bars[2:]]))
    with pytest.raises(CandleError, match="symbols are not in order"):
        validate_candles(pl.concat([bars_at([0, 1], "B"), bars]))


@pytest.mark.parametrize(("short", "long"), [(60, 24), (24, 60), (500, 10)])
def test_mixed_bar_lengths_are_refused_in_one_symbol_and_between_symbols(short: int, long: int) -> None:
    minutes = [i / 60 for i in range(short)]
    hours = [minutes[-1] + 1 + i for i in range(long)]
    with pytest.raises(CandleError, match=r"A: bars of 1(m|h) become bars of 1(h|m) at "):
        validate_candles(bars_at(minutes + hours))
    with pytest.raises(CandleError, match="bar lengths are mixed: A of 1m and B of 1h"):
        validate_candles(pl.concat([bars_at(minutes), bars_at(hours, "B")]))


def test_missing_bars_at_random_and_weekends_are_not_another_bar_length() -> None:
    """Thin markets and exchanges that close: 200 random markets with 10 to 70 % of their bars missing all pass."""
    generator = np.random.default_rng(1)
    for _ in range(200):
        there = np.flatnonzero(generator.random(3000) > generator.uniform(0.1, 0.7))
        validate_candles(bars_at(there.astype(float).tolist()))
    days = [24.0 * day for day in range(1000) if day % 7 < 5]
    assert bar_length(validate_candles(bars_at(days))) == dt.timedelta(days=1)


def test_types_are_said() -> None:
    bars = bars_at([0, 1, 2])
    with pytest.raises(CandleError, match="column 'open' is Float32"):
        validate_candles(bars.with_columns(pl.col("open").cast(pl.Float32)))
    with pytest.raises(CandleError, match="column 'ts' is Datetime"):
        validate_candles(bars.with_columns(pl.col("ts").dt.convert_time_zone("Asia/Tokyo")))
    with pytest.raises(CandleError, match="no column 'close'"):
        validate_candles(bars.drop("close"))
    with pytest.raises(CandleError, match="candles are a LazyFrame"):
        validate_candles(bars.lazy())  # type: ignore[arg-type]


def test_segments_count_the_gaps_before_a_bar_within_its_symbol() -> None:
    generator = np.random.default_rng(2)
    parts, expected = [], []
    for symbol in "ABC":
        hours = np.flatnonzero(generator.random(300) > 0.2)
        parts.append(bars_at(hours.astype(float).tolist(), symbol))
        expected += np.concatenate([[0], np.cumsum(np.diff(hours) > 1)]).tolist()
    segmented = with_segments(pl.concat(parts))
    assert segmented["segment"].to_list() == expected
    assert segmented.schema["segment"] == pl.Int32
    assert_frame_equal(with_segments(segmented), segmented)


def test_segments_of_the_past_do_not_change_when_the_future_arrives() -> None:
    bars = bars_at([0, 1, 2, 5, 6, 7, 11, 12, 20, 21])
    whole = with_segments(bars)["segment"]
    for n in range(2, 11):
        assert with_segments(bars[:n])["segment"].to_list() == whole[:n].to_list()


def test_bar_length_needs_two_bars_of_one_symbol() -> None:
    with pytest.raises(NotEnoughData, match="at least two bars of one symbol"):
        bar_length(pl.concat([bars_at([0], "A"), bars_at([1], "B")]))


def test_the_hash_depends_on_the_bars_and_on_nothing_else(tmp_path: Path) -> None:
    bars = pl.concat([bars_at(list(range(50)), "A"), bars_at(list(range(50)), "B")])
    same = candles_hash(bars)
    bars.write_parquet(tmp_path / "few.parquet", row_group_size=7, compression="gzip")
    bars.write_parquet(tmp_path / "one.parquet", compression="uncompressed")
    assert candles_hash(read_candles(tmp_path / "few.parquet")) == same
    assert candles_hash(read_candles(tmp_path / "one.parquet")) == same
    assert candles_hash(pl.concat([bars[:13], bars[13:61], bars[61:]], rechunk=False)) == same
    assert candles_hash(with_segments(bars)) == same
    assert candles_hash(bars.with_columns(pl.col("symbol").cast(pl.Categorical))) == same
    changed = [
        bars[:-1],
        bars.with_columns(pl.col("symbol").replace("B", "C")),
        bars.with_columns(pl.col("ts") + dt.timedelta(milliseconds=1)),
        bars.with_columns(pl.col("close").shift(1, fill_value=1.0)),
        bars.with_columns(close=pl.col("open"), open=pl.col("close")),
        bars.with_columns(funding_rate=pl.lit(0.0)),
    ]
    assert len({same, *map(candles_hash, changed)}) == len(changed) + 1


def test_the_hash_is_sha256_over_symbols_times_and_columns_as_written_down() -> None:
    """Stored runs are compared by this hash, so its recipe is fixed; this spells it out with the standard library only."""
    bars = bars_at([0, 1, 2])
    digest = hashlib.sha256(repr([("A", 3)]).encode())
    digest.update(struct.pack("<3q", *(int(ts.timestamp()) * 1000 for ts in bars["ts"])))
    for name in ("open", "high", "low", "close", "volume"):
        digest.update(name.encode() + struct.pack("<3d", *bars[name]))
    assert candles_hash(bars) == digest.hexdigest()
