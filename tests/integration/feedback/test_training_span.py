"""How far back is learned: by time, and by bars where these are long or few; and what is told while nobody answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.integration.feedback.edge_market import HOUR, START, do_turn, edge_market, make_mechanic

from huracan import Mechanic, UnifiedMLPipeline
from huracan.config import HuracanConfig
from huracan.integration.feedback.candle_window import FrameWindow
from huracan.integration.feedback.clock import SimulatedClock
from huracan.integration.feedback.configured_feed import feed_of
from huracan.integration.feedback.feeds import FetchFeed, FrameFeed
from huracan.integration.feedback.nobody import why_nobody
from huracan.integration.feedback.replay import replay
from huracan.integration.feedback.replay_report import ReplayResult
from huracan.integration.feedback.training_span import bars_needed, longest_stretch, training_span
from huracan.market.schema import written_time

DAY = 24 * HOUR
USUAL = HuracanConfig()
NEEDED = bars_needed(USUAL)
OPENS = pl.col("ts").dt.epoch("ms")


@pytest.fixture(scope="module")
def hourly() -> pl.DataFrame:
    return edge_market(NEEDED + 80, [], n_symbols=2)


def longer(candles: pl.DataFrame, hours: int) -> pl.DataFrame:
    """The same bars, each so many hours long."""
    ts = pl.from_epoch(START + (OPENS - START) * hours, time_unit="ms").cast(pl.Datetime("ms", "UTC"))
    return candles.with_columns(ts=ts)


def told(home: Path, **sections: Any) -> dict[str, Any]:
    """Everything as it is by default, but for what makes a training quick."""
    return {"home": str(home), "features": {"recipe": "minimal"}, "mechanic": {"learners": ["ridge"]}, **sections}


@pytest.mark.parametrize("hours", [4, 24])
def test_bars_of_hours_and_of_a_day_train_a_first_champion_and_challengers(
    hourly: pl.DataFrame, tmp_path: Path, hours: int
) -> None:
    """By default 90 days are learned from, which are 540 bars of 4 h and 90 of a day; 1,000 are needed, and taken."""
    clock = SimulatedClock(START)
    feed = FrameFeed(longer(hourly, hours))
    mechanic = Mechanic(UnifiedMLPipeline(told(tmp_path)), source=feed, clock=clock, channels=())
    clock.set(START + (NEEDED - 1) * hours * HOUR)
    waiting = mechanic.tick()
    assert f"{NEEDED - 1} of the {NEEDED} bars that a first one needs" in waiting.decisions["champion"]
    clock.set(START + NEEDED * hours * HOUR)
    assert mechanic.tick().champions == {"champion": 1}
    rows = mechanic.pipeline.registry.get(mechanic.name, version=1).provenance.n_rows
    assert rows is not None and rows > 2 * 0.9 * NEEDED
    clock.set(START + (NEEDED + 1) * hours * HOUR)
    assert mechanic.tick().predictions == 2
    served = mechanic.works.bench.served(1)  # it may answer until another can have learned anew and been compared
    assert served.expires - served.learned_until == 720 * hours * HOUR


def test_the_next_look_is_when_something_will_have_changed(hourly: pl.DataFrame, tmp_path: Path) -> None:
    mechanic = make_mechanic(tmp_path, longer(hourly, 24), retrain={"min_new_rows": 100})
    there = START + 400 * DAY
    mechanic.clock.set(START + 150 * DAY)  # type: ignore[attr-defined]
    mechanic.tick()
    told = why_nobody(mechanic.works.database, mechanic.name)
    assert f"150 of the 400 bars that a first one needs are there; the last of them closes on {written_time(there)} " in told
    mechanic.clock.set(there - DAY)  # type: ignore[attr-defined]
    assert mechanic.tick().champions == {}
    mechanic.clock.set(there)  # type: ignore[attr-defined]
    assert mechanic.tick().champions == {"champion": 1}


def test_hours_of_a_market_that_closes_count_as_bars(hourly: pl.DataFrame) -> None:
    """Seven hours a day: 1,000 of them lie in 143 days, 630 in the 90 that are learned from where all are there."""
    hours = (OPENS - START) // HOUR
    open_hours = hourly.with_columns(
        ts=pl.from_epoch(START + (hours // 7) * DAY + (hours % 7) * HOUR, time_unit="ms").cast(pl.Datetime("ms", "UTC"))
    )
    end = int(open_hours["ts"].dt.epoch("ms").max()) + HOUR  # type: ignore[operator]
    span = training_span(FrameWindow(open_hours, HOUR), USUAL, end)
    assert (span.bars, span.missing) == (NEEDED, 0)
    assert open_hours.filter(span.first <= OPENS)["ts"].n_unique() == NEEDED
    assert end - span.first > 140 * DAY


def test_more_symbols_are_no_more_time_and_those_that_ended_are_none(hourly: pl.DataFrame) -> None:
    days = longer(hourly, 24)
    end, until = START + 500 * DAY, START + 900 * DAY
    many = pl.concat([days.with_columns(symbol=pl.lit(f"{name}{k}")) for k in range(9) for name in ("A",)])
    one = training_span(FrameWindow(days.filter(pl.col("symbol") == "S0"), DAY), USUAL, end)
    all_of_them = training_span(FrameWindow(many.unique(["symbol", "ts"]).sort("symbol", "ts"), DAY), USUAL, end)
    assert one == all_of_them and one.bars == 500
    ended = days.filter((pl.col("symbol") == "S0") | (OPENS < START + 700 * DAY))
    young = ended.filter((pl.col("symbol") == "S1") | (OPENS >= START + 800 * DAY))
    assert training_span(FrameWindow(young, DAY), USUAL, until).bars == 100


def test_what_comes_later_changes_nothing(hourly: pl.DataFrame) -> None:
    days, end = longer(hourly, 24), START + 640 * DAY
    known, all_of_it = (FrameWindow(frame, DAY) for frame in (days.filter(end > OPENS), days))
    assert training_span(known, USUAL, end) == training_span(all_of_it, USUAL, end)


def test_an_exchange_is_asked_for_as_many_days_as_a_first_champion_needs(tmp_path: Path) -> None:
    mechanic = {"source": "exchange", "exchange": "kraken", "symbols": ["BTC/USD"], "bar": "1d"}
    config = HuracanConfig(home=tmp_path, mechanic=mechanic)
    feed = feed_of(config)
    assert isinstance(feed, FetchFeed)
    assert feed.since.days >= longest_stretch(config, DAY) // DAY == NEEDED


def test_nobody_who_answers_is_told_at_every_turn_and_before_long_as_an_alert(tmp_path: Path) -> None:
    mechanic = make_mechanic(tmp_path, edge_market(400, []))
    alerts, said = [], []
    for bar in range(280, 290):
        report = do_turn(mechanic, bar)
        alerts.append([sentence for _, sentence in mechanic.status().alerts])
        said.append(report.unanswered)
        assert report.unanswered_bars == (min(bar, 287) - 280 if bar < 288 else 0)
        assert f"{bar} of the 288 bars" in report.sentence or bar >= 288
    assert [bool(one) for one in said] == [True] * 8 + [False] * 2
    assert [bool(one) for one in alerts] == [False] * 3 + [True] * 5 + [False] * 2
    assert alerts[3][0].startswith("nobody has answered for 3 bars: nobody is champion of 'champion', and 283 of")
    assert "retrain.min_new_rows (72" in alerts[3][0]


def test_the_bars_nobody_answered_for_are_measured(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    mechanic = make_mechanic(tmp_path, edge_market(400, []))
    shown = []
    for bar in (286, 287, 288):
        do_turn(mechanic, bar)
        lines = mechanic.works.metrics.text().splitlines()
        shown += [float(line.split()[-1]) for line in lines if line.startswith("huracan_unanswered_bars{")]
    assert shown == [1.0, 2.0, 0.0]


def test_a_replay_begins_when_a_first_champion_can_be_trained_and_says_so(hourly: pl.DataFrame, tmp_path: Path) -> None:
    result = ReplayResult(replay(HuracanConfig(**told(tmp_path)), longer(hourly, 24), every="24h"))
    assert result.replay.first == START + NEEDED * DAY
    assert "the 1,000 bars that a first champion needs" in result.beginning and "2026-08-10" in result.beginning
    assert result.accounts and "nobody ever answered" not in result.sentence


def test_a_replay_of_candles_that_are_too_short_for_anybody_says_so(hourly: pl.DataFrame, tmp_path: Path) -> None:
    few = longer(hourly, 24).filter(OPENS < START + 130 * DAY)
    result = ReplayResult(replay(HuracanConfig(**told(tmp_path)), few, every="24h"))
    assert "nobody ever answered" in result.sentence and "130 of the 1000 bars that a first one needs" in result.sentence
    assert "a third of the candles lies before it" in result.beginning


def test_a_replay_in_which_nobody_answered_says_why(tmp_path: Path) -> None:
    config = HuracanConfig(**told(tmp_path, retrain={"min_new_rows": 72}, labels={"horizon": 100}))
    result = ReplayResult(replay(config, edge_market(300, []), every="24h"))
    assert "nobody ever answered, so that nothing was earned: of a first champion, it could not be trained: " in result.sentence
