"""Candles are cleaned the same by a life, its replay and a training: as they come, each by those before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.integration.feedback.edge_market import HOUR, START, edge_market, settings
from tests.integration.feedback.living import SmallRun, alive, turn

from huracan import Mechanic, UnifiedMLPipeline
from huracan.config import load_config
from huracan.errors import ConfigError
from huracan.integration.feedback.clock import SimulatedClock
from huracan.integration.feedback.content_hash import content_digests
from huracan.integration.feedback.replay import Replay, replay
from huracan.mlops.alerts import AlertLevel
from huracan.storage import Database
from huracan.storage.feedback_tables import live_outcomes, live_predictions

FIRST, LAST, STEP, IN_GAP = 312, 552, 24, 456
SPIKE, GAPS = 400, ((440, 443), (454, 458), (500, 520))
CLEANINGS: tuple[dict[str, Any], ...] = (
    {"outliers": "drop"},
    {"outliers": "clip"},
    {"outliers": "winsorise"},
    {"gaps": "forward_fill", "fill_limit": 5},
    {"outliers": "drop", "gaps": "forward_fill", "fill_limit": 3},
)
AHEAD: tuple[dict[str, Any], ...] = ({"outliers": "clip", "offline": True}, {"gaps": "drop"})


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    """A bar at eight times its price, and bars that are missing: between turns, over one, and more than are filled."""
    market = edge_market(LAST, [], strength=0.8)
    bar = (market["ts"].dt.epoch("ms") - START) // HOUR
    times = pl.when(pl.Series(bar == SPIKE)).then(8.0).otherwise(1.0)
    prices = market.with_columns(pl.col("open", "high", "low", "close") * times)
    there = ~bar.is_in([at for first, end in GAPS for at in range(first, end)])
    return prices.filter(there)


def config(home: Path, cleaning: dict[str, Any]) -> Any:
    told = settings(home)
    told["mechanic"] = told.get("mechanic", {}) | {"every": f"{STEP}h"}
    return load_config(told | {"cleaning": cleaning}, environ={})


def lived_again(home: Path, candles: pl.DataFrame, cleaning: dict[str, Any], last: int = LAST) -> Replay:
    turns = {"every": f"{STEP}h", "start": START + FIRST * HOUR, "until": START + last * HOUR}
    return replay(config(home, cleaning), candles, **turns)


def live(home: Path, candles: pl.DataFrame, cleaning: dict[str, Any], last: int = LAST) -> Mechanic:
    """Candles are given turn by turn."""
    clock = SimulatedClock(START)
    mechanic = Mechanic(UnifiedMLPipeline(config(home, cleaning)), clock=clock)
    opens, given = candles["ts"].dt.epoch("ms"), START
    for bar in range(FIRST, last + 1, STEP):
        clock.set(START + bar * HOUR)
        mechanic.tick(candles.filter((opens >= given) & (opens < clock.now())))
        given = clock.now()
    return mechanic


def said(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    p, o = live_predictions.c, live_outcomes.c
    queries = {
        "predictions": sa.select(p.symbol, p.ts, p.role, p.regime, p.score, p.position, p.vetoes).order_by(p.symbol, p.ts),
        "outcomes": sa.select(o.label, o.label_end, o.payoff, o.net_return).order_by(o.label_end, o.label, o.payoff),
    }
    with database.reading() as connection:
        return {name: [tuple(row) for row in connection.execute(query)] for name, query in queries.items()}


@pytest.mark.parametrize("cleaning", CLEANINGS, ids=str)
def test_a_life_and_its_replay_say_the_same(tmp_path: Path, candles: pl.DataFrame, cleaning: dict[str, Any]) -> None:
    again = said(lived_again(tmp_path / "again", candles, cleaning).pipeline.registry.database)
    once = said(live(tmp_path / "once", candles, cleaning).works.database)
    assert once == again
    assert len(again["predictions"]) > 100 and len(again["outcomes"]) > 100
    assert all(
        START + at * HOUR not in {row[1] for row in again["predictions"]} for first, end in GAPS for at in range(first, end)
    )


@pytest.mark.parametrize("cleaning", CLEANINGS[-2:], ids=str)
def test_nobody_sees_that_a_gap_will_end(tmp_path: Path, candles: pl.DataFrame, cleaning: dict[str, Any]) -> None:
    """Two bars after the turn, or twenty-two: until then all is the same."""
    opens = candles["ts"].dt.epoch("ms")
    longer = candles.filter((opens < START + IN_GAP * HOUR) | (opens >= START + (IN_GAP + STEP) * HOUR))
    one, other = (lived_again(tmp_path / name, frame, cleaning, IN_GAP) for name, frame in (("a", candles), ("b", longer)))
    assert one.last == other.last == START + IN_GAP * HOUR
    told = [content_digests(of.pipeline.registry.database, of.folder / "outbox") for of in (one, other)]
    assert told[0] == told[1]


@pytest.mark.parametrize("cleaning", AHEAD, ids=str)
def test_what_looks_ahead_is_refused_by_both(tmp_path: Path, candles: pl.DataFrame, cleaning: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="answers when a bar closes, and cleaning looks ahead"):
        lived_again(tmp_path / "again", candles, cleaning)
    with pytest.raises(ConfigError, match="answers when a bar closes, and cleaning looks ahead"):
        live(tmp_path / "once", candles, cleaning)


@pytest.mark.parametrize("kept", ["first", "last"])
def test_rows_that_are_there_twice_or_impossible_are_treated_alike(tmp_path: Path, kept: str) -> None:
    """Of one symbol a bar between turns, and the last before one; a price that no market makes, and a time off the grid."""
    market = edge_market(408, [], strength=0.8)
    bar, one = (pl.col("ts").dt.epoch("ms") - START) // HOUR, pl.col("symbol") == market["symbol"][0]
    again = market.filter(one & bar.is_in([340, 359])).with_columns(pl.col("open", "high", "low", "close") * 1.5)
    impossible = pl.when(one & bar.is_in([345, 383])).then(-1.0).otherwise(pl.col("low"))
    off = market.filter(one & (bar == 350)).with_columns(pl.col("ts").dt.offset_by("20m"))
    rows = pl.concat([market.with_columns(low=impossible), again, off]).sort("symbol", "ts", maintain_order=True)
    cleaning = {"duplicates": kept, "invalid": "drop"}
    again_lived, once = lived_again(tmp_path / "again", rows, cleaning, 408), live(tmp_path / "once", rows, cleaning, 408)
    told = said(once.works.database)
    assert told == said(again_lived.pipeline.registry.database)
    assert len(told["predictions"]) == 408 - FIRST - 2  # all but the impossible ones
    assert once.status().alerts == []
    times = {(row[0], row[1]) for row in told["predictions"]}
    symbol = market["symbol"][0]
    assert (symbol, START + 345 * HOUR) not in times and (symbol, START + 340 * HOUR) in times


def test_a_champion_of_other_cleaning_answers_and_is_told(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", cleaning={"gaps": "forward_fill", "fill_limit": 2})
    assert turn(mechanic, champion, 0).predictions == 2
    told = [sentence for level, sentence in mechanic.status().alerts if level == AlertLevel.WARNING]
    assert len(told) == 1 and "nothing that alters a bar" in told[0] and "gaps forward_fill, fill_limit 2" in told[0]
    same = alive(champion, tmp_path / "same", cleaning={"duplicates": "first", "outliers": "keep"})
    turn(same, champion, 0)
    assert same.status().alerts == []
