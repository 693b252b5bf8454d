"""Higher timeframes: what pandas gives, only whole bars, and none before its last lower bar has closed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from huracan.errors import CandleError, NotEnoughData
from huracan.market import (
    CANDLE_SCHEMA,
    closed_higher_bars,
    join_external,
    read_candles,
    resample_candles,
    resample_report,
    simulate_market,
    validate_candles,
)
from huracan.market.resampling import IncompleteReason
from huracan.validation import assert_causal

START = dt.datetime(2025, 3, 29, 13, 47, tzinfo=dt.UTC)  # a Saturday, off every grid but the minute's
PRICES = ("open", "high", "low", "close")
RULES = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


def make_bars(n: int = 3000, symbol: str = "A", *, seed: int = 0, minutes: int = 1, start: dt.datetime = START) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(generator.normal(0, 0.01, n)))
    opened = np.concatenate([[100.0], close[:-1]])
    spread = generator.uniform(0, 0.5, n)
    frame = {
        "symbol": [symbol] * n,
        "ts": [start + i * dt.timedelta(minutes=minutes) for i in range(n)],
        "open": opened,
        "high": np.maximum(opened, close) + spread,
        "low": np.minimum(opened, close) - spread,
        "close": close,
        "volume": generator.uniform(1, 9, n),
    }
    return pl.DataFrame(frame, schema=CANDLE_SCHEMA)


def panel(share: float = 1.0, n: int = 3000, minutes: int = 1) -> pl.DataFrame:
    generator = np.random.default_rng(5)
    parts = [
        make_bars(n, name, seed=i, minutes=minutes, start=START + 31 * i * dt.timedelta(minutes=minutes))
        for i, name in enumerate(("A", "B", "C"))
    ]
    return pl.concat(part.filter(pl.Series(generator.uniform(size=n) < share)) for part in parts)


def of_pandas(candles: pl.DataFrame, rule: str, whole: int, **options: object) -> pl.DataFrame:
    """The oracle: pandas, label and closed left, only bins with all their bars."""
    parts = []
    for name, part in candles.to_pandas().groupby("symbol"):
        bins = (
            part.set_index(part["ts"].dt.tz_localize(None))
            .drop(columns="ts")
            .resample(rule, label="left", closed="left", **options)
        )
        bars = bins.agg(RULES)[bins.size() == whole]
        parts.append(pl.from_pandas(bars.reset_index()).with_columns(symbol=pl.lit(name)))
    frame = pl.concat(parts).with_columns(pl.col("ts").dt.replace_time_zone("UTC"))
    return frame.select(pl.col(name).cast(kind) for name, kind in CANDLE_SCHEMA.items())


@pytest.mark.parametrize("share", [1.0, 0.995])
@pytest.mark.parametrize(
    ("to", "rule", "whole"), [("5m", "5min", 5), ("15m", "15min", 15), ("1h", "1h", 60), ("4h", "4h", 240), ("1d", "1D", 1440)]
)
def test_whole_bars_are_those_of_pandas(share: float, to: str, rule: str, whole: int) -> None:
    candles = panel(share)
    ours = resample_candles(candles, to)
    theirs = of_pandas(candles, rule, whole)
    assert_frame_equal(ours.drop("volume"), theirs.drop("volume"), check_exact=True)
    assert_frame_equal(ours, theirs, rel_tol=1e-12)
    assert share < 1 or to == "1d" or ours.height > 30


def test_weeks_open_on_monday_and_an_offset_moves_days() -> None:
    candles = panel(n=24 * 70, minutes=60).with_columns(ts=pl.col("ts").dt.truncate("1h"))
    weeks = resample_candles(candles, "1w")
    assert weeks.height == 27 and set(weeks["ts"].dt.weekday()) == {1} and set(weeks["ts"].dt.hour()) == {0}
    assert_frame_equal(weeks, of_pandas(candles, "W-MON", 168), rel_tol=1e-12)
    days = resample_candles(candles, "1d", offset="8h")
    assert set(days["ts"].dt.hour()) == {8}
    assert_frame_equal(days, of_pandas(candles, "1D", 24, offset="8h"), rel_tol=1e-12)
    assert_frame_equal(resample_candles(candles, "1d", offset=dt.timedelta(0)), resample_candles(candles, "1d", offset="0h"))


def test_sessions_off_the_hour_need_an_offset_and_are_told_so() -> None:
    candles = make_bars(200, minutes=60, start=dt.datetime(2025, 1, 1, 9, 30, tzinfo=dt.UTC))
    with pytest.raises(
        CandleError, match=r"1h at 2025-01-01 09:30 UTC does not fit into bars of 4h \(200 such bars\); offset='30m'"
    ):
        resample_candles(candles, "4h")
    assert_frame_equal(
        resample_candles(candles, "4h", offset="30m"), of_pandas(candles, "4h", 4, offset="30min"), rel_tol=1e-12
    )


@pytest.mark.parametrize("share", [1.0, 0.98])
def test_a_prefix_gives_exactly_the_bars_closed_by_then(share: float) -> None:
    """Bitwise, volume too: a sum must not depend on what comes later."""
    candles = panel(share, n=700).with_columns(funding_rate=pl.lit(1e-4))
    whole = closed_higher_bars(candles, "15m")
    for cut in candles["ts"].unique().sort()[2::7]:
        prefix = closed_higher_bars(candles.filter(pl.col("ts") <= cut), "15m", bar="1m")
        assert_frame_equal(prefix, whole.filter(pl.col("known_at") <= cut + dt.timedelta(minutes=1)), check_exact=True)


@settings(max_examples=60, deadline=None)
@given(kept=st.sets(st.integers(0, 47), min_size=1), factor=st.sampled_from([2, 3, 4, 6]), begin=st.integers(0, 5))
def test_complete_partial_and_counted_add_up(kept: set[int], factor: int, begin: int) -> None:
    start = dt.datetime(2025, 1, 1, begin, tzinfo=dt.UTC)
    candles = make_bars(48, minutes=60, start=start)[sorted(kept)]
    report = resample_report(candles, f"{factor}h", bar="1h")
    by_bin: dict[int, list[int]] = {}
    for hour in sorted(kept):
        by_bin.setdefault((hour + begin) // factor, []).append(hour)
    full = [number for number, hours in by_bin.items() if len(hours) == factor]
    midnight = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    assert report.candles["ts"].to_list() == [midnight + dt.timedelta(hours=number * factor) for number in full]
    assert report.complete == len(full) and report.incomplete.height == len(by_bin) - len(full)
    assert int(report.incomplete["bars"].sum()) + factor * len(full) == len(kept)
    assert sum(report.count(reason) for reason in IncompleteReason) == report.incomplete.height
    first, last = min(by_bin), max(by_bin)
    for row in report.incomplete.iter_rows(named=True):
        number = (row["ts"] - midnight) // dt.timedelta(hours=factor)
        late = number == first and by_bin[first][0] + begin > first * factor
        early = number == last and by_bin[last][-1] + begin < (last + 1) * factor - 1
        assert row["reason"] == ("start" if late else "end" if early else "gap")
    kept_all = resample_candles(candles, f"{factor}h", bar="1h", partial="keep")
    assert_frame_equal(kept_all.filter("complete").drop("complete"), report.candles)
    assert kept_all.height == len(by_bin)


def test_bars_never_mix_symbols() -> None:
    candles = panel()
    together = resample_candles(candles, "1h")
    apart = pl.concat(resample_candles(part, "1h") for _, part in candles.group_by("symbol", maintain_order=True))
    assert_frame_equal(together, apart, check_exact=True)
    validate_candles(together)


def test_funding_is_summed_and_null_where_none_is_due() -> None:
    candles = make_bars(24 * 4, minutes=60, start=dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
    rates = pl.when(pl.col("ts").dt.hour().is_in([0, 8])).then(pl.lit(0.25))
    four = resample_candles(candles.with_columns(funding_rate=rates), "4h")
    assert four["funding_rate"].to_list() == [0.25, None, 0.25, None, None, None] * 4
    assert resample_candles(candles.with_columns(funding_rate=rates), "1d")["funding_rate"].to_list() == [0.5] * 4
    assert "funding_rate" not in resample_candles(candles, "4h").columns


def test_resampling_in_two_steps_is_resampling_in_one() -> None:
    candles = panel(0.999)
    assert_frame_equal(
        resample_candles(resample_candles(candles, "15m"), "1h", bar="15m"), resample_candles(candles, "1h"), rel_tol=1e-12
    )
    assert_frame_equal(resample_candles(candles, "1m"), candles)


def test_the_sum_does_not_depend_on_how_the_frame_is_chunked() -> None:
    candles = panel()
    pieces = pl.concat(list(candles.iter_slices(17)), rechunk=False)
    assert_frame_equal(resample_candles(pieces, "4h"), resample_candles(candles, "4h"), check_exact=True)


def test_a_lower_bar_sees_the_higher_bar_at_its_close_and_not_before() -> None:
    candles = make_bars(240, start=dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
    higher = closed_higher_bars(candles, "1h")
    assert ((higher["known_at"] - higher["ts"]) == dt.timedelta(hours=1)).all()
    joined = join_external(candles, higher, columns=["close"], prefix="1h_", bar="1m")["1h_close"]
    closes = candles["close"].gather_every(60, 59)
    assert joined[:59].null_count() == 59  # the hour's last minute is the first whose decision time is the hour's close
    assert joined[59] == closes[0] and joined[118] == closes[0] and joined[119] == closes[1] and joined[239] == closes[3]

    def feature(prefix: pl.DataFrame) -> pl.DataFrame:
        bars = closed_higher_bars(prefix, "1h", bar="1m")
        return join_external(prefix, bars, columns=["high", "volume"], prefix="1h_", bar="1m").select("symbol", "ts", "^1h_.*$")

    assert assert_causal(feature, panel(0.99, n=500), cuts=60).n_values > 0


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        ({}, {"to": "30s"}, "30s is shorter than the bars of 1m"),
        ({}, {"to": "90s"}, "90s is no whole multiple of the bars of 1m"),
        ({}, {"to": "1M"}, "to is '1M'; a length such as"),
        ({}, {"to": "5m", "partial": "both"}, "partial is 'both'"),
        ({}, {"to": "5m", "offset": "5m"}, "offset is 5m; less than the bar of 5m"),
        ({}, {"to": "5m", "offset": "-1m"}, "offset is '-1m'"),
        ({"ts": pl.col("ts").reverse()}, {"to": "5m"}, "comes after a later bar"),
        ({"ts": pl.lit(START).cast(pl.Datetime("ms", "UTC"))}, {"to": "5m"}, "is there more than once"),
        ({"symbol": pl.Series(["A", "B"] * 1500)}, {"to": "5m"}, "do not stand together|comes after"),
        ({"close": pl.col("close").cast(pl.Float32)}, {"to": "5m"}, "column 'close' is Float32"),
        ({"ts": pl.col("ts") + pl.duration(seconds=30)}, {"to": "5m"}, "offset='30s' moves the grid there"),
    ],
)
def test_what_cannot_be_resampled_gets_one_sentence(change: dict[str, pl.Expr], options: dict[str, str], sentence: str) -> None:
    with pytest.raises(CandleError, match=sentence) as caught:
        resample_candles(make_bars().with_columns(**change), **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_missing_columns_and_too_few_bars() -> None:
    with pytest.raises(CandleError, match="no column 'volume'"):
        resample_candles(make_bars().drop("volume"), "5m")
    with pytest.raises(NotEnoughData, match="at least two bars"):
        resample_candles(make_bars(1), "5m")
    assert resample_candles(make_bars(1), "5m", bar="1m").schema == CANDLE_SCHEMA
    assert resample_candles(make_bars(5).clear(), "5m", bar="1m").is_empty()


def test_the_report_says_what_was_left_out() -> None:
    candles = make_bars(600, start=dt.datetime(2025, 1, 1, 0, 7, tzinfo=dt.UTC)).filter(pl.int_range(pl.len()) != 300)
    report = resample_report(candles, "1h")
    assert report.sentence == (
        "bars of 1m make 8 whole bars of 1h; 3 that are not whole (1 at the start, 1 at the end, 1 at gaps) were left out "
        "with their 119 bars of 1m."
    )
    assert "were kept and marked" in resample_report(candles, "1h", partial="keep").sentence
    assert resample_report(make_bars(60, start=dt.datetime(2025, 1, 1, tzinfo=dt.UTC)), "1h").sentence == (
        "bars of 1m make 1 whole bar of 1h."
    )


def test_real_minutes_become_the_hours_of_pandas(market_data: Path) -> None:
    candles = read_candles(market_data / "candles" / "LINK-USDT_1m.parquet").tail(60_000)
    assert_frame_equal(resample_candles(candles, "4h"), of_pandas(candles, "4h", 240), rel_tol=1e-12)


def test_simulated_markets_survive_resampling() -> None:
    hourly = simulate_market(n_bars=500, n_symbols=2, seed=3).candles
    daily = resample_candles(hourly, "1d")
    validate_candles(daily)
    assert pd.Timestamp(daily["ts"][0]).hour == 0
