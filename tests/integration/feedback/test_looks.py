"""What is looked at once a day: features against the reference kept with the champion, scores against those out of fold."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from tests.integration.feedback.living import HOUR, NAME, SmallRun, alive, lifted, rows, turn

from huracan.integration.feedback.feeds import FrameFeed
from huracan.mlops import Reference
from huracan.mlops.prediction_drift import SCORES_FILE


def _rising(run: SmallRun) -> pl.DataFrame:
    """The same candles, which rise by one percent an hour after the end of training."""
    hours = (pl.col("ts").dt.epoch("ms") - run.end_of_training).clip(0) / HOUR
    return run.candles.with_columns(pl.col("open", "high", "low", "close") * (hours * 0.01).exp())


def test_a_champion_of_a_run_keeps_how_its_scores_were_distributed(champion: SmallRun, tmp_path: Path) -> None:
    kept = alive(champion, tmp_path / "home").works.registry.attachments(NAME, 1)
    reference = Reference.from_bytes(kept[SCORES_FILE])
    assert list(reference.columns) == ["score"] and reference.n_moments > 200


KINDS = "select kind, tick, sentence from drift_evidence order by tick, kind"


@pytest.mark.parametrize("rising", [True, False])
def test_features_that_drifted_are_seen_once_a_day_and_others_are_not(champion: SmallRun, tmp_path: Path, rising: bool) -> None:
    candles = _rising(champion) if rising else champion.candles
    mechanic = alive(champion, tmp_path / "home", source=FrameFeed(candles), drift={"window": "4d", "check_every": "1d"})
    for bars in range(0, 121, 6):
        turn(mechanic, champion, bars)
    found = [row for row in rows(mechanic, KINDS) if row[0] in ("data", "columns", "prediction")]
    if rising:
        assert {kind for kind, _, _ in found} == {"data"}
        assert all(later - earlier >= 24 * HOUR for earlier, later in pairwise(tick for _, tick, _ in found))
        assert found[0][2].startswith(f"features of {NAME}/1: ") and "columns drifted" in found[0][2]
    else:
        assert found == []


def test_scores_that_drifted_are_seen(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", drift={"window": "14d", "check_every": "1d"})
    registry = mechanic.works.registry
    registry.promote(NAME, lifted(registry, NAME, 1), reason="by mistake")
    for bars in range(0, 385, 48):
        turn(mechanic, champion, bars)
    found = [row for row in rows(mechanic, KINDS) if row[0] == "prediction"]
    assert found and found[0][2].startswith("the scores are higher than out of fold")
