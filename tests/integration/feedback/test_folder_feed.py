"""A folder of files: each says a thing once, whoever reads it, in whatever order of names, and whoever is killed."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.integration.feedback.living import HOUR, SmallRun, alive, turn

from huracan.errors import CandleError
from huracan.integration.feedback.content_hash import content_digests
from huracan.integration.feedback.folder_feed import FolderFeed
from huracan.integration.feedback.read_files import ReadFiles
from huracan.integration.feedback.store_feed import StoreFeed
from huracan.market import simulate_market

ONE, OTHER = "SIM01-USD", "SIM02-USD"
AT = 40
NAMES = ("later.parquet", "2024-fix.parquet", "0.parquet")


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    return simulate_market(n_bars=60, n_symbols=2, seed=0).candles


def opens(candles: pl.DataFrame) -> list[int]:
    return candles["ts"].dt.epoch("ms").unique().sort().to_list()


def corrected(candles: pl.DataFrame, by: float = 1.001) -> pl.DataFrame:
    """One bar of ONE, with another close."""
    one = candles.filter((pl.col("symbol") == ONE) & (pl.col("ts").dt.epoch("ms") == opens(candles)[AT]))
    close = pl.col("close") * by
    return one.with_columns(close=close, high=pl.max_horizontal("high", close), low=pl.min_horizontal("low", close))


def close_of(feed: FolderFeed, candles: pl.DataFrame) -> float:
    at = opens(candles)[AT]
    return float(feed.bars(at, at, [ONE])["close"][0])


def put(frame: pl.DataFrame, file: Path, written: int | None = None) -> None:
    """Write a table whole; ``written`` : seconds since 1970."""
    aside = file.with_name(f".{file.name}")
    frame.write_csv(aside) if file.suffix == ".csv" else frame.write_parquet(aside)
    if written is not None:
        os.utime(aside, (written, written))
    aside.rename(file)


@pytest.mark.parametrize("name", NAMES)
def test_no_restart_undoes_a_correction(candles: pl.DataFrame, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    put(candles, folder / "2024.parquet")
    feed, fix = FolderFeed(folder, tmp_path / "c"), corrected(candles)
    feed.look()
    put(fix, folder / name)
    assert feed.take(opens(candles)[-1] + HOUR).revised == {ONE: 1}
    for _ in range(2):
        feed = FolderFeed(folder, tmp_path / "c")
        assert feed.take(opens(candles)[-1] + HOUR).revised == {} and close_of(feed, candles) == fix["close"][0]
        assert feed.arrived()[ONE] == (0, 1)


def test_a_file_that_grows_says_again_what_it_said_and_undoes_nothing(candles: pl.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    ts = pl.col("ts").dt.epoch("ms")
    put(candles.filter(ts < opens(candles)[50]), folder / "growing.csv")
    FolderFeed(folder, tmp_path / "c").look()
    put(corrected(candles), folder / "fix.csv")
    FolderFeed(folder, tmp_path / "c").look()
    for bars in (52, 55):
        put(candles.filter(ts < opens(candles)[bars]), folder / "growing.csv")
        feed = FolderFeed(folder, tmp_path / "c")
        assert feed.newest == opens(candles)[bars - 1] and close_of(feed, candles) == corrected(candles)["close"][0]
    put(corrected(candles, 0.999), folder / "growing.csv")  # it says another thing now
    feed = FolderFeed(folder, tmp_path / "c")
    feed.look()
    assert close_of(feed, candles) == corrected(candles, 0.999)["close"][0]


@pytest.mark.parametrize("name", NAMES)
def test_of_files_that_are_new_together_the_one_written_later_holds(candles: pl.DataFrame, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    put(corrected(candles), folder / name, written=1_700_000_100)
    put(candles, folder / "2024.parquet", written=1_700_000_000)
    feed = FolderFeed(folder, tmp_path / "c")
    feed.look()
    assert close_of(feed, candles) == corrected(candles)["close"][0]
    same = tmp_path / "same"
    same.mkdir()
    put(corrected(candles), same / "a.parquet", written=1_700_000_000)
    put(candles, same / "b.parquet", written=1_700_000_000)
    feed = FolderFeed(same, tmp_path / "d")
    feed.look()
    assert close_of(feed, candles) == candles.join(corrected(candles), on=["symbol", "ts"], how="semi")["close"][0]


def test_a_folder_that_was_moved_and_files_that_were_renamed_or_touched_are_known(
    candles: pl.DataFrame, tmp_path: Path
) -> None:
    folder, moved = tmp_path / "in", tmp_path / "elsewhere"
    folder.mkdir()
    put(candles, folder / "2024.parquet")
    FolderFeed(folder, tmp_path / "c").look()
    put(corrected(candles), folder / "fix.parquet")
    FolderFeed(folder, tmp_path / "c").look()
    shutil.move(folder, moved)
    (moved / "2024.parquet").rename(moved / "zz.parquet")
    os.utime(moved / "zz.parquet")
    feed = FolderFeed(moved, tmp_path / "c")
    feed.look()
    assert close_of(feed, candles) == corrected(candles)["close"][0]


def test_a_file_that_names_its_symbol_is_another_one_under_another_name(candles: pl.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    one = candles.filter(pl.col("symbol") == ONE).drop("symbol")
    put(one, folder / "BTC-USD_1h.parquet")
    shutil.copy2(folder / "BTC-USD_1h.parquet", folder / "XBT-USD_1h.parquet")
    assert list(FolderFeed(folder, tmp_path / "c").take(opens(candles)[-1] + HOUR).newest) == ["BTC-USD", "XBT-USD"]


def test_killed_between_storing_and_knowing_it_reads_again_and_nothing_changes(
    candles: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    put(candles, folder / "2024.parquet")
    FolderFeed(folder, tmp_path / "c").look()
    put(corrected(candles), folder / "0.parquet")

    with monkeypatch.context() as patch:
        patch.setattr(ReadFiles, "keep", _killed)
        with pytest.raises(KeyboardInterrupt):
            FolderFeed(folder, tmp_path / "c").look()
    feed = FolderFeed(folder, tmp_path / "c")
    feed.look()
    assert close_of(feed, candles) == corrected(candles)["close"][0] and feed.arrived()[ONE] == (0, 1)


def test_what_was_refused_of_a_file_is_looked_at_again(candles: pl.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    put(candles.with_columns(high=pl.when(pl.col("symbol") == ONE).then(0.5).otherwise(pl.col("high"))), folder / "a.parquet")
    for _ in range(2):
        taken = FolderFeed(folder, tmp_path / "c").take(opens(candles)[-1] + HOUR)
        assert list(taken.newest) == [OTHER] and list(taken.refused) == [ONE]
    put(candles, folder / "a.parquet")
    taken = FolderFeed(folder, tmp_path / "c").take(opens(candles)[-1] + HOUR)
    assert list(taken.newest) == [ONE, OTHER] and taken.refused == {}


def test_a_damaged_memory_is_read_anew(candles: pl.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    put(candles, folder / "a.parquet")
    FolderFeed(folder, tmp_path / "c").look()
    for kept in (tmp_path / "c" / "read").iterdir():
        kept.write_bytes(b"torn")
    feed = FolderFeed(folder, tmp_path / "c")
    assert feed.look() == {} and feed.arrived()[ONE] == (0, 0)


@pytest.mark.parametrize("last", ["symbol", "close"])
def test_half_a_last_line_is_left_for_the_next_look(candles: pl.DataFrame, tmp_path: Path, last: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    text = candles.sort("ts", "symbol").select(pl.exclude(last), last).write_csv()
    (folder / "c.csv").write_text(text.rstrip("\n")[:-3])
    feed = FolderFeed(folder, tmp_path / "c")
    taken = feed.take(opens(candles)[-1] + HOUR)
    assert taken.newest == {ONE: opens(candles)[-1], OTHER: opens(candles)[-2]}
    assert "has no line end" in taken.refused["c.csv"] and "has no line end" in feed.look()["c.csv"]
    (folder / "c.csv").write_text(text)
    taken = feed.take(opens(candles)[-1] + HOUR)
    assert taken.newest == {ONE: opens(candles)[-1], OTHER: opens(candles)[-1]} and taken.refused == {}
    assert feed.bars(0, opens(candles)[-1]).equals(candles) and feed.arrived() == {ONE: (0, 0), OTHER: (0, 0)}


def test_a_whole_file_without_a_last_line_end_loses_no_bar(candles: pl.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "c.csv").write_text(candles.write_csv().rstrip("\n"))
    feed = FolderFeed(folder, tmp_path / "c")
    assert list(feed.look()) == ["c.csv"]
    assert list(feed.look()) == ["c.csv"]
    os.utime(folder / "c.csv", (time.time() - 61, time.time() - 61))
    assert feed.look() == {} and feed.bars(0, opens(candles)[-1]).equals(candles)
    once = FolderFeed(folder, tmp_path / "d")  # written long ago: there is nothing to wait for
    assert once.look() == {} and once.bars(0, opens(candles)[-1]).equals(candles)


def test_a_first_line_that_is_being_written_is_no_candle_yet(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "c.csv").write_text("symbol,ts,op")
    assert "has no line end" in FolderFeed(folder, tmp_path / "c").look()["c.csv"]


def test_a_damaged_symbol_of_the_store_stands_against_no_other(candles: pl.DataFrame, tmp_path: Path) -> None:
    folder, ts = tmp_path / "in", pl.col("ts").dt.epoch("ms")
    folder.mkdir()
    put(candles.filter(ts < opens(candles)[50]), folder / "a.parquet")
    FolderFeed(folder, tmp_path / "c").look()
    next((tmp_path / "c" / "symbols" / ONE).rglob("*.parquet")).write_bytes(b"torn")
    put(candles, folder / "a.parquet")
    taken = FolderFeed(folder, tmp_path / "c").take(opens(candles)[-1] + HOUR)
    assert taken.newest == {OTHER: opens(candles)[-1]} and "damaged" in taken.refused["a.parquet"]


def test_a_file_that_is_given_says_a_thing_once_too(champion: SmallRun, tmp_path: Path) -> None:
    """As cron gives the same growing file again and again, while its last line may be half written."""
    ts = pl.col("ts").dt.epoch("ms")
    growing, fix = tmp_path / "c.csv", tmp_path / "fix.csv"
    fixed = champion.candles.filter((ts == champion.end_of_training - 9 * HOUR) & (pl.col("symbol") == ONE))
    fixed = fixed.with_columns(close=pl.col("low"))

    def given(file: Path, bars: int = 0) -> Any:
        text = champion.candles.filter(ts < champion.end_of_training + bars * HOUR).sort("ts", "symbol").write_csv()
        file.write_text(text[:-3] if bars == 3 else text) if file == growing else put(fixed, file)
        return alive(champion, tmp_path / "home", source=StoreFeed(tmp_path / "c")).tick(str(file))

    assert given(growing).predictions == 2
    given(fix)
    for bars, answered in ((1, 2), (2, 2), (3, 1), (4, 3)):
        report = given(growing, bars)
        assert report.predictions == answered and list(report.refused) == (["c.csv"] if bars == 3 else [])
    feed, at = StoreFeed(tmp_path / "c"), champion.end_of_training - 9 * HOUR
    assert feed.bars(at, at, [ONE])["close"].to_list() == fixed["low"].to_list()
    with pytest.raises(CandleError, match="does not exist"):
        alive(champion, tmp_path / "home", source=StoreFeed(tmp_path / "c")).tick(tmp_path / "none.csv")


class Death(BaseException):
    """The process is gone; nothing of it may be caught."""


def _lived(run: SmallRun, home: Path, monkeypatch: pytest.MonkeyPatch, *, killed: bool) -> tuple[list[Any], dict[str, str]]:
    """Four turns with two corrections, a process each; with ``killed`` dead around every file that storing candles writes."""
    folder, ts = home / "in", pl.col("ts").dt.epoch("ms")
    folder.mkdir(parents=True)
    fix = run.candles.filter((ts == run.end_of_training - 9 * HOUR) & (pl.col("symbol") == ONE))
    renamed, reports, deaths = os.replace, [], 0
    for bars in range(4):
        put(run.candles.filter(ts < run.end_of_training + bars * HOUR), folder / "2024.parquet", written=1_700_000_000 + bars)
        if bars in (1, 2):
            name, close = (None, "0-fix.parquet", "zz-fix.parquet")[bars], (None, "low", "high")[bars]
            put(fix.with_columns(close=pl.col(str(close))), folder / str(name), written=1_700_000_010 + bars)
        for point in range(100 if killed else 1):
            count = iter(range(100))

            def replace(aside: Any, path: Any, count: Any = count, point: int = point, **told: Any) -> None:
                if killed and "candles" in Path(path).parts and next(count) == point // 2:
                    if point % 2:
                        renamed(aside, path, **told)
                    raise Death
                renamed(aside, path, **told)

            monkeypatch.setattr(os, "replace", replace)
            try:
                reports.append(turn(alive(run, home / "home", source=FolderFeed(folder, home / "candles")), run, bars))
                break
            except Death:
                deaths += 1
    assert deaths >= 12 * killed
    return reports, content_digests(alive(run, home / "home").works.database, home / "home" / "outbox")


def test_a_life_with_corrections_goes_on_after_restarts_and_deaths(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports, digests = _lived(champion, tmp_path / "a", monkeypatch, killed=False)
    assert [dict(report.revised) for report in reports] == [{}, {ONE: 1}, {ONE: 1}, {}]
    assert [report.predictions > 0 for report in reports] == [True] * 4
    again, same = _lived(champion, tmp_path / "b", monkeypatch, killed=True)
    assert [dict(report.revised) for report in again] == [dict(report.revised) for report in reports]
    assert same == digests


@pytest.mark.parametrize("seed", range(3))
def test_any_life_ends_with_what_was_said_last_of_each_bar(
    candles: pl.DataFrame, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that appear, grow, are corrected and renamed, between looks, restarts and kills; the oracle is a dictionary."""
    rng = np.random.default_rng(seed)
    folder, store = tmp_path / "in", tmp_path / "c"
    folder.mkdir()
    of_file: dict[str, dict[tuple[str, Any], float]] = {}
    truth: dict[tuple[str, Any], float] = {}
    feed, written = FolderFeed(folder, store), 1_700_000_000
    for _ in range(10):
        for name in rng.choice(["a.csv", "b.parquet", "c.csv"], size=rng.integers(1, 3), replace=False):
            written += 1
            first = int(rng.integers(0, 40))
            rows = candles.slice(first, 20).with_columns(volume=pl.lit(float(rng.integers(1, 4))))
            before = pl.DataFrame() if name not in of_file else pl.read_parquet(tmp_path / f"{name}.kept")
            if before.height and rng.random() < 0.7:  # it says again what it said, and something beside
                rows = pl.concat([rows, before.join(rows, on=["symbol", "ts"], how="anti").select(rows.columns)])
            rows = rows.sort("symbol", "ts")
            rows.write_parquet(tmp_path / f"{name}.kept")
            put(rows, folder / name, written=written)
            said = {(symbol, ts): volume for symbol, ts, volume in rows.select("symbol", "ts", "volume").iter_rows()}
            truth |= {key: volume for key, volume in said.items() if of_file.get(name, {}).get(key) != volume}
            of_file[name] = said
        if rng.random() < 0.3:
            with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
                patch.setattr(ReadFiles, "keep", _killed)
                FolderFeed(folder, store).look()
        if rng.random() < 0.5:
            feed = FolderFeed(folder, store)
        assert feed.look() == {}
        there = feed.bars(0, 2**42).select("symbol", "ts", "volume")
        assert {(symbol, ts): volume for symbol, ts, volume in there.iter_rows()} == truth


def _killed(*_: Any) -> None:
    raise KeyboardInterrupt
