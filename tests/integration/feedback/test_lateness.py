"""What is said in time and what is not, clocks that are wrong, sources that fail: nothing is lost, and all of it is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from tests.integration.feedback.living import HOUR, SmallRun, alive, rows, turn

from huracan import Mechanic
from huracan.errors import CandleError
from huracan.integration.feedback.candle_intake import Intake
from huracan.integration.feedback.clock import SystemClock
from huracan.integration.feedback.feeds import FolderFeed, FrameFeed, StoreFeed
from huracan.mlops.alerts import AlertLevel

ONE, OTHER = "SIM01-USD", "SIM02-USD"
ROLES = "select role, count(*) from live_predictions group by 1 order by 1"


class Hosts(SystemClock):
    """A host's clock that is waited on without taking time."""

    def __init__(self, start: int) -> None:
        self.time = start

    def now(self) -> int:
        return self.time

    def sleep_until(self, moment: int, stop: Callable[[], bool]) -> None:
        if not stop():
            self.time = max(self.time, moment)


class Arriving(FrameFeed):
    """Each symbol's bars are there some time after their close."""

    def __init__(self, candles: pl.DataFrame, clock: Hosts, after: dict[str, int]) -> None:
        super().__init__(candles)
        self.clock, self.after = clock, after

    def take(self, until: int) -> Intake:
        self.revision += 1
        newest = {}
        for symbol, after in self.after.items():
            found = super().take(min(until, self.clock.now() - after)).newest
            newest[symbol] = found[symbol]
        return Intake(newest)

    def bars(self, first: int, last: int, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        there = pl.col("ts").dt.epoch("ms") + HOUR + pl.col("symbol").replace_strict(self.after, return_dtype=pl.Int64)
        return super().bars(first, last, symbols).filter(there <= self.clock.now())


def _loop(run: SmallRun, home: Path, after: dict[str, int], hours: int) -> Mechanic:
    clock = Hosts(run.end_of_training)
    mechanic = alive(run, home, source=Arriving(run.candles, clock, after), mechanic={"every": "1h"})
    mechanic._clock = clock
    mechanic.run(stop=lambda: clock.time > run.end_of_training + hours * HOUR)
    return mechanic


def test_a_loop_waits_for_bars_that_need_seconds_and_says_all_in_time(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _loop(champion, tmp_path / "home", {ONE: 2_000, OTHER: 25_000}, 4)
    said = "select distinct role from live_predictions where ts >= :end"
    assert rows(mechanic, said, end=champion.end_of_training) == [("champion",)]
    behind = rows(mechanic, "select symbol, max(tick - ts) from live_predictions where ts >= :end group by 1 order by 1",
                  end=champion.end_of_training)  # fmt: skip
    assert behind == [(ONE, HOUR), (OTHER, HOUR + 2)]  # two more turns, each a millisecond further


def test_what_is_a_bar_late_every_time_is_marked_so(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = _loop(champion, tmp_path / "home", {ONE: 2_000, OTHER: 10 * 60_000}, 4)
    told = rows(mechanic, "select distinct symbol, role from live_predictions where ts >= :end order by 1",
                end=champion.end_of_training)  # fmt: skip
    assert told == [(ONE, "champion"), (OTHER, "late")]


def test_what_is_said_after_an_absence_is_in_no_figure_of_what_was_lived(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", mechanic={"every": "1h"})
    turn(mechanic, champion, 0)
    report = turn(mechanic, champion, 69)
    assert report.belated == {ONE: 68, OTHER: 68} and "too late to act on: 68 of SIM01-USD" in report.sentence
    assert rows(mechanic, ROLES) == [("champion", 4), ("late", 136)]
    turn(mechanic, champion, 140)
    known = rows(mechanic, "select count(*) from live_outcomes o join live_predictions p using (version_id, symbol, ts) "
                 "where o.state = 'known' and p.role = 'champion'")  # fmt: skip
    assert rows(mechanic, "select sum(n) from live_buckets") == known == [(4,)]


def test_turns_further_apart_than_bars_are_no_absence(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", mechanic={"every": "6h"})
    for bars in (0, 6, 12):
        turn(mechanic, champion, bars)
    assert rows(mechanic, ROLES) == [("champion", 26)]


def test_turns_that_are_usually_far_apart_need_no_setting_and_an_absence_is_one_all_the_same(
    champion: SmallRun, tmp_path: Path
) -> None:
    """As of ``--once`` from a timer, by default settings: the turns themselves say how far they are apart."""
    mechanic = alive(champion, tmp_path / "home", mechanic={"every": "1h"})
    belated = []
    for bars in (0, 6, 12, 18, 24, 48, 54, 60):
        mechanic = alive(champion, tmp_path / "home", mechanic={"every": "1h"})  # a process of its own each time
        report = turn(mechanic, champion, bars)
        belated.append(report.belated.get(ONE, 0))
    assert belated == [0, 5, 5, 0, 0, 18, 0, 0]
    assert mechanic.status().alerts == []


def test_a_life_with_a_death_in_every_turn_marks_the_same_as_late(champion: SmallRun, tmp_path: Path) -> None:
    """How far turns are apart is told by what they were about, not by how often they were begun."""

    class Gone(BaseException):
        pass

    @contextmanager
    def die(name: str, **more: object) -> Iterator[None]:
        if name == "outcomes":
            raise Gone
        yield

    def lived(home: Path, *, dies: bool) -> list[tuple[object, ...]]:
        for bars in (0, 6, 12, 18, 48, 54):
            mechanic = alive(champion, home, mechanic={"every": "1h"})
            if dies:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("huracan.integration.mechanic.stage", die)
                    with pytest.raises(Gone):
                        turn(mechanic, champion, bars)
                mechanic = alive(champion, home, mechanic={"every": "1h"})
            turn(mechanic, champion, bars)
        return rows(mechanic, "select symbol, ts, role from live_predictions order by 1, 2")

    quiet = lived(tmp_path / "quiet", dies=False)
    assert lived(tmp_path / "killed", dies=True) == quiet
    assert {role for *_, role in quiet} == {"champion", "late"}


def test_that_most_is_late_turn_after_turn_is_an_alert_that_names_the_settings(champion: SmallRun, tmp_path: Path) -> None:
    """As of a timer that fires five minutes past the hour; one absence is none."""
    clock = Hosts(champion.end_of_training)
    mechanic = alive(champion, tmp_path / "home", mechanic={"every": "1h"})
    mechanic._clock = clock
    alerts = []
    for hour, minutes in ((0, 0), (1, 5), (2, 5), (3, 5), (4, 0), (9, 0), (10, 0)):
        clock.time = champion.end_of_training + hour * HOUR + minutes * 60_000
        mechanic.tick()
        alerts.append([sentence for _, sentence in mechanic.status().alerts])
    assert [len(one) for one in alerts] == [0, 0, 0, 1, 0, 0, 0]
    assert "too late to act on (6 of 6)" in alerts[3][0]
    assert "mechanic.every (1h)" in alerts[3][0] and "mechanic.wait_for_bars (2m)" in alerts[3][0]


def test_one_absence_is_no_rhythm_however_many_turns_it_takes(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huracan.integration.mechanic._MOST_BARS", 24)
    mechanic = alive(champion, tmp_path / "home", mechanic={"every": "1h"})
    for bars in (0, 1, 2, 200, 201):
        turn(mechanic, champion, bars)
        assert mechanic.status().alerts == []
    assert rows(mechanic, ROLES) == [("champion", 2 * 5), ("late", 2 * 197)]


def test_candles_symbol_by_symbol_at_one_moment_are_all_answered_then(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", source=StoreFeed(tmp_path / "candles"))
    ts = pl.col("ts").dt.epoch("ms")
    for bars in (0, 1, 2):
        given = champion.candles.filter(ts < champion.end_of_training + bars * HOUR)
        for symbol in (ONE, OTHER):
            assert mechanic.tick(given.filter(pl.col("symbol") == symbol)).done
        assert not mechanic.tick(given).done
    assert rows(mechanic, "select max(tick - ts) from live_predictions") == [(HOUR + 1,)]
    assert len(rows(mechanic, "select ts from live_predictions")) == 6


def test_a_clock_that_jumped_ahead_is_not_believed_and_the_loop_goes_on_when_it_is_right(
    champion: SmallRun, tmp_path: Path
) -> None:
    gone = champion.candles.filter(pl.col("ts").dt.epoch("ms") < champion.end_of_training + 2 * HOUR)
    mechanic = alive(champion, tmp_path / "home", source=FrameFeed(gone))
    turn(mechanic, champion, 0)
    held = turn(mechanic, champion, 400 * 24)
    assert not held.done and "the clock says" in held.sentence
    assert [level for level, _ in mechanic.status().alerts] == [AlertLevel.ERROR]
    assert turn(mechanic, champion, 1).predictions == 2
    assert mechanic.status().alerts == []
    assert turn(mechanic, champion, 20).done  # an outage of hours is none of the clock


def test_a_clock_some_bars_ahead_of_every_candle_is_told_and_followed(champion: SmallRun, tmp_path: Path) -> None:
    gone = champion.candles.filter(pl.col("ts").dt.epoch("ms") < champion.end_of_training + 2 * HOUR)
    mechanic = alive(champion, tmp_path / "home", source=FrameFeed(gone))
    turn(mechanic, champion, 0)
    assert turn(mechanic, champion, 5).done and mechanic.status().alerts == []  # a bar or three may be missing
    assert turn(mechanic, champion, 10).done
    said = [sentence for level, sentence in mechanic.status().alerts if level == AlertLevel.WARNING]
    assert any("the clock says" in sentence and "turns are done" in sentence for sentence in said)
    assert not turn(mechanic, champion, 3).done
    assert any("it was put back" in sentence for _, sentence in mechanic.status().alerts)


def test_a_clock_that_was_put_back_is_told(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    turn(mechanic, champion, 10)
    assert not turn(mechanic, champion, 4).done
    assert ["it was put back" in sentence for _, sentence in mechanic.status().alerts] == [True]
    turn(mechanic, champion, 11)
    assert mechanic.status().alerts == []


def test_a_feed_that_raises_anything_ends_no_loop(champion: SmallRun, tmp_path: Path) -> None:
    class Torn(FrameFeed):
        torn = 2

        def take(self, until: int) -> Intake:
            self.torn -= 1
            if self.torn >= 0:
                raise ConnectionResetError("reset by peer")
            return super().take(until)

    mechanic = alive(champion, tmp_path / "home", source=Torn(champion.candles), mechanic={"every": "1h"})
    said: list[str] = []
    alerts = []

    def told(sentence: str) -> None:
        said.append(sentence)
        alerts.append([text for _, text in mechanic.status().alerts])

    mechanic.run(stop=lambda: len(said) >= 4, told=told)
    assert ["ConnectionResetError" in sentence for sentence in said] == [True, True, False, False]
    assert "ConnectionResetError: reset by peer" in alerts[1][0] and alerts[3] == []


def test_a_folder_that_is_not_there_and_what_is_no_file_are_told(champion: SmallRun, tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    feed = FolderFeed(folder, tmp_path / "candles")
    assert "is not there" in feed.look()["*"]
    folder.mkdir()
    assert feed.look() == {}
    os.mkfifo(folder / "pipe.csv")
    (folder / "gone.parquet").symlink_to(tmp_path / "nowhere.parquet")
    (folder / "a_folder.csv").mkdir()
    assert sorted(feed.look()) == ["a_folder.csv", "gone.parquet", "pipe.csv"]


def test_candles_that_are_to_come_are_refused_by_name(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", source=StoreFeed(tmp_path / "candles"))
    ts = pl.col("ts").dt.epoch("ms")
    given = champion.candles.filter(ts < champion.end_of_training)
    newest = (pl.col("symbol") == OTHER) & (pl.col("ts") == given["ts"].max())
    strange = given.with_columns(ts=pl.when(newest).then(pl.col("ts").dt.offset_by("50y")).otherwise(pl.col("ts")))
    with pytest.raises(CandleError):
        mechanic.tick(strange.filter(pl.col("symbol") == OTHER).tail(1))
    report = mechanic.tick(strange)
    newest_there = {ONE: champion.end_of_training - HOUR, OTHER: champion.end_of_training - 2 * HOUR}
    assert report.bars == newest_there and "1 candles are dated after now" in report.refused[OTHER]
    assert any("dated after now" in sentence for _, sentence in mechanic.status().alerts)


def test_one_candle_far_behind_all_others_moves_no_turn(champion: SmallRun, tmp_path: Path) -> None:
    """Its year is wrong, and in the past of the host: alone it is refused by name, with its neighbour it is taken."""
    mechanic = alive(champion, tmp_path / "home", source=StoreFeed(tmp_path / "candles"))
    ts = pl.col("ts").dt.epoch("ms")
    given = champion.candles.filter(ts < champion.end_of_training)
    one = given.filter((pl.col("symbol") == OTHER) & (pl.col("ts") == given["ts"].max()))
    strange = one.with_columns(ts=pl.col("ts").dt.offset_by("1y"))
    mechanic.tick(given.filter(ts < champion.end_of_training - HOUR))
    report = mechanic.tick(pl.concat([given, strange]))
    assert report.tick == champion.end_of_training and "bars after every other" in report.refused[OTHER]
    assert any("bars after every other" in sentence for _, sentence in mechanic.status().alerts)
    with pytest.raises(CandleError, match="bars after every other"):
        mechanic.tick(strange)
    following = mechanic.tick(champion.candles.filter(ts == champion.end_of_training))
    assert following.done and following.tick == champion.end_of_training + HOUR
    beside = strange.with_columns(ts=pl.col("ts").dt.offset_by("1h"))
    assert mechanic.tick(pl.concat([strange, beside])).bars[OTHER] == int(beside["ts"].dt.epoch("ms")[0])


def test_candles_that_come_one_by_one_after_a_long_gap_are_taken(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", source=StoreFeed(tmp_path / "candles"))
    ts = pl.col("ts").dt.epoch("ms")
    own = champion.candles.filter(pl.col("symbol") == ONE)
    mechanic.tick(own.filter(ts < champion.end_of_training - 60 * HOUR))
    report = mechanic.tick(own.filter(ts == champion.end_of_training))
    assert report.tick == champion.end_of_training + HOUR and report.refused == {}
