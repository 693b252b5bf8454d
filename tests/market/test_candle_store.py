"""The candle store: each bar once, whatever order it comes in; what was known at a time can be read as of that time."""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from huracan.errors import CandleError, NotEnoughData, StorageError, UnknownName
from huracan.market import CANDLE_SCHEMA, CandleStore, bar_length, ingest_candles, read_candles, with_segments
from huracan.market.store.files import folder_of_symbol, symbol_of_folder

START = dt.datetime(2025, 5, 31, 23, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
FAR_PAST = dt.datetime(2025, 7, 1, tzinfo=dt.UTC)


def make_bars(
    n: int = 200, symbol: str = "BTC/USDT:USDT", *, seed: int = 0, step: dt.timedelta = MINUTE, start: dt.datetime = START
) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(generator.normal(0, 0.01, n)))
    opened = np.concatenate([[100.0], close[:-1]])
    spread = generator.uniform(0, 0.5, n)
    frame = {
        "symbol": [symbol] * n,
        "ts": [start + i * step for i in range(n)],
        "open": opened,
        "high": np.maximum(opened, close) + spread,
        "low": np.minimum(opened, close) - spread,
        "close": close,
        "volume": generator.uniform(1, 9, n),
    }
    return pl.DataFrame(frame, schema=CANDLE_SCHEMA)


def at(minute: int, base: dt.datetime = FAR_PAST) -> dt.datetime:
    return base + minute * MINUTE


def test_what_goes_in_comes_out_bitwise_and_again_is_unchanged(tmp_path: Path) -> None:
    bars = pl.concat([make_bars(), make_bars(150, "ETH-USDT", seed=1)]).sort("symbol", "ts")
    store = CandleStore(tmp_path / "store")
    first, again = store.append(bars, source="binance"), store.append(bars, source="binance")
    assert (first.added, first.unchanged, first.revised, first.still_open) == (350, 0, 0, 0)
    assert (again.added, again.unchanged, again.revised, again.still_open) == (0, 350, 0, 0)
    assert_frame_equal(CandleStore(tmp_path / "store").read(), bars, check_exact=True)
    assert first.sentence == "bars of 2 symbols (1m): 350 added, 0 unchanged, 0 revised."
    assert_frame_equal(store.read("ETH-USDT"), bars.filter(pl.col("symbol") == "ETH-USDT"))
    assert store.read([]).schema == CANDLE_SCHEMA and store.read([]).is_empty()


def test_a_repeated_append_touches_no_file(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars(3 * 1440)
    store.append(bars)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    store.append(bars)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == files
    store.append(bars.tail(5).with_columns(volume=pl.col("volume") + 1))
    changed = [path.name for path, when in files.items() if path.stat().st_mtime_ns != when]
    assert changed == ["2025-06.parquet"] and len(files) == 2


@pytest.mark.parametrize(("step", "names"), [(MINUTE, ["2025-05", "2025-06"]), (dt.timedelta(days=1), ["2025"])])
def test_partitions_are_months_or_years_and_any_parquet_reader_opens_them(
    tmp_path: Path, step: dt.timedelta, names: list[str]
) -> None:
    bars = make_bars(120, step=step)
    store = CandleStore(tmp_path)
    store.append(bars)
    folder = tmp_path / "symbols" / "BTC%2FUSDT%3AUSDT" / ("1m" if step == MINUTE else "1d")
    assert sorted(path.stem for path in folder.iterdir()) == names
    read = pl.concat(pl.read_parquet(folder / f"{name}.parquet") for name in names)
    assert_frame_equal(read.select("ts", "close"), bars.select("ts", "close"))


values = st.sampled_from([1.0, 2.0, 3.0])
downloads = st.lists(st.dictionaries(st.integers(0, 5), values, min_size=1, max_size=4), min_size=1, max_size=5)


def bars_of(content: dict[int, float]) -> pl.DataFrame:
    rows = [("S", START + minute * MINUTE, value, value, value, value, value) for minute, value in content.items()]
    return pl.DataFrame(rows, schema=CANDLE_SCHEMA, orient="row")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pages=downloads, data=st.data())
def test_as_of_gives_what_was_known_in_whatever_order_downloads_arrive(
    tmp_path_factory: pytest.TempPathFactory, pages: list[dict[int, float]], data: st.DataObject
) -> None:
    """Oracle: a dictionary replayed in the order in which the pages were seen.

    Arriving out of order, pages differ in every value: that an old value was seen again is not recorded.
    """
    order = data.draw(st.permutations(range(len(pages))))
    if order != sorted(order):
        pages = [dict.fromkeys(content, 1.0 + page) for page, content in enumerate(pages)]
    store = CandleStore(tmp_path_factory.mktemp("store"))
    for page in order:
        report = store.append(bars_of(pages[page]), bar="1m", fetched_at=at(page))
        assert report.added + report.unchanged + report.revised == len(pages[page])
    for moment in range(-1, len(pages)):
        known: dict[int, float] = {}
        for page in pages[: moment + 1]:
            known.update(page)
        read = store.read(bar="1m", as_of=at(moment))
        assert dict(zip(((read["ts"] - START).dt.total_minutes()).to_list(), read["close"].to_list())) == dict(
            sorted(known.items())
        )
    changes = []
    for minute in range(6):
        seen = [(page, content[minute]) for page, content in enumerate(pages) if minute in content]
        runs = [next(group) for _, group in itertools.groupby(seen, key=lambda item: item[1])]
        changes += [(minute, old[1], new[1], at(new[0])) for old, new in itertools.pairwise(runs)]
    log = store.revisions("S", "1m")
    logged = zip((log["ts"] - START).dt.total_minutes(), log["old_close"], log["new_close"], log["seen_at"])
    assert list(logged) == changes


def test_a_revision_keeps_the_old_value_with_when_each_was_seen(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars()
    store.append(bars, source="binance", fetched_at=at(0))
    other = bars[50:53].with_columns(close=pl.col("low"), volume=pl.lit(0.0))
    report = store.append(other, bar="1m", source="archive", fetched_at=at(60))
    assert (report.added, report.unchanged, report.revised) == (0, 0, 3)
    when = bars["ts"][50]
    assert report.sentence == (
        "bars of BTC/USDT:USDT (1m): 0 added, 0 unchanged, 3 revised "
        f"(the first at {when:%Y-%m-%d %H:%M} UTC; old values are kept)."
    )
    assert_frame_equal(report.revisions, store.revisions())
    row = store.revisions("BTC/USDT:USDT", "1m").row(0, named=True)
    assert (row["ts"], row["old_close"], row["new_close"]) == (when, bars["close"][50], bars["low"][50])
    assert (row["old_seen_at"], row["seen_at"]) == (at(0), at(60))
    assert (row["old_source"], row["source"]) == ("binance", "archive")
    assert_frame_equal(store.read(as_of=at(59)), bars)
    assert_frame_equal(store.read(as_of=at(60)), store.read())
    assert_frame_equal(store.read()[50:53], other)
    assert store.read(as_of=at(-1)).is_empty()
    assert store.coverage()["source"].to_list() == ["archive, binance"]


def test_what_arrives_last_is_current_even_when_the_clock_went_back(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars()
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    store.append(bars, fetched_at=soon)
    store.append(bars.with_columns(volume=pl.col("volume") + 1))
    assert_frame_equal(store.read(), bars.with_columns(volume=pl.col("volume") + 1))
    with pytest.raises(CandleError, match=r"fetched_at is 2.*a time past was expected"):
        store.append(bars, fetched_at=soon + dt.timedelta(days=3))


def test_values_seen_earlier_than_those_stored_become_history_not_current(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars(20)
    late = bars.with_columns(volume=pl.col("volume") + 1)
    store.append(late, fetched_at=at(10))
    report = store.append(bars, fetched_at=at(0))
    assert report.revised == 20
    assert_frame_equal(store.read(), late)
    assert_frame_equal(store.read(as_of=at(5)), bars)


def test_bars_still_open_when_fetched_are_left_out_and_counted(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars(10)
    open_now = bars["ts"][8] + MINUTE / 2
    report = store.append(bars, fetched_at=open_now)
    assert (report.added, report.still_open) == (8, 2)
    assert report.sentence.endswith("2 still open and left out.")
    assert store.last_time("BTC/USDT:USDT", "1m") == bars["ts"][7]
    assert store.append(bars, fetched_at=bars["ts"][9] + MINUTE).added == 2  # closed at that very moment


def test_contradicting_rows_are_refused_and_nothing_is_stored(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars()
    exact = pl.concat([bars, bars.head(30)])
    contradicting = pl.concat([bars, bars[7:8].with_columns(volume=pl.lit(99.0))])
    with pytest.raises(
        CandleError, match=r"BTC/USDT:USDT: 2025-05-31 23:07 UTC is there more than once with different values \(1 such"
    ):
        store.append(contradicting)
    assert store.symbols() == [] and store.coverage().is_empty()
    report = store.append(exact.sample(fraction=1, shuffle=True, seed=0))
    assert (report.added, report.unchanged) == (200, 30)
    assert_frame_equal(store.read(), bars)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"low": pl.lit(0.0)}, "'low' is 0.0 at 2025-05-31 23:00 UTC"),
        ({"close": pl.lit(float("nan"))}, "'close' is nan"),
        ({"open": pl.lit(None, pl.Float64)}, "'open' is missing"),
        ({"volume": pl.lit(-1.0)}, "'volume' is -1.0"),
        ({"high": pl.col("low") / 2}, "is below low"),
        ({"close": pl.col("high") * 2}, "is outside"),
        ({"ts": pl.col("ts").dt.offset_by("-55y4mo")}, "candles of January 1970"),
        ({"ts": pl.col("ts").cast(pl.Datetime("us", "UTC"))}, "column 'ts' is Datetime"),
        ({"ts": pl.lit(None, pl.Datetime("ms", "UTC"))}, "column 'ts' is empty in row 200"),
        ({"symbol": pl.lit(None, pl.String)}, "column 'symbol' is empty in row 200"),
        ({"symbol": pl.lit(" ")}, "symbol ' ' cannot be stored"),
        ({"symbol": pl.lit("A\nB")}, "cannot be stored"),
        ({"symbol": pl.lit("x" * 300)}, "300 characters long"),
        ({"funding_rate": pl.lit(0.0001)}, "carry 200 funding rates"),
        ({"ts": pl.col("ts") + pl.duration(seconds=pl.int_range(pl.len()) % 2)}, "off the grid|lengths|become"),
    ],
)
def test_what_cannot_be_true_is_refused_before_anything_is_written(
    tmp_path: Path, change: dict[str, pl.Expr], sentence: str
) -> None:
    store, bars = CandleStore(tmp_path), make_bars()
    bad = bars.with_columns(**change)
    if bad.schema == bars.schema:  # good rows before bad ones must not be stored either
        bad = pl.concat([make_bars(symbol="AAA"), bad])
    with pytest.raises(CandleError, match=sentence):
        store.append(bad)
    assert not list(tmp_path.rglob("*.parquet"))


def test_missing_columns_other_frames_and_single_bars_get_one_sentence(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars()
    with pytest.raises(CandleError, match="no column 'volume'"):
        store.append(bars.drop("volume"))
    with pytest.raises(CandleError, match=r"polars DataFrame was expected"):
        store.append(bars.to_pandas())  # type: ignore[arg-type]
    with pytest.raises(NotEnoughData, match="at least two bars"):
        store.append(bars.head(1))
    with pytest.raises(CandleError, match="source is ''; a name"):
        store.append(bars, source="")
    assert store.append(bars.head(1), bar="1m").added == 1
    assert store.append(bars.clear(), bar="1m").added == 0
    assert store.append(bars.clear()).sentence == "bars of 0 symbols: 0 added, 0 unchanged, 0 revised."


def test_bars_of_another_length_or_phase_are_refused(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars()
    hours = make_bars(step=dt.timedelta(hours=1))
    with pytest.raises(CandleError, match="is off the grid of its 1h bars"):
        store.append(bars, bar="1h")
    store.append(hours)
    with pytest.raises(CandleError, match=r"off the grid of the 1h bars stored, such as 2025-05-31 23:00 UTC"):
        store.append(make_bars(step=dt.timedelta(hours=1), start=START + 30 * MINUTE))
    with pytest.raises(CandleError, match="3 rows look like bars of 2h, and bars of 1h are stored; bar= must say"):
        store.append(hours.gather_every(2)[:3])
    for bad in ("1M", "0m", "minute", dt.timedelta(0), dt.timedelta(microseconds=1), 60):
        with pytest.raises(CandleError, match="a length such as '1m'"):
            store.append(bars, bar=bad)  # type: ignore[arg-type]


def test_a_sparse_market_with_gaps_flat_prices_and_no_volume_is_stored_as_it_is(tmp_path: Path) -> None:
    bars = make_bars(4000, "THIN").with_columns(pl.lit(1.0).alias(name) for name in ("open", "high", "low", "close"))
    bars = bars.with_columns(volume=pl.lit(0.0)).filter(pl.Series(np.random.default_rng(0).uniform(size=4000) < 0.1))
    store = CandleStore(tmp_path)
    for page in bars.iter_slices(100):
        store.append(page, bar="1m")
    assert_frame_equal(store.read(), bars)


def test_where_to_go_on_and_what_is_missing(tmp_path: Path) -> None:
    store = CandleStore(tmp_path)
    bars = make_bars(3000)
    kept = bars.filter(~pl.int_range(pl.len()).is_between(100, 104) & ~pl.int_range(pl.len()).is_between(2000, 2000))
    name = "BTC/USDT:USDT"
    assert store.last_time(name, "1m") is None and store.first_time(name, "1m") is None
    assert store.missing_spans(name, "1m", START, START + 2 * MINUTE) == [(START, START + 2 * MINUTE)]
    store.append(kept)
    assert (store.first_time(name, "60s"), store.last_time(name, MINUTE)) == (START, bars["ts"][-1])
    row = store.coverage().row(0, named=True)
    assert (row["bars"], row["missing"], row["gaps"], row["bar"]) == (2994, 6, 2, "1m")
    opens = lambda *rows: tuple(START + row * MINUTE for row in rows)  # noqa: E731
    spans = store.missing_spans(name, "1m", START - 5 * MINUTE, START + 3010 * MINUTE)
    assert spans == [opens(-5, 0), opens(100, 105), opens(2000, 2001), opens(3000, 3010)]
    assert store.missing_spans(name, "1m", START, bars["ts"][99] + MINUTE) == []
    assert store.missing_spans(name, "1m", bars["ts"][102], bars["ts"][103]) == [opens(102, 103)]
    for begin, stop in spans:  # a download of exactly that makes it whole
        store.append(
            make_bars(3020, start=START - 5 * MINUTE).filter(pl.col("ts").is_between(begin, stop, closed="left")), bar="1m"
        )
    assert store.missing_spans(name, "1m", START - 5 * MINUTE, START + 3010 * MINUTE) == []
    assert store.coverage()["missing"].to_list() == [0]


@settings(max_examples=25, deadline=None)
@given(
    kept=st.sets(st.integers(0, 60), min_size=1), begin=st.integers(-5, 66), length=st.integers(0, 40), shift=st.integers(0, 59)
)
def test_missing_spans_are_what_a_slow_search_finds(
    tmp_path_factory: pytest.TempPathFactory, kept: set[int], begin: int, length: int, shift: int
) -> None:
    """Hours around the turn of a year, so that spans cross partitions; start and end need not lie on the grid."""
    start = dt.datetime(2024, 12, 30, 12, tzinfo=dt.UTC)
    hour = dt.timedelta(hours=1)
    store = CandleStore(tmp_path_factory.mktemp("store"))
    store.append(make_bars(61, step=hour, start=start)[sorted(kept)], bar="1h")
    first = start + begin * hour + shift * MINUTE
    last = first + length * hour
    missing = [start + i * hour for i in range(-10, 130) if first <= start + i * hour < last and i not in kept]
    spans = store.missing_spans("BTC/USDT:USDT", "1h", first, last)
    opens = [begin + i * hour for begin, stop in spans for i in range(round((stop - begin) / hour))]
    assert opens == missing
    assert all(stop < following for (_, stop), (following, _) in itertools.pairwise(spans))


def test_spans_of_time_are_half_open_and_cheap_to_say(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars(3000)
    store.append(bars)
    read = store.read(start=bars["ts"][10], end=bars["ts"][2000])
    assert_frame_equal(read, bars[10:2000])
    assert_frame_equal(store.read(start="2025-06-01", end="2025-06-01T00:02Z"), bars[60:62])
    assert_frame_equal(
        store.read(start=dt.date(2025, 6, 1), end=dt.datetime(2025, 6, 1, 2, 2, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
        bars[60:62],
    )
    assert_frame_equal(store.read(start=dt.datetime.min, end=dt.datetime.max), bars)
    assert_frame_equal(store.read(start=bars["ts"][10] + dt.timedelta(microseconds=1)), bars[11:])
    with pytest.raises(CandleError, match="is before start"):
        store.read(start="2025-06-02", end="2025-06-01")
    with pytest.raises(CandleError, match="start is 'June'"):
        store.read(start="June")


def test_several_bar_lengths_live_side_by_side(tmp_path: Path) -> None:
    store, minutes, hours = CandleStore(tmp_path), make_bars(), make_bars(step=dt.timedelta(hours=1))
    with pytest.raises(CandleError, match="holds no candles yet"):
        store.read()
    store.append(minutes)
    store.append(hours)
    store.append(make_bars(symbol="ETH", step=dt.timedelta(hours=1)))
    assert store.bars() == ["1m", "1h"]
    assert (store.symbols(), store.symbols("1m"), store.symbols("60m")) == (
        ["BTC/USDT:USDT", "ETH"],
        ["BTC/USDT:USDT"],
        ["BTC/USDT:USDT", "ETH"],
    )
    with pytest.raises(CandleError, match="holds bars of 1m and 1h; bar must say which, such as bar="):
        store.read()
    with pytest.raises(CandleError, match="holds no bars of 5m; it holds 1m, 1h"):
        store.read(bar="5m")
    with pytest.raises(CandleError, match="holds no bars of 1m of ETH"):
        store.read("ETH", bar="1m")
    with pytest.raises(UnknownName, match="did you mean 'ETH'"):
        store.read("ETHH", bar="1h")
    assert_frame_equal(store.read("BTC/USDT:USDT", bar="1h"), hours)
    assert_frame_equal(read_candles(tmp_path, bar="1m"), minutes)
    assert_frame_equal(read_candles(tmp_path, symbol="BTC/USDT:USDT", bar="1h"), hours)


def test_read_candles_opens_a_store_and_says_where_from(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars()
    store.append(bars)
    read = ingest_candles(str(tmp_path))
    assert_frame_equal(read.candles, bars)
    assert (read.files, read.notes, read.bar_length) == ((tmp_path,), (), MINUTE)
    assert with_segments(read.candles)["segment"].max() == 0
    assert bar_length(read.candles) == MINUTE
    for inside in (tmp_path / "symbols", next(tmp_path.rglob("*.parquet")), next(tmp_path.rglob("*.parquet")).parent):
        with pytest.raises(CandleError, match="lies inside the candle store"):  # a partition holds old values too
            read_candles(inside)


@settings(max_examples=200, deadline=None)
@given(symbol=st.text(st.characters(max_codepoint=0x2FF), min_size=1, max_size=60))
def test_folder_names_are_reversible_safe_and_different_for_different_symbols(symbol: str) -> None:
    try:
        name = folder_of_symbol(symbol)
    except CandleError:
        assert symbol != symbol.strip() or not symbol.isprintable() or len(symbol.encode()) > 80
        return
    assert symbol_of_folder(name) == symbol
    assert name.isascii() and not name.startswith(".") and not set(name) & set('/\\:*?"<>| ') and len(name) <= 240


def test_a_folder_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"holds 'notes.txt' and no candle_store.json; an empty folder"):
        CandleStore(tmp_path)
    with pytest.raises(StorageError, match="Not a directory"):
        CandleStore(tmp_path / "notes.txt")
    newer = tmp_path / "newer"
    CandleStore(newer)
    (newer / "candle_store.json").write_text('{"format": "huracan candle store", "version": 9}')
    with pytest.raises(StorageError, match="format 9; this Huracan reads format 1"):
        CandleStore(newer)
    for damage in ("", "[]", "{}", '{"format": 1, "version": 1}', "\0"):
        (newer / "candle_store.json").write_text(damage)
        with pytest.raises(StorageError, match=r"candle_store.json is damaged"):
            CandleStore(newer)


def test_funding_falls_due_in_the_bar_that_holds_its_time(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars(48 * 60)
    store.append(bars)
    store.append(make_bars(3, step=dt.timedelta(days=1), start=dt.datetime(2025, 5, 31, tzinfo=dt.UTC)), bar="1d")
    due = [dt.datetime(2025, 6, 1, hour, 0, 0, 3000, tzinfo=dt.UTC) for hour in (0, 8, 16)]
    rates = pl.DataFrame(
        {"symbol": "BTC/USDT:USDT", "ts": due, "funding_rate": [1e-4, -2e-4, 4e-4]},
        schema={"symbol": pl.String(), "ts": pl.Datetime("ms", "UTC"), "funding_rate": pl.Float64()},
    )
    assert store.append_funding(rates, source="binance").added == 3
    assert store.append_funding(rates, source="binance").unchanged == 3
    read = store.read(bar="1m", funding=True)
    assert_frame_equal(read.drop("funding_rate"), bars)
    paid = read.drop_nulls("funding_rate")
    assert paid["ts"].to_list() == [time.replace(microsecond=0) for time in due]
    assert paid["funding_rate"].to_list() == [1e-4, -2e-4, 4e-4]
    daily = store.read(bar="1d", funding=True)["funding_rate"].to_list()
    assert daily[0] is None and daily[1] == pytest.approx(3e-4) and daily[2] is None
    assert_frame_equal(store.read_funding(start=due[1]), rates[1:])
    assert store.bars() == ["1m", "1d"] and store.coverage()["bar"].to_list() == ["1m", "1d"]
    store.append_funding(rates.head(1).with_columns(funding_rate=pl.lit(5e-4)), fetched_at=dt.datetime.now(dt.UTC))
    assert store.read_funding("BTC/USDT:USDT")["funding_rate"].to_list() == [5e-4, -2e-4, 4e-4]
    later = rates.with_columns(ts=pl.col("ts") + pl.duration(days=36500), funding_rate=pl.lit(1.0))
    assert store.append_funding(later).still_open == 3
    with pytest.raises(CandleError, match=r"the funding rate at 2025-06-01 00:00:00.003 UTC is nan"):
        store.append_funding(rates.with_columns(funding_rate=pl.lit(float("nan"))))
    assert "funding_rate" in read_candles(tmp_path, bar="1m").columns


def test_the_last_bar_of_a_span_keeps_the_funding_that_falls_due_after_the_span(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars(10, step=dt.timedelta(hours=1))
    store.append(bars)
    late = bars.select("symbol", ts=pl.col("ts") + pl.duration(minutes=45), funding_rate=pl.lit(1e-4))
    store.append_funding(late)
    read = store.read(start=bars["ts"][2], end=bars["ts"][4] + 30 * MINUTE, funding=True)
    assert_frame_equal(read, bars[2:5].with_columns(funding_rate=pl.lit(1e-4)))


def test_funding_due_while_bars_are_missing_is_put_into_no_other_bar(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars(100)
    store.append(bars.filter(pl.int_range(pl.len()) != 50), bar="1m")
    rates = bars[49:52].select("symbol", "ts", funding_rate=pl.Series([1.0, 2.0, 4.0]))
    store.append_funding(rates)
    read = store.read(funding=True).drop_nulls("funding_rate")
    assert read.select("ts", "funding_rate").rows() == [(bars["ts"][49], 1.0), (bars["ts"][51], 4.0)]
    assert store.read_funding()["funding_rate"].sum() == 7


@pytest.mark.parametrize("name", ["BTC-USDT_USDT_1m.parquet", "LINK-USDT_1m.parquet"])
def test_real_candles_arrive_in_pages_and_come_out_bitwise(market_data: Path, tmp_path: Path, name: str) -> None:
    bars = read_candles(market_data / "candles" / name).tail(50_000)
    store = CandleStore(tmp_path)
    for page in bars.iter_slices(10_000):
        store.append(page, bar="1m", source="binance")
    assert_frame_equal(read_candles(tmp_path), bars, check_exact=True)
    assert store.coverage()["missing"].to_list() == [0]
