"""Candles that are late, out of order, revised, broken or missing; the loop goes on and says so."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.integration.feedback.living import HOUR, SmallRun, alive, rows

from huracan import Mechanic, UnifiedMLPipeline
from huracan.errors import CandleError, LeaseHeld, StorageError
from huracan.integration.feedback.clock import SimulatedClock
from huracan.integration.feedback.feeds import StoreFeed
from huracan.market.store import CandleStore

ONE, OTHER = "SIM01-USD", "SIM02-USD"


def _stored(run: SmallRun, home: Path, **sections: dict[str, object]) -> Mechanic:
    """A Mechanic whose store holds all candles up to the end of training."""
    mechanic = alive(run, home, source=StoreFeed(home.parent / "candles"), **sections)
    mechanic.tick(_until(run, 0))
    return mechanic


def _until(run: SmallRun, bars: int, since: int | None = None) -> pl.DataFrame:
    ts = pl.col("ts").dt.epoch("ms")
    end = run.end_of_training
    rows = run.candles.filter(ts < end + bars * HOUR)
    return rows if since is None else rows.filter(ts >= end + since * HOUR)


def _said(mechanic: Mechanic, symbol: str) -> list[int]:
    return [row[0] for row in rows(mechanic, "select ts from live_predictions where symbol = :of order by ts", of=symbol)]


def test_bars_out_of_order_and_twice_are_each_predicted_once(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    given = _until(champion, 6, -3)
    report = mechanic.tick(pl.concat([given, given.head(2)]).sample(fraction=1.0, shuffle=True, seed=3))
    assert report.predictions == 12 and not report.late and not report.revised
    assert mechanic.tick(given).done is False


def test_a_late_bar_is_stored_and_not_predicted_as_if_it_had_been_known(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    end = champion.end_of_training
    given = _until(champion, 10, 0)
    missing = (pl.col("symbol") == ONE) & (pl.col("ts").dt.epoch("ms") == end + 4 * HOUR)
    mechanic.tick(given.filter(~missing))
    late = mechanic.tick(pl.concat([given.filter(missing), _until(champion, 12, 10)]))
    assert late.late == {ONE: 1} and f"late: 1 of {ONE}" in late.sentence
    assert end + 4 * HOUR not in _said(mechanic, ONE) and end + 4 * HOUR in _said(mechanic, OTHER)
    assert late.predictions == 4


def test_a_revised_bar_changes_nothing_that_was_said_of_it(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    mechanic.tick(_until(champion, 10, 0))
    before = rows(mechanic, "select * from live_predictions")
    revised = _until(champion, 9, 8).with_columns(close=pl.col("high"))
    report = mechanic.tick(pl.concat([revised, _until(champion, 11, 10)]))
    assert report.revised == {ONE: 1, OTHER: 1}
    assert set(before) <= set(rows(mechanic, "select * from live_predictions"))


@pytest.mark.parametrize("how", ["another process fills the store", "killed between storing and counting", "the lease is held"])
def test_late_and_revised_bars_are_counted_once_whoever_stored_them(champion: SmallRun, tmp_path: Path, how: str) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    given = _until(champion, 10, 0)
    missing = (pl.col("symbol") == ONE) & (pl.col("ts").dt.epoch("ms") == champion.end_of_training + 4 * HOUR)
    mechanic.tick(given.filter(~missing))
    news = pl.concat(
        [given.filter(missing), _until(champion, 9, 8).with_columns(close=pl.col("high")), _until(champion, 11, 10)]
    )
    if how.startswith("another"):
        CandleStore(tmp_path / "candles").append(news, bar="1h")
    elif how.startswith("killed"):
        mechanic.works.feed.append(news)  # type: ignore[attr-defined]
        mechanic = alive(champion, tmp_path / "home", source=StoreFeed(tmp_path / "candles"))
    else:
        other = alive(champion, tmp_path / "home", source=StoreFeed(tmp_path / "candles"))
        with other.working(), pytest.raises(LeaseHeld):
            mechanic.tick(news)
    report = mechanic.tick(news)
    assert report.late == {ONE: 1} and report.revised == {ONE: 1, OTHER: 1}
    after = mechanic.tick(_until(champion, 12, 10))
    assert not after.late and not after.revised


def test_a_turn_that_was_begun_is_finished_once_when_its_candles_are_given_again(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    news = _until(champion, 3, -1).with_columns(volume=pl.col("volume") * 2)  # one bar is revised
    with monkeypatch.context() as broken:
        broken.setattr(mechanic.works.store, "predicted", _gone)
        with pytest.raises(StorageError):
            mechanic.tick(news)
    assert mechanic.status().unfinished is not None
    assert mechanic.tick(news).predictions == 6
    assert len(rows(mechanic, "select tick from mechanic_ticks")) == 2


def _gone(*told: object) -> int:
    raise StorageError("the database is gone.")


def test_a_symbol_whose_candles_are_broken_is_left_out_and_the_other_goes_on(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    broken = pl.when(pl.col("symbol") == ONE).then(pl.col("low") / 2).otherwise(pl.col("high"))
    report = mechanic.tick(_until(champion, 5, 0).with_columns(high=broken))
    assert list(report.refused) == [ONE] and report.predictions == 5
    assert any(ONE in sentence for _, sentence in mechanic.status().alerts)
    assert mechanic.tick(_until(champion, 6, 0)).predictions == 7  # its six, and one of the other


def test_candles_that_are_none_are_refused_and_nothing_is_begun(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    with pytest.raises(CandleError):
        mechanic.tick(pl.DataFrame({"a": [1]}))
    with pytest.raises(CandleError, match="low"):
        mechanic.tick(_until(champion, 5, 0).with_columns(high=pl.col("low") / 2))
    assert mechanic.status().unfinished is None


def test_bars_of_another_length_are_refused(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    daily = _until(champion, 120, 0).filter(pl.col("ts").dt.hour() == 0)
    with pytest.raises(CandleError, match="these are bars of 1d; bars of 1h were expected"):
        mechanic.tick(daily)


def test_an_outage_of_hours_is_told_once_and_ends(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    given = _until(champion, 40, 0)
    ts = pl.col("ts").dt.epoch("ms") - champion.end_of_training
    silent = given.filter((pl.col("symbol") == OTHER) | (ts < 2 * HOUR) | (ts >= 20 * HOUR))
    seen = []
    for bars in (1, 2, 5, 6, 12, 20, 21, 29):
        report = mechanic.tick(silent.filter(ts < bars * HOUR))
        seen += report.evidence
        alerts = [sentence for _, sentence in mechanic.status().alerts if ONE in sentence]
        assert bool(alerts) == (6 <= bars <= 20)
    outages = [sentence for sentence in seen if "has no candle" in sentence]
    assert len(outages) == 1 and outages[0].startswith(f"{ONE} has no candle since")
    vetoed = rows(
        mechanic,
        "select min(ts), max(ts) from live_predictions where symbol = :of and vetoes != 0 and ts >= :gap",
        of=ONE,
        gap=champion.end_of_training + 20 * HOUR,
    )
    assert vetoed[0][0] == champion.end_of_training + 20 * HOUR  # features warm up anew behind the gap
    assert rows(mechanic, "select kind from drift_evidence where symbol = :of", of=ONE) == [("outage",)]


def test_a_turn_without_new_candles_says_nothing_new(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    mechanic.clock.set(champion.end_of_training + 5 * HOUR)  # type: ignore[attr-defined]
    report = mechanic.tick()
    assert report.done and report.predictions == report.outcomes == 0


def test_a_symbol_that_there_is_not_is_told(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", mechanic={"symbols": [ONE, "NOPE-USD"]})
    report = mechanic.tick()
    assert list(report.bars) == [ONE] and report.predictions == 1
    assert "there are no candles of it; there are SIM01-USD, SIM02-USD." in report.refused["NOPE-USD"]


def test_a_new_symbol_is_predicted_from_its_newest_bar_on(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    mechanic.tick(_until(champion, 3, 0))
    third = _until(champion, 4).filter(pl.col("symbol") == ONE).with_columns(symbol=pl.lit("NEW-USD"))
    report = mechanic.tick(pl.concat([third, _until(champion, 4, 3)]))
    assert report.predictions == 3 and not report.late
    assert _said(mechanic, "NEW-USD") == [champion.end_of_training + 3 * HOUR]


def test_outcomes_that_never_arrive_are_waited_for_only_so_long(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _stored(champion, tmp_path / "home", mechanic={"patience_bars": 12})
    ts = pl.col("ts").dt.epoch("ms") - champion.end_of_training
    gone = _until(champion, 40, 0).filter((pl.col("symbol") == OTHER) | (ts < 4 * HOUR))
    for bars in (4, 16, 28, 40):
        mechanic.tick(gone.filter(ts < bars * HOUR))
    states = rows(mechanic, "select symbol, state, count(*) from live_outcomes group by 1, 2 order by 1, 2")
    horizon = champion.config.labels.horizon
    assert (ONE, "never", horizon + 1) in states
    assert [row for row in states if row[1] == "never" and row[0] == OTHER] == []
    assert rows(mechanic, "select sum(n) from live_buckets")[0][0] == sum(n for _, state, n in states if state == "known")


def test_a_symbol_whose_stored_files_are_damaged_is_left_out_and_the_other_goes_on(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _stored(champion, tmp_path / "home")
    mechanic.tick(_until(champion, 3, 0))
    damaged = list((tmp_path / "candles" / "symbols" / ONE).rglob("*.parquet"))
    for file in damaged:
        file.chmod(0o600)
        file.write_bytes(b"no parquet")
    mechanic.works.feed.append(_until(champion, 6, 3).filter(pl.col("symbol") == OTHER))  # type: ignore[attr-defined]
    mechanic.clock.set(champion.end_of_training + 6 * HOUR)  # type: ignore[attr-defined]
    report = mechanic.tick()
    assert damaged and list(report.bars) == [OTHER] and report.predictions == 3
    assert list(report.refused) == [ONE]


@pytest.mark.parametrize("told", ["mechanic.folder", "data.source"])
def test_a_loop_over_a_folder_begins_in_a_home_that_holds_nothing(champion: SmallRun, tmp_path: Path, told: str) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    _until(champion, -1_900).write_parquet(folder / "candles.parquet")
    where = {"mechanic": {"source": "folder", "folder": str(folder)}, "data": {}}
    if told == "data.source":
        where = {"mechanic": {}, "data": {"source": str(folder)}}
    clock = SimulatedClock(champion.end_of_training - 1_900 * HOUR)
    mechanic = Mechanic(UnifiedMLPipeline({"home": str(tmp_path / "home"), **where}), clock=clock, channels=())
    said: list[str] = []
    mechanic.run(stop=lambda: bool(said), told=said.append)
    assert "was not finished" not in said[0]
    assert len(rows(mechanic, "select tick from mechanic_ticks")) == 1
