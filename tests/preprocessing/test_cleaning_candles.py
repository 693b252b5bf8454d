"""Cleaning does what its policy says and nothing else, accounts for every row, settles, and does not look ahead."""

from __future__ import annotations

import datetime as dt
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from huracan.errors import CandleError, NotEnoughData
from huracan.market import CANDLE_SCHEMA, read_candles, validate_candles
from huracan.preprocessing import CleanedCandles, CleaningPolicy, clean_candles, quality_report

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
PRICES = ("open", "high", "low", "close")


def walk(n: int = 1000, symbol: str = "A", seed: int = 0) -> pl.DataFrame:
    """Minutes of a Gaussian random walk that opens where it closed."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, n)))
    opened = np.concatenate([[100.0], close[:-1]])
    frame = {
        "symbol": [symbol] * n,
        "ts": pl.datetime_range(START, START + (n - 1) * MINUTE, MINUTE, time_unit="ms", eager=True),
        "open": opened,
        "high": np.maximum(opened, close) * (1 + rng.uniform(0, 0.0005, n)),
        "low": np.minimum(opened, close) * (1 - rng.uniform(0, 0.0005, n)),
        "close": close,
        "volume": rng.uniform(1, 9, n),
    }
    return pl.DataFrame(frame, schema=CANDLE_SCHEMA)


def at(*rows: int) -> pl.Expr:
    return pl.int_range(pl.len()).is_in(rows)


def put(bars: pl.DataFrame, column: str, value: float | None, *rows: int) -> pl.DataFrame:
    return bars.with_columns(pl.when(at(*rows)).then(pl.lit(value, pl.Float64)).otherwise(column).alias(column))


def tick(bars: pl.DataFrame, row: int, factor: float) -> pl.DataFrame:
    """A last trade of one bar at a wrong price; the next bar opens where it should."""
    bars = bars.with_columns(pl.when(at(row)).then(pl.col("close") * factor).otherwise("close").alias("close"))
    return bars.with_columns(
        high=pl.max_horizontal("high", "close").alias("high"), low=pl.min_horizontal("low", "close").alias("low")
    )


def level(bars: pl.DataFrame, row: int, factor: float) -> pl.DataFrame:
    """The price changes for good; the bar of the change opens at the old level."""
    later = pl.int_range(pl.len()) >= row
    moved = bars.with_columns(pl.when(later).then(pl.col(c) * factor).otherwise(c).alias(c) for c in PRICES)
    opened = pl.when(at(row)).then(pl.lit(bars["open"][row])).otherwise("open").alias("open")
    moved = moved.with_columns(opened)
    return moved.with_columns(pl.max_horizontal("open", "high").alias("high"), pl.min_horizontal("open", "low").alias("low"))


def rows_are_accounted_for(given: pl.DataFrame, cleaned: CleanedCandles) -> bool:
    filled = cleaned.counts.get("filled", 0)
    return cleaned.candles.height - filled + cleaned.set_aside.height == given.height


def canonical(cleaned: CleanedCandles) -> pl.DataFrame:
    return cleaned.candles.select(CANDLE_SCHEMA.names())


def test_the_default_alters_nothing() -> None:
    bars = pl.concat([tick(walk(), 500, 1.5), walk(symbol="B", seed=1)])
    cleaned = clean_candles(bars)
    assert_frame_equal(canonical(cleaned), bars)
    assert cleaned.changes.is_empty()
    assert cleaned.set_aside.is_empty()
    assert cleaned.policy.looks_ahead == () == cleaned.notes
    assert cleaned.candles.filter("outlier")["ts"].to_list() == [START + 500 * MINUTE, START + 501 * MINUTE]
    assert cleaned.counts == {"flagged": 2}
    assert "prices" not in cleaned.sentence
    assert cleaned.sentence == "2,000 rows of 2 symbols became 2,000 bars: 2 bars flagged as outliers, as they are."


def test_the_flash_crash_of_october_2025_is_flagged_and_stays_as_it_was(market_data: Path) -> None:
    """The default, and every policy that runs online, leaves each open and close of the crash as it was traded."""
    day = dt.datetime(2025, 10, 10, tzinfo=dt.UTC), dt.datetime(2025, 10, 11, tzinfo=dt.UTC)
    bars = read_candles(market_data / "candles" / "DOGE-USDT_1m.parquet").filter(pl.col("ts").is_between(*day))
    cleaned = clean_candles(bars)
    assert_frame_equal(canonical(cleaned), bars)
    begin, end = (dt.datetime(2025, 10, 10, 21, minute, tzinfo=dt.UTC) for minute in (16, 26))
    crash = cleaned.candles.filter(pl.col("ts").is_between(begin, end))
    assert crash["outlier"].sum() >= 9
    assert cleaned.candles["outlier"].sum() < 60
    assert cleaned.outliers.filter(pl.col("ts").is_between(begin, end))["value"].abs().max() > 0.2
    for policy in ("clip", "winsorise"):
        online = clean_candles(bars, CleaningPolicy(outliers=policy))
        assert_frame_equal(online.candles.select("open", "close"), bars.select("open", "close"))
        assert online.changes["column"].is_in(["high", "low"]).all()
    # One-bar round trips within the crash cannot be told from ticks even with the next bar; the fall itself stays.
    offline = clean_candles(bars, CleaningPolicy(outliers="clip", offline=True))
    fall = bars["close"].min() / bars["close"].max()
    assert offline.candles["close"].min() / offline.candles["close"].max() == pytest.approx(fall, rel=0.1)


@pytest.mark.parametrize("outliers", ["flag", "clip", "winsorise", "drop"])
def test_within_the_real_crash_nothing_is_known_early(market_data: Path, outliers: str) -> None:
    hours = dt.datetime(2025, 10, 10, 12, tzinfo=dt.UTC), dt.datetime(2025, 10, 10, 23, tzinfo=dt.UTC)
    bars = read_candles(market_data / "candles" / "DOGE-USDT_1m.parquet").filter(pl.col("ts").is_between(*hours))
    policy = CleaningPolicy(outliers=outliers)
    whole = clean_candles(bars, policy).candles
    for minute in range(14, 32):
        moment = dt.datetime(2025, 10, 10, 21, minute, tzinfo=dt.UTC)
        part = clean_candles(bars.filter(pl.col("ts") <= moment), policy).candles
        assert_frame_equal(part, whole.filter(pl.col("ts") <= moment), check_exact=True)


@pytest.mark.parametrize("outliers", ["clip", "winsorise"])
def test_online_repair_cuts_shadows_only(outliers: str) -> None:
    bars = walk()
    spiked = bars.with_columns(high=pl.when(at(600)).then(pl.col("high") * 2).otherwise("high"))
    cleaned = clean_candles(spiked, CleaningPolicy(outliers=outliers))
    row = cleaned.changes.filter(pl.col("ts") == START + 600 * MINUTE).row(0, named=True)
    assert (row["column"], row["old"]) == ("high", spiked["high"][600])
    assert cleaned.candles["high"][600] == row["new"] < bars["high"][600] * 1.02
    assert cleaned.candles["repaired"][600]
    assert_frame_equal(cleaned.candles.select("open", "close"), bars.select("open", "close"))
    validate_candles(canonical(cleaned))


@pytest.mark.parametrize("outliers", ["clip", "winsorise"])
@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_offline_repair_brings_back_a_lone_tick_and_leaves_a_new_level(outliers: str, factor: float) -> None:
    policy = CleaningPolicy(outliers=outliers, offline=True)
    clean = walk()
    cleaned = clean_candles(tick(clean, 600, factor), policy)
    assert cleaned.candles["repaired"][600]
    assert abs(np.log(cleaned.candles["close"][600] / clean["close"][600])) < 0.02
    assert "next bar" in cleaned.sentence
    validate_candles(canonical(cleaned))
    moved = level(clean, 600, factor)
    kept = clean_candles(moved, policy)
    assert_frame_equal(kept.candles["close"][590:610].to_frame(), moved["close"][590:610].to_frame())
    assert kept.candles["outlier"][600]
    online = clean_candles(tick(clean, 600, factor), CleaningPolicy(outliers=outliers))
    assert online.candles["close"][600] == tick(clean, 600, factor)["close"][600]


def test_ticks_in_turn_do_not_become_the_level() -> None:
    bars = walk()
    for row in (600, 602, 604):
        bars = tick(bars, row, 1.3)
    cleaned = clean_candles(bars, CleaningPolicy(outliers="clip", offline=True)).candles
    assert np.abs(np.log(cleaned["close"].to_numpy() / walk()["close"].to_numpy())).max() < 0.02
    assert cleaned["repaired"].sum() >= 3


def test_dropping_takes_the_tick_and_the_way_back() -> None:
    cleaned = clean_candles(tick(walk(), 600, 1.3), CleaningPolicy(outliers="drop"))
    assert cleaned.set_aside["row"].to_list() == [600, 601]
    assert cleaned.candles["segment"].max() == 1
    assert not cleaned.candles["outlier"].any()
    assert rows_are_accounted_for(walk(), cleaned)


def test_a_flat_market_is_neither_divided_by_nor_flagged() -> None:
    bars = walk(800).with_columns(pl.when(pl.int_range(pl.len()) < 400).then(100.0).otherwise(c).alias(c) for c in PRICES)
    still = walk(400).with_columns(pl.lit(5.0).alias(c) for c in PRICES)
    for outliers in ("flag", "clip", "winsorise", "drop"):
        with np.errstate(divide="raise", invalid="raise"):
            assert clean_candles(still, CleaningPolicy(outliers=outliers, offline=True)).counts == {}
        assert not clean_candles(bars, CleaningPolicy(outliers="flag")).candles["outlier"][:400].any()


def test_forward_fill_stops_at_its_limit_and_marks_what_it_made() -> None:
    bars = walk(60).filter(~at(10, 11, 30, 31, 32, 33, 34))
    cleaned = clean_candles(bars, CleaningPolicy(gaps="forward_fill", fill_limit=3))
    made = cleaned.candles.filter("filled")
    assert made["ts"].to_list() == [START + row * MINUTE for row in (10, 11, 30, 31, 32)]
    last = [bars["close"][9]] * 2 + [bars["close"][27]] * 3
    for name in PRICES:
        assert made[name].to_list() == last
    assert made["volume"].to_list() == [0.0] * 5
    assert cleaned.candles.filter(~pl.col("filled")).select(bars.columns).equals(bars)
    assert cleaned.candles["segment"].max() == 1
    assert cleaned.counts["filled"] == cleaned.changes.filter(kind="filled").height == 5
    assert "2 bars filled" not in cleaned.sentence and "5 bars filled" in cleaned.sentence
    assert not clean_candles(bars).candles.columns.count("filled")


def test_a_bar_that_arrives_late_takes_the_place_of_the_one_filled_in() -> None:
    bars = walk(60)
    cleaned = clean_candles(bars.filter(~at(10, 11)), CleaningPolicy(gaps="forward_fill"))
    arrived = bars[10:11].with_columns(filled=False)
    together = pl.concat([cleaned.candles.select(*bars.columns, "filled"), arrived])
    again = clean_candles(together, CleaningPolicy(unsorted="sort", gaps="forward_fill"))
    assert_frame_equal(canonical(again)[:11], bars[:11])
    assert again.candles["filled"].to_list() == [False] * 11 + [True] + [False] * 48
    assert again.candles["close"][11] == bars["close"][10]
    assert again.counts["orphan"] == 2  # the stopgap of bar 10, and that of bar 11, which repeated bar 9


def test_short_segments_are_set_aside() -> None:
    bars = walk(60).filter(~at(10, 13, 40))
    cleaned = clean_candles(bars, CleaningPolicy(gaps="drop", min_segment=5))
    assert cleaned.set_aside["row"].to_list() == [10, 11]
    assert set(cleaned.set_aside["kind"]) == {"short segment"}
    assert "only at their end" in cleaned.notes[0]


def test_rows_out_of_order() -> None:
    bars = walk(50)
    mixed = pl.concat([bars[:20], bars[30:], bars[20:30]])
    with pytest.raises(CandleError, match=r"A: 2025-01-01 00:20 UTC in row 40 comes after a later bar \(10 such rows\)"):
        clean_candles(mixed)
    cleaned = clean_candles(mixed, CleaningPolicy(unsorted="sort"))
    assert_frame_equal(canonical(cleaned), bars)
    assert cleaned.counts["moved"] == cleaned.changes.height == 10
    interleaved = pl.concat([walk(50), walk(50, "B", 1)]).sort("ts", "symbol")
    assert clean_candles(interleaved).counts == {}


def test_duplicates_are_kept_by_the_policy_and_contradictions_listed() -> None:
    bars = walk(50)
    exact = pl.concat([bars, bars[7:9]]).sort("ts", maintain_order=True)
    with pytest.raises(CandleError, match=r"A: 2025-01-01 00:07 UTC is there more than once .* \(2 rows too many\)"):
        clean_candles(exact)
    cleaned = clean_candles(exact, CleaningPolicy(duplicates="exact"))
    assert_frame_equal(canonical(cleaned), bars)
    assert cleaned.counts == {"duplicate": 2}
    other = put(bars[7:8], "close", bars["low"][7], 0)
    conflict = pl.concat([bars, other]).sort("ts", maintain_order=True)
    for refusing in ("refuse", "exact"):
        with pytest.raises(CandleError, match=rf"close {bars['close'][7]} in row 7 and {bars['low'][7]} in row 8"):
            clean_candles(conflict, CleaningPolicy(duplicates=refusing))
    for keeping, kept, old, new in (("first", bars, 8, 7), ("last", None, 7, 8)):
        cleaned = clean_candles(conflict, CleaningPolicy(duplicates=keeping))
        (change,) = cleaned.changes.iter_rows(named=True)
        assert (change["column"], change["kind"]) == ("close", "conflicting duplicate")
        assert (change["old"], change["new"]) == (conflict["close"][old], conflict["close"][new])
        assert cleaned.set_aside["row"].to_list() == [old]
        assert cleaned.candles["close"][7] == conflict["close"][new]
        assert kept is None or canonical(cleaned).equals(kept)
        assert bool(cleaned.policy.looks_ahead) == (keeping == "last")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("open", 0.0),
        ("close", -1.0),
        ("high", None),
        ("low", np.nan),
        ("high", 1.0),
        ("volume", -1.0),
        ("volume", np.inf),
        ("volume", 1e307),
    ],
)
def test_impossible_bars_are_refused_or_become_gaps(column: str, value: float | None) -> None:
    bars = put(walk(50), column, value, 7, 20)
    with pytest.raises(CandleError, match=r"A: .* in row 7 \(2 impossible bars\); .* was expected, invalid='drop'"):
        clean_candles(bars)
    cleaned = clean_candles(bars, CleaningPolicy(invalid="drop"))
    assert cleaned.set_aside["row"].to_list() == [7, 20]
    assert cleaned.counts["invalid"] == cleaned.changes.height == 2
    assert cleaned.candles["segment"].max() == 2
    assert_frame_equal(canonical(cleaned), walk(50).filter(~at(7, 20)))
    validate_candles(canonical(cleaned))


def test_times_off_the_grid_and_missing_keys() -> None:
    bars = walk(50).with_columns(pl.when(at(9)).then(pl.col("ts") + dt.timedelta(seconds=20)).otherwise("ts").alias("ts"))
    with pytest.raises(CandleError, match="on the grid of the bar length"):
        clean_candles(bars)
    assert clean_candles(bars, CleaningPolicy(invalid="drop")).set_aside["row"].to_list() == [9]
    nameless = walk(50).with_columns(pl.when(at(3)).then(None).otherwise("symbol").alias("symbol"))
    with pytest.raises(CandleError, match=r"'symbol' is empty in row 3 \(1 rows\)"):
        clean_candles(nameless)
    assert clean_candles(nameless, CleaningPolicy(invalid="drop")).set_aside["reason"][0].startswith("no symbol")


def dirty(seed: int, n: int = 400) -> pl.DataFrame:
    """Two symbols with every fault at once."""
    rng = np.random.default_rng(seed)
    parts = []
    for number, symbol in enumerate("AB"):
        bars = walk(n, symbol, 10 * seed + number)
        for row in rng.choice(np.arange(40, n - 5), 5, replace=False):
            bars = tick(bars, int(row), float(rng.choice([0.7, 1.4])))
        bars = level(bars, int(rng.integers(50, n)), 1.2)
        bars = bars.with_columns(
            pl.when(pl.Series(rng.random(n) < 0.02)).then(pl.col("high") * 3).otherwise("high").alias("high"),
            pl.when(pl.Series(rng.random(n) < 0.02)).then(0.0).otherwise("low").alias("low"),
        )
        again = bars[rng.choice(n, 4)].with_columns(close=pl.Series(rng.choice([1.0, 1.0001], 4)) * pl.col("close"))
        bars = pl.concat([bars.filter(pl.Series(rng.random(n) > 0.03)), again])
        parts.append(bars.sample(fraction=1.0, shuffle=True, seed=seed) if seed % 2 else bars)
    return pl.concat(parts)


POLICIES = [
    CleaningPolicy("sort", duplicates, "drop", outliers, offline, outlier_window=30, outlier_quantiles=(0.05, 0.95),
                   outlier_width=8.0, gaps=gaps, fill_limit=2, min_segment=10)
    for duplicates, outliers, offline, gaps in product(
        ("first", "last"), ("flag", "clip", "winsorise", "drop"), (False, True), ("split", "forward_fill", "drop")
    )
    if not offline or outliers in ("clip", "winsorise")
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 300), policy=st.sampled_from(POLICIES))
def test_cleaning_settles_accounts_for_every_row_and_gives_candles(seed: int, policy: CleaningPolicy) -> None:
    given_rows = dirty(seed)
    cleaned = clean_candles(given_rows, policy)
    assert rows_are_accounted_for(given_rows, cleaned)
    assert cleaned.set_aside["row"].is_unique().all()
    validate_candles(canonical(cleaned))
    again = clean_candles(cleaned.candles, policy)
    assert_frame_equal(again.candles, cleaned.candles)
    assert again.changes.is_empty()
    assert again.set_aside.is_empty()
    counts = dict(cleaned.changes.group_by("kind").len().iter_rows())
    for kind, count in cleaned.counts.items():
        assert kind in ("flagged", "conflicting duplicate") or counts[kind] == count, kind


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 300), cut=st.integers(60, 700), policy=st.sampled_from([p for p in POLICIES if not p.looks_ahead]))
def test_online_policies_do_not_look_ahead(seed: int, cut: int, policy: CleaningPolicy) -> None:
    """Cleaning the rows known by a moment gives what cleaning all gives up to that moment."""
    rows = dirty(2 * seed).filter(symbol="A").sort("ts", maintain_order=True)
    known = rows.filter(pl.col("ts") <= START + cut * MINUTE)
    part, whole = clean_candles(known, policy), clean_candles(rows, policy)
    last = part.candles["ts"].max()
    assert_frame_equal(part.candles, whole.candles.filter(pl.col("ts") <= last), check_exact=True)
    assert_frame_equal(part.set_aside, whole.set_aside.filter(pl.col("row") < known.height))
    assert_frame_equal(*(cleaned.changes.filter(pl.col("ts") <= last) for cleaned in (part, whole)), check_exact=True)


def opened(bars: pl.DataFrame, seconds: pl.Expr) -> pl.DataFrame:
    """The bars, opened so many seconds after START."""
    return bars.with_columns(
        ts=pl.lit(START, pl.Datetime("ms", "UTC")) + pl.duration(milliseconds=1000 * seconds, time_unit="ms")
    )


ROW = pl.int_range(pl.len())


@settings(max_examples=60, deadline=None)
@given(
    shift_at=st.integers(1, 300),
    shifted=st.integers(1, 300),
    seconds=st.integers(1, 119),
    lost=st.sets(st.integers(3, 299), max_size=60),
    begins=st.integers(0, 290),
    other=st.sampled_from([1, 1, 5, 60]),
    cut=st.integers(1, 330),
)
def test_a_shifted_grid_or_another_symbol_alters_nothing_before_it(
    shift_at: int, shifted: int, seconds: int, lost: set[int], begins: int, other: int, cut: int
) -> None:
    """Either somebody is told that the rows are ambiguous, or the rows of a prefix become what they become among all."""
    policy = CleaningPolicy(invalid="drop", gaps="forward_fill")
    moved = ROW.is_between(shift_at, shift_at + shifted, closed="left")
    first = opened(walk(300), 60 * ROW + moved * seconds)
    first = first.filter(~at(*lost)).unique("ts", keep="none").sort("ts")
    second = opened(walk(100, "B", 1), 60 * (begins + other * ROW))
    rows = pl.concat([first, second])
    moment = START + cut * MINUTE
    try:
        whole = clean_candles(rows, policy).candles.filter(pl.col("ts") < moment)
    except CandleError as error:
        assert "one bar length" in str(error) or "one grid" in str(error)
        return
    assert other == 1
    try:
        part = clean_candles(rows.filter(pl.col("ts") < moment), policy).candles
    except CandleError as error:  # its end may look like more of another grid than it is
        assert "one grid" in str(error)
        return
    ends = part.group_by("symbol").agg(pl.col("ts").max().alias("end"))  # where the filling of a gap has got to
    whole = whole.join(ends, on="symbol", maintain_order="left").filter(pl.col("ts") <= pl.col("end")).drop("end")
    assert_frame_equal(part, whole, check_exact=True)


def test_a_grid_that_shifts_for_good_costs_the_later_bars_and_not_the_first() -> None:
    """200 bars, then 400 half a minute off: by the first 200 alone nobody could have dropped them."""
    bars = opened(walk(600), 60 * ROW + 30 * (ROW >= 200))
    policy = CleaningPolicy(invalid="drop")
    cleaned = clean_candles(bars, policy)
    assert_frame_equal(cleaned.candles, clean_candles(bars[:200], policy).candles)
    assert cleaned.counts["invalid"] == 400 and "400 set aside as impossible" in cleaned.sentence
    with pytest.raises(CandleError, match="its first bar, is off the grid of 41 of its first 51 bars"):
        clean_candles(pl.concat([walk(10), bars[200:]]), policy)


def test_symbols_and_stretches_of_other_bar_lengths_are_refused_and_not_thrown_away() -> None:
    drop = CleaningPolicy(invalid="drop")
    hours = opened(walk(100, "TRX"), 3600 * ROW)
    with pytest.raises(CandleError, match="bar lengths are mixed: the first bars are SOL of 1m and TRX of 1h"):
        clean_candles(pl.concat([walk(50, "SOL"), hours]), drop)
    five = opened(walk(100), 300 * ROW)
    faster = pl.concat([five, opened(walk(400, seed=1), 30_000 + 60 * ROW)])
    with pytest.raises(CandleError, match=r"A: bars of 5m become bars of 1m at 2025-01-01 08:20 UTC \(399 bars\)"):
        clean_candles(faster, drop)


@pytest.mark.parametrize("volume", [1e16, 1e18])
@pytest.mark.parametrize("outliers", ["flag", "clip", "winsorise", "drop"])
def test_an_absurd_volume_is_flagged_and_nothing_else(market_data: Path, volume: float, outliers: str) -> None:
    """10,000 medians: no real minute of LINK is above them, a number such as 2**53 is."""
    bars = read_candles(market_data / "candles" / "LINK-USDT_1m.parquet").head(3000)
    policy = CleaningPolicy(outliers=outliers)
    before = clean_candles(bars, policy)
    assert "volume" not in before.outliers["what"]
    times = [before.candles["ts"][row] for row in (1000, 1001, 2000)]
    wrong = bars.with_columns(pl.when(pl.col("ts").is_in(times)).then(volume).otherwise("volume").alias("volume"))
    cleaned = clean_candles(wrong, policy)
    found = cleaned.outliers.filter(what="volume")
    assert found["ts"].to_list() == times and found["value"].to_list() == [volume] * 3
    recent = bars.filter(pl.col("ts") < times[0])["volume"]
    assert found["upper"][0] == pytest.approx(10_000 * recent.tail(240).median()) or outliers == "drop"
    assert_frame_equal(cleaned.candles.drop("volume", "outlier"), before.candles.drop("volume", "outlier"))
    assert cleaned.candles.filter(pl.col("outlier") != before.candles["outlier"])["ts"].is_in(times).all()
    assert cleaned.candles.filter("outlier")["ts"].is_in(times).sum() == 3
    assert_frame_equal(cleaned.changes, before.changes)


def test_files_and_pandas_are_read_with_their_faults(tmp_path: Path) -> None:
    bars = put(walk(50), "close", -1.0, 7)
    bars.write_csv(tmp_path / "A_1m.csv")
    policy = CleaningPolicy(invalid="drop")
    expected = canonical(clean_candles(bars, policy))
    for source in (tmp_path / "A_1m.csv", bars.to_pandas(), bars.lazy(), bars.with_columns(trades=1)):
        cleaned = clean_candles(source, policy)
        assert_frame_equal(canonical(cleaned), expected)
    assert "'trades' are not used" in cleaned.read_notes[0].sentence
    funded = clean_candles(bars.with_columns(funding_rate=0.0001), CleaningPolicy(invalid="drop", gaps="forward_fill"))
    assert funded.candles["funding_rate"].null_count() == 1
    assert isinstance(bars.to_pandas(), pd.DataFrame)


def test_what_cannot_be_cleaned_is_said() -> None:
    with pytest.raises(NotEnoughData, match=r"0 rows"):
        clean_candles(walk(5).clear())
    with pytest.raises(NotEnoughData, match=r"no bar is left of 5 rows \(5 invalid\)"):
        clean_candles(walk(5).with_columns(close=pl.lit(0.0)), CleaningPolicy(invalid="drop"))
    with pytest.raises(CandleError, match="no column 'close'"):
        clean_candles(walk(5).drop("close"))
    with pytest.raises(CandleError, match="a CleaningPolicy was expected"):
        clean_candles(walk(5), {"gaps": "split"})  # type: ignore[arg-type]
    assert clean_candles(walk(1)).candles["segment"].to_list() == [0]
    assert "want of 240 returns" in clean_candles(walk(100)).sentence


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gaps": "fill"}, "gaps is 'fill'; one of split, forward_fill, drop"),
        ({"outliers": "repair"}, "outliers is 'repair'"),
        ({"fill_limit": 0}, "fill_limit is 0; a whole number of at least 1"),
        ({"outlier_window": 5.0}, r"outlier_window is 5.0"),
        ({"outlier_width": float("inf")}, "outlier_width is inf"),
        ({"outlier_quantiles": (0.9, 0.1)}, "0 < low < high < 1"),
        ({"outliers": "winsorise", "outlier_quantiles": (0.001, 0.999)}, "need at least 1000 returns"),
        ({"offline": 1}, "offline is 1"),
    ],
)
def test_bad_policies_are_named(options: dict, said: str) -> None:
    with pytest.raises(CandleError, match=said):
        CleaningPolicy(**options)


def test_cleaned_candles_are_understood_downstream() -> None:
    bars = put(walk(400), "close", -1.0, 7)
    cleaned = clean_candles(bars, CleaningPolicy(invalid="drop", outliers="clip", gaps="forward_fill"))
    assert quality_report(cleaned.candles).ok
    assert read_candles(cleaned.candles).equals(canonical(cleaned))


def test_minutes_of_five_months_are_judged_at_once(market_data: Path) -> None:
    bars = read_candles(market_data / "candles" / "DOGE-USDT_1m.parquet")
    clean_candles(bars[:1000])
    began = time.process_time()
    clean_candles(bars)
    assert time.process_time() - began < 0.6
