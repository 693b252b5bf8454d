"""A replay is a life: it may be killed and goes on, it sees no future, and its beginning is that of a longer one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from tests.integration.feedback.edge_market import HOUR, START, edge_market, settings

from huracan.config import HuracanConfig, load_config
from huracan.errors import FolderInUse, NotEnoughData
from huracan.integration.feedback.content_hash import content_digests
from huracan.integration.feedback.replay import Replay, replay
from huracan.integration.feedback.replay_report import LIVED, NEVER, ReplayResult, skill_bands
from huracan.storage.feedback_tables import challengers, live_predictions
from huracan.storage.folder_lock import held

FLIP, FIRST, LAST = 420, 312, 912
TURNS = {"every": "24h", "start": START + FIRST * HOUR, "until": START + LAST * HOUR}


class Killed(BaseException):
    """The process is gone; nothing of it may be caught."""


def config(home: Path, **changes: Any) -> HuracanConfig:
    return load_config(settings(home, **changes), environ={})


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    return edge_market(1_000, [FLIP], strength=0.8)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, candles: pl.DataFrame) -> Replay:
    return replay(config(tmp_path_factory.mktemp("home")), candles, **TURNS)


def digests(of: Replay) -> dict[str, str]:
    return content_digests(of.pipeline.registry.database, of.folder / "outbox")


def test_one_that_is_killed_goes_on_and_ends_the_same(lived: Replay, candles: pl.DataFrame, tmp_path: Path) -> None:
    seen: list[str] = []

    def die(moment: str, share: float) -> None:
        seen.append(moment)
        if len(seen) in (3, 10):
            raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            replay(config(tmp_path), candles, progress=die, **TURNS)
    again = replay(config(tmp_path), candles, **TURNS)
    assert again.folder.parent == tmp_path / "replays"
    assert digests(again) == digests(lived)


def test_what_comes_after_a_turn_changes_nothing_of_it(lived: Replay, candles: pl.DataFrame, tmp_path: Path) -> None:
    """Bars after the turn drawn anew, or cut away: every row until then is the same, that of the challenger included."""
    end = START + 744 * HOUR
    turns = {**TURNS, "until": end}
    rng = np.random.default_rng(1)
    after = pl.col("ts").dt.epoch("ms") >= end
    factor = pl.Series("factor", np.exp(0.05 * rng.standard_normal(candles.height)))
    prices = [pl.when(after).then(pl.col(name) * factor).otherwise(pl.col(name)) for name in ("open", "high", "low", "close")]
    other = candles.with_columns(prices).with_columns(
        high=pl.max_horizontal("open", "high", "low", "close"), low=pl.min_horizontal("open", "high", "low", "close")
    )
    cut = candles.filter(~after)
    short, noisy = (replay(config(tmp_path / name), frame, **turns) for name, frame in (("short", cut), ("noisy", other)))
    assert digests(short) == digests(noisy)
    p = live_predictions.c
    rows = (
        sa.select(p.symbol, p.ts, p.role, p.tick, p.score, p.position)
        .where(p.tick <= end)
        .order_by(p.version_id, p.symbol, p.ts)
    )
    mine, theirs = ([tuple(row) for row in _rows(one, rows)] for one in (short, lived))
    assert mine == theirs
    assert len({row[2] for row in mine}) > 1, "a challenger was asked beside the champion"
    asked = (
        sa.select(challengers.c.id, challengers.c.requested).where(challengers.c.requested <= end).order_by(challengers.c.id)
    )
    assert _rows(short, asked) == _rows(lived, asked)


def test_it_tells_what_was_done_and_what_was_earned(lived: Replay) -> None:
    result = ReplayResult(lived)
    assert result.challengers["state"].to_list() == ["promoted", "promoted"]
    assert result.challengers["kind"].to_list() == ["first", "full"]
    ways = result.ways
    assert ways[LIVED].positions.equals(ways[LIVED].positions.unique(["symbol", "ts"], maintain_order=True))
    before = result.challengers["decided"][1]
    mine, alone = (ways[name].positions.filter(pl.col("ts") < before) for name in (LIVED, NEVER))
    both = mine.join(alone, on=["symbol", "ts"], suffix="_alone").drop_nulls()
    assert both.height > 300
    np.testing.assert_allclose(both["target"], both["target_alone"], atol=1e-9)  # until then nobody else answered
    same = ways[LIVED].payoffs.join(ways[NEVER].payoffs, on="ts", suffix="_alone").filter(pl.col("ts") < before)
    np.testing.assert_allclose(same["payoff"], same["payoff_alone"], rtol=1e-6)
    assert set(result.accounts) == {LIVED, NEVER, "buy and hold"}
    told = result.to_dict()
    assert told["content_hash"] == result.content_hash
    assert [one["state"] for one in told["challengers"]] == ["promoted", "promoted"]
    content = result.content()
    assert content.expected is not None
    assert content.expected.low < content.expected.value < content.expected.high
    assert content.sentence.startswith("In 25 days the Mechanic asked for 2 challengers, promoted 2 and rolled 0 back")


def test_another_setting_is_another_replay_and_what_only_surrounds_it_is_not(
    lived: Replay, candles: pl.DataFrame, tmp_path: Path
) -> None:
    turns = {"every": "24h", "start": TURNS["start"], "until": TURNS["start"]}
    folders = [
        replay(config(tmp_path, **changes), candles, **turns).folder.name
        for changes in ({}, {"mechanic": {"lease_seconds": 9}}, {"retrain": {"persistence": 5}}, {"labels": {"horizon": 2}})
    ]
    assert folders[0] == folders[1]
    assert len(set(folders)) == 3


def test_what_cannot_be_replayed_is_said(candles: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="no turn lies between"):
        replay(config(tmp_path), candles, every="24h", start=START + 1_100 * HOUR)
    with pytest.raises(NotEnoughData, match=r"mechanic\.symbols names X-USD"):
        replay(config(tmp_path, mechanic={"symbols": ["X-USD"]}), candles, **TURNS)
    with held(tmp_path / "mine"), pytest.raises(FolderInUse):
        replay(config(tmp_path), candles, folder=tmp_path / "mine", **TURNS)


def test_bands_hold_the_mean_of_their_stretch() -> None:
    ts = pl.Series([START + i * HOUR for i in range(6_000)]).cast(pl.Datetime("ms", "UTC"))
    payoffs = pl.DataFrame({"ts": ts, "payoff": np.random.default_rng(0).standard_normal(6_000) + 0.1})
    bands = skill_bands(payoffs)
    assert bands.height == 60
    assert np.isclose(bands["value"].mean(), payoffs["payoff"].mean())  # type: ignore[arg-type]
    assert ((bands["low"] < bands["value"]) & (bands["value"] < bands["high"])).all()
    inside = ((bands["low"] < 0.1) & (bands["high"] > 0.1)).sum()
    assert 50 <= inside <= 60  # of 60 intervals at 95 %, fewer than 50 come once in a million
    few = skill_bands(payoffs.head(10))
    assert few.height == 1 and few["low"][0] is None
    assert skill_bands(payoffs.clear()).is_empty()


def _rows(of: Replay, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
    return of.pipeline.registry.database.read(lambda connection: [tuple(row) for row in connection.execute(query)])
