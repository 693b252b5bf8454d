"""One wrong time moves no turn, whoever it is of and whatever came before; what is only alone for a while is taken."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.integration.feedback.edge_market import START, edge_market, settings
from tests.integration.feedback.living import HOUR, SmallRun, alive

from huracan import Mechanic, UnifiedMLPipeline
from huracan.config import load_config
from huracan.errors import CandleError
from huracan.integration.feedback.clock import SimulatedClock
from huracan.integration.feedback.feeds import FolderFeed, StoreFeed
from huracan.integration.feedback.replay import replay
from huracan.integration.feedback.strays import is_supported
from huracan.market import simulate_market
from huracan.market.store import CandleStore

ONE, OTHER = "SIM01-USD", "SIM02-USD"
DAY = 24 * HOUR
TS = pl.col("ts").dt.epoch("ms")


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    return simulate_market(n_bars=120, n_symbols=2, seed=0).candles


def at(candles: pl.DataFrame, first: int, end: int | None = None, symbol: str | None = None) -> pl.DataFrame:
    """Bars by their number, of one symbol or of both."""
    start = candles["ts"].dt.epoch("ms").min()
    kept = candles.filter(start + first * HOUR <= TS, start + (first + 1 if end is None else end) * HOUR > TS)
    return kept if symbol is None else kept.filter(pl.col("symbol") == symbol)


def moved(candles: pl.DataFrame, hours: int) -> pl.DataFrame:
    return candles.with_columns(pl.col("ts").dt.offset_by(f"{hours}h"))


def newest(feed: StoreFeed, candles: pl.DataFrame) -> int:
    assert feed.newest is not None
    return (feed.newest - int(candles["ts"].dt.epoch("ms").min())) // HOUR  # type: ignore[arg-type]


@pytest.mark.parametrize("hours", [2, 20, 300 * 24])
@pytest.mark.parametrize("stored", [0, 50])
def test_a_stray_is_refused_by_its_name_whenever_it_comes(
    candles: pl.DataFrame, tmp_path: Path, hours: int, stored: int
) -> None:
    feed = StoreFeed(tmp_path / "c")
    if stored:
        feed.append(at(candles, 0, stored))
    feed.append(pl.concat([at(candles, stored, 60), moved(at(candles, 59, symbol=OTHER), hours)]))
    assert newest(feed, candles) == 59
    taken = feed.take((feed.newest or 0) + HOUR)
    assert list(taken.refused) == [OTHER] and f"{hours} bars after every other" in taken.refused[OTHER]
    for first, end in ((60, 61), (61, 62), (62, 78), (78, 79), (79, 80), (80, 90)):  # it is told once, and never comes back
        feed.append(at(candles, first, end))
        assert newest(feed, candles) == end - 1 and feed.take((feed.newest or 0) + HOUR).refused == {}
    assert feed.bars(0, feed.newest or 0).equals(at(candles, 0, 90))


def test_several_strays_are_all_refused(candles: pl.DataFrame, tmp_path: Path) -> None:
    feed = StoreFeed(tmp_path / "c")
    strays = [moved(at(candles, 59, symbol=OTHER), 40), moved(at(candles, 59, symbol=ONE), 90)]
    feed.append(pl.concat([at(candles, 0, 60), *strays]))
    assert newest(feed, candles) == 59 and sorted(feed.take((feed.newest or 0) + HOUR).refused) == [ONE, OTHER]


def test_after_a_market_was_closed_symbols_come_one_by_one(candles: pl.DataFrame, tmp_path: Path) -> None:
    """The first one waits for the second, or for its own next bar, and is lost to nobody."""
    for second in (at(candles, 110, symbol=ONE), at(candles, 111, symbol=OTHER)):
        feed = StoreFeed(tmp_path / str(second["symbol"][0]))
        feed.append(at(candles, 0, 50))
        feed.append(at(candles, 110, symbol=OTHER))
        assert newest(feed, candles) == 49
        assert list(feed.append(second).refused) == []
        assert newest(feed, candles) >= 110 and feed.take((feed.newest or 0) + HOUR).refused == {}
        assert feed.bars(0, 2**42).height == 102


def test_both_symbols_after_any_gap_are_taken_at_once(candles: pl.DataFrame, tmp_path: Path) -> None:
    feed = StoreFeed(tmp_path / "c")
    feed.append(at(candles, 0, 50))
    feed.append(moved(at(candles, 50), 900 * 24))
    assert newest(feed, candles) == 50 + 900 * 24


def test_one_symbol_alone_goes_on_bar_by_bar_and_after_days(candles: pl.DataFrame, tmp_path: Path) -> None:
    feed = StoreFeed(tmp_path / "c")
    feed.append(at(candles, 0, 30, ONE))
    for bar in (30, 31, 34, 100):
        feed.append(at(candles, bar, symbol=ONE))
        assert newest(feed, candles) == bar
    with pytest.raises(CandleError, match="bars after every other"):
        feed.append(moved(at(candles, 101, symbol=ONE), 8 * 24))
    feed.append(moved(at(candles, 101, 103, ONE), 8 * 24))
    assert newest(feed, candles) == 102 + 8 * 24


def test_a_symbol_that_ended_long_ago_supports_nobody_and_holds_nobody_up(candles: pl.DataFrame, tmp_path: Path) -> None:
    feed = StoreFeed(tmp_path / "c")
    feed.append(pl.concat([at(candles, 0, 30), moved(at(candles, 30, 60, ONE), 10 * 24)]))
    feed.append(moved(at(candles, 80, symbol=ONE), 10 * 24))
    assert newest(feed, candles) == 80 + 10 * 24


def test_files_of_a_symbol_each_are_taken_together(candles: pl.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    feed = FolderFeed(folder, tmp_path / "c")
    for symbol in (ONE, OTHER):
        at(candles, 0, 50, symbol).write_parquet(folder / f"{symbol}.parquet")
    assert newest(feed, candles) == 49
    for symbol in (ONE, OTHER):
        pl.concat([at(candles, 0, 50, symbol), at(candles, 110, symbol=symbol)]).write_parquet(folder / f"{symbol}.parquet")
    assert newest(feed, candles) == 110
    assert feed.take((feed.newest or 0) + HOUR).refused == {} and feed.look() == {}


def test_a_stray_that_somebody_else_stored_moves_no_turn(candles: pl.DataFrame, tmp_path: Path) -> None:
    store = CandleStore(tmp_path / "c")
    store.append(pl.concat([at(candles, 0, 60), moved(at(candles, 59, symbol=OTHER), 20)]))
    feed = StoreFeed(store)
    assert newest(feed, candles) == 59
    taken = feed.take((feed.newest or 0) + HOUR)
    assert "20 bars after every other" in taken.refused[OTHER] and set(taken.newest.values()) == {feed.newest}


@pytest.mark.parametrize(("closed", "supported"), [(0, True), (HOUR, True), (3 * HOUR, False), (-HOUR, False)])
def test_what_closed_just_now_by_the_hosts_clock_is_believed(closed: int, supported: bool) -> None:
    assert is_supported(5 * DAY, others=0, own=0, bar=HOUR, now=5 * DAY + HOUR + closed) is supported


def test_the_first_candles_with_a_stray_stop_no_mechanic(tmp_path: Path) -> None:
    """No length of bars is set, and nothing is stored."""
    candles = simulate_market(n_bars=120, n_symbols=2, seed=0).candles
    mechanic = Mechanic(UnifiedMLPipeline({"home": str(tmp_path)}), clock=SimulatedClock(0))
    first = mechanic.tick(pl.concat([at(candles, 0, 50), moved(at(candles, 49, symbol=OTHER), 300 * 24)]))
    assert "7200 bars after every other" in first.refused[OTHER]
    assert any("7200 bars after every other" in sentence for _, sentence in mechanic.status().alerts)
    assert mechanic.tick(at(candles, 50)).tick == first.tick + HOUR
    waits = mechanic.tick(at(candles, 70, symbol=OTHER))
    assert not waits.done and "20 bars after every other" in waits.note
    assert mechanic.tick(at(candles, 70, symbol=ONE)).bars == dict.fromkeys((ONE, OTHER), first.tick + 20 * HOUR)


def test_a_stray_within_a_day_delays_no_turn_and_names_nobody_else(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", source=StoreFeed(tmp_path / "candles"))
    mechanic.tick(champion.candles.filter(champion.end_of_training > TS))
    now = champion.candles.filter(champion.end_of_training == TS)
    report = mechanic.tick(pl.concat([now, moved(now.tail(1), 20)]))
    assert report.tick == champion.end_of_training + HOUR and list(report.refused) == [OTHER]
    for bars in (1, 2, 3, 4, 5):
        report = mechanic.tick(champion.candles.filter(champion.end_of_training + bars * HOUR == TS))
        assert report.done and report.predictions == 2 and mechanic.status().alerts == []


def test_a_replay_leaves_the_same_strays_out(tmp_path: Path) -> None:
    market = edge_market(200, [], strength=0.8)
    told: list[str] = []
    stray = moved(market.tail(1), 300 * 24)
    frame, start = pl.concat([market, stray]), START + 168 * HOUR
    lived = replay(load_config(settings(tmp_path), environ={}), frame, every="24h", start=start, told=told.append)
    assert lived.last == START + 192 * HOUR and any("7200 bars after every other" in sentence for sentence in told)
