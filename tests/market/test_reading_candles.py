"""Whatever the container, the names and the unit: the same bars come out, or one sentence says why not."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from huracan.errors import CandleError, NotEnoughData
from huracan.market import CANDLE_SCHEMA, NoteKind, bar_length, ingest_candles, read_candles, validate_candles

START = dt.datetime(2025, 11, 1, 3, 18, tzinfo=dt.UTC)


def make_bars(
    n: int = 50, symbol: str = "SOL-USDT", seed: int = 0, step: dt.timedelta = dt.timedelta(minutes=1)
) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(generator.normal(0, 0.01, n)))
    opened = np.concatenate([[100.0], close[:-1]])
    spread = generator.uniform(0, 0.5, n)
    frame = {
        "symbol": [symbol] * n,
        "ts": [START + i * step for i in range(n)],
        "open": opened,
        "high": np.maximum(opened, close) + spread,
        "low": np.minimum(opened, close) - spread,
        "close": close,
        "volume": generator.uniform(1, 9, n),
    }
    return pl.DataFrame(frame, schema=CANDLE_SCHEMA)


def without_symbol(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.drop("symbol")


def test_canonical_candles_pass_unchanged_and_reading_twice_changes_nothing() -> None:
    bars = make_bars()
    once = ingest_candles(bars)
    assert_frame_equal(once.candles, bars)
    assert once.notes == ()
    assert_frame_equal(read_candles(once.candles), bars)


@pytest.mark.parametrize(
    "form", ["parquet", "csv", "csv.gz", "feather", "arrow stream", "semicolon csv", "lazy", "pandas", "pandas index"]
)
def test_every_container_gives_the_same_bars(form: str, tmp_path: Path) -> None:
    bars = make_bars()
    path = tmp_path / f"SOL-USDT_1m.{'csv' if form[-3:] == 'csv' else form}"
    source: object = path
    if form == "parquet":
        bars.write_parquet(path)
    elif form == "csv":
        bars.write_csv(path)
    elif form == "semicolon csv":
        bars.write_csv(path, separator=";")
    elif form == "csv.gz":
        bars.to_pandas().to_csv(path, index=False)
    elif form == "feather":
        bars.to_pandas().to_feather(path)
    elif form == "arrow stream":
        source = path = tmp_path / "SOL-USDT_1m.arrow"
        bars.write_ipc_stream(path)
    elif form == "lazy":
        source = bars.lazy()
    elif form == "pandas":
        source = bars.to_pandas()
    elif form == "pandas index":
        source = bars.to_pandas().set_index(["symbol", "ts"])
    assert_frame_equal(read_candles(source), bars)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "names",
    [
        {"ts": "timestamp"},
        {"ts": "Open Time", "open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"},
        {"ts": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"},
        {"symbol": "ticker", "ts": "Date", "volume": "base_volume"},
        {"symbol": "pair", "ts": "time", "open": "open_price"},
    ],
)
def test_columns_are_recognised_under_their_usual_names_and_named(names: dict[str, str]) -> None:
    bars = make_bars()
    read = ingest_candles(bars.rename(names))
    assert_frame_equal(read.candles, bars)
    said = " ".join(note.sentence for note in read.notes if note.kind is NoteKind.COLUMN)
    assert all(f"'{name}' for {canonical}" in said for canonical, name in names.items())


@pytest.mark.parametrize(
    ("unit", "per_second"), [("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)]
)
@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64, pl.String])
def test_the_unit_of_numbers_is_recognised_and_named(unit: str, per_second: int, kind: type[pl.DataType]) -> None:
    bars = make_bars()
    numbers = pl.Series([int(ts.timestamp()) * per_second for ts in bars["ts"]]).cast(kind)
    read = ingest_candles(bars.with_columns(ts=numbers))
    assert_frame_equal(read.candles, bars)
    assert [
        note.sentence for note in read.notes if note.kind is NoteKind.TIME_UNIT and f"recognised as {unit}" in note.sentence
    ]


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("%Y-%m-%d %H:%M:%S", NoteKind.TIME_ZONE),
        ("%Y-%m-%d %H:%M", NoteKind.TIME_ZONE),
        ("%Y/%m/%d %H:%M:%S", NoteKind.TIME_ZONE),
        ("%Y-%m-%dT%H:%M:%SZ", None),
        ("%Y-%m-%dT%H:%M:%S+00:00", None),
        ("%Y-%m-%dT%H:%M:%S.%3fZ", None),
    ],
)
def test_iso_strings_are_read(form: str, kind: NoteKind | None) -> None:
    bars = make_bars()
    read = ingest_candles(bars.with_columns(pl.col("ts").dt.strftime(form)))
    assert_frame_equal(read.candles, bars)
    assert (NoteKind.TIME_ZONE in {note.kind for note in read.notes}) == (kind is not None)


def test_naive_times_are_read_as_utc_and_other_zones_converted_and_both_are_said() -> None:
    bars = make_bars()
    naive = ingest_candles(bars.with_columns(pl.col("ts").dt.replace_time_zone(None)))
    tokyo = ingest_candles(bars.with_columns(pl.col("ts").dt.convert_time_zone("Asia/Tokyo")))
    offset = ingest_candles(
        bars.with_columns(pl.col("ts").dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m-%dT%H:%M:%S%:z"))
    )
    zoned = ingest_candles(bars.to_pandas().assign(ts=lambda frame: frame["ts"].dt.tz_convert("America/New_York")))
    for read, said in ((naive, "read as UTC"), (tokyo, "Asia/Tokyo"), (offset, "UTC offsets"), (zoned, "America/New_York")):
        assert_frame_equal(read.candles, bars)
        assert any(said in note.sentence for note in read.notes if note.kind is NoteKind.TIME_ZONE)


def test_autumn_clock_change_does_not_fold_an_hour() -> None:
    step = dt.timedelta(minutes=30)
    bars = make_bars(100, step=step).with_columns(
        ts=pl.Series([dt.datetime(2025, 10, 25, tzinfo=dt.UTC) + i * step for i in range(100)]).cast(CANDLE_SCHEMA["ts"])
    )
    assert_frame_equal(read_candles(bars.with_columns(pl.col("ts").dt.convert_time_zone("Europe/Berlin"))), bars)


def test_symbol_comes_from_the_column_else_the_file_name_else_the_caller(tmp_path: Path) -> None:
    bars = make_bars(symbol="ADA-USDT")
    bars.write_parquet(tmp_path / "SOL-USDT_1m.parquet")
    assert ingest_candles(tmp_path / "SOL-USDT_1m.parquet").symbols == ("ADA-USDT",)
    without_symbol(bars).write_parquet(tmp_path / "SOL-USDT_1m.parquet")
    named = ingest_candles(tmp_path / "SOL-USDT_1m.parquet")
    assert named.symbols == ("SOL-USDT",)
    assert any(note.kind is NoteKind.SYMBOL for note in named.notes)
    assert ingest_candles(tmp_path / "SOL-USDT_1m.parquet", symbol="X").symbols == ("X",)
    assert ingest_candles(without_symbol(bars)).symbols == ("asset",)


def test_symbol_selects_among_several_and_is_missed_when_it_is_not_there() -> None:
    panel = pl.concat([make_bars(symbol="A"), make_bars(symbol="B", seed=1)])
    assert_frame_equal(read_candles(panel, symbol="B"), make_bars(symbol="B", seed=1))
    with pytest.raises(CandleError, match="symbol 'C'"):
        read_candles(panel, symbol="C")


def test_a_folder_joins_symbols_and_spans_whatever_the_order_of_files(tmp_path: Path) -> None:
    a, b = make_bars(symbol="A"), make_bars(symbol="B", seed=1)
    without_symbol(b).write_csv(tmp_path / "B_1m.csv")
    a[30:].write_parquet(tmp_path / "a1.parquet")
    a[:30].write_parquet(tmp_path / "a2.parquet")
    (tmp_path / "readme.txt").write_text("not candles")
    read = ingest_candles(tmp_path)
    assert_frame_equal(read.candles, pl.concat([a, b]))
    assert len(read.files) == 3


def test_interleaved_symbols_are_no_disorder() -> None:
    panel = pl.concat([make_bars(symbol="B"), make_bars(symbol="A", seed=1)])
    by_time = panel.sort("ts", "symbol", descending=[False, True])
    read = ingest_candles(by_time)
    assert_frame_equal(read.candles, panel.sort("symbol", "ts"))
    assert read.notes == ()


def test_unsorted_times_are_refused_or_sorted_on_request() -> None:
    bars = make_bars()
    shuffled = bars.sample(fraction=1.0, shuffle=True, seed=1)
    with pytest.raises(CandleError, match=r"SOL-USDT is not in order of time, 2025-11-01 .* on_unsorted='sort'"):
        read_candles(shuffled)
    read = ingest_candles(shuffled, on_unsorted="sort")
    assert_frame_equal(read.candles, bars)
    assert [note.kind for note in read.notes] == [NoteKind.ORDER]


def test_exact_duplicates_may_be_dropped_and_contradictions_never() -> None:
    bars = make_bars()
    exact = pl.concat([bars[:10], bars[9:]])
    with pytest.raises(CandleError, match=r"SOL-USDT: 2025-11-01 03:27 UTC .* same values \(1 rows too many\)"):
        read_candles(exact)
    read = ingest_candles(exact, on_duplicate="drop_exact")
    assert_frame_equal(read.candles, bars)
    assert [(note.kind, note.count) for note in read.notes] == [(NoteKind.DUPLICATE, 1)]
    other = pl.concat([bars[:10], bars[9:10].with_columns(pl.col("volume") * 2), bars[10:]])
    for policy in ("refuse", "drop_exact"):
        with pytest.raises(CandleError, match=r"2025-11-01 03:27 UTC .* different values"):
            read_candles(other, on_duplicate=policy)  # type: ignore[arg-type]


def test_an_open_bar_is_dropped_only_when_told_and_otherwise_said() -> None:
    bars = make_bars()
    during_last = bars["ts"][-1] + dt.timedelta(seconds=20)
    kept = ingest_candles(bars, now=during_last)
    assert_frame_equal(kept.candles, bars)
    assert [note.kind for note in kept.notes] == [NoteKind.OPEN_BAR]
    dropped = ingest_candles(bars, now=during_last, drop_open_bar=True)
    assert_frame_equal(dropped.candles, bars[:-1])
    assert ingest_candles(bars, now=during_last + dt.timedelta(minutes=1)).notes == ()


def test_datetimes_ahead_of_the_clock_are_read_and_noted() -> None:
    bars = make_bars()
    read = ingest_candles(bars, now=START - dt.timedelta(days=30))
    assert_frame_equal(read.candles, bars)
    assert (read.notes[0].kind, read.notes[0].count) == (NoteKind.FUTURE, 50)


def test_numbers_as_text_are_numbers_and_words_are_refused_by_row() -> None:
    bars = make_bars()
    text = bars.with_columns(pl.col("open").cast(pl.String))
    assert_frame_equal(read_candles(text), bars)
    broken = text.with_columns(open=pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("n/a")).otherwise("open"))
    with pytest.raises(CandleError, match=r"column 'open' says 'n/a' in row 7 \(1 rows\)"):
        read_candles(broken)


def test_two_time_columns_that_disagree_are_refused_and_a_coarser_one_is_not_a_disagreement() -> None:
    bars = make_bars()
    with pytest.raises(CandleError, match="'ts' and 'time' tell different times"):
        read_candles(bars.with_columns(time=pl.col("ts") + dt.timedelta(hours=9)))
    daily = ingest_candles(bars.with_columns(time=pl.col("ts")).with_columns(ts=pl.col("ts").dt.date()))
    assert_frame_equal(daily.candles, bars)


def test_funding_rate_travels_along_and_other_columns_are_named_as_unused() -> None:
    bars = make_bars().with_columns(fundingRate=pl.Series([None, 1e-4] * 25), trades=pl.lit(3))
    read = ingest_candles(bars)
    assert read.candles["funding_rate"].to_list() == [None, 1e-4] * 25
    assert any("'trades'" in note.sentence for note in read.notes)


def test_bad_sources_get_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "void.parquet").touch()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 this is not parquet PAR1")
    (tmp_path / "broken.feather").write_bytes(b"ARROW1 neither is this")
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    (tmp_path / "head.csv").write_text("ts,open,high,low,close,volume\n")
    cases = {
        tmp_path / "absent.parquet": "does not exist",
        tmp_path / "empty": "holds no candle file",
        tmp_path / "void.parquet": "0 bytes",
        tmp_path / "broken.parquet": "cannot be read as parquet",
        tmp_path / "broken.feather": "cannot be read as feather",
        tmp_path / "x.xlsx": "are read",
        "a\0b": "cannot be read",
    }
    for path, said in cases.items():
        with pytest.raises(CandleError, match=said):
            read_candles(path)
    with pytest.raises(NotEnoughData, match="0 rows"):
        read_candles(tmp_path / "head.csv")
    with pytest.raises(CandleError, match="source is a list"):
        read_candles([1, 2])  # type: ignore[arg-type]
    with pytest.raises(CandleError, match="on_unsorted"):
        read_candles(make_bars(), on_unsorted="guess")  # type: ignore[arg-type]


def test_a_parquet_cut_short_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "A_1m.parquet"
    make_bars(500).write_parquet(path)
    whole = path.read_bytes()
    for size in range(1, len(whole), max(1, len(whole) // 25)):
        path.write_bytes(whole[:size])
        with pytest.raises(CandleError, match="cannot be read as parquet"):
            read_candles(path)


def test_missing_and_misnamed_columns_name_the_nearest() -> None:
    bars = make_bars()
    with pytest.raises(CandleError, match=r"no column 'high' .* 'hgih' looks near"):
        read_candles(bars.rename({"high": "hgih"}))
    with pytest.raises(CandleError, match="no column 'volume'"):
        read_candles(bars.drop("volume"))
    with pytest.raises(CandleError, match="'close_time' is the end of the bar"):
        read_candles(bars.rename({"ts": "close_time"}))
    with pytest.raises(CandleError, match="'Close', 'CLOSE' could all be 'close'"):
        read_candles(bars.rename({"close": "Close"}).with_columns(CLOSE=pl.lit(1.0)))
    doubled = pd.concat([bars.to_pandas(), bars.to_pandas()[["open"]]], axis=1)
    with pytest.raises(CandleError, match="two columns 'open'"):
        read_candles(doubled)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([20250101, 20250102], "in no unit"),
        ([45000.5, 45001.5], "in no unit"),
        ([1761967080, 1761967140000], "in no unit"),
        ([1.0, float("nan")], "nan in row 1"),
        ([1761967080, None], "empty in row 1"),
        (["2025-11-01 03:18", "yesterday"], "'yesterday' in row 1"),
        (["01/11/2025", "02/11/2025"], "ISO 8601"),
        (["2025-11-01 03:18Z", "2025-11-01 03:19"], "some rows only: row 1"),
        ([dt.timedelta(1), dt.timedelta(2)], "datetimes, ISO strings or numbers"),
        ([dt.datetime(2300, 1, 1), dt.datetime(2300, 1, 2)], "more than a century"),
        ([dt.datetime(7000, 1, 1), dt.datetime(7000, 1, 2)], "more than a century"),
        ([4102444800, 4102444860], "in no unit"),
        ([dt.datetime(1970, 1, 21, 9, 26), dt.datetime(1970, 1, 21, 9, 27)], "January 1970"),
        ([dt.datetime(1970, 1, 1), dt.datetime(2025, 1, 1)], r"January 1970|1 of 2 rows"),
    ],
)
def test_times_that_cannot_be_known_are_refused(numbers: list[object], said: str) -> None:
    frame = without_symbol(make_bars(2)).with_columns(ts=pl.Series(numbers, strict=False))
    with pytest.raises(CandleError, match=said):
        read_candles(frame)


def test_the_january_1970_file_is_read_by_its_right_column_and_says_so(market_data: Path) -> None:
    path = market_data / "candles" / "quirks" / "SOL-USDT_1m_AS_FOUND_ts1970.parquet"
    read = ingest_candles(path)
    truth = pl.from_epoch(pl.read_parquet(path)["timestamp"], "ms").dt.replace_time_zone("UTC")
    assert read.candles["ts"].to_list() == truth.to_list()
    assert read.symbols == ("SOL-USDT",)
    assert any("not from 'ts'" in note.sentence and "January 1970" in note.sentence for note in read.notes)
    with pytest.raises(CandleError, match="January 1970"):
        read_candles(pl.read_parquet(path).drop("timestamp"))
    # The clean file of the same symbol has the same times; the two venues' closes differ by little.
    clean = read_candles(market_data / "candles" / "SOL-USDT_1m.parquet").join(read.candles, on="ts")
    assert clean.height > 9000
    assert float((clean["close_right"] / clean["close"] - 1).abs().median()) < 0.001  # type: ignore[arg-type]


def test_real_files_are_canonical_candles(market_data: Path) -> None:
    for name, rows, length in (("SOL-USDT_1m", 216_000, dt.timedelta(minutes=1)), ("daily_40", 43_800, dt.timedelta(days=1))):
        read = ingest_candles(market_data / "candles" / f"{name}.parquet")
        validate_candles(read.candles)
        assert (read.candles.height, bar_length(read.candles), read.notes) == (rows, length, ())
    google = ingest_candles(market_data / "benchmarks" / "goog_daily.parquet", symbol="GOOG")
    assert google.bar_length == dt.timedelta(days=1)


def test_a_folder_of_minutes_and_days_is_refused(market_data: Path) -> None:
    with pytest.raises(CandleError, match=r"bar lengths are mixed: .*1m and .*daily_40.parquet has bars of 1d"):
        read_candles(market_data / "candles")
