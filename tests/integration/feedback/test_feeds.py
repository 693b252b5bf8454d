"""Feeds: what was closed by a moment, whatever came after it, in whatever order it came."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import Mechanic, UnifiedMLPipeline
from huracan.config import HuracanConfig
from huracan.errors import CandleError, DataError, ExchangeError, HuracanError, NotEnoughData, StorageError, UnknownName
from huracan.integration.feedback import configured_feed
from huracan.integration.feedback.clock import SimulatedClock
from huracan.integration.feedback.configured_feed import feed_of
from huracan.integration.feedback.feeds import FetchFeed, FolderFeed, FrameFeed, StoreFeed
from huracan.market import simulate_market
from huracan.market.fetching import FetchReport

HOUR = 3_600_000


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    return simulate_market(n_bars=120, n_symbols=2, seed=0).candles


def _first(candles: pl.DataFrame) -> int:
    return int(candles["ts"].dt.epoch("ms").min())  # type: ignore[arg-type]


def test_a_frame_and_a_store_of_it_say_the_same(candles: pl.DataFrame, tmp_path: Path) -> None:
    frame, store = FrameFeed(candles), StoreFeed(tmp_path / "candles")
    store.append(candles)
    assert store.bar == frame.bar == HOUR and store.newest == frame.newest
    first = _first(candles)
    for n in (1, 50, 119, 120, 500):
        assert store.take(first + n * HOUR).newest == frame.take(first + n * HOUR).newest
    for symbols in (None, ["SIM02-USD"], ["SIM02-USD", "nobody"], ["nobody"]):
        assert store.bars(first + HOUR, first + 9 * HOUR, symbols).equals(frame.bars(first + HOUR, first + 9 * HOUR, symbols))
    assert frame.take(first).newest == {}


def test_late_bars_and_revisions_are_counted_once(candles: pl.DataFrame, tmp_path: Path) -> None:
    store = StoreFeed(tmp_path / "candles")
    late = (pl.col("symbol") == "SIM01-USD") & (pl.int_range(pl.len()).over("symbol").is_in([20, 21, 22]))
    store.append(candles.filter(~late))
    shuffled = candles.filter(late).sample(fraction=1.0, shuffle=True, seed=1)
    assert store.append(shuffled, named="late").late == {"SIM01-USD": 3}
    assert store.append(shuffled, named="again").late == {}
    revised = candles.head(2).with_columns(close=pl.col("high"))
    store.append(revised)
    taken = store.take(_first(candles) + 120 * HOUR)
    assert dict(taken.late) == {"SIM01-USD": 3} and dict(taken.revised) == {"SIM01-USD": 2}
    assert store.take(_first(candles) + 120 * HOUR).late == {}


def test_a_symbol_whose_candles_are_refused_is_left_out_and_the_others_go_on(candles: pl.DataFrame, tmp_path: Path) -> None:
    store = StoreFeed(tmp_path / "candles")
    broken = candles.with_columns(
        high=pl.when(pl.col("symbol") == "SIM01-USD").then(pl.col("low") / 2).otherwise(pl.col("high"))
    )
    done = store.append(broken)
    assert list(done.refused) == ["SIM01-USD"] and "high" in done.refused["SIM01-USD"]
    assert list(store.take(_first(candles) + 120 * HOUR).newest) == ["SIM02-USD"]
    with pytest.raises(CandleError):
        store.append(broken.filter(pl.col("symbol") == "SIM01-USD"))


def test_an_empty_store_says_what_was_expected(tmp_path: Path) -> None:
    store = StoreFeed(tmp_path / "candles")
    assert store.newest is None
    with pytest.raises(NotEnoughData, match="holds no candles yet"):
        _ = store.bar


def test_two_bar_lengths_need_a_store_each(candles: pl.DataFrame, tmp_path: Path) -> None:
    store = StoreFeed(tmp_path / "candles")
    store.append(candles)
    store.store.append(candles.head(1), bar="1m")
    with pytest.raises(CandleError, match="holds bars of 1m and 1h"):
        _ = StoreFeed(tmp_path / "candles").bar


def test_files_that_appear_or_grow_are_taken_and_one_that_cannot_be_read_is_named(
    candles: pl.DataFrame, tmp_path: Path
) -> None:
    folder = tmp_path / "incoming"
    feed = FolderFeed(folder, tmp_path / "candles")
    assert feed.newest is None
    folder.mkdir()
    one = candles.filter(pl.col("symbol") == "SIM01-USD")
    one.head(60).write_parquet(folder / "SIM01-USD_1h.parquet")
    (folder / "notes.txt").write_text("no candles")
    first = _first(candles)
    assert feed.newest == first + 59 * HOUR
    one.head(90).write_parquet(folder / "SIM01-USD_1h.parquet")
    (folder / "broken.csv").write_text("a,b\n1,2\n")
    taken = feed.take(first + 90 * HOUR)
    assert taken.newest == {"SIM01-USD": first + 89 * HOUR}
    assert list(taken.refused) == ["broken.csv"]


def test_a_folder_is_read_before_its_bars_are_asked_for(candles: pl.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    (folder / "broken.csv").write_text("a,b\n1,2\n")
    feed = FolderFeed(folder, tmp_path / "candles")
    with pytest.raises(NotEnoughData, match=r"incoming holds no candles yet; .*broken\.csv was not taken"):
        _ = feed.bar
    candles.write_parquet(folder / "candles.parquet")
    assert feed.bar == HOUR


def test_an_exchange_is_asked_for_what_is_missing_and_its_silence_is_told(candles: pl.DataFrame, tmp_path: Path) -> None:
    asked: list[Any] = []

    def fetch(store: Any, exchange: str, symbols: Any, bar: str, *, since: Any, until: dt.datetime) -> None:
        asked.append((exchange, tuple(symbols), bar, since))
        if len(asked) == 2:
            raise ExchangeError("binance cannot be reached.")
        store.append(candles.filter(pl.col("ts") < until), bar=bar, source=exchange)

    feed = FetchFeed("binance", tmp_path / "c", HOUR, ("SIM01-USD", "SIM02-USD"), since=dt.timedelta(days=3), fetch=fetch)
    first = _first(candles)
    assert feed.take(first + 50 * HOUR).newest["SIM01-USD"] == first + 49 * HOUR
    assert asked[0][:3] == ("binance", ("SIM01-USD", "SIM02-USD"), "1h") and asked[0][3] is not None
    silent = feed.take(first + 60 * HOUR)
    assert silent.refused == {"*": "binance cannot be reached."} and silent.newest["SIM02-USD"] == first + 49 * HOUR
    assert feed.take(first + 70 * HOUR).newest["SIM02-USD"] == first + 69 * HOUR
    assert asked[2][3] is None


def _exchange_of(candles: pl.DataFrame, asked: list[tuple[str, ...]]) -> Any:
    """An exchange that has these candles, and refuses as :func:`huracan.market.fetch_candles` does."""

    def fetch(store: Any, exchange: str, symbols: Any, bar: str, *, since: Any, until: dt.datetime) -> None:
        asked.append(tuple(symbols))
        for symbol in symbols:
            rows = candles.filter(pl.col("symbol") == symbol, pl.col("ts") < until)
            if rows.is_empty():
                raise UnknownName(f"unknown symbol '{symbol}'.")
            if since is None and symbol not in store.symbols(bar):
                raise DataError(f"{store.root} holds no {bar} bars of {symbol} to go on from; since must say from when.")
        for symbol in symbols:
            store.append(candles.filter(pl.col("symbol") == symbol, pl.col("ts") < until), bar=bar, source=exchange)

    return fetch


def test_a_symbol_that_is_added_is_filled_and_the_others_go_on(candles: pl.DataFrame, tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []
    fetch = _exchange_of(candles, asked)
    first, days = _first(candles), dt.timedelta(days=3)
    FetchFeed("binance", tmp_path / "c", HOUR, ("SIM01-USD",), since=days, fetch=fetch).take(first + 50 * HOUR)
    both = FetchFeed("binance", tmp_path / "c", HOUR, ("SIM01-USD", "SIM02-USD"), since=days, fetch=fetch)
    taken = both.take(first + 60 * HOUR)
    assert taken.newest == {"SIM01-USD": first + 59 * HOUR, "SIM02-USD": first + 59 * HOUR} and not taken.refused
    both.take(first + 61 * HOUR)
    assert asked[-1] == ("SIM01-USD", "SIM02-USD")


def test_a_symbol_that_the_exchange_does_not_have_stops_no_other(candles: pl.DataFrame, tmp_path: Path) -> None:
    written = ("SIM01-USD", "NONE-USD", "SIM02-USD")
    feed = FetchFeed("binance", tmp_path / "c", HOUR, written, since=dt.timedelta(days=3), fetch=_exchange_of(candles, []))
    first = _first(candles)
    for n in (50, 60):
        taken = feed.take(first + n * HOUR)
        assert taken.newest == dict.fromkeys(("SIM01-USD", "SIM02-USD"), first + (n - 1) * HOUR)
        assert taken.refused == {"NONE-USD": "unknown symbol 'NONE-USD'."}


def _told(fetch: Any, home: Path, symbols: list[str]) -> tuple[dict[str, str], list[str]]:
    """What the first turn of a Mechanic says was refused, and its alerts."""
    settings = {"source": "exchange", "exchange": "binance", "symbols": symbols, "bar": "1h"}
    pipeline = UnifiedMLPipeline({"home": home, "logging": {"terminal_level": "error"}, "mechanic": settings})
    feed = FetchFeed("binance", home / "candles", HOUR, symbols, since=dt.timedelta(days=9), fetch=fetch)
    mechanic = Mechanic(pipeline, source=feed, clock=SimulatedClock(1_764_000_000_000 // HOUR * HOUR))
    refused = dict(mechanic.tick().refused)
    return refused, [sentence for _, sentence in mechanic.status().alerts]


@pytest.mark.parametrize(
    "error", [UnknownName("unknown exchange 'binanec'."), StorageError("disk full."), ExchangeError("away.")]
)
def test_an_exchanges_own_reason_is_told_and_no_other_beside_it(error: HuracanError, tmp_path: Path) -> None:
    def fetch(*given: Any, **named: Any) -> None:
        raise error

    refused, alerts = _told(fetch, tmp_path, ["BTC/USDT", "ETH/USDT"])
    assert set(refused.values()) == {str(error)} and len(alerts) == len(refused)
    assert all(str(error) in sentence for sentence in alerts)


def test_a_symbol_that_the_exchange_spells_otherwise_is_refused_with_its_spelling(
    candles: pl.DataFrame, tmp_path: Path
) -> None:
    asked: list[tuple[str, ...]] = []
    of_exchange = _exchange_of(candles, asked)
    names = {"sim01usd": "SIM01-USD", "SIM02-USD": "SIM02-USD"}

    def fetch(store: Any, exchange: str, symbols: Any, bar: str, *, since: Any, until: dt.datetime) -> FetchReport:
        stored_as = {symbol: names[symbol] for symbol in symbols}
        of_exchange(store, exchange, stored_as.values(), bar, since=since, until=until)
        return FetchReport(exchange, bar, until, until, (), 0, 0, stored_as)

    feed = FetchFeed("binance", tmp_path / "c", HOUR, tuple(names), since=dt.timedelta(days=3), fetch=fetch)
    for n in (50, 60):
        refused = feed.take(_first(candles) + n * HOUR).refused
        assert list(refused) == ["sim01usd"] and refused["sim01usd"].endswith("mechanic.symbols has to name 'SIM01-USD'.")
    assert asked[-1] == ("SIM02-USD",)
    told, _ = _told(fetch, tmp_path / "home", ["sim01usd"])
    assert told == refused


def test_an_exchange_is_asked_with_the_options_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(configured_feed, "fetch_candles", lambda *given, **named: asked.append(named["exchange_options"]))
    file = tmp_path / "options.json"
    settings = {"source": "exchange", "exchange": "kraken", "symbols": ["BTC/USD"], "exchange_options": file}
    config = HuracanConfig(home=tmp_path, mechanic=settings)
    with pytest.raises(DataError, match=r"options\.json cannot be read as exchange options"):
        feed_of(config)
    file.write_text('{"timeout": 30000}')
    feed_of(config).take(1_764_000_000_000)
    assert asked == [{"timeout": 30_000}]


def test_a_store_is_read_anew_each_turn(candles: pl.DataFrame, tmp_path: Path) -> None:
    store = StoreFeed(tmp_path / "candles")
    store.append(candles)
    seen = {store.revision}
    for n in (10, 20, 30):
        store.take(_first(candles) + n * HOUR)
        seen.add(store.revision)
    assert len(seen) == 4 and np.all(np.diff(sorted(seen)) > 0)


def test_bars_that_are_fetched_are_not_bound_to_the_time_between_turns(tmp_path: Path) -> None:
    told = {"source": "exchange", "exchange": "binance", "symbols": ["BTC/USDT"], "every": "1h"}
    lengths = [feed_of(HuracanConfig(home=tmp_path, mechanic=told | more)).bar for more in ({}, {"bar": "1m"})]
    assert lengths == [HOUR, 60_000]


def test_of_bars_of_several_lengths_the_configuration_names_one(candles: pl.DataFrame, tmp_path: Path) -> None:
    store = StoreFeed(tmp_path / "candles").store
    store.append(candles, bar="1h")
    store.append(candles.head(1), bar="1m")
    assert feed_of(HuracanConfig(home=tmp_path, mechanic={"bar": "1m"})).bar == 60_000
